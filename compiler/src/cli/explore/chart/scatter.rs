//! Dots over two axes, in series, with their names beside them.

use mnc_runtime::chart::labels::{self, Circle, FONT_SIZE, Label};
use mnc_runtime::chart::{Axis, Scale, escape};

use super::{Anchor, NUMBER_GAP, Size, Svg, path, range, width_of, width_of_numbers};

/// What one axis shows.
#[derive(Clone, Debug)]
pub(in super::super) struct Values {
    /// With the unit.
    pub(in super::super) title: String,
    pub(in super::super) scale: Scale,
}

/// A dot.
#[derive(Clone, Debug)]
pub(in super::super) struct Point {
    pub(in super::super) at: (f64, f64),
    /// Beside the dot, where there is room.
    pub(in super::super) name: String,
    /// Shown to whoever points at it.
    pub(in super::super) hint: String,
    /// Dots that matter more are filled, and their names come first.
    pub(in super::super) is_main: bool,
}

/// What a dot looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Mark {
    Circle,
    Square,
}

/// Dots of one colour and one look.
#[derive(Clone, Debug)]
pub(in super::super) struct Series {
    /// The number of its colour.
    pub(in super::super) colour: usize,
    pub(in super::super) mark: Mark,
    /// Beside its last dot; may be empty.
    pub(in super::super) name: String,
    pub(in super::super) points: Vec<Point>,
    /// Whether a line goes through the dots.
    pub(in super::super) is_joined: bool,
}

/// A line that isn't of one series.
#[derive(Clone, Debug)]
pub(in super::super) struct Line {
    /// The class of its style: `front`, `guide`, `limit`.
    pub(in super::super) class: &'static str,
    /// Values; what lies outside of the plot is cut off.
    pub(in super::super) points: Vec<(f64, f64)>,
    /// At the end of the line that is inside; may be empty.
    pub(in super::super) name: String,
}

/// The picture.
#[derive(Clone, Debug)]
pub(in super::super) struct Scatter {
    /// For those who don't see it.
    pub(in super::super) description: String,
    pub(in super::super) x: Values,
    pub(in super::super) y: Values,
    pub(in super::super) series: Vec<Series>,
    pub(in super::super) lines: Vec<Line>,
}

const RADIUS: f64 = 4.5;
/// Of a square as large as such a circle.
const HALF_SIDE: f64 = 4.0;

impl Scatter {
    pub(in super::super) fn draw(&self, size: Size) -> String {
        let (height, least_left, right) = match size {
            Size::Wide => (480.0, 52.0, size.width() - 16.0),
            Size::Narrow => (400.0, 40.0, size.width() - 10.0),
        };
        let (top, bottom) = (28.0, height - 46.0);
        let y = self.axis(self.y.scale, |(_, y)| y, (bottom, top));
        let left = f64::max(least_left, width_of_numbers(y) + 2.0 * NUMBER_GAP);
        let x = self.axis(self.x.scale, |(x, _)| x, (left, right));
        let mut svg = Svg::new(size, height, &self.description);
        svg.below(x, &self.x.title, (top, bottom));
        svg.left(y, &self.y.title, (left, right));
        // A picture in the picture cuts off what is outside of it.
        let (width, inner_height) = (right - left, bottom - top);
        let window = format!(
            "<svg x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{inner_height}\" \
             viewBox=\"{left} {top} {width} {inner_height}\">"
        );
        let place = |point: (f64, f64)| (x.at(point.0), y.at(point.1));
        let inside = |(x, y): (f64, f64)| left <= x && x <= right && top <= y && y <= bottom;
        let clamp = |(x, y): (f64, f64)| (x.clamp(left, right), y.clamp(top, bottom));
        let mut taken = Vec::new();
        let mut line_names = Vec::new();
        for line in &self.lines {
            let points: Vec<(f64, f64)> = line.points.iter().copied().map(place).collect();
            svg.add(format_args!(
                "{window}<path class=\"line {}\" d=\"{}\"/></svg>",
                line.class,
                path(points.iter().copied())
            ));
            taken.extend(cells(&points).filter(|cell| inside((cell.0, cell.1))));
            if let Some(end) = points.iter().copied().map(clamp).next_back().filter(|_| !line.name.is_empty())
            {
                let width = width_of(&line.name, FONT_SIZE);
                let is_right = end.0 + width + 8.0 < right;
                let (at_x, anchor) =
                    if is_right { (end.0 + 6.0, Anchor::Start) } else { (end.0 - 6.0, Anchor::End) };
                let at = (at_x, end.1 + 12.0);
                let box_left = if is_right { at_x } else { at_x - width };
                taken.push((box_left, at.1 - FONT_SIZE, box_left + width, at.1 + 4.0));
                line_names.push((at, anchor, &line.name));
            }
        }
        for series in self.series.iter().filter(|series| series.is_joined) {
            let points = series.points.iter().map(|point| place(point.at));
            let (colour, points) = (series.colour, path(points));
            svg.add(format_args!("<path class=\"line joined s{colour}\" d=\"{points}\"/>"));
        }
        for series in &self.series {
            for point in &series.points {
                let ((cx, cy), colour) = (place(point.at), series.colour);
                let class = if point.is_main { "dot" } else { "dot hollow" };
                let hint = escape(&point.hint);
                match series.mark {
                    Mark::Circle => svg.add(format_args!(
                        "<circle class=\"{class} s{colour}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{RADIUS}\"><title>{hint}</title></circle>"
                    )),
                    Mark::Square => {
                        let (x, y, side) = (cx - HALF_SIDE, cy - HALF_SIDE, 2.0 * HALF_SIDE);
                        svg.add(format_args!(
                            "<rect class=\"{class} s{colour}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side}\" height=\"{side}\"><title>{hint}</title></rect>"
                        ));
                    }
                }
            }
        }
        for (at, anchor, name) in line_names {
            svg.words("name", at, anchor, name);
        }
        self.names(&mut svg, place, ((left, top, right, bottom), &taken), size);
        svg.finish()
    }

    /// An axis around all that is drawn as dots; lines are cut.
    fn axis(&self, scale: Scale, part: fn((f64, f64)) -> f64, (start, end): (f64, f64)) -> Axis {
        let points = self.series.iter().flat_map(|series| &series.points);
        let (low, high) = range(points.map(|point| part(point.at)), scale);
        Axis { scale, low, high, start, end }
    }

    /// Names of series first, then of the dots that matter, then of the others as far as there is room.
    fn names(
        &self,
        svg: &mut Svg,
        place: impl Fn((f64, f64)) -> (f64, f64),
        (plot, taken): (labels::Box, &[labels::Box]),
        size: Size,
    ) {
        let circle = |point: &Point| {
            let (x, y) = place(point.at);
            Circle { x, y, radius: RADIUS + 1.0 }
        };
        let points = || self.series.iter().flat_map(|series| &series.points);
        let circles: Vec<Circle> = points().map(circle).collect();
        let mut names: Vec<(String, Circle)> = Vec::new();
        for series in self.series.iter().filter(|series| !series.name.is_empty()) {
            names.extend(series.points.first().map(|point| (series.name.clone(), circle(point))));
        }
        let n_series = names.len();
        for is_main in [true, false] {
            let named = points().filter(|point| point.is_main == is_main && !point.name.is_empty());
            names.extend(named.map(|point| (point.name.clone(), circle(point))));
        }
        let series_names: Vec<String> = names[..n_series].iter().map(|(name, _)| name.clone()).collect();
        for Label { name, x, y, circle, leader } in labels::place(names, &circles, plot, taken) {
            // A phone has no room for names that stand far from their dots.
            if leader.is_some() && size == Size::Narrow && !series_names.contains(&name) {
                continue;
            }
            if let Some((to_x, to_y)) = leader {
                let (from_x, from_y) = (circle.x, circle.y);
                svg.add(format_args!(
                    "<path class=\"leader\" d=\"M{from_x:.1} {from_y:.1}L{to_x:.1} {to_y:.1}\"/>"
                ));
            }
            let class = if series_names.contains(&name) { "name strong" } else { "name" };
            svg.words(class, (x, y), Anchor::Start, &name);
        }
    }
}

/// Boxes along a line, so close together that no name fits between them.
fn cells(points: &[(f64, f64)]) -> impl Iterator<Item = labels::Box> {
    const STEP: f64 = 6.0;
    // What is far outside of the plot needs no boxes.
    const MOST_CELLS: f64 = 500.0;
    points.windows(2).flat_map(|ends| {
        let ((from_x, from_y), (to_x, to_y)) = (ends[0], ends[1]);
        let n_cells = ((to_x - from_x).hypot(to_y - from_y) / STEP).ceil().clamp(1.0, MOST_CELLS);
        (0..=n_cells as usize).map(move |idx| {
            let way = idx as f64 / n_cells;
            let (x, y) = (from_x + way * (to_x - from_x), from_y + way * (to_y - from_y));
            (x - 1.0, y - 1.0, x + 1.0, y + 1.0)
        })
    })
}
