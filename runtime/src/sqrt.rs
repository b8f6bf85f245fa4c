//! The square root of an f64, rounded once, where `core` has none.

/// The root, for batch norms. `std` has an instruction for it, or the C library's, which IEEE 754 binds to the same bits.
#[inline]
pub(crate) fn sqrt(x: f64) -> f64 {
    #[cfg(feature = "std")]
    {
        x.sqrt()
    }
    #[cfg(not(feature = "std"))]
    {
        exact(x)
    }
}

/// The root of the 53 bits as an integer of 55, whose last bit is set where the root goes on: the conversion to f64 then
/// rounds as if it saw all of it.
#[cfg(any(test, not(feature = "std")))]
fn exact(x: f64) -> f64 {
    const SCALE: i32 = 54;
    if !(0.0 < x && x < f64::INFINITY) {
        // Zeros are their own roots, and so is infinity; below there is none.
        return if x < 0.0 { f64::NAN } else { x };
    }
    // Powers of four come out of a root as powers of two. The first makes normal numbers of the denormals.
    let (x, scaled) = if x < f64::MIN_POSITIVE { (x * power_of_2(SCALE), SCALE) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32 - 1075 - scaled;
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let is_odd = exponent & 1;
    let wide = u128::from(mantissa << is_odd) << 56;
    let root = wide.isqrt();
    let goes_on = u64::from(root * root != wide);
    (root as u64 | goes_on) as f64 * power_of_2((exponent - is_odd - 56) / 2)
}

/// 2^n for the exponents of normal numbers.
#[cfg(any(test, not(feature = "std")))]
fn power_of_2(n: i32) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::exact;

    /// The definition is the standard library's, on the machine that tests.
    #[test]
    fn as_the_standard_library() {
        let check = |x: f64| {
            let (found, expected) = (exact(x), x.sqrt());
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "root of {x:e}: {found:e}, expected {expected:e}");
        };
        for x in [0.0, 1.0, 2.0, 4.0, 0.001, 1.001, f64::MIN_POSITIVE, 5e-324, 1e-310, f64::MAX, f64::NAN] {
            check(x);
            check(-x);
            check(1.0 / x);
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let n = if cfg!(miri) { 2_000 } else { 500_000 };
        for _ in 0..n {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            check(f64::from_bits(state));
            // Squares of few bits and their neighbours: exact roots, and roots near a tie.
            let root = f64::from_bits(0x3ff0_0000_0000_0000 | (state >> 12) & !0x3ff_ffff);
            let square = root * root;
            [square, square.next_up(), square.next_down(), square * 2.0].into_iter().for_each(check);
        }
    }
}
