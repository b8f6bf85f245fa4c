//! The keys of a timm model's `config.json`, and its models by name. A file of this form may name a model of torchvision too.

mod pictures;

use self::pictures::Pictures;
use super::architecture::{self, Architecture};
use super::change::Change;
use super::json::{self, Object};
use super::keys;
use super::{ACTIVATIONS, ModelConfig, USUAL_ACTIVATION, activation, scores};
use crate::describe::{Padding, Rounding};
use crate::error::Faults;

/// The keys of a timm model's `config.json`: some at the top, some in `model_args`, some in `pretrained_cfg`.
///
/// `architecture` is `None` where the file names none.
pub(super) fn read(root: &Object<'_>, architecture: Option<&str>, faults: &mut Faults) -> ModelConfig {
    let args = root.object("model_args", faults);
    let pretrained = root.object("pretrained_cfg", faults);
    // What the model was made with stands before what its weights came with.
    let places: Vec<&Object<'_>> = args.iter().chain([root]).chain(&pretrained).collect();
    let find = |key: &str| places.iter().copied().find(|object| object.has(key)).unwrap_or(root);

    // Files made by hand have all of them at the top.
    let of_root = [keys::TIMM, keys::MODEL_ARGS, keys::PRETRAINED_CFG].concat();
    let mut unknown = keys::settle(root, &of_root, keys::MODEL_WAY, faults);
    for (object, keys) in [(&args, keys::MODEL_ARGS), (&pretrained, keys::PRETRAINED_CFG)] {
        unknown.extend(object.iter().flat_map(|object| keys::settle(object, keys, keys::MODEL_WAY, faults)));
    }
    let pictures = Pictures::read(find, faults);
    // What a file that speaks of pictures leaves out has timm's default.
    let speaks = pretrained.is_some() || pictures::KEYS.iter().any(|key| root.has(key));
    // Transformers' wrapper has names by number too.
    let labels = find("label_names")
        .read("label_names", "an array of names", faults, |value| json::list(value, json::string));
    let by_number = "an object of names with the keys 0, 1, 2 and so on";
    let labels = labels.or_else(|| root.read("id2label", by_number, faults, json::by_index));
    // What the weights came with is no word on what they are now.
    let own = args.iter().chain([root]).find(|object| object.has("num_classes"));
    let key = if own.is_some() { "num_classes" } else { "num_labels" };
    let own = own.unwrap_or(root);
    let is_headless = super::has_no_classes(own, key);
    let classes = match is_headless {
        true => None,
        false => own.read(key, json::COUNT, faults, json::count).or(labels.as_ref().map(Vec::len)),
    };
    let labels = labels.filter(|_| !is_headless);
    let mut config = ModelConfig {
        activation: find("act_layer").read("act_layer", ACTIVATIONS, faults, activation),
        padding: find("pad_type").read("pad_type", r#""same", "valid" or """#, faults, |value| {
            match value.as_str()? {
                "same" => Some(Padding::Same),
                "valid" => Some(Padding::Valid),
                "" => Some(Padding::Symmetric),
                _ => None,
            }
        }),
        epsilon: find("bn_eps").read("bn_eps", json::NOT_NEGATIVE, faults, json::not_negative),
        is_headless,
        classes,
        labels,
        unknown,
        ..ModelConfig::default()
    };
    config.scores = scores(find("problem_type"), config.classes, faults);
    if let Some(torchvision) = architecture.and_then(super::torchvision::named) {
        let mut torchvision = ModelConfig {
            classes: config.classes,
            labels: config.labels,
            scores: config.scores,
            unknown: config.unknown,
            is_headless,
            ..torchvision
        };
        pictures.apply(&mut torchvision);
        return torchvision;
    }
    let pictures = if speaks { pictures.or_default() } else { pictures };
    pictures.apply(&mut config);
    let Some(architecture) = architecture else { return config };
    let found = model(architecture);
    config.architecture =
        Some(Architecture::new(architecture.to_owned(), found.as_ref().map(|found| found.network)));
    let Some(found) = found else { return config };
    config.alpha = Some(found.alpha);
    config.changes = found.changes;
    config.rounding = Some(Rounding::Nearest { multiple: 8 });
    // Those of `tf_` have TensorFlow's weights; the author's own V3 was trained with its epsilon alone.
    let is_tf = plain(architecture).starts_with("tf_");
    config.padding.get_or_insert(if is_tf { Padding::Same } else { Padding::Symmetric });
    config.epsilon.get_or_insert(if is_tf || plain(architecture) == RW { 1e-3 } else { 1e-5 });
    if [architecture::V1, architecture::V2].contains(&found.network) {
        config.activation.get_or_insert(USUAL_ACTIVATION);
    }
    config
}

/// A model that timm makes of a built-in network.
pub(super) struct Model {
    network: &'static str,
    alpha: f64,
    changes: Vec<Change>,
}

/// The author's first V3.
pub(super) const RW: &str = "mobilenetv3_rw";

/// What the names of a family's models begin with, in front of the width in percent.
const FAMILIES: [(&str, &str); 8] = [
    ("mobilenetv1_", architecture::V1),
    ("mobilenetv2_", architecture::V2),
    ("mobilenetv3_large_", architecture::V3_LARGE),
    ("mobilenetv3_small_", architecture::V3_SMALL),
    ("tf_mobilenetv3_large_", architecture::V3_LARGE),
    ("tf_mobilenetv3_small_", architecture::V3_SMALL),
    ("tf_mobilenetv3_large_minimal_", architecture::V3_LARGE_MINIMALISTIC),
    ("tf_mobilenetv3_small_minimal_", architecture::V3_SMALL_MINIMALISTIC),
];

/// A model's name without the hub in front of it and the tag of its weights behind: `timm/mobilenetv1_100.ra4_e3600_r224_in1k`.
pub(super) fn plain(name: &str) -> &str {
    let name = name.rsplit_once([':', '/']).map_or(name, |(_, name)| name);
    name.split_once('.').map_or(name, |(name, _)| name)
}

/// Whether a file without an `architecture` is timm's all the same: older ones have all of their keys at the top.
pub(super) fn is_plain(root: &Object<'_>) -> bool {
    let is_hugging_face = ["model_type", "architectures"].iter().any(|key| root.has(key));
    !is_hugging_face && (root.has("pretrained_cfg") || pictures::KEYS.iter().any(|key| root.has(key)))
}

/// The model of that name: `mobilenetv1_125` is alpha 1.25.
pub(super) fn model(name: &str) -> Option<Model> {
    let name = plain(name);
    if name == RW {
        return Some(Model { network: architecture::V3_LARGE, alpha: 1.0, changes: vec![Change::FirstV3] });
    }
    let v4 = [
        ("mobilenetv4_conv_small", architecture::V4_SMALL, 1.0),
        ("mobilenetv4_conv_small_050", architecture::V4_SMALL, 0.5),
        ("mobilenetv4_conv_small_035", architecture::V4_SMALL, 0.35),
        ("mobilenetv4_conv_medium", architecture::V4_MEDIUM, 1.0),
        ("mobilenetv4_conv_large", architecture::V4_LARGE, 1.0),
    ];
    if let Some((_, network, alpha)) = v4.into_iter().find(|(model, ..)| *model == name) {
        let changes = if alpha < 1.0 { vec![Change::FixStem] } else { Vec::new() };
        return Some(Model { network, alpha, changes });
    }
    FAMILIES.into_iter().find_map(|(prefix, network)| {
        let variant = name.strip_prefix(prefix)?;
        let letters = variant.trim_start_matches(|c: char| c.is_ascii_digit());
        let percent: u16 = variant.strip_suffix(letters)?.parse().ok().filter(|&percent| 0 < percent)?;
        let alpha = f64::from(percent) / 100.0;
        let changes = match (network, letters, percent) {
            (_, "", _) => Vec::new(),
            // Trained elsewhere: the names of old versions.
            (architecture::V3_LARGE, "_miil" | "_miil_in21k", 100) => Vec::new(),
            (architecture::V1, "h", _) => vec![Change::AddHead { channels: 1024 }],
            (architecture::V2, "d", 110) => {
                vec![Change::FixStem, Change::FixHead, Change::Deepen { times: 1.2 }]
            }
            (architecture::V2, "d", 120) => {
                vec![Change::FixStem, Change::FixHead, Change::Deepen { times: 1.4 }]
            }
            _ => return None,
        };
        Some(Model { network, alpha, changes })
    })
}
