//! Descriptions that can't be, and alphas and resolutions of good ones.

use super::{Case, NETWORK};

/// With layers behind the first.
fn with(layers: &str) -> Case {
    let (first, rest) = NETWORK.split_once("[[layer]]\nkind = \"global").expect("the text has it");
    Case::described(&format!("{first}{layers}[[layer]]\nkind = \"global{rest}"))
}

/// With other words.
fn replaced(from: &str, to: &str) -> Case {
    assert!(NETWORK.contains(from), "{from}");
    Case::described(&NETWORK.replacen(from, to, 1))
}

/// Two outputs, and what is behind them.
fn outputs(more: &str) -> Case {
    let layers = "outputs = [\"a\", \"b\"]\n[input]\nheight = 8\nwidth = 8\nchannels = 3\n[[layer]]\nkind = \"conv\"\n\
                  name = \"a\"\nfilters = 8\n[[layer]]\nkind = \"conv\"\nname = \"b\"\nfilters = 8\n";
    Case::described(&format!("name = \"two\"\nclasses = 2\n{layers}{more}"))
}

fn compiled(more: &[&'static str]) -> Case {
    let arguments = ["compile", "net.toml", "--random-weights", "1", "--emit", "header", "-o", "net.h"];
    Case::mnc([], &[&arguments, more].concat())
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::described("name = \n"),
        replaced("filters = 8", "filter = 8"),
        replaced("filters = 8", "filters = 0"),
        replaced("filters = 8", "filters = 8\nbias = 1"),
        replaced("stride = 2", "stride = [2, 2, 2]"),
        replaced("stride = 2", "stride = \"two\""),
        replaced("height = 8", "height = 2024-01-01"),
        replaced("name = \"net\"", "name = \"a network\""),
        replaced("classes = 2", "classes = 2\noutputs = [\"convolution\"]"),
        replaced("classes = 2", "classes = 2\noutputs = [\"input\"]"),
        replaced("classes = 2", "classes = 2\noutputs = [\"dense_1\", \"dense_1\"]"),
        replaced("classes = 2", "classes = 2\noutputs = []"),
        replaced(
            "classes = 2",
            "classes = 2\nscores = \"values\"\n[alpha]\nrounding = \"floor\"\nmultiple = 8",
        ),
        replaced("[input]", "[preprocess]\nmean = [0.5]\nscale = 0\n[input]"),
        replaced("[input]", "[preprocess]\nresize = \"none\"\nfill = 0\n[input]"),
        replaced("[input]", "preprocess = 3\n[input]"),
        replaced("[input]\nheight = 8\nwidth = 8\nchannels = 3\n", ""),
        replaced("stride = 2", "activation = \"relu\"\nslope = 0.1"),
        replaced("stride = 2", "name = \"input\""),
        replaced("stride = 2", "stage = 2\n[[layer]]\nkind = \"conv\"\nfilters = 8\nstage = 1"),
        with("[[layer]]\nkind = \"conv\"\nfilters = 8\nname = \"conv_1\"\n"),
        with("[[layer]]\nkind = \"conv\"\nfilters = 9\ngroups = 2\n"),
        with("[[layer]]\nkind = \"add\"\nfrom = \"input\"\n"),
        with("[[layer]]\nkind = \"add\"\nfrom = \"conv_7\"\n"),
        with("[[layer]]\nkind = \"multiply\"\nfrom = \"input\"\n"),
        with("[[layer]]\nkind = \"concat\"\nfrom = [\"input\"]\n"),
        with("[[layer]]\nkind = \"conv\"\nfilters = 8\nkernel = 7\npadding = \"valid\"\n"),
        with("[[layer]]\nkind = \"conv\"\nfilters = 8\nrepeat = 100000\n"),
        with("[[layer]]\nkind = \"conv\"\nfilters = 8\ninput = \"input\"\n"),
        with("[[layer]]\nkind = \"inverted_residual\"\nfilters = 8\nexpand = 2\nexpanded = 16\n"),
        outputs("[detect]\nscores = [\"a\"]\nlocations = [\"c\"]\npriors = [{ sizes = [2] }]\n"),
        outputs(
            "[detect]\nbackground = 0\nscores = [\"a\"]\nlocations = [\"a\"]\npriors = [{ sizes = [2] }]\n",
        ),
        outputs(
            "[detect]\nbackground = 0\nscores = [\"a\"]\nlocations = [\"b\"]\npriors = [{ sizes = [2] }]\n",
        ),
        outputs("[detect]\nbackground = 0\nscores = [\"a\"]\nlocations = [\"b\"]\npriors = []\n"),
        compiled(&["--alpha", "0"]),
        compiled(&["--alpha", "wide"]),
        compiled(&["--rho", "0"]),
        compiled(&["--rho", "0.001"]),
        compiled(&["--resolution", "8x"]),
        compiled(&["--resolution", "4000"]),
        compiled(&["--batch", "0"]),
        compiled(&["--labels", "imagenet"]),
        compiled(&["--name", "3d"]),
    ]
}
