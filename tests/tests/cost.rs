//! Every figure that `paper_tables.json` works out from the architecture, against `mnc::cost`.
//!
//! The file lies beside the repository and isn't part of it.

use mnc::cost::{Kind, Report};
use mnc::describe::Sides;
use mnc::describe::{self, Description};
use mnc::graph::{Graph, Knobs, Resolution};
use mnc_tests::need;
use serde_json::Value;

/// The file, if it is there.
fn tables() -> Option<Value> {
    let path = need::shared_data("paper_tables.json")?;
    let text = std::fs::read_to_string(path).expect("the file is readable");
    Some(serde_json::from_str(&text).expect("the file is JSON"))
}

/// A built-in network, counted.
fn count(name: &str, classes: usize, alpha: f64, side: usize) -> Report {
    let description =
        Description { classes, ..describe::builtin(name).expect("it is built in").description() };
    let resolution = Some(Resolution { height: side, width: side });
    Report::of(&Graph::build(&description, &Knobs { alpha, resolution }).expect("the network is legal"))
}

/// `0.5` and `160` of names such as `0.50 MobileNet-160` and `MobileNet_v1_0.50_160_quant`.
fn knobs(name: &str) -> (f64, usize) {
    let words: Vec<&str> =
        name.split([' ', '-', '_']).filter(|word| word.starts_with(|c: char| c.is_ascii_digit())).collect();
    let [alpha, side] = words[..] else { panic!("{name:?} has no alpha and resolution") };
    (alpha.parse().expect("alpha is a number"), side.parse().expect("the resolution is a number"))
}

/// `found` equals the figure at the digits that the file has of it. The file drops trailing zeros, so `digits` is the
/// precision of its column.
fn check(place: &str, found: f64, figure: &Value, digits: i32) {
    let figure = figure.as_f64().unwrap_or_else(|| panic!("{place} has no figure"));
    let unit = 10f64.powi(-digits);
    // Half a unit, and a little for what f64 makes of a decimal.
    assert!(
        (found - figure).abs() <= 0.5 * unit * (1.0 + 1e-6),
        "{place}: counted {found}, the file has {figure}"
    );
}

/// Both columns of a row of Tables 3 to 10.
fn check_row(place: &str, total: &mnc::cost::Cost, row: &Value) {
    check(place, total.mult_adds as f64 / 1e6, &row["million_mult_adds"], 3);
    check(place, total.parameters as f64 / 1e6, &row["million_params"], 3);
}

/// The rows of a table's `computed`, of which there must be some.
fn computed<'t>(tables: &'t Value, table: &str) -> Vec<(&'t String, &'t Value)> {
    let rows: Vec<_> = tables[table]["computed"].as_object().expect("the table has figures").iter().collect();
    assert!(!rows.is_empty(), "{table} has no rows");
    rows
}

#[test]
fn table_2() {
    let Some(tables) = tables() else { return };
    let report = count("mobilenet-v1", 1000, 1.0, 224);
    let columns = &tables["table2_resource_per_layer_type_percent"]["computed"];
    for (key, kind) in [
        ("conv3x3", Kind::Conv(Sides::square(3))),
        ("dw3x3", Kind::Depthwise(Sides::square(3))),
        ("pw1x1", Kind::Pointwise),
        ("fc", Kind::Dense),
    ] {
        let row = report.kinds.iter().find(|row| row.kind == kind).expect("the network has the kind");
        let weights_percent = 100.0 * row.cost.weights as f64 / report.total.weights as f64;
        check(key, row.mult_adds_percent, &columns["mult_adds"][key], 2);
        check(key, row.parameters_percent, &columns["params_with_fc_bias"][key], 2);
        check(key, weights_percent, &columns["params_without_fc_bias"][key], 2);
    }
}

#[test]
fn table_3() {
    let Some(tables) = tables() else { return };
    for (key, row) in computed(&tables, "table3_one_layer_DK3_M512_N512_DF14") {
        let (kind, channels, d_f) = match key.as_str() {
            "convolution" => ("conv", 512, 14),
            "depthwise_separable" => ("separable", 512, 14),
            "alpha_0.75" => ("separable", 384, 14),
            "rho_0.714 (D_F 10)" => ("separable", 384, 10),
            other => panic!("Table 3 has a new row, {other:?}"),
        };
        // Alpha scales M too, which here is the input's.
        let text = format!(
            "name = \"layer\"\nclasses = 1\ninput = {{ height = {d_f}, width = {d_f}, channels = {channels} }}\n\
             layer = [{{ kind = \"{kind}\", filters = {channels} }}]"
        );
        let description = Description::parse(&text, "layer.toml").expect("the description is legal");
        let graph = Graph::build(&description, &Knobs::default()).expect("the network is legal");
        check_row(key, &Report::of(&graph).total, row);
    }
}

#[test]
fn tables_4_and_5() {
    let Some(tables) = tables() else { return };
    for table in ["table4_full_conv_vs_separable", "table5_narrow_vs_shallow"] {
        for (key, row) in computed(&tables, table) {
            let (name, alpha) = match key.as_str() {
                "conv_mobilenet" => ("mobilenet-v1-full-conv", 1.0),
                "mobilenet" => ("mobilenet-v1", 1.0),
                "0.75_mobilenet" => ("mobilenet-v1", 0.75),
                "shallow_mobilenet" => ("mobilenet-v1-shallow", 1.0),
                other => panic!("{table} has a new row, {other:?}"),
            };
            check_row(key, &count(name, 1000, alpha, 224).total, row);
        }
    }
}

#[test]
fn tables_6_7_9_and_10() {
    let Some(tables) = tables() else { return };
    for (key, row) in computed(&tables, "table6_width") {
        let alpha = key.parse().expect("the row is an alpha");
        check_row(key, &count("mobilenet-v1", 1000, alpha, 224).total, row);
    }
    for (key, row) in computed(&tables, "table7_resolution") {
        let side = key.parse().expect("the row is a resolution");
        check_row(key, &count("mobilenet-v1", 1000, 1.0, side).total, row);
    }
    for table in ["table9_smaller", "table10_stanford_dogs_mult_adds"] {
        for (key, row) in computed(&tables, table) {
            let (alpha, side) = knobs(key);
            let total = count("mobilenet-v1", 1000, alpha, side).total;
            // Table 10 has other classes, and figures of multiply-adds alone.
            if row.is_number() {
                check(key, total.mult_adds as f64 / 1e6, row, 3);
            } else {
                check_row(key, &total, row);
            }
        }
    }
}

#[test]
fn tf_slim_readme() {
    let Some(tables) = tables() else { return };
    let rows = tables["tf_slim_readme"]["rows"].as_array().expect("the table has rows");
    assert!(rows.len() >= 16, "{} rows, expected the 16 variants", rows.len());
    for row in rows {
        let model = row["model"].as_str().expect("a row has a model");
        let (alpha, side) = knobs(model.trim_start_matches("MobileNet_v1_"));
        let total = count("mobilenet-v1", 1001, alpha, side).total;
        check(model, total.mult_adds as f64 / 1e6, &row["computed_million_macs"], 2);
        let columns = &row["computed_million_params"];
        check(model, total.parameters as f64 / 1e6, &columns["params_weights_and_fc_bias"], 3);
        check(model, total.parameters_folded as f64 / 1e6, &columns["params_with_folded_conv_biases"], 3);
        check(model, total.parameters_batch_norm as f64 / 1e6, &columns["params_with_bn_gamma_beta"], 3);
    }
}
