//! Files that a network is made of change, and the next `cargo build` gives the new network: through the macro and through a
//! build script. Where nothing has changed, nothing is compiled.

use std::process::Command;

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::weights::config::ModelConfig;
use mnc::weights::naming::Naming;
use mnc::{passes, reference};
use mnc_tests::need;
use mnc_tests::user_crate::{self, Message, UserCrate};

const TOML: &str = "name = \"tiny\"\nclasses = 3\ninput = { height = 6, width = 6, channels = 3 }\n\
    [[layer]]\nkind = \"conv\"\nfilters = 5\nstride = 2\n[[layer]]\nkind = \"separable\"\nfilters = 9\n\
    [[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n";
const CONFIG: &str = "{\"id2label\": {\"0\": \"ant\", \"1\": \"bee\", \"2\": \"cat\"}}";

/// The program, after what brings `Net`.
const MAIN: &str = "fn main() {
    let input = std::array::from_fn(|idx| idx as f32 / 50.0 - 1.0);
    let mut workspace = NetWorkspace::boxed();
    println!(\"{:?} {:?}\", Net::LABELS, Net::run(&input, &mut workspace).map(f32::to_bits));
}
";

/// What the network is made of.
struct Files {
    toml: String,
    seed: u64,
    config: String,
}

impl Files {
    /// Writes what differs from before, as a user does.
    fn write(&self, package: &UserCrate) {
        let description = Description::parse(&self.toml, "net.toml").expect("it is legal");
        let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
        let weights = Parameters::random(&graph, self.seed).to_safetensors(&graph, &Naming::PLAIN);
        let files = [
            ("data/net.toml", self.toml.as_bytes()),
            ("data/net.safetensors", &weights.expect("the file can be written")),
            ("data/config.json", self.config.as_bytes()),
        ];
        for (name, bytes) in files {
            if std::fs::read(package.path().join(name)).ok().as_deref() != Some(bytes) {
                package.write(name, bytes);
            }
        }
    }

    /// What the program prints.
    fn expected(&self) -> String {
        let mut description = Description::parse(&self.toml, "net.toml").expect("it is legal");
        let config = ModelConfig::parse(&self.config, "config.json").expect("it is legal");
        config.apply(&mut description);
        let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
        let fused = passes::run(&graph, &Parameters::random(&graph, self.seed)).expect("it is legal");
        let input: Vec<f32> = (0..graph.input_shape().len()).map(|idx| idx as f32 / 50.0 - 1.0).collect();
        let bits: Vec<u32> = reference::output(&fused, &input).iter().map(|value| value.to_bits()).collect();
        format!("{:?} {bits:?}\n", config.labels().expect("it has labels"))
    }
}

/// Builds over and over, each time after another change.
fn check(package: &UserCrate) {
    let name = package.name();
    let mut files = Files { toml: TOML.to_owned(), seed: 1, config: CONFIG.to_owned() };
    let mut step = |what: &str, change: &dyn Fn(&mut Files)| {
        change(&mut files);
        files.write(package);
        let compiled =
            |messages: Vec<Message>| messages.iter().filter_map(Message::was_compiled).any(|it| it);
        assert!(compiled(package.build(&["--release"])), "{name}, {what}: nothing was compiled");
        let run = need::run(&mut Command::new(package.built("release").join(name)));
        assert_eq!(String::from_utf8_lossy(&run.stdout), files.expected(), "{name}, {what}");
        assert!(
            !compiled(package.build(&["--release"])),
            "{name}, {what}: compiled again, though nothing has changed"
        );
    };
    step("new", &|_| {});
    step("another description", &|files| files.toml = TOML.replace("stride = 2", "stride = 1"));
    step("other weights", &|files| files.seed = 2);
    step("another configuration beside the weights", &|files| files.config = CONFIG.replace("bee", "bat"));
}

#[test]
fn through_the_macro() {
    let Some(package) = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "rebuild-macro", user_crate::MACRO)
    else {
        return;
    };
    let head = "mnc_macros::mobilenet! {\n    struct Net {\n        network: \"data/net.toml\",\n        \
                weights: \"data/net.safetensors\",\n        naming: \"plain\",\n        alpha: 1,\n    }\n}\n";
    // In a function: the expansion refers to nothing by a path from the crate's root.
    package.write("src/main.rs", MAIN.replacen("{\n", &format!("{{\n{head}"), 1));
    check(&package);
}

#[test]
fn through_a_build_script() {
    let Some(_) = need::program("cc") else { return };
    let Some(package) =
        UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "rebuild-script", user_crate::BUILD_SCRIPT)
    else {
        return;
    };
    let script = "fn main() -> Result<(), mnc::Error> {\n    let model = mnc::build::Model::new(\"data/net.toml\");\n    \
                  model.weights(\"data/net.safetensors\").naming(\"plain\").alpha(1.0).emit(\"Net\")\n}\n";
    package.write("build.rs", script);
    package.write("src/main.rs", format!("include!(concat!(env!(\"OUT_DIR\"), \"/net.rs\"));\n{MAIN}"));
    check(&package);
}
