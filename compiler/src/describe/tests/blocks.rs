//! Tests of reading blocks.

use super::*;

#[test]
fn blocks() {
    let kinds = |lines: &str| layers(lines).into_iter().map(|layer| layer.kind).collect::<Vec<_>>();
    let spec = ConvSpec {
        slide: Slide::square(3, 1),
        padding: Padding::Same,
        activation: Activation::Relu6,
        norm: Some(NormSpec::WHOLE),
        bias: false,
    };
    let scaled = |channels| Width::Scaled { channels, minimum: 1 };
    let block = BlockSpec {
        spec,
        window: BlockWindow::Middle,
        start_kernel: None,
        expand: None,
        squeeze: None,
        filters: scaled(8),
        residual: true,
    };
    for (lines, expected) in [
        ("kind = \"inverted_residual\"\nfilters = 8", block.clone()),
        ("kind = \"inverted_residual\"\nfilters = 8\nexpand = 1", block.clone()),
        (
            "kind = \"inverted_residual\"\nfilters = 8\nexpand = 2.5\nkernel = 5\nminimum = 6\nresidual = false",
            BlockSpec {
                spec: ConvSpec { slide: Slide::square(5, 1), ..spec },
                expand: Some(Expand::Times(2.5)),
                filters: Width::Scaled { channels: 8, minimum: 6 },
                residual: false,
                ..block.clone()
            },
        ),
        (
            "kind = \"inverted_residual\"\nfilters = 8\nexpanded = 20\nscaled = false",
            BlockSpec {
                expand: Some(Expand::To(Width::Fixed(20))),
                filters: Width::Fixed(8),
                ..block.clone()
            },
        ),
        (
            "kind = \"fused_inverted_residual\"\nfilters = 8\nexpand = 1",
            BlockSpec { window: BlockWindow::Expand, expand: Some(Expand::Times(1.0)), ..block.clone() },
        ),
        (
            "kind = \"universal_inverted_bottleneck\"\nfilters = 8\nexpanded = 20\nstart_kernel = 5",
            BlockSpec {
                spec: ConvSpec { slide: Slide::square(5, 1), ..spec },
                window: BlockWindow::Start,
                expand: Some(Expand::To(scaled(20))),
                ..block.clone()
            },
        ),
        (
            "kind = \"universal_inverted_bottleneck\"\nfilters = 8\nexpand = 2\nstart_kernel = 5\nmiddle_kernel = 7",
            BlockSpec {
                spec: ConvSpec { slide: Slide::square(7, 1), ..spec },
                start_kernel: Some(Sides::square(5)),
                expand: Some(Expand::Times(2.0)),
                ..block.clone()
            },
        ),
        (
            "kind = \"universal_inverted_bottleneck\"\nfilters = 8\nexpand = 2",
            BlockSpec {
                spec: ConvSpec { slide: Slide::square(1, 1), ..spec },
                window: BlockWindow::Expand,
                expand: Some(Expand::Times(2.0)),
                ..block
            },
        ),
    ] {
        assert_eq!(kinds(&format!("[[layer]]\n{lines}\n")), [LayerKind::Block(expected)], "{lines}");
    }
}

#[test]
fn faults_of_blocks() {
    check_layer(
        "kind = \"inverted_residual\"\nexpand = 0\nexpanded = 8",
        &[
            "4:1: a layer of kind \"inverted_residual\" has no `filters`, expected a whole number from 1 to 65536",
            "7:12: `expanded` has no meaning beside `expand`, expected one of them",
        ],
    );
    check_layer(
        "kind = \"inverted_residual\"\nfilters = 8\nexpand = 65",
        &["7:10: `expand`: found 65, expected a number from 0.01 to 64.0"],
    );
    check_layer(
        "kind = \"inverted_residual\"\nfilters = 8\nmiddle_kernel = 3",
        &[
            "7:1: unknown key \"middle_kernel\" in a layer of kind \"inverted_residual\", expected `kind`, `name`, `input`, \
             `repeat`, `stage`, `expand`, `expanded`, `filters`, `scaled`, `minimum`, `kernel`, `stride`, `dilation`, `padding`, `activation`, \
             `batch_norm`, `bias`, `residual`, `reduce`, `reduced`, \
             `reduce_multiple`, `reduce_activation`, `gate_activation` or `slope`",
        ],
    );
    check_layer(
        "kind = \"fused_inverted_residual\"\nfilters = 8",
        &[
            "4:1: a layer of kind \"fused_inverted_residual\" has no `expand` or `expanded`, expected how wide the block gets",
        ],
    );
    check_layer(
        "kind = \"universal_inverted_bottleneck\"\nfilters = 8\nexpand = 2\nstride = 2\npadding = \"same\"",
        &[
            "8:10: `stride` has no meaning without `start_kernel` or `middle_kernel`, expected it absent",
            "9:11: `padding` has no meaning without `start_kernel` or `middle_kernel`, expected it absent",
        ],
    );
    // Five layers each.
    let blocks = "kind = \"universal_inverted_bottleneck\"\nfilters = 8\nexpand = 2\nstart_kernel = 3\nmiddle_kernel = 3";
    check_layer(
        &format!("{blocks}\nrepeat = 820"),
        &["4:1: found more than 4096 layers up to here, repeats counted, expected fewer"],
    );
}

#[test]
fn gates() {
    let gate = |lines: &str| {
        let layers = layers(&format!("[[layer]]\n{lines}\n"));
        layers[0].kind.squeeze()
    };
    let quarter = SqueezeSpec {
        reduce: Reduce::Times { times: 0.25, multiple: None },
        activation: Activation::Relu,
        gate: Activation::HardSigmoid,
    };
    let of_width = |width| SqueezeSpec { reduce: Reduce::To(width), ..quarter };
    assert_eq!(gate("kind = \"squeeze_excite\""), Some(quarter));
    assert_eq!(
        gate("kind = \"squeeze_excite\"\nreduced = 9\nscaled = false"),
        Some(of_width(Width::Fixed(9)))
    );
    assert_eq!(gate("kind = \"separable\"\nfilters = 8"), None);
    assert_eq!(
        gate("kind = \"separable\"\nfilters = 8\nreduced = 9"),
        Some(of_width(Width::Scaled { channels: 9, minimum: 1 }))
    );
    assert_eq!(
        gate(
            "kind = \"inverted_residual\"\nfilters = 8\nreduce = 0.5\nreduce_multiple = 1\n\
             reduce_activation = \"swish\"\ngate_activation = \"sigmoid\""
        ),
        Some(SqueezeSpec {
            reduce: Reduce::Times { times: 0.5, multiple: Some(1) },
            activation: Activation::Swish,
            gate: Activation::Sigmoid,
        })
    );
}

#[test]
fn faults_of_gates() {
    check_layer(
        "kind = \"inverted_residual\"\nfilters = 8\ngate_activation = \"sigmoid\"",
        &["7:19: `gate_activation` has no meaning without `reduce` or `reduced`, expected it absent"],
    );
    check_layer(
        "kind = \"squeeze_excite\"\nreduced = 8\nreduce = 0.5\nreduce_multiple = 4",
        &[
            "7:10: `reduce` has no meaning beside `reduced`, expected it absent",
            "8:19: `reduce_multiple` has no meaning beside `reduced`, expected it absent",
        ],
    );
    check_layer(
        "kind = \"squeeze_excite\"\nreduce = 1.5\ngate_activation = \"leaky_relu\"",
        &[
            "6:10: `reduce`: found 1.5, expected a number from 0.001 to 1.0",
            "7:19: `gate_activation`: found \"leaky_relu\", expected \"relu6\", \"relu\", \"none\", \"hard_sigmoid\", \
             \"hard_swish\", \"sigmoid\" or \"swish\"",
        ],
    );
}
