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
    check("branches", 20, &|text| text.contains("_sum\""));
    for kind in ["inverted_residual", "fused_inverted_residual", "universal_inverted_bottleneck"] {
        check(kind, 20, &|text| text.contains(&format!("kind = \"{kind}\"")));
    }
    check("gates of blocks", 20, &|text| text.contains("reduce = "));
}
