//! `mnc inspect` on objects of networks in int8: as they are they keep every promise; with one byte too many they are refused.

use std::collections::BTreeMap;

use iced_x86::{Code, Decoder, Instruction, Register};
use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::inspect::{Report, Walk, inspect};
use mnc::passes;
use mnc::program::Argument;
use mnc::quantize::sample::with_integers;
use mnc::target::{PLATFORMS, X86_64_V4, X86_64_V4_VNNI};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target};
use mnc_tests::{need, networks};
use object::{Object as _, ObjectSection as _};

fn targets() -> Vec<Target> {
    let platform = PLATFORMS.iter().find(|platform| platform.triple == "x86_64-unknown-linux-gnu");
    let targets = need::targets_of(platform.expect("a row of the table"));
    targets.into_iter().map(Target::with_dot_products).collect()
}

const OPTIONS: Options<'_> = Options { name: "net", labels: &[] };

fn network() -> (Graph, Parameters) {
    networks::builtin("mobilenet-v1", 0.25, 32)
}

/// A first layer that reads the caller's picture in several tasks.
fn network_of_many_pixels() -> (Graph, Parameters) {
    parsed(
        "name = \"many\"\nclasses = 4\ninput = { height = 40, width = 90, channels = 3 }\n\
         [[layer]]\nkind = \"conv\"\nfilters = 16\n\
         [[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n",
    )
}

/// Pixels of five bytes: a copy makes whole words of them, three bytes of which it leaves.
fn network_of_odd_pixels() -> (Graph, Parameters) {
    parsed(
        "name = \"odd\"\nclasses = 4\ninput = { height = 6, width = 6, channels = 5 }\n\
         [[layer]]\nkind = \"conv\"\nfilters = 16\nstride = 2\n\
         [[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n",
    )
}

fn parsed(text: &str) -> (Graph, Parameters) {
    let description = Description::parse(text, "net.toml").expect("it is legal");
    let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
    let parameters = Parameters::random(&graph, 1);
    (graph, parameters)
}

fn compiled(target: &Target) -> Compiled {
    compiled_of(network(), target, 1)
}

fn compiled_of((graph, parameters): (Graph, Parameters), target: &Target, seed: u64) -> Compiled {
    let network = passes::run(&graph, &parameters).expect("it is legal");
    let network = with_integers(&network, seed).expect("its layers have a form in integers");
    mnc::compile_fused(graph, network, target, &OPTIONS, None).expect("it is legal")
}

fn object(target: &Target) -> Vec<u8> {
    compiled(target).object().expect("it can be written")
}

/// What is said against an object, if anything.
fn found(bytes: &[u8]) -> String {
    let report = inspect(bytes).expect("it can be read");
    let broken = report.promises.iter().filter(|promise| promise.kept == Some(false));
    broken.map(|promise| format!("{}: {}\n", promise.promise, promise.found)).collect()
}

#[test]
fn every_object_keeps_its_promises() {
    for target in targets() {
        let report = inspect(&object(&target)).expect("it can be read");
        assert!(report.promises.iter().all(|promise| promise.kept == Some(true)), "{target}: {report:#?}");
        let (graph, parameters) = network();
        let in_f32 = mnc::compile(graph, &parameters, &target, &OPTIONS).expect("it is legal");
        let in_f32 = inspect(&in_f32.object().expect("it can be written")).expect("it can be read");
        fn of<'a>(report: &'a Report, entry: &str) -> &'a Walk {
            report.walks.iter().find(|walk| walk.entry == entry).expect("it is walked")
        }
        for entry in ["net_run_u8", "net_run_u8_parallel"] {
            assert_eq!(of(&report, entry).returns, [0, -1, -2, -3, -4], "{target}");
        }
        for entry in ["net_run", "net_run_parallel"] {
            assert_eq!(of(&report, entry).returns, [0, -1, -2, -3], "{target}");
            // No jump depends on the input's numbers, nor on where it lies.
            assert_eq!(of(&report, entry).forks, of(&in_f32, entry).forks, "{target}: {report:#?}");
        }
    }
}

#[test]
fn tasks_of_the_first_layer_may_read_the_picture() {
    for target in targets() {
        let mut n_read = 0;
        for seed in 1..5 {
            let compiled = compiled_of(network_of_many_pixels(), &target, seed);
            let byte_input = compiled.program.byte_input.as_ref().expect("it reads bytes");
            n_read += usize::from(byte_input.scale == [127.5; 3]);
            let first = &compiled.program.steps[0];
            assert!(1 < first.tasks.len(), "{target}: {} tasks", first.tasks.len());
            let report = inspect(&compiled.object().expect("it can be written")).expect("it can be read");
            let is_kept = report.promises.iter().all(|promise| promise.kept == Some(true));
            assert!(is_kept, "{target}, {seed}: {report:#?}");
        }
        assert!((1..4).contains(&n_read), "{n_read} networks read the picture's own bytes");
    }
}

/// One byte farther than it should: inside of the workspace, behind the value's end.
#[test]
fn a_kernel_that_leaves_its_value_by_a_byte_is_refused() {
    for target in targets().into_iter().filter(|target| target.wider.is_empty()) {
        let mut compiled = compiled(&target);
        let value = compiled.program.steps[0].calls.last().expect("it has calls").arguments.last().copied();
        let Some(Argument::Workspace { value, .. }) = value else { panic!("{value:?}") };
        let name = compiled.program.values[value].name.clone();
        let step = &mut compiled.program.steps[0];
        let calls = step.calls.iter_mut().chain(step.tasks.iter_mut().flat_map(|task| &mut task.calls));
        for argument in calls.flat_map(|call| &mut call.arguments) {
            if let Argument::Workspace { value: of, offset } = argument
                && *of == value
            {
                *offset += 1;
            }
        }
        let found = found(&compiled.object().expect("it can be written"));
        for entry in ["net_run: ", "net_run_parallel: ", "net_run_u8: ", "net_run_u8_parallel: "] {
            assert!(found.contains(entry), "{target}: {entry} in {found}");
        }
        assert!(found.contains(&format!(" of {name}")), "{target}: {found}");
    }
}

/// The instructions of an object, each with its place in the file.
fn instructions(bytes: &[u8]) -> Vec<(usize, Instruction)> {
    let file = object::File::parse(bytes).expect("it is an object");
    let text = file.section_by_name(".text").expect("it has code");
    let (start, size) = text.file_range().expect("its code is in the file");
    let code = &bytes[start as usize..(start + size) as usize];
    let mut decoder = Decoder::with_ip(64, code, start, 0);
    decoder.iter().map(|i| (i.ip() as usize, i)).collect()
}

/// Whether a kernel reads bytes or weights with it, or writes bytes.
fn is_of_kernels(code: Code) -> bool {
    use Code as C;
    matches!(
        code,
        C::VEX_Vpmovzxbd_ymm_xmmm64
            | C::EVEX_Vpmovzxbd_zmm_k1z_xmmm128
            | C::EVEX_Vpmovusdb_xmmm128_k1z_zmm
            | C::VEX_Vmovq_xmmm64_xmm
            | C::VEX_Vpinsrb_xmm_xmm_r32m8_imm8
            | C::VEX_Vpextrb_r32m8_xmm_imm8
            | C::VEX_Vmovd_xmm_rm32
            | C::VEX_Vpextrd_rm32_xmm_imm8
            | C::VEX_Vbroadcastss_ymm_m32
            | C::EVEX_Vbroadcastss_zmm_k1z_xmmm32
            | C::VEX_Vmovups_xmm_xmmm128
            | C::VEX_Vmovups_ymm_ymmm256
            | C::EVEX_Vmovups_zmm_k1z_zmmm512
    )
}

/// A distance in a kernel that becomes a larger one: the access is no longer where it was.
#[test]
fn changed_distances_are_refused() {
    for target in targets().into_iter().filter(|target| target.wider.is_empty()) {
        let bytes = object(&target);
        let mut tried: BTreeMap<String, usize> = BTreeMap::new();
        for (at, i) in instructions(&bytes).into_iter().filter(|(_, i)| is_of_kernels(i.code())) {
            let mut decoder = Decoder::with_ip(64, &bytes[at..], 0, 0);
            let decoded = decoder.decode();
            let offsets = decoder.get_constant_offsets(&decoded);
            let n_tried = tried.entry(format!("{:?}", i.code())).or_insert(0);
            let is_buffer = !matches!(i.memory_base(), Register::RIP | Register::RSP | Register::None);
            if !is_buffer || offsets.displacement_size() != 4 || 3 <= *n_tried {
                continue;
            }
            let mut changed = bytes.clone();
            // 16 MiB farther.
            changed[at + offsets.displacement_offset() + 3] ^= 1;
            assert!(!found(&changed).is_empty(), "{target}: {:?} at {at:#x} is called sound", i.code());
            *n_tried += 1;
        }
        tried.retain(|_, n_tried| *n_tried != 0);
        println!("{target}: {tried:?}");
        assert!(2 <= tried.len(), "{target}: {tried:?}");
    }
}

/// Masks that let upper lanes through for which a store of bytes has no room.
#[test]
fn changed_masks_are_refused() {
    for isa in [&X86_64_V4, &X86_64_V4_VNNI] {
        let compiled = compiled_of(network_of_odd_pixels(), &need::target_of(isa), 1);
        let bytes = compiled.object().expect("it can be written");
        let all = instructions(&bytes);
        let masks = all.windows(3).filter(|three| {
            three[0].1.code() == Code::Mov_r32_imm32
                && three[1].1.code() == Code::VEX_Kmovw_kr_r32
                && three[2].1.code() == Code::EVEX_Vpmovusdb_xmmm128_k1z_zmm
        });
        let masks: Vec<usize> = masks.map(|three| three[0].0 + 1).collect();
        assert!(!masks.is_empty(), "{}: some layer has less than 16 channels", isa.name);
        for at in masks {
            let mut changed = bytes.clone();
            changed[at + 1] |= 0xff;
            let found = found(&changed);
            assert!(
                ["bytes at byte", "is dead", "are written before the first step"]
                    .iter()
                    .any(|refusal| found.contains(refusal)),
                "{}: {at:#x}: {found}",
                isa.name
            );
        }
    }
}

/// Whatever a byte of code is changed to: an answer, not a panic.
#[test]
fn any_byte_of_code_may_be_changed() {
    for target in targets() {
        let bytes = object(&target);
        let all = instructions(&bytes);
        let (start, end) = (all[0].0, all[all.len() - 1].0);
        const N_CHANGES: usize = 16;
        let mut n_broken = 0;
        for change in 0..N_CHANGES {
            let mut changed = bytes.clone();
            changed[start + change * 7919 % (end - start)] ^= 1 << (change % 8);
            n_broken += usize::from(!found(&changed).is_empty());
        }
        assert!(0 < n_broken && n_broken < N_CHANGES, "{target}: {n_broken} of {N_CHANGES}");
    }
}
