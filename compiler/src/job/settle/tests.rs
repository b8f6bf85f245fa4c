use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::describe::{Description, builtin};
use crate::error::Result;
use crate::graph::{Graph, Knobs};
use crate::job::{Job, Note};
use crate::request::{Network, Numbers, Request};
use crate::weights::Parameters;
use crate::weights::naming::Naming;

mod exporters;
mod files;
mod heads;
mod left;
mod memory;

pub(super) use self::memory::Memory;

/// A tensor of a test's file.
type Row = (String, Dtype, Vec<usize>, Vec<u8>);

/// A narrow built-in network's file under a naming, and the numbers in it.
fn network(name: &str, naming: &Naming) -> (Vec<Row>, Parameters) {
    network_of(&builtin(name).unwrap().description(), naming)
}

fn network_of(description: &Description, naming: &Naming) -> (Vec<Row>, Parameters) {
    let graph = Graph::build(description, &Knobs { alpha: 0.1, resolution: None }).unwrap();
    let parameters = Parameters::random(&graph, 7);
    let bytes = parameters.to_safetensors(&graph, naming).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let row = |(name, view): (String, TensorView<'_>)| {
        (name, view.dtype(), view.shape().to_vec(), view.data().to_vec())
    };
    let mut rows: Vec<Row> = file.tensors().into_iter().map(row).collect();
    // The crate has them in no order.
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    (rows, parameters)
}

fn write(rows: &[Row]) -> Vec<u8> {
    let views: Vec<(String, TensorView<'_>)> = rows
        .iter()
        .map(|(name, dtype, shape, data)| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

/// The rows with other names.
fn renamed(rows: &[Row], rename: impl Fn(&str) -> String) -> Vec<Row> {
    let row = |(name, dtype, shape, data): &Row| (rename(name), *dtype, shape.clone(), data.clone());
    rows.iter().map(row).collect()
}

fn scalar(name: &str) -> Row {
    (name.to_owned(), Dtype::I64, Vec::new(), vec![1; 8])
}

/// What is made of a file: the numbers and what is told, or the error.
fn read(rows: &[Row], ask: impl Fn(&mut Request)) -> Result<(Parameters, Vec<Note>)> {
    read_as("mobilenet-v1", rows, ask)
}

fn read_as(network: &str, rows: &[Row], ask: impl Fn(&mut Request)) -> Result<(Parameters, Vec<Note>)> {
    let file = PathBuf::from("w.safetensors");
    let mut files = Memory([(file.clone(), write(rows))].into());
    let mut told = None;
    // By the network's name, and recognised by the tensors: the same.
    for (network, numbers) in [
        (network, Numbers::File(file)),
        (
            "w.safetensors",
            Numbers::Missing(crate::Fault { place: crate::Place::flag("w"), detail: String::new() }),
        ),
    ] {
        let mut request = Request::new(Network::Named(network.to_owned()), numbers);
        ask(&mut request);
        let opened = Job::resolve(&request, &mut files)?.open(&mut files)?;
        let (graph, _) = opened.graph()?;
        let parameters = opened.weights().unwrap().parameters(&graph, opened.job().naming)?;
        let found = (parameters, opened.job().notes.clone());
        if let Some(other) = told.replace(found) {
            assert_eq!(Some(other), told);
        }
    }
    Ok(told.unwrap())
}

fn texts(notes: &[Note]) -> Vec<String> {
    notes.iter().map(|note| format!("{}: {}", note.subject, note.text)).collect()
}

/// What lies beside the weights and isn't read is named; where there are fewer or more means than channels, so is the key.
#[test]
fn files_beside_the_weights_are_followed_or_named() {
    let (rows, _) = network("mobilenet-v1", &Naming::PLAIN);
    let resolve = |others: &[(&str, &str)]| {
        let file = PathBuf::from("d/w.safetensors");
        let mut files = Memory([(file.clone(), write(&rows))].into());
        files.0.extend(others.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())));
        let request = Request::new(Network::Named("mobilenet-v1".to_owned()), Numbers::File(file));
        Job::resolve(&request, &mut files).map_err(|error| error.to_string())
    };
    for name in ["args.yaml", "data_config.yaml", "w.args.yml", "hparams.yaml", "data_config.json"] {
        let job = resolve(&[(&format!("d/{name}"), "mean: [0, 0, 0]")]).unwrap();
        let expected = format!(
            "WARNING: {name:?} is not read: write what it says of pictures (input_size, mean, std, interpolation, crop_pct) \
             into config.json"
        );
        assert_eq!(texts(&job.notes), [expected]);
    }
    assert!(resolve(&[("d/config.json", "{}"), ("d/training.yaml", "")]).unwrap().notes.is_empty());

    let grey = ("d/config.json", r#"{"num_channels": 1}"#);
    let means = |text| resolve(&[grey, ("d/preprocessor_config.json", text)]);
    let job = resolve(&[grey]).unwrap();
    assert_eq!(job.description().preprocess.mean, [0.5]);
    let job = means(r#"{"image_mean": [0.25, 0.25, 0.25], "image_std": [2, 2, 2]}"#).unwrap();
    let preprocess = &job.description().preprocess;
    assert_eq!((&preprocess.mean[..], &preprocess.std[..]), (&[0.25][..], &[2.0][..]));
    assert_eq!(
        means(r#"{"image_mean": [0.485, 0.456, 0.406]}"#).unwrap_err(),
        "d/preprocessor_config.json: image_mean: found 3 numbers, expected 1, one for each channel of the input"
    );
    assert_eq!(
        resolve(&[("d/config.json", r#"{"num_channels": 2}"#)]).unwrap_err(),
        "d/config.json: found 2 input channels, expected 3, as many as the numbers of the description's [preprocess]; \
         write 2 of each there"
    );
}

#[test]
fn prefixes_are_taken_off() {
    for naming in [&Naming::HUGGING_FACE, &Naming::TIMM, &Naming::PLAIN] {
        let (rows, parameters) = network("mobilenet-v1", naming);
        for prefix in [
            "module.",
            "_orig_mod.",
            "_orig_mod.module.",
            "model.",
            "backbone.",
            "base_model.model.",
            "net.",
            "student.",
            "ema.",
            "state_dict.model.",
            "a-very.odd_one/",
        ] {
            let (found, notes) = read(&renamed(&rows, |name| format!("{prefix}{name}")), |_| {}).unwrap();
            assert_eq!(found, parameters, "{naming} {prefix}");
            assert_eq!(texts(&notes), [format!("prefix: {prefix:?} taken off the names")]);
        }
        assert_eq!(read(&rows, |_| {}).unwrap(), (parameters, Vec::new()));
    }
}

#[test]
fn wrappers_inside_of_the_network() {
    let (rows, parameters) = network("mobilenet-v1", &Naming::TIMM);
    let wrapped = renamed(&rows, |name| name.replace("blocks.", "blocks._orig_mod."));
    let (found, notes) = read(&wrapped, |_| {}).unwrap();
    assert_eq!(found, parameters);
    assert_eq!(texts(&notes), ["prefix: what wrappers put into names taken out"]);
}

/// The body of Hugging Face's network, saved by itself, lacks the first part of the names; it has no classifier.
#[test]
fn a_body_without_its_own_prefix() {
    let (rows, _) = network("mobilenet-v1", &Naming::HUGGING_FACE);
    let mut body: Vec<Row> = renamed(&rows, |name| name.replace("mobilenet_v1.", ""));
    body.retain(|row| !row.0.starts_with("classifier"));
    let (_, notes) = read(&body, |_| {}).unwrap();
    assert_eq!(
        texts(&notes),
        [
            "prefix: \"mobilenet_v1.\" put in front of them",
            "features: the file has no classifier: the network returns what that would read"
        ]
    );
    let below = renamed(&body, |name| format!("encoder.{name}"));
    let (_, notes) = read(&below, |_| {}).unwrap();
    assert_eq!(notes[0].text, "\"encoder.\" taken off the names, \"mobilenet_v1.\" put in front of them");
}

#[test]
fn two_copies() {
    let (rows, parameters) = network("mobilenet-v1", &Naming::TIMM);
    let other = renamed(&rows, |name| format!("teacher.{name}"));
    // Other numbers, so that it shows which copy is taken.
    let other: Vec<Row> = other
        .into_iter()
        .map(|(name, dtype, shape, data)| {
            let data = if name.ends_with("classifier.bias") { vec![0; data.len()] } else { data };
            (name, dtype, shape, data)
        })
        .collect();
    let with = |prefix: &str| [renamed(&rows, |name| format!("{prefix}{name}")), other.clone()].concat();
    let error = read(&with("student."), |_| {}).unwrap_err().to_string();
    assert_eq!(
        error,
        "w.safetensors: found the network twice, as \"student.\" and as \"teacher.\", expected one: say which with \
         --prefix student."
    );
    for asked in ["student.", "student"] {
        let (found, notes) =
            read(&with("student."), |request| request.prefix = Some(asked.to_owned())).unwrap();
        assert_eq!(found, parameters);
        assert!(notes[1].text.starts_with("164 tensors that no layer wants, "), "{notes:?}");
    }
    let (found, _) = read(&with("student."), |request| request.prefix = Some("teacher".to_owned())).unwrap();
    assert_ne!(found, parameters);
    // What is at the top of the file is the network; the others are copies of it.
    let (found, notes) = read(&with(""), |_| {}).unwrap();
    assert_eq!(found, parameters);
    assert_eq!(notes[1].text, "another copy of the network among them: --prefix teacher. takes it");
    let (found, _) = read(&with(""), |request| request.prefix = Some("teacher.".to_owned())).unwrap();
    assert_ne!(found, parameters);
    let error = read(&with(""), |request| request.prefix = Some("uncle".to_owned())).unwrap_err().to_string();
    assert_eq!(
        error,
        "prefix: found \"uncle\", expected what names in w.safetensors begin with, such as \
         \"blocks.0.0.bn1.bias\""
    );
}

#[test]
fn what_no_layer_wants_is_left_out() {
    let (mut rows, parameters) = network("mobilenet-v1", &Naming::HUGGING_FACE);
    let mask = ("optimizer.state.0.exp_avg".to_owned(), Dtype::BOOL, vec![3], vec![0; 3]);
    rows.extend([scalar("epoch"), scalar("optimizer.state.0.step"), mask]);
    let (found, notes) = read(&rows, |_| {}).unwrap();
    assert_eq!(found, parameters);
    assert_eq!(
        texts(&notes),
        ["left out: 3 tensors that no layer wants, 19 bytes: \"epoch\", \"optimizer.state.0.exp_avg\", \
             \"optimizer.state.0.step\""]
    );
    let error = read(&rows, |request| request.strict = true).unwrap_err().to_string();
    assert_eq!(
        error,
        "w.safetensors: found 3 tensors that no layer wants (\"epoch\", \"optimizer.state.0.exp_avg\", \
         \"optimizer.state.0.step\"), expected none: strict was asked for"
    );
    // Inside of a checkpoint of a trainer.
    let nested: Vec<Row> = renamed(&rows[..rows.len() - 3], |name| format!("state_dict.model.{name}"));
    let (found, notes) = read(&[nested, vec![scalar("global_step")]].concat(), |_| {}).unwrap();
    assert_eq!(found, parameters);
    assert_eq!(notes[1].text, "1 tensor that no layer wants, 8 bytes: \"global_step\"");
}

/// Layers that the description lacks are told by name; a built-in network isn't recognised by them.
#[test]
fn forgotten_layers_are_told() {
    let (mut rows, _) = network("mobilenet-v1", &Naming::TIMM);
    rows.push(("blocks.4.2.conv_dw.weight".to_owned(), Dtype::F32, vec![1, 1, 1, 1], vec![0; 4]));
    let mut files = Memory([(PathBuf::from("w.safetensors"), write(&rows))].into());
    let request = Request::new(
        Network::Named("mobilenet-v1".to_owned()),
        Numbers::File(PathBuf::from("w.safetensors")),
    );
    let opened = Job::resolve(&request, &mut files).unwrap().open(&mut files).unwrap();
    assert_eq!(
        texts(&opened.job().notes)[1],
        "WARNING: 1 of them named as layers are (\"blocks.4.2.conv_dw.weight\"): does the description lack a layer?"
    );
    let error = read_as("w.safetensors", &rows, |_| {}).unwrap_err().to_string();
    assert!(error.contains("doesn't know 1 others"), "{error}");
}

#[test]
fn the_naming_of_another_exporter() {
    let (rows, _) = network("mobilenet-v1", &Naming::HUGGING_FACE);
    let error = read(&rows, |request| request.naming = Some("timm".to_owned())).unwrap_err().to_string();
    assert_eq!(
        error,
        "w.safetensors: found tensors named as by huggingface (Hugging Face MobileNetV1 and MobileNetV2ForImageClassification), \
         expected timm (timm mobilenetv1_* to mobilenetv4_conv_*): leave `naming` out"
    );
}

/// The features are what the classifier would read.
#[test]
fn features() {
    for (name, naming, n) in [
        ("mobilenet-v1", &Naming::TIMM, 102),
        ("mobilenet-v2", &Naming::HUGGING_FACE, 1280),
        ("mobilenet-v3-large", &Naming::TORCHVISION, 1280),
        ("mobilenet-v4-conv-small", &Naming::TIMM, 1280),
    ] {
        let (mut rows, _) = network(name, naming);
        let graph = |rows: &[Row], asked: bool| {
            let file = PathBuf::from("w.safetensors");
            let mut files = Memory([(file.clone(), write(rows))].into());
            let mut request = Request::new(Network::Named(name.to_owned()), Numbers::File(file));
            request.features = asked;
            let opened = Job::resolve(&request, &mut files).unwrap().open(&mut files).unwrap();
            let (graph, _) = opened.graph().unwrap();
            opened.weights().unwrap().parameters(&graph, None).unwrap();
            graph
        };
        let asked = graph(&rows, true);
        let output = asked.node(asked.outputs[0]).shape();
        assert_eq!((output.pixels(), output.channels), (1, n), "{name}");
        rows.retain(|row| !row.0.starts_with("classifier") || row.0.starts_with("classifier.0"));
        assert_eq!(graph(&rows, false).nodes, asked.nodes, "{name}");
    }
}

/// A classifier of another name is not none.
#[test]
fn a_classifier_of_another_name() {
    let (rows, _) = network("mobilenet-v1", &Naming::TIMM);
    let other = renamed(&rows, |name| name.replace("classifier", "fc"));
    let error = read(&other, |_| {}).unwrap_err().to_string();
    let n = rows.iter().find(|row| row.0 == "classifier.weight").unwrap().2.clone();
    assert_eq!(
        error,
        format!(
            "w.safetensors: found no classifier by the naming timm (timm mobilenetv1_* to mobilenetv4_conv_*), but \"fc.weight\" \
             {n:?}, which may be it: write `dense_1.weight = \"fc.weight\"` and `dense_1.bias = \"fc.bias\"` into a file for \
             --names, or ask for the features without it (--features)"
        )
    );
    assert!(read(&other, |request| request.features = true).is_ok());
    // Keras has the inputs first, and no window where it is dense.
    let (mut rows, _) = network("mobilenet-v1", &Naming::KERAS);
    rows.retain(|row| !row.0.starts_with("conv_preds"));
    rows.push(("dense/kernel".to_owned(), Dtype::F32, vec![102, 4], vec![0; 4 * 102 * 4]));
    let error = read(&rows, |_| {}).unwrap_err().to_string();
    assert!(error.contains("but \"dense/kernel\" [102, 4], which may be it"), "{error}");
}

/// Batch norms that were folded before the file was written, and such without gamma.
#[test]
fn norms_in_other_forms() {
    let mut description = builtin("mobilenet-v1").unwrap().description();
    crate::weights::Form { is_headless: false, norms: crate::weights::Norms::Folded }.apply(&mut description);
    let (folded, parameters) = network_of(&description, &Naming::HUGGING_FACE);
    let (found, notes) = read(&folded, |_| {}).unwrap();
    assert_eq!(found, parameters);
    assert_eq!(
        texts(&notes),
        ["norms: folded into the convolutions before the file was written: none is computed"]
    );
    let (mut rows, _) = network("mobilenet-v1", &Naming::PLAIN);
    rows.retain(|row| !row.0.ends_with("gamma"));
    let (_, notes) = read(&rows, |_| {}).unwrap();
    assert_eq!(texts(&notes), ["norms: without gamma in the file: each is 1"]);
    // One that is missing is a fault.
    let (mut rows, _) = network("mobilenet-v1", &Naming::PLAIN);
    rows.retain(|row| row.0 != "conv_pw_3.norm.gamma");
    let mut files = Memory([(PathBuf::from("w.safetensors"), write(&rows))].into());
    let request = Request::new(
        Network::Named("mobilenet-v1".to_owned()),
        Numbers::File(PathBuf::from("w.safetensors")),
    );
    let opened = Job::resolve(&request, &mut files).unwrap().open(&mut files).unwrap();
    let (graph, _) = opened.graph().unwrap();
    let error = opened.weights().unwrap().parameters(&graph, None).unwrap_err().to_string();
    assert!(error.starts_with("conv_pw_3.norm: tensor \"conv_pw_3.norm.gamma\" is missing"), "{error}");
}

/// Doubles are rounded once; axes of one element at the end of a shape say nothing.
#[test]
fn doubles_and_axes_of_one() {
    let (rows, parameters) = network("mobilenet-v1", &Naming::TIMM);
    let widened: Vec<Row> = rows
        .iter()
        .map(|(name, dtype, shape, data)| match dtype {
            Dtype::F32 => {
                // Nearer to the number than to its neighbours.
                let numbers = data.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
                let data = numbers.flat_map(|x| (x * (1.0 + 1e-9)).to_le_bytes()).collect();
                (name.clone(), Dtype::F64, shape.clone(), data)
            }
            _ => (name.clone(), *dtype, shape.clone(), data.clone()),
        })
        .collect();
    let (found, notes) = read(&widened, |_| {}).unwrap();
    assert_eq!(found, parameters);
    assert_eq!(texts(&notes), ["rounded: numbers of F64 to F32, each once"]);
    let reshaped = |change: &dyn Fn(&mut Vec<usize>)| -> Vec<Row> {
        let mut rows = rows.clone();
        rows.iter_mut().for_each(|row| change(&mut row.2));
        rows
    };
    let more = reshaped(&|shape| shape.resize(if shape.is_empty() { 0 } else { 4 }, 1));
    let fewer = reshaped(&|shape| {
        while shape.last() == Some(&1) {
            shape.pop();
        }
    });
    // As PyTorch broadcasts.
    let before = reshaped(&|shape| {
        if let [n] = shape[..] {
            *shape = vec![1, n, 1, 1];
        }
    });
    for rows in [more, fewer, before] {
        assert_eq!(read(&rows, |_| {}).unwrap(), (parameters.clone(), Vec::new()));
    }
    // What F32 can't hold is no number.
    let mut large = widened;
    let at = large.iter().position(|row| row.1 == Dtype::F64).unwrap();
    large[at].3[..8].copy_from_slice(&1e300f64.to_le_bytes());
    let error = read(&large, |_| {}).unwrap_err().to_string();
    assert!(error.contains("holds inf at [0"), "{error}");
}

/// What a job is after its weights were opened.
fn opened(network: &str, files: &mut Memory, ask: impl Fn(&mut Request)) -> Result<crate::job::Opened> {
    let missing = Numbers::Missing(crate::Fault { place: crate::Place::flag("w"), detail: String::new() });
    let mut request = Request::new(Network::Named(network.to_owned()), missing);
    ask(&mut request);
    Job::resolve(&request, files)?.open(files)
}

/// How many classes there are the classifier says, unless somebody else does.
#[test]
fn classes_are_read_off_the_classifier() {
    for (name, naming) in [
        ("mobilenet-v1", &Naming::HUGGING_FACE),
        ("mobilenet-v2", &Naming::TIMM),
        ("mobilenet-v3-small", &Naming::TORCHVISION),
        ("mobilenet-v4-conv-small", &Naming::TIMM),
    ] {
        let mut description = builtin(name).unwrap().description();
        description.classes = 2;
        let (rows, _) = network_of(&description, naming);
        let mut files = Memory([(PathBuf::from("d/w.safetensors"), write(&rows))].into());
        let weights = |request: &mut Request| request.numbers = Numbers::File("d/w.safetensors".into());
        let classes = |files: &mut Memory, network: &str| {
            let opened = opened(network, files, weights).unwrap();
            let (graph, _) = opened.graph().unwrap();
            opened.weights().unwrap().parameters(&graph, None).map(|_| opened.job().description().classes)
        };
        assert_eq!(classes(&mut files, name).unwrap(), 2, "{name}");
        // transformers doesn't write two classes without names.
        files.0.insert("d/config.json".into(), b"{\"image_size\": 96}".to_vec());
        assert_eq!(classes(&mut files, name).unwrap(), 2, "{name}");
        let config = br#"{"num_labels": 7, "architecture": null}"#;
        files.0.insert("d/config.json".into(), config.to_vec());
        let error = classes(&mut files, name).unwrap_err().to_string();
        assert!(error.contains("is [2, ") && error.contains("expected [7, "), "{error}");
        assert!(error.contains("; for 2 classes set `classes` in the description"), "{error}");
        // What a user writes is a statement.
        let own = builtin(name).unwrap().text.replace("classes = 100", "classes = 300");
        files.0.remove(Path::new("d/config.json"));
        files.0.insert("net.toml".into(), own.into_bytes());
        let error = classes(&mut files, "net.toml").unwrap_err().to_string();
        assert!(error.contains("is [2, ") && error.contains("expected [300"), "{error}");
    }
}

/// A configuration may say that there is no classifier.
#[test]
fn no_classes_is_no_classifier() {
    let (mut timm, _) = network("mobilenet-v2", &Naming::TIMM);
    timm.retain(|row| !row.0.starts_with("classifier"));
    let (mut hugging_face, _) = network("mobilenet-v1", &Naming::HUGGING_FACE);
    hugging_face.retain(|row| !row.0.starts_with("classifier"));
    let body = renamed(&hugging_face, |name| name.replace("mobilenet_v1.", ""));
    for (rows, config) in [
        (
            &timm,
            r#"{"architecture": "mobilenetv2_100", "num_classes": 0, "pretrained_cfg": {"num_classes": 1000}}"#,
        ),
        (
            &hugging_face,
            r#"{"architectures": ["MobileNetV1ForImageClassification"], "num_labels": 0, "id2label": {}}"#,
        ),
        (
            &body,
            r#"{"architectures": ["MobileNetV1Model"], "model_type": "mobilenet_v1", "id2label": {"0": "a"}}"#,
        ),
    ] {
        let mut files = Memory(
            [
                (PathBuf::from("d/model.safetensors"), write(rows)),
                (PathBuf::from("d/config.json"), config.as_bytes().to_vec()),
            ]
            .into(),
        );
        let opened = opened("d", &mut files, |_| {}).unwrap_or_else(|error| panic!("{config}: {error}"));
        let (graph, _) = opened.graph().unwrap();
        opened
            .weights()
            .unwrap()
            .parameters(&graph, None)
            .unwrap_or_else(|error| panic!("{config}: {error}"));
        assert!(graph.is_headless && opened.job().labels == crate::request::Labels::None);
    }
}

/// Without a configuration the values are those of whose names the tensors have.
#[test]
fn an_exporter_has_its_own_values() {
    let found = |name: &str, naming: &Naming, config: Option<&str>| {
        let (rows, _) = network(name, naming);
        let mut files = Memory([(PathBuf::from("w.safetensors"), write(&rows))].into());
        if let Some(config) = config {
            files.0.insert("config.json".into(), config.as_bytes().to_vec());
        }
        let weights = |request: &mut Request| request.numbers = Numbers::File("w.safetensors".into());
        let opened = opened(name, &mut files, weights).unwrap();
        let Description { padding, batch_norm_epsilon, preprocess, .. } = opened.job().description();
        let assumed = opened.job().assumed.iter().find(|line| line.starts_with("padding"));
        (format!("{padding} {batch_norm_epsilon} {}", preprocess.mean[0]), assumed.cloned())
    };
    let assumed = |text: &str| Some(text.to_owned());
    for (name, naming, values, why) in [
        (
            "mobilenet-v1",
            &Naming::TIMM,
            "symmetric 0.00001 0.5",
            assumed("padding symmetric: no config.json, so timm's"),
        ),
        (
            "mobilenet-v2",
            &Naming::TIMM,
            "symmetric 0.00001 0.485",
            assumed("padding symmetric: no config.json, so timm's"),
        ),
        (
            "mobilenet-v3-large-minimalistic",
            &Naming::TIMM,
            "same 0.001 0.5",
            assumed("padding same: no config.json, so timm's"),
        ),
        (
            "mobilenet-v1",
            &Naming::HUGGING_FACE,
            "same 0.001 0.5",
            assumed("padding same: no config.json, so Hugging Face's"),
        ),
        ("mobilenet-v2", &Naming::TORCHVISION, "symmetric 0.00001 0.485", None),
        ("mobilenet-v1", &Naming::PLAIN, "same 0.001 0.5", assumed("padding same: no config.json")),
    ] {
        assert_eq!(found(name, naming, None), (values.to_owned(), why), "{name} {naming}");
    }
    // A file that says something else leaves the rest to the exporter.
    let (values, _) = found("mobilenet-v1", &Naming::TIMM, Some(r#"{"image_size": 96}"#));
    assert_eq!(values, "symmetric 0.00001 0.5");
    let (values, _) = found("mobilenet-v1", &Naming::TIMM, Some(r#"{"tf_padding": true}"#));
    assert_eq!(values, "same 0.00001 0.5");
}

/// What a user's own description doesn't say is its exporter's too, if its tensors have the names of one.
#[test]
fn a_description_says_what_it_says() {
    let (rows, _) = network("mobilenet-v1", &Naming::TIMM);
    let own = builtin("mobilenet-v1").unwrap().text.to_owned();
    let silent: Vec<&str> = own.lines().filter(|line| !line.starts_with("padding")).collect();
    let silent = silent.join("\n");
    for (text, ask, expected) in
        [(&own, None, "same"), (&silent, None, "symmetric"), (&silent, Some("none"), "same")]
    {
        let mut files = Memory(
            [
                (PathBuf::from("w.safetensors"), write(&rows)),
                (PathBuf::from("net.toml"), text.as_bytes().to_vec()),
            ]
            .into(),
        );
        let opened = opened("net.toml", &mut files, |request| {
            request.numbers = Numbers::File("w.safetensors".into());
            request.config = ask.map(PathBuf::from);
        });
        assert_eq!(opened.unwrap().job().description().padding.to_string(), expected);
    }
}
