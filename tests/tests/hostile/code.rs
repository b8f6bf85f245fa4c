//! Hostile code: branches, masks, addresses, flags, what a network has no use for.

use iced_x86::code_asm::*;

use super::forge::{WORKSPACE_BYTES, Written, entry, forge, nothing, run, run_with};
use super::{broken, check};

/// An object whose `net_run` has these bytes in the middle.
fn bytes(bytes: &[u8]) -> Vec<u8> {
    run(|a, _| a.db(bytes))
}

#[test]
fn honest_objects_by_hand_are_sound() {
    assert_eq!(broken(&run(nothing)), "");
    // Everything that the others are variations of.
    let honest = run_with(
        |a, evil| {
            let mut f = a.create_label();
            let mut over = a.create_label();
            a.push(rbx)?;
            a.sub(rsp, 32)?;
            a.mov(qword_ptr(rsp + 8), rdx)?;
            a.mov(rbx, qword_ptr(rsp + 8))?;
            a.mov(dword_ptr(rbx), 1)?;
            a.mov(ecx, 8)?;
            a.kmovw(k1, ecx)?;
            a.vmovups(zmmword_ptr(rbx).k1(), zmm0)?;
            a.mov(ecx, 3)?;
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.vmovups(ymm0, ymmword_ptr(rdi))?;
            a.vmovups(ymmword_ptr(rsi), ymm0)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.stmxcsr(dword_ptr(rsp))?;
            a.mov(dword_ptr(rsp + 4), 0x1f80)?;
            a.ldmxcsr(dword_ptr(rsp + 4))?;
            a.ldmxcsr(dword_ptr(rsp))?;
            a.call(f)?;
            a.cmp(rbx, 0)?;
            a.je(evil)?;
            a.xor(ecx, ecx)?;
            a.jne(evil)?;
            a.add(rsp, 32)?;
            a.pop(rbx)?;
            a.jmp(over)?;
            a.set_label(&mut f)?;
            a.mov(dword_ptr(rdi - 0), eax).ok();
            a.set_label(&mut over)
        },
        nothing,
    );
    // It writes to the input behind the label `f`, which only the call reaches.
    check("a call of a function that writes to the input", &honest, "the input is written");
}

#[test]
fn branches_that_nobody_expects() {
    type Branch = fn(&mut CodeAssembler, CodeLabel) -> Written;
    let branches: [(&str, Branch); 5] = [
        ("jrcxz", |a, evil| a.jrcxz(evil)),
        ("loop ", |a, evil| a.loop_(evil)),
        ("loope", |a, evil| a.loope(evil)),
        ("loopne", |a, evil| a.loopne(evil)),
        ("xbegin", |a, evil| a.xbegin(evil)),
    ];
    for (name, branch) in branches {
        let bytes = run(|a, evil| {
            a.mov(ecx, 2)?;
            branch(a, evil)
        });
        check(name, &bytes, name);
    }
    check("jecxz", &bytes(&[0x67, 0xe3, 0x02]), "jecxz");
    check("a jump to where a register says", &run(|a, _| a.jmp(rcx)), "isn't known to be code");
    check("a call to where memory says", &run(|a, _| a.call(qword_ptr(rdi))), "isn't known to be code");
    check("a far jump", &bytes(&[0x48, 0xff, 0x2f]), "no use for");
    check("a far return", &bytes(&[0x48, 0xcb]), "no use for");
    check("iretq", &bytes(&[0x48, 0xcf]), "no use for");
    check("a return that pops", &bytes(&[0xc2, 8, 0]), "no use for");
    check("a jump into nothing", &bytes(&[0xe9, 0, 0, 0, 0x10]), "isn't code");
    check("a jump before everything", &bytes(&[0xe9, 0, 0, 0, 0xf0]), "isn't code");
    check("nothing behind the end", &bytes(&[0xff, 0xff]), "no instruction");
}

/// A jump on what isn't known goes both ways.
#[test]
fn questions_without_an_answer_have_both() {
    type Question = fn(&mut CodeAssembler, CodeLabel) -> Written;
    let questions: [(&str, Question); 17] = [
        ("where the input is", |a, evil| {
            a.mov(rax, 0x1000_0000_0000u64)?;
            a.cmp(rdi, rax)?;
            a.je(evil)
        }),
        ("the upper bits of a pointer", |a, evil| {
            a.mov(rax, rdi)?;
            a.shr(rax, 40)?;
            a.cmp(rax, 0x7f)?;
            a.je(evil)
        }),
        ("how the input is aligned", |a, evil| {
            a.test(rdi, 4)?;
            a.jne(evil)
        }),
        ("more of the workspace's address than is promised", |a, evil| {
            a.test(rdx, 64)?;
            a.jne(evil)
        }),
        ("which buffer lies first", |a, evil| {
            a.cmp(rdi, rsi)?;
            a.jb(evil)
        }),
        ("how far buffers are apart", |a, evil| {
            a.mov(rax, rdi)?;
            a.sub(rax, rsi)?;
            a.test(rax, rax)?;
            a.je(evil)
        }),
        ("where the stack is", |a, evil| {
            a.mov(rax, rsp)?;
            a.shr(rax, 47)?;
            a.jne(evil)
        }),
        ("where the code is", |a, evil| {
            a.lea(rax, qword_ptr(evil))?;
            a.test(rax, 0x1000)?;
            a.jne(evil)
        }),
        ("a number of the input", |a, evil| {
            a.cmp(dword_ptr(rdi), 7)?;
            a.je(evil)
        }),
        ("what lay in the workspace", |a, evil| {
            // Its last cache line: elsewhere only what was written may be read.
            a.cmp(qword_ptr(rdx + (WORKSPACE_BYTES - 64)), 0)?;
            a.jne(evil)
        }),
        ("a register that the caller didn't set", |a, evil| {
            a.test(r9, r9)?;
            a.je(evil)
        }),
        ("a register that the caller keeps", |a, evil| {
            a.cmp(rbx, 5)?;
            a.je(evil)
        }),
        ("whether a product fits", |a, evil| {
            a.mov(eax, 3)?;
            a.imul_2(eax, eax)?;
            a.jo(evil)
        }),
        ("parity", |a, evil| {
            a.add(edi, 1)?;
            a.jp(evil)
        }),
        ("a carry that an increment leaves alone", |a, evil| {
            a.cmp(rdi, rsi)?;
            a.mov(ecx, 5)?;
            a.inc(ecx)?;
            a.jb(evil)
        }),
        ("a carry that a shift leaves", |a, evil| {
            a.mov(ecx, 3)?;
            a.shr(ecx, 1)?;
            a.jb(evil)
        }),
        ("MXCSR", |a, evil| {
            a.stmxcsr(dword_ptr(rsp - 4))?;
            a.test(dword_ptr(rsp - 4), 0x6000)?;
            a.jne(evil)
        }),
    ];
    for (what, question) in questions {
        let found = broken(&run(question));
        assert!(found.contains("the workspace, which has"), "{what}: found {found:?}");
    }
    let known = run(|a, evil| {
        a.mov(ecx, 3)?;
        a.setb(al)?;
        a.movzx(eax, al)?;
        a.cmp(ecx, 3)?;
        a.jne(evil)
    });
    assert_eq!(broken(&known), "");
    // A pointer that was put aside and comes back in two registers is no null pointer.
    let twice = run(|a, evil| {
        a.mov(qword_ptr(rsp - 8), rsi)?;
        a.mov(rax, qword_ptr(rsp - 8))?;
        a.mov(rcx, qword_ptr(rsp - 8))?;
        a.test(rax, rcx)?;
        a.je(evil)?;
        a.cmp(rax, rcx)?;
        a.jne(evil)
    });
    assert_eq!(broken(&twice), "");
    // Two pointers may have no bit in common.
    let two = run(|a, evil| {
        a.test(rdi, rsi)?;
        a.je(evil)
    });
    check("the bits of two pointers", &two, "the workspace, which has");
}

#[test]
fn masks_and_indices() {
    let shared: [(&str, &[u8], &str); 8] = [
        ("vgatherdps", &[0xc4, 0xe2, 0x6d, 0x92, 0x04, 0x0a], "gather"),
        ("vpgatherqq", &[0xc4, 0xe2, 0xed, 0x91, 0x04, 0x0a], "gather"),
        ("vscatterdps", &[0x62, 0xf2, 0x7d, 0x49, 0xa2, 0x04, 0x0a], "scatter"),
        ("vpscatterqq", &[0x62, 0xf2, 0xfd, 0x49, 0xa1, 0x04, 0x0a], "scatter"),
        ("vmovdqu8", &[0x62, 0xf1, 0x7f, 0x49, 0x7f, 0x06], "vmovdqu8"),
        ("vpcompressd", &[0x62, 0xf2, 0x7d, 0x49, 0x8b, 0x06], "vpcompressd"),
        ("vmaskmovdqu", &[0xc5, 0xf9, 0xf7, 0xc1], "maskmovdqu"),
        ("vpmaskmovd", &[0xc4, 0xe2, 0x6d, 0x8e, 0x06], "vpmaskmovd"),
    ];
    for (name, code, words) in shared {
        check(name, &bytes(code), words);
    }
    let beyond = |mask: u32| {
        run(move |a, _| {
            a.mov(eax, mask)?;
            a.kmovw(k1, eax)?;
            a.vmovups(zmmword_ptr(rsi + 8 * 16 * 4 - 32).k1(), zmm0)
        })
    };
    // The output has 16 pixels of 8 channels: eight elements are left of it.
    assert_eq!(broken(&beyond(0xff)), "");
    // Only the lower 16 bits are a mask's.
    assert_eq!(broken(&beyond(0xffff_00ff)), "");
    check("a mask that is too wide", &beyond(0x1ff), "the output, which has");
    check(
        "an unknown mask",
        &run(|a, _| {
            a.kmovw(k1, ecx)?;
            a.vmovups(zmmword_ptr(rsi).k1(), zmm0)
        }),
        "mask isn't known",
    );
    check("a mask on what isn't memory", &bytes(&[0x62, 0xf1, 0x7c, 0x49, 0x58, 0xc1]), "a mask, a rounding");
    check("a rounding of its own", &bytes(&[0x62, 0xf1, 0x7c, 0x38, 0x58, 0xc1]), "a mask, a rounding");
    check(
        "a vector mask that a move has changed",
        &run(|a, _| {
            a.vpcmpeqd(xmm1, xmm1, xmm1)?;
            a.vmovaps(ymm1, ymm2)?;
            a.vmaskmovps(ymmword_ptr(rsi), ymm1, ymm0)
        }),
        "mask isn't known",
    );
}

#[test]
fn addresses_and_prefixes() {
    let cases: [(&str, &[u8], &str); 14] = [
        ("32-bit addresses", &[0x67, 0xc7, 0x02, 1, 0, 0, 0], "a prefix"),
        ("32-bit indices", &[0x67, 0x8b, 0x04, 0x0f], "a prefix"),
        ("fs", &[0x64, 0x8b, 0x07], "a prefix"),
        ("gs", &[0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], "a prefix"),
        ("cs", &[0x2e, 0x8b, 0x07], "a prefix"),
        ("lock", &[0xf0, 0xff, 0x02], "a prefix"),
        ("rep movsb", &[0xf3, 0xa4], "no use for"),
        ("stosq", &[0x48, 0xab], "no use for"),
        ("rep ret", &[0xf3, 0xc3], "a prefix"),
        ("16-bit operands", &[0x66, 0xc7, 0x02, 1, 0], "no use for"),
        ("an absolute address", &[0x8b, 0x04, 0x25, 0, 0, 0, 0x10], "isn't known"),
        ("movabs", &[0xa1, 0, 0, 0, 0, 0, 0, 0, 0], "no use for"),
        ("the second byte of a register", &[0x38, 0xe0], "second byte"),
        ("code of another section, without a relocation", &[0x8b, 0x05, 0, 0, 0, 0x01], "behind the end"),
    ];
    for (what, code, words) in cases {
        check(what, &bytes(code), words);
    }
    check("an index that isn't known", &run(|a, _| a.mov(eax, dword_ptr(rdi + rcx * 4))), "isn't known");
    check("aligned memory", &run(|a, _| a.vmovaps(ymm0, ymmword_ptr(rdi))), "no use for");
    check(
        "one buffer from another",
        &run(|a, _| {
            a.mov(rax, rsi)?;
            a.sub(rax, rdi)?;
            a.mov(eax, dword_ptr(rdi + rax))
        }),
        "isn't known",
    );
    check("before a buffer", &run(|a, _| a.mov(eax, dword_ptr(rdi - 4))), "byte -4 of the input");
    check(
        "behind a buffer",
        &run(|a, _| a.mov(dword_ptr(rsi + 16 * 8 * 4 - 2), eax)),
        "byte 510 of the output",
    );
    check("the code", &run(|a, evil| a.mov(dword_ptr(evil), eax)), ".text is written");
}

/// What changes how others compute, asks the system or stops.
#[test]
fn instructions_that_a_network_has_no_use_for() {
    let cases: [(&str, &[u8]); 38] = [
        ("fxrstor", &[0x0f, 0xae, 0x0a]),
        ("fxsave", &[0x0f, 0xae, 0x02]),
        ("xrstor", &[0x0f, 0xae, 0x2a]),
        ("xsave", &[0x0f, 0xae, 0x22]),
        ("xsaveopt", &[0x0f, 0xae, 0x32]),
        ("fldenv", &[0xd9, 0x22]),
        ("fldcw", &[0xd9, 0x2a]),
        ("frstor", &[0xdd, 0x22]),
        ("fninit", &[0xdb, 0xe3]),
        ("fld1", &[0xd9, 0xe8]),
        ("emms", &[0x0f, 0x77]),
        ("movq mm0", &[0x0f, 0x6f, 0x07]),
        ("popfq", &[0x9d]),
        ("sahf", &[0x9e]),
        ("std", &[0xfd]),
        ("cld", &[0xfc]),
        ("cli", &[0xfa]),
        ("sti", &[0xfb]),
        ("syscall", &[0x0f, 0x05]),
        ("sysenter", &[0x0f, 0x34]),
        ("int3", &[0xcc]),
        ("int 80h", &[0xcd, 0x80]),
        ("ud2", &[0x0f, 0x0b]),
        ("hlt", &[0xf4]),
        ("in", &[0xec]),
        ("out", &[0xee]),
        ("rdtsc", &[0x0f, 0x31]),
        ("rdrand", &[0x0f, 0xc7, 0xf0]),
        ("wrfsbase", &[0xf3, 0x0f, 0xae, 0xd0]),
        ("wrpkru", &[0x0f, 0x01, 0xef]),
        ("xsetbv", &[0x0f, 0x01, 0xd1]),
        ("clflush", &[0x0f, 0xae, 0x3a]),
        ("movntps", &[0x0f, 0x2b, 0x02]),
        ("div", &[0xf7, 0xf1]),
        ("enter", &[0xc8, 0x10, 0, 0]),
        ("leave", &[0xc9]),
        ("mov ds", &[0x8e, 0xd8]),
        ("cmpxchg", &[0x0f, 0xb1, 0x0a]),
    ];
    for (name, code) in cases {
        let found = broken(&bytes(code));
        assert!(found.contains("no use for"), "{name}: found {found:?}");
    }
}

/// Each status for its own fault, and nothing else.
#[test]
fn refusals_are_what_they_should_be() {
    let returns = |code: i32| {
        run(move |a, _| {
            a.mov(eax, code)?;
            a.ret()
        })
    };
    check("a status that isn't promised", &returns(-7), "a run gives -7");
    check("no run at all", &returns(-3), "never returns 0");
    check(
        "something unknown",
        &run(|a, _| {
            a.mov(eax, dword_ptr(rdi))?;
            a.ret()
        }),
        "something unknown",
    );
    let no_checks = |code: &[u8]| forge(code, &entry(true, nothing, nothing), |_| {});
    check("null pointers", &no_checks(&[0x31, 0xc0, 0xc3]), "a null pointer gives 0, expected [-1]");
    // A pool whose function is null is taken as well as any other.
    let mut any_pool = entry(true, nothing, nothing);
    let at = any_pool.windows(4).position(|bytes| bytes == [0x4d, 0x85, 0xc0, 0x75]);
    any_pool[at.expect("r8 is tested") + 3] = 0xeb;
    let any_pool = forge(&entry(false, nothing, nothing), &any_pool, |_| {});
    check("a pool without a function", &any_pool, "a pool without a function gives 0, expected [-1]");
    // Only multiples of 32 are told.
    let mut half = entry(false, nothing, nothing);
    let at = half.windows(3).position(|bytes| bytes == [0xf7, 0xc2, 63] || bytes == [0xf6, 0xc2, 63]);
    let at = at.expect("edx is tested");
    half[at + 2] = 32;
    check("half of the alignment", &no_checks(&half), "a workspace that isn't aligned");
}
