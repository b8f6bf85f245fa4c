//! The two knobs of the paper: alpha scales channels (section 3.3), rho the resolution (section 3.4).

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::describe::{InputSpec, Rounding, Width};
use crate::error::{Error, ErrorKind, Faults, Place, Result};

/// Largest alpha. The paper has none above 1; users have been seen with 1.4.
pub const MAX_ALPHA: f64 = 4.0;

/// Rows or columns of an input, in a description and of a user who asks for others.
pub const SIDES: RangeInclusive<usize> = 1..=1024;

/// What the user chooses over a description.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knobs {
    /// The width multiplier: above 0, at most [`MAX_ALPHA`].
    pub alpha: f64,
    /// The input's extent; the description's own when absent.
    pub resolution: Option<Resolution>,
}

impl Default for Knobs {
    /// The network as described.
    fn default() -> Knobs {
        Knobs { alpha: 1.0, resolution: None }
    }
}

impl Knobs {
    /// Notes what can't be: an alpha or a resolution out of range for a network with this input.
    pub(super) fn check(&self, input: InputSpec, faults: &mut Faults) {
        // NaN compares as false.
        if !(self.alpha > 0.0 && self.alpha <= MAX_ALPHA) {
            faults.push(
                Place::flag("alpha"),
                format!("found {:?}, expected a number above 0, at most {MAX_ALPHA}", self.alpha),
            );
        }
        if let Some(resolution) = self.resolution
            && !resolution.is_legal(input)
        {
            faults.push(
                Place::flag("resolution"),
                format!("found {resolution}, expected {}", Resolution::EXPECTED),
            );
        }
    }
}

/// Rows and columns of the network's input.
///
/// ```
/// use mnc::graph::Resolution;
/// let resolution: Resolution = "192x160".parse()?;
/// assert_eq!((resolution.height, resolution.width), (192, 160));
/// assert_eq!("160".parse::<Resolution>()?.to_string(), "160x160");
/// # Ok::<(), mnc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Resolution {
    const EXPECTED: &str = "a side such as 160, or HEIGHTxWIDTH such as 192x160, each from 1 to 1024";

    /// The resolution that rho gives: each side times rho, rounded to the nearest whole number.
    ///
    /// ```
    /// use mnc::describe::InputSpec;
    /// use mnc::graph::Resolution;
    /// let input = InputSpec { height: 224, width: 224, channels: 3 };
    /// assert_eq!(Resolution::from_rho(input, 0.714)?, Resolution { height: 160, width: 160 });
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn from_rho(input: InputSpec, rho: f64) -> Result<Resolution> {
        let fail = |detail| Err(Error::new(ErrorKind::Options, Place::flag("rho"), detail));
        if !(rho > 0.0 && rho.is_finite()) {
            return fail(format!("found {rho:?}, expected a number above 0"));
        }
        // The cast saturates: a side too large for usize is out of range below.
        let side = |side: usize| (side as f64 * rho).round() as usize;
        let resolution = Resolution { height: side(input.height), width: side(input.width) };
        if !resolution.is_legal(input) {
            let (first, last) = (SIDES.start(), SIDES.end());
            return fail(format!(
                "found {rho:?}, which makes {}x{} into {resolution}, expected sides from {first} to {last}",
                input.height, input.width
            ));
        }
        Ok(resolution)
    }

    fn is_legal(self, input: InputSpec) -> bool {
        let own = self.height == input.height && self.width == input.width;
        own || SIDES.contains(&self.height) && SIDES.contains(&self.width)
    }
}

impl FromStr for Resolution {
    type Err = Error;

    fn from_str(text: &str) -> Result<Resolution> {
        let side = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|side| digits && SIDES.contains(side))
        };
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        match (side(height), side(width)) {
            (Some(height), Some(width)) => Ok(Resolution { height, width }),
            _ => {
                let found: String = text.chars().take(40).collect();
                let detail = format!("found {found:?}, expected {}", Resolution::EXPECTED);
                Err(Error::new(ErrorKind::Options, Place::flag("resolution"), detail))
            }
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl Rounding {
    /// Alpha times `channels` as a whole number; never 0 for a legal rule and alpha. The products are those of f64, as in the
    /// programs whose weights are read.
    ///
    /// ```
    /// use mnc::describe::Rounding;
    /// assert_eq!(Rounding::Floor { minimum: 8 }.apply(0.35, 32), 11);
    /// assert_eq!(Rounding::Nearest { multiple: 8 }.apply(0.35, 32), 16); // 8 is below 90 % of 11.2
    /// ```
    pub fn apply(self, alpha: f64, channels: usize) -> usize {
        let exact = alpha * channels as f64;
        match self {
            Rounding::Floor { minimum } => (exact as usize).max(minimum),
            Rounding::Nearest { multiple } => nearest(exact, multiple, multiple),
            Rounding::NearestOfWhole { multiple, minimum } => {
                nearest(exact.round_ties_even(), multiple, minimum)
            }
        }
    }
}

/// The multiple nearest to a number, halves up, or `minimum`; the next one where that is more than 10 % below the number.
fn nearest(exact: f64, multiple: usize, minimum: usize) -> usize {
    let multiple = multiple.max(1);
    let nearest = (exact + multiple as f64 / 2.0) as usize / multiple * multiple;
    let rounded = nearest.max(minimum).max(1);
    if (rounded as f64) < 0.9 * exact { rounded + multiple } else { rounded }
}

impl Width {
    /// The channels at this alpha.
    ///
    /// ```
    /// use mnc::describe::{Rounding, Width};
    /// let (head, rounding) = (Width::Scaled { channels: 1280, minimum: 1280 }, Rounding::Nearest { multiple: 8 });
    /// assert_eq!([0.5, 1.0, 1.4].map(|alpha| head.channels(rounding, alpha)), [1280, 1280, 1792]);
    /// ```
    pub fn channels(self, rounding: Rounding, alpha: f64) -> usize {
        match self {
            Width::Fixed(channels) => channels,
            Width::Scaled { channels, minimum } => rounding.apply(alpha, channels).max(minimum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding() {
        let floor = Rounding::Floor { minimum: 8 };
        let nearest = Rounding::Nearest { multiple: 8 };
        let whole = Rounding::NearestOfWhole { multiple: 8, minimum: 8 };
        for (rule, alpha, channels, expected) in [
            (floor, 1.0, 32, 32),
            (floor, 0.25, 32, 8),
            (floor, 0.1, 32, 8),
            (floor, 0.6, 1024, 614),
            (floor, 1.4, 32, 44),
            (Rounding::Floor { minimum: 1 }, 0.25, 6, 1),
            (nearest, 1.0, 32, 32),
            (nearest, 1.0, 30, 32),
            (nearest, 0.6, 32, 24),
            (nearest, 0.35, 64, 24),
            (nearest, 1.4, 32, 48),
            (nearest, 0.01, 32, 8),
            (Rounding::Nearest { multiple: 32 }, 1.0, 49, 64),
            // 17.6 and, rounded first, 18: 16 is more than 10 % below the second only.
            (nearest, 1.1, 16, 16),
            (whole, 1.1, 16, 24),
            // Halves to even: 12 of 12.5 and 14 of 13.5.
            (Rounding::NearestOfWhole { multiple: 1, minimum: 1 }, 0.5, 25, 12),
            (Rounding::NearestOfWhole { multiple: 1, minimum: 1 }, 0.5, 27, 14),
            (Rounding::NearestOfWhole { multiple: 8, minimum: 12 }, 0.25, 16, 12),
        ] {
            assert_eq!(rule.apply(alpha, channels), expected, "{rule:?} {alpha} {channels}");
        }
    }

    /// The resolution of a text, or the error's.
    fn check(text: &str, expected: &str) {
        let found = match text.parse::<Resolution>() {
            Ok(resolution) => resolution.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn resolutions() {
        check("1", "1x1");
        check("28", "28x28");
        check("1024x32", "1024x32");
        for text in [
            "",
            "x",
            "0",
            "1025",
            "160x",
            "x160",
            "160x160x3",
            "+64",
            "-64",
            "64.0",
            "160 x 160",
            "99999999999999999999",
        ] {
            let expected = "a side such as 160, or HEIGHTxWIDTH such as 192x160, each from 1 to 1024";
            check(text, &format!("resolution: found {text:?}, expected {expected}"));
        }
    }

    #[test]
    fn rho() {
        let input = InputSpec { height: 224, width: 160, channels: 3 };
        let check = |rho: f64, expected: &str| {
            let found = match Resolution::from_rho(input, rho) {
                Ok(resolution) => resolution.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected);
        };
        check(1.0, "224x160");
        check(6.0 / 7.0, "192x137");
        check(0.571, "128x91");
        check(0.1, "22x16");
        check(0.003, "rho: found 0.003, which makes 224x160 into 1x0, expected sides from 1 to 1024");
        check(0.0, "rho: found 0.0, expected a number above 0");
        check(f64::NAN, "rho: found NaN, expected a number above 0");
        check(f64::INFINITY, "rho: found inf, expected a number above 0");
        check(
            1e300,
            &format!(
                "rho: found 1e300, which makes 224x160 into {0}x{0}, expected sides from 1 to 1024",
                usize::MAX
            ),
        );
        let tiny = InputSpec { height: 8, width: 8, channels: 3 };
        assert_eq!(Resolution::from_rho(tiny, 1.0).unwrap().to_string(), "8x8");
    }
}
