use super::*;
use crate::code::Builder;
use crate::graph::tensor::f32_bytes;
use crate::target::AARCH64;

/// Runs a kernel of an input of 8 elements and an output of 8, and hands back the output or the violation's text.
fn check(write: impl FnOnce(&mut Builder, Ptr, Ptr), expected: Result<&[f32], &str>) {
    let mut b = Builder::new(&AARCH64);
    let (input, output) = (b.parameter("input", Access::Read), b.parameter("output", Access::Write));
    write(&mut b, input, output);
    let code = b.finish();
    let mut regions = [
        Region::constant("input", Dtype::F32, f32_bytes(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])),
        Region::uninitialised("output", Dtype::F32, 32),
    ];
    let arguments = [0, 1].map(|region| Argument { region, byte: 0 });
    let runner = Runner { number: 1, first_of_step: 1, after: Vec::new() };
    let found = run(&code, &mut regions, &arguments, &runner);
    match expected {
        Ok(values) => {
            found.unwrap();
            let bytes = values.len() * Dtype::F32.bytes();
            assert_eq!(regions[1].read(0, bytes, &runner).unwrap(), f32_bytes(values));
        }
        Err(text) => {
            let found = found.unwrap_err().to_string();
            assert!(found.contains(text), "{found}");
        }
    }
}

#[test]
fn operations() {
    check(
        |b, input, output| {
            let v = b.registers(3);
            b.load(v[0], input.at(1));
            b.splat(v[1], input.at(2));
            b.constant(v[2], 0.5);
            b.fma(v[2], v[0], v[1]);
            b.store(v[2], output.at(0));
            b.fma_lane(v[2], v[1], v[0], 3);
            b.store_part(v[2], output.at(4), 1);
            b.mul_add(v[2], v[1], v[0]);
            b.store_part(v[2], output.at(5), 1);
        },
        Ok(&[2.5, 4.5, 6.5, 8.5, 10.5, 22.0]),
    );
}

#[test]
fn halves() {
    check(
        |b, input, output| {
            let v = b.registers(2);
            b.load_twice(v[0], input.at(3));
            b.load(v[1], input.at(4));
            b.join(v[1], v[1].upper(), v[0].lower());
            b.store(v[0], output.at(0));
            b.store(v[1], output.at(4));
        },
        Ok(&[3.0, 4.0, 3.0, 4.0, 6.0, 7.0, 3.0, 4.0]),
    );
    check(
        |b, input, _| {
            let v = b.register();
            b.load_twice(v, input.at(7));
        },
        Err("8 bytes at byte 28 of input, which has 32"),
    );
}

/// 255 * -128 + 127 * -1, and with 128 * 127 + 255 * 100.
#[test]
fn bytes_are_widened() {
    check(
        |b, _, output| {
            let v = b.registers(4);
            for (word, value, is_signed) in [(v[0], 0xff7f_80ff_u32, false), (v[1], 0x64ff_7f80, true)] {
                b.constant_integer(word, value as i32);
                let odd = if is_signed { v[3] } else { v[2] };
                b.widen_bytes(odd, word, BytesOfLane::Odd, is_signed);
                b.widen_bytes(word, word, BytesOfLane::Even, is_signed);
            }
            let (sum, product) = (b.register(), b.register());
            b.constant_integer(sum, 0);
            b.dot_pairs(sum, v[0], v[1]);
            b.to_float(product, sum);
            b.store(product, output.at(0));
            b.dot_pairs(sum, v[2], v[3]);
            b.to_float(product, sum);
            b.store_part(product, output.at(4), 1);
        },
        Ok(&[-32767.0, -32767.0, -32767.0, -32767.0, 8989.0]),
    );
}

/// Four weights of 32 add up to 128, with one of 33 to more.
#[test]
fn words_fit_together() {
    let sums = |weight: i32, expected: Result<&[f32], &str>| {
        check(
            |b, _, output| {
                let (sum, bytes, weights) = (b.register(), b.registers(2), b.register());
                b.constant_integer(weights, 0x2020_2020 + weight);
                b.store(weights, output.at(0));
                b.constant_integer(sum, 5);
                b.constant_integer(bytes[0], 0x0102_03ff);
                b.constant_integer(bytes[1], 0x0400_00ff);
                let words = [output.at(0), output.at(0)];
                b.dot_words(sum, [bytes[0], bytes[1]], words);
                b.to_float(sum, sum);
                b.store(sum, output.at(0));
                b.store_part(sum, output.at(4), 1);
            },
            expected,
        );
    };
    let sum = 5.0 + 32.0 * (255.0 + 6.0 + 255.0 + 4.0);
    sums(0, Ok(&[sum; 5]));
    sums(1, Err("the pairs of [33, 32, 32, 32] and [33, 32, 32, 32] don't fit together"));
}

#[test]
fn loops_advance_pointers() {
    check(
        |b, input, output| {
            let v = b.register();
            b.repeat(3, |b| {
                b.load_part(v, input.at(0), 2);
                b.store_part(v, output.at(0), 2);
                b.advance(input, 2);
                b.advance(output, 2);
            });
        },
        Ok(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
    );
}

#[test]
fn violations() {
    check(
        |b, input, _| {
            let v = b.register();
            b.load(v, input.at(5));
        },
        Err("16 bytes at byte 20 of input, which has 32"),
    );
    check(
        |b, input, _| {
            let v = b.register();
            b.set_pointer(input, input, -1);
            b.splat(v, input.at(0));
        },
        Err("4 bytes at byte -4 of input"),
    );
    check(
        |b, _, output| {
            let v = b.register();
            b.splat(v, output.at(3));
        },
        Err("element 3 of output is read before it is written"),
    );
    check(
        |b, _, output| {
            let v = b.register();
            b.store(v, output.at(0));
        },
        Err("v0 is read before it is set"),
    );
    check(
        |b, input, _| {
            let v = b.register();
            b.constant(v, 1.0);
            b.store(v, input.at(0));
        },
        Err("input is written through a pointer that may only read"),
    );
}
