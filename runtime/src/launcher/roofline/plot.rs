//! The axes of a roofline, both logarithmic.

use super::{BOTTOM, LEFT, RIGHT, StepProfile, TOP};
use crate::chart::{Axis, Scale};

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
                scale: Scale::Log,
                low: least(|dot| dot.flops_per_byte).min(0.5) / 2.0,
                high: most(|dot| dot.flops_per_byte).max(8.0) * 2.0,
                start: LEFT,
                end: RIGHT,
            },
            y: Axis {
                scale: Scale::Log,
                low: (least(|dot| dot.gflops) / 2.0).min(peak / 8.0),
                high: fastest * 1.5,
                start: BOTTOM,
                end: TOP,
            },
        }
    }
}
