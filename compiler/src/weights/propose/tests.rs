use super::super::names::Names;
use super::*;
use crate::describe::builtin;
use crate::random::Random;
use crate::weights::Parameters;

/// What a kind of file calls the tensors of a network, from what timm calls them.
type Rename<'r> = &'r dyn Fn(usize, &TensorSpec) -> String;

/// A file of a network under other names: how many tensors are proposed wrongly, and how many with a question.
fn check(network: &str, layout: Layout, rename: Rename<'_>, expected: (usize, usize)) -> String {
    let mut description = builtin(network).unwrap().description();
    description.classes = 10;
    let graph = Graph::build(&description, &Knobs { alpha: 0.5, resolution: None }).unwrap();
    let parameters = Parameters::random(&graph, 1);
    let specs = Naming::PLAIN.tensors_in(&graph, layout).unwrap();
    let renamed: Vec<(String, TensorSpec)> =
        specs.iter().enumerate().map(|(at, spec)| (rename(at, spec), spec.clone())).collect();
    let file = parameters.to_file(&graph, renamed.iter().cloned()).unwrap();
    let weights = Weights::parse(&file, "w").unwrap();
    let proposal = weights.propose(&builtin(network).unwrap().description(), None);
    let proposal = proposal.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((proposal.alpha, proposal.classes, proposal.layout), (0.5, 10, layout));
    let wrong: Vec<String> = proposal
        .rows
        .iter()
        .zip(&renamed)
        .filter(|(row, (name, _))| row.tensor.as_ref() != Some(name))
        .map(|(row, (name, _))| format!("{} {:?} {name}", row.spec.tensor, row.tensor))
        .collect();
    let n_asked = proposal.rows.iter().filter(|row| !row.also.is_empty()).count();
    assert_eq!((wrong.len(), n_asked), expected, "{wrong:?}");

    // What is written does what it says, as soon as nothing is left to decide.
    let text = proposal.text("net");
    let names = Names::parse(&text, "n");
    assert_eq!(names.is_err(), 0 < n_asked, "{text}");
    let decided = text.replace("= ? ", "= ");
    if wrong.is_empty() {
        let mut weights = weights;
        weights
            .rename(&Names::parse(&decided, "n").unwrap())
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(weights.parameters(&graph, None).unwrap(), parameters);
    }
    text
}

/// The block, the part of it and the word of a plain name of V1: `conv_pw_3.norm.gamma` is 3, "pw", gamma.
fn parts(spec: &TensorSpec) -> (usize, &'static str, Role, bool) {
    let name = spec.layer.trim_end_matches(".norm");
    let number = name.rsplit('_').next().unwrap().parse().unwrap();
    let kind = if name.starts_with("conv_dw") {
        "dw"
    } else if name.starts_with("conv_pw") {
        "pw"
    } else if name.starts_with("dense") {
        "fc"
    } else {
        "stem"
    };
    (number, kind, spec.role, spec.layer.ends_with(".norm"))
}

fn torch(role: Role) -> &'static str {
    match role {
        Role::Weight | Role::Gamma => "weight",
        Role::Bias | Role::Beta => "bias",
        Role::Mean => "running_mean",
        Role::Variance => "running_var",
    }
}

#[test]
fn well_known_copies_of_v1() {
    // kuangliu's, and everybody's who began with it.
    let basic = |_: usize, spec: &TensorSpec| {
        let (number, kind, role, is_norm) = parts(spec);
        let what = if is_norm { "bn" } else { "conv" };
        match kind {
            "stem" => format!("module.{what}1.{}", torch(role)),
            "fc" => format!("module.linear.{}", torch(role)),
            "dw" => format!("module.layers.{}.{what}1.{}", number - 1, torch(role)),
            _ => format!("module.layers.{}.{what}2.{}", number - 1, torch(role)),
        }
    };
    let text = check("mobilenet-v1", Layout::Oihw, &basic, (0, 0));
    assert!(text.contains("\"conv_pw_{i}.norm.mean\" = \"module.layers.{i-1}.bn2.running_mean\""), "{text}");
    assert!(text.lines().count() < 30, "{text}");

    // Sequential of Sequential, the stem as block 0.
    let sequential = |prefix: &'static str, fc: &'static str| {
        move |_: usize, spec: &TensorSpec| {
            let (number, kind, role, is_norm) = parts(spec);
            let at = usize::from(is_norm) + if kind == "pw" { 3 } else { 0 };
            match kind {
                "stem" => format!("{prefix}.0.{at}.{}", torch(role)),
                "fc" => format!("{fc}.{}", torch(role)),
                _ => format!("{prefix}.{number}.{at}.{}", torch(role)),
            }
        }
    };
    check("mobilenet-v1", Layout::Oihw, &sequential("model", "fc"), (0, 0));
    check("mobilenet-v1", Layout::Oihw, &sequential("module.model", "module.fc"), (0, 0));
    check("mobilenet-v1", Layout::Oihw, &sequential("features", "classifier.1"), (0, 0));

    // A face detector's: three stages.
    let stages = |_: usize, spec: &TensorSpec| {
        let (number, kind, role, is_norm) = parts(spec);
        let number = if kind == "stem" { 0 } else { number };
        let (stage, block) = match number {
            0..=5 => (1, number),
            6..=11 => (2, number - 6),
            _ => (3, number - 12),
        };
        let at = usize::from(is_norm) + if kind == "pw" { 3 } else { 0 };
        match kind {
            "fc" => format!("fc.{}", torch(role)),
            _ => format!("stage{stage}.{block}.{at}.{}", torch(role)),
        }
    };
    check("mobilenet-v1", Layout::Oihw, &stages, (0, 0));

    // One Sequential, flat: every third is an activation.
    let flat = |_: usize, spec: &TensorSpec| {
        let (number, kind, role, is_norm) = parts(spec);
        let layer = match kind {
            "stem" => 0,
            "dw" => 2 * number - 1,
            "pw" => 2 * number,
            _ => return format!("classifier.{}", torch(role)),
        };
        format!("features.{}.{}", 3 * layer + usize::from(is_norm), torch(role))
    };
    let text = check("mobilenet-v1", Layout::Oihw, &flat, (0, 0));
    assert!(text.contains("\"conv_dw_{i}.weight\" = \"features.{6*i-3}.weight\""), "{text}");
}

#[test]
fn axes_of_tensorflow() {
    let own = |_: usize, spec: &TensorSpec| {
        let word = match spec.role {
            Role::Weight => "kernel",
            Role::Bias => "bias",
            Role::Gamma => "scale",
            Role::Beta => "bias",
            Role::Mean => "mean",
            Role::Variance => "var",
        };
        let layer =
            spec.layer.replace(".norm", "_norm").replace("conv_dw", "Depthwise").replace("conv_pw", "Conv");
        format!("params/{layer}/{word}")
    };
    for layout in [Layout::Hwio, Layout::Ohwi] {
        check("mobilenet-v1", layout, &own, (0, 0));
    }
}

#[test]
fn other_networks() {
    for network in ["mobilenet-v2", "mobilenet-v3-small"] {
        let own = |_: usize, spec: &TensorSpec| {
            let layer = spec.layer.replace(".norm", ".bn").replace('_', ".");
            format!("net.{layer}.{}", torch(spec.role))
        };
        check(network, Layout::Oihw, &own, (0, 0));
    }
}

/// Numbers for names: filters are told by their shapes, the four vectors of a norm by nothing.
#[test]
fn names_that_say_nothing() {
    let numbered = |at: usize, _: &TensorSpec| format!("p{at}");
    let text = check("mobilenet-v1", Layout::Oihw, &numbered, (0, 108));
    assert!(
        text.contains("\"conv_dw_{i}.norm.gamma\" = ? \"p{10*i-4}\"  # also fits: \"p7\", \"p8\", \"p9\""),
        "{text}"
    );
}

/// Keras 3's files have numbers for the variables of a layer, in an order that it keeps.
#[test]
fn variables_by_number() {
    let variable = |_: usize, spec: &TensorSpec| {
        let number = match spec.role {
            Role::Weight | Role::Gamma => 0,
            Role::Bias | Role::Beta => 1,
            Role::Mean => 2,
            Role::Variance => 3,
        };
        format!("layers/{}/vars/{number}", spec.layer.replace(".norm", "_bn"))
    };
    for network in ["mobilenet-v1", "mobilenet-v2", "mobilenet-v3-small"] {
        check(network, Layout::Hwio, &variable, (0, 0));
    }
}

/// Layers in no order: those of one shape could be each other.
#[test]
fn shuffled() {
    let mut random = Random::new(5);
    let mut words: Vec<String> = (0..200).map(|_| format!("x{}", letters(random.bits()))).collect();
    words.dedup();
    let of_layer = |_: usize, spec: &TensorSpec| {
        let layer = spec.layer.trim_end_matches(".norm");
        let at = layer.bytes().fold(7usize, |sum, byte| (sum * 31 + usize::from(byte)) % 199);
        let norm = if spec.layer.ends_with(".norm") { "bn" } else { "conv" };
        format!(
            "{}{}.{norm}.{}",
            words[at],
            layer.replace(|c: char| c.is_ascii_digit() || c == '_', "").len(),
            torch(spec.role)
        )
    };
    let mut description = builtin("mobilenet-v1").unwrap().description();
    description.classes = 10;
    let graph = Graph::build(&description, &Knobs { alpha: 0.5, resolution: None }).unwrap();
    let specs = Naming::PLAIN.tensors(&graph).unwrap();
    let parameters = Parameters::zeros(&graph);
    let names: BTreeSet<String> = specs.iter().enumerate().map(|(at, spec)| of_layer(at, spec)).collect();
    if names.len() < specs.len() {
        panic!("names are unique");
    }
    let file = parameters
        .to_file(&graph, specs.iter().enumerate().map(|(at, spec)| (of_layer(at, spec), spec.clone())));
    let proposal = Weights::parse(file.unwrap(), "w").unwrap().propose(&description, None).unwrap();
    for (at, (row, spec)) in proposal.rows.iter().zip(&specs).enumerate() {
        let own = of_layer(at, spec);
        let is_right = row.tensor.as_ref() == Some(&own);
        // A norm is where its filter is.
        assert!(is_right || row.also.contains(&own) || !is_filter(row), "{row:?} {own}");
        let alike = specs.iter().filter(|other| is_filter(row) && other.shape == spec.shape).count();
        assert!(alike < 2 || !row.also.is_empty(), "{row:?}");
    }
    assert!(Names::parse(&proposal.text("net"), "n").is_err());
}

fn letters(mut bits: u64) -> String {
    let mut text = String::new();
    while bits != 0 {
        text.push(char::from(b'a' + (bits % 26) as u8));
        bits /= 26;
    }
    text
}

/// Norms that have been folded into biases.
#[test]
fn folded() {
    let mut description = builtin("mobilenet-v1").unwrap().description();
    fold(&mut description);
    let graph = Graph::build(&description, &Knobs { alpha: 0.5, resolution: None }).unwrap();
    let parameters = Parameters::zeros(&graph);
    let specs = Naming::PLAIN.tensors(&graph).unwrap();
    let own = |spec: &TensorSpec| {
        let (number, kind, role, _) = parts(spec);
        format!("model.{number}.{kind}.{}", torch(role))
    };
    let file = parameters.to_file(&graph, specs.iter().map(|spec| (own(spec), spec.clone()))).unwrap();
    let proposal =
        Weights::parse(&file, "w").unwrap().propose(&builtin("mobilenet-v1").unwrap().description(), None);
    let proposal = proposal.unwrap();
    for (row, spec) in proposal.rows.iter().zip(&specs) {
        assert_eq!((row.tensor.as_ref(), row.also.len()), (Some(&own(spec)), 0), "{row:?}");
    }
}

#[test]
fn another_network() {
    let graph = Graph::build(
        &builtin("mobilenet-v2").unwrap().description(),
        &Knobs { alpha: 0.5, resolution: None },
    );
    let file = Parameters::zeros(&graph.as_ref().unwrap().clone())
        .to_safetensors(graph.as_ref().unwrap(), &Naming::TIMM);
    let error = Weights::parse(file.unwrap(), "w")
        .unwrap()
        .propose(&builtin("mobilenet-v1").unwrap().description(), None);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("found no filter left with"), "{error}");
}
