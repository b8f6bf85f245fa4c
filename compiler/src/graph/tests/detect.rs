//! The keys of `[detect]`, and what they become with the outputs of a network.

use crate::describe::detect::{DetectSpec, Extra, Order, PriorMap, Priors, Probability, Unit};
use crate::describe::{Description, Sides};
use crate::graph::{Graph, Knobs};

/// The faults of a text, one a line, without the file's name.
fn check(text: &str, expected: &[&str]) {
    let found: Vec<String> = match Description::parse(text, "n") {
        Ok(_) => Vec::new(),
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    };
    let expected: Vec<String> = expected.iter().map(|line| format!("n:{line}")).collect();
    assert_eq!(found, expected, "\n{text}");
}

/// Two maps of 4 x 4 and 2 x 2 cells, with so many channels for scores and locations; the keys of `[detect]` start at line 5.
fn network(keys: &str, n_priors: usize, classes: usize) -> String {
    let mut text = format!(
        "name = \"net\"\nclasses = {classes}\noutputs = [\"s1\", \"s2\", \"l1\", \"l2\"]\n[detect]\n{keys}\n\
         [input]\nheight = 32\nwidth = 64\nchannels = 3\n"
    );
    for (name, stride) in [("a", "[4, 4]"), ("m1", "[2, 4]"), ("m2", "[2, 2]")] {
        text += &format!("[[layer]]\nkind = \"conv\"\nname = \"{name}\"\nfilters = 8\nstride = {stride}\n");
    }
    for (name, input, of_prior) in
        [("s1", "m1", classes), ("s2", "m2", classes), ("l1", "m1", 4), ("l2", "m2", 4)]
    {
        text += &format!(
            "[[layer]]\nkind = \"pointwise\"\nname = \"{name}\"\ninput = \"{input}\"\nfilters = {}\nscaled = false\n",
            n_priors * of_prior
        );
    }
    text
}

const KEYS: &str = "scores = [\"s1\", \"s2\"]\nlocations = [\"l1\", \"l2\"]\nprobability = \"softmax\"\nbackground = 0\n\
                    center_variance = 0.1\nsize_variance = 0.2\n";

fn spec(keys: &str) -> DetectSpec {
    let text = network(keys, 3, 2);
    let description = Description::parse(&text, "n").unwrap_or_else(|error| panic!("{error}"));
    description.detect.expect("there is a table")
}

#[test]
fn keys_and_defaults() {
    let found = spec(&format!(
        "{KEYS}priors = [{{ sizes = [4, [8, 2]] }}, {{ sizes = [4], ratios = [1, 4], stride = 16 }}]"
    ));
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let stride = Some(Sides::square(16));
    let maps = vec![
        PriorMap { sizes: vec![[4.0, 4.0], [8.0, 2.0]], stride: None },
        PriorMap { sizes: vec![[4.0, 4.0], [8.0, 2.0]], stride },
    ];
    let expected = DetectSpec {
        scores: names(["s1", "s2"]),
        locations: names(["l1", "l2"]),
        probability: Probability::Softmax,
        background: Some(0),
        threshold: 0.5,
        overlap: 0.5,
        candidates: 400,
        most_boxes: 100,
        order: Order::Xywh,
        center_variance: 0.1,
        size_variance: 0.2,
        clip: false,
        priors: Priors::Maps { unit: Unit::Pixels, maps },
    };
    assert_eq!(found, expected);
    let found = spec(&format!(
        "{}threshold = 0\noverlap = 1\ncandidates = 7\norder = \"yxhw\"\nclip = true\n\
         priors = {{ first = 0.2, last = 0.95, ratios = [1, 2, 0.5], extra = \"last\", reduced = true }}",
        KEYS.replace("softmax", "sigmoid").replace("background = 0\n", "")
    ));
    let ratios = vec![1.0, 2.0, 0.5];
    let expected = DetectSpec {
        probability: Probability::Sigmoid,
        background: None,
        threshold: 0.0,
        overlap: 1.0,
        candidates: 7,
        most_boxes: 7,
        order: Order::Yxhw,
        clip: true,
        priors: Priors::Scales { first: 0.2, last: 0.95, ratios, extra: Extra::Last, reduced: true },
        ..expected
    };
    assert_eq!(found, expected);
}

/// Faults of keys that begin at line 5 and are whole otherwise.
fn check_with(keys: &str, expected: &[&str]) {
    check(
        &network(&format!("{keys}{KEYS}priors = [{{ sizes = [4, 5, 6] }}, {{ sizes = [7, 8, 9] }}]"), 3, 2),
        expected,
    );
}

#[test]
fn faults_of_keys() {
    check(
        &network("a = 1", 3, 2),
        &[
            "4:1: `scores`: found nothing, expected an array of 1 to 31 names",
            "4:1: `locations`: found nothing, expected an array of 1 to 31 names",
            "4:1: [detect] has no `probability`, expected \"softmax\", \"sigmoid\" or \"values\"",
            "4:1: [detect] has no `center_variance`, expected a number from 0.0001 to 100.0",
            "4:1: [detect] has no `size_variance`, expected a number from 0.0001 to 100.0",
            "4:1: [detect] has no [[priors]], expected at least one",
            "5:1: unknown key \"a\" in [detect], expected `scores`, `locations`, `probability`, `background`, `threshold`, \
             `overlap`, `candidates`, `most_boxes`, `order`, `center_variance`, `size_variance`, `clip`, `unit` or `priors`",
        ],
    );
    check_with("", &[]);
    check_with("threshold = 1\n", &["5:13: `threshold`: found 1, expected a number from 0.0 to 0.999"]);
    check_with("threshold = nan\n", &["5:13: `threshold`: found nan, expected a number from 0.0 to 0.999"]);
    check_with("overlap = -0.1\n", &["5:11: `overlap`: found -0.1, expected a number from 0.0 to 1.0"]);
    check_with(
        "candidates = 5000\n",
        &["5:14: `candidates`: found 5000, expected a whole number from 1 to 4096"],
    );
    check_with(
        "candidates = 9\nmost_boxes = 10\n",
        &["6:14: `most_boxes`: found 10, expected a whole number from 1 to 9"],
    );
    check_with("order = \"ltrb\"\n", &["5:9: `order`: found \"ltrb\", expected \"xywh\" or \"yxhw\""]);
    check_with("unit = \"m\"\n", &["5:8: `unit`: found \"m\", expected \"pixels\" or \"input\""]);
    check(
        &network("", 3, 2).replace("[detect]", "detect = 3"),
        &["4:10: `detect`: found 3, expected a table, [detect]"],
    );
}

#[test]
fn faults_of_outputs() {
    let priors = "priors = [{ sizes = [4] }, { sizes = [7] }]";
    let check = |from: &str, to: &str, expected: &[&str]| {
        check(&network(&format!("{}{priors}", KEYS.replace(from, to)), 1, 2), expected);
    };
    check("\"s2\"", "\"m2\"", &["5:17: `scores`: found \"m2\", expected one of the names in `outputs`"]);
    check("\"l2\"", "\"l1\"", &["6:20: `locations`: found \"l1\" twice, expected each output once"]);
    check(
        "\"l2\"",
        "\"s1\"",
        &["6:13: `locations`: found \"s1\", which has the scores, expected another output"],
    );
    check(
        "background = 0\n",
        "",
        &[
            "4:1: [detect] has no `background`, expected the class that is no object, as every softmax of a detector has one",
        ],
    );
    check(
        "background = 0",
        "background = 2",
        &["8:14: `background`: found 2, expected a whole number from 0 to 1"],
    );
    check(
        "[\"s1\", \"s2\"]",
        "[\"s1\", \"s2\", \"l2\"]",
        &[
            "5:10: `scores`: found 3 outputs for 2 maps of priors, expected 2, or one that has all",
            "6:13: `locations`: found \"l2\", which has the scores, expected another output",
        ],
    );
}

#[test]
fn faults_of_priors() {
    let check = |priors: &str, expected: &[&str]| check(&network(&format!("{KEYS}{priors}"), 3, 2), expected);
    check("priors = 3", &["11:10: `priors`: found 3, expected tables, [[priors]]"]);
    check(
        "priors = [{}, { size = [3] }]",
        &[
            "11:11: [[priors]] has no `sizes`, expected an array of 1 to 64 sizes",
            "11:15: [[priors]] has no `sizes`, expected an array of 1 to 64 sizes",
            "11:17: unknown key \"size\" in [[priors]], did you mean `sizes`?",
        ],
    );
    check(
        "priors = [{ sizes = [0, [1, 2, 3], [1, inf], \"4\"] }, { sizes = 3, stride = 1025 }]",
        &[
            "11:22: `sizes`: found 0, expected a number from 0.001 to 65536.0, or two as [width, height]",
            "11:25: `sizes`: found an array of 3, expected a number from 0.001 to 65536.0, or two as [width, height]",
            "11:36: `sizes`: found inf, expected a number from 0.001 to 65536.0, or two as [width, height]",
            "11:46: `sizes`: found \"4\", expected a number from 0.001 to 65536.0, or two as [width, height]",
            "11:64: `sizes`: found 3, expected an array of 1 to 64 sizes",
            "11:76: `stride`: found 1025, expected a whole number from 1 to 1024, or two as [rows, columns]",
        ],
    );
    check(
        "priors = [{ sizes = [[1, 2]], ratios = [1] }, { sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9], ratios = [1, 2, 3, 4, 5, 6, 7, 8] }]",
        &[
            "11:40: `ratios` has no meaning where `sizes` has widths and heights, expected it absent",
            "11:57: `sizes`: found 72 priors, expected at most 64",
        ],
    );
    check(
        "unit = \"input\"\npriors = { first = 0, last = 0.9, ratios = [] }",
        &[
            "11:8: `unit` has no meaning where `priors` is a rule of scales, expected it absent",
            "12:20: `first`: found 0, expected a number from 0.001 to 1.0",
            "12:44: `ratios`: found an array of 0, expected an array of 1 to 63 numbers",
        ],
    );
}

/// The maps and the faults of a network with the usual keys and some priors.
fn build(keys: &str, n_priors: usize) -> Result<mnc_runtime::info::Detect, Vec<String>> {
    let description =
        Description::parse(&network(keys, n_priors, 2), "n").unwrap_or_else(|error| panic!("{error}"));
    match Graph::build(&description, &Knobs::default()) {
        Ok(graph) => Ok(graph.detect.expect("there is a table")),
        Err(error) => Err(error.faults().iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn maps_follow_from_the_outputs() {
    let found = build(
        &format!("{KEYS}priors = [{{ sizes = [16, [8, 4]] }}, {{ sizes = [64], ratios = [1, 4] }}]"),
        2,
    );
    let maps = found.expect("it is whole").maps;
    let found: Vec<_> =
        maps.iter().map(|map| (map.rows, map.columns, map.divisors, map.scores, map.locations)).collect();
    // 4 x 4 cells of two priors with two scores, then 2 x 2; then the same with four numbers each.
    assert_eq!(found, [(4, 4, [4.0, 4.0], 0, 80), (2, 2, [2.0, 2.0], 64, 208)]);
    assert_eq!(maps[0].priors, [[0.25, 0.5], [0.125, 0.125]]);
    assert_eq!(maps[1].priors, [[1.0, 2.0], [2.0, 1.0]]);
    let clipped = build(
        &format!(
            "{KEYS}clip = true\npriors = [{{ sizes = [16, [8, 4]] }}, {{ sizes = [64], ratios = [1, 4] }}]"
        ),
        2,
    );
    assert_eq!(clipped.expect("it is whole").maps[1].priors, [[1.0, 1.0], [1.0, 1.0]]);
    // A stride says where the centres are, whatever the maps' extents.
    let strides = format!(
        "{KEYS}priors = [{{ sizes = [16], stride = [8, 16] }}, {{ sizes = [64], stride = [24, 32] }}]"
    );
    let maps = build(&strides, 1).expect("it is whole").maps;
    assert_eq!((maps[0].divisors, maps[1].divisors), ([4.0, 4.0], [32.0 / 24.0, 2.0]));
}

/// TensorFlow's and torchvision's rules, by the numbers of their own code.
#[test]
fn scales_are_those_of_ssd() {
    let rule = |extra: &str, reduced: bool| {
        let ratios = if reduced { "[1, 2, 0.5]" } else { "[1, 4, 0.25]" };
        let keys = format!(
            "priors = {{ first = 0.2, last = 0.95, ratios = {ratios}, extra = \"{extra}\", reduced = {reduced} }}"
        );
        let text = network(&format!("{KEYS}{keys}"), 4, 2);
        // The first map has three priors where it is reduced.
        let text = if reduced {
            text.replacen("filters = 8\nscaled", "filters = 6\nscaled", 1).replacen(
                "filters = 16",
                "filters = 12",
                1,
            )
        } else {
            text
        };
        let description = Description::parse(&text, "n").unwrap_or_else(|error| panic!("{error}"));
        Graph::build(&description, &Knobs::default())
            .unwrap_or_else(|error| panic!("{error}"))
            .detect
            .expect("it is a detector")
            .maps
    };
    let maps = rule("second", false);
    let between = (0.2f64 * 0.95).sqrt();
    assert_eq!(maps[0].priors, [[0.2, 0.2], [between, between], [0.4, 0.1], [0.1, 0.4]]);
    let last = 0.95f64.sqrt();
    assert_eq!(maps[1].priors, [[0.95, 0.95], [last, last], [1.9, 0.475], [0.475, 1.9]]);
    let maps = rule("last", true);
    let root = 2f64.sqrt();
    assert_eq!(
        maps[0].priors,
        [[0.1, 0.1], [0.2 * root, 0.2 / root], [0.2 * 0.5f64.sqrt(), 0.2 / 0.5f64.sqrt()]]
    );
    assert_eq!((maps[1].priors.len(), maps[1].priors[3]), (4, [last, last]));
}

#[test]
fn faults_of_shapes() {
    let check = |keys: &str, n_priors: usize, expected: &[&str]| {
        let found = build(&format!("{KEYS}{keys}"), n_priors).expect_err("it has a fault");
        assert_eq!(found, expected);
    };
    check(
        "priors = [{ sizes = [1] }, { sizes = [1, 2] }]",
        1,
        &[
            "detect: scores: found 8 numbers in the output s2 (2x2x2), expected 16: 8 priors with 2 each",
            "detect: locations: found 16 numbers in the output l2 (2x2x4), expected 32: 8 priors with 4 each",
        ],
    );
    check(
        "priors = [{ sizes = [1], stride = 8 }, { sizes = [1], stride = 16 }]",
        1,
        &[
            "detect: found 4 x 4 cells in the output s1, expected 4 x 8 as of the stride",
            "detect: found 2 x 2 cells in the output s2, expected 2 x 4 as of the stride",
        ],
    );
}

/// One output of each sort for two maps: the strides say what it holds.
#[test]
fn one_output_may_have_several_maps() {
    let keys = KEYS.replace("[\"s1\", \"s2\"]", "[\"s1\"]").replace("[\"l1\", \"l2\"]", "[\"l1\"]");
    let network = |priors: &str| network(&format!("{keys}{priors}"), 5, 2);
    let build = |priors: &str| {
        let description = Description::parse(&network(priors), "n").unwrap_or_else(|error| panic!("{error}"));
        Graph::build(&description, &Knobs::default())
    };
    // 16 pixels of 5 priors: 4 x 8 cells with two, and 2 x 4 with two.
    let graph = build("priors = [{ sizes = [1, 2], stride = 8 }, { sizes = [3, 4], stride = 16 }]");
    let maps = graph.unwrap_or_else(|error| panic!("{error}")).detect.expect("it is a detector").maps;
    let found: Vec<_> = maps.iter().map(|map| (map.rows, map.columns, map.scores, map.locations)).collect();
    // Outputs lie as `outputs` says: 160 scores, 40 that nobody reads, 320 numbers.
    assert_eq!(found, [(4, 8, 0, 200), (2, 4, 128, 200 + 256)]);
    let error =
        build("priors = [{ sizes = [1, 2], stride = 8 }, { sizes = [3, 4] }]").expect_err("it has a fault");
    let fault = "found no `stride` in map 2 of the priors, expected one: an output that has several maps doesn't say how many \
                 cells each has";
    assert_eq!(error.faults()[0].detail, fault);
    let error = build("priors = [{ sizes = [1], stride = 8 }, { sizes = [3], stride = 16 }]")
        .expect_err("it has a fault");
    let fault = "scores: found 160 numbers in the output s1 (4x4x10), expected 80: 40 priors with 2 each";
    assert_eq!(error.faults()[0].detail, fault);
}

/// Descriptions with a few bytes changed, removed or doubled: none panics, and what any of them becomes stays inside of the outputs.
#[test]
fn hostile_tables_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % n
    };
    let maps = "priors = [{ sizes = [16, [8, 4]], stride = [8, 16] }, { sizes = [64], ratios = [1, 4] }]\nclip = true\n";
    let scales =
        "priors = { first = 0.2, last = 0.95, ratios = [1, 2], extra = \"none\", reduced = false }\n";
    let mut n_built = 0;
    for round in 0..4000 {
        let keys = format!(
            "{KEYS}{}order = \"yxhw\"\ncandidates = 30\n",
            if round % 2 == 0 { maps } else { scales }
        );
        let whole = network(&keys, 2, 2);
        let start = whole.find("[detect]").expect("it has the table");
        let mut bytes = whole.into_bytes();
        for _ in 0..=below(3) {
            let idx = start + below(keys.len());
            match below(3) {
                0 => bytes[idx] = b"0123456789.-e[]{}\" ,="[below(21)],
                1 => drop(bytes.remove(idx)),
                _ => bytes.insert(idx, bytes[idx]),
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let Ok(description) = Description::parse(&text, "n") else { continue };
        let Ok(Graph { detect: Some(detect), outputs, nodes, .. }) =
            Graph::build(&description, &Knobs::default())
        else {
            continue;
        };
        let output = vec![1.0; outputs.iter().map(|id| nodes[id.0].shape().len()).sum()];
        let mut memory = vec![mnc_runtime::detect::Found::default(); detect.rule.candidates];
        let boxes = detect.detector().boxes(&output, &mut memory);
        assert!(boxes.len() <= detect.rule.most_boxes);
        n_built += 1;
    }
    assert!(200 < n_built, "{n_built} of 4000 were networks, expected more than 200");
}
