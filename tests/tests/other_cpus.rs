//! Objects for processors other than this one: run in an emulator, and taken apart.

use std::process::Command;

use mnc::graph::Graph;
use mnc::graph::layer::Activation;
use mnc::passes;
use mnc::quantize::sample::with_integers;
use mnc::target::{AARCH64_DOTPROD, AARCH64_I8MM, ObjectFormat, PLATFORMS};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target, reference};
use mnc_runtime::abi::Status;
use mnc_tests::folder::Folder;
use mnc_tests::networks::{self, FEW_SEEDS, RandomNetwork, SMALL_CACHES};
use mnc_tests::recipes::Recipes;
use mnc_tests::recorded::TRAINED;
use mnc_tests::{bits, each, need, picture};
use object::{Architecture, BinaryFormat, Object as _, ObjectKind, ObjectSection as _, ObjectSymbol as _};
use object::{RelocationTarget, SectionFlags, SectionKind};

/// The C program around a network `net`.
const RUN_C: &str = include_str!("../fixtures/run.c");

/// Random networks with tall maps that go there.
const TALL_SEEDS: std::ops::Range<u64> = 0..12;

/// Published networks of inverted residuals, without gates and with them, that go there.
const PUBLISHED: [&str; 2] = ["hf.mobilenet_v2_0.35_96", "timm.mobilenetv3_small_050"];

/// A way to run the programs of another Linux.
struct Emulator {
    triple: &'static str,
    cc: &'static str,
    qemu: &'static str,
    cpu: &'static str,
}

const AARCH64: Emulator = Emulator {
    triple: "aarch64-unknown-linux-gnu",
    cc: "aarch64-linux-gnu-gcc",
    qemu: "qemu-aarch64",
    cpu: "max",
};
/// The least that the instruction set `rv64gcv` promises.
const RISCV64: Emulator = Emulator {
    triple: "riscv64gc-unknown-linux-gnu",
    cc: "riscv64-linux-gnu-gcc",
    qemu: "qemu-riscv64",
    cpu: "rv64,v=true,vlen=128,zba=true,zbb=true,zbs=true",
};
/// The same program on registers twice as wide.
const RISCV64_WIDE: Emulator = Emulator { cpu: "rv64,v=true,vlen=256,zba=true,zbb=true,zbs=true", ..RISCV64 };

const OPTIONS: Options<'_> = Options { name: "net", labels: &[] };

fn compile(graph: &Graph, parameters: &Parameters, target: &Target) -> Compiled {
    mnc::compile(graph.clone(), parameters, target, &OPTIONS)
        .unwrap_or_else(|error| panic!("{target}: {error}"))
}

impl Emulator {
    /// Whether the tools are there.
    fn is_there(&self) -> bool {
        [self.cc, self.qemu].map(|tool| need::program(tool).is_some()) == [true, true]
    }

    /// The outputs of every input, which several pools give as well.
    fn run(&self, compiled: &Compiled, inputs: &[Vec<f32>]) -> Vec<f32> {
        self.run_with(compiled, &bits::to_bytes(&inputs.concat()), &["-DPOOLS"])
    }

    /// What `run.c`, compiled with those flags more, makes of the file of inputs.
    fn run_with(&self, compiled: &Compiled, inputs: &[u8], more: &[&str]) -> Vec<f32> {
        let folder = Folder::new();
        folder.write("net.h", compiled.header());
        folder.write("run.c", RUN_C);
        folder.write("net.o", compiled.object().expect("the network can be emitted"));
        folder.write("inputs", inputs);
        if let Some(weights) = compiled.weights_file() {
            folder.write("net.weights", weights);
        }
        let flags =
            ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", "run", "run.c", "net.o"];
        need::run(Command::new(self.cc).current_dir(folder.path()).arg("-pthread").args(more).args(flags));
        let arguments = ["-cpu", self.cpu, "./run", "inputs", "outputs"];
        need::run(Command::new(self.qemu).current_dir(folder.path()).args(arguments));
        bits::from_bytes(
            &std::fs::read(folder.path().join("outputs")).expect("the program wrote its outputs"),
        )
    }

    fn target(&self) -> Target {
        Target::new(self.triple, None).expect("a row of the table")
    }

    /// The same with caches so small that tall maps are computed in bands.
    fn small_caches(&self) -> Target {
        let isa = SMALL_CACHES.iter().find(|isa| isa.tag == self.target().isa.tag).expect("each has one");
        Target { isa, ..self.target() }
    }

    /// Networks with tall maps on a processor with small caches: chains in several parts, which may resume.
    fn check_parts(&self) {
        let target = self.small_caches();
        let n_resuming = each(&TALL_SEEDS.collect::<Vec<u64>>(), |seed| {
            let network = RandomNetwork::tall(*seed);
            let compiled = compile(&network.graph, &network.parameters, &target);
            let inputs = &network.inputs()[..2];
            self.check_compiled(&format!("tall seed {seed}\n{}", network.toml), &compiled, inputs);
            let mut tasks = compiled.program.steps.iter().flat_map(|step| &step.tasks);
            usize::from(tasks.any(|task| task.resume.is_some()))
        });
        let n_resuming: usize = n_resuming.into_iter().sum();
        assert!(TALL_SEEDS.count() / 3 <= n_resuming, "{n_resuming} networks have parts that may resume");
    }

    /// The entry that takes bytes, and weights in a file: the bits of the reference.
    fn check_entries(&self) {
        let target = self.target();
        let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
        let compiled = compile(&graph, &parameters, &target);
        let stride = 97;
        let mut pixels = picture::random(&compiled.info, stride, 1);
        let input = picture::normalised(&compiled.info, &pixels, stride);
        // The program reads whole rows.
        pixels.resize(stride * 32, 0);
        let expected = reference::output(&compiled.fused, &input);
        let found = self.run_with(&compiled, &pixels, &[&format!("-DSTRIDE={stride}"), "-DPOOLS"]);
        assert_eq!(bits::compare(&found, &expected), Ok(()), "bytes on {}", self.qemu);

        let outside = compiled.with_weights_file("net.weights");
        let flags = ["-DWEIGHTS=\"net.weights\""];
        let found = self.run_with(&outside, &bits::to_bytes(&input), &flags);
        assert_eq!(bits::compare(&found, &expected), Ok(()), "weights in a file on {}", self.qemu);
    }

    /// The outputs of every input, which are the reference's.
    fn check(
        &self,
        place: &str,
        (graph, parameters): (&Graph, &Parameters),
        inputs: &[Vec<f32>],
    ) -> Vec<f32> {
        let compiled = compile(graph, parameters, &self.target());
        self.check_compiled(place, &compiled, inputs)
    }

    /// The same of a network that is compiled already.
    fn check_compiled(&self, place: &str, compiled: &Compiled, inputs: &[Vec<f32>]) -> Vec<f32> {
        let expected: Vec<f32> =
            inputs.iter().flat_map(|input| reference::output(&compiled.fused, input)).collect();
        let found = self.run(compiled, inputs);
        bits::compare(&found, &expected)
            .unwrap_or_else(|error| panic!("{place} on {} {}: {error}", self.qemu, self.cpu));
        found
    }

    fn check_all(&self) {
        if !self.is_there() {
            return;
        }
        each(&FEW_SEEDS, |seed| {
            let network = RandomNetwork::new(*seed);
            let place = format!("seed {seed}\n{}", network.toml);
            self.check(&place, (&network.graph, &network.parameters), &network.inputs());
        });
        let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 64);
        let inputs = [networks::input(graph.input_shape(), 1)];
        self.check("mobilenet-v1 0.25@64", (&graph, &parameters), &inputs);
        for recorded in [&TRAINED[0], &TRAINED[7]] {
            let Some(trained) = recorded.read() else { continue };
            let network = (&trained.graph, &trained.parameters);
            let outputs = self.check(recorded.weights, network, &trained.inputs[..1]);
            let label = |found: &[f32]| (0..found.len()).max_by(|a, b| found[*a].total_cmp(&found[*b]));
            let expected: Vec<f32> = trained.logits[0].iter().map(|logit| *logit as f32).collect();
            assert_eq!(label(&outputs), label(&expected), "the label on {}", self.qemu);
        }
        for name in PUBLISHED {
            let Some(recipes) = Recipes::read() else { break };
            let network = recipes.get(name).read();
            self.check(name, (&network.graph, &network.parameters), &network.inputs[..1]);
        }
        self.check_integers();
        self.check_entries();
        self.check_parts();
    }

    /// Networks in integers, for each instruction set of the platform: those with dot products in one instruction and those without.
    fn check_integers(&self) {
        let platform = PLATFORMS.iter().find(|platform| platform.triple == self.triple);
        let targets = need::targets_of(platform.expect("a row of the table"));
        let n_checked = each(&FEW_SEEDS, |seed| {
            let network = RandomNetwork::new(*seed);
            let Some(fused) = integers(&network, *seed) else { return 0 };
            for target in &targets {
                let compiled = compile_integers(&network, &fused, target);
                let place = format!("int8, seed {seed}, {target}\n{}", network.toml);
                self.check_compiled(&place, &compiled, &network.inputs());
            }
            1
        });
        assert!(FEW_SEEDS.len() / 2 <= n_checked.iter().sum(), "{n_checked:?}");
        let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
        let fused = passes::run(&graph, &parameters).expect("it is legal");
        let fused = with_integers(&fused, 1).expect("its layers have a form in integers");
        let inputs = [networks::input(graph.input_shape(), 1)];
        for target in &targets {
            let compiled = mnc::compile_fused(graph.clone(), fused.clone(), target, &OPTIONS, None);
            self.check_compiled(
                &format!("mobilenet-v1 0.25@32 in int8, {target}"),
                &compiled.expect("it is legal"),
                &inputs,
            );
        }
    }
}

/// The network with integers for its numbers, where they are proved.
fn integers(network: &RandomNetwork, seed: u64) -> Option<passes::Fused> {
    with_integers(&passes::run(&network.graph, &network.parameters).ok()?, seed)
}

fn compile_integers(network: &RandomNetwork, fused: &passes::Fused, target: &Target) -> Compiled {
    mnc::compile_fused(network.graph.clone(), fused.clone(), target, &OPTIONS, None)
        .unwrap_or_else(|error| panic!("{target}: {error}\n{}", network.toml))
}

/// What the emulators and the macro's crates run has every kind of layer, every activation, and the rare keys.
#[test]
fn the_seeds_have_everything() {
    let texts = FEW_SEEDS.map(|seed| RandomNetwork::new(seed).toml).concat();
    let mut lines: Vec<String> =
        networks::kinds().iter().map(|kind| format!("\nkind = {kind:?}\n")).collect();
    let words = Activation::ALL.map(Activation::word);
    lines.extend(words.map(|word| format!("activation = {word:?}\n")));
    let keys = [
        "flatten = \"chw\"",
        "outputs = ",
        "groups = ",
        "multiplier = ",
        "reduced = ",
        "reduce = ",
        "count_padding = true",
        "dilation = ",
        "stride = [",
        "kernel = [",
        "padding = {",
        "epsilon = ",
        "gamma = false",
    ];
    lines.extend(keys.map(str::to_owned));
    for line in lines {
        assert!(texts.contains(&line), "{line}");
    }
}

#[test]
fn aarch64() {
    AARCH64.check_all();
}

/// Code for dot products of bytes: one instruction for each, or two, and a status where the processor lacks it.
#[test]
fn aarch64_with_dot_products() {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
    let fused = passes::run(&graph, &parameters).expect("it is legal");
    let fused = with_integers(&fused, 1).expect("its layers have a form in integers");
    let inputs = [networks::input(graph.input_shape(), 1)];
    // `usdot v.4s, v.16b, v.16b`; `sdot` of the same.
    for (isa, dot, has, lacks) in [
        (&AARCH64_I8MM, (0xffe0_fc00, 0x4e80_9c00), "max", ["cortex-a72", "cortex-a76"].as_slice()),
        (&AARCH64_DOTPROD, (0xffe0_fc00, 0x4e80_9400), "cortex-a76", &["cortex-a72"]),
    ] {
        let target = Target::new(AARCH64.triple, Some(isa.name)).expect("a row of the table");
        let compiled = mnc::compile_fused(graph.clone(), fused.clone(), &target, &OPTIONS, None);
        let compiled = compiled.expect("it is legal");
        let words = instructions(&compiled.object().expect("the network can be emitted"));
        let n_of = |(mask, word): (u32, u32)| words.iter().filter(|found| **found & mask == word).count();
        // `saddlp v.4s, v.8h` sums products without it.
        let (n_dots, n_sums) = (n_of(dot), n_of((0xffff_fc00, 0x4e60_2800)));
        assert!(1000 < n_dots && n_sums == 0, "{target}: {n_dots} dot products, {n_sums} sums of products");
        if !AARCH64.is_there() {
            continue;
        }
        let on = |cpu| Emulator { cpu, ..AARCH64 };
        on(has).check_compiled("with dot products", &compiled, &inputs);
        for cpu in lacks {
            let run = || on(cpu).run(&compiled, &inputs);
            let failed = std::panic::catch_unwind(run).expect_err("it lacks them");
            let text = failed.downcast_ref::<String>().expect("what the program said");
            let status = Status::MissingCpuFeature.code();
            assert!(text.contains(&format!("net_run: {status}")), "{target} on {cpu}: {text}");
        }
    }
}

#[test]
fn riscv64() {
    RISCV64.check_all();
}

#[test]
fn riscv64_with_wider_vectors() {
    if RISCV64_WIDE.is_there() {
        let network = RandomNetwork::new(FEW_SEEDS[0]);
        RISCV64_WIDE.check("seed 0", (&network.graph, &network.parameters), &network.inputs());
    }
}

/// A mark is looked at by a load that acquires and set by a store that releases, on processors that order little by themselves:
/// an emulator on a processor that orders more can't show that.
#[test]
fn marks_order_memory() {
    for (emulator, is_load, is_store) in [
        // `ldar w, [x]` and `stlr w, [x]`.
        (AARCH64, (0xffff_fc00, 0x88df_fc00), (0xffff_fc00, 0x889f_fc00)),
        // `fence r, rw` behind the load and `fence rw, w` before the store.
        (RISCV64, (0xffff_ffff, 0x0230_000f), (0xffff_ffff, 0x0310_000f)),
    ] {
        let (mut n_resuming, mut n_marking) = (0, 0);
        for seed in TALL_SEEDS {
            let network = RandomNetwork::tall(seed);
            let compiled = compile(&network.graph, &network.parameters, &emulator.small_caches());
            let tasks = compiled.program.steps.iter().filter(|step| 1 < step.tasks.len());
            let tasks: Vec<_> = tasks.flat_map(|step| &step.tasks).collect();
            let words = instructions(&compiled.object().expect("the network can be emitted"));
            let count =
                |(mask, word): (u32, u32)| words.iter().filter(|found| **found & mask == word).count();
            let resuming = tasks.iter().filter(|task| task.resume.is_some()).count();
            let marking = tasks.iter().filter(|task| task.mark.is_some()).count();
            let (found, expected) = ((count(is_load), count(is_store)), (resuming, marking));
            assert_eq!(found, expected, "{} seed {seed}", emulator.triple);
            n_resuming += resuming;
            n_marking += marking;
        }
        assert!(10 < n_resuming && 10 < n_marking, "{n_resuming} tasks may resume, {n_marking} set a mark");
    }
}

/// The words of an object's code.
fn instructions(object: &[u8]) -> Vec<u32> {
    let file = object::File::parse(object).expect("it is an object");
    let code = file.sections().filter(|section| section.kind() == SectionKind::Text);
    let data = code.flat_map(|section| section.data().expect("it has its bytes").chunks_exact(4));
    data.map(|word| u32::from_le_bytes(word.try_into().expect("four bytes"))).collect()
}

/// An object, and whether its network takes bytes.
#[derive(PartialEq)]
struct Emitted {
    bytes: Vec<u8>,
    takes_bytes: bool,
}

/// Every platform and CPU with a whole network and with a random one.
fn objects() -> Vec<(Target, [Emitted; 2])> {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
    let small = RandomNetwork::new(FEW_SEEDS[1]);
    let targets: Vec<Target> = PLATFORMS.iter().flat_map(need::targets_of).collect();
    each(&targets, |target| {
        let networks = [(&graph, &parameters), (&small.graph, &small.parameters)];
        let objects = networks.map(|(graph, parameters)| {
            let compiled = compile(graph, parameters, target);
            let bytes = compiled.object().expect("it can be emitted");
            Emitted { bytes, takes_bytes: compiled.info.takes_bytes() }
        });
        (target.clone(), objects)
    })
}

#[test]
fn objects_are_self_contained() {
    for (target, networks) in objects() {
        for Emitted { bytes, takes_bytes } in &networks {
            check_object(&target, bytes, *takes_bytes).unwrap_or_else(|error| panic!("{target}: {error}"));
            check_format(&target, bytes).unwrap_or_else(|error| panic!("{target}: {error}"));
        }
    }
}

/// The file is one of the platform's own, for its processor, and each relocation lies in its section and points at a symbol
/// that the file defines.
fn check_format(target: &Target, bytes: &[u8]) -> Result<(), String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let format = match target.object_format() {
        ObjectFormat::Elf => BinaryFormat::Elf,
        ObjectFormat::MachO => BinaryFormat::MachO,
        ObjectFormat::Coff => BinaryFormat::Coff,
    };
    let processor = match target.triple.architecture.to_string().as_str() {
        "x86_64" => Architecture::X86_64,
        "aarch64" => Architecture::Aarch64,
        "riscv64gc" => Architecture::Riscv64,
        other => return Err(format!("no test knows {other}")),
    };
    let found = (file.format(), file.architecture(), file.kind());
    let expected = (format, processor, ObjectKind::Relocatable);
    if found != expected {
        return Err(format!("{found:?}, expected {expected:?}"));
    }
    let mut n_relocations = 0;
    for section in file.sections() {
        for (offset, relocation) in section.relocations() {
            n_relocations += 1;
            if section.size() <= offset {
                return Err(format!("a relocation at {offset:#x} of {} bytes", section.size()));
            }
            let is_defined = match relocation.target() {
                RelocationTarget::Symbol(symbol) => {
                    file.symbol_by_index(symbol).is_ok_and(|symbol| symbol.section_index().is_some())
                }
                RelocationTarget::Section(section) => file.section_by_index(section).is_ok(),
                _ => false,
            };
            if !is_defined {
                return Err(format!("the relocation at {offset:#x} points nowhere: {relocation:?}"));
            }
        }
    }
    // Entries call kernels and reach constants: some must be there to be checked.
    if n_relocations < 10 { Err(format!("{n_relocations} relocations")) } else { Ok(()) }
}

fn check_object(target: &Target, bytes: &[u8], takes_bytes: bool) -> Result<(), String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let name = |symbol: &object::Symbol<'_, '_>| symbol.name().unwrap_or("?").to_owned();
    let undefined: Vec<String> = file
        .symbols()
        .filter(|symbol| symbol.is_undefined() && symbol.name() != Ok(""))
        .map(|s| name(&s))
        .collect();
    if !undefined.is_empty() {
        return Err(format!("undefined symbols {undefined:?}"));
    }
    let mut exported: Vec<String> = file
        .symbols()
        .filter(|symbol| symbol.is_global() && symbol.is_definition())
        .map(|s| name(&s))
        .collect();
    exported.sort();
    let prefix = if target.mangles_with_underscore() { "_" } else { "" };
    let mut expected = vec!["info", "run", "run_parallel"];
    if takes_bytes {
        expected.extend(["run_u8", "run_u8_parallel"]);
    }
    let expected: Vec<String> = expected.iter().map(|function| format!("{prefix}net_{function}")).collect();
    if exported != expected {
        return Err(format!("exports {exported:?}, expected {expected:?}"));
    }
    for section in file.sections() {
        let place = section.name().unwrap_or("?");
        let by_flags = match section.flags() {
            SectionFlags::Elf { sh_flags, .. } => sh_flags & u64::from(object::elf::SHF_WRITE) != 0,
            SectionFlags::Coff { characteristics } => characteristics & object::pe::IMAGE_SCN_MEM_WRITE != 0,
            // A segment is writable, not a section.
            _ => section.segment_name() == Ok(Some("__DATA")),
        };
        let by_kind = match section.kind() {
            SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => false,
            SectionKind::Metadata | SectionKind::Note | SectionKind::Linker | SectionKind::Debug => false,
            // `.note.GNU-stack` and the like.
            SectionKind::Other | SectionKind::OtherString | SectionKind::Elf(_) | SectionKind::Unknown => {
                false
            }
            _ => true,
        };
        if section.size() != 0 && (by_flags || by_kind) {
            return Err(format!("section {place} ({:?}) can be written", section.kind()));
        }
    }
    Ok(())
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for ((target, networks), (_, again)) in objects().into_iter().zip(objects()) {
        assert!(networks == again, "{target}: the second object differs from the first");
    }
}
