//! e to the power of x in f64, by the same operations on every machine and in every language that decodes boxes.
//!
//! The algorithm is FreeBSD's, as in the crate `libm`. Each operation is rounded once: no fused multiply-add. What isn't a normal
//! number is 0.

/// Above this, the result is infinite; below its opposite less one, 0.
const HIGHEST: f64 = 709.0;
const LOWEST: f64 = -708.0;
/// ln 2 in two parts, of which the first has 32 bits, so that its products with an exponent are exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
const ONE_BY_LN_2: f64 = core::f64::consts::LOG2_E;
/// About ln 2 / 2: up to here, the series holds as it is.
const HALF_LN_2: f64 = f64::from_bits(0x3fd6_2e43_0000_0000);
/// About 1.5 ln 2: up to here, one power of 2 is taken out.
const MORE_LN_2: f64 = f64::from_bits(0x3ff0_a2b2_0000_0000);
/// 2^-28: up to here, the sum with 1 is right.
const TINY: f64 = f64::from_bits(0x3e30_0000_0000_0000);
/// The series' coefficients, of the second power, the fourth, and so on.
const SERIES: [f64; 5] = [
    1.666_666_666_666_660_2e-1,
    -2.777_777_777_701_559_3e-3,
    6.613_756_321_437_934e-5,
    -1.653_390_220_546_525_2e-6,
    4.138_136_797_057_238_5e-8,
];

/// e to the power of x.
pub(crate) fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if HIGHEST < x {
        return f64::INFINITY;
    }
    if x < LOWEST {
        return 0.0;
    }
    let size = if x < 0.0 { -x } else { x };
    if size < TINY {
        return 1.0 + x;
    }
    let (mut power, mut high, mut low) = (0, x, 0.0);
    if HALF_LN_2 <= size {
        let sign = if x < 0.0 { -1.0 } else { 1.0 };
        // The cast cuts off towards 0.
        power = if MORE_LN_2 <= size { (ONE_BY_LN_2 * x + 0.5 * sign) as i32 } else { sign as i32 };
        high = x - f64::from(power) * LN_2_HIGH;
        low = f64::from(power) * LN_2_LOW;
    }
    let x = high - low;
    let square = x * x;
    let series = SERIES.iter().rev().fold(0.0, |sum, coefficient| coefficient + square * sum);
    let rest = x - square * series;
    let y = 1.0 + (x * rest / (2.0 - rest) - low + high);
    y * f64::from_bits(((1023 + power) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn the_rim_and_what_is_no_number() {
        let check = |x: f64, expected: f64| assert_eq!(exp(x).to_bits(), expected.to_bits(), "{x}");
        check(0.0, 1.0);
        check(-0.0, 1.0);
        // One place above the nearest.
        check(1.0, core::f64::consts::E.next_up());
        check(f64::INFINITY, f64::INFINITY);
        check(709.1, f64::INFINITY);
        check(f64::NEG_INFINITY, 0.0);
        check(-708.1, 0.0);
        check(1e-300, 1.0);
        assert!(exp(f64::NAN).is_nan());
        assert!((exp(709.0) / 8.218_407_461_554_972e307 - 1.0).abs() < 1e-15);
        assert!((exp(-708.0) / 3.307_553_003_638_408e-308 - 1.0).abs() < 1e-15);
    }

    /// The bits of the crate libm, from end to end and around the places where the algorithm branches.
    #[cfg(feature = "launcher")]
    #[test]
    fn as_libm() {
        let check = |x: f64| assert_eq!(exp(x).to_bits(), libm::exp(x).to_bits(), "{x:e}");
        for x in [super::HALF_LN_2, super::MORE_LN_2, super::TINY, super::HIGHEST, -super::LOWEST] {
            for x in [x, -x, x.next_down(), -x.next_down()] {
                if (super::LOWEST..=super::HIGHEST).contains(&x) {
                    check(x);
                }
            }
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..if cfg!(miri) { 2_000 } else { 500_000 } {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
            check(super::LOWEST + unit * (super::HIGHEST - super::LOWEST));
            check(unit * 4.0 - 2.0);
            check((unit - 0.5) * 1e-7);
        }
    }
}
