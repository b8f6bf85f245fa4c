//! Stage 5: [`Fused`] x [`Isa`] -> [`Schedule`]: which kernel computes each node, over which layouts, and why; which nodes are
//! computed together in bands; into which parts a step is cut for threads.
//!
//! Knows no addresses: where values lie is decided by [`crate::plan`].

mod ahead;
pub mod band;
mod choose;
mod depthwise;
mod output;
mod pair;
mod step;
mod tiling;
pub mod tuning;

use std::collections::HashMap;

use self::choose::{Chosen, MOST_BAND_PARTS, choose, split};
pub use self::output::Output;
pub use self::step::{Chain, Half, Share, Stage, Step, Work};
use self::tuning::{LayerChoice, Tuning};
use crate::graph::layer::Layer;
use crate::graph::shape::Shape;
use crate::graph::tensor::{Dtype, Tensor};
use crate::kernels::{Copy, FeatureMap, Kernel, padded_channels};
use crate::passes::{Fused, FusedId, FusedNode};
use crate::target::Isa;

/// A value's position in [`Schedule::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// Whose memory a value lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The caller's input buffer, read only.
    Input,
    /// The caller's output buffer, so many bytes into what belongs to an image.
    Output {
        /// Where the value of the first image begins.
        offset: usize,
    },
    /// The workspace.
    Workspace,
}

/// A feature map between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The layer whose output it is.
    pub name: String,
    /// Shape and layout for one image.
    pub map: FeatureMap,
    /// How many such maps lie one behind the other: one for each image of a batch, or one that all images take in turn.
    pub images: usize,
    /// Whose memory it lies in.
    pub place: Place,
    /// Whether a run on one thread leaves it alone: the buffers of parts that other threads take.
    pub idle: bool,
}

impl Value {
    /// Bytes of all its maps.
    pub fn bytes(&self) -> usize {
        self.images * self.map.bytes()
    }
}

/// The steps in order, and the values between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// What the kernels are generated for.
    pub isa: &'static Isa,
    /// The values; the first is the input.
    pub values: Vec<Value>,
    /// The steps, in the order in which they run.
    pub steps: Vec<Step>,
    /// Images of one run.
    pub batch: usize,
    /// The parts of the caller's output buffer.
    pub outputs: Vec<Output>,
}

impl Schedule {
    /// Chooses a kernel for each node, and bands for chains of nodes with large maps.
    pub fn build(network: &Fused, isa: &'static Isa) -> Schedule {
        Schedule::tuned(network, isa, 1, None)
    }

    /// As [`Schedule::build`], but for runs of `batch` images, and where `tuning` has chosen otherwise: it has been checked for
    /// this network and `isa`. Layers that look at single pixels take all images at once, so that their weights are read once
    /// a run; the others take one image after the other.
    pub fn tuned(network: &Fused, isa: &'static Isa, batch: usize, tuning: Option<&Tuning>) -> Schedule {
        let mut scheduler = Scheduler {
            network,
            tuning,
            schedule: Schedule {
                isa,
                values: Vec::new(),
                steps: Vec::new(),
                batch,
                outputs: Output::all(network),
            },
            value_of: HashMap::new(),
            padded_inputs: Vec::new(),
        };
        let mut next = 0;
        while next < network.nodes.len() {
            let run = band::cut::run(network, FusedId(next));
            next += run.len();
            scheduler.run(&run);
        }
        (0..network.outputs.len()).for_each(|idx| scheduler.output(idx));
        ahead::fetch(&mut scheduler.schedule);
        scheduler.schedule.verify();
        scheduler.schedule
    }

    /// Each layer of the network and its kernel.
    pub fn layers<'a>(&'a self, network: &'a Fused) -> impl Iterator<Item = (&'a str, &'a Kernel)> {
        let stages = self.steps.iter().flat_map(Step::stages);
        stages.map(|stage| (network.nodes[stage.node.0].name.as_str(), &stage.kernel))
    }

    /// Bytes that the network returns of an image.
    pub fn output_bytes(&self) -> usize {
        self.outputs.last().map_or(0, Output::end)
    }

    /// The value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Holds the invariants: values are written once, before they are read, by a kernel of their layout.
    pub(crate) fn verify(&self) {
        let mut written: Vec<bool> = self.values.iter().map(|value| value.place == Place::Input).collect();
        for (idx, step) in self.steps.iter().enumerate() {
            assert!(step.reads.iter().all(|id| written[id.0]), "{}: inputs are written before", step.name);
            let before = idx.checked_sub(1).and_then(|idx| self.steps[idx].half());
            let is_second = step.half() == Some(Half::Second);
            assert_eq!(before == Some(Half::First), is_second, "{}: a pair has two layers", step.name);
            let fresh = !std::mem::replace(&mut written[step.writes.0], true);
            assert!(fresh, "{}: a value is written once", step.name);
            for buffer in step.buffers() {
                let fresh = !std::mem::replace(&mut written[buffer.0], true);
                assert!(fresh, "{}: a buffer belongs to one step", step.name);
            }
        }
        assert!(written.iter().all(|written| *written), "every value is written");
    }
}

/// Elements from one pixel to the next in the workspace.
///
/// A power-of-two stride maps the pixels of a tile to the same few cache sets; one cache line more spreads them (measured: a
/// 14x14x512 depthwise layer goes from 27 to 62 % of peak).
///
/// Maps of bytes are small enough without.
pub fn pixel_stride(channels: usize, dtype: Dtype, isa: &Isa) -> usize {
    const SET_PERIOD: usize = 128;
    const CACHE_LINE: usize = 16;
    let padded = padded_channels(channels, isa);
    if dtype == Dtype::F32 && padded.is_multiple_of(SET_PERIOD) { padded + CACHE_LINE } else { padded }
}

/// Bytes that a kernel over integers takes at a time.
const WORD: usize = 4;

struct Scheduler<'a> {
    network: &'a Fused,
    tuning: Option<&'a Tuning>,
    schedule: Schedule,
    value_of: HashMap<FusedId, ValueId>,
    /// Padded copies of the input that kernels have asked for.
    padded_inputs: Vec<ValueId>,
}

impl Scheduler<'_> {
    fn value(&mut self, name: &str, map: FeatureMap, place: Place) -> ValueId {
        let images = self.schedule.batch;
        self.schedule.values.push(Value { name: name.to_owned(), map, images, place, idle: false });
        ValueId(self.schedule.values.len() - 1)
    }

    fn map(&self, id: ValueId) -> FeatureMap {
        self.schedule.values[id.0].map
    }

    /// The layout of a value in the workspace.
    fn padded(&self, tensor: Tensor) -> FeatureMap {
        let Tensor { shape, dtype } = tensor;
        // One pixel has no neighbour to keep a distance from.
        let isa = self.schedule.isa;
        let one = shape.pixels() == 1;
        let stride =
            if one { padded_channels(shape.channels, isa) } else { pixel_stride(shape.channels, dtype, isa) };
        FeatureMap { shape, dtype, pixel_stride: stride }
    }

    fn node(&mut self, id: FusedId) {
        let node = &self.network.nodes[id.0];
        if node.layer == Layer::Input {
            let input = self.value(&node.name, FeatureMap::tight(node.tensor), Place::Input);
            self.value_of.insert(id, input);
            return;
        }
        let reads = self.reads(id);
        let maps: Vec<FeatureMap> = reads.iter().map(|id| self.map(*id)).collect();
        let (map, place) = self.output_map(id);
        let batch = self.schedule.batch;
        let at_once = node.layer.looks_at_single_pixels(maps[0].shape);
        let (at_once, images) = if at_once { (batch, 1) } else { (1, batch) };
        let inputs: Vec<FeatureMap> = maps.iter().map(|map| map.stacked(at_once)).collect();
        let wanted = self.wanted(node);
        let Chosen { kernel, cycles, reason } =
            choose(node, &inputs, map.stacked(at_once), self.schedule.isa, wanted);
        let writes = self.value(node.value_name(), map, place);
        let share = Share::Alone(split(&kernel, cycles * images, self.schedule.isa));
        let work = Work::Layer { stage: Stage { node: id, kernel }, share };
        let name = node.name.clone();
        self.schedule.steps.push(Step { name, work, reads, writes, images, cycles, reason });
        self.value_of.insert(id, writes);
    }

    /// The values that a node reads, as its kernel needs them.
    fn reads(&mut self, id: FusedId) -> Vec<ValueId> {
        let node = &self.network.nodes[id.0];
        let mut values: Vec<ValueId> = node.inputs.iter().map(|input| self.value_of[input]).collect();
        // Kernels that broadcast single elements read any layout; those that load vectors need whole ones.
        let broadcast = match (&node.residual, choose::broadcasts(&node.layer)) {
            (_, false) => 0,
            (None, true) => values.len(),
            (Some(_), true) => values.len() - 1,
        };
        for (idx, id) in values.iter_mut().enumerate() {
            *id = match idx < broadcast {
                true if choose::reads_tight(&node.layer, self.map(*id), self.schedule.isa) => *id,
                true => self.whole_words_read(*id),
                false => self.padded_read(*id),
            };
        }
        values
    }

    /// A node as a step of its own, joined to the one before where that pays.
    fn node_alone(&mut self, id: FusedId) {
        self.node(id);
        pair::join(&mut self.schedule);
    }

    /// What the tuning wants of a layer; nothing of what makes numbers or bytes of its value, which has its name.
    fn wanted(&self, node: &FusedNode) -> Option<&LayerChoice> {
        self.tuning.filter(|_| !self.network.is_conversion(node)).and_then(|tuning| tuning.layer(&node.name))
    }

    /// A chain in bands, unless the tuning wants each of its nodes by itself.
    fn chain_or_nodes(&mut self, chain: &[FusedId]) {
        let name = |id: FusedId| &self.network.nodes[id.0].name;
        let name = format!("{}..{}", name(chain[0]), name(chain[chain.len() - 1]));
        match self.tuning.and_then(|tuning| tuning.chain(&name)) {
            Some(choice) if choice.band_rows == 0 => chain.iter().for_each(|id| {
                self.node_alone(*id);
                let step = self.schedule.steps.last_mut().expect("the node has a step");
                step.reason = format!("{}; by itself, {}", step.reason, choice.reason);
            }),
            Some(choice) => self.chain(name, chain, Some((choice.band_rows, &choice.reason))),
            None => self.chain(name, chain, None),
        }
    }

    /// Nodes of which each is the only reader of the one before: in bands where that keeps large maps in the cache.
    fn run(&mut self, run: &[FusedId]) {
        if let [node] = run {
            return self.node_alone(*node);
        }
        let reads = self.chain_reads(run);
        let (stages, _) = self.stages(run, &reads);
        let kernels: Vec<&Kernel> = stages.iter().map(|stage| &stage.kernel).collect();
        let mut rest = run;
        for len in band::cut::cut(&kernels, self.schedule.isa) {
            let (chain, behind) = rest.split_at(len);
            match chain {
                [node] => self.node_alone(*node),
                chain => self.chain_or_nodes(chain),
            }
            rest = behind;
        }
    }

    /// What a chain of nodes reads: the inputs of the first, then the residuals of the others, in their order.
    fn chain_reads(&mut self, chain: &[FusedId]) -> Vec<ValueId> {
        let mut reads = self.reads(chain[0]);
        for id in &chain[1..] {
            let node = &self.network.nodes[id.0];
            if let (Some(_), [.., residual]) = (&node.residual, node.inputs.as_slice()) {
                let id = self.value_of[residual];
                reads.push(self.padded_read(id));
            }
        }
        reads
    }

    /// The stages that compute such nodes from what they read, and their cycles.
    fn stages(&self, chain: &[FusedId], reads: &[ValueId]) -> (Vec<Stage>, usize) {
        let (mut map, mut total_cycles) = (self.map(reads[0]), 0);
        let mut residuals = reads[1..].iter().map(|id| self.map(*id));
        let mut stages = Vec::with_capacity(chain.len());
        for (idx, id) in chain.iter().enumerate() {
            let node = &self.network.nodes[id.0];
            let output =
                if idx + 1 == chain.len() { self.output_map(*id).0 } else { self.padded(node.tensor) };
            let residual = node.residual.as_ref().and_then(|_| residuals.next());
            let inputs: Vec<FeatureMap> = [map].into_iter().chain(residual).collect();
            let wanted = self.wanted(node);
            let Chosen { kernel, cycles, .. } = choose(node, &inputs, output, self.schedule.isa, wanted);
            stages.push(Stage { node: *id, kernel });
            total_cycles += cycles;
            map = output;
        }
        (stages, total_cycles)
    }

    /// Several nodes, each the only reader of the one before, as one step in bands; of so many rows for that reason if
    /// somebody wants it.
    fn chain(&mut self, name: String, chain: &[FusedId], wanted: Option<(usize, &str)>) {
        let (network, isa) = (self.network, self.schedule.isa);
        let last = chain[chain.len() - 1];
        let reads = self.chain_reads(chain);
        let (stages, total_cycles) = self.stages(chain, &reads);
        let kernels: Vec<&Kernel> = stages.iter().map(|stage| &stage.kernel).collect();
        let height = kernels[kernels.len() - 1].output().shape.height;
        let (band_rows, reason) = match wanted {
            Some((rows, reason)) => (rows, reason),
            None => {
                (band::cut::band_rows(&kernels, height, isa), "whose buffers stay in the second-level cache")
            }
        };
        let n_parts = (total_cycles * self.schedule.batch / isa.policy.least_part_cycles)
            .clamp(1, MOST_BAND_PARTS)
            .min(height);

        let capacities = band::capacities(&kernels, n_parts, band_rows, isa);
        let mut buffer_offsets = Vec::with_capacity(capacities.len());
        let mut bytes = 0;
        for (kernel, rows) in kernels.iter().zip(capacities) {
            buffer_offsets.push(bytes);
            bytes += rows * kernel.output().row_bytes();
            // Rows of bytes may end anywhere, numbers begin with a word.
            bytes = bytes.next_multiple_of(Dtype::F32.bytes());
        }
        let channels = bytes / Dtype::F32.bytes();
        let buffer = FeatureMap::tight(Tensor::f32(Shape { height: 1, width: 1, channels }));
        let mut buffers = Vec::with_capacity(n_parts);
        for part in 0..n_parts {
            let id = self.value(&format!("{name}.band_{part}"), buffer, Place::Workspace);
            let value = &mut self.schedule.values[id.0];
            (value.images, value.idle) = (1, part != 0);
            buffers.push(id);
        }
        let (map, place) = self.output_map(last);
        let writes = self.value(network.nodes[last.0].value_name(), map, place);
        self.schedule.steps.push(Step {
            name,
            work: Work::Chain(Chain { stages, band_rows, buffers, buffer_offsets }),
            reads,
            writes,
            images: self.schedule.batch,
            cycles: total_cycles,
            reason: format!("in bands of {band_rows} rows, {reason}"),
        });
        self.value_of.insert(last, writes);
    }

    /// A node writes straight to the caller's output when its vectors end where the output does and nobody reads it again. Not
    /// among several outputs of a batch, where the maps of two images don't follow each other.
    fn output_map(&self, id: FusedId) -> (FeatureMap, Place) {
        let tensor = self.network.nodes[id.0].tensor;
        let tight = FeatureMap::tight(tensor);
        let read_again = self.network.nodes.iter().any(|node| node.inputs.contains(&id));
        let output = self.network.outputs.iter().position(|output| *output == id);
        let is_alone = self.network.outputs.len() == 1 || self.schedule.batch == 1;
        if let Some(idx) = output.filter(|_| is_alone && !read_again && tight.is_padded(self.schedule.isa)) {
            return (tight, Place::Output { offset: self.schedule.outputs[idx].offset });
        }
        (self.padded(tensor), Place::Workspace)
    }

    /// The value, or a padded copy of it when it is the caller's tight input.
    fn padded_read(&mut self, id: ValueId) -> ValueId {
        if self.map(id).is_padded(self.schedule.isa) {
            return id;
        }
        let map = self.padded(self.map(id).tensor());
        self.input_copy(id, map, "the first layer loads whole vectors of channels")
    }

    /// The value, or a copy of it where it is the caller's bytes and its pixels are no whole words.
    fn whole_words_read(&mut self, id: ValueId) -> ValueId {
        let map = self.map(id);
        if map.has_whole_words() {
            return id;
        }
        let map = FeatureMap { pixel_stride: map.pixel_stride.next_multiple_of(WORD), ..map };
        self.input_copy(id, map, "the first layer takes four bytes at a time")
    }

    /// A copy of the caller's input, made once.
    fn input_copy(&mut self, id: ValueId, map: FeatureMap, reason: &str) -> ValueId {
        assert_eq!(self.schedule.values[id.0].place, Place::Input, "only the caller's input is tight");
        if let Some(copy) = self.padded_inputs.iter().find(|copy| self.map(**copy) == map) {
            return *copy;
        }
        let copy = self.copy("input", id, map, Place::Workspace, reason);
        self.padded_inputs.push(copy);
        copy
    }

    fn copy(&mut self, name: &str, from: ValueId, map: FeatureMap, place: Place, reason: &str) -> ValueId {
        let writes = self.value(&format!("{name}.copy"), map, place);
        let kernel = Kernel::Copy(Copy { input: self.map(from), output: map });
        self.schedule.steps.push(Step {
            name: name.to_owned(),
            work: Work::Copy(kernel),
            reads: vec![from],
            writes,
            images: self.schedule.batch,
            cycles: map.len().div_ceil(self.schedule.isa.lanes),
            reason: reason.to_owned(),
        });
        writes
    }

    /// Copies an output to the caller, if no node has written it there.
    fn output(&mut self, idx: usize) {
        let value = self.value_of[&self.network.outputs[idx]];
        if let Place::Output { .. } = self.schedule.values[value.0].place {
            return;
        }
        let Output { name, tensor, offset } = self.schedule.outputs[idx].clone();
        let tight = FeatureMap::tight(tensor);
        let (name, reason) = if self.network.outputs.len() == 1 {
            ("output".to_owned(), "the caller's output has no room for whole vectors")
        } else {
            (format!("output_{name}"), "one of several outputs")
        };
        self.copy(&name, value, tight, Place::Output { offset }, reason);
    }
}
