//! Random networks with their inputs, as tests and `mnc verify` draw them: a seed gives the same network on every machine.

mod rare;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::cost::Report;
use crate::describe::{Description, LayerSpec};
use crate::error::Result;
use crate::graph::layer::Activation;
use crate::graph::shape::Shape;
use crate::graph::{Graph, Knobs};
use crate::weights::{NodeParameters, Parameters};

use crate::random::Random;

/// Most multiply-adds of a network: enough for every edge of every tile, little enough for hundreds of networks.
const MOST_MULT_ADDS: u64 = 500_000;
/// Most elements of one feature map.
const MOST_ELEMENTS: usize = 26_000;
/// Rows of a tall network's input, at least.
const TALL: usize = 40;

/// A network with its numbers.
#[derive(Clone, Debug)]
pub struct RandomNetwork {
    /// What it was made of.
    pub seed: u64,
    /// The description.
    pub toml: String,
    /// Every shape known.
    pub graph: Graph,
    /// Finite ones; some of them tiny, huge or -0.
    pub parameters: Parameters,
}

impl RandomNetwork {
    /// The network of a seed.
    ///
    /// # Panics
    /// When the compiler refuses a description that this module takes for legal.
    pub fn new(seed: u64) -> RandomNetwork {
        let mut random = Random::new(seed ^ 0x6d6e_6300);
        let (height, width) = (random.within(1, 19), random.within(1, 19));
        RandomNetwork::of(seed, random, height, width)
    }

    /// A network of that seed whose maps are so tall that small caches cut it into bands and parts: layers that compute rows from
    /// rows, and a head.
    ///
    /// # Panics
    /// As [`RandomNetwork::new`].
    pub fn tall(seed: u64) -> RandomNetwork {
        let mut random = Random::new(seed ^ 0x7461_6c6c_0000);
        let (height, width) = (random.within(TALL, 8 * TALL), random.within(1, 8));
        RandomNetwork::of(seed, random, height, width)
    }

    fn of(seed: u64, mut random: Random, height: usize, width: usize) -> RandomNetwork {
        let mut writer = Writer::new(seed, &mut random, height, width);
        let n_layers = random.within(if writer.is_tall { 2 } else { 1 }, 6);
        // Of their own, so that a seed without branches or blocks gives the network that it always gave.
        let mut branches = Random::new(seed ^ 0x6272_616e_6368);
        let mut pairs = Random::new(seed ^ 0x7061_6972_7300);
        let mut joins = Random::new(seed ^ 0x6a6f_696e_7300);
        if !writer.is_tall && pairs.percent(5) {
            writer.product(&mut pairs);
        }
        let mut blocks = Random::new(seed ^ 0x0062_6c6f_636b);
        let mut rare = Random::new(seed ^ 0x7261_7265_0000);
        for _ in 0..n_layers {
            writer.layer(&mut random);
            if !writer.is_tall && branches.percent(12) {
                writer.branch(&mut branches);
            }
            if !writer.is_tall && pairs.percent(15) {
                writer.product(&mut pairs);
            }
            if !writer.is_tall && joins.percent(35) {
                writer.join(&mut joins);
            }
            if blocks.percent(15) {
                writer.block(&mut blocks);
            }
            if rare.percent(12) {
                writer.rare(&mut rare);
            }
        }
        if !writer.is_tall && rare.percent(8) {
            writer.flat_dense(&mut rare);
        }
        if random.percent(35) {
            writer.head(&mut random);
        }
        let mut outputs = Random::new(seed ^ 0x6f75_7470_7574);
        if outputs.percent(20) {
            writer.outputs(&mut outputs);
        }
        if rare.percent(20) {
            writer.name_inputs(&mut rare);
        }
        let graph = writer.graph.expect("the first layer always fits");
        let mut parameters = Parameters::random(&graph, seed);
        if random.percent(25) {
            spoil(&mut parameters, &mut random);
        }
        RandomNetwork { seed, toml: writer.text, graph, parameters }
    }

    /// Inputs for it, as [`inputs`] makes them.
    pub fn inputs(&self) -> Vec<Vec<f32>> {
        inputs(self.graph.input_shape().len(), self.seed)
    }
}

/// Four inputs of so many numbers: plain ones; plain ones with special values among them; special ones only; zeros and
/// denormals.
pub fn inputs(len: usize, seed: u64) -> Vec<Vec<f32>> {
    const SPECIAL: [f32; 12] = [
        0.0,
        -0.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MIN_POSITIVE,
        1e-41,
        -1e-44,
        f32::MAX,
        f32::MIN,
        6.0,
        1.0 + f32::EPSILON,
    ];
    let mut random = Random::new(seed ^ 0x696e_7075_7400);
    let scale = random.pick(&[1.0, 1.0, 8.0, 200.0]);
    // One sort of special value at a time: all at once make NaN of everything.
    let (one, few) = (random.pick(&SPECIAL), random.pick(&[1, 10]));
    let mut input = |share_special: u64, special: &[f32]| -> Vec<f32> {
        let number = |_| {
            let plain = random.signed() * scale;
            if random.percent(share_special) { random.pick(special) } else { plain }
        };
        (0..len).map(number).collect()
    };
    vec![input(0, &[1.0]), input(few, &[one]), input(100, &SPECIAL), input(100, &[0.0, -0.0, 1e-41, -1e-44])]
}

/// A description that grows layer by layer, each step of it legal.
struct Writer {
    text: String,
    /// Of the text; `None` before the first layer.
    graph: Option<Graph>,
    /// Names to add, with their shapes.
    earlier: Vec<(String, Shape)>,
    alpha: f64,
    shape: Shape,
    /// Whether only layers that compute rows from rows are proposed.
    is_tall: bool,
}

impl Writer {
    fn new(seed: u64, random: &mut Random, height: usize, width: usize) -> Writer {
        let is_tall = TALL <= height;
        let channels = if is_tall {
            random.within(1, 10)
        } else if random.percent(40) {
            random.pick(&[1, 3, 4, 8, 16])
        } else {
            random.within(1, 70)
        };
        let activation = activation(random);
        let padding = random.pick(&["same", "symmetric", "valid", "keras"]);
        let mut text = format!("name = \"random-{seed}\"\nclasses = {}\n", random.within(1, 70));
        if random.percent(70) {
            text += &format!("{activation}padding = \"{padding}\"\n");
        }
        text += &format!("input = {{ height = {height}, width = {width}, channels = {channels} }}\n");
        let rounding = match random.within(0, 2) {
            0 => String::new(),
            1 => format!("[alpha]\nrounding = \"floor\"\nminimum = {}\n", random.within(1, 9)),
            _ => format!("[alpha]\nrounding = \"nearest\"\nmultiple = {}\n", random.within(1, 9)),
        };
        let mut rare = Random::new(seed ^ 0x7269_6d00_0000);
        if rare.percent(10) {
            text += &format!("batch_norm_epsilon = {}\n", rare.pick(&["1e-5", "0.5"]));
        }
        let [minimum, multiple] = [0; 2].map(|_| rare.within(1, 9));
        text += &match rare.percent(8) {
            true => format!(
                "[alpha]\nrounding = \"nearest_of_whole\"\nminimum = {minimum}\nmultiple = {multiple}\n"
            ),
            false => rounding,
        };
        let alpha = if random.percent(60) { 1.0 } else { random.pick(&[0.25, 0.35, 0.5, 0.75, 1.4]) };
        let shape = Shape { height, width, channels };
        Writer { text, graph: None, earlier: vec![("input".to_owned(), shape)], alpha, shape, is_tall }
    }

    /// Adds a layer that fits; a pointwise one after so many that don't.
    fn layer(&mut self, random: &mut Random) {
        let name = format!("l{}", self.earlier.len());
        for _ in 0..10 {
            if let Some(layer) = self.propose(random)
                && self.take(&name, &layer)
            {
                return;
            }
        }
        let fits = self.take(&name, "kind = \"pointwise\"\nfilters = 1\nscaled = false\n");
        // A network at the edge of what it may cost has no room for one more layer.
        assert!(fits || self.graph.is_some(), "{}", self.text);
    }

    /// A layer that reads an earlier one, added to the last, if one has the shape of the last.
    fn branch(&mut self, random: &mut Random) {
        let (last, _) = &self.earlier[self.earlier.len() - 1];
        let earlier = self.earlier.iter().filter(|(name, shape)| *shape == self.shape && name != last);
        let earlier: Vec<&str> = earlier.map(|(name, _)| name.as_str()).collect();
        if earlier.is_empty() {
            return;
        }
        let (side, branch) = (format!("l{}", self.earlier.len()), random.pick(&earlier));
        let kind = random.pick(&["depthwise", "pointwise", "softmax"]);
        let more = match kind {
            "depthwise" => "padding = \"same\"\n".to_owned(),
            "pointwise" => format!("filters = {}\nscaled = false\n", self.shape.channels),
            _ => String::new(),
        };
        let layers = format!(
            "kind = \"{kind}\"\ninput = \"{branch}\"\n{more}\
             [[layer]]\nname = \"{side}_sum\"\nkind = \"add\"\nfrom = \"{last}\"\n"
        );
        if self.take(&side, &layers) {
            self.earlier.push((format!("{side}_sum"), self.shape));
        }
    }

    /// The product of the last map with an earlier one or with its own gate, as squeeze-and-excite makes it.
    fn product(&mut self, random: &mut Random) {
        let name = format!("l{}", self.earlier.len());
        let (last, Shape { channels, .. }) = (self.earlier[self.earlier.len() - 1].0.clone(), self.shape);
        let activation = activation(random);
        let product = |from: &str| format!("kind = \"multiply\"\nfrom = \"{from}\"\n{activation}");
        if random.percent(30) {
            let same = self.earlier.iter().filter(|(_, shape)| *shape == self.shape);
            let same: Vec<&str> = same.map(|(name, _)| name.as_str()).collect();
            let from = random.pick(&same).to_owned();
            self.take(&name, &product(&from));
            return;
        }
        let pointwise = |ending: &str, filters: usize| {
            format!(
                "[[layer]]\nname = \"{name}_{ending}\"\nkind = \"pointwise\"\nfilters = {filters}\nscaled = false\n"
            )
        };
        let (reduce, gate) = (pointwise("reduce", random.within(1, 20)), pointwise("gate", channels));
        let map = if random.percent(20) { format!("input = \"{last}\"\n") } else { String::new() };
        let from = if map.is_empty() { last } else { format!("{name}_gate") };
        let layers = format!(
            "kind = \"global_average_pool\"\n{reduce}{gate}[[layer]]\nname = \"{name}_product\"\n{map}{}",
            product(&from)
        );
        if self.take(&name, &layers) {
            let product = self.shape;
            // The name is that of the first of the layers.
            self.earlier.last_mut().expect("it has just been added").1 =
                Shape { height: 1, width: 1, channels };
            self.earlier.push((format!("{name}_product"), product));
        }
    }

    /// The last map beside earlier ones of its height and width, each of its pixels several times, or a pool of them.
    fn join(&mut self, random: &mut Random) {
        let name = format!("l{}", self.earlier.len());
        if random.percent(40) {
            self.take(&name, &format!("kind = \"upsample\"\nfactor = {}\n", random.within(2, 4)));
            return;
        }
        if random.percent(50) {
            let kind = random.pick(&["max_pool", "average_pool"]);
            let mut pool = format!("kind = \"{kind}\"\nkernel = {}\n", random.within(1, 4));
            pool += &format!("stride = {}\n", random.pick(&[1, 1, 2, 3]));
            pool += &format!("padding = {:?}\n", random.pick(&["same", "symmetric", "valid"]));
            if kind == "average_pool" && random.percent(50) {
                pool += "count_padding = true\n";
            }
            self.take(&name, &pool);
            return;
        }
        let sides = |shape: &Shape| (shape.height, shape.width);
        let beside = self.earlier.iter().filter(|(_, shape)| sides(shape) == sides(&self.shape));
        let beside: Vec<&str> = beside.map(|(name, _)| name.as_str()).collect();
        let from: Vec<&str> = (0..random.within(1, 3)).map(|_| random.pick(&beside)).collect();
        self.take(&name, &format!("kind = \"concat\"\nfrom = {from:?}\n"));
    }

    /// A block, if one fits.
    fn block(&mut self, random: &mut Random) {
        let most = if self.is_tall { 12 } else { 40 };
        let mut text = String::new();
        let mut key = |key: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{key} = {value}").expect("a String takes every write");
        };
        let kernel = |random: &mut Random| random.pick(&[1, 3, 3, 5, 7]);
        let kind =
            random.pick(&["inverted_residual", "fused_inverted_residual", "universal_inverted_bottleneck"]);
        key("kind", &format!("{kind:?}"));
        let mut has_window = true;
        if kind == "universal_inverted_bottleneck" {
            let (starts, filters) = (random.percent(60), random.percent(60));
            if starts {
                key("start_kernel", &kernel(random));
            }
            if filters {
                key("middle_kernel", &kernel(random));
            }
            has_window = starts || filters;
        } else {
            key("kernel", &kernel(random));
        }
        if random.percent(70) {
            key("expand", &random.pick(&[0.5, 1.0, 1.5, 2.0, 3.67, 6.0]));
        } else {
            key("expanded", &random.within(1, most));
        }
        let keeps = self.shape.channels <= 70 && random.percent(60);
        key("filters", &if keeps { self.shape.channels } else { random.within(1, most) });
        key("scaled", &!keeps);
        if has_window {
            key("padding", &"\"same\"");
            key("stride", &random.pick(&[1, 1, 2]));
        }
        if random.percent(30) {
            key("reduce", &random.pick(&[0.25, 0.5, 1.0]));
        }
        if random.percent(30) {
            let activation = random.pick(&["relu", "hard_swish", "none", "swish"]);
            key("activation", &format!("{activation:?}"));
        }
        for (name, share) in [("residual", 20), ("batch_norm", 20)] {
            if random.percent(share) {
                key(name, &false);
            }
        }
        key("repeat", &random.pick(&[1, 1, 2]));
        self.take(&format!("l{}", self.earlier.len()), &text);
    }

    /// What ends a classifier.
    fn head(&mut self, random: &mut Random) {
        self.take("pool", "kind = \"global_average_pool\"\n");
        self.take("classifier", "kind = \"dense\"\n");
        if random.percent(60) {
            self.take("softmax", "kind = \"softmax\"\n");
        }
    }

    /// Has the network return several of its layers: the last, which nobody reads, and others, read or not, in any order.
    fn outputs(&mut self, random: &mut Random) {
        let mut names: Vec<&str> = self.earlier[1..].iter().map(|(name, _)| name.as_str()).collect();
        let last = names.pop().expect("the first layer always fits");
        let mut outputs = vec![last];
        while !names.is_empty()
            && outputs.len() < 4
            && random.percent(if outputs.len() == 1 { 95 } else { 50 })
        {
            let name = names.swap_remove(random.within(0, names.len() - 1));
            outputs.insert(random.within(0, outputs.len()), name);
        }
        // Keys of the network come before its tables.
        let with = |outputs: &[&str]| {
            self.text.replacen("\nclasses", &format!("\noutputs = {outputs:?}\nclasses"), 1)
        };
        let mut text = with(&outputs);
        let description = Description::parse(&text, "random.toml").expect("it is well formed");
        let parts: Vec<String> = description.layers.iter().flat_map(LayerSpec::part_names).collect();
        if random.percent(50) {
            let part = random.pick(&parts.iter().map(String::as_str).collect::<Vec<&str>>());
            outputs.push(part);
            // The last part of a layer is the layer itself, which may be there, and a sum only where shapes allow it.
            let more = with(&outputs);
            let is_legal = Description::parse(&more, "random.toml").is_ok_and(|description| {
                Graph::build(&description, &Knobs { alpha: self.alpha, resolution: None }).is_ok()
            });
            text = if is_legal { more } else { text };
        }
        // A layer in the middle may be a softmax of one number, which no output may be.
        let Ok(graph) = self.build(&text) else { return };
        self.graph = Some(graph);
        self.text = text;
    }

    /// The keys of a layer; whether it fits is seen later.
    fn propose(&self, random: &mut Random) -> Option<String> {
        let same: Vec<&str> = self
            .earlier
            .iter()
            .filter(|(_, shape)| *shape == self.shape)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut text = String::new();
        let mut key = |key: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{key} = {value}").expect("a String takes every write");
        };
        let activation = activation(random);
        let mut is_activated = false;
        let kind = match random.within(0, if self.is_tall { 63 } else { 99 }) {
            0..20 => "conv",
            20..40 => "depthwise",
            40..52 => "pointwise",
            52..64 => "separable",
            64..86 => "add",
            86..90 => "global_average_pool",
            90..96 => "dense",
            _ => "softmax",
        };
        key("kind", &format!("{kind:?}"));
        match kind {
            "add" => {
                if same.is_empty() {
                    return None;
                }
                key("from", &format!("{:?}", random.pick(&same)));
                if random.percent(50) {
                    is_activated = true;
                }
            }
            "dense" => {
                if random.percent(50) {
                    key("units", &random.within(1, 70));
                }
                if random.percent(50) {
                    is_activated = true;
                }
                if random.percent(30) {
                    key("bias", &random.percent(50));
                }
            }
            "global_average_pool" | "softmax" => {}
            _ => {
                // Layers that keep the shape are what makes adds possible.
                let keeps_shape = random.percent(45);
                if kind != "pointwise" {
                    let small = random.percent(50);
                    key("kernel", &if small { "3".to_owned() } else { sides(random, 1, 7) });
                    if random.percent(10) {
                        key("dilation", &sides(random, 1, 3));
                    }
                    if keeps_shape {
                        key("padding", &"\"same\"");
                    } else {
                        let most = if random.percent(80) { 2 } else { 4 };
                        key("stride", &sides(random, 1, most));
                        if random.percent(70) {
                            key("padding", &padding(random));
                        }
                    }
                }
                if random.percent(15) {
                    let channels = self.shape.channels;
                    let divisors: Vec<usize> =
                        (1..=channels).filter(|groups| channels.is_multiple_of(*groups)).collect();
                    match kind {
                        "conv" | "pointwise" => key("groups", &random.pick(&divisors)),
                        "depthwise" if channels <= 20 => key("multiplier", &random.within(2, 4)),
                        _ => {}
                    }
                }
                if kind != "depthwise" {
                    let keeps = keeps_shape && self.shape.channels <= 70;
                    let most = if self.is_tall { 20 } else { 70 };
                    key("filters", &if keeps { self.shape.channels } else { random.within(1, most) });
                    if keeps || random.percent(30) {
                        key("scaled", &false);
                    }
                }
                if random.percent(60) {
                    is_activated = true;
                }
                if random.percent(35) {
                    key("batch_norm", &batch_norm(random));
                }
                if random.percent(30) {
                    key("bias", &random.percent(60));
                }
                if random.percent(15) {
                    key("repeat", &random.within(2, 3));
                }
            }
        }
        if is_activated {
            text += &activation;
        }
        Some(text)
    }

    fn build(&self, text: &str) -> Result<Graph> {
        let description =
            Description::parse(text, "random.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
        Graph::build(&description, &Knobs { alpha: self.alpha, resolution: None })
    }

    /// Appends the layer if the network stays legal and small with it.
    fn take(&mut self, name: &str, layer: &str) -> bool {
        let text = format!("{}[[layer]]\nname = \"{name}\"\n{layer}", self.text);
        // The one thing that can be wrong: a window too large for its map.
        let Ok(graph) = self.build(&text) else { return false };
        let n_most = graph.nodes.iter().map(|node| node.shape().len()).max().unwrap_or(0);
        let most_mult_adds = if self.is_tall { 4 * MOST_MULT_ADDS } else { MOST_MULT_ADDS };
        if most_mult_adds < Report::of(&graph).total.mult_adds || MOST_ELEMENTS < n_most {
            return false;
        }
        self.shape = graph.node(graph.outputs[0]).shape();
        self.earlier.push((name.to_owned(), self.shape));
        self.graph = Some(graph);
        self.text = text;
        true
    }
}

/// Whether there is a batch norm, or what is unusual about it.
fn batch_norm(random: &mut Random) -> String {
    if random.percent(70) {
        return random.percent(30).to_string();
    }
    let [gamma, beta] = [0; 2].map(|_| random.percent(50));
    format!("{{ epsilon = {}, gamma = {gamma}, beta = {beta} }}", random.pick(&["1e-5", "0.01", "1"]))
}

/// One number for rows and columns, or one for each.
fn sides(random: &mut Random, first: usize, last: usize) -> String {
    let rows = random.within(first, last);
    if random.percent(75) { rows.to_string() } else { format!("[{rows}, {}]", random.within(first, last)) }
}

/// A rule of padding, or numbers.
fn padding(random: &mut Random) -> String {
    match random.within(0, 9) {
        0 => sides(random, 0, 4),
        1 => format!("{{ top = {}, right = {} }}", random.within(0, 3), random.within(0, 3)),
        _ => format!("{:?}", random.pick(&["same", "symmetric", "valid", "keras"])),
    }
}

/// The keys of an activation.
fn activation(random: &mut Random) -> String {
    let usual = [Activation::Relu6, Activation::Relu, Activation::None];
    let activation = if random.percent(50) { random.pick(&usual) } else { random.pick(&Activation::ALL) };
    let slope = match activation {
        Activation::LeakyRelu { .. } => format!("slope = {}\n", random.pick(&[0.0001, 0.01, 0.3, 1.0])),
        _ => String::new(),
    };
    format!("activation = \"{}\"\n{slope}", activation.word())
}

/// Puts numbers at the edges of f32 into filters and biases. Huge ones stay far enough from the end for a batch norm's scale.
fn spoil(parameters: &mut Parameters, random: &mut Random) {
    const EDGES: [f32; 8] = [0.0, -0.0, 1e-41, -1e-44, f32::MIN_POSITIVE, 1e36, -1e36, 1e-30];
    let edge = random.pick(&EDGES);
    for node in &mut parameters.0 {
        if let NodeParameters::Filter { weights, bias } = node {
            for number in weights.iter_mut().chain(bias.iter_mut().flatten()) {
                if random.percent(10) {
                    *number = edge;
                }
            }
        }
    }
}
