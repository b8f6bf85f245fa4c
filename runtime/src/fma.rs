//! One fused multiply-add, rounded once, on every target that has IEEE 754 doubles.
//!
//! `f32::mul_add` needs `std`, and some systems' `fmaf` rounds twice. Where the target has an instruction for it that is
//! what `std` compiles to; everywhere else this is arithmetic on f64 with the same bits.

/// a * b + c, rounded once.
///
/// ```
/// let (a, b, c) = (1.0 + f32::EPSILON, 1.0 - f32::EPSILON, -1.0);
/// assert_eq!(mnc_runtime::fma(a, b, c), -f32::EPSILON * f32::EPSILON);
/// assert_eq!(a * b + c, 0.0);
/// ```
#[inline]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(feature = "std")]
    if cfg!(any(target_feature = "fma", target_arch = "aarch64", target_arch = "s390x")) {
        return a.mul_add(b, c);
    }
    exact(a, b, c)
}

/// The product of two f32 is exact in f64. Its sum with `c` is rounded to odd: truncated, the last bit set if anything was
/// cut off. An odd last bit keeps the second rounding, to f32, from seeing a tie or an exact value that isn't one; f64 has
/// more than the two bits beyond f32 that this takes.
#[inline]
fn exact(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // What the rounding of the sum cut off, exactly (Knuth's TwoSum). NaN when the sum is none or infinite.
    let of_c = sum - product;
    let error = (product - (sum - of_c)) + (c - of_c);
    let bits = sum.to_bits();
    let is_even = bits & 1 == 0;
    let odd = if is_even && 0.0 < error.abs() {
        if (error < 0.0) == (sum < 0.0) { bits + 1 } else { bits - 1 }
    } else {
        bits
    };
    f64::from_bits(odd) as f32
}

#[cfg(test)]
mod tests {
    use super::exact;

    /// The definition is the standard library's, on the machine that tests.
    #[test]
    fn as_the_standard_library() {
        let special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            1e-45,
            -1e-45,
            1.0 + f32::EPSILON,
            16_777_215.0,
        ];
        let check = |a: f32, b: f32, c: f32| {
            let (found, expected) = (exact(a, b, c), a.mul_add(b, c));
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{a:e} * {b:e} + {c:e}: {found:e}, expected {expected:e}");
        };
        for a in special {
            for b in special {
                special.iter().for_each(|c| check(a, b, *c));
            }
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let n = if cfg!(miri) { 2_000 } else { 2_000_000 };
        for _ in 0..n {
            let [a, b] = [random(), random()].map(|bits| f32::from_bits((bits >> 32) as u32));
            check(a, b, f32::from_bits(random() as u32));
            // Sums near a tie: c within a few powers of two of the product, few bits set.
            let [a, b, c] = [random(), random(), random()].map(|bits| {
                let mantissa = (bits as u32) & (bits >> 13) as u32 & 0x007f_ffff;
                f32::from_bits(
                    ((bits >> 63) as u32 * 0x8000_0000) | ((110 + (bits >> 40) as u32 % 34) << 23) | mantissa,
                )
            });
            check(a, b, c);
            // Results among the denormals.
            check(a * 1e-20, b * 1e-20, c * 1e-42);
        }
    }
}
