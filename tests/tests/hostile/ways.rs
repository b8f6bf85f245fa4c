//! Hostile code: ways that meet again at a jump and don't know the same, of which one does harm behind it.

use iced_x86::code_asm::*;

use super::forge::{Written, nothing, run};
use super::{broken, check};

type Body = fn(&mut CodeAssembler, CodeLabel) -> Written;

/// Ways that part by a number of the input, of which one does something more, and that meet at a jump by another number.
fn ways(first: Body, one: Body, behind: Body) -> Vec<u8> {
    run(move |a, evil| {
        let (mut meeting, mut next) = (a.create_label(), a.create_label());
        first(a, evil)?;
        a.cmp(dword_ptr(rdi), 7)?;
        a.jne(meeting)?;
        one(a, evil)?;
        a.set_label(&mut meeting)?;
        a.cmp(dword_ptr(rdi + 4), 7)?;
        a.jne(next)?;
        a.nop()?;
        a.set_label(&mut next)?;
        a.nop()?;
        behind(a, evil)
    })
}

#[test]
fn what_sets_ways_apart_is_not_forgotten() {
    let cases: [(&str, &str, Body, Body, Body); 7] = [
        (
            "a register",
            "of the workspace",
            |a, _| a.mov(r9d, 0),
            |a, _| a.mov(r9d, 1),
            |a, evil| {
                a.cmp(r9d, 1)?;
                a.je(evil)
            },
        ),
        (
            "a register of which one way knows nothing",
            "isn't known",
            |a, _| a.mov(r9d, 0),
            |a, _| a.mov(r9d, dword_ptr(rdi + 8)),
            |a, _| a.mov(dword_ptr(rsi + r9), 1),
        ),
        (
            "a word of the stack",
            "of the workspace",
            |a, _| a.mov(qword_ptr(rsp - 8), 0),
            |a, _| a.mov(qword_ptr(rsp - 8), 1),
            |a, evil| {
                a.mov(r9, qword_ptr(rsp - 8))?;
                a.cmp(r9, 1)?;
                a.je(evil)
            },
        ),
        (
            "MXCSR",
            "returns with another MXCSR",
            |a, _| a.mov(dword_ptr(rsp - 4), 0x1f80),
            |a, _| a.ldmxcsr(dword_ptr(rsp - 4)),
            nothing,
        ),
        ("the stack pointer", "another place than it was called from", nothing, |a, _| a.push(rcx), nothing),
        ("a kept register", "the caller's register 3", nothing, |a, _| a.xor(ebx, ebx), nothing),
        (
            "where a function returns to",
            "of the workspace",
            |a, evil| {
                // It has two ways, and harm is done behind both calls.
                let (mut f, mut over) = (a.create_label(), a.create_label());
                a.push(rbx)?;
                a.push(rbp)?;
                a.mov(rbx, rdi)?;
                a.mov(rbp, rdx)?;
                a.jmp(over)?;
                a.set_label(&mut f)?;
                let mut next = a.create_label();
                a.cmp(dword_ptr(rdi + 12), 7)?;
                a.jne(next)?;
                a.nop()?;
                a.set_label(&mut next)?;
                a.ret()?;
                a.set_label(&mut over)?;
                a.call(f)?;
                a.mov(rdi, rbx)?;
                a.call(f)?;
                a.mov(rdx, rbp)?;
                a.jmp(evil)
            },
            nothing,
            nothing,
        ),
    ];
    for (what, words, first, one, behind) in cases {
        check(what, &ways(first, one, behind), words);
    }
    assert_eq!(broken(&ways(nothing, |a, _| a.mov(r9d, 1), nothing)), "");
}

#[test]
fn loops_that_nothing_ends() {
    let forever: [Body; 2] = [
        |a, _| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.cmp(dword_ptr(rdi), 7)?;
            a.jne(top)
        },
        // Two jumps, of which neither is reached twice in a row.
        |a, _| {
            let (mut top, mut second) = (a.create_label(), a.create_label());
            a.set_label(&mut top)?;
            a.cmp(dword_ptr(rdi), 7)?;
            a.jne(second)?;
            a.nop()?;
            a.set_label(&mut second)?;
            a.cmp(dword_ptr(rdi + 4), 7)?;
            a.jne(top)
        },
    ];
    for body in forever {
        check("a loop without an end", &run(body), "a loop that nothing known ends");
    }
}
