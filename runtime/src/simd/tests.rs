//! Every vector type that this processor has, against the definitions lane by lane.

use super::{LANES, Portable, Registers};

const VALUES: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    6.0,
    1e-41,
    -1e-44,
    f32::MAX,
    f32::MIN,
    1.0 + f32::EPSILON,
    0.1,
    -0.3,
    16_777_215.0,
    3.0,
    -0.0,
    0.0,
    f32::NAN,
    2.5e-20,
    7.0,
    -6.0,
    0.5,
];

fn lanes(registers: &impl Registers, src: usize) -> [f32; LANES] {
    let mut lanes = [f32::NAN; 1 + LANES];
    // SAFETY: the array has so many elements.
    unsafe { registers.store(src, lanes.as_mut_ptr(), 1) }
    core::array::from_fn(|lane| lanes[1 + lane])
}

#[track_caller]
fn same(found: [f32; LANES], expected: [f32; LANES]) {
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
            "{found:?}, expected {expected:?}"
        );
    }
}

fn check(r: &mut impl Registers) {
    for first in 0..VALUES.len() - LANES {
        for second in 0..VALUES.len() - LANES {
            let (a, b) = (&VALUES[first..first + LANES], &VALUES[second..second + LANES]);
            // SAFETY: so many elements are there.
            unsafe {
                r.load(3, VALUES.as_ptr(), first);
                r.load(15, b.as_ptr(), 0);
            }
            let expect = |op: fn(f32, f32) -> f32| core::array::from_fn(|lane| op(a[lane], b[lane]));
            r.add(0, 3, 15);
            same(lanes(r, 0), expect(|a, b| a + b));
            r.sub(0, 3, 15);
            same(lanes(r, 0), expect(|a, b| a - b));
            r.mul(0, 3, 15);
            same(lanes(r, 0), expect(|a, b| a * b));
            r.div(0, 3, 15);
            same(lanes(r, 0), expect(|a, b| a / b));
            r.copy(0, 15);
            r.max(0, 3, 0);
            same(lanes(r, 0), expect(|a, b| if a > b { a } else { b }));
            r.copy(0, 15);
            r.min(0, 3, 0);
            same(lanes(r, 0), expect(|a, b| if a < b { a } else { b }));
            r.fma(3, 3, 15);
            same(lanes(r, 3), expect(|a, b| a.mul_add(b, a)));
        }
    }
    let bits: [f32; LANES] = core::array::from_fn(|lane| f32::from_bits(lane as u32 + 120));
    // SAFETY: so many elements are there.
    unsafe {
        r.load(1, bits.as_ptr(), 0);
        r.splat(2, bits.as_ptr(), 7);
    }
    same(lanes(r, 2), [bits[7]; LANES]);
    r.shift_left::<23>(2, 1);
    same(lanes(r, 2), bits.map(|value| f32::from_bits(value.to_bits() << 23)));
    r.constant(1, 1.5);
    same(lanes(r, 1), [1.5; LANES]);

    let (source, mut target) = ([0.0f32, 1.0, 2.0, 3.0], [9.0f32; 5]);
    // SAFETY: three elements are there, and not more are touched; Miri sees to that.
    unsafe {
        r.load_part::<3>(1, source.as_ptr(), 1);
        r.store_part::<3>(1, target.as_mut_ptr(), 1);
    }
    same(lanes(r, 1), [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(target, [9.0, 1.0, 2.0, 3.0, 9.0]);
}

#[test]
fn portable() {
    // SAFETY: it needs no instructions.
    unsafe { Portable::with(check) }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn avx2() {
    if super::Avx2::is_available() {
        // SAFETY: just asked.
        unsafe { super::Avx2::with(check) }
    }
}

#[cfg(target_arch = "aarch64")]
#[test]
fn neon() {
    // SAFETY: it is part of the baseline.
    unsafe { super::Neon::with(check) }
}
