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
    check_integers(r);
    check_bytes(r);
    check_dot(r);
}

fn integers(r: &impl Registers, src: usize) -> [i32; LANES] {
    lanes(r, src).map(|lane| lane.to_bits().cast_signed())
}

/// Sets a register to integers, whichever floats these are.
fn set(r: &mut impl Registers, dst: usize, values: [i32; LANES]) {
    let values = values.map(|value| f32::from_bits(value.cast_unsigned()));
    // SAFETY: so many elements are there.
    unsafe { r.load(dst, values.as_ptr(), 0) }
}

const INTEGERS: [i32; LANES] = [0, -1, 1, 255, 256, i32::MAX, i32::MIN, 0x7fc0_1234];

fn check_integers(r: &mut impl Registers) {
    let others = [3, -7, 32_768, -32_769, 1 << 24, (1 << 24) + 1, -(1 << 30) - 33, 65_535];
    set(r, 3, INTEGERS);
    set(r, 15, others);
    assert_eq!(integers(r, 3), INTEGERS);
    let both = |op: fn(i32, i32) -> i32| core::array::from_fn(|lane| op(INTEGERS[lane], others[lane]));
    r.add_integers(0, 3, 15);
    assert_eq!(integers(r, 0), both(i32::wrapping_add));
    r.mul_integers(0, 3, 15);
    assert_eq!(integers(r, 0), both(i32::wrapping_mul));
    r.shift_right::<1>(0, 3);
    assert_eq!(integers(r, 0), INTEGERS.map(|value| value >> 1));
    r.shift_right::<30>(0, 15);
    assert_eq!(integers(r, 0), others.map(|value| value >> 30));
    r.constant_integer(0, -123_456);
    assert_eq!(integers(r, 0), [-123_456; LANES]);
    for values in [INTEGERS, others] {
        set(r, 1, values);
        r.to_float(0, 1);
        same(lanes(r, 0), values.map(|value| value as f32));
    }
    let numbers = [
        [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.499_999_97, -0.499_999_97],
        [4_194_304.5, 4_194_305.5, -4_194_303.5, 8_388_607.5, -8_388_607.5, 8_388_609.0, -0.0, 1e-41],
        [2_147_483_520.0, -2_147_483_648.0, 16_777_218.0, -255.5, 254.5, 255.5, 1e9, -1e9],
    ];
    for values in numbers {
        // SAFETY: so many elements are there.
        unsafe { r.load(1, values.as_ptr(), 0) }
        r.to_integer(0, 1);
        assert_eq!(integers(r, 0), values.map(|value: f32| value.round_ties_even() as i32));
    }
}

/// Bytes beside which others stay, and no byte read that isn't there, which Miri sees to.
fn check_bytes(r: &mut impl Registers) {
    let source = [1u8, 2, 128, 255, 0, 9, 127, 200, 77];
    let mut target = [9u8; 12];
    let values = [-1, 0, 1, 255, 256, i32::MIN, i32::MAX, 70_000];
    set(r, 2, values);
    // SAFETY: so many bytes are there, behind the first.
    unsafe {
        r.load_bytes::<8>(0, source.as_ptr().cast(), 1);
        r.load_bytes::<3>(1, source.as_ptr().cast(), 6);
        r.store_bytes::<8>(2, target.as_mut_ptr().cast(), 1);
    }
    assert_eq!(integers(r, 0), [2, 128, 255, 0, 9, 127, 200, 77]);
    assert_eq!(integers(r, 1), [127, 200, 77, 0, 0, 0, 0, 0]);
    assert_eq!(target, [9, 0, 0, 1, 255, 255, 0, 255, 255, 9, 9, 9]);
    set(r, 2, [7; LANES]);
    // SAFETY: three bytes are there, and not more are touched.
    unsafe { r.store_bytes::<3>(2, target.as_mut_ptr().cast(), 9) }
    assert_eq!(target, [9, 0, 0, 1, 255, 255, 0, 255, 255, 7, 7, 7]);
}

fn check_dot(r: &mut impl Registers) {
    let expected = |acc: [i32; LANES], a: [i32; LANES], b: [i32; LANES]| -> [i32; LANES] {
        core::array::from_fn(|lane| {
            let pairs = a[lane].to_le_bytes().into_iter().zip(b[lane].to_le_bytes());
            pairs.fold(acc[lane], |sum, (a, b)| sum.wrapping_add(i32::from(a) * i32::from(b.cast_signed())))
        })
    };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    // The bytes that no sum of 16 bits has room for, and any.
    let mut word = |extremes: [u8; 2]| match random() % 3 {
        0 => random().cast_signed(),
        choice => {
            let bits = random();
            let byte = |idx: usize| extremes[(bits as usize >> idx) % 2 * (choice as usize - 1)];
            i32::from_le_bytes(core::array::from_fn(byte))
        }
    };
    for round in 0..if cfg!(miri) { 20 } else { 2000 } {
        let mut some = |extremes| -> [i32; LANES] { core::array::from_fn(|_| word(extremes)) };
        let (acc, a, b) = (some([0, 255]), some([255, 0]), some([127, 128]));
        // Two products of a byte with weights of up to 64 have room in an i16.
        let small = b.map(|word| {
            i32::from_le_bytes(word.to_le_bytes().map(|byte| (byte.cast_signed() / 2).cast_unsigned()))
        });
        // Sums just below the largest integer, and just above the smallest: theirs wrap.
        let near = |acc: i32| if acc < 0 { i32::MIN + acc.rem_euclid(999) } else { i32::MAX - acc % 999 };
        let acc = if round % 2 == 0 { acc } else { acc.map(near) };
        let both = [(b, false), (small, true)];
        for (b, pairs_fit) in both {
            [(0, acc), (1, a), (2, b)].into_iter().for_each(|(dst, values)| set(r, dst, values));
            if pairs_fit {
                r.dot::<true>(0, 1, 2);
            } else {
                r.dot::<false>(0, 1, 2);
            }
            assert_eq!(integers(r, 0), expected(acc, a, b), "{a:x?} {b:x?}");
        }
    }
}

#[test]
fn portable() {
    // SAFETY: it needs no instructions.
    unsafe { Portable::with(check) }
}

/// Where the processor lacks the instructions, the list of what was skipped says so.
#[cfg(target_arch = "x86_64")]
fn check_where<R: Registers>(is_available: bool, cpu: &str) {
    if is_available {
        // SAFETY: the caller has asked.
        unsafe { R::with(check) }
    } else if !cfg!(miri) {
        mnc_need::skip_optional(cpu);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn avx2() {
    check_where::<super::Avx2>(super::Avx2::is_available(), "a CPU with AVX2");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn avx_vnni() {
    check_where::<super::AvxVnni>(super::AvxVnni::is_available(), "a CPU with AVX-VNNI");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn avx512_vnni() {
    check_where::<super::Avx512Vnni>(super::Avx512Vnni::is_available(), "a CPU with AVX512-VNNI");
}

#[cfg(target_arch = "aarch64")]
#[test]
fn neon() {
    // SAFETY: it is part of the baseline.
    unsafe { super::Neon::with(check) }
}
