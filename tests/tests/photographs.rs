//! From photographs to labels, through the executables that `mnc compile` makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;
use mnc_tests::recorded::{TRAINED, Trained};
use serde_json::Value;

/// All of an executable but its weights.
const MOST_BYTES_BESIDE_WEIGHTS: u64 = 1_500_000;

/// Decoders and filters differ by up to 4 of 255 a pixel (0.15 in the mean), which was seen to move logits by 0.53: a top-1
/// less far ahead than this may change.
const LEAST_MARGIN: f64 = 1.0;

/// A `preprocessor_config.json` for networks of 96 x 96 that take x / 255.
const FROM_0_TO_1: &str = r#"{
    "do_resize": true, "size": {"shortest_edge": 110}, "resample": 2,
    "do_center_crop": true, "crop_size": {"height": 96, "width": 96},
    "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": false
}"#;

/// An executable in a folder of its own.
struct Classifier {
    folder: Folder,
}

impl Classifier {
    /// `mnc compile mobilenet-v1` with those arguments.
    fn new(mnc: &Path, arguments: &[&str]) -> Classifier {
        Classifier::of(mnc, "mobilenet-v1", arguments)
    }

    /// `mnc compile` of that network.
    fn of(mnc: &Path, network: &str, arguments: &[&str]) -> Classifier {
        let folder = Folder::new();
        folder.write("preprocessor.json", FROM_0_TO_1);
        let compile = ["compile", network, "-o", "classify"];
        need::run(Command::new(mnc).current_dir(folder.path()).args(compile).args(arguments));
        Classifier { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("classify")
    }

    /// The JSON that the executable prints for those pictures.
    fn answers(&self, pictures: &[PathBuf]) -> Vec<Value> {
        let output = need::run(Command::new(self.path()).args(["--json", "--top", "1"]).args(pictures));
        let answers: Value = serde_json::from_slice(&output.stdout).expect("the executable prints JSON");
        let answers = answers.as_array().expect("an array of answers").clone();
        assert_eq!(answers.len(), pictures.len(), "an answer for each picture");
        answers
    }
}

fn check(trained: &Trained, answers: &str, preprocess: &[&str]) {
    let files = || {
        let find = need::shared_data;
        Some([find(trained.weights)?, find(trained.config)?, find(answers)?, find("images")?])
    };
    let Some([weights, config, answers, images]) = files() else { return };
    let Some(mnc) = mnc() else { return };
    let text =
        |path: &Path| path.canonicalize().expect("the file is there").to_str().expect("UTF-8").to_owned();
    let (weights_path, config) = (text(&weights), text(&config));
    let arguments = [&["--weights", &weights_path, "--config", &config], preprocess].concat();
    let classifier = Classifier::new(mnc, &arguments);

    let size = |path: &Path| std::fs::metadata(path).expect("the file is there").len();
    let beside_weights = size(&classifier.path()).saturating_sub(size(&weights));
    assert!(beside_weights < MOST_BYTES_BESIDE_WEIGHTS, "{beside_weights} bytes and the weights");

    compare(trained.weights, &classifier, (&answers, &images));
}

/// The class of every picture that is clear to the network is the recorded one.
fn compare(name: &str, classifier: &Classifier, (answers, images): (&Path, &Path)) {
    let recorded: Value = serde_json::from_slice(&std::fs::read(answers).expect("it can be read"))
        .expect("the answers are JSON");
    let recorded = recorded["images"].as_array().expect("the answers are for images");
    assert_eq!(recorded.len(), 53);
    let pictures: Vec<PathBuf> = recorded.iter().map(|image| picture(images, image)).collect();
    let mut n_checked = 0;
    let mut wrong = Vec::new();
    for (ours, recorded) in classifier.answers(&pictures).iter().zip(recorded) {
        // With two classes there is no top-5.
        let top = recorded.get("top5").unwrap_or(&recorded["top"]);
        let (found, expected) = (&ours["top"][0]["index"], &top[0]["index"]);
        assert!(found.is_u64() && expected.is_u64(), "{ours} {recorded}");
        if LEAST_MARGIN < recorded["margin"].as_f64().expect("an image has a margin") {
            n_checked += 1;
            if found != expected {
                wrong.push(format!("{}: class {found}, expected {expected}", recorded["file"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    // Half of the pictures are clear to the weakest of the networks.
    assert!(recorded.len() / 2 <= n_checked, "{n_checked} pictures were clear");
}

/// Where a picture of the answers lies.
fn picture(images: &Path, image: &Value) -> PathBuf {
    let name = image["file"].as_str().expect("an image has a file");
    let candidates = [images.join(name), images.join("extra").join(name)];
    candidates
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not among the images"))
}

#[test]
fn v1_025_128() {
    check(&TRAINED[0], "expected/mobilenet_v1_0.25_128.json", &[]);
}

#[test]
fn v1_025_128_synthetic_batch_norm() {
    check(&TRAINED[1], "expected/mobilenet_v1_0.25_128_synthbn.json", &[]);
}

#[test]
fn v1_025_96_visual_wake_words() {
    check(&TRAINED[2], "expected/mobilenet_v1_0.25_96_vww.json", &["--preprocessor", "preprocessor.json"]);
}

#[test]
fn v1_05_160() {
    check(&TRAINED[3], "expected/mobilenet_v1_0.5_160.json", &[]);
}

#[test]
fn v1_10_224() {
    check(&TRAINED[4], "expected/mobilenet_v1_1.0_224.json", &[]);
}

#[test]
fn v1_10_224_timm() {
    check(&TRAINED[5], "expected/mobilenetv1_100_timm.json", &[]);
}

#[test]
fn v1_025_96_person() {
    check(&TRAINED[6], "default/mobilenet_v1_0.25_96_person.json", &["--preprocessor", "preprocessor.json"]);
}

/// A file of weights by itself, in torchvision's naming: padding, epsilon and pictures are those of torchvision's code.
#[test]
fn v2_10_224_torchvision() {
    let find = |name: &str| need::shared_data(&format!("next/{name}"));
    let weights = find("weights/mobilenetv2_torchvision.safetensors");
    let answers = find("expected/mobilenetv2_torchvision.json");
    let (Some(weights), Some(answers), Some(images)) = (weights, answers, need::shared_data("images")) else {
        return;
    };
    let Some(mnc) = mnc() else { return };
    let weights = weights.canonicalize().expect("the file is there");
    let classifier = Classifier::of(mnc, weights.to_str().expect("UTF-8"), &["--config", "none"]);
    compare("mobilenetv2_torchvision", &classifier, (&answers, &images));
}

/// What the repository itself carries: weights, configuration, labels and two photographs.
#[test]
fn the_person_detector_of_the_readme() {
    let Some(mnc) = mnc() else { return };
    let folder = need::workspace().join("examples/person-detector");
    let weights = folder.join("person.safetensors").canonicalize().expect("the repository has weights");
    let classifier = Classifier::new(mnc, &["--weights", weights.to_str().expect("UTF-8")]);
    let photos = ["astronaut.jpg", "chelsea.jpg"].map(|name| folder.join("photos").join(name));
    let answers = classifier.answers(&photos);
    for (answer, (label, probability)) in answers.iter().zip([("person", 0.95), ("non_person", 0.98)]) {
        let top = &answer["top"][0];
        assert_eq!(top["label"], label, "{answer}");
        // The recorded answer has two digits.
        let found = top["probability"].as_f64().expect("a probability is a number");
        assert!((found - probability).abs() < 0.01, "{found}, expected {probability}");
    }
}
