//! Layers with every key that their kind may have, so that no key is left out of the random networks.
//!
//! Each draws from numbers of its own: a seed without such a layer gives the network that it would give otherwise.

use std::fmt::{Display, Write as _};

use super::{Writer, activation, batch_norm, padding, sides};
use crate::graph::layer::Activation;
use crate::random::Random;

/// The keys of one layer, line by line.
struct Keys<'r> {
    text: String,
    random: &'r mut Random,
}

impl Keys<'_> {
    fn add(&mut self, key: &str, value: impl Display) {
        writeln!(self.text, "{key} = {value}").expect("a String takes every write");
    }

    /// Adds a key in half of all cases.
    fn maybe<V: Display>(&mut self, key: &str, value: impl FnOnce(&mut Random) -> V) {
        if self.random.percent(50) {
            let value = value(self.random);
            self.add(key, value);
        }
    }

    /// A width by which `scaled` is judged: whether it is absent or true.
    fn width(&mut self, key: &str, most: usize) -> bool {
        let width = self.random.within(1, most);
        self.add(key, width);
        self.random.percent(60)
    }

    fn filters(&mut self, most: usize) {
        let is_scaled = self.width("filters", most);
        if !is_scaled {
            self.add("scaled", false);
        } else {
            self.maybe("minimum", |random| random.within(1, 9));
        }
    }

    fn window(&mut self, kernels: &[&str]) {
        for kernel in kernels {
            let kernel_sides = sides(self.random, 1, 5);
            self.add(kernel, kernel_sides);
        }
        self.maybe("stride", |random| sides(random, 1, 2));
        self.maybe("dilation", |random| sides(random, 1, 2));
        self.maybe("padding", padding);
    }

    fn convolution(&mut self) {
        self.maybe("batch_norm", batch_norm);
        self.maybe("bias", |random| random.percent(60));
        self.maybe("repeat", |random| random.within(1, 2));
        if self.random.percent(25) {
            let slope = self.random.pick(&[0.01, 0.2]);
            self.text += &format!("activation = \"leaky_relu\"\nslope = {slope}\n");
        } else if self.random.percent(50) {
            self.text += &activation(self.random);
        }
    }

    /// A gate's, one of which says that there is a gate.
    fn gate(&mut self) {
        if self.random.percent(50) {
            let reduced = self.random.within(1, 9);
            self.add("reduced", reduced);
        } else {
            let share = self.random.pick(&[0.1, 0.25, 1.0]);
            self.add("reduce", share);
            self.maybe("reduce_multiple", |random| random.within(1, 8));
        }
        self.maybe("reduce_activation", plain);
        self.maybe("gate_activation", plain);
    }

    fn block(&mut self, most: usize) {
        if self.random.percent(50) {
            let times = self.random.pick(&[0.5, 1.0, 2.0, 3.5]);
            self.add("expand", times);
        } else {
            let width = self.random.within(1, most);
            self.add("expanded", width);
        }
        self.maybe("residual", |random| random.percent(50));
        if self.random.percent(50) {
            self.gate();
        }
    }
}

/// An activation that needs no slope, quoted.
fn plain(random: &mut Random) -> String {
    let activation = random.pick(&Activation::ALL);
    format!("{:?}", if activation.slope().is_some() { "swish" } else { activation.word() })
}

impl Writer {
    /// A layer of one of the kinds that have many keys.
    pub(super) fn rare(&mut self, random: &mut Random) {
        let kinds = [
            "conv",
            "depthwise",
            "pointwise",
            "separable",
            "separable",
            "inverted_residual",
            "fused_inverted_residual",
            "universal_inverted_bottleneck",
            "squeeze_excite",
            "squeeze_excite",
        ];
        let kind = random.pick(&kinds);
        let most = if self.is_tall { 12 } else { 24 };
        let mut keys = Keys { text: String::new(), random };
        keys.add("kind", format!("{kind:?}"));
        match kind {
            "squeeze_excite" => {
                keys.gate();
                keys.maybe("scaled", |random| random.percent(50));
            }
            "pointwise" => {
                keys.filters(most);
                keys.convolution();
            }
            "universal_inverted_bottleneck" => {
                keys.window(&["start_kernel", "middle_kernel"]);
                keys.filters(most);
                keys.block(most);
                keys.convolution();
            }
            _ => {
                keys.window(&["kernel"]);
                match kind {
                    "conv" => keys.filters(most),
                    "depthwise" => {}
                    "separable" => {
                        keys.filters(most);
                        keys.gate();
                    }
                    _ => {
                        keys.filters(most);
                        keys.block(most);
                    }
                }
                keys.convolution();
            }
        }
        let text = keys.text;
        self.take(&format!("l{}", self.earlier.len()), &text);
    }

    /// A dense layer over a map, whose weights are of a file with the channels first.
    pub(super) fn flat_dense(&mut self, random: &mut Random) {
        let mut keys = Keys { text: "kind = \"dense\"\nflatten = \"chw\"\n".to_owned(), random };
        keys.maybe("units", |random| random.within(1, 40));
        keys.maybe("bias", |random| random.percent(50));
        let text = keys.text;
        self.take(&format!("l{}", self.earlier.len()), &text);
    }

    /// Writes down of some layers what they read anyway, the layer before.
    pub(super) fn name_inputs(&mut self, random: &mut Random) {
        let mut parts = self.text.split("[[layer]]\n");
        let mut text = parts.next().unwrap_or_default().to_owned();
        let mut before = "input";
        for layer in parts {
            let (name, keys) = layer.split_once('\n').expect("each begins with its name");
            text += &format!("[[layer]]\n{name}\n");
            let says_input = keys.lines().any(|key| key.starts_with("input = "));
            if !says_input && random.percent(30) {
                text += &format!("input = {before:?}\n");
            }
            text += keys;
            before = name.split('"').nth(1).expect("a quoted name");
        }
        let graph = self.build(&text).expect("it is the network that it was");
        assert_eq!(Some(&graph), self.graph.as_ref(), "{text}");
        self.text = text;
    }
}
