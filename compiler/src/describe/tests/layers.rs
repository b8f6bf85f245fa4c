//! The keys of convolutions: windows, batch norms, activations.

use super::*;

#[test]
fn windows() {
    let spec = |keys: &str| {
        let text = format!("{HEAD}[[layer]]\nkind = \"depthwise\"\n{keys}");
        Description::parse(&text, "n").map(|description| *description.layers[0].kind.spec().unwrap())
    };
    let found = spec("kernel = [10, 4]\nstride = [2, 1]\ndilation = 3").unwrap().slide;
    let sides = |rows, columns| Sides { rows, columns };
    assert_eq!(found, Slide { kernel: sides(10, 4), stride: sides(2, 1), dilation: sides(3, 3) });
    let numbers = |top, left, bottom, right| Padding::Numbers(Pads { top, left, bottom, right });
    for (text, expected) in [
        ("\"keras\"", Padding::Keras),
        ("2", numbers(2, 2, 2, 2)),
        ("[1, 0]", numbers(1, 0, 1, 0)),
        ("{ bottom = 1, right = 2 }", numbers(0, 0, 1, 2)),
        ("{}", numbers(0, 0, 0, 0)),
    ] {
        assert_eq!(spec(&format!("padding = {text}")).unwrap().padding, expected, "{text}");
    }
    let pair = |least: usize, most: usize| {
        format!("a whole number from {least} to {most}, or two as [rows, columns]")
    };
    for (text, expected) in [
        ("kernel = [3]", format!("6:10: `kernel`: found an array of 1, expected {}", pair(1, 11))),
        ("kernel = [3, 0]", format!("6:10: `kernel`: found 0, expected {}", pair(1, 11))),
        ("stride = 5", format!("6:10: `stride`: found 5, expected {}", pair(1, 4))),
        ("padding = 65", format!("6:11: `padding`: found 65, expected {}", pair(0, 64))),
        ("padding = true", format!("6:11: `padding`: found true, expected {}", pair(0, 64))),
        (
            "padding = { up = 1 }",
            "6:13: unknown key \"up\" in [padding], expected `top`, `left`, `bottom` or `right`".to_owned(),
        ),
    ] {
        assert_eq!(spec(text).unwrap_err().to_string(), format!("n:{expected}"), "{text}");
    }
}

#[test]
fn batch_norms() {
    let norm = |value: &str| {
        let text = format!("{HEAD}[[layer]]\nkind = \"depthwise\"\nbatch_norm = {value}");
        Description::parse(&text, "n").map(|description| {
            let spec = description.layers[0].kind.spec().unwrap();
            (spec.norm, spec.bias)
        })
    };
    assert_eq!(norm("true").unwrap(), (Some(NormSpec::WHOLE), false));
    assert_eq!(norm("{}").unwrap(), (Some(NormSpec::WHOLE), false));
    assert_eq!(norm("false").unwrap(), (None, true));
    let expected = NormSpec { epsilon: Some(1e-5), gamma: false, beta: true };
    assert_eq!(norm("{ epsilon = 1e-5, gamma = false }").unwrap(), (Some(expected), false));
    for (value, expected) in [
        ("1", "6:14: `batch_norm`: found 1, expected true or false"),
        ("{ epsilon = 0 }", "6:26: `epsilon`: found 0, expected a number from 1e-12 to 1.0"),
        (
            "{ mean = false }",
            "6:16: unknown key \"mean\" in [batch_norm], expected `epsilon`, `gamma` or `beta`",
        ),
    ] {
        assert_eq!(norm(value).unwrap_err().to_string(), format!("n:{expected}"));
    }
}

#[test]
fn slopes() {
    let of_leaky =
        |slope: &str| format!("kind = \"conv\"\nfilters = 1\nactivation = \"leaky_relu\"\n{slope}");
    check_layer(
        &of_leaky(""),
        &["4:1: a layer of kind \"conv\" has no `slope`, expected a number from 0.0001 to 1.0"],
    );
    for slope in ["0", "-0.1", "1.5", "nan"] {
        let expected = format!("8:9: `slope`: found {slope}, expected a number from 0.0001 to 1.0");
        check_layer(&of_leaky(&format!("slope = {slope}")), &[&expected]);
    }
    check_layer(
        "kind = \"conv\"\nfilters = 1\nslope = 0.1",
        &["7:9: `slope` has no meaning with activation \"relu6\", expected it absent"],
    );
    let text = "name = \"net\"\nclasses = 1\nactivation = \"leaky_relu\"\nslope = 0.5\n\
                input = { height = 8, width = 8, channels = 3 }\n\
                layer = [{ kind = \"conv\", filters = 1 }, { kind = \"conv\", filters = 1, slope = 0.25 }]";
    let description = Description::parse(text, "n").unwrap();
    let slopes = [0.5, 0.25].map(|slope| Activation::leaky_relu(slope).unwrap());
    let found = description.layers.iter().map(|layer| layer.kind.spec().unwrap().activation);
    assert_eq!(found.collect::<Vec<_>>(), slopes);
}
