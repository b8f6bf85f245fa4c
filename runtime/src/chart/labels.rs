//! Names beside dots, where they cover neither each other nor a dot.

/// Of the names, in pixels.
pub const FONT_SIZE: f64 = 11.0;

/// A dot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circle {
    /// Of the centre.
    pub x: f64,
    /// Of the centre.
    pub y: f64,
    /// What names keep away from.
    pub radius: f64,
}

/// Left, top, right, bottom.
pub type Box = (f64, f64, f64, f64);

/// A name with its place: where its first letter stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// What is written.
    pub name: String,
    /// Where the first letter begins.
    pub x: f64,
    /// The line that the letters stand on.
    pub y: f64,
    /// The dot that has the name.
    pub circle: Circle,
    /// The end of a line from the dot to a name that stands far from it.
    pub leader: Option<(f64, f64)>,
}

/// Dots at nearly the same place share a name.
const SAME_PLACE: f64 = 6.0;

/// One name for each place, with the largest dot there; in the order of the first dot of each.
pub fn group(dots: &[(&str, Circle)]) -> Vec<(String, Circle)> {
    let mut groups: Vec<(Vec<&str>, Circle)> = Vec::new();
    for (name, circle) in dots {
        let is_same = |other: &Circle| (circle.x - other.x).hypot(circle.y - other.y) < SAME_PLACE;
        match groups.iter_mut().find(|(_, other)| is_same(other)) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], *circle)),
        }
    }
    groups.into_iter().map(|(names, circle)| (joined(names), circle)).collect()
}

/// `conv_pw_7, 8, 9` of `conv_pw_8`, `conv_pw_7` and `conv_pw_9`; names that differ in more than a number stay whole.
fn joined(mut names: Vec<&str>) -> String {
    let split = |name: &str| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        (name[..stem].to_string(), name[stem..].parse::<u64>().unwrap_or(0))
    };
    names.sort_by_key(|name| split(name));
    let mut text = String::new();
    let mut last_stem = None;
    for name in names {
        let (stem, number) = split(name);
        if last_stem.as_ref() == Some(&stem) {
            text += &format!(", {number}");
        } else {
            text += if text.is_empty() { "" } else { ", " };
            text += name;
        }
        last_stem = Some(stem);
    }
    text
}

/// Finds a place for each name beside its dot, as near as possible, the first names first; one that finds none is left
/// out. Names keep away from `circles` and from `taken`.
pub fn place(names: Vec<(String, Circle)>, circles: &[Circle], plot: Box, taken: &[Box]) -> Vec<Label> {
    let mut taken = taken.to_vec();
    let mut labels = Vec::new();
    for (name, circle) in names {
        let free = candidates(&name, circle).find(|(area, _)| {
            let is_inside = plot.0 <= area.0 && plot.1 <= area.1 && area.2 <= plot.2 && area.3 <= plot.3;
            is_inside && is_free(*area, circles, &taken)
        });
        let Some((area, is_far)) = free else { continue };
        let leader = is_far.then(|| (circle.x.clamp(area.0, area.2), circle.y.clamp(area.1, area.3)));
        labels.push(Label { name, x: area.0 + 2.0, y: area.3 - 3.5, circle, leader });
        taken.push(area);
    }
    labels
}

/// Whether neither a dot nor another box is there.
pub fn is_free(area: Box, circles: &[Circle], taken: &[Box]) -> bool {
    !taken.iter().any(|other| overlap(area, *other)) && !circles.iter().any(|circle| covers(*circle, area))
}

/// Boxes around a dot, outwards, and whether they are so far that a line is needed.
fn candidates(name: &str, circle: Circle) -> impl Iterator<Item = (Box, bool)> {
    // A generous guess, for nobody knows the reader's font.
    let width = name.chars().count() as f64 * FONT_SIZE * 0.6 + 4.0;
    let height = FONT_SIZE + 3.0;
    // Right, left, below, above, then between.
    let directions = [0, 8, 4, 12, 2, 6, 14, 10, 1, 3, 5, 7, 9, 11, 13, 15];
    let distances = (0..14).map(|i| 3.0 + 14.0 * f64::from(i));
    distances.flat_map(move |distance| {
        directions.into_iter().map(move |sixteenth| {
            let (sin, cos) = (f64::from(sixteenth) * std::f64::consts::PI / 8.0).sin_cos();
            // The box touches a circle of this radius from outside.
            let radius = circle.radius + distance;
            let (x, y) = (circle.x + cos * (radius + width / 2.0), circle.y + sin * (radius + height / 2.0));
            ((x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0), 10.0 < distance)
        })
    })
}

fn overlap(a: Box, b: Box) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

fn covers(circle: Circle, area: Box) -> bool {
    let (x, y) = (circle.x.clamp(area.0, area.2), circle.y.clamp(area.1, area.3));
    (x - circle.x).hypot(y - circle.y) < circle.radius
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_at_one_place_share_a_name() {
        let at = |x| Circle { x, y: 1.0, radius: 3.0 };
        let dots = [
            ("pw_10", at(5.0)),
            ("conv1", at(50.0)),
            ("pw_9", at(6.0)),
            ("dw", at(7.0)),
            ("conv2", at(80.0)),
        ];
        let expected = [("dw, pw_9, 10", at(5.0)), ("conv1", at(50.0)), ("conv2", at(80.0))];
        assert_eq!(group(&dots), expected.map(|(name, circle)| (name.to_string(), circle)));
    }

    #[test]
    fn names_keep_clear_of_each_other_and_of_dots() {
        // A heap of dots at nearly the same place.
        let circles: Vec<Circle> =
            (0..10).map(|i| Circle { x: 200.0 + f64::from(i), y: 150.0, radius: 8.0 }).collect();
        let names = (0..10).map(|i| (format!("conv_pw_{i}"), circles[i])).collect();
        let plot = (0.0, 0.0, 400.0, 300.0);
        let taken = (150.0, 100.0, 250.0, 140.0);
        let labels = place(names, &circles, plot, &[taken]);
        assert_eq!(labels.len(), 10);
        let area = |label: &Label| {
            let (x, y) = (label.x - 2.0, label.y + 3.5 - FONT_SIZE - 3.0);
            (x, y, x + label.name.len() as f64 * FONT_SIZE * 0.6 + 4.0, label.y + 3.5)
        };
        for (i, label) in labels.iter().enumerate() {
            let others: Vec<Box> = labels[..i].iter().map(area).chain([taken]).collect();
            assert!(is_free(area(label), &circles, &others), "{label:?}");
        }
    }

    #[test]
    fn a_name_without_a_place_is_left_out() {
        let circle = Circle { x: 5.0, y: 5.0, radius: 4.0 };
        let names = vec![("conv".to_string(), circle)];
        assert_eq!(place(names, &[circle], (0.0, 0.0, 10.0, 10.0), &[]), []);
    }
}
