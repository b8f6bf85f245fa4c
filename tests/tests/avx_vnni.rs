//! Machine code with AVX-VNNI, run by a CPU that may lack it: the one instruction that AVX2 hasn't got, `vpdpbusd`, is computed where it
//! stops the program. All others the CPU runs itself, and the answers are the reference's, to the last bit.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use mnc::passes::Fused;
use mnc::quantize::sample::with_integers;
use mnc::target::X86_64_V3_VNNI;
use mnc::{Compiled, Options, passes, reference};
use mnc_tests::link::Linked;
use mnc_tests::networks::RandomNetwork;
use mnc_tests::{bits, need, networks};

/// Instructions that were computed here.
static N_EMULATED: AtomicUsize = AtomicUsize::new(0);

/// Where the system keeps registers of vectors for a handler, from the state of the floating-point unit on: their lower halves, a bit for
/// each part of the state that isn't as a new thread has it, their upper halves (Intel's manual, volume 1, 13.4).
const LOWER: usize = 160;
const CHANGED: usize = 512;
const UPPER: usize = 576;

/// The operands of `vpdpbusd ymm, ymm, ymm` in VEX, by number: the sum, the bytes, the signed bytes.
fn operands(code: [u8; 5]) -> Option<[usize; 3]> {
    let [prefix, extensions, third, opcode, registers] = code.map(usize::from);
    let is_it = prefix == 0xc4
        && extensions & 0x1f == 2
        && third & 0x87 == 0x05
        && opcode == 0x50
        && registers >> 6 == 3;
    let upper = |bit: usize| (!extensions >> bit & 1) << 3;
    is_it.then_some([upper(7) | registers >> 3 & 7, !third >> 3 & 15, upper(5) | registers & 7])
}

extern "C" fn emulate(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes the context of the instruction that it couldn't run, with all that AVX keeps; five bytes are as long as
    // the instruction is, and a shorter one that the CPU lacks is followed by the end of its function.
    unsafe {
        let context = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext;
        let at = &mut context.gregs[libc::REG_RIP as usize];
        let Some([acc, bytes, signed]) = operands((*at as *const [u8; 5]).read_unaligned()) else {
            // Once more, without a handler.
            libc::signal(libc::SIGILL, libc::SIG_DFL);
            return;
        };
        let state = context.fpregs.cast::<u8>();
        let changed = state.add(CHANGED).cast::<u64>();
        if changed.read_unaligned() & 4 == 0 {
            state.add(UPPER).write_bytes(0, 256);
            changed.write_unaligned(changed.read_unaligned() | 4);
        }
        for part in [LOWER, UPPER] {
            let register = |number: usize| state.add(part + 16 * number).cast::<[u8; 16]>();
            let [factors, weights] = [bytes, signed].map(|number| register(number).read_unaligned());
            let sums = register(acc).cast::<[i32; 4]>();
            let mut found = sums.read_unaligned();
            for (idx, (factor, weight)) in factors.into_iter().zip(weights).enumerate() {
                let product = i32::from(factor) * i32::from(weight.cast_signed());
                found[idx / 4] = found[idx / 4].wrapping_add(product);
            }
            sums.write_unaligned(found);
        }
        *at += 5;
    }
    N_EMULATED.fetch_add(1, Ordering::Relaxed);
}

/// Whether this CPU runs such code, with help or without.
fn can_run() -> bool {
    if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("fma") {
        need::skip_optional("a CPU with AVX2");
        return false;
    }
    if !is_x86_feature_detected!("avxvnni") {
        // SAFETY: a handler of the type that the flag asks for; all else of the action is zeros.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = emulate as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
        }
    }
    true
}

fn compile(graph: mnc::graph::Graph, fused: Fused, name: &str) -> Compiled {
    let options = Options { name, labels: &[] };
    mnc::compile_fused(graph, fused, &need::target_of(&X86_64_V3_VNNI), &options, None).expect("it is legal")
}

#[test]
fn operands_are_those_of_the_encoding() {
    use iced_x86::{Code, Encoder, Instruction, Register};
    for numbers in [[0, 1, 2], [15, 7, 8], [7, 8, 15], [9, 15, 3]] {
        let [acc, a, b] = numbers.map(|number| Register::YMM0 + number as u32);
        let dot = Instruction::with3(Code::VEX_Vpdpbusd_ymm_ymm_ymmm256, acc, a, b).expect("it has operands");
        let mut encoder = Encoder::new(64);
        assert_eq!(encoder.encode(&dot, 0).expect("it has an encoding"), 5);
        let code = encoder.take_buffer().try_into().expect("five bytes");
        assert_eq!(operands(code), Some(numbers));
    }
    assert_eq!(operands([0xc5, 0xf8, 0x77, 0xc3, 0x90]), None);
}

#[test]
fn compiled_equals_reference() {
    if !can_run() {
        return;
    }
    let random = (0..need::n_seeds(40)).filter_map(|seed| {
        let RandomNetwork { graph, parameters, .. } = RandomNetwork::new(seed);
        let fused = with_integers(&passes::run(&graph, &parameters).ok()?, seed)?;
        Some(compile(graph, fused, &format!("n{seed}")))
    });
    let builtin = ["mobilenet-v1", "mobilenet-v2", "mobilenet-v3-small"].map(|name| {
        let (graph, parameters) =
            networks::builtin(name, if name.ends_with("small") { 0.75 } else { 0.25 }, 32);
        let fused = passes::run(&graph, &parameters).expect("it can be folded");
        let fused = with_integers(&fused, 1).expect("its layers have a form in integers");
        compile(graph, fused, &name.replace('-', "_"))
    });
    let compiled: Vec<Compiled> = random.chain(builtin).collect();
    let object = |compiled: &Compiled| compiled.object().expect("the network can be emitted");
    let objects = compiled.iter().map(|compiled| (compiled.info.name.as_str(), object(compiled)));
    let Some(linked) = Linked::new(objects) else { return };
    for compiled in &compiled {
        let input = networks::input(compiled.program.input, 1);
        let found = linked.network(compiled).run_unasked(&input, &compiled.program);
        let expected = reference::output(&compiled.fused, &input);
        let found = found.unwrap_or_else(|status| panic!("{}: {status}", compiled.info.name));
        bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{error}: {}", compiled.info.name));
    }
    let n_emulated = N_EMULATED.load(Ordering::Relaxed);
    println!("{} networks, {n_emulated} instructions computed here", compiled.len());
    assert!(is_x86_feature_detected!("avxvnni") || 10_000 < n_emulated, "{n_emulated} were computed");
}
