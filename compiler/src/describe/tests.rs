//! Tests of reading descriptions: each message is read here as the user reads it.

use super::*;
use crate::error::Place;

mod blocks;
mod layers;

/// The least that a file needs; `{}` stands where a test adds its own lines.
const HEAD: &str = "name = \"net\"\nclasses = 10\ninput = { height = 8, width = 8, channels = 3 }\n";
const LAYER: &str = "[[layer]]\nkind = \"softmax\"\n";

/// The faults of a text, one a line, without the file's name.
fn check(text: &str, expected: &[&str]) {
    let found: Vec<String> = match Description::parse(text, "n") {
        Ok(_) => Vec::new(),
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    };
    let expected: Vec<String> = expected.iter().map(|line| format!("n:{line}")).collect();
    assert_eq!(found, expected, "\n{text}");
}

/// The same for lines between the head and a legal layer; they start at line 4.
fn check_keys(lines: &str, expected: &[&str]) {
    check(&format!("{HEAD}{lines}\n{LAYER}"), expected);
}

/// The same for one layer's keys; they start at line 5.
fn check_layer(lines: &str, expected: &[&str]) {
    check(&format!("{HEAD}[[layer]]\n{lines}\n"), expected);
}

fn layers(lines: &str) -> Vec<LayerSpec> {
    Description::parse(&format!("{HEAD}{lines}"), "n").unwrap_or_else(|error| panic!("{error}")).layers
}

#[test]
fn defaults() {
    let description = Description::parse(&format!("{HEAD}{LAYER}"), "n").unwrap();
    let expected = Description {
        name: "net".to_string(),
        input: InputSpec { height: 8, width: 8, channels: 3 },
        classes: 10,
        rounding: Rounding::Floor { minimum: 8 },
        batch_norm_epsilon: 1e-3,
        padding: Padding::Same,
        preprocess: Preprocess {
            resize: Resize::Cover(Margin::USUAL),
            resample: Resample::Bilinear,
            crop_rounding: CropRounding::Down,
            fill: Vec::new(),
            scale: 1.0 / 255.0,
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            channel_order: ChannelOrder::Rgb,
        },
        scores: None,
        is_headless: false,
        outputs: Vec::new(),
        detect: None,
        layers: vec![LayerSpec { name: None, input: None, repeat: 1, stage: None, kind: LayerKind::Softmax }],
    };
    assert_eq!(description, expected);
}

#[test]
fn every_key() {
    let text = r#"
name = "every-key.2"
classes = 0x1_0
activation = "relu"
padding = "symmetric"
batch_norm_epsilon = 1e-5
scores = "sigmoid"
[input]
height = 1_0
width = 12
channels = 1
[alpha]
rounding = "nearest"
multiple = 4
[preprocess]
resize = "border"
fill = [7]
crop_pct = 0.5
resample = "lanczos"
crop_rounding = "even"
scale = 1
mean = [127.5]
std = [1]
channel_order = "bgr"
[[layer]]
kind = "conv"
name = "stem"
filters = 4
scaled = false
kernel = 5
stride = 2
padding = "valid"
activation = "none"
batch_norm = false
repeat = 2
stage = 3
[[layer]]
kind = "depthwise"
bias = true
[[layer]]
kind = "pointwise"
filters = 4
minimum = 2
[[layer]]
kind = "separable"
filters = 6
[[layer]]
kind = "add"
from = "stem"
activation = "relu6"
[[layer]]
kind = "global_average_pool"
[[layer]]
kind = "dense"
units = 5
bias = false
[[layer]]
kind = "softmax"
name = "probabilities"
"#;
    let description = Description::parse(text, "n").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(description.name, "every-key.2");
    assert_eq!(description.input, InputSpec { height: 10, width: 12, channels: 1 });
    assert_eq!((description.classes, description.batch_norm_epsilon), (16, 1e-5));
    assert_eq!(description.rounding, Rounding::Nearest { multiple: 4 });
    let Preprocess { resize, resample, crop_rounding, scale, mean, std, channel_order, fill } =
        description.preprocess;
    assert_eq!(
        (resize, scale, mean, std, fill),
        (Resize::Border(Margin::CropPct(0.5)), 1.0, vec![127.5], vec![1.0], vec![7])
    );
    assert_eq!((resample, crop_rounding), (Resample::Lanczos, CropRounding::Even));
    assert_eq!(channel_order, ChannelOrder::Bgr);
    assert_eq!(description.scores, Some(Scores::Sigmoid));
    let spec = ConvSpec {
        slide: Slide::square(3, 1),
        padding: Padding::Symmetric,
        activation: Activation::Relu,
        norm: Some(NormSpec::WHOLE),
        bias: false,
    };
    let stem = ConvSpec {
        slide: Slide::square(5, 2),
        padding: Padding::Valid,
        activation: Activation::None,
        norm: None,
        bias: true,
    };
    let pointwise = ConvSpec { slide: Slide::POINTWISE, padding: Padding::Valid, ..spec };
    let unnamed = |kind| LayerSpec { name: None, input: None, repeat: 1, stage: None, kind };
    let expected = vec![
        LayerSpec {
            name: Some("stem".to_string()),
            input: None,
            repeat: 2,
            stage: Some(3),
            kind: LayerKind::Conv { spec: stem, filters: Width::Fixed(4), groups: 1 },
        },
        unnamed(LayerKind::Depthwise { spec: ConvSpec { bias: true, ..spec }, multiplier: 1 }),
        unnamed(LayerKind::Conv {
            spec: pointwise,
            filters: Width::Scaled { channels: 4, minimum: 2 },
            groups: 1,
        }),
        unnamed(LayerKind::Separable {
            spec,
            squeeze: None,
            filters: Width::Scaled { channels: 6, minimum: 1 },
        }),
        unnamed(LayerKind::Add { from: "stem".to_string(), activation: Activation::Relu6 }),
        unnamed(LayerKind::GlobalAveragePool),
        unnamed(LayerKind::Dense {
            units: Some(5),
            flatten: Flatten::Hwc,
            activation: Activation::None,
            bias: false,
        }),
        LayerSpec {
            name: Some("probabilities".to_string()),
            input: None,
            repeat: 1,
            stage: None,
            kind: LayerKind::Softmax,
        },
    ];
    assert_eq!(description.layers, expected);
}

#[test]
fn missing_keys() {
    check(
        "",
        &[
            "1:1: the file has no [input], expected its height, width and channels",
            "1:1: the file has no `name`, expected a name of at most 64 letters, digits, `.`, `_` and `-`, a letter first",
            "1:1: the file has no `classes`, expected a whole number from 1 to 65536",
            "1:1: the file has no [[layer]], expected at least one",
        ],
    );
    check(
        "name = \"n\"\nclasses = 2\nlayer = []\n  [input]\n",
        &[
            "3:9: `layer`: found an empty array, expected at least one [[layer]]",
            "4:3: [input] has no `height`, expected a whole number from 1 to 1024",
            "4:3: [input] has no `width`, expected a whole number from 1 to 1024",
            "4:3: [input] has no `channels`, expected a whole number from 1 to 65536",
        ],
    );
    let kinds = "\"conv\", \"depthwise\", \"pointwise\", \"separable\", \"inverted_residual\", \
        \"fused_inverted_residual\", \"universal_inverted_bottleneck\", \"squeeze_excite\", \"add\", \"multiply\", \"max_pool\", \"average_pool\", \"concat\", \"upsample\", \"global_average_pool\", \"dense\" or \"softmax\"";
    check_layer("", &[&format!("4:1: [[layer]] has no `kind`, expected {kinds}")]);
    check_layer("kind = \"Conv\"\nunits = 4", &[&format!("5:8: `kind`: found \"Conv\", expected {kinds}")]);
    check_layer(
        "kind = \"conv\"",
        &["4:1: a layer of kind \"conv\" has no `filters`, expected a whole number from 1 to 65536"],
    );
}

#[test]
fn unknown_keys() {
    check_keys(
        "class = 4\nbatch_norm_eps = 1",
        &[
            "4:1: unknown key \"class\" in the file, did you mean `classes`?",
            "5:1: unknown key \"batch_norm_eps\" in the file, did you mean `batch_norm_epsilon`?",
        ],
    );
    check_keys(
        "[alpha]\nrho = 1",
        &["5:1: unknown key \"rho\" in [alpha], expected `rounding`, `minimum` or `multiple`"],
    );
    check_layer(
        "kind = \"dense\"\nbais = true\nstride = 2\n\"a\\nb\" = 1",
        &[
            "6:1: unknown key \"bais\" in a layer of kind \"dense\", did you mean `bias`?",
            "7:1: unknown key \"stride\" in a layer of kind \"dense\", expected `kind`, `name`, `input`, `units`, `flatten`, `activation`, `bias` or `slope`",
            "8:1: unknown key \"a\\nb\" in a layer of kind \"dense\", expected `kind`, `name`, `input`, `units`, `flatten`, `activation`, `bias` or `slope`",
        ],
    );
}

#[test]
fn wrong_values() {
    check_layer(
        "kind = \"conv\"\nfilters = 0\nkernel = 12\nstride = \"2\"\npadding = \"Same\"\nscaled = 1\nactivation = []\nrepeat = -1",
        &[
            "6:11: `filters`: found 0, expected a whole number from 1 to 65536",
            "7:10: `kernel`: found 12, expected a whole number from 1 to 11, or two as [rows, columns]",
            "8:10: `stride`: found \"2\", expected a whole number from 1 to 4, or two as [rows, columns]",
            "9:11: `padding`: found \"Same\", expected \"same\", \"symmetric\", \"valid\" or \"keras\"",
            "10:10: `scaled`: found 1, expected true or false",
            "11:14: `activation`: found an array, expected \"relu6\", \"relu\", \"none\", \"leaky_relu\", \"hard_sigmoid\", \"hard_swish\", \"sigmoid\" or \"swish\"",
            "12:10: `repeat`: found -1, expected a whole number from 1 to 4096",
        ],
    );
    check_layer(
        "kind = \"conv\"\nfilters = 99999999999999999999999999999999999999999999999999",
        &[
            "6:11: `filters`: found 9999999999999999999999999999999999999999…, expected a whole number from 1 to 65536",
        ],
    );
    check_keys(
        "batch_norm_epsilon = nan\n[alpha]\nminimum = 1.5\nmultiple = 8\n[preprocess]\nratio = 0.5\nmean = [0.5, 0.5]\n\
         std = [1, 0, \"1\"]\nscale = -inf",
        &[
            "4:22: `batch_norm_epsilon`: found nan, expected a number from 1e-12 to 1.0",
            "6:11: `minimum`: found 1.5, expected a whole number from 1 to 1024",
            "7:12: `multiple` has no meaning with rounding \"floor\", expected it absent",
            "9:9: `ratio`: found 0.5, expected a number from 1.0 to 4.0",
            "10:8: `mean`: found 2 numbers, expected an array of 3 numbers, one per input channel",
            "11:11: `std`: found 0, expected a number from 1e-9 to 1000000000.0",
            "11:14: `std`: found \"1\", expected a number from 1e-9 to 1000000000.0",
            "12:9: `scale`: found -inf, expected a number from 1e-9 to 1000000000.0",
        ],
    );
    check_keys(
        "[preprocess]\nratio = 1\ncrop_pct = 1.5\nmean = 0.5\n[alpha]\nrounding = \"nearest\"\nminimum = 8",
        &[
            "5:9: `ratio` has no meaning beside `crop_pct`, expected it absent",
            "6:12: `crop_pct`: found 1.5, expected a number from 0.25 to 1.0",
            "7:8: `mean`: found 0.5, expected an array of 3 numbers, one per input channel",
            "10:11: `minimum` has no meaning with rounding \"nearest\", expected it absent",
        ],
    );
    check_keys(
        "[preprocess]\nresize = \"none\"\ncrop_pct = 0.9\nresample = \"box\"\ncrop_rounding = \"even\"",
        &[
            "6:12: `crop_pct` has no meaning without a resize, expected it absent",
            "7:12: `resample` has no meaning without a resize, expected it absent",
            "8:17: `crop_rounding` has no meaning with resize \"none\", expected it absent",
        ],
    );
    check_keys(
        "[preprocess]\nfill = [1, 2]",
        &["5:8: `fill` has no meaning without resize \"border\", expected it absent"],
    );
    check_keys(
        "[preprocess]\nresize = \"border\"\nfill = [1, 2, 256]",
        &["6:15: `fill`: found 256, expected a number from 0.0 to 255.0"],
    );
    check_keys(
        "[preprocess]\nresize = \"crop\"\nratio = 1.5\nresample = \"cubic\"\ncrop_rounding = \"up\"",
        &[
            "6:9: `ratio` has no meaning without a resize, expected it absent",
            "7:12: `resample` has no meaning without a resize, expected it absent",
            "7:12: `resample`: found \"cubic\", expected \"nearest\", \"box\", \"bilinear\", \"hamming\", \"bicubic\" or \"lanczos\"",
            "8:17: `crop_rounding`: found \"up\", expected \"down\" or \"even\"",
        ],
    );
    check_layer(
        "kind = \"pointwise\"\nfilters = 4\nscaled = false\nminimum = 8",
        &["8:11: `minimum` has no meaning without `scaled`, expected it absent"],
    );
    check(
        "name = \"2 nets\"\nclasses = 65537\ninput = 224\nlayer = [1, {kind=\"softmax\"}]\nalpha = true\npreprocess = 1979-05-27\n",
        &[
            "1:8: `name`: found \"2 nets\", expected a name of at most 64 letters, digits, `.`, `_` and `-`, a letter first",
            "2:11: `classes`: found 65537, expected a whole number from 1 to 65536",
            "3:9: `input`: found 224, expected a table, [input]",
            "4:10: `layer`: found 1, expected tables, [[layer]]",
            "5:9: `alpha`: found true, expected a table, [alpha]",
            "6:14: `preprocess`: found a date, expected a table, [preprocess]",
        ],
    );
    check(
        "name = \"n\"\nclasses = 1\nlayer = 3\n[input]\nheight = 1025\nwidth = 0\nchannels = 65537\n",
        &[
            "3:9: `layer`: found 3, expected tables, [[layer]]",
            "5:10: `height`: found 1025, expected a whole number from 1 to 1024",
            "6:9: `width`: found 0, expected a whole number from 1 to 1024",
            "7:12: `channels`: found 65537, expected a whole number from 1 to 65536",
        ],
    );
}

#[test]
fn names() {
    let expected = "expected a name of at most 64 letters, digits, `_` and `-`, a letter first";
    check_layer("kind = \"dense\"\nname = \"a.b\"", &[&format!("6:8: `name`: found \"a.b\", {expected}")]);
    check_layer("kind = \"dense\"\nname = \"ü\"", &[&format!("6:8: `name`: found \"ü\", {expected}")]);
    check_layer(
        "kind = \"dense\"\nname = \"input\"",
        &["6:8: `name`: found \"input\", which names the network's input, expected a name of its own"],
    );
    let twice = "kind = \"depthwise\"\nname = \"a\"\n";
    check_layer(
        &format!("{twice}[[layer]]\n{twice}"),
        &["9:8: `name`: found \"a\", which names an earlier layer, expected a name of its own"],
    );
}

#[test]
fn named_inputs() {
    check_layer(
        "kind = \"depthwise\"\nname = \"stem\"\n[[layer]]\nkind = \"softmax\"\ninput = \"sten\"\n\
         [[layer]]\nkind = \"dense\"\ninput = 3",
        &[
            "9:9: `input`: found \"sten\", expected the name of an earlier layer, did you mean \"stem\"?",
            "12:9: `input`: found 3, expected a name of at most 64 letters, digits, `_` and `-`, a letter first",
        ],
    );
    let legal = layers("[[layer]]\nkind = \"softmax\"\ninput = \"input\"");
    assert_eq!(legal[0].input.as_deref(), Some("input"));
}

#[test]
fn adds() {
    let expected = "expected the name of an earlier layer";
    check_layer(
        "kind = \"depthwise\"\nname = \"stem\"\n[[layer]]\nkind = \"add\"\nfrom = \"sten\"\n[[layer]]\nkind = \"add\"\n\
         from = \"later\"\n[[layer]]\nkind = \"depthwise\"\nname = \"later\"\n[[layer]]\nkind = \"add\"\nname = \"me\"\n\
         from = \"me\"\n[[layer]]\nkind = \"add\"",
        &[
            &format!("9:8: `from`: found \"sten\", {expected}, did you mean \"stem\"?"),
            &format!("12:8: `from`: found \"later\", {expected}"),
            &format!("19:8: `from`: found \"me\", {expected}"),
            "20:1: a layer of kind \"add\" has no `from`, \
             expected a name of at most 64 letters, digits, `_` and `-`, a letter first",
        ],
    );
    let legal = layers("[[layer]]\nkind = \"add\"\nfrom = \"input\"");
    assert_eq!(legal[0].kind, LayerKind::Add { from: "input".to_string(), activation: Activation::None });
    let legal = layers("[[layer]]\nkind = \"multiply\"\nfrom = \"input\"\nactivation = \"relu\"");
    let expected = LayerKind::Multiply { from: "input".to_string(), activation: Activation::Relu };
    assert_eq!(legal[0].kind, expected);
    check_layer(
        "kind = \"multiply\"\nfrom = \"gate\"",
        &["6:8: `from`: found \"gate\", expected the name of an earlier layer"],
    );
}

#[test]
fn outputs() {
    let text = |outputs: &str| {
        format!(
            "{HEAD}outputs = {outputs}\n[[layer]]\nkind = \"depthwise\"\nname = \"scores\"\n[[layer]]\nkind = \"depthwise\"\n\
             name = \"box-es\"\n[[layer]]\nkind = \"depthwise\"\nname = \"Box_es\"\n"
        )
    };
    let found = |outputs: &str| Description::parse(&text(outputs), "n").unwrap().outputs;
    assert_eq!(found("[\"box-es\", \"scores\"]"), ["box-es", "scores"]);
    assert_eq!(found("[\"scores\"]"), ["scores"]);
    let faults = |outputs: &str, expected: &[&str]| check(&text(outputs), expected);
    faults("\"scores\"", &["4:11: `outputs`: found \"scores\", expected an array of 1 to 32 names"]);
    faults("[]", &["4:11: `outputs`: found 0 names, expected an array of 1 to 32 names"]);
    let many = vec!["\"scores\""; 33].join(", ");
    faults(&format!("[{many}]"), &["4:11: `outputs`: found 33 names, expected an array of 1 to 32 names"]);
    faults(
        "[\"scores\", 3, \"input\", \"score\", \"a\\nb\", \"scores\", \"box-es\", \"Box_es\"]",
        &[
            "4:22: `outputs`: found 3, expected a name",
            "4:25: `outputs`: found \"input\", the network's input, expected the name of a layer",
            "4:34: `outputs`: found \"score\", expected the name of a layer, did you mean \"scores\"?",
            "4:43: `outputs`: found \"a\\nb\", expected the name of a layer",
            "4:51: `outputs`: found \"scores\" twice, expected each layer once",
            "4:71: `outputs`: found \"Box_es\" beside \"box-es\", expected names that differ in more than case, `-` and `_`: they \
             become parts of identifiers",
        ],
    );
}

#[test]
fn pools() {
    let pool = |text: &str| layers(&format!("[[layer]]\n{text}"))[0].kind.clone();
    let expected =
        LayerKind::Pool { pooling: Pooling::Max, slide: Slide::square(2, 2), padding: Padding::Valid };
    assert_eq!(pool("kind = \"max_pool\""), expected);
    let expected = LayerKind::Pool {
        pooling: Pooling::Average { counts_padding: true },
        slide: Slide::square(3, 1),
        padding: Padding::Symmetric,
    };
    let text =
        "kind = \"average_pool\"\nkernel = 3\nstride = 1\npadding = \"symmetric\"\ncount_padding = true";
    assert_eq!(pool(text), expected);
    check_layer(
        "kind = \"max_pool\"\ncount_padding = true",
        &[
            "6:1: unknown key \"count_padding\" in a layer of kind \"max_pool\", expected `kind`, `name`, `input`, `kernel`, `stride` or `padding`",
        ],
    );
}

#[test]
fn joined_maps() {
    let text = "[[layer]]\nkind = \"concat\"\nfrom = [\"input\", \"input\"]\n[[layer]]\nkind = \"upsample\"\nfactor = 3";
    let kinds: Vec<LayerKind> = layers(text).into_iter().map(|layer| layer.kind).collect();
    let from = vec!["input".to_string(); 2];
    assert_eq!(kinds, [LayerKind::Concat { from }, LayerKind::Upsample { factor: 3 }]);
    check_layer(
        "kind = \"concat\"\nfrom = \"input\"\n[[layer]]\nkind = \"concat\"\nfrom = [\"inptu\", 1]\n[[layer]]\nkind = \"concat\"\n\
         [[layer]]\nkind = \"upsample\"\nfactor = 1\n[[layer]]\nkind = \"upsample\"",
        &[
            "6:8: `from`: found \"input\", expected an array of 1 to 7 names",
            "9:8: `from`: found \"inptu\", expected the name of an earlier layer, did you mean \"input\"?",
            "9:18: `from`: found 1, expected a name",
            "10:1: `from`: found nothing, expected an array of 1 to 7 names",
            "14:10: `factor`: found 1, expected a whole number from 2 to 16",
            "15:1: a layer of kind \"upsample\" has no `factor`, expected a whole number from 2 to 16",
        ],
    );
}

#[test]
fn too_much() {
    let separable = "kind = \"separable\"\nfilters = 8\nrepeat = 2048\n";
    assert_eq!(layers(&format!("[[layer]]\n{separable}")).len(), 1);
    check_layer(
        &format!("{separable}[[layer]]\nkind = \"softmax\"\n[[layer]]\nkind = \"softmax\""),
        &["8:1: found more than 4096 layers up to here, repeats counted, expected fewer"],
    );
    check(&"#".repeat(1 << 21), &["1:1: found 2097152 bytes, expected at most 1048576"]);
}

#[test]
fn not_toml() {
    check(
        "name = \"n\"\nname = 3\n[input\n",
        &["2:1: not TOML: duplicate key", "3:7: not TOML: unclosed table, expected `]`"],
    );
}

#[test]
fn columns_count_characters() {
    check_keys(
        "\"äöü\" = 1\n[alpha]\n\"ä\" = 1",
        &[
            "4:1: unknown key \"äöü\" in the file, expected `name`, `classes`, `activation`, `slope`, `padding`, `batch_norm_epsilon`, \
         `input`, `alpha`, `preprocess`, `scores`, `outputs`, `detect` or `layer`",
            "6:1: unknown key \"ä\" in [alpha], expected `rounding`, `minimum` or `multiple`",
        ],
    );
    check_keys(
        "alpha = { \"ä\" = 1, rounding = 2 }",
        &[
            "4:11: unknown key \"ä\" in [alpha], expected `rounding`, `minimum` or `multiple`",
            "4:31: `rounding`: found 2, expected \"floor\", \"nearest\" or \"nearest_of_whole\"",
        ],
    );
}

#[test]
fn builtins() {
    for builtin in BUILTIN {
        let description = builtin.description();
        assert_eq!(description.name, builtin.name);
        assert_eq!(description.preprocess.scale, 1.0 / 255.0);
        // The share of the shorter side that is seen, in per cent: as published with the weights.
        let seen = match builtin.name {
            "mobilenet-v4-conv-medium" | "mobilenet-v4-conv-large" => 95.0,
            _ => 87.5,
        };
        let v4 = builtin.name.starts_with("mobilenet-v4");
        let margin = if v4 { Margin::CropPct(seen / 100.0) } else { Margin::Ratio(100.0 / seen) };
        assert_eq!(description.preprocess.resize, Resize::Cover(margin));
        let others = (description.preprocess.resample, description.preprocess.crop_rounding);
        let expected = if v4 { (Resample::Bicubic, CropRounding::Even) } else { Default::default() };
        assert_eq!(others, expected);
    }
}

/// Xorshift: small, and the same numbers on every machine.
struct Generator(u64);

impl Generator {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Whatever the text, the parser answers, and its faults have places inside the text.
fn check_answers(text: &str) {
    if let Err(error) = Description::parse(text, "n") {
        for fault in error.faults() {
            assert!(!fault.detail.contains(['\n', '\r']), "{fault:?} is more than one line\n{text}");
            let Place::Text { line, .. } = &fault.place else { panic!("{fault} has no line") };
            assert!(*line <= text.split('\n').count(), "{fault} is outside of\n{text}");
        }
    }
}

#[test]
fn arbitrary_text_never_panics() {
    let mut generator = Generator(0x9E37_79B9_7F4A_7C15);
    let words: Vec<&str> = BUILTIN[0].text.split_inclusive([' ', '\n', '"']).collect();
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..generator.below(200)).map(|_| generator.below(256) as u8).collect();
        check_answers(&String::from_utf8_lossy(&bytes));

        let n_words = generator.below(120);
        check_answers(&(0..n_words).map(|_| words[generator.below(words.len())]).collect::<String>());

        // The real file with a few bytes changed, removed or doubled: most of it is still understood.
        let mut bytes = BUILTIN[0].text.as_bytes().to_vec();
        for _ in 0..=generator.below(4) {
            let idx = generator.below(bytes.len());
            match generator.below(3) {
                0 => bytes[idx] = generator.below(256) as u8,
                1 => drop(bytes.remove(idx)),
                _ => bytes.insert(idx, bytes[idx]),
            }
        }
        check_answers(&String::from_utf8_lossy(&bytes));
    }
    check_answers(&"[".repeat(10_000));
    check_answers(&format!("layer = {}", "[".repeat(10_000)));
    check_answers(&"a.".repeat(10_000));
}
