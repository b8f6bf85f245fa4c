//! Classifiers that were put behind somebody else's network, and names that nobody's table has.

use super::*;
use crate::describe::Padding;
use crate::job::Opened;

/// A file, with a file of names for it.
fn open_with(network: &str, rows: &[Row], names: &str) -> Result<Opened> {
    let mut files = Memory([(PathBuf::from("w.safetensors"), write(rows))].into());
    files.0.insert("n.toml".into(), names.as_bytes().to_vec());
    let missing = Numbers::Missing(crate::Fault { place: crate::Place::flag("w"), detail: String::new() });
    let of = |network: &str, numbers: Numbers, files: &mut Memory| {
        let mut request = Request::new(Network::Named(network.to_owned()), numbers);
        request.names = (!names.is_empty()).then(|| "n.toml".into());
        Job::resolve(&request, files)?.open(files)
    };
    let named = of(network, Numbers::File("w.safetensors".into()), &mut files);
    let recognised = of("w.safetensors", missing, &mut files);
    let text = |found: &Result<Opened>| match found {
        Ok(opened) => format!("{:?}", (opened.job().told(), &opened.job().assumed)),
        Err(error) => error.to_string(),
    };
    assert_eq!(text(&named), text(&recognised), "{network}");
    recognised
}

fn parameters(opened: &Opened) -> Parameters {
    let (graph, _) = opened.graph().unwrap();
    opened.weights().unwrap().parameters(&graph, None).unwrap_or_else(|error| panic!("{error}"))
}

/// The two lines of which the message for an unknown classifier speaks are enough, whoever has named all else and whatever was put
/// in front of it.
#[test]
fn a_file_of_names_may_name_the_classifier_alone() {
    for (network_name, naming, own, theirs, prefix) in [
        ("mobilenet-v1", &Naming::TIMM, "classifier.", "head.fc.", ""),
        ("mobilenet-v1", &Naming::TIMM, "classifier.", "head.fc.", "module."),
        ("mobilenet-v1", &Naming::HUGGING_FACE, "classifier.", "score.", "model."),
        ("mobilenet-v1", &Naming::KERAS, "conv_preds/", "dense/", ""),
        ("mobilenet-v1", &Naming::KERAS, "conv_preds/", "dense/", "mobilenet_1.00_224/"),
        ("mobilenet-v2", &Naming::TORCHVISION, "classifier.1.", "fc.", "backbone."),
        ("mobilenet-v3-small", &Naming::KERAS, "logits/", "dense_7/", ""),
        ("mobilenet-v4-conv-small", &Naming::TIMM, "classifier.", "head.", "net."),
    ] {
        let (rows, expected) = network(network_name, naming);
        let put = |name: &str| match name.strip_prefix(own) {
            Some(word) => format!("{theirs}{word}"),
            None => format!("{prefix}{name}"),
        };
        let rows = renamed(&rows, put);
        let error = open_with(network_name, &rows, "").unwrap_err().to_string();
        // Pasted as the message has them.
        let lines: Vec<&str> =
            error.split('`').skip(1).step_by(2).filter(|text| text.contains(" = ")).collect();
        assert_eq!(lines.len(), 2, "{error}");
        let opened = open_with(network_name, &rows, &lines.join("\n")).unwrap();
        assert_eq!(parameters(&opened), expected, "{network_name} {naming}");
        // The names of the exporter will do as well.
        let line = |line: &&str| {
            let whole = line.split('"').nth(1).unwrap();
            format!("'{own}{}' = '{whole}'", whole.strip_prefix(theirs).unwrap())
        };
        let lines: Vec<String> = lines.iter().map(line).collect();
        let opened = open_with(network_name, &rows, &lines.join("\n")).unwrap();
        assert_eq!(parameters(&opened), expected, "{network_name} {naming}");
    }
}

/// A wrapped backbone beside a classifier that isn't wrapped.
#[test]
fn a_classifier_outside_of_the_prefix() {
    for (network_name, naming, own) in [
        ("mobilenet-v1", &Naming::TIMM, "classifier."),
        ("mobilenet-v1", &Naming::HUGGING_FACE, "classifier."),
        ("mobilenet-v2", &Naming::TORCHVISION, "classifier."),
    ] {
        let (rows, expected) = network(network_name, naming);
        let wrapped =
            renamed(
                &rows,
                |name| if name.starts_with(own) { name.to_owned() } else { format!("backbone.{name}") },
            );
        let opened = open_with(network_name, &wrapped, "").unwrap();
        assert_eq!(parameters(&opened), expected, "{network_name} {naming}");
        let told = texts(&opened.job().notes);
        assert!(
            told.iter().any(|line| line.starts_with("prefix: \"backbone.\" taken off the names, which ")),
            "{told:?}"
        );
        // One that is inside too is the backbone's own.
        let mut both = wrapped;
        both.extend(
            renamed(&rows, |name| format!("backbone.{name}")).into_iter().filter(|row| row.0.contains(own)),
        );
        let opened = open_with(network_name, &both, "").unwrap();
        assert_eq!(parameters(&opened), expected);
        assert!(texts(&opened.job().notes).iter().any(|line| line.starts_with("left out: 2 tensors")));
    }
}

/// V3 cut off behind the pool returns what the pool does; with a classifier put there it is a network of its own.
#[test]
fn v3_without_its_top() {
    for (naming, top) in
        [(&Naming::KERAS, ["conv_2/", "logits/"]), (&Naming::TORCHVISION, ["classifier.0.", "classifier.3."])]
    {
        let (mut rows, _) = network("mobilenet-v3-small", naming);
        rows.retain(|row| !top.iter().any(|start| row.0.starts_with(start)));
        let opened = open_with("mobilenet-v3-small", &rows, "").unwrap();
        let (graph, _) = opened.graph().unwrap();
        let last = graph.node(graph.outputs[0]);
        assert!(
            graph.is_headless && matches!(last.layer, crate::graph::layer::Layer::GlobalAveragePool),
            "{last:?}"
        );
        let told = texts(&opened.job().notes);
        assert!(
            told[0].starts_with("model: ") && told.iter().any(|line| line.starts_with("features: ")),
            "{told:?}"
        );
        // A tensor that got lost elsewhere stays lost.
        let lost = rows.remove(0);
        assert!(read_as("mobilenet-v3-small", &rows, |_| {}).is_err(), "{}", lost.0);
    }
}

/// Weights of modules of PyTorch with names of their own are padded as PyTorch pads; those of TensorFlow's order of axes are not,
/// and a description's own word stands.
#[test]
fn names_of_nobody_on_modules_of_pytorch() {
    let (rows, expected) = network("mobilenet-v1", &Naming::PLAIN);
    let own = renamed(&rows, |name| {
        let name = name.replace(".norm.", ".bn.").replace(".gamma", ".weight").replace(".beta", ".bias");
        format!("net_{}", name.replace(".mean", ".running_mean").replace(".variance", ".running_var"))
    });
    let weights = crate::weights::Weights::parse(write(&own), "w.safetensors").unwrap();
    let description = builtin("mobilenet-v1").unwrap().description();
    let names = weights.propose(&description, None).unwrap().text("mobilenet-v1");
    let opened = open_with("mobilenet-v1", &own, &names).unwrap();
    assert_eq!(parameters(&opened), expected);
    let Description { padding, batch_norm_epsilon, preprocess, .. } = opened.job().description();
    assert_eq!((*padding, *batch_norm_epsilon, preprocess.mean[0]), (Padding::Symmetric, 1e-5, 0.485));
    assert_eq!(
        opened.job().assumed[..3],
        [
            "preprocessing: no preprocessor_config.json, so PyTorch's",
            "padding symmetric: no config.json, so PyTorch's",
            "epsilon 0.00001: no config.json, so PyTorch's"
        ]
    );
    // Our own names say nothing of a framework.
    let opened = open_with("mobilenet-v1", &rows, "").unwrap();
    assert_eq!(opened.job().description().padding, Padding::Same);

    let (keras, expected) = network("mobilenet-v1", &Naming::KERAS);
    let own = renamed(&keras, |name| format!("net_{name}"));
    let weights = crate::weights::Weights::parse(write(&own), "w.safetensors").unwrap();
    let names = weights.propose(&description, None).unwrap().text("mobilenet-v1");
    let opened = open_with("mobilenet-v1", &own, &names).unwrap();
    assert_eq!(parameters(&opened), expected);
    assert_eq!(opened.job().description().padding, Padding::Same);
}
