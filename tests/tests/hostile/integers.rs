//! Hostile code over bytes and integers: each form touches exactly the bytes that it says, masked ones those that the mask lets through.

use iced_x86::code_asm::*;

use super::forge::{Written, run};
use super::{broken, check};

/// Of the input and of the output, which have 16 pixels of 8 channels.
const BYTES: i32 = 16 * 8 * 4;

/// An instruction whose memory operand lies so many bytes from a buffer's start, the input's or the output's.
type Access = fn(&mut CodeAssembler, i32) -> Written;

/// How many bytes each touches.
const ACCESSES: [(&str, i32, &str, Access); 17] = [
    ("vpmovzxbd, 8 lanes", 8, "the input", |a, at| a.vpmovzxbd(ymm0, qword_ptr(rdi + at))),
    ("vpmovzxbd, 16 lanes", 16, "the input", |a, at| a.vpmovzxbd(zmm0, xmmword_ptr(rdi + at))),
    ("vpinsrb", 1, "the input", |a, at| a.vpinsrb(xmm0, xmm0, byte_ptr(rdi + at), 3)),
    ("vpinsrd", 4, "the input", |a, at| a.vpinsrd(xmm0, xmm0, dword_ptr(rdi + at), 3)),
    ("vpaddd, 8 lanes", 32, "the input", |a, at| a.vpaddd(ymm0, ymm0, ymmword_ptr(rdi + at))),
    ("vpmulld, 16 lanes", 64, "the input", |a, at| a.vpmulld(zmm0, zmm0, zmmword_ptr(rdi + at))),
    ("vpdpbusd, 16 lanes", 64, "the input", |a, at| a.vpdpbusd(zmm0, zmm1, zmmword_ptr(rdi + at))),
    ("vpmaddubsw, 8 lanes", 32, "the input", |a, at| a.vpmaddubsw(ymm0, ymm1, ymmword_ptr(rdi + at))),
    ("vpmaddwd, 16 lanes", 64, "the input", |a, at| a.vpmaddwd(zmm0, zmm1, zmmword_ptr(rdi + at))),
    ("vpackuswb", 16, "the input", |a, at| a.vpackuswb(xmm0, xmm0, xmmword_ptr(rdi + at))),
    ("vcvtps2dq, 8 lanes", 32, "the input", |a, at| a.vcvtps2dq(ymm0, ymmword_ptr(rdi + at))),
    ("vpmaxsd of a vector", 64, "the input", |a, at| a.vpmaxsd(zmm0, zmm0, zmmword_ptr(rdi + at))),
    ("vpmaxsd of one element", 4, "the input", |a, at| a.vpmaxsd(zmm0, zmm0, dword_bcst(rdi + at))),
    ("vpmovusdb", 16, "the output", |a, at| a.vpmovusdb(xmmword_ptr(rsi + at), zmm0)),
    ("vpextrb", 1, "the output", |a, at| a.vpextrb(byte_ptr(rsi + at), xmm0, 3)),
    ("vpextrd", 4, "the output", |a, at| a.vpextrd(dword_ptr(rsi + at), xmm0, 3)),
    ("vmovq", 8, "the output", |a, at| a.vmovq(qword_ptr(rsi + at), xmm0)),
];

/// Up to the last byte of a buffer, and no farther; its first, and not the one before.
#[test]
fn each_form_touches_so_many_bytes() {
    for (what, bytes, buffer, access) in ACCESSES {
        let at = |at: i32| run(move |a, _| access(a, at));
        assert_eq!(broken(&at(BYTES - bytes)), "", "{what}: its last bytes");
        assert_eq!(broken(&at(0)), "", "{what}: its first bytes");
        for outside in [BYTES - bytes + 1, BYTES, -1, -bytes] {
            check(what, &at(outside), &format!("{bytes} bytes at byte {outside} of {buffer}"));
        }
    }
}

/// What is written must be a buffer that may be written.
#[test]
fn bytes_are_written_to_outputs_alone() {
    let writes: [(&str, Access); 4] = [
        ("vpmovusdb", |a, at| a.vpmovusdb(xmmword_ptr(rdi + at), zmm0)),
        ("vpextrb", |a, at| a.vpextrb(byte_ptr(rdi + at), xmm0, 0)),
        ("vpextrd", |a, at| a.vpextrd(dword_ptr(rdi + at), xmm0, 0)),
        ("vmovq", |a, at| a.vmovq(qword_ptr(rdi + at), xmm0)),
    ];
    for (what, access) in writes {
        check(what, &run(|a, _| access(a, 0)), "the input is written");
    }
}

/// A mask has a bit for each byte of these: not for four.
#[test]
fn masks_of_bytes() {
    let masked = |mask: u32, access: Access, at: i32| {
        run(move |a, _| {
            a.mov(eax, mask)?;
            a.kmovw(k1, eax)?;
            access(a, at)
        })
    };
    let load: Access = |a, at| a.vpmovzxbd(zmm0.k1().z(), xmmword_ptr(rdi + at));
    let store: Access = |a, at| a.vpmovusdb(xmmword_ptr(rsi + at).k1(), zmm0);
    for (what, buffer, access) in [("a load", "the input", load), ("a store", "the output", store)] {
        for lanes in 1..=16 {
            let mask = (1 << lanes) - 1;
            assert_eq!(broken(&masked(mask, access, BYTES - lanes)), "", "{what} of {lanes}");
            // One lane more, one byte farther, another place.
            let words = format!("of {buffer}, which has");
            if lanes < 16 {
                check(what, &masked(mask << 1 | 1, access, BYTES - lanes), &words);
                check(what, &masked(mask << 1, access, BYTES - lanes), &words);
            }
            check(what, &masked(mask, access, BYTES - lanes + 1), &words);
            check(what, &masked(mask, access, -1), &words);
        }
        // No lane touches nothing; of the upper bits none is a mask's.
        assert_eq!(broken(&masked(0, access, BYTES)), "", "{what} of nothing");
        assert_eq!(broken(&masked(0xffff_0001, access, BYTES - 1)), "", "{what} of one lane");
        let unknown = run(|a, _| {
            a.kmovw(k1, ecx)?;
            access(a, 0)
        });
        check(what, &unknown, "mask isn't known");
    }
}

/// A number of a vector is none that is known: nor is an address, a jump or a mask that is made of it.
#[test]
fn numbers_of_vectors_are_not_known() {
    type Taken = fn(&mut CodeAssembler) -> Written;
    let taken: [(&str, Taken); 4] = [
        ("vpextrb", |a| a.vpextrb(eax, xmm0, 0)),
        ("vpextrd", |a| a.vpextrd(eax, xmm0, 0)),
        ("vmovd", |a| a.vmovd(eax, xmm0)),
        ("vmovq", |a| a.vmovq(rax, xmm0)),
    ];
    for (what, take) in taken {
        let index = run(|a, _| {
            a.xor(eax, eax)?;
            take(a)?;
            a.mov(ecx, dword_ptr(rdi + rax))
        });
        check(what, &index, "isn't known");
        let mask = run(|a, _| {
            a.mov(eax, 1)?;
            take(a)?;
            a.kmovw(k1, eax)?;
            a.vpmovusdb(xmmword_ptr(rsi).k1(), zmm0)
        });
        check(what, &mask, "mask isn't known");
    }
    // The stack forgets what a store of bytes covers.
    let stores: [(&str, Taken); 3] = [
        ("vpextrb", |a| a.vpextrb(byte_ptr(rsp - 5), xmm0, 0)),
        ("vmovq", |a| a.vmovq(qword_ptr(rsp - 8), xmm0)),
        ("vpmovusdb", |a| a.vpmovusdb(xmmword_ptr(rsp - 16), zmm0)),
    ];
    for (what, store) in stores {
        let index = run(|a, _| {
            a.mov(qword_ptr(rsp - 8), 4)?;
            store(a)?;
            a.mov(rax, qword_ptr(rsp - 8))?;
            a.mov(ecx, dword_ptr(rdi + rax))
        });
        check(what, &index, "isn't known");
    }
}

/// Relatives that nobody needs: masks, roundings and broadcasts of what has none in our code, words and saturating stores of other
/// widths.
#[test]
fn relatives_that_a_network_has_no_use_for() {
    type Relative = fn(&mut CodeAssembler) -> Written;
    let relatives: [(&str, Relative, &str); 10] = [
        ("a masked dot product", |a| a.vpdpbusd(zmm0.k1(), zmm1, zmmword_ptr(rdi)), "a mask"),
        ("a broadcast dot product", |a| a.vpdpbusd(zmm0, zmm1, dword_bcst(rdi)), "a broadcast"),
        ("a broadcast sum", |a| a.vpaddd(zmm0, zmm1, dword_bcst(rdi)), "a broadcast"),
        ("a masked maximum", |a| a.vpmaxsd(zmm0.k1(), zmm1, dword_bcst(rdi)), "a mask"),
        ("a rounding of its own", |a| a.vcvtps2dq(zmm0, zmm1.rz_sae()), "a rounding"),
        ("words", |a| a.vpmovusdw(ymmword_ptr(rsi), zmm0), "no use for"),
        ("a signed store", |a| a.vpmovsdb(xmmword_ptr(rsi), zmm0), "no use for"),
        ("a store that cuts off", |a| a.vpmovdb(xmmword_ptr(rsi), zmm0), "no use for"),
        ("a word of a vector", |a| a.vpextrw(word_ptr(rsi), xmm0, 0), "no use for"),
        ("eight bytes of eight lanes", |a| a.vpmovusdb(qword_ptr(rsi), ymm0), "no use for"),
    ];
    for (what, relative, words) in relatives {
        let bytes = run(|a, _| {
            a.mov(eax, 1)?;
            a.kmovw(k1, eax)?;
            relative(a)
        });
        check(what, &bytes, words);
    }
}
