//! [`Description`] -> the TOML that says it: what [`Description::parse`] reads, with what configurations and weights have changed.

use std::fmt::{Debug, Display};

use super::detect::{DetectSpec, Extra, Order, Priors, Probability, Unit};
use super::{
    BlockSpec, BlockWindow, ChannelOrder, ConvSpec, CropRounding, Description, Expand, InputSpec, LayerKind,
    LayerSpec, Margin, NormSpec, Padding, Pads, Preprocess, Reduce, Resize, Rounding, Sides, SqueezeSpec,
    Width,
};
use crate::graph::layer::{Activation, Flatten, Pooling};

impl Description {
    /// The description as a file would have it; `None` where no file can say it. Whether the network ends before its classifier is no
    /// key of a file.
    ///
    /// ```
    /// use mnc::describe::{Description, Padding, builtin};
    ///
    /// let description = Description { padding: Padding::Symmetric, ..builtin("mobilenet-v2").unwrap().description() };
    /// let text = description.to_toml().unwrap();
    /// assert_eq!(Description::parse(&text, "net.toml")?, description);
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn to_toml(&self) -> Option<String> {
        let mut lines = Lines(String::new());
        lines.description(self);
        let whole = Description { is_headless: false, ..self.clone() };
        Description::parse(&lines.0, "a description").is_ok_and(|read| read == whole).then_some(lines.0)
    }
}

struct Lines(String);

/// Two extents as a key has them.
fn sides(sides: Sides) -> String {
    format!("[{}, {}]", sides.rows, sides.columns)
}

impl Lines {
    fn key(&mut self, key: &str, value: impl Display) {
        self.0 += &format!("{key} = {value}\n");
    }

    /// A text, a number or several: TOML has them as Rust does.
    fn value(&mut self, key: &str, value: impl Debug) {
        self.key(key, format!("{value:?}"));
    }

    fn table(&mut self, header: &str) {
        self.0 += &format!("\n{header}\n");
    }

    fn description(&mut self, description: &Description) {
        let Description {
            name,
            input,
            classes,
            rounding,
            batch_norm_epsilon,
            padding,
            preprocess,
            scores,
            is_headless: _,
            layers,
            outputs,
            detect,
        } = description;
        self.value("name", name);
        self.key("classes", classes);
        self.padding(*padding);
        self.value("batch_norm_epsilon", batch_norm_epsilon);
        scores.iter().for_each(|scores| self.value("scores", scores.name()));
        if !outputs.is_empty() {
            self.value("outputs", outputs);
        }
        let InputSpec { height, width, channels } = input;
        self.key("input", format!("{{ height = {height}, width = {width}, channels = {channels} }}"));
        self.key(
            "alpha",
            match rounding {
                Rounding::Floor { minimum } => format!("{{ rounding = \"floor\", minimum = {minimum} }}"),
                Rounding::Nearest { multiple } => {
                    format!("{{ rounding = \"nearest\", multiple = {multiple} }}")
                }
                Rounding::NearestOfWhole { multiple, minimum } => format!(
                    "{{ rounding = \"nearest_of_whole\", multiple = {multiple}, minimum = {minimum} }}"
                ),
            },
        );
        self.preprocess(preprocess);
        detect.iter().for_each(|detect| self.detect(detect));
        layers.iter().for_each(|layer| self.layer(layer));
    }

    fn preprocess(&mut self, preprocess: &Preprocess) {
        let Preprocess { resize, resample, crop_rounding, fill, scale, mean, std, channel_order } =
            preprocess;
        self.table("[preprocess]");
        let (rule, margin) = match resize {
            Resize::Cover(margin) => ("cover", Some(margin)),
            Resize::Stretch(margin) => ("stretch", Some(margin)),
            Resize::Border(margin) => ("border", Some(margin)),
            Resize::Crop => ("crop", None),
            Resize::Keep => ("none", None),
        };
        self.value("resize", rule);
        match margin {
            Some(Margin::Ratio(ratio)) => self.value("ratio", ratio),
            Some(Margin::CropPct(share)) => self.value("crop_pct", share),
            None => {}
        }
        if margin.is_some() {
            self.value("resample", resample.name());
        }
        if *resize != Resize::Keep {
            let word = match crop_rounding {
                CropRounding::Down => "down",
                CropRounding::Even => "even",
            };
            self.value("crop_rounding", word);
        }
        if !fill.is_empty() {
            self.value("fill", fill);
        }
        self.value("scale", scale);
        self.value("mean", mean);
        self.value("std", std);
        let order = match channel_order {
            ChannelOrder::Rgb => "rgb",
            ChannelOrder::Bgr => "bgr",
        };
        self.value("channel_order", order);
    }

    fn detect(&mut self, detect: &DetectSpec) {
        let DetectSpec { scores, locations, probability, background, threshold, overlap, candidates, .. } =
            detect;
        let DetectSpec { most_boxes, order, center_variance, size_variance, clip, priors, .. } = detect;
        self.table("[detect]");
        self.value("scores", scores);
        self.value("locations", locations);
        let probability = match probability {
            Probability::Softmax => "softmax",
            Probability::Sigmoid => "sigmoid",
            Probability::Values => "values",
        };
        self.value("probability", probability);
        background.iter().for_each(|background| self.key("background", background));
        self.value("threshold", threshold);
        self.value("overlap", overlap);
        self.key("candidates", candidates);
        self.key("most_boxes", most_boxes);
        let order = match order {
            Order::Xywh => "xywh",
            Order::Yxhw => "yxhw",
        };
        self.value("order", order);
        self.value("center_variance", center_variance);
        self.value("size_variance", size_variance);
        self.key("clip", clip);
        match priors {
            Priors::Maps { unit, maps } => {
                let unit = match unit {
                    Unit::Pixels => "pixels",
                    Unit::Input => "input",
                };
                self.value("unit", unit);
                for map in maps {
                    self.table("[[detect.priors]]");
                    self.value("sizes", &map.sizes);
                    map.stride.iter().for_each(|stride| self.key("stride", sides(*stride)));
                }
            }
            Priors::Scales { first, last, ratios, extra, reduced } => {
                self.table("[detect.priors]");
                self.value("first", first);
                self.value("last", last);
                self.value("ratios", ratios);
                let extra = match extra {
                    Extra::None => "none",
                    Extra::Second => "second",
                    Extra::Last => "last",
                };
                self.value("extra", extra);
                self.key("reduced", reduced);
            }
        }
    }

    fn layer(&mut self, layer: &LayerSpec) {
        let LayerSpec { name, input, repeat, stage, kind } = layer;
        self.table("[[layer]]");
        self.kind(kind);
        name.iter().for_each(|name| self.value("name", name));
        input.iter().for_each(|input| self.value("input", input));
        if *repeat != 1 {
            self.key("repeat", repeat);
        }
        stage.iter().for_each(|stage| self.key("stage", stage));
    }

    fn kind(&mut self, kind: &LayerKind) {
        match kind {
            LayerKind::Conv { spec, filters, groups } => {
                self.value("kind", "conv");
                self.conv(spec);
                self.width("filters", *filters);
                self.key("groups", groups);
            }
            LayerKind::Depthwise { spec, multiplier } => {
                self.value("kind", "depthwise");
                self.conv(spec);
                self.key("multiplier", multiplier);
            }
            LayerKind::Separable { spec, squeeze, filters } => {
                self.value("kind", "separable");
                self.conv(spec);
                squeeze.iter().for_each(|squeeze| self.squeeze(squeeze));
                self.width("filters", *filters);
            }
            LayerKind::Block(block) => self.block(block),
            LayerKind::SqueezeExcite(squeeze) => {
                self.value("kind", "squeeze_excite");
                self.squeeze(squeeze);
                if let Reduce::To(Width::Fixed(_)) = squeeze.reduce {
                    self.key("scaled", false);
                }
            }
            LayerKind::Add { from, activation } => {
                self.value("kind", "add");
                self.value("from", from);
                self.activation(*activation);
            }
            LayerKind::Multiply { from, activation } => {
                self.value("kind", "multiply");
                self.value("from", from);
                self.activation(*activation);
            }
            LayerKind::Pool { pooling, slide, padding } => {
                match pooling {
                    Pooling::Max => self.value("kind", "max_pool"),
                    Pooling::Average { counts_padding } => {
                        self.value("kind", "average_pool");
                        self.key("count_padding", counts_padding);
                    }
                }
                self.key("kernel", sides(slide.kernel));
                self.key("stride", sides(slide.stride));
                self.padding(*padding);
            }
            LayerKind::Concat { from } => {
                self.value("kind", "concat");
                self.value("from", from);
            }
            LayerKind::Upsample { factor } => {
                self.value("kind", "upsample");
                self.key("factor", factor);
            }
            LayerKind::GlobalAveragePool => self.value("kind", "global_average_pool"),
            LayerKind::Dense { units, flatten, activation, bias } => {
                self.value("kind", "dense");
                units.iter().for_each(|units| self.key("units", units));
                let named = Flatten::NAMES.iter().find(|(_, known)| known == flatten);
                self.value("flatten", named.expect("every order has a name").0);
                self.activation(*activation);
                self.key("bias", bias);
            }
            LayerKind::Softmax => self.value("kind", "softmax"),
        }
    }

    fn block(&mut self, block: &BlockSpec) {
        let BlockSpec { spec, window, start_kernel, expand, squeeze, filters, residual } = block;
        // One kind has no `expand`, another has every kernel.
        let is_universal = match window {
            BlockWindow::Start => true,
            BlockWindow::Middle => expand.is_some(),
            BlockWindow::Expand => false,
        };
        if is_universal {
            self.value("kind", "universal_inverted_bottleneck");
            let start = if *window == BlockWindow::Start { Some(spec.slide.kernel) } else { *start_kernel };
            start.iter().for_each(|kernel| self.key("start_kernel", sides(*kernel)));
            if *window == BlockWindow::Middle {
                self.key("middle_kernel", sides(spec.slide.kernel));
            }
        } else {
            let is_fused = *window == BlockWindow::Expand;
            self.value("kind", if is_fused { "fused_inverted_residual" } else { "inverted_residual" });
            self.key("kernel", sides(spec.slide.kernel));
        }
        self.steps(spec);
        match expand {
            Some(Expand::Times(times)) => self.value("expand", times),
            Some(Expand::To(width)) => self.key("expanded", width.written()),
            None => {}
        }
        squeeze.iter().for_each(|squeeze| self.squeeze(squeeze));
        self.width("filters", *filters);
        self.key("residual", residual);
    }

    fn squeeze(&mut self, squeeze: &SqueezeSpec) {
        let SqueezeSpec { reduce, activation, gate } = squeeze;
        match reduce {
            Reduce::Times { times, multiple } => {
                self.value("reduce", times);
                multiple.iter().for_each(|multiple| self.key("reduce_multiple", multiple));
            }
            Reduce::To(width) => self.key("reduced", width.written()),
        }
        self.value("reduce_activation", activation.word());
        self.value("gate_activation", gate.word());
    }

    fn conv(&mut self, spec: &ConvSpec) {
        self.key("kernel", sides(spec.slide.kernel));
        self.steps(spec);
    }

    /// All but the kernel.
    fn steps(&mut self, spec: &ConvSpec) {
        let ConvSpec { slide, padding, activation, norm, bias } = spec;
        self.key("stride", sides(slide.stride));
        self.key("dilation", sides(slide.dilation));
        self.padding(*padding);
        self.activation(*activation);
        match norm {
            None => self.key("batch_norm", false),
            Some(NormSpec { epsilon, gamma, beta }) => {
                let epsilon = epsilon.map_or(String::new(), |epsilon| format!("epsilon = {epsilon:?}, "));
                self.key("batch_norm", format!("{{ {epsilon}gamma = {gamma}, beta = {beta} }}"));
            }
        }
        self.key("bias", bias);
    }

    fn padding(&mut self, padding: Padding) {
        match padding {
            Padding::Same | Padding::Symmetric | Padding::Valid | Padding::Keras => {
                self.value("padding", padding.to_string());
            }
            Padding::Numbers(Pads { top, left, bottom, right }) => self.key(
                "padding",
                format!("{{ top = {top}, left = {left}, bottom = {bottom}, right = {right} }}"),
            ),
        }
    }

    fn activation(&mut self, activation: Activation) {
        self.value("activation", activation.word());
        activation.slope().iter().for_each(|slope| self.value("slope", slope));
    }

    fn width(&mut self, key: &str, width: Width) {
        self.key(key, width.written());
        match width {
            Width::Fixed(_) => self.key("scaled", false),
            Width::Scaled { minimum: 1, .. } => {}
            Width::Scaled { minimum, .. } => self.key("minimum", minimum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::{BUILTIN, MAX_SIDE};

    #[test]
    fn what_is_written_is_what_was_read() {
        for builtin in BUILTIN {
            let description = builtin.description();
            let text = description.to_toml().unwrap_or_else(|| panic!("{} can't be written", builtin.name));
            assert_eq!(Description::parse(&text, "net.toml").unwrap(), description, "{text}");
        }
    }

    #[test]
    fn what_no_file_can_say_is_not_written() {
        let mut description = BUILTIN[0].description();
        description.is_headless = true;
        assert!(description.to_toml().is_some(), "that is no key");
        description.input.height = MAX_SIDE + 1;
        assert_eq!(description.to_toml(), None);
        let mut description = BUILTIN[0].description();
        description.name = "a\"b".to_owned();
        assert_eq!(description.to_toml(), None);
    }
}
