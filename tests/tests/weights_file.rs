//! Weights outside of the object: the same bits as weights inside, and nothing runs on anything else.

use std::process::Command;

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::inspect::inspect;
use mnc::target::X86_64_V3;
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target};
use mnc_runtime::abi::Status;
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::guarded::Guarded;
use mnc_tests::link::{Linked, Network};
use mnc_tests::{bits, need, networks, picture, pool};

/// Code, tables and description of the largest network, for one instruction set.
const MOST_OBJECT_BYTES: usize = 500_000;

fn compile(target: &Target, alpha: f64, resolution: usize) -> Compiled {
    let (graph, parameters) = networks::builtin("mobilenet-v1", alpha, resolution);
    let options = Options { name: "net", labels: &[] };
    mnc::compile(graph, &parameters, target, &options).expect("the network is legal")
}

/// The file at an address that is `past_line` modulo 64.
fn placed(file: &[u8], past_line: usize) -> Guarded {
    let mut memory = Guarded::new(file.len(), past_line, 0);
    memory.bytes_mut().copy_from_slice(file);
    memory
}

struct Memory {
    input: Guarded,
    output: Guarded,
    workspace: Guarded,
}

impl Memory {
    fn new(network: &Network<'_>, input: &[f32]) -> Memory {
        Memory {
            input: Guarded::of(input, 4),
            output: Guarded::new(network.output_len * 4, 8, 0x5a),
            workspace: Guarded::new(network.workspace_bytes, 0, 0xff),
        }
    }

    fn bind(&mut self, network: &Network<'_>, weights: &Guarded) -> Status {
        // SAFETY: the workspace is as long as the network says.
        unsafe { network.bind(self.workspace.as_mut_ptr(), weights.bytes()) }
    }

    fn run(&mut self, network: &Network<'_>) -> Status {
        let [x, y, w] = [&mut self.input, &mut self.output, &mut self.workspace].map(Guarded::as_mut_ptr);
        // SAFETY: as much memory as the network says; weights that it was bound to are still there.
        unsafe { network.call(x.cast(), y.cast(), w) }
    }

    fn run_parallel(&mut self, network: &Network<'_>) -> Status {
        let [x, y, w] = [&mut self.input, &mut self.output, &mut self.workspace].map(Guarded::as_mut_ptr);
        // SAFETY: likewise, and the pool lives for ever.
        unsafe { network.call_parallel(x.cast(), y.cast(), w, &pool::ALL_AT_ONCE) }
    }
}

/// For each instruction set of this machine, with the answer of the same network with its weights inside.
fn with_network(check: impl Fn(&Compiled, &Network<'_>, &[f32], &[f32])) {
    for target in need::host_targets() {
        let inside = compile(&target, 0.25, 32);
        let outside = inside.clone().with_weights_file("net.weights");
        let Some(linked_inside) = Linked::one(&inside) else { return };
        let Some(linked) = Linked::one(&outside) else { return };
        let input = networks::input(inside.program.input, 1);
        match linked_inside.network(&inside).run(&input) {
            Ok(expected) => check(&outside, &linked.network(&outside), &input, &expected),
            Err(Status::MissingCpuFeature) => need::skip_cpu(&inside),
            Err(status) => panic!("{target}, weights inside: {status}"),
        }
    }
}

#[test]
fn bound_weights_give_the_same_bits() {
    with_network(|compiled, network, input, expected| {
        let weights = placed(&compiled.weights_file().expect("it has one"), 0);
        let mut memory = Memory::new(network, input);
        assert_eq!(memory.bind(network, &weights), Status::Ok);
        for _ in 0..2 {
            assert_eq!(memory.run(network), Status::Ok);
            assert_eq!(bits::compare(&memory.output.values(), expected), Ok(()));
            memory.output.bytes_mut().fill(0x5a);
            assert_eq!(memory.run_parallel(network), Status::Ok);
            assert_eq!(bits::compare(&memory.output.values(), expected), Ok(()));
        }
        // At another address, as another process maps them.
        let again = placed(weights.bytes(), 0);
        drop(weights);
        assert_eq!(memory.bind(network, &again), Status::Ok);
        assert_eq!(memory.run(network), Status::Ok);
        assert_eq!(bits::compare(&memory.output.values(), expected), Ok(()));
        assert!(memory.output.is_intact() && memory.workspace.is_intact());
    });
}

#[test]
fn nothing_runs_unbound() {
    with_network(|compiled, network, input, _| {
        let weights = placed(&compiled.weights_file().expect("it has one"), 0);
        let mut memory = Memory::new(network, input);
        let check = |memory: &mut Memory, when: &str| {
            assert_eq!(memory.run(network), Status::NotBound, "{when}");
            assert_eq!(memory.run_parallel(network), Status::NotBound, "{when}");
            assert!(memory.output.bytes().iter().all(|byte| *byte == 0x5a), "nothing is written {when}");
        };
        check(&mut memory, "at first");
        let pixels = picture::random(&compiled.info, network.row_bytes, 1);
        for pool in [None, Some(&pool::BACKWARDS)] {
            assert_eq!(network.run_u8(&pixels, network.row_bytes, pool), Err(Status::NotBound));
        }
        // Whatever part of the mark another user of the workspace has spoilt, address included.
        let state = network.workspace_bytes - 64;
        for spoilt in (16..40).step_by(4) {
            assert_eq!(memory.bind(network, &weights), Status::Ok);
            memory.workspace.bytes_mut()[state + spoilt..][..4].fill(0x11);
            check(&mut memory, &format!("after bytes {spoilt}.. were written"));
        }
    });
}

#[test]
fn only_the_own_weights_bind() {
    with_network(|compiled, network, input, _| {
        let file = compiled.weights_file().expect("it has one");
        let mut memory = Memory::new(network, input);
        let mut refused = |what: &str, weights: &Guarded, expected: Status| {
            assert_eq!(memory.bind(network, weights), expected, "{what}");
            assert_eq!(memory.run(network), Status::NotBound, "{what}");
        };
        let whole = placed(&file, 0);
        refused("misaligned", &placed(&file, 32), Status::WrongWeights);
        refused("cut short", &placed(&file[..file.len() - 1], 0), Status::WrongWeights);
        refused("empty", &placed(&[], 0), Status::WrongWeights);
        let mut longer = file.clone();
        longer.push(0);
        refused("longer", &placed(&longer, 0), Status::WrongWeights);
        // One bit of each field of the header, of the first number, of one in the middle and of the last.
        for at in [0, 8, 16, 24, 32, 63, 64, file.len() / 2, file.len() - 1] {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            refused(&format!("byte {at}"), &placed(&damaged, 0), Status::WrongWeights);
        }
        // SAFETY: a null pointer is allowed.
        assert_eq!(unsafe { network.bind(std::ptr::null_mut(), whole.bytes()) }, Status::NullPointer);
        let mut workspace = Guarded::new(network.workspace_bytes, 32, 0);
        // SAFETY: a misaligned workspace is allowed.
        let status = unsafe { network.bind(workspace.as_mut_ptr(), whole.bytes()) };
        assert_eq!(status, Status::MisalignedWorkspace);
    });
}

/// Such a network stays as it is: nothing promises to bind what isn't there.
#[test]
fn a_network_without_weights_has_no_file() {
    let text = "name = \"twice\"\nclasses = 1\ninput = { height = 4, width = 5, channels = 3 }\n\
                [[layer]]\nkind = \"add\"\nfrom = \"input\"\nactivation = \"none\"\n";
    let description = Description::parse(text, "twice.toml").expect("it is legal");
    let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
    let target = need::target_of(&X86_64_V3);
    let parameters = Parameters::random(&graph, 1);
    let options = Options { name: "net", labels: &[] };
    let compiled = mnc::compile(graph, &parameters, &target, &options).expect("it is legal");
    let compiled = compiled.with_weights_file("net.weights");
    assert!(compiled.weights_file().is_none() && !compiled.header().contains("net_bind"));
    let report = inspect(&compiled.object().expect("it can be written")).expect("it can be read");
    assert!(report.is_kept(), "{report:#?}");
}

#[test]
fn the_object_is_small() {
    for target in need::host_targets() {
        let outside = compile(&target, 1.0, 224).with_weights_file("net.weights");
        let bytes = outside.object().expect("it can be emitted").len();
        let most = MOST_OBJECT_BYTES * (1 + target.wider.len());
        assert!(bytes < most, "{target}: {bytes} bytes, expected below {most}");
    }
}

/// Executables find their weights beside themselves, take others from the user and name what is wrong.
#[test]
fn executables() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let example = need::workspace().join("examples/person-detector").canonicalize().expect("it is there");
    let mut compile = Command::new(mnc);
    compile.current_dir(folder.path()).args(["compile", "mobilenet-v1", "-q", "-o", "detect"]);
    compile.args(["--weights-file", "detect.weights", "--weights"]).arg(example.join("person.safetensors"));
    need::run(&mut compile);
    let photo = example.join("photos/astronaut.jpg");
    let detect = |arguments: &[&str]| {
        let mut command = Command::new(folder.path().join("detect"));
        let output = command.args(arguments).arg("--top=1").arg(&photo).output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = detect(&[]);
    if err.contains("expected a CPU with") {
        return need::skip("a CPU with the default instruction set");
    }
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("0.9495  person"), "{out}");

    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(folder.path().join("detect.weights"), &elsewhere).expect("it can be moved");
    let (code, _, err) = detect(&[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("detect.weights: not found") && err.contains("--weights FILE"), "{err}");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    let (code, out, _) = detect(&["--weights", elsewhere]);
    assert_eq!(code, Some(0));
    assert!(out.contains("0.9495  person"), "{out}");
    let (code, _, err) = detect(&["--weights", mnc.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(1));
    assert!(err.contains("these aren't the weights"), "{err}");
    // What needs no weights works without.
    let info = need::run(Command::new(folder.path().join("detect")).arg("--info"));
    assert!(String::from_utf8_lossy(&info.stdout).contains("detect.weights"));
}
