//! What is left of a file: tensors of no layer, and lines of a file of names that no layer is behind.

use super::*;

#[test]
fn one_tensor_is_one() {
    let (mut rows, _) = network("mobilenet-v1", &Naming::HUGGING_FACE);
    rows.push(scalar("epoch"));
    let error = read(&rows, |request| request.strict = true).unwrap_err().to_string();
    assert_eq!(
        error,
        "w.safetensors: found 1 tensor that no layer wants (\"epoch\"), expected none: strict was asked for"
    );
}

/// A classifier that nobody asks for is no tensor too many; what else there is stays one.
#[test]
fn strict_features() {
    for naming in [&Naming::HUGGING_FACE, &Naming::TIMM, &Naming::KERAS, &Naming::PLAIN] {
        let (mut rows, _) = network("mobilenet-v1", naming);
        let ask = |request: &mut Request| (request.strict, request.features) = (true, true);
        let (_, notes) = read(&rows, ask).unwrap_or_else(|error| panic!("{naming}: {error}"));
        assert!(!notes.iter().any(|note| note.subject == "left out"), "{notes:?}");
        rows.push(scalar("epoch"));
        let error = read(&rows, ask).unwrap_err().to_string();
        assert!(error.contains("found 1 tensor that no layer wants (\"epoch\")"), "{error}");
        // Without `strict` the classifier isn't told either.
        let (_, notes) = read(&rows, |request| request.features = true).unwrap();
        let told = texts(&notes);
        assert!(
            told.last().unwrap().ends_with("1 tensor that no layer wants, 8 bytes: \"epoch\""),
            "{told:?}"
        );
    }
}

/// A file of names for a network, and what comes of it.
fn with_names(rows: &[Row], names: &str, ask: impl Fn(&mut Request)) -> Result<Vec<String>> {
    let mut files = Memory(
        [
            (PathBuf::from("w.safetensors"), write(rows)),
            (PathBuf::from("d/names.toml"), names.as_bytes().to_vec()),
        ]
        .into(),
    );
    let opened = opened("mobilenet-v1", &mut files, |request| {
        request.numbers = Numbers::File("w.safetensors".into());
        request.names = Some("d/names.toml".into());
        ask(request);
    })?;
    let (graph, _) = opened.graph()?;
    opened.weights().unwrap().parameters(&graph, opened.job().naming)?;
    Ok(opened.job().told())
}

/// A line for a layer that isn't there names it, whatever else is wrong with the file.
#[test]
fn lines_of_no_layer() {
    let (rows, _) = network("mobilenet-v1", &Naming::PLAIN);
    let theirs = renamed(&rows, |name| format!("net/{name}"));
    let line = |name: &str| format!("{name:?} = \"net/{name}\"\n");
    let whole: String = rows.iter().map(|row| line(&row.0)).collect();
    assert_eq!(with_names(&theirs, &whole, |_| {}).unwrap(), ["tensors: names.toml: 137 tensors renamed"]);
    // The others still have their own names, of which no naming knows one.
    let error = with_names(&theirs, "\"conv_11.weight\" = \"net/conv_1.weight\"\n", |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "d/names.toml:1:1: found \"conv_11.weight\" for \"net/conv_1.weight\", expected a tensor of a layer of the network: \
         the nearest are \"conv_1.weight\", \"conv_dw_1.weight\", \"conv_pw_1.weight\""
    );
    // A line with a placeholder is told once, with the first of its tensors.
    let pattern = whole
        .lines()
        .filter(|line| !line.contains("conv_pw_"))
        .chain(["\"conv_px_{i}.weight\" = \"net/conv_pw_{i}.weight\""])
        .collect::<Vec<_>>()
        .join("\n");
    let error = with_names(&theirs, &pattern, |_| {}).unwrap_err();
    assert_eq!(error.faults().len(), 1, "{error}");
    let text = error.to_string();
    assert!(text.contains("found \"conv_px_1.weight\" for \"net/conv_pw_1.weight\""), "{text}");
    assert!(text.contains("nearest are \"conv_pw_1.weight\""), "{text}");
    // Names of any exporter do, also of the classifier where the features are asked for.
    with_names(&theirs, &whole, |request| request.features = true).unwrap();
    let graph = Graph::build(&builtin("mobilenet-v1").unwrap().description(), &Knobs::default()).unwrap();
    let pairs = Naming::TIMM.tensors(&graph).unwrap().into_iter().zip(Naming::PLAIN.tensors(&graph).unwrap());
    let exporter: String =
        pairs.map(|(timm, plain)| format!("{:?} = \"net/{}\"\n", timm.tensor, plain.tensor)).collect();
    with_names(&theirs, &exporter, |_| {}).unwrap();
}

/// Options about a file's tensors without a file.
#[test]
fn nothing_to_ask_of_numbers_that_are_no_file() {
    for numbers in [Numbers::Random(1), Numbers::Runtime] {
        for (name, ask) in [
            (
                "prefix",
                (|request: &mut Request| request.prefix = Some("ema.".to_owned())) as fn(&mut Request),
            ),
            ("strict", |request| request.strict = true),
        ] {
            let mut request = Request::new(Network::Named("mobilenet-v1".to_owned()), numbers.clone());
            ask(&mut request);
            let error = Job::resolve(&request, &mut Memory::default()).unwrap_err().to_string();
            let expected = "found without a file of weights, expected one whose tensors it speaks of";
            assert_eq!(error, format!("{name}: {expected}"));
        }
    }
}

/// What TensorFlow's trainer keeps of each tensor is left out; where there are moving averages alone, they are the numbers.
#[test]
fn slots_of_tensorflow() {
    for (name, naming) in
        [("mobilenet-v1", &Naming::SLIM), ("mobilenet-v2", &Naming::SLIM), ("mobilenet-v1", &Naming::KERAS)]
    {
        let (rows, parameters) = network(name, naming);
        let slot = |slot: &str| renamed(&rows, |name| format!("{name}/{slot}"));
        let slots =
            ["ExponentialMovingAverage", "RMSProp", "RMSProp_1", "Momentum", "Adam"].map(slot).concat();
        let whole = [rows.clone(), slots.clone(), vec![scalar("global_step")]].concat();
        let (found, notes) = read_as(name, &whole, |_| {}).unwrap();
        assert_eq!(found, parameters);
        let told = texts(&notes);
        let expected = format!("left out: {} tensors that no layer wants, ", slots.len() + 1);
        assert!(told.iter().any(|line| line.starts_with(&expected)), "{told:?}");
        assert!(!told.iter().any(|line| line.starts_with("WARNING")), "{told:?}");
        let averages =
            [slot("ExponentialMovingAverage"), slot("RMSProp"), vec![scalar("global_step")]].concat();
        assert_eq!(read_as(name, &averages, |_| {}).unwrap().0, parameters, "{name} {naming}");
        let mut files = Memory([(PathBuf::from("w.safetensors"), write(&averages))].into());
        let told = opened("w.safetensors", &mut files, |_| {}).unwrap().job().told();
        let expected = "tensors: moving averages (ExponentialMovingAverage), which the file has alone";
        assert_eq!(told[0], expected);
    }
}

/// Names that nobody knows: what proposes which tensor is which, with the network named or not.
#[test]
fn names_of_nobody() {
    let (rows, _) = network("mobilenet-v1", &Naming::PLAIN);
    let theirs = renamed(&rows, |name| format!("x{}", name.replace('_', "-")));
    let mut files = Memory([(PathBuf::from("w.safetensors"), write(&theirs))].into());
    let way = "; for other names: `mnc tensors NETWORK --match w.safetensors -o names.toml` (docs/names.md)";
    let error = opened("w.safetensors", &mut files, |_| {}).unwrap_err().to_string();
    assert!(error.ends_with(way), "{error}");
    let named =
        opened("mobilenet-v1", &mut files, |request| request.numbers = Numbers::File("w.safetensors".into()));
    let error = named.unwrap().graph().unwrap_err().to_string();
    assert!(error.ends_with(way), "{error}");
}
