//! Axes: values -> positions, and the round values that deserve a line.

use std::fmt;

/// How values become positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// In proportion to the value.
    Linear,
    /// In proportion to its logarithm.
    Log,
}

/// Values from `low` to `high` between two positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// How.
    pub scale: Scale,
    /// The value at `start`; above zero on a logarithmic axis.
    pub low: f64,
    /// The value at `end`.
    pub high: f64,
    /// The position of `low`.
    pub start: f64,
    /// The position of `high`.
    pub end: f64,
}

/// A round value on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// The value.
    pub value: f64,
    /// Whether it deserves a number beside its line.
    pub has_number: bool,
}

impl Axis {
    /// The position of a value.
    ///
    /// ```
    /// use mnc_runtime::chart::{Axis, Scale};
    /// let axis = Axis { scale: Scale::Log, low: 1.0, high: 100.0, start: 0.0, end: 200.0 };
    /// assert_eq!(axis.at(10.0), 100.0);
    /// ```
    pub fn at(self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.start + share * (self.end - self.start)
    }

    /// Round values on the axis. On a logarithmic one all with one digit, of which those that begin with 1, 2 and 5 have a
    /// number; on a linear one four to ten in even steps, all with a number.
    pub fn ticks(self) -> Vec<Tick> {
        let slack = 1e-4 * (self.high - self.low);
        let is_inside = |value: f64| match self.scale {
            Scale::Linear => self.low - slack <= value && value <= self.high + slack,
            Scale::Log => self.low * 0.9999 <= value && value <= self.high * 1.0001,
        };
        let ticks: Vec<Tick> = match self.scale {
            Scale::Linear => {
                let step = round_step((self.high - self.low) / 4.0);
                let steps = (self.low / step).floor() as i64..=(self.high / step).ceil() as i64;
                steps.map(|idx| Tick { value: idx as f64 * step, has_number: true }).collect()
            }
            Scale::Log => {
                let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
                let tick = |decade: i32, digit: i32| Tick {
                    value: f64::from(digit) * 10f64.powi(decade),
                    has_number: matches!(digit, 1 | 2 | 5),
                };
                decades.flat_map(|decade| (1..10).map(move |digit| tick(decade, digit))).collect()
            }
        };
        ticks.into_iter().filter(|tick| is_inside(tick.value)).collect()
    }
}

/// The largest of 1, 2, 5, 10, ... that isn't above `most`.
fn round_step(most: f64) -> f64 {
    let decade = 10f64.powf(most.log10().floor());
    let digit = [5.0, 2.0, 1.0].into_iter().find(|digit| digit * decade <= most * 1.0001);
    digit.unwrap_or(1.0) * decade
}

/// A round number without needless digits: `0.05`, `20`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Short(pub f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = if self.0 == 0.0 { 0 } else { (-self.0.abs().log10().floor()).max(0.0) as usize };
        write!(f, "{:.decimals$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let short = [0.0, 0.05, 0.2, 1.0, 20.0, 500.0].map(|value| Short(value).to_string());
        assert_eq!(short, ["0", "0.05", "0.2", "1", "20", "500"]);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let check = |scale, low, high, expected: &[f64]| {
            let axis = Axis { scale, low, high, start: 0.0, end: 100.0 };
            let numbers: Vec<f64> =
                axis.ticks().iter().filter(|tick| tick.has_number).map(|tick| tick.value).collect();
            assert_eq!(numbers, expected, "{low} to {high}");
            assert_eq!((axis.at(low), axis.at(high)), (0.0, 100.0));
        };
        check(Scale::Log, 0.3, 6.0, &[0.5, 1.0, 2.0, 5.0]);
        check(Scale::Linear, 48.0, 72.0, &[50.0, 55.0, 60.0, 65.0, 70.0]);
        check(Scale::Linear, 0.0, 1000.0, &[0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
    }
}
