//! `mobilenet!` in a crate of a user's: trained and random networks in f32 and in int8 give the reference's bits, their weights in the macro or set
//! at run time, on one thread and on several, with what this machine has, AVX2, AVX-VNNI, in portable code, on aarch64, and tiny ones under Miri. That compiled objects do too is `trained.rs`'s to say.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use mnc::emit::rust::{self, Names, Source, Weights};
use mnc::graph::{Graph, Knobs};
use mnc::passes::{Domain, Fused, without_constant_channels};
use mnc::quantize::sample::with_integers;
use mnc::request::{Network::Named, Numbers, Request};
use mnc::target::X86_64_V3;
use mnc::weights::Parameters;
use mnc::weights::naming::Naming;
use mnc::{Options, Target, describe::Description, reference, sample};
use mnc_tests::checkpoints::Checkpoint;
use mnc_tests::folder::Folder;
use mnc_tests::need::{self, Cases};
use mnc_tests::networks::{RandomNetwork, few_seeds};
use mnc_tests::recipes::Recipes;
use mnc_tests::recorded::TRAINED;
use mnc_tests::user_crate::{self, UserCrate};
use mnc_tests::{bits, checkpoints, command, each, networks};
use safetensors::SafeTensors;

/// Trained networks that are small enough for emulators and portable code.
const SMALL: [usize; 3] = [0, 2, 7];

/// Trained networks with batch norms that do something, whose weights are set at run time as well.
const WITH_NORMS: [usize; 2] = [1, 2];

/// Folders as they are downloaded, a small one of each family: for this machine only. `MNC_CASES=all` takes all.
const PUBLISHED: [&str; 3] =
    ["hf.mobilenet_v2_0.35_96", "timm.mobilenetv3_small_050", "timm.mobilenetv4_conv_small"];
/// Recipes that a description of the tests is for.
const DESCRIBED: [(&str, &str); 2] =
    [("timm.efficientnet_lite0", "efficientnet-lite0.toml"), ("timm.lcnet_100", "lcnet.toml")];

/// Layers in the macro, and the description that they stand for: every kind of block, arrays, tables, sides that differ.
const INLINE: [(&str, &str); 2] = [
    (
        "input: 13 x 10 x 3, activation: hard_swish, alpha: { rounding: nearest, multiple: 4 }, outputs: [middle, scores],
         conv(3x3, 8, stride 2x1, name stem, batch_norm { epsilon 1e-5, gamma false }),
         inverted_residual(8, expand 3, reduce 0.25),
         fused_inverted_residual(12, 5x5, expand 2.5, stride 2),
         universal_inverted_bottleneck(12, start_kernel 3, middle_kernel [5, 3], expanded 20, repeat 2, name middle),
         squeeze_excite(reduced 4, gate_activation sigmoid),
         depthwise(5x3, padding { top 2, bottom 2, left 1, right 1 }, multiplier 2, name wide),
         concat(from [middle, \"wide\"]),
         max_pool(kernel 3, stride 1),
         dense(7, flatten chw, name scores)",
        r#"
            name = "a"
            classes = 1
            activation = "hard_swish"
            outputs = ["middle", "scores"]
            input = { height = 13, width = 10, channels = 3 }
            alpha = { rounding = "nearest", multiple = 4 }
            layer = [
                { kind = "conv", filters = 8, stride = [2, 1], name = "stem", batch_norm = { epsilon = 1e-5, gamma = false } },
                { kind = "inverted_residual", filters = 8, expand = 3, reduce = 0.25 },
                { kind = "fused_inverted_residual", filters = 12, kernel = 5, expand = 2.5, stride = 2 },
                { kind = "universal_inverted_bottleneck", filters = 12, start_kernel = 3, middle_kernel = [5, 3], expanded = 20,
                  repeat = 2, name = "middle" },
                { kind = "squeeze_excite", reduced = 4, gate_activation = "sigmoid" },
                { kind = "depthwise", kernel = [5, 3], padding = { top = 2, bottom = 2, left = 1, right = 1 }, multiplier = 2,
                  name = "wide" },
                { kind = "concat", from = ["middle", "wide"] },
                { kind = "max_pool", kernel = 3, stride = 1 },
                { kind = "dense", units = 7, flatten = "chw", name = "scores" },
            ]
        "#,
    ),
    (
        "input: 8 x 8 x 4, preprocess: { mean: [-0.5, 0, 0.25, 1], std: [1, 0.5, 2, 1] }, separable(8, reduce 0.5, name body),
         pointwise(8, input input, name side), add(from body, activation leaky_relu, slope 0.25), upsample(factor 2)",
        r#"
            name = "b"
            classes = 1
            input = { height = 8, width = 8, channels = 4 }
            preprocess = { mean = [-0.5, 0, 0.25, 1], std = [1, 0.5, 2, 1] }
            layer = [
                { kind = "separable", filters = 8, reduce = 0.5, name = "body" },
                { kind = "pointwise", filters = 8, input = "input", name = "side" },
                { kind = "add", from = "body", activation = "leaky_relu", slope = 0.25 },
                { kind = "upsample", factor = 2 },
            ]
        "#,
    ),
];

/// The program around the networks: `NETWORK INPUTS OUTPUTS WEIGHTS` runs each input of a file.
const MAIN: &str = include_str!("../fixtures/macro_main.rs");

/// A network of the user's crate: its definition, inputs and expected outputs.
struct Case {
    definition: String,
    inputs: Vec<Vec<f32>>,
    expected: Vec<f32>,
    /// The numbers of all tensors, where they are set at run time.
    numbers: Option<Vec<f32>>,
    /// Whether the input may be a picture's bytes.
    takes_bytes: bool,
}

impl Case {
    fn new(name: &str, fields: &str, fused: &Fused, inputs: Vec<Vec<f32>>) -> Case {
        let expected = each(&inputs, |input| reference::output(fused, input)).concat();
        let definition = format!("mobilenet! {{ pub struct {name} {{ {fields} }} }}\n");
        let takes_bytes = fused.nodes[0].shape().channels <= 4;
        Case { definition, inputs, expected, numbers: None, takes_bytes }
    }

    /// The same network and numbers, set at run time.
    fn at_run_time(&self, name: &str, fields: &str, numbers: Vec<f32>) -> Case {
        let definition = format!("mobilenet! {{ pub struct {name} {{ {fields}, weights: runtime }} }}\n");
        let (inputs, expected) = (self.inputs.clone(), self.expected.clone());
        Case { definition, inputs, expected, numbers: Some(numbers), takes_bytes: self.takes_bytes }
    }
}

/// The numbers of all tensors, as a file would have them, in the order in which `mnc tensors` lists them.
fn numbers(graph: &Graph, parameters: &Parameters) -> Vec<f32> {
    let file = parameters.to_safetensors(graph, &Naming::PLAIN).expect("the file can be written");
    let file = SafeTensors::deserialize(&file).expect("it is one");
    let specs = Naming::PLAIN.tensors(graph).expect("plain names fit every network");
    let bytes = specs.iter().flat_map(|spec| file.tensor(&spec.tensor).expect("it is there").data());
    bits::from_bytes(&bytes.copied().collect::<Vec<u8>>())
}

/// The expansion of a network in integers, whose constants it reads from a file of the package.
fn expansion(package: &UserCrate, name: &str, graph: &Graph, fused: Fused) -> String {
    let options = Options { name: "net", labels: &[] };
    let compiled = mnc::compile_fused(graph.clone(), fused, &Target::rust(), &options, None)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    package.write(&format!("data/{name}.weights"), compiled.program.constants.as_slice());
    let weights = format!("*include_bytes!(\"../data/{name}.weights\")");
    let names = Names { type_name: name, visibility: "pub", weights: Weights::Constants(&weights) };
    let Source { types, items } = rust::network(&compiled.program, &compiled.info, &names);
    format!("pub struct {name};\n{types}const _: () = {{\n{items}}};\n")
}

/// Random networks in integers, some of whose layers are in f32, without their constant channels; every so many-th with them, too.
fn random_integers(package: &UserCrate, cases: &mut Vec<Case>, every: u64) {
    let mut n_networks = 0u64;
    for &seed in few_seeds() {
        let network = RandomNetwork::new(seed);
        let fused = mnc::passes::run(&network.graph, &network.parameters).expect("the network is legal");
        let Some(fused) = with_integers(&fused, seed) else { continue };
        let with_them = n_networks.is_multiple_of(every).then(|| fused.clone());
        n_networks += 1;
        for fused in [without_constant_channels(fused, &Domain::Integers { keep_fit: true })]
            .into_iter()
            .chain(with_them)
        {
            let name = format!("N{}", cases.len());
            let definition = expansion(package, &name, &network.graph, fused.clone());
            cases.push(Case { definition, ..Case::new(&name, "", &fused, network.inputs()) });
        }
    }
    assert!(few_seeds().len() as u64 * 2 / 3 <= n_networks, "{n_networks} networks have a form in integers");
}

/// Writes the networks into a user's crate. Random ones are among them if `every` is said; every so many-th of these is there in a
/// second form, too: its weights set at run time, its constant channels kept.
fn user_crate(
    name: &str,
    features: &str,
    trained: &[usize],
    every: Option<u64>,
) -> Option<(UserCrate, Vec<Case>)> {
    let manifest = format!(
        "[dependencies]\nmnc-macros = {{ path = \"{{root}}/macros\" }}\n\
         mnc-runtime = {{ path = \"{{root}}/runtime\"{features} }}\n\
         [features]\nthreads = [\"mnc-runtime/std\"]\n"
    );
    let package = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), name, &manifest)?;
    let mut cases = Vec::new();
    for idx in trained {
        let Some(network) = TRAINED[*idx].read() else { continue };
        let path = |name| TRAINED[*idx].file(name).map(|path| path.display().to_string());
        let [Some(weights), Some(config)] = [TRAINED[*idx].weights, TRAINED[*idx].config].map(path) else {
            continue;
        };
        let fused = mnc::passes::run(&network.graph, &network.parameters).expect("the network is legal");
        let fields = format!("network: \"mobilenet-v1\", weights: {weights:?}, config: {config:?}");
        let inputs = network.inputs.into_iter().take(2).collect();
        let case = Case::new(&format!("N{}", cases.len()), &fields, &fused, inputs);
        if WITH_NORMS.contains(idx) {
            let name = format!("N{}", cases.len() + 1);
            let numbers = numbers(&network.graph, &network.parameters);
            let alpha = network.graph.alpha;
            let fields = format!("network: \"mobilenet-v1\", alpha: {alpha:?}, config: {config:?}");
            let again = case.at_run_time(&name, &fields, numbers);
            cases.extend([case, again]);
        } else {
            cases.push(case);
        }
    }
    let seeds = if every.is_some() { few_seeds() } else { &[] };
    for (idx, &seed) in seeds.iter().enumerate() {
        let RandomNetwork { toml, graph, parameters, .. } = &RandomNetwork::new(seed);
        let file = parameters.to_safetensors(graph, &Naming::PLAIN).expect("the file can be written");
        package.write(&format!("data/{seed}.toml"), toml);
        package.write(&format!("data/{seed}.safetensors"), file);
        let fused = mnc::passes::run(graph, parameters).expect("the network is legal");
        let fields = format!(
            "network: \"data/{seed}.toml\", weights: \"data/{seed}.safetensors\", naming: \"plain\", alpha: {:?}",
            graph.alpha
        );
        let inputs = RandomNetwork::new(seed).inputs();
        let case = Case::new(&format!("N{}", cases.len()), &fields, &fused, inputs);
        let fields = format!("network: \"data/{seed}.toml\", alpha: {:?}", graph.alpha);
        let name = format!("N{}", cases.len() + 1);
        let again = every.is_some_and(|every| (idx as u64).is_multiple_of(every));
        let again = again.then(|| case.at_run_time(&name, &fields, numbers(graph, parameters)));
        cases.push(case);
        cases.extend(again);
    }
    for (layers, toml) in INLINE.into_iter().filter(|_| every.is_some()) {
        let description = Description::parse(toml, "inline.toml").expect("it is legal");
        let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
        let fused = mnc::passes::run(&graph, &Parameters::random(&graph, 7)).expect("it is legal");
        let inputs = sample::inputs(graph.input_shape().len(), 7);
        let fields = format!("network: {{ {layers} }}, weights: random(7)");
        cases.push(Case::new(&format!("N{}", cases.len()), &fields, &fused, inputs));
    }
    if let Some(every) = every {
        random_integers(&package, &mut cases, every);
    }
    write_main(&package, &cases);
    Some((package, cases))
}

/// Writes the program of these networks.
fn write_main(package: &UserCrate, cases: &[Case]) {
    let mut main = String::from("use mnc_macros::mobilenet;\n");
    let mut arms = String::new();
    for (idx, case) in cases.iter().enumerate() {
        main += &case.definition;
        let arm = match case.numbers {
            None => format!("network!(N{idx}, N{idx}Workspace, &inputs)"),
            Some(_) => {
                format!("runtime_network!(N{idx}, N{idx}Workspace, N{idx}Weights, &inputs, &numbers)")
            }
        };
        let arm = match (case.takes_bytes, &case.numbers) {
            (true, None) => format!("{{ bytes!(N{idx}, N{idx}Workspace); {arm} }}"),
            (true, Some(_)) => format!(
                "{{ let weights: Box<N{idx}Weights> = weights_of!(N{idx}, N{idx}Weights, &numbers); \
                 bytes!(N{idx}, N{idx}Workspace, &weights); {arm} }}"
            ),
            (false, _) => arm,
        };
        writeln!(arms, "        {idx} => {arm},").expect("a String");
    }
    main += &MAIN.replace("        // NETWORKS\n", &arms);
    package.write("src/main.rs", main);
}

/// Runs each network and compares.
fn check(cases: &[Case], folder: &Path, program: impl Fn() -> Command) {
    for (idx, case) in cases.iter().enumerate() {
        let [inputs, outputs, weights] = ["inputs", "outputs", "weights"].map(|name| folder.join(name));
        std::fs::write(&inputs, bits::to_bytes(&case.inputs.concat())).expect("the folder is ours");
        let numbers = case.numbers.as_deref().unwrap_or_default();
        std::fs::write(&weights, bits::to_bytes(numbers)).expect("the folder is ours");
        need::run(program().arg(idx.to_string()).arg(&inputs).arg(&outputs).arg(&weights));
        let found = bits::from_bytes(&std::fs::read(&outputs).expect("the program wrote its outputs"));
        bits::compare(&found, &case.expected).unwrap_or_else(|error| panic!("{}: {error}", case.definition));
    }
}

#[test]
fn with_the_instructions_of_this_machine() {
    let all: Vec<usize> = (0..TRAINED.len()).collect();
    let Some((package, cases)) = user_crate("macro-std", "", &all, Some(3)) else { return };
    need::run(&mut package.cargo(&["build", "--release", "--features", "threads"]));
    check(&cases, package.path(), || Command::new(package.built("release/macro-std")));
}

/// Published networks, each in a crate of its own: the largest have constants of 130 MB.
#[test]
fn published() {
    let manifest = "[dependencies]\nmnc-macros = { path = \"{root}/macros\" }\n\
                    mnc-runtime = { path = \"{root}/runtime\" }\n\
                    [features]\nthreads = [\"mnc-runtime/std\"]\n";
    let Some(recipes) = Recipes::read() else { return };
    let Some(package) = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "macro-published", manifest) else {
        return;
    };
    let is_thorough = Cases::asked() == Cases::All;
    for name in if is_thorough { recipes.names() } else { PUBLISHED.to_vec() } {
        let folder = Folder::new();
        let weights = recipes.get(name).write(folder.path());
        let description = DESCRIBED.iter().find(|(described, _)| *described == name);
        let path = description.map(|(_, file)| need::workspace().join("tests/published").join(file));
        let network = path.unwrap_or_else(|| folder.path().to_owned());
        check_published(&package, &Checkpoint { network, weights }, Some(&recipes.get(name).inputs()[0]));
    }
    for write in if is_thorough { &checkpoints::ALL[..] } else { &[] } {
        let folder = Folder::new();
        let Some(checkpoint) = write(&folder) else { return };
        check_published(&package, &checkpoint, None);
    }
}

/// The macro gives the reference's bits for that input, or for one that is drawn.
fn check_published(package: &UserCrate, checkpoint: &Checkpoint, input: Option<&Vec<f32>>) {
    let [network, weights] =
        [&checkpoint.network, &checkpoint.weights].map(|path| path.display().to_string());
    let request = Request::new(Named(network.clone()), Numbers::File(checkpoint.weights.clone()));
    let fused = networks::of_request(&request);
    let drawn = || sample::inputs(fused.nodes[0].shape().len(), 1).swap_remove(0);
    let input = input.cloned().unwrap_or_else(drawn);
    let fields = format!("network: {network:?}, weights: {weights:?}");
    let cases = [Case::new("N0", &fields, &fused, vec![input])];
    write_main(package, &cases);
    let start = Instant::now();
    need::run(&mut package.cargo(&["build", "--release", "--features", "threads"]));
    println!("{network}: built in {:.1} s", start.elapsed().as_secs_f64());
    check(&cases, package.path(), || Command::new(package.built("release/macro-published")));
}

/// The person detector, quantised by the command: with weights whose pairs fit, and without; and in f32 without what is constant.
#[test]
fn int8_files() {
    let Some(package) = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "macro-int8", user_crate::MACRO) else {
        return;
    };
    let mut cases = Vec::new();
    for pairs in [&[][..], &["--pair-safe"]] {
        let file = package.path().join(format!("data/person{}.int8.safetensors", pairs.len()));
        if command::quantise_person(&file, pairs).is_none() {
            return;
        }
        let fused = networks::in_file(&file);
        assert!(fused.byte_input.is_some(), "{} is in int8", file.display());
        let inputs = sample::inputs(fused.nodes[0].shape().len(), 5);
        let fields =
            format!("network: {:?}, keep_constant: {}", file.display().to_string(), pairs.is_empty());
        cases.push(Case::new(&format!("N{}", cases.len()), &fields, &fused, inputs));
    }
    // The same in f32.
    let (folder, fused) = networks::person_without_constant();
    let fields = format!("network: {folder:?}, drop_constant: true");
    cases.push(Case::new("N2", &fields, &fused, sample::inputs(fused.nodes[0].shape().len(), 5)));
    write_main(&package, &cases);
    need::run(&mut package.cargo(&["build", "--release"]));
    check(&cases, package.path(), || Command::new(package.built("release/macro-int8")));
}

/// Without a feature of the target there is no AVX2.
#[test]
fn portable() {
    let Some((package, cases)) = user_crate("macro-portable", ", default-features = false", &SMALL, Some(4))
    else {
        return;
    };
    need::run(&mut package.cargo(&["build", "--release"]));
    check(&cases, package.path(), || Command::new(package.built("release/macro-portable")));
}

/// What processors without the best dot products take: nobody asks the CPU without `std`, so the target's features decide.
#[cfg(target_arch = "x86_64")]
fn with_features(features: &[&str]) {
    let is_missing = |feature: &&&str| match **feature {
        "avx2" => !is_x86_feature_detected!("avx2"),
        "fma" => !is_x86_feature_detected!("fma"),
        "avxvnni" => !is_x86_feature_detected!("avxvnni"),
        _ => unreachable!("no test has another"),
    };
    if let Some(missing) = features.iter().find(is_missing) {
        return need::skip_optional(&format!("a CPU with {missing}"));
    }
    let name = format!("macro-{}", features.join("-"));
    let Some((package, cases)) = user_crate(&name, ", default-features = false", &[], Some(4)) else {
        return;
    };
    // With a target said, flags are not those of the macro itself, which is compiled already.
    let target = need::target_of(&X86_64_V3).triple.to_string();
    let mut build = package.cargo(&["build", "--release", "--target", &target]);
    need::run(build.env("RUSTFLAGS", format!("-C target-feature=+{}", features.join(",+"))));
    let program = package.built(&format!("{target}/release/{name}"));
    check(&cases, package.path(), || Command::new(&program));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn avx2() {
    with_features(&["avx2", "fma"]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn avx_vnni() {
    with_features(&["avx2", "fma", "avxvnni"]);
}

#[test]
fn aarch64() {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let [Some(cc), Some(qemu)] = ["aarch64-linux-gnu-gcc", "qemu-aarch64"].map(need::program) else { return };
    if !need::has_std(TARGET) {
        return;
    }
    let Some((package, cases)) = user_crate("macro-aarch64", "", &SMALL, Some(4)) else { return };
    let mut build = package.cargo(&["build", "--release", "--features", "threads", "--target", TARGET]);
    need::run(build.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", cc));
    let program = package.built(&format!("{TARGET}/release/macro-aarch64"));
    check(&cases, package.path(), || {
        let mut command = Command::new(&qemu);
        command.args(["-L", "/usr/aarch64-linux-gnu"]).arg(&program);
        command
    });
}

/// Every access of a tiny network, in its bounds and initialised, as Miri sees it.
#[test]
fn miri() {
    let Some(cargo) = need::optional_program("cargo") else { return };
    let has_miri = Command::new(cargo).args(["+nightly", "miri", "--version"]).output();
    if !has_miri.is_ok_and(|output| output.status.success()) {
        return need::skip_optional("Miri (`rustup component add miri` on nightly)");
    }
    let toml = "name = \"tiny\"\nclasses = 3\ninput = { height = 5, width = 5, channels = 3 }\n\
                [[layer]]\nkind = \"conv\"\nfilters = 5\nstride = 2\n[[layer]]\nkind = \"separable\"\nfilters = 9\n\
                [[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n[[layer]]\nkind = \"softmax\"\n";
    // What Miri calls the program remembers the folder of the package; one left by an earlier run would look for that.
    let name = format!("macro-miri-{}", std::process::id());
    let Some((package, _)) = user_crate(&name, ", default-features = false", &[], None) else {
        return;
    };
    package.write("data/tiny.toml", toml);
    let description = Description::parse(toml, "tiny.toml").expect("it is legal");
    let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
    let parameters = Parameters::random(&graph, 1);
    let fused = mnc::passes::run(&graph, &parameters).expect("it is legal");
    let input: Vec<f32> = (0..graph.input_shape().len()).map(|idx| idx as f32 / 40.0 - 1.0).collect();
    let expected: Vec<u32> = reference::output(&fused, &input).iter().map(|value| value.to_bits()).collect();
    let in_integers = with_integers(&fused, 1).expect("it has a form in integers");
    let definition = expansion(&package, "Int", &graph, in_integers.clone());
    let of_integers: Vec<u32> =
        reference::output(&in_integers, &input).iter().map(|value| value.to_bits()).collect();
    let numbers: Vec<u32> = numbers(&graph, &parameters).iter().map(|x| x.to_bits()).collect();
    let main = format!(
        "mnc_macros::mobilenet! {{ struct Net {{ network: \"data/tiny.toml\", weights: random(1) }} }}\n\
         mnc_macros::mobilenet! {{ struct Set {{ network: \"data/tiny.toml\", weights: runtime }} }}\n\
         {definition}\
         fn main() {{\n    let input = std::array::from_fn(|idx| idx as f32 / 40.0 - 1.0);\n    \
         let mut workspace = Net::workspace();\n    \
         assert_eq!(Net::run(&input, &mut workspace).map(f32::to_bits), {expected:?});\n    \
         let mut workspace = Int::workspace();\n    \
         assert_eq!(Int::run(&input, &mut workspace).map(f32::to_bits), {of_integers:?});\n    \
         let rgb: [u8; 75] = std::array::from_fn(|idx| 3 * idx as u8);\n    \
         assert!(Int::run_u8(&rgb, 15, &mut workspace).iter().all(|x| x.is_finite()));\n    \
         let numbers: [f32; Set::PARAMETERS_LEN] = {numbers:?}.map(f32::from_bits);\n    \
         let mut weights = Set::weights();\n    \
         weights.set(|tensor| numbers.get(tensor.range())).unwrap();\n    \
         let mut workspace = Set::workspace();\n    \
         assert_eq!(Set::run(&input, &weights, &mut workspace).map(f32::to_bits), {expected:?});\n}}\n"
    );
    package.write("src/main.rs", main);
    let mut run = package.cargo(&["+nightly", "miri", "run"]);
    // Cargo of this test's own toolchain, and what it says of it, must not reach the other toolchain.
    for name in ["RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CARGO"] {
        run.env_remove(name);
    }
    need::run(&mut run);
}
