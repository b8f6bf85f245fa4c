//! Hostile code: stacks, calls, tasks, MXCSR, walks without an end.

use iced_x86::code_asm::*;

use super::forge::{Written, entry, forge, forge_values, nothing, run};
use super::{broken, check};

#[test]
fn mxcsr_is_given_back() {
    check("an unknown MXCSR", &run(|a, _| a.ldmxcsr(dword_ptr(rdi))), "MXCSR becomes neither");
    check(
        "another MXCSR",
        &run(|a, _| {
            a.mov(dword_ptr(rsp - 4), 0x9fc0u32 as i32)?;
            a.ldmxcsr(dword_ptr(rsp - 4))
        }),
        "MXCSR becomes neither",
    );
    let forgets = run(|a, _| {
        a.mov(dword_ptr(rsp - 4), 0x1f80)?;
        a.vldmxcsr(dword_ptr(rsp - 4))
    });
    check("MXCSR isn't given back", &forgets, "returns with another MXCSR");
    check(
        "a saved MXCSR that is changed",
        &run(|a, _| {
            a.stmxcsr(dword_ptr(rsp - 4))?;
            a.or(dword_ptr(rsp - 4), 0x40)?;
            a.ldmxcsr(dword_ptr(rsp - 4))
        }),
        "MXCSR becomes neither",
    );
    check(
        "half of a saved MXCSR",
        &run(|a, _| {
            a.stmxcsr(dword_ptr(rsp - 4))?;
            a.ldmxcsr(dword_ptr(rsp - 6))
        }),
        "MXCSR becomes neither",
    );
    let honest = run(|a, _| {
        a.stmxcsr(dword_ptr(rsp - 4))?;
        a.mov(ecx, dword_ptr(rsp - 4))?;
        a.mov(dword_ptr(rsp - 8), 0x1f80)?;
        a.ldmxcsr(dword_ptr(rsp - 8))?;
        a.mov(dword_ptr(rsp - 12), ecx)?;
        a.vldmxcsr(dword_ptr(rsp - 12))
    });
    assert_eq!(broken(&honest), "");
}

#[test]
fn return_addresses_and_stacks() {
    type Body = fn(&mut CodeAssembler, CodeLabel) -> Written;
    let cases: [(&str, &str, Body); 20] = [
        ("xchg", "no use for", |a, _| a.xchg(qword_ptr(rsp), rcx)),
        ("xadd", "no use for", |a, _| a.xadd(qword_ptr(rsp), rcx)),
        ("bts", "no use for", |a, _| a.bts(qword_ptr(rsp), 3)),
        ("add", "caller's part of the stack is written", |a, _| a.add(qword_ptr(rsp), 8)),
        ("not", "caller's part of the stack is written", |a, _| a.not(qword_ptr(rsp))),
        ("shl", "caller's part of the stack is written", |a, _| a.shl(qword_ptr(rsp), 1)),
        ("setcc", "no use for", |a, _| a.setb(byte_ptr(rsp))),
        ("mov", "caller's part of the stack is written", |a, evil| {
            a.lea(rcx, qword_ptr(evil))?;
            a.mov(qword_ptr(rsp), rcx)
        }),
        ("a vector", "caller's part of the stack is written", |a, _| a.vmovups(xmmword_ptr(rsp - 8), xmm0)),
        ("the caller's frame", "caller's part of the stack is written", |a, _| {
            a.mov(qword_ptr(rsp + 24), rcx)
        }),
        ("the caller's frame, read", "caller's part of the stack is read", |a, _| {
            a.mov(rcx, qword_ptr(rsp + 8))
        }),
        ("push and return", "another place than it was called from", |a, evil| {
            a.lea(rcx, qword_ptr(evil))?;
            a.push(rcx)?;
            a.ret()
        }),
        ("pop and push", "caller's part of the stack is written", |a, evil| {
            a.pop(rcx)?;
            a.lea(rcx, qword_ptr(evil))?;
            a.push(rcx)
        }),
        ("a stack elsewhere", "stack pointer that isn't known", |a, _| {
            a.mov(rsp, rdx)?;
            a.push(rcx)
        }),
        ("a stack that isn't given back", "another place", |a, _| a.sub(rsp, 16)),
        ("far below the stack", "far below its pointer", |a, _| a.mov(qword_ptr(rsp - 512), rcx)),
        ("more stack than there is", "the stack ends", |a, _| {
            a.sub(rsp, 0x6ff8)?;
            a.push(rcx)
        }),
        ("a kept register", "the caller's register 3", |a, _| a.xor(ebx, ebx)),
        ("a kept register, a vector's", "the caller's register 12", |a, _| a.vmovq(r12, xmm0)),
        ("a call that pops its return", "returns", |a, evil| {
            let mut next = a.create_label();
            a.call(next)?;
            a.set_label(&mut next)?;
            a.pop(rcx)?;
            a.lea(rcx, qword_ptr(evil))?;
            a.push(rcx)?;
            a.ret()
        }),
    ];
    for (what, words, body) in cases {
        check(what, &run(body), words);
    }
}

/// A call that was seen is the same call only with the same of all that it can read.
#[test]
fn calls_with_other_arguments() {
    // The argument lies on the stack: how far into the output is written.
    let called = |first: i32, second: i32| {
        run(move |a, _| {
            let (mut f, mut over) = (a.create_label(), a.create_label());
            for offset in [first, second] {
                a.push(offset)?;
                a.xor(ecx, ecx)?;
                a.call(f)?;
                a.pop(rcx)?;
            }
            a.jmp(over)?;
            a.set_label(&mut f)?;
            a.mov(rcx, qword_ptr(rsp + 8))?;
            a.mov(dword_ptr(rsi + rcx), eax)?;
            a.ret()?;
            a.set_label(&mut over)
        })
    };
    assert_eq!(broken(&called(0, 4)), "");
    check("another argument on the stack", &called(0, 0x7000_0000), "the output, which has");
    // What a call has left below the stack pointer isn't there any more.
    let stale = run(|a, evil| {
        let (mut f, mut over) = (a.create_label(), a.create_label());
        a.call(f)?;
        a.mov(rcx, qword_ptr(rsp - 16))?;
        a.cmp(rcx, 5)?;
        a.jne(evil)?;
        a.jmp(over)?;
        a.set_label(&mut f)?;
        a.mov(qword_ptr(rsp - 8), 5)?;
        a.ret()?;
        a.set_label(&mut over)
    });
    check("what a call has left", &stale, "isn't known");
    // A function of two ways isn't done when one has ended.
    let ways = run(|a, _| {
        let (mut f, mut over, mut other) = (a.create_label(), a.create_label(), a.create_label());
        // It keeps these two, and of others nothing is known behind it.
        a.push(rbx)?;
        a.push(rbp)?;
        a.mov(rbx, rdi)?;
        a.mov(rbp, rsi)?;
        a.call(f)?;
        a.mov(rdi, rbx)?;
        a.call(f)?;
        a.mov(ecx, eax)?;
        a.mov(dword_ptr(rbp + rcx * 8), eax)?;
        a.pop(rbp)?;
        a.pop(rbx)?;
        a.jmp(over)?;
        a.set_label(&mut f)?;
        a.mov(eax, 0)?;
        a.cmp(dword_ptr(rdi), 7)?;
        a.jne(other)?;
        a.mov(eax, 0x0800_0000)?;
        a.set_label(&mut other)?;
        a.ret()?;
        a.set_label(&mut over)
    });
    check("a result of two ways", &ways, "the output, which has");
}

#[test]
fn walks_end() {
    type Body = fn(&mut CodeAssembler, CodeLabel) -> Written;
    let forever: [(&str, Body); 6] = [
        ("jmp .", |a, _| a.db(&[0xeb, 0xfe])),
        ("a loop with a counter", |a, _| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.inc(rax)?;
            a.jmp(top)
        }),
        ("a loop over a buffer", |a, _| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.mov(eax, dword_ptr(rdi))?;
            a.jmp(top)
        }),
        ("calls of one function with ever new arguments", |a, _| {
            let (mut f, mut top, mut over) = (a.create_label(), a.create_label(), a.create_label());
            a.jmp(over)?;
            a.set_label(&mut f)?;
            a.mov(eax, dword_ptr(rdi))?;
            a.ret()?;
            a.set_label(&mut over)?;
            a.xor(ecx, ecx)?;
            a.set_label(&mut top)?;
            a.xor(r9d, r9d)?;
            a.mov(ecx, ebx).ok();
            a.inc(r12)?;
            a.xor(ecx, ecx)?;
            a.mov(r8, r12)?;
            a.call(f)?;
            a.jmp(top)
        }),
        ("a function that calls itself", |a, _| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.call(top)
        }),
        ("a jump that goes both ways", |a, _| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.cmp(dword_ptr(rdi), 3)?;
            a.jne(top)
        }),
    ];
    for (what, body) in forever {
        let started = std::time::Instant::now();
        let found = broken(&run(body));
        assert!(!found.is_empty(), "{what} is called sound");
        println!("{what}: {found}, after {:?}", started.elapsed());
    }
}

/// Calls a step, which calls a kernel, which does nothing.
fn one_step(a: &mut CodeAssembler) -> Written {
    let (mut step, mut kernel, mut over) = (a.create_label(), a.create_label(), a.create_label());
    a.xor(ecx, ecx)?;
    a.call(step)?;
    a.jmp(over)?;
    a.set_label(&mut step)?;
    a.call(kernel)?;
    a.ret()?;
    a.set_label(&mut kernel)?;
    a.ret()?;
    a.set_label(&mut over)
}

/// The pool's function, context and tasks.
#[test]
fn tasks_keep_to_themselves() {
    /// Hands one task to the pool, with the place of the three buffers on the stack.
    fn hand_out(
        a: &mut CodeAssembler,
        count: u32,
        before: impl Fn(&mut CodeAssembler) -> Written,
        task: impl Fn(&mut CodeAssembler) -> Written,
    ) -> Written {
        let (mut f, mut over) = (a.create_label(), a.create_label());
        a.sub(rsp, 40)?;
        a.mov(qword_ptr(rsp + 16), rsi)?;
        a.mov(rax, qword_ptr(rcx + 8))?;
        a.mov(rdi, qword_ptr(rcx))?;
        a.lea(rsi, qword_ptr(f))?;
        a.lea(rdx, qword_ptr(rsp + 16))?;
        a.mov(ecx, count)?;
        before(a)?;
        a.call(rax)?;
        a.add(rsp, 40)?;
        a.jmp(over)?;
        a.set_label(&mut f)?;
        task(a)?;
        a.ret()?;
        a.set_label(&mut over)
    }
    let with =
        |count: u32, before: fn(&mut CodeAssembler) -> Written, task: fn(&mut CodeAssembler) -> Written| {
            let parallel = entry(true, |a, _| hand_out(a, count, before, task), nothing);
            let step = entry(false, |a, _| one_step(a), nothing);
            let list = format!(r#"[{{"steps":[{{"name":"all","tasks":{count}}}],"values":[]}}]"#);
            forge_values(&list, &step, &parallel)
        };
    let honest = |a: &mut CodeAssembler| {
        a.mov(rax, qword_ptr(rdi))?;
        a.mov(dword_ptr(rax + rsi * 4), ecx)
    };
    let none = |_: &mut CodeAssembler| Ok(());
    assert_eq!(broken(&with(4, none, honest)), "");
    check(
        "more tasks than the output has elements",
        &with(60, none, |a| {
            a.mov(rax, qword_ptr(rdi))?;
            a.shl(rsi, 4)?;
            a.mov(dword_ptr(rax + rsi), ecx)
        }),
        "the output, which has",
    );
    check("very many tasks", &with(1 << 20, none, honest), "number of tasks");
    check("another context", &with(1, |a| a.xor(edi, edi), honest), "another context");
    check("another task", &with(1, |a| a.mov(rsi, rdx), honest), "isn't known to be code");
    check(
        "a task that writes to its caller's stack",
        &with(1, none, |a| a.mov(qword_ptr(rdi), rsi)),
        "caller's part",
    );
    check(
        "a task that overwrites its return address",
        &with(1, none, |a| a.mov(qword_ptr(rsp), rdi)),
        "caller's part",
    );
    check(
        "a task that calls the pool",
        &with(1, none, |a| {
            a.xor(eax, eax)?;
            a.jmp(rax)
        }),
        "isn't known to be code",
    );
    check(
        "a task with another MXCSR",
        &with(1, none, |a| {
            a.mov(dword_ptr(rsp - 8), 0x1f80)?;
            a.ldmxcsr(dword_ptr(rsp - 8))
        }),
        "another MXCSR",
    );
    check(
        "the pool, called with another MXCSR",
        &with(
            1,
            |a| {
                a.mov(dword_ptr(rsp), 0x1f80)?;
                a.ldmxcsr(dword_ptr(rsp))
            },
            honest,
        ),
        "calls the pool with another MXCSR",
    );
    let asks = entry(
        true,
        |a, evil| {
            a.cmp(qword_ptr(rcx), 0)?;
            a.jne(evil)
        },
        nothing,
    );
    let asks = forge(&entry(false, nothing, nothing), &asks, |_| {});
    check("what the pool's context is", &asks, "the workspace, which has");
    let writes = entry(true, |a, _| a.mov(qword_ptr(rcx), rsi), nothing);
    check("the pool", &forge(&entry(false, nothing, nothing), &writes, |_| {}), "the pool is written");
}
