//! What an activation makes of a number: its operations, each rounded once.
//!
//! They are part of the [reference](crate::reference), which says what the corners do, and here so that passes may ask too.

use super::layer::Activation;

/// The activation of one element. NaN passes, and so does -0 but for the sigmoids.
pub fn activate(x: f32, activation: Activation) -> f32 {
    match activation {
        Activation::None => x,
        Activation::Relu => at_least(0.0, x),
        Activation::Relu6 => at_most(6.0, at_least(0.0, x)),
        Activation::LeakyRelu { slope } => at_least(x * slope.get(), x),
        Activation::HardSigmoid => hard_sigmoid(x),
        Activation::HardSwish => x * hard_sigmoid(x),
        Activation::Sigmoid => sigmoid(x),
        Activation::Swish => x * sigmoid(x),
    }
}

/// max(bound, x), where x is the answer when either is NaN or both are zero.
fn at_least(bound: f32, x: f32) -> f32 {
    if bound > x { bound } else { x }
}

/// min(bound, x), alike.
fn at_most(bound: f32, x: f32) -> f32 {
    if bound < x { bound } else { x }
}

/// x / 6 + 1 / 2, between 0 and 1: exactly 0 up to -3 and exactly 1 from 3 on, although 1/6 is no f32.
fn hard_sigmoid(x: f32) -> f32 {
    at_most(1.0, at_least(0.0, x.mul_add(SIXTH, 0.5)))
}

/// What a hard sigmoid multiplies with.
pub const SIXTH: f32 = 1.0 / 6.0;

/// 1 / (1 + exp(-x)); from -[`exp_constants::HIGHEST`] downwards it is constant, 1.6e-38.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(at_most(exp_constants::HIGHEST, 0.0 - x)))
}

/// The constants of [`exp`], shared with the kernel that computes it.
pub mod exp_constants {
    /// Below this the result is 0 to the last bit that matters: 2^-126 is the smallest normal f32.
    pub const LOWEST: f32 = -87.0;
    /// Above this 2^n is too large for an f32: whoever may have such an x keeps it below.
    pub const HIGHEST: f32 = 87.0;
    /// log2(e)
    pub const LOG2_E: f32 = std::f32::consts::LOG2_E;
    /// 1.5 * 2^23 + 127: adding it leaves the rounded integer plus the exponent bias in the low bits.
    pub const MAGIC: f32 = 12_583_039.0;
    /// ln(2), high part: the first 10 bits, so that products with small integers are exact.
    pub const LN2_HIGH: f32 = 355.0 / 512.0;
    /// ln(2) - [`LN2_HIGH`].
    pub const LN2_LOW: f32 = -2.121_944_4e-4;
    /// exp(r) on |r| <= ln(2)/2 as a Taylor-like polynomial (Cephes' `expf`), highest power first, above 1 + r.
    pub const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
}

/// exp(x) for x up to [`exp_constants::HIGHEST`], the one stated polynomial: x is clamped from below, split into n ln(2) + r, the
/// polynomial of r is scaled by 2^n. Within 2 ulp of the true value.
pub fn exp(x: f32) -> f32 {
    use exp_constants::{LN2_HIGH, LN2_LOW, LOG2_E, LOWEST, MAGIC, POLYNOMIAL};
    // The comparison's order lets a NaN pass.
    let x = if LOWEST > x { LOWEST } else { x };
    let shifted = x.mul_add(LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let mut p = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        p = p.mul_add(r, *coefficient);
    }
    let p = (r * r).mul_add(p, r) + 1.0;
    let power = f32::from_bits(shifted.to_bits() << 23);
    p * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_at_their_corners() {
        let cases = [
            (-1.0, 0.0, 0.0),
            (3.0, 3.0, 3.0),
            (7.0, 7.0, 6.0),
            (-0.0, -0.0, -0.0),
            (f32::INFINITY, f32::INFINITY, 6.0),
            (f32::NEG_INFINITY, 0.0, 0.0),
        ];
        for (x, relu, relu6) in cases {
            assert_eq!(activate(x, Activation::None).to_bits(), x.to_bits());
            assert_eq!(activate(x, Activation::Relu).to_bits(), f32::to_bits(relu), "relu({x})");
            assert_eq!(activate(x, Activation::Relu6).to_bits(), f32::to_bits(relu6), "relu6({x})");
        }
        for activation in Activation::ALL {
            assert!(activate(f32::NAN, activation).is_nan(), "{activation:?}");
        }
        for (x, hard_sigmoid) in [(-3.0, 0.0), (-7.0, 0.0), (3.0, 1.0), (f32::INFINITY, 1.0), (0.0, 0.5)] {
            assert_eq!(activate(x, Activation::HardSigmoid), hard_sigmoid, "hard_sigmoid({x})");
            assert_eq!(activate(x, Activation::HardSwish), x * hard_sigmoid, "hard_swish({x})");
        }
        assert_eq!(activate(-0.0, Activation::HardSwish).to_bits(), f32::to_bits(-0.0));
        assert_eq!(activate(f32::INFINITY, Activation::Sigmoid), 1.0);
        assert!((0.0..2e-38).contains(&activate(f32::NEG_INFINITY, Activation::Sigmoid)));
        let leaky = Activation::leaky_relu(0.1).unwrap();
        assert_eq!([-2.0, -0.0, 2.0].map(|x| activate(x, leaky)), [-0.2, -0.0, 2.0]);
        assert_eq!(activate(f32::NEG_INFINITY, leaky), f32::NEG_INFINITY);
    }

    /// Against the formulas in f64: sigmoid and swish to 4 ulp, the hard ones to one rounding of what they add up.
    #[test]
    fn smooth_activations_are_close() {
        let ulps = |found: f32, exact: f64| {
            (f64::from(found) - exact).abs() / (exact.abs() * f64::from(f32::EPSILON))
        };
        for step in -80_000..=80_000 {
            let x = step as f32 / 1_000.0;
            let wide = f64::from(x);
            let sigmoid = 1.0 / (1.0 + (-wide).exp());
            assert!(ulps(activate(x, Activation::Sigmoid), sigmoid) <= 4.0, "sigmoid({x})");
            if x != 0.0 {
                assert!(ulps(activate(x, Activation::Swish), wide * sigmoid) <= 4.0, "swish({x})");
            }
            let hard = (wide / 6.0 + 0.5).clamp(0.0, 1.0);
            let error = (f64::from(activate(x, Activation::HardSigmoid)) - hard).abs();
            assert!(error <= 1e-7, "hard_sigmoid({x}) is off by {error}");
            let error = (f64::from(activate(x, Activation::HardSwish)) - wide * hard).abs();
            assert!(error <= 4e-7, "hard_swish({x}) is off by {error}");
        }
    }

    #[test]
    fn exp_is_within_two_ulp() {
        for step in 0..=870_000 {
            let x = -(step as f32) / 10_000.0;
            let exact = f64::from(x).exp();
            // An ulp is between half of epsilon and epsilon of the value.
            let bound = exact * f64::from(f32::EPSILON);
            assert!((f64::from(exp(x)) - exact).abs() <= bound, "exp({x}) = {}, exactly {exact}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
    }
}
