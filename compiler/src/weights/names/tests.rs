use super::*;
use crate::describe::builtin;
use crate::graph::{Graph, Knobs};
use crate::weights::Parameters;
use crate::weights::naming::{Naming, TensorSpec};
use crate::weights::write::file_of;

/// The lines of a text that is none, or `read`.
fn check_text(text: &str, expected: &[&str]) {
    let found = match Names::parse(text, "n") {
        Ok(_) => vec!["read".to_owned()],
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn texts() {
    for text in [
        "a.weight = \"b\"",
        "\u{feff}\"a.weight\" = 'b' # a comment\r\n\r\n  # another\n ignore = ['*.x', \"y\",]\n",
        "a_{ i + 1 }.weight=\"b#{i}\"",
        "axes = \"OHWI\"",
        "a.weight = \"\\u00fc\\\"\\\\\\t{{x}}\"",
        "ignore = \"a\"\nignore = \"b\"",
    ] {
        check_text(text, &["read"]);
    }
    check_text("", &["n: found no line, expected some such as conv_1.weight = \"stem.weight\""]);
    check_text(
        "a\n= 'b'\na.weight b\n[names]\na = b\na = \"b\nc = 'b' d\nd = [\"a\"]\ne = \"\\x\"\nf = ['a' 'b']\ng = ? 'h'",
        &[
            "n:1:2: found nothing, expected = behind the name of a layer's tensor: conv_1.weight = \"stem.weight\"",
            "n:2:1: found \"=\", expected the name of a layer's tensor: conv_1.weight = \"stem.weight\"",
            "n:3:10: found \"b\", expected = behind the name of a layer's tensor: conv_1.weight = \"stem.weight\"",
            "n:4:1: found \"[names]\", expected a line such as conv_1.weight = \"stem.weight\", and no tables",
            "n:5:5: found \"b\", expected a name in quotes, \"stem.weight\"",
            "n:6:5: found no second \", expected the name to end on its line",
            "n:7:9: found \"d\", expected the end of the line, or # and a comment",
            "n:8:1: d: found a list, expected the name of one tensor in quotes",
            "n:9:6: found a backslash, expected \\\\, \\\", \\n, \\t, \\r or \\uXXXX",
            "n:10:10: found \"'b']\", expected , or ] on the same line",
            "n:11:7: g: found ? before \"h\", expected a decision: take the ? away if it is right, or write the tensor that is",
        ],
    );
    check_text(
        "axes = 'NCHW'\naxes = ['HWIO']\naxes = 'HWIO'\naxes = 'OIHW'\na_{i}.w = 'b'\na.w = 'b{i}'\na.w = 'b'\na.w = 'c'",
        &[
            "n:1:8: axes: found \"NCHW\", expected OIHW (PyTorch), HWIO (TensorFlow, Keras) or OHWI (TFLite)",
            "n:2:1: axes: found a list, expected OIHW (PyTorch), HWIO (TensorFlow, Keras) or OHWI (TFLite)",
            "n:3:1: found axes again, expected them once: line 1 has them",
            "n:4:1: found axes again, expected them once: line 1 has them",
            "n:5:1: found {i} in \"a_{i}.w\" alone, expected it in the file's name \"b\" too",
            "n:6:7: found {i} in \"b{i}\" alone, expected it in the layer's name \"a.w\" too",
            "n:8:1: found \"a.w\" again, expected it once: line 7 has it",
        ],
    );
}

/// Weights of tensors of one number, and what a file of names makes of them.
fn check_names(tensors: &[&str], text: &str, expected: &[&str]) {
    let file = file_of(tensors.iter().map(|name| ((*name).to_owned(), vec![1], vec![0.0; 1])));
    let mut weights = Weights::parse(file.unwrap(), "w").unwrap();
    let names = Names::parse(text, "n").unwrap_or_else(|error| panic!("{error}"));
    let found: Vec<String> = match weights.rename(&names) {
        Ok(_) => weights.names().map(str::to_owned).collect(),
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn tensors_are_renamed() {
    let tensors = ["model.0.0", "model.1.0", "model.1.3", "model.2.0", "model.10.0", "ema.model.1.0", "fc"];
    check_names(
        &tensors,
        "stem = 'model.0.0'\ndw_{i} = 'model.{i}.0'\npw_{i+1}='model.{i}.3'\nignore = 'ema.*'",
        // The line without a placeholder goes before.
        &["dw_1", "dw_10", "dw_2", "fc", "pw_2", "stem"],
    );
    check_names(
        &tensors,
        "stem = 'model.0.0'\ndw_{i} = 'model.{i+1}.0'\npw_{i+1}='model.{i}.3'\nignore = ['ema.*', 'x']",
        &["dw_0", "dw_1", "dw_9", "fc", "pw_2", "stem"],
    );
    check_names(
        &tensors,
        "a.{i} = 'model.{i}.7'\nb = 'module.0'\nfc = 'model.0.0'\nc = 'model.1.0'\nc = 'model.1.3'\nignore = '*.3'"
            .replace("\nc = 'model.1.3'", "\nc{i} = 'model.1.{3*i}'")
            .as_str(),
        &[
            "n:1:1: found no tensor \"model.{i}.7\" in w, the nearest is \"model.0.0\"; expected one: mend the line or take it out",
            "n:2:1: found no tensor \"module.0\" in w, the nearest is \"model.2.0\"; expected one: mend the line or take it out",
            "n:3:1: found \"model.0.0\" for \"fc\", a name that another tensor of w has; expected a line for that one too, or `ignore`",
            "n:6:10: found \"model.1.3\" to ignore, which line 5 has for \"c1\"; expected one of the two",
        ],
    );
    check_names(
        &tensors,
        "a = 'fc'\na_{i} = 'model.{i}.0'\nb = 'model.1.3'\na_{i} = 'ema.model.{i}.0'\nb_{i} = 'model.{i}.0'\nc = 'fc'",
        &[
            "n:4:1: found \"ema.model.1.0\" for \"a_1\", which line 2 says is \"model.1.0\"; expected one tensor for a layer",
            "n:5:1: found \"model.0.0\" for \"b_0\", which line 2 has for \"a_0\"; expected one layer for a tensor",
            "n:5:1: found \"model.1.0\" for \"b_1\", which line 2 has for \"a_1\"; expected one layer for a tensor",
            "n:5:1: found \"model.10.0\" for \"b_10\", which line 2 has for \"a_10\"; expected one layer for a tensor",
            "n:5:1: found \"model.2.0\" for \"b_2\", which line 2 has for \"a_2\"; expected one layer for a tensor",
            "n:6:1: found \"fc\" for \"c\", which line 1 has for \"a\"; expected one layer for a tensor",
        ],
    );
    // Two change places, and a name of any letters.
    check_names(&["a", "b", "ü \"{x}\"\n"], "a = 'b'\nb = 'a'\nc = \"ü \\\"{{x}}\\\"\\n\"", &["a", "b", "c"]);
}

/// A file of a small network's numbers under names and axes of somebody else: the same numbers.
#[test]
fn numbers_are_the_same() {
    let mut description = builtin("mobilenet-v2").unwrap().description();
    description.classes = 7;
    let graph = Graph::build(&description, &Knobs { alpha: 0.35, resolution: None }).unwrap();
    let parameters = Parameters::random(&graph, 3);
    for layout in Layout::ALL {
        let specs = Naming::PLAIN.tensors_in(&graph, layout).unwrap();
        let own = |spec: &TensorSpec| format!("my net/{}", spec.tensor.replace('_', "/"));
        let file = parameters.to_file(&graph, specs.iter().map(|spec| (own(spec), spec.clone()))).unwrap();
        let mut weights = Weights::parse(&file, "w").unwrap();
        let text: String =
            specs.iter().map(|spec| format!("{:?} = {:?}\n", spec.tensor, own(spec))).collect();
        let renamed = weights.rename(&Names::parse(&text, "n").unwrap()).unwrap();
        assert_eq!(renamed.n_renamed, specs.len());
        assert_eq!(weights.layout(&graph, &Naming::PLAIN).unwrap(), layout);
        assert_eq!(weights.recognise(crate::weights::Asked::default()).unwrap().network.name, "mobilenet-v2");
        assert_eq!(weights.infer_alpha(&description, None).unwrap(), 0.35);
        assert_eq!(weights.parameters(&graph, None).unwrap(), parameters, "{layout}");

        // What is wrong is told by the file's own names.
        let mut lost = weights.clone();
        lost.tensors.remove("block_2_expand.weight").unwrap();
        let error = lost.parameters(&graph, None).unwrap_err().to_string();
        let expected = "; in n it is \"my net/block/2/expand.weight\" by line ";
        assert!(
            error.contains("tensor \"block_2_expand.weight\" is missing") && error.contains(expected),
            "{error}"
        );
        weights.tensors.get_mut("block_2_expand.weight").unwrap().shape[0] += 1;
        let error = weights.parameters(&graph, None).unwrap_err().to_string();
        let expected = "tensor \"my net/block/2/expand.weight\" (for \"block_2_expand.weight\") is ";
        assert!(error.contains(expected), "{error}");
    }
}

/// Where nothing tells the order of axes, nobody guesses.
#[test]
fn axes_are_asked_for() {
    let text = "name = 'net'\nclasses = 3\nalpha = { minimum = 1 }\ninput = { height = 32, width = 32, channels = 3 }\n\
                layer = [{ kind = 'conv', filters = 3, batch_norm = false }, { kind = 'dense' }]";
    let description = crate::describe::Description::parse(text, "net").unwrap();
    let graph = Graph::build(&description, &Knobs::default()).unwrap();
    let parameters = Parameters::random(&graph, 1);
    for layout in Layout::ALL {
        let specs = Naming::PLAIN.tensors_in(&graph, layout).unwrap();
        let tensors = specs.iter().map(|spec| (format!("x{}", spec.tensor), spec.clone()));
        let file = parameters.to_file(&graph, tensors).unwrap();
        let mut weights = Weights::parse(&file, "w").unwrap();
        let text: String = specs.iter().map(|spec| format!("{0:?} = 'x{0}'\n", spec.tensor)).collect();
        // [3, 3, 3, 3] is of every order.
        let names = Names::parse(&text, "n").unwrap();
        weights.clone().rename(&names).unwrap();
        weights.rename(&names).unwrap();
        assert_eq!(
            weights.parameters(&graph, None).unwrap_err().to_string(),
            "w: found no filter whose shape tells the order of its axes, expected --axes with OIHW (PyTorch), \
             HWIO (TensorFlow, Keras) or OHWI (TFLite)"
        );
        weights.set_layout(layout);
        assert_eq!(weights.parameters(&graph, None).unwrap(), parameters, "{layout}");
    }
}

/// Two checkpoints in one file.
#[test]
fn one_file_has_one_order() {
    let graph = Graph::build(
        &builtin("mobilenet-v1").unwrap().description(),
        &Knobs { alpha: 0.25, resolution: None },
    );
    let graph = graph.unwrap();
    let parameters = Parameters::zeros(&graph);
    let mut specs = Naming::PLAIN.tensors(&graph).unwrap();
    let other = Naming::PLAIN.tensors_in(&graph, Layout::Hwio).unwrap();
    let at = specs.iter().position(|spec| spec.tensor == "conv_dw_2.weight").unwrap();
    specs[at] = other[at].clone();
    let file = parameters.to_file(&graph, specs.into_iter().map(|spec| (spec.tensor.clone(), spec))).unwrap();
    assert_eq!(
        Weights::parse(&file, "w").unwrap().parameters(&graph, None).unwrap_err().to_string(),
        "w: tensor \"conv_dw_2.weight\": is [3, 3, 16, 1], HWIO by its shape, but \"conv_dw_1.weight\" is [8, 1, 3, 3], OIHW; \
         expected one order of axes in a file: transpose one of the two"
    );
}

/// Ten thousand lines of any sort, in a moment.
#[test]
fn many_lines() {
    let names: Vec<String> = (0..10_000).map(|at| format!("p{at}")).collect();
    let file = file_of(names.iter().map(|name| (name.clone(), vec![1], vec![0.0; 1]))).unwrap();
    let text: String = (0..10_000).map(|at| format!("layer_{}.weight = 'p{at}'\n", 9_999 - at)).collect();
    let started = std::time::Instant::now();
    let mut weights = Weights::parse(&file, "w").unwrap();
    assert_eq!(weights.rename(&Names::parse(&text, "n").unwrap()).unwrap().n_renamed, 10_000);
    let mut weights = Weights::parse(&file, "w").unwrap();
    let text: String =
        (0..1_000).map(|at| format!("{{i}}_{at}.weight = 'p{{{}*i+{at}}}'\n", 1_000)).collect();
    assert_eq!(weights.rename(&Names::parse(&text, "n").unwrap()).unwrap().n_renamed, 10_000);
    let text = text + "x_{i}.w = 'p{i}'";
    let error = weights.rename(&Names::parse(&text, "n").unwrap()).unwrap_err().to_string();
    assert_eq!(error, "n: found 1001 lines with placeholders, expected at most 1000");
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
