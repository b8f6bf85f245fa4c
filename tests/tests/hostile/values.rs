//! Hostile code and lists: kernels that leave the values that they are called for, and lists that say what isn't so.

use std::cell::Cell;

use iced_x86::code_asm::*;

use mnc_tests::random::Random;

use super::forge::{WORKSPACE_BYTES, Written, entry, forge_values};
use super::{broken, check};

/// A step, as it is run: it finds the input in `rdi`, the output in `rsi`, the workspace in `rdx`.
type Step<'a> = &'a dyn Fn(&mut CodeAssembler) -> Written;

/// An entry that runs these steps, given the number that each is called with.
fn steps(has_pool: bool, steps: &[(u32, Step<'_>)], behind: Step<'_>) -> Vec<u8> {
    let body = |a: &mut CodeAssembler, _| {
        a.push(r12)?;
        a.sub(rsp, 32)?;
        for (offset, pointer) in [(0, rdi), (8, rsi), (16, rdx)] {
            a.mov(qword_ptr(rsp + offset), pointer)?;
        }
        for (idx, step) in steps {
            let (mut function, mut over) = (a.create_label(), a.create_label());
            for (offset, pointer) in [(0, rdi), (8, rsi), (16, rdx)] {
                a.mov(pointer, qword_ptr(rsp + offset))?;
            }
            a.mov(ecx, *idx)?;
            a.call(function)?;
            a.jmp(over)?;
            a.set_label(&mut function)?;
            step(a)?;
            a.ret()?;
            a.set_label(&mut over)?;
        }
        a.mov(rdx, qword_ptr(rsp + 16))?;
        behind(a)?;
        a.add(rsp, 32)?;
        a.pop(r12)
    };
    entry(has_pool, body, |_, _| Ok(()))
}

/// Calls a kernel with two places in the workspace.
fn call(a: &mut CodeAssembler, places: [i32; 2], kernel: Step<'_>) -> Written {
    let (mut function, mut over) = (a.create_label(), a.create_label());
    a.lea(rdi, qword_ptr(rdx + places[0]))?;
    a.lea(rsi, qword_ptr(rdx + places[1]))?;
    a.call(function)?;
    a.jmp(over)?;
    a.set_label(&mut function)?;
    kernel(a)?;
    a.ret()?;
    a.set_label(&mut over)
}

/// Writes 64 bytes to the first place.
fn fill(a: &mut CodeAssembler) -> Written {
    a.vmovups(ymmword_ptr(rdi), ymm0)?;
    a.vmovups(ymmword_ptr(rdi + 32), ymm0)
}

/// Copies 64 bytes from the first place to the second.
fn copy(a: &mut CodeAssembler) -> Written {
    for half in [0, 32] {
        a.vmovups(ymm0, ymmword_ptr(rdi + half))?;
        a.vmovups(ymmword_ptr(rsi + half), ymm0)?;
    }
    Ok(())
}

/// `a` is written by the first step and read by the second, `b` by the second and the third. `c` gets the bytes of `a` in the third.
const LIST: &str = r#"[{"steps":[{"name":"one","tasks":1},{"name":"two","tasks":1},{"name":"three","tasks":1}],"values":[
{"name":"a","offset":0,"bytes":64,"first_step":0,"last_step":1},
{"name":"b","offset":64,"bytes":64,"first_step":1,"last_step":2},
{"name":"c","offset":0,"bytes":64,"first_step":2,"last_step":2}]}]"#;

fn one(a: &mut CodeAssembler) -> Written {
    call(a, [0, 0], &fill)
}

fn two(a: &mut CodeAssembler) -> Written {
    call(a, [0, 64], &copy)
}

fn three(a: &mut CodeAssembler) -> Written {
    call(a, [64, 0], &copy)
}

fn none(_: &mut CodeAssembler) -> Written {
    Ok(())
}

/// Both entries run these steps.
fn object_of(list: &str, of: &[(u32, Step<'_>)], behind: Step<'_>) -> Vec<u8> {
    forge_values(list, &steps(false, of, behind), &steps(true, of, behind))
}

fn object(of: [Step<'_>; 3]) -> Vec<u8> {
    let [one, two, three] = of;
    object_of(LIST, &[(0, one), (1, two), (2, three)], &none)
}

#[test]
fn steps_that_keep_to_their_values_are_sound() {
    assert_eq!(broken(&object([&one, &two, &three])), "");
}

/// The line names the step, the kernel and the value.
fn check_all(what: &str, bytes: &[u8], step: &str, words: &str) {
    check(what, bytes, &format!(": {step}: the kernel at 0x"));
    check(what, bytes, words);
}

#[test]
fn kernels_that_leave_their_values() {
    type Kernel = fn(&mut CodeAssembler) -> Written;
    let kernels: [(&str, [i32; 2], Kernel, &str); 8] = [
        (
            "a write into a, before b",
            [0, 64],
            |a| a.vmovups(xmmword_ptr(rsi - 4), xmm0),
            "16 bytes at byte -4 of b, which has 64",
        ),
        (
            "a write behind b",
            [0, 64],
            |a| a.vmovups(xmmword_ptr(rsi + 52), xmm0),
            "16 bytes at byte 52 of b, which has 64",
        ),
        (
            "a write to b by a pointer to a",
            [0, 64],
            |a| a.mov(dword_ptr(rdi + 64), eax),
            "4 bytes at byte 64 of a, which has 64",
        ),
        (
            "the same by the workspace's own pointer",
            [0, 64],
            |a| a.mov(dword_ptr(rdx + 64), eax),
            "4 bytes at byte 64 of a, which has 64",
        ),
        (
            "a read behind a",
            [0, 64],
            |a| a.mov(eax, dword_ptr(rdi + 61)),
            "4 bytes at byte 61 of a, which has 64",
        ),
        (
            "a read of b before it is written",
            [0, 64],
            |a| a.mov(eax, dword_ptr(rsi + 8)),
            "bytes 8 to 12 of b are read before they are written",
        ),
        (
            "a write to what is in no value",
            [0, 128],
            |a| a.mov(dword_ptr(rsi), eax),
            "4 bytes at byte 128 of the workspace, which is in no value",
        ),
        (
            "far away, and around",
            [0, 64],
            |a| {
                a.mov(rax, 0x7fff_ffff_ffff_fff0u64)?;
                a.mov(dword_ptr(rsi + rax * 2), eax)
            },
            "4 bytes at byte -32 of b, which has 64",
        ),
    ];
    for (what, places, kernel, words) in kernels {
        check_all(what, &object([&one, &|a| call(a, places, &kernel), &three]), "two", words);
    }
}

#[test]
fn values_that_are_dead_or_unwritten() {
    let reads = |a: &mut CodeAssembler| a.mov(eax, dword_ptr(rdi));
    check_all(
        "c, which has the bytes of a, before it is written",
        &object([&one, &two, &|a| call(a, [0, 64], &reads)]),
        "three",
        "bytes 0 to 4 of c are read before they are written",
    );
    let without_c = LIST.replace("\"bytes\":64,\"first_step\":2", "\"bytes\":4,\"first_step\":2");
    let without_c = without_c.replace("\"c\",\"offset\":0", "\"c\",\"offset\":512");
    check_all(
        "a, when it is dead",
        &object_of(&without_c, &[(0, &one), (1, &two), (2, &|a| call(a, [0, 64], &reads))], &none),
        "three",
        "at byte 0 of the workspace, of a, which lives from one to two only",
    );
    check_all(
        "b, before it lives",
        &object([&|a| call(a, [64, 0], &fill), &two, &three]),
        "one",
        "at byte 64 of the workspace, of b, which lives from two to three only",
    );
    // The second step's kernel keeps its pointer to `a` in a register that functions give back.
    let keeps = |a: &mut CodeAssembler| {
        copy(a)?;
        a.mov(r12, rdi)
    };
    let write = |a: &mut CodeAssembler| a.mov(dword_ptr(r12), eax);
    let uses = |a: &mut CodeAssembler| call(a, [64, 64], &write);
    let again = |a: &mut CodeAssembler| call(a, [0, 64], &keeps);
    check_all("a pointer to a, kept", &object([&one, &again, &uses]), "three", "a is dead");
    // The same by a kernel that has been seen to the end, when `a` was alive.
    let known = Cell::new(None);
    let first = |a: &mut CodeAssembler| {
        call(a, [0, 64], &keeps)?;
        let (mut function, mut over) = (a.create_label(), a.create_label());
        known.set(Some(function));
        a.xor(edi, edi)?;
        a.xor(esi, esi)?;
        a.xor(edx, edx)?;
        a.xor(ecx, ecx)?;
        a.call(function)?;
        a.jmp(over)?;
        a.set_label(&mut function)?;
        write(a)?;
        a.ret()?;
        a.set_label(&mut over)
    };
    let second = |a: &mut CodeAssembler| {
        a.xor(edi, edi)?;
        a.xor(esi, esi)?;
        a.xor(edx, edx)?;
        a.xor(ecx, ecx)?;
        a.call(known.get().expect("the second step comes first"))
    };
    check_all("a known kernel with a pointer to a", &object([&one, &first, &second]), "three", "a is dead");
    check_all(
        "half of b is written",
        &object([&one, &|a| call(a, [64, 0], &|a| a.vmovups(ymmword_ptr(rdi), ymm0)), &three]),
        "three",
        "bytes 32 to 64 of b are read before they are written",
    );
}

#[test]
fn steps_out_of_turn() {
    let not =
        |what: &str, of: &[(u32, Step<'_>)], words: &str| check(what, &object_of(LIST, of, &none), words);
    not("the first step left out", &[(1, &two), (2, &three)], "outside of the steps: 32 bytes at byte 0 of");
    not("the last step left out", &[(0, &one), (1, &two)], "returns 0 before step three");
    not(
        "two steps exchanged",
        &[(0, &one), (2, &three), (1, &two)],
        "outside of the steps: 32 bytes at byte 64 of",
    );
    not(
        "a step twice",
        &[(0, &one), (1, &two), (1, &two), (2, &three)],
        "outside of the steps: 32 bytes at byte 0",
    );
    not("a fourth step", &[(0, &one), (1, &two), (2, &three), (3, &three)], "runs step 3, expected 3 steps");
    not(
        "a fourth step that calls nobody",
        &[(0, &one), (1, &two), (2, &three), (3, &|a| a.mov(dword_ptr(rdx), eax))],
        "outside of the steps: 4 bytes at byte 0 of the workspace, of a",
    );
    let behind = |a: &mut CodeAssembler| a.mov(dword_ptr(rdx + 64), eax);
    let of: [(u32, Step<'_>); 3] = [(0, &one), (1, &two), (2, &three)];
    check(
        "a write behind the steps",
        &object_of(LIST, &of, &behind),
        "outside of the steps: 4 bytes at byte 64 of the workspace, of b, which lives from two to three only",
    );
    check("no steps at all", &object_of(LIST, &[], &none), "returns 0 before step one");
}

/// Whatever a list says, honest code is sound or refused; code that leaves the workspace is never sound.
#[test]
fn lists_that_say_what_is_not_so() {
    let honest: [(u32, Step<'_>); 3] = [(0, &one), (1, &two), (2, &three)];
    // Steps that write behind the workspace, before it, and into the words that it keeps from run to run.
    let wild = |at: i32| move |a: &mut CodeAssembler| call(a, [at, 64], &|a| a.mov(dword_ptr(rdi), eax));
    let bytes = WORKSPACE_BYTES as i32;
    let wild = [wild(bytes), wild(-4), wild(i32::MAX - 3), wild(bytes - 2)];
    let change = |old: &str, new: &str| {
        assert!(LIST.contains(old), "{old}");
        LIST.replacen(old, new, 1)
    };
    let most = "18446744073709551615";
    let all = r#"[{"steps":[{"name":"one","tasks":1},{"name":"two","tasks":1},{"name":"three","tasks":1}],"values":[
        {"name":"all","offset":0,"bytes":SIZE,"first_step":0,"last_step":2}]}]"#;
    let more = |n: usize, what: &str| format!("[{}{what}{}", "[".repeat(n), "]".repeat(n));
    let lists: Vec<(String, &str)> = vec![
        (String::new(), "the list of the workspace's values: EOF"),
        ("[]".to_owned(), "found lists of the values of 0 workspaces"),
        ("{}".to_owned(), "the list of the workspace's values: "),
        ("null".to_owned(), "the list of the workspace's values: "),
        (more(100_000, ""), "the list of the workspace's values: "),
        (format!("[{0},{0}]", LIST.trim_matches(['[', ']'])), "found lists of the values of 2 workspaces"),
        (format!("{LIST} {LIST}"), "the list of the workspace's values: trailing"),
        (LIST[..LIST.len() - 1].to_owned(), "the list of the workspace's values: EOF"),
        (change("\"name\":\"a\"", "\"name\":\"a\",\"name\":\"b\""), "duplicate field"),
        (change("\"name\":\"a\"", "\"name\":\"a\",\"more\":1"), "unknown field"),
        (change("\"tasks\":1", "\"tasks\":-1"), "invalid value"),
        (change("\"tasks\":1", "\"tasks\":1.5"), "invalid type"),
        (
            change("\"offset\":64", &format!("\"offset\":{most}")),
            "value b is 64 bytes at byte 18446744073709551615",
        ),
        (change("\"offset\":64", "\"offset\":18446744073709551616"), "the list of the workspace's values: "),
        (change("\"bytes\":64", &format!("\"bytes\":{most}")), "value a is 18446744073709551615 bytes"),
        (change("\"bytes\":64", "\"bytes\":0"), "value a is 0 bytes"),
        (
            change("\"offset\":64", "\"offset\":897"),
            "value b is 64 bytes at byte 897 of the workspace, which has 960",
        ),
        (change("\"offset\":64", "\"offset\":60"), "value b lies in the bytes of a in step two"),
        (change("\"last_step\":1", "\"last_step\":2"), "lies in the bytes of "),
        (
            change("\"last_step\":1", "\"last_step\":3"),
            "value a lives from step 0 to 3, expected some of 3 steps",
        ),
        (change("\"last_step\":1", &format!("\"last_step\":{most}")), "value a lives from step 0 to"),
        (change("\"first_step\":1", &format!("\"first_step\":{most}")), "value b lives from step"),
        (change("\"first_step\":2", "\"first_step\":1"), "lies in the bytes of"),
        (change("\"last_step\":1", "\"last_step\":0"), "of a, which lives from one to one only"),
        (change("\"first_step\":1", "\"first_step\":2"), "of b, which lives from three to three only"),
        (change("\"bytes\":64", "\"bytes\":60"), "32 bytes at byte 32 of a, which has 60"),
        (change("\"name\":\"a\"", "\"name\":\"\\n\\u0000\\u202e\""), ""),
        (
            change(
                "{\"name\":\"three\",\"tasks\":1}",
                "{\"name\":\"three\",\"tasks\":1},{\"name\":\"four\",\"tasks\":1}",
            ),
            "returns 0 before step four",
        ),
        (change(",{\"name\":\"three\",\"tasks\":1}", ""), "lives from step"),
        (change("\"tasks\":1", &format!("\"tasks\":{most}")), ""),
        (change("\"tasks\":1", "\"tasks\":0"), ""),
        (all.replace("SIZE", "960"), ""),
        (all.replace("SIZE", "961"), "value all is 961 bytes"),
        (all.replace("SIZE", "1024"), "value all is 1024 bytes"),
        (all.replace("SIZE", "1099511627776"), "value all is"),
    ];
    for (list, words) in &lists {
        let found = broken(&object_of(list, &honest, &none));
        let shown = &list[..list.len().min(200)];
        assert!(found.contains(words) && words.is_empty() == found.is_empty(), "{shown}: found {found:?}");
        assert!(!found.contains(['\n', '\u{202e}']), "{found:?}");
        for (idx, wild) in wild.iter().enumerate() {
            for place in 0..3 {
                let mut steps = honest;
                steps[place].1 = wild;
                let found = broken(&object_of(list, &steps, &none));
                assert!(!found.is_empty(), "{shown} makes wild code {idx} sound in step {place}");
            }
        }
    }
    // Nothing at all behind the description, and no end of what is there.
    let bare = |more: &str| {
        let mut forgery = super::forge::Forgery::with(&(super::forge::description(8) + more));
        forgery.function("net_run", &steps(false, &honest, &none));
        forgery.function("net_run_parallel", &steps(true, &honest, &none));
        forgery.info();
        broken(&forgery.bytes())
    };
    for (more, words) in [
        ("", "returns no description: a text without an end"),
        ("\0", "found no text behind the description"),
        ("\0[", "found no text behind the description"),
        ("\0\0", "the list of the workspace's values: EOF"),
    ] {
        let found = bare(more);
        assert!(found.contains(words), "{more:?}: {found}");
    }
}

/// Very long lists cost no more than their bytes.
#[test]
fn long_lists_are_read_or_refused() {
    let list = |n_steps: usize, n_values: usize, value: &dyn Fn(usize) -> [usize; 4]| {
        let steps: Vec<String> = (0..n_steps).map(|_| r#"{"name":"s","tasks":1}"#.to_owned()).collect();
        let value = |idx: usize| {
            let [offset, bytes, first, last] = value(idx);
            format!(
                r#"{{"name":"v","offset":{offset},"bytes":{bytes},"first_step":{first},"last_step":{last}}}"#
            )
        };
        let values: Vec<String> = (0..n_values).map(value).collect();
        format!(r#"[{{"steps":[{}],"values":[{}]}}]"#, steps.join(","), values.join(","))
    };
    let found = |list: &str| broken(&object_of(list, &[(0, &one), (1, &two), (2, &three)], &none));
    let many = found(&list(3, 100_000, &|_| [0, 1, 0, 0]));
    assert!(many.contains("has 100000 values in 3 steps"), "{many}");
    let many = found(&list(40_000, 1, &|_| [0, 1, 0, 0]));
    assert!(many.contains("has 1 values in 40000 steps"), "{many}");
    let everywhere = found(&list(32_768, 900, &|idx| [idx, 1, 0, 32_767]));
    assert!(everywhere.contains("values live in more than"), "{everywhere}");
    let same = found(&list(30_000, 60_000, &|idx| [0, 1, idx % 30_000, idx % 30_000]));
    assert!(same.contains("value v lies in the bytes of v"), "{same}");
    let fits = found(&list(30_000, 60_000, &|idx| [idx % 2 * 64, 64, idx / 2, idx / 2]));
    assert!(fits.contains("of v are read before they are written"), "{fits}");
}

/// Random lists around honest code and around code that leaves the workspace, in a random step: the first are sound or not, the
/// second never.
#[test]
fn no_list_excuses_code_that_leaves_the_workspace() {
    let mut random = Random::new(12);
    let bytes = WORKSPACE_BYTES as u64;
    let mut n_sound = 0;
    for round in 0..1500 {
        let n_steps = random.pick(&[3, 3, 3, 3, 2, 4, 0]);
        let steps: Vec<String> = (0..n_steps)
            .map(|idx| format!(r#"{{"name":"s{idx}","tasks":{}}}"#, random.pick(&[1, 1, 1, 0, 4])))
            .collect();
        // Those of the code, and one for everything, with a number changed here and there.
        let mut rows = vec![[0, 64, 0, 1], [64, 64, 1, 2], [0, 64, 2, 2], [0, bytes - 64, 0, 2]];
        rows.retain(|_| random.percent(80));
        let values: Vec<String> = (rows.iter().enumerate())
            .map(|(idx, row)| {
                let [offset, bytes, first, last] = row.map(|number| match random.within(0, 9) {
                    0 => random.pick(&[u64::MAX, u64::MAX - 63, 1 << 40, bytes, bytes - 64, bytes - 4]),
                    1 => random.pick(&[0, 1, 2, 3, 4, 64, 128, 960]),
                    _ => number,
                });
                format!(r#"{{"name":"v{idx}","offset":{offset},"bytes":{bytes},"first_step":{first},"last_step":{last}}}"#)
            })
            .collect();
        let list = format!(r#"[{{"steps":[{}],"values":[{}]}}]"#, steps.join(","), values.join(","));
        let mut steps: [(u32, Step<'_>); 3] = [(0, &one), (1, &two), (2, &three)];
        n_sound += usize::from(broken(&object_of(&list, &steps, &none)).is_empty());
        let at = random.pick(&[bytes as i32, bytes as i32 - 60, -4, -64, 1 << 20]);
        let wild = |a: &mut CodeAssembler| call(a, [at, at], &fill);
        steps[round % 3].1 = &wild;
        assert!(!broken(&object_of(&list, &steps, &none)).is_empty(), "{list} excuses a write at byte {at}");
    }
    println!("{n_sound} of 1500 lists fit");
    assert!(0 < n_sound, "some of the lists are those of the code");
}
