//! Every key that is known of the JSON beside weights, and what becomes of it. A key that is none of these is never passed over in
//! silence: where its name speaks of pictures it is a fault, else a line for people.

use serde_json::Value;

use super::json::Object;
use crate::error::Faults;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A reader follows it.
    Followed,
    /// It changes nothing when a network answers: training, bookkeeping, or what other keys say again.
    Nothing,
    /// Its effect can't be had, so `null`, `false`, 0, an empty text and the default are what it may be.
    Refused {
        /// Besides these.
        default: &'static str,
    },
}

const NEVER: Fate = Fate::Refused { default: "" };

/// Keys with their fate.
pub(super) type Keys = [(Fate, &'static [&'static str])];

/// Those of a `preprocessor_config.json`.
pub(super) const PREPROCESSOR: &Keys = &[
    (
        Fate::Followed,
        &[
            "image_processor_type",
            "feature_extractor_type",
            "do_resize",
            "size",
            "default_to_square",
            "resample",
            "do_center_crop",
            "crop_size",
            "crop_pct",
            "do_rescale",
            "rescale_factor",
            "rescale_offset",
            "do_normalize",
            "image_mean",
            "image_std",
            "include_top",
            "do_flip_channel_order",
            "do_pad",
            "pad_size",
        ],
    ),
    (
        Fate::Nothing,
        &[
            // Pictures have three channels here, or one if the network takes that.
            "do_convert_rgb",
            // Of maps of labels, in training.
            "do_reduce_labels",
            "reduce_labels",
            // How transformers hands arrays around.
            "data_format",
            "input_data_format",
            "return_tensors",
            "device",
            "disable_grouping",
            "image_seq_length",
            // Bookkeeping.
            "processor_class",
            "_processor_class",
            "_valid_processor_keys",
            "auto_map",
            "model_input_names",
            "name_or_path",
            "_name_or_path",
            "transformers_version",
        ],
    ),
    (
        NEVER,
        &[
            "do_convert_grayscale",
            "do_grayscale",
            "do_thumbnail",
            "do_align_long_axis",
            "do_random_crop",
            "do_color_quantize",
            "do_image_splitting",
            "max_size",
            "max_image_size",
            "size_divisor",
            "offset",
            "use_square_size",
        ],
    ),
];

/// Those of transformers' `config.json` of a MobileNet.
pub(super) const HUGGING_FACE: &Keys = &[
    (
        Fate::Followed,
        &[
            "model_type",
            "architectures",
            "depth_divisible_by",
            "min_depth",
            "depth_multiplier",
            "image_size",
            "num_channels",
            "hidden_act",
            "tf_padding",
            "layer_norm_eps",
            "num_labels",
            "id2label",
            "problem_type",
            "first_layer_is_expansion",
            "finegrained_output",
            "expand_ratio",
            "output_stride",
        ],
    ),
    (
        Fate::Nothing,
        &[
            // Training.
            "classifier_dropout_prob",
            "initializer_range",
            "semantic_loss_ignore_index",
            "gradient_checkpointing",
            "tf_legacy_loss",
            "finetuning_task",
            // The labels again, from their names.
            "label2id",
            // How numbers were stored, which the weights say themselves.
            "torch_dtype",
            "dtype",
            "use_bfloat16",
            // Bookkeeping.
            "_name_or_path",
            "name_or_path",
            "transformers_version",
            "transformers.js_config",
            "auto_map",
            "_commit_hash",
            "_attn_implementation_autoset",
            "_attn_implementation",
            "attn_implementation",
            "task_specific_params",
            "torchscript",
            "return_dict",
            "use_return_dict",
            "output_hidden_states",
            "output_attentions",
            "use_cache",
        ],
    ),
    // What generates text, which transformers wrote of every model.
    (
        Fate::Nothing,
        &[
            "is_encoder_decoder",
            "is_decoder",
            "add_cross_attention",
            "cross_attention_hidden_size",
            "tie_word_embeddings",
            "tie_encoder_decoder",
            "chunk_size_feed_forward",
            "max_length",
            "min_length",
            "do_sample",
            "early_stopping",
            "num_beams",
            "num_beam_groups",
            "diversity_penalty",
            "temperature",
            "top_k",
            "top_p",
            "typical_p",
            "repetition_penalty",
            "length_penalty",
            "no_repeat_ngram_size",
            "encoder_no_repeat_ngram_size",
            "bad_words_ids",
            "num_return_sequences",
            "output_scores",
            "return_dict_in_generate",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "remove_invalid_values",
            "exponential_decay_length_penalty",
            "suppress_tokens",
            "begin_suppress_tokens",
            "tokenizer_class",
            "prefix",
            "bos_token_id",
            "pad_token_id",
            "eos_token_id",
            "sep_token_id",
            "decoder_start_token_id",
        ],
    ),
    // Tensors that are there but not used, or not as they are.
    (NEVER, &["pruned_heads", "quantization_config"]),
];

/// Those at the top of timm's `config.json`, which transformers' wrapper writes too.
pub(super) const TIMM: &Keys = &[
    (
        Fate::Followed,
        &[
            "architecture",
            "num_classes",
            "num_labels",
            "label_names",
            "id2label",
            "problem_type",
            "model_args",
            "pretrained_cfg",
        ],
    ),
    (
        Fate::Nothing,
        &[
            // What the architecture says already.
            "num_features",
            "label_descriptions",
            "label2id",
            "do_pooling",
            "initializer_range",
            "model_type",
            "architectures",
            "torch_dtype",
            "dtype",
            "transformers_version",
            "_name_or_path",
            "name_or_path",
            "auto_map",
        ],
    ),
    (Fate::Refused { default: "avg" }, &["global_pool"]),
];

/// Those of `model_args` in it, with which the model is made: each changes it.
pub(super) const MODEL_ARGS: &Keys = &[
    (Fate::Followed, &["in_chans", "num_classes", "pad_type", "act_layer", "bn_eps"]),
    (
        Fate::Nothing,
        &["bn_momentum", "drop_rate", "drop_path_rate", "drop_block_rate", "exportable", "scriptable", "jit"],
    ),
    (Fate::Refused { default: "avg" }, &["global_pool"]),
    (Fate::Refused { default: "batchnorm2d" }, &["norm_layer"]),
    (
        NEVER,
        &[
            "output_stride",
            "features_only",
            "channel_multiplier",
            "depth_multiplier",
            "stem_size",
            "fix_stem",
            "fix_stem_head",
            "head_conv",
            "head_bias",
            "num_features",
            "group_size",
            "round_chs_fn",
            "se_layer",
            "img_size",
            "aa_layer",
            "dynamic_img_size",
        ],
    ),
];

/// Those of `pretrained_cfg` in it.
pub(super) const PRETRAINED_CFG: &Keys = &[
    (
        Fate::Followed,
        &[
            "input_size",
            "interpolation",
            "crop_pct",
            "crop_mode",
            "mean",
            "std",
            "label_names",
            "problem_type",
            "in_chans",
        ],
    ),
    (
        Fate::Nothing,
        &[
            // Other sizes that the weights were tried at; timm takes them when it is asked to.
            "test_input_size",
            "test_crop_pct",
            "test_pool_size",
            "min_input_size",
            "fixed_input_size",
            "pool_size",
            // Of the weights that it was made of.
            "num_classes",
            // The names of two layers.
            "first_conv",
            "classifier",
            "label_descriptions",
            // Where the weights came from.
            "url",
            "file",
            "hf_hub_id",
            "hf_hub_filename",
            "source",
            "architecture",
            "tag",
            "state_dict",
            "license",
            "description",
            "origin_url",
            "paper_name",
            "paper_ids",
            "notes",
            "custom_load",
        ],
    ),
    (NEVER, &["label_offset", "crop_border_pixels", "use_tta"]),
];

/// What to do about a key of a preprocessor's file.
pub(super) const PREPROCESSOR_WAY: &str = "take the key out, or say it in a description's [preprocess] and leave the file out (--preprocessor none)";
/// What to do about one of a model's.
pub(super) const MODEL_WAY: &str =
    "take the key out, or say it in a description (mnc describe) and leave the file out (--config none)";

/// Reports keys that are refused. Returns those that nobody knows.
///
/// `way` is what to do about such a key.
pub(super) fn settle(object: &Object<'_>, keys: &Keys, way: &str, faults: &mut Faults) -> Vec<String> {
    let mut unknown = Vec::new();
    for (key, value) in object.entries() {
        let fate = keys.iter().find(|(_, names)| names.contains(&key.as_str())).map(|(fate, _)| *fate);
        match fate {
            Some(Fate::Followed | Fate::Nothing) => {}
            Some(Fate::Refused { default }) => {
                if !is_nothing(value) && value.as_str() != Some(default) {
                    let usual = if default.is_empty() { "false".to_owned() } else { format!("{default:?}") };
                    object.fault(
                        key,
                        &format!("null or {usual}: mnc can't do what this key asks for; {way}"),
                        faults,
                    );
                }
            }
            None if is_nothing(value) => {}
            None if speaks_of_pictures(key) => {
                object.fault(
                    key,
                    &format!("no such key: mnc doesn't know it, and by its name it changes pictures; {way}"),
                    faults,
                );
            }
            None => unknown.push(object.name(key)),
        }
    }
    unknown
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Whether a key that isn't known would change what a network sees.
fn speaks_of_pictures(key: &str) -> bool {
    const BEGINNINGS: [&str; 10] =
        ["do_", "crop", "resample", "resize", "rescale", "pad", "interpolation", "image_", "normal", "mean"];
    BEGINNINGS.iter().any(|beginning| key.starts_with(beginning)) || key.ends_with("_size")
}
