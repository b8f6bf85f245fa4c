use super::*;

/// Everything that the generator is there for occurs among the first 240 seeds.
#[test]
fn networks_have_every_feature() {
    let texts: Vec<String> = (0..240).map(|seed| RandomNetwork::new(seed).toml).collect();
    let check = |what: &str, at_least: usize, has: &dyn Fn(&str) -> bool| {
        let n = texts.iter().filter(|text| has(text)).count();
        assert!(at_least <= n, "{what}: {n} networks, expected {at_least} at least");
    };
    for kind in [
        "conv",
        "depthwise",
        "pointwise",
        "separable",
        "add",
        "multiply",
        "global_average_pool",
        "dense",
        "softmax",
    ] {
        let key = format!("kind = \"{kind}\"");
        check(kind, 20, &|text| text.contains(&key));
        check(&format!("{kind} first"), 2, &|text| {
            text.split("[[layer]]").nth(1).is_some_and(|first| first.contains(&key))
        });
    }
    for kernel in 1..=7 {
        check("kernel", 8, &|text| text.contains(&format!("kernel = {kernel}\n")));
    }
    for word in ["stride = 2", "repeat = ", "\"valid\"", "\"symmetric\"", "\"same\"", "\"keras\""] {
        check(word, 20, &|text| text.contains(word));
    }
    for word in [
        "groups = ",
        "multiplier = ",
        "kernel = [",
        "stride = [",
        "stride = 4",
        "dilation = ",
        "padding = {",
        "gamma = false",
        "beta = false",
    ] {
        check(word, 8, &|text| text.contains(word));
    }
    for activation in Activation::ALL {
        let key = format!("activation = \"{}\"", activation.word());
        check(&key, 20, &|text| text.contains(&key));
    }
    check("batch norm off", 20, &|text| text.contains("batch_norm = false"));
    check("no bias", 10, &|text| text.contains("bias = false"));
    check("adds of the input", 10, &|text| text.contains("from = \"input\""));
    check("gates", 20, &|text| text.contains("_product\""));
    for kind in ["concat", "upsample", "max_pool", "average_pool"] {
        check(kind, 15, &|text| text.contains(&format!("kind = \"{kind}\"")));
    }
    check("padding counted", 8, &|text| text.contains("count_padding"));
    check("several outputs", 20, &|text| text.contains("outputs = [") && text.contains("\", \""));
    check("outputs inside of blocks", 5, &|text| {
        let outputs = text.lines().find(|line| line.starts_with("outputs = ")).unwrap_or_default();
        ["_expand\"", "_dw\"", "_start\"", "_se\"", "_pw\"", "_project\""]
            .iter()
            .any(|ending| outputs.contains(ending))
    });
    check("branches", 20, &|text| text.contains("_sum\""));
    for kind in ["inverted_residual", "fused_inverted_residual", "universal_inverted_bottleneck"] {
        check(kind, 20, &|text| text.contains(&format!("kind = \"{kind}\"")));
    }
    check("gates of blocks", 20, &|text| text.contains("reduce = "));
}

/// The keys by their kind, from the errors that list them, so that a new one can't be forgotten here.
fn keys() -> Vec<(String, Vec<String>)> {
    let list = |text: &str, start: &str| -> Vec<String> {
        let error = Description::parse(text, "keys").expect_err("it is broken");
        let list =
            error.faults().iter().find_map(|fault| fault.detail.strip_prefix(start).map(str::to_owned));
        let list = list.expect("the fault lists what there is");
        list.split(['"', '`']).skip(1).step_by(2).map(str::to_owned).collect()
    };
    let kinds = list("[[layer]]\nkind = 1\n", "`kind`: found 1, expected ");
    let keys = |kind: &String| {
        let text = format!("[[layer]]\nkind = {kind:?}\nzzzz = 1\n");
        list(&text, &format!("unknown key \"zzzz\" in a layer of kind {kind:?}, expected "))
    };
    kinds.into_iter().map(|kind| (kind.clone(), keys(&kind))).collect()
}

/// Every key of every kind of layer that changes what is computed is drawn: each of what [`keys`] lists.
#[test]
fn every_key_of_every_kind_is_drawn() {
    // Those that change names only.
    const NAMES: [&str; 3] = ["kind", "name", "stage"];
    let texts: Vec<String> = (0..600).map(|seed| RandomNetwork::new(seed).toml).collect();
    let layers: Vec<&str> = texts.iter().flat_map(|text| text.split("[[layer]]\n").skip(1)).collect();
    let keys = keys();
    assert!(17 <= keys.len(), "{keys:?}");
    let mut missing = Vec::new();
    for (kind, keys) in &keys {
        let kind_line = format!("kind = {kind:?}");
        let of_kind: Vec<&&str> =
            layers.iter().filter(|layer| layer.lines().any(|line| line == kind_line)).collect();
        for key in keys.iter().filter(|key| !NAMES.contains(&key.as_str())) {
            let start = format!("{key} = ");
            let n = of_kind.iter().filter(|layer| layer.lines().any(|line| line.starts_with(&start))).count();
            if n == 0 {
                missing.push(format!("`{key}` of {kind}"));
            }
        }
    }
    assert!(missing.is_empty(), "never drawn: {}", missing.join(", "));
    for key in ["activation", "slope", "padding", "batch_norm_epsilon", "outputs"] {
        let start = format!("\n{key} = ");
        let has = |text: &String| text.split("[[layer]]").next().is_some_and(|head| head.contains(&start));
        assert!(texts.iter().any(has), "never drawn: `{key}` of the network");
    }
    for rule in ["floor", "nearest", "nearest_of_whole"] {
        assert!(
            texts.iter().any(|text| text.contains(&format!("rounding = {rule:?}"))),
            "never drawn: {rule}"
        );
    }
}
