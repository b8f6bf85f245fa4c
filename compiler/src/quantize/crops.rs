//! Many pictures of a few photographs: parts of them, near and far, half of them as in a mirror. A seed gives the same parts on every
//! machine.

use crate::random::Random;

/// The smallest part, as a share of what there is.
const LEAST: f64 = 0.35;

/// A photograph, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photograph {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// By rows, red, green and blue of each pixel.
    pub pixels: Vec<u8>,
}

impl Photograph {
    /// A file of it: binary PNM.
    pub fn to_pnm(&self) -> Vec<u8> {
        let mut file = format!("P6\n{} {}\n255\n", self.width, self.height).into_bytes();
        file.extend(&self.pixels);
        file
    }
}

/// So many parts of photographs, taken in turn, each with the sides of an input of `height` x `width`.
///
/// # Panics
/// When there is no photograph, or an empty one.
pub fn crops(
    photographs: &[Photograph],
    (height, width): (usize, usize),
    n: usize,
    seed: u64,
) -> Vec<Photograph> {
    let mut random = Random::new(seed ^ 0x6372_6f70);
    (0..n).map(|idx| crop(&photographs[idx % photographs.len()], (height, width), &mut random)).collect()
}

fn crop(photograph: &Photograph, (height, width): (usize, usize), random: &mut Random) -> Photograph {
    let share = LEAST + (1.0 - LEAST) * random.uniform();
    let most = (photograph.width as f64 / width as f64).min(photograph.height as f64 / height as f64);
    let side = |extent: usize, all: usize| ((extent as f64 * most * share) as usize).clamp(1, all);
    let (columns, rows) = (side(width, photograph.width), side(height, photograph.height));
    let left = random.within(0, photograph.width - columns);
    let top = random.within(0, photograph.height - rows);
    let is_mirrored = random.percent(50);
    let pixel = |y: usize, x: usize| {
        let x = if is_mirrored { columns - 1 - x } else { x };
        &photograph.pixels[((top + y) * photograph.width + left + x) * 3..][..3]
    };
    let pixels = (0..rows).flat_map(|y| (0..columns).flat_map(move |x| pixel(y, x))).copied().collect();
    Photograph { width: columns, height: rows, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_photograph() {
        // A pixel tells where it was.
        let pixels = (0..40u8).flat_map(|y| (0..60u8).flat_map(move |x| [x, y, x ^ y])).collect();
        let photograph = Photograph { width: 60, height: 40, pixels };
        let parts = crops(std::slice::from_ref(&photograph), (20, 20), 50, 3);
        assert_eq!(parts, crops(std::slice::from_ref(&photograph), (20, 20), 50, 3));
        for part in &parts {
            assert_eq!(part.pixels.len(), part.width * part.height * 3);
            assert!(part.width == part.height && (14..=40).contains(&part.width), "{}", part.width);
            for row in part.pixels.chunks_exact(3 * part.width) {
                let columns: Vec<u8> = row.chunks_exact(3).map(|pixel| pixel[0]).collect();
                let steps =
                    |by: i32| columns.windows(2).all(|two| i32::from(two[1]) - i32::from(two[0]) == by);
                assert!(steps(1) || steps(-1), "{columns:?}");
                assert!(row.chunks_exact(3).all(|pixel| pixel[0] ^ pixel[1] == pixel[2]));
            }
        }
        let widths: std::collections::BTreeSet<usize> = parts.iter().map(|part| part.width).collect();
        assert!(10 < widths.len());
    }

    #[test]
    fn any_sides_have_parts() {
        let photograph = Photograph { width: 3, height: 2, pixels: vec![7; 18] };
        for sides in [(1, 1), (1, 1000), (1000, 1), (224, 224)] {
            assert!(
                crops(std::slice::from_ref(&photograph), sides, 4, 1)
                    .iter()
                    .all(|part| !part.pixels.is_empty())
            );
        }
    }
}
