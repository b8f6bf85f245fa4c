//! What an executable and a Python module show of a network's outputs: as the network was trained, and the same bits in both.

use std::path::Path;
use std::process::Command;

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;
use mnc_tests::networks::TINY;
use serde_json::{Value, json};

/// A folder with that network as executable and as Python module; `None` where this machine has no compiler.
fn compile(description: &str, config: Option<&str>) -> Option<Folder> {
    let mnc = mnc()?;
    need::host()?;
    let folder = Folder::new();
    folder.write("tiny.toml", description);
    folder.write("config.json", config.unwrap_or("{}"));
    let input: Vec<u8> =
        (0..8 * 8 * 3).flat_map(|idx| ((idx * 37 % 101) as f32 / 50.0 - 1.0).to_le_bytes()).collect();
    folder.write("input.f32", input);
    let command = |emit: &[&str]| {
        let arguments = ["compile", "tiny.toml", "--random-weights", "3", "--quiet", "--name", "net"];
        need::run(
            Command::new(mnc)
                .current_dir(folder.path())
                .args(arguments)
                .args(["--config", if config.is_some() { "config.json" } else { "none" }])
                .args(emit),
        )
    };
    command(&["-o", "classify"]);
    command(&["--emit", "python", "-o", "net/"]);
    Some(folder)
}

/// What the executable prints.
fn run(folder: &Folder, arguments: &[&str]) -> String {
    let mut command = Command::new(folder.path().join("classify"));
    let output = need::run(command.current_dir(folder.path()).args(arguments));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The `top` of the executable's JSON, after the Python module's has been found the same to the last bit.
fn top(folder: &Folder) -> Vec<Value> {
    let answer: Value = serde_json::from_str(&run(folder, &["--json", "input.f32"])).expect("JSON");
    let top = answer[0]["top"].as_array().cloned().unwrap_or_default();
    let program = "import array, json, net
scores = net.run(array.array('f', open('input.f32', 'rb').read()))
print(json.dumps([[a['index'], a['label'], a.get('probability')] for a in net.top(scores)]))";
    let Some(python) = need::program("python3") else { return top };
    let mut command = Command::new(python);
    command.current_dir(folder.path()).env("PYTHONPATH", "net").args(["-B", "-c", program]);
    let theirs: Value = serde_json::from_slice(&need::run(&mut command).stdout).expect("JSON");
    let ours: Vec<Value> =
        top.iter().map(|class| json!([class["index"], class["label"], class["probability"]])).collect();
    assert_eq!(theirs, Value::Array(ours));
    top
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn several_classes_have_a_softmax() {
    let Some(folder) = compile(TINY, None) else { return };
    let top = top(&folder);
    let sum: f64 = top.iter().map(|class| number(&class["probability"])).sum();
    assert!(top.len() == 3 && (sum - 1.0).abs() < 1e-12, "{top:?}");
    assert!(
        run(&folder, &["--info"]).contains("\nanswers        probabilities, the softmax of the outputs\n")
    );
}

/// As transformers' pipeline has it: one label is a yes or a no, and many labels are many of them.
#[test]
fn labels_that_are_questions_have_sigmoids() {
    for config in [
        r#"{"num_labels": 1}"#,
        r#"{"id2label": {"0": "cat"}}"#,
        r#"{"num_labels": 2, "problem_type": "multi_label_classification"}"#,
    ] {
        let Some(folder) = compile(TINY, Some(config)) else { return };
        let top = top(&folder);
        assert!(!top.is_empty(), "{config}");
        for class in &top {
            // The shortest text of a float is not that of its double.
            let logit = f64::from(number(&class["logit"]) as f32);
            let found = number(&class["probability"]);
            assert!(found < 1.0 && (found - sigmoid(logit)).abs() < 1e-15, "{config}: {class}");
        }
        let shown = format!("  {:.4}  ", number(&top[0]["probability"]));
        assert!(run(&folder, &["input.f32"]).contains(&shown), "{config}");
    }
}

/// One output without a word on it, a regression, and the features of a network without a classifier.
#[test]
fn what_is_no_probability_is_not_called_one() {
    let one = TINY.replace("classes = 3", "classes = 1");
    let regression = r#"{"num_labels": 3, "problem_type": "regression"}"#;
    let stated = TINY.replace("classes = 3", "classes = 3\nscores = \"values\"");
    for (description, config) in [(one.as_str(), None), (TINY, Some(regression)), (&stated, None)] {
        let Some(folder) = compile(description, config) else { return };
        let raw = run(&folder, &["--raw", "input.f32"]);
        let top = top(&folder);
        assert_eq!(top.len(), raw.lines().count(), "{top:?}");
        for class in &top {
            assert!(class.get("probability").is_none() && class.get("logit").is_none(), "{class}");
            let at = class["index"].as_u64().expect("an index is a number") as usize;
            assert_eq!(class["value"].to_string(), raw.lines().nth(at).expect("an output a line"));
        }
        let shown = run(&folder, &["input.f32"]);
        assert!(shown.contains(&format!("  {}  output {}\n", top[0]["value"], top[0]["index"])), "{shown}");
    }
    let headless = TINY.replace("    { kind = \"dense\" },\n", "");
    let Some(folder) = compile(&headless, None) else { return };
    assert!(top_is_empty(&folder));
    assert_eq!(run(&folder, &["input.f32"]), run(&folder, &["--raw", "input.f32"]));
}

fn top_is_empty(folder: &Folder) -> bool {
    let answer: Value = serde_json::from_str(&run(folder, &["--json", "input.f32"])).expect("JSON");
    answer[0].get("top").is_none() && answer[0]["output"].as_array().is_some_and(|it| it.len() == 8)
}

#[test]
fn a_softmax_layer_gives_probabilities_as_they_are() {
    let softmax = TINY.replace("{ kind = \"dense\" }", "{ kind = \"dense\" }, { kind = \"softmax\" }");
    let Some(folder) = compile(&softmax, None) else { return };
    let raw = run(&folder, &["--raw", "input.f32"]);
    for class in top(&folder) {
        let at = class["index"].as_u64().expect("an index is a number") as usize;
        let line = raw.lines().nth(at).expect("an output a line");
        assert_eq!(
            number(&class["probability"]),
            f64::from(line.parse::<f32>().expect("a float")),
            "{class}"
        );
    }
}

/// What a description says of its outputs can contradict its layers.
#[test]
fn contradictions_are_refused() {
    let Some(mnc) = mnc() else { return };
    let with = |scores: &str, classes: &str, more: &str| {
        let scores = format!("classes = {classes}\n{scores}");
        TINY.replace("classes = 3", &scores)
            .replace("{ kind = \"dense\" }", &format!("{{ kind = \"dense\" }}{more}"))
    };
    let softmax = ", { kind = \"softmax\" }";
    for (description, expected) in [
        (
            with("scores = \"softmax\"", "1", ""),
            "scores: found \"softmax\" for one output, expected \"sigmoid\" or \"values\"",
        ),
        (
            with("scores = \"sigmoid\"", "3", softmax),
            "scores: found \"sigmoid\" behind the layer softmax_1, a softmax, expected none",
        ),
        (
            with("", "1", softmax),
            "softmax_1: found one channel, expected several: the softmax of one number is always 1",
        ),
        (
            with("scores = \"logits\"", "3", ""),
            "`scores`: found \"logits\", expected \"softmax\", \"sigmoid\" or \"values\"",
        ),
    ] {
        let folder = Folder::new();
        folder.write("tiny.toml", &description);
        let arguments = ["compile", "tiny.toml", "--random-weights", "3", "-o", "classify"];
        let output = Command::new(mnc).current_dir(folder.path()).args(arguments).output();
        let output = output.expect("mnc can be started");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(expected), "{error}");
        assert!(!output.status.success() && !Path::new(&folder.path().join("classify")).exists());
    }
}
