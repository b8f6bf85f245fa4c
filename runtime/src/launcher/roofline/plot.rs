//! Logarithmic axes: values -> positions.

use super::{BOTTOM, LEFT, RIGHT, StepProfile, TOP};
use std::fmt;

/// A logarithmic axis: values from `low` to `high` between two positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) start: f64,
    pub(super) end: f64,
}

impl Axis {
    pub(super) fn at(self, value: f64) -> f64 {
        self.start + (value / self.low).ln() / (self.high / self.low).ln() * (self.end - self.start)
    }

    /// Round values on the axis: all with one digit, and whether they deserve a number.
    pub(super) fn ticks(self) -> Vec<(f64, bool)> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let tick = |decade: i32| (1..10).map(move |digit| (f64::from(digit) * 10f64.powi(decade), digit));
        let is_inside = |value: f64| self.low * 0.9999 <= value && value <= self.high * 1.0001;
        let ticks = decades.flat_map(tick).filter(|(value, _)| is_inside(*value));
        ticks.map(|(value, digit)| (value, matches!(digit, 1 | 2 | 5))).collect()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Plot {
    /// As much as the dots need, and the roof with some air.
    pub(super) fn around(dots: &[&StepProfile], peak: f64) -> Plot {
        let least =
            |of: fn(&StepProfile) -> f64| dots.iter().map(|dot| of(dot)).fold(f64::INFINITY, f64::min);
        let most = |of: fn(&StepProfile) -> f64| dots.iter().map(|dot| of(dot)).fold(0.0, f64::max);
        let fastest = most(|dot| dot.gflops).max(peak);
        Plot {
            x: Axis {
                low: least(|dot| dot.flops_per_byte).min(0.5) / 2.0,
                high: most(|dot| dot.flops_per_byte).max(8.0) * 2.0,
                start: LEFT,
                end: RIGHT,
            },
            y: Axis {
                low: (least(|dot| dot.gflops) / 2.0).min(peak / 8.0),
                high: fastest * 1.5,
                start: BOTTOM,
                end: TOP,
            },
        }
    }
}

/// A round number without needless digits: `0.05`, `20`.
pub(super) struct Short(pub(super) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = (-self.0.log10().floor()).max(0.0) as usize;
        write!(f, "{:.decimals$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let short = [0.05, 0.2, 1.0, 20.0, 500.0].map(|value| Short(value).to_string());
        assert_eq!(short, ["0.05", "0.2", "1", "20", "500"]);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis { low: 0.3, high: 6.0, start: 0.0, end: 100.0 };
        let numbers: Vec<f64> = axis.ticks().iter().filter(|tick| tick.1).map(|tick| tick.0).collect();
        assert_eq!(numbers, [0.5, 1.0, 2.0, 5.0]);
        assert_eq!((axis.at(0.3), axis.at(6.0)), (0.0, 100.0));
    }
}
