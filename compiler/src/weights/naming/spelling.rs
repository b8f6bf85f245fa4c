//! Names of TensorFlow's and Keras's tensors as files spell them -> as the tables do.
//!
//! The same network has `conv_dw_1/depthwise_kernel:0` of Keras 2, `conv_dw_1/kernel` of Keras 3, `conv_dw_1/conv_dw_1/kernel:0` in
//! an HDF5 file's groups, and dots for slashes where a converter likes them better. Knows no network.

use std::collections::{BTreeMap, BTreeSet};

/// The new name of each tensor that is spelled otherwise than in the tables. Nothing where the names aren't TensorFlow's, or where
/// two tensors would get one name.
pub(in crate::weights) fn respelled<'n>(
    names: impl Iterator<Item = &'n str> + Clone,
) -> BTreeMap<String, String> {
    let all: BTreeSet<&str> = names.clone().collect();
    // Where the file has the averages alone, they are the numbers.
    let own = |name: &'n str| name.strip_suffix(AVERAGE).filter(|own| !all.contains(own)).unwrap_or(name);
    let parts: Vec<(&str, Vec<&str>)> = names.map(|name| (name, parts(own(name)))).collect();
    let ends_as = |parts: &[&str]| parts.last().is_some_and(|word| WORDS.contains(word));
    // One tensor of many says nothing.
    let most = |holds: &dyn Fn(&[&str]) -> bool| {
        let n_such = parts.iter().filter(|(_, parts)| holds(parts)).count();
        0 < n_such && parts.len() <= 4 * n_such
    };
    let is_slim = most(&|parts| scope(parts).is_some());
    if !is_slim && !most(&|parts| ends_as(parts)) {
        return BTreeMap::new();
    }
    // Keras 2 has slashes in the names of V3's layers.
    let is_old_v3 =
        !is_slim && parts.iter().any(|(_, parts)| parts.len() == 3 && parts[0] == "expanded_conv");
    let spell = |parts: &[&str]| match is_slim {
        true => slim(parts),
        false => keras(parts, is_old_v3),
    };
    let new: Vec<(&str, String)> =
        parts.iter().filter_map(|(name, parts)| Some((*name, spell(parts)?))).collect();
    let new: BTreeMap<&str, String> = new.into_iter().collect();
    let mut taken = BTreeSet::new();
    let is_unique = (parts.iter())
        .map(|(name, _)| new.get(name).map_or(*name, String::as_str))
        .all(|name| taken.insert(name));
    if !is_unique {
        return BTreeMap::new();
    }
    new.into_iter().filter(|(old, new)| old != new).map(|(old, new)| (old.to_owned(), new)).collect()
}

/// What TensorFlow calls the moving average of a tensor, behind the tensor's name.
pub(in crate::weights) const AVERAGE: &str = "/ExponentialMovingAverage";

/// Last words that no other exporter has.
const WORDS: [&str; 6] =
    ["kernel", "depthwise_kernel", "moving_mean", "moving_variance", "weights", "depthwise_weights"];

/// The words of a name, `:0` behind it aside. Where there is no slash, dots are between them.
fn parts(name: &str) -> Vec<&str> {
    let name = match name.rsplit_once(':') {
        Some((name, output)) if output.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => name,
    };
    let parts: Vec<&str> = match name.contains('/') {
        true => name.split('/').collect(),
        false => name.split('.').collect(),
    };
    // A group of an HDF5 file is called as its layer.
    match parts.split_last() {
        Some((last, layer)) if !layer.is_empty() && layer.len() % 2 == 0 => {
            let (group, layer) = layer.split_at(layer.len() / 2);
            if group == layer { [layer, &[*last]].concat() } else { parts }
        }
        _ => parts,
    }
}

/// Where the scope of a TF-slim network is.
fn scope(parts: &[&str]) -> Option<usize> {
    parts.iter().position(|part| ["MobilenetV1", "MobilenetV2", "MobilenetV3"].contains(part))
}

/// TF-slim's: all from the scope on. Those who bring them to PyTorch have its words for the same.
fn slim(parts: &[&str]) -> Option<String> {
    let parts = &parts[scope(parts)?..];
    let (last, layer) = parts.split_last()?;
    let inner = layer.last()?;
    let word = match (*inner, *last) {
        ("BatchNorm", "weight") => "gamma",
        ("BatchNorm", "bias") => "beta",
        ("BatchNorm", "running_mean") => "moving_mean",
        ("BatchNorm", "running_var") => "moving_variance",
        (inner, "weight" | "weights") if inner.ends_with("depthwise") => "depthwise_weights",
        (_, "weight") => "weights",
        (_, "bias") => "biases",
        (_, word) => word,
    };
    Some([layer, &[word]].concat().join("/"))
}

/// Keras 3's: a layer, its variable. What a model is called in another one is left out.
fn keras(parts: &[&str], is_old_v3: bool) -> Option<String> {
    let is_model = |part: &&str| {
        ["mobilenet_", "mobilenetv2_", "MobilenetV3", "MobileNetV3"]
            .iter()
            .any(|start| part.starts_with(start))
    };
    let first = parts.iter().rposition(is_model).map_or(0, |at| at + 1);
    let (last, layer) = parts[first..].split_last()?;
    if layer.is_empty() {
        return None;
    }
    let word = if *last == "depthwise_kernel" { "kernel" } else { last };
    let mut layer = layer.join("_");
    if is_old_v3 {
        layer = layer.replace("_BatchNorm", "_bn").replace("squeeze_excite_Conv", "squeeze_excite_conv");
        for capital in ["Conv", "Logits"] {
            if layer.starts_with(capital) {
                layer = layer.replacen(capital, &capital.to_lowercase(), 1);
            }
        }
    }
    Some(format!("{layer}/{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expected: &[&str]) {
        let new = respelled(names.iter().copied());
        let found: Vec<&str> =
            names.iter().map(|name| new.get(*name).map_or(*name, String::as_str)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn spellings() {
        check(
            &["conv1/kernel:0", "conv_dw_1/depthwise_kernel:0", "conv1_bn/gamma:0"],
            &["conv1/kernel", "conv_dw_1/kernel", "conv1_bn/gamma"],
        );
        check(
            &["conv1/conv1/kernel:0", "conv_dw_1_bn.conv_dw_1_bn.moving_mean", "conv_preds.bias"],
            &["conv1/kernel", "conv_dw_1_bn/moving_mean", "conv_preds/bias"],
        );
        check(&["mobilenet_1.00_224/conv1/kernel", "dense/bias"], &["conv1/kernel", "dense/bias"]);
        check(
            &[
                "Conv/kernel:0",
                "Conv/BatchNorm/gamma:0",
                "expanded_conv/depthwise/depthwise_kernel:0",
                "expanded_conv/depthwise/BatchNorm/beta:0",
                "expanded_conv_3/squeeze_excite/Conv_1/bias:0",
                "Conv_1/BatchNorm/moving_variance:0",
                "Logits/bias:0",
            ],
            &[
                "conv/kernel",
                "conv_bn/gamma",
                "expanded_conv_depthwise/kernel",
                "expanded_conv_depthwise_bn/beta",
                "expanded_conv_3_squeeze_excite_conv_1/bias",
                "conv_1_bn/moving_variance",
                "logits/bias",
            ],
        );
        check(
            &[
                "MobilenetV1.Conv2d_0.weight",
                "MobilenetV1.Conv2d_0.BatchNorm.running_var",
                "FeatureExtractor/MobilenetV1/Conv2d_1_depthwise/weights",
                "MobilenetV1/Logits/Conv2d_1c_1x1/bias",
                "global_step",
            ],
            &[
                "MobilenetV1/Conv2d_0/weights",
                "MobilenetV1/Conv2d_0/BatchNorm/moving_variance",
                "MobilenetV1/Conv2d_1_depthwise/depthwise_weights",
                "MobilenetV1/Logits/Conv2d_1c_1x1/biases",
                "global_step",
            ],
        );
        // PyTorch's names stay, and two names never become one.
        check(&["conv1.weight", "bn1.running_mean"], &["conv1.weight", "bn1.running_mean"]);
        check(&["a/kernel", "a.kernel", "b/kernel:0"], &["a/kernel", "a.kernel", "b/kernel:0"]);
    }
}
