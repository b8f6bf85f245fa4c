//! Pictures that nobody took: shapes of all sizes that lie on each other as fallen leaves do, which have the edges, the even areas and
//! the statistics of photographs. A seed gives the same bytes on every machine.

use crate::graph::shape::Shape;
use crate::random::Random;

/// Leaves that are dropped at most; what is bare then has the colour of the ground.
const MOST_LEAVES: usize = 3000;
/// The radius of the smallest, in pixels.
const LEAST_RADIUS: f64 = 2.0;
/// That of the largest, as a share of the shorter side.
const MOST_RADIUS: f64 = 0.45;

/// So many pictures of that shape.
///
/// ```
/// use mnc::graph::shape::Shape;
/// use mnc::quantize::leaves::pictures;
/// let shape = Shape { height: 24, width: 32, channels: 3 };
/// let two = pictures(shape, 2, 1);
/// assert_eq!((two.len(), two[0].len(), two[0] == two[1]), (2, shape.len(), false));
/// assert_eq!(two, pictures(shape, 2, 1));
/// ```
pub fn pictures(shape: Shape, n: usize, seed: u64) -> Vec<Vec<u8>> {
    (0..n).map(|idx| picture(shape, &mut Random::new(seed ^ ((idx as u64) << 32)))).collect()
}

fn between(random: &mut Random, low: f64, high: f64) -> f64 {
    low + random.uniform() * (high - low)
}

/// One leaf.
struct Leaf {
    /// Column and row of its middle.
    centre: (f64, f64),
    radius: f64,
    /// The cosine and the sine of the way it lies.
    turn: (f64, f64),
    is_round: bool,
    /// Its width over its length.
    slim: f64,
    colour: Vec<f64>,
    /// How the brightness goes from one end to the other, along and across.
    slope: (f64, f64),
    /// How rough it is.
    noise: f64,
}

impl Leaf {
    fn drop(shape: Shape, ground: &[f64], random: &mut Random) -> Leaf {
        let most = MOST_RADIUS * shape.height.min(shape.width) as f64;
        let (small, large) = (1.0 / (LEAST_RADIUS * LEAST_RADIUS), 1.0 / (most * most));
        // As many of a size as make the picture look the same from near and from afar: the density is that of r^-3.
        let share = random.uniform();
        let radius = (1.0 / (small * (1.0 - share) + large * share)).sqrt();
        let centre = (
            between(random, -radius, shape.width as f64 + radius),
            between(random, -radius, shape.height as f64 + radius),
        );
        let is_round = random.percent(50);
        let slim = if is_round { between(random, 0.5, 1.0) } else { between(random, 0.3, 0.9) };
        let (light, tint) = (between(random, 0.0, 255.0), between(random, 0.0, 45.0));
        let colour =
            ground.iter().map(|ground| light + random.normal() * tint + 0.2 * (ground - 128.0)).collect();
        let steep = between(random, 0.0, 40.0) / radius.max(1.0);
        let slope = (random.normal() * steep, random.normal() * steep);
        let noise = random.pick(&[0.0, 0.0, 5.0, 15.0]);
        Leaf { centre, radius, turn: direction(random), is_round, slim, colour, slope, noise }
    }

    /// Where a point lies in the leaf's own directions, if it is in it.
    fn at(&self, column: f64, row: f64) -> Option<(f64, f64)> {
        let (x, y) = (column - self.centre.0, row - self.centre.1);
        let (cos, sin) = self.turn;
        let (along, across) = (x * cos + y * sin, y * cos - x * sin);
        let r = self.radius;
        let is_inside = if self.is_round {
            let wide = across / self.slim;
            along * along + wide * wide < r * r
        } else {
            along.abs() < 0.9 * r && across.abs() < self.slim * r
        };
        is_inside.then_some((along, across))
    }
}

/// Any direction, by operations that are rounded alike everywhere.
fn direction(random: &mut Random) -> (f64, f64) {
    loop {
        let (x, y) = (between(random, -1.0, 1.0), between(random, -1.0, 1.0));
        let square = x * x + y * y;
        if 0.01 < square && square <= 1.0 {
            return (x / square.sqrt(), y / square.sqrt());
        }
    }
}

fn picture(shape: Shape, random: &mut Random) -> Vec<u8> {
    let Shape { height, width, channels } = shape;
    let ground: Vec<f64> = (0..channels).map(|_| between(random, 30.0, 225.0)).collect();
    let byte = |x: f64| x.clamp(0.0, 255.0) as u8;
    let mut bytes: Vec<u8> = (0..shape.pixels()).flat_map(|_| ground.iter().map(|x| byte(*x))).collect();
    let mut is_covered = vec![false; shape.pixels()];
    let mut n_bare = shape.pixels();
    for _ in 0..MOST_LEAVES {
        if n_bare == 0 {
            break;
        }
        // From above: each leaf lies under those before it.
        let leaf = Leaf::drop(shape, &ground, random);
        let reach = 1.5 * leaf.radius;
        let range = |centre: f64, extent: usize| {
            (centre - reach).max(0.0) as usize..((centre + reach + 2.0).max(0.0) as usize).min(extent)
        };
        for row in range(leaf.centre.1, height) {
            for column in range(leaf.centre.0, width) {
                let pixel = row * width + column;
                let Some((along, across)) = leaf.at(column as f64, row as f64) else { continue };
                if is_covered[pixel] {
                    continue;
                }
                is_covered[pixel] = true;
                n_bare -= 1;
                let shade = along * leaf.slope.0 + across * leaf.slope.1 + random.normal() * leaf.noise;
                let pixel = bytes[pixel * channels..][..channels].iter_mut();
                pixel.zip(&leaf.colour).for_each(|(at, colour)| *at = byte(colour + shade));
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most of a picture is covered, light and dark, with edges.
    #[test]
    fn pictures_have_contrast() {
        let shape = Shape { height: 96, width: 96, channels: 3 };
        for picture in pictures(shape, 4, 7) {
            let mean = picture.iter().map(|x| f64::from(*x)).sum::<f64>() / picture.len() as f64;
            let variance =
                picture.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / picture.len() as f64;
            assert!((40.0..215.0).contains(&mean) && 30.0 < variance.sqrt(), "{mean} {}", variance.sqrt());
        }
    }

    #[test]
    fn any_shape_has_pictures() {
        for (height, width, channels) in [(1, 1, 1), (1, 40, 3), (40, 1, 2), (3, 5, 70)] {
            let shape = Shape { height, width, channels };
            assert_eq!(pictures(shape, 1, 1)[0].len(), shape.len());
        }
    }
}
