//! Every stage as text: `--dump STAGE`, golden files, debugging.

mod detect;

use std::fmt;

use self::detect::DetectText;
use crate::describe::{Description, Expand, LayerKind, Reduce, Slide, SqueezeSpec, Width};
use crate::graph::Graph;
use crate::graph::layer::{Flatten, Layer};
use crate::graph::shape::{Shape, Window};
use crate::passes::{Bytes, Fit, Fused, FusedNode, Integer};
use crate::plan::Plan;
use crate::program::{Argument, Program};
use crate::schedule::{Place, Schedule};

/// A stage of the pipeline that can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// As written.
    Description,
    /// Every shape known.
    Graph,
    /// Batch norms folded, activations fused.
    Fused,
    /// A kernel for each layer.
    Schedule,
    /// A place for each value.
    Plan,
    /// Kernels as code, and calls.
    Program,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Stage; 6] =
        [Stage::Description, Stage::Graph, Stage::Fused, Stage::Schedule, Stage::Plan, Stage::Program];

    /// The name in `--dump NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Description => "description",
            Stage::Graph => "graph",
            Stage::Fused => "fused",
            Stage::Schedule => "schedule",
            Stage::Plan => "plan",
            Stage::Program => "program",
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input = self.input;
        writeln!(f, "description {}: {}x{}x{}", self.name, input.height, input.width, input.channels)?;
        writeln!(f, "  classes {}, alpha rounding {:?}", self.classes, self.rounding)?;
        writeln!(f, "  batch norm epsilon {}, padding {:?}", self.batch_norm_epsilon, self.padding)?;
        let p = &self.preprocess;
        let (filter, crop) = (p.resample.name(), p.crop_rounding);
        writeln!(f, "  preprocess {:?}, {filter}, crop rounding {crop:?}", p.resize)?;
        if !p.fill.is_empty() {
            writeln!(f, "  fill {:?}", p.fill)?;
        }
        writeln!(f, "  scale {}, mean {:?}, std {:?}", p.scale, p.mean, p.std)?;
        if self.is_headless {
            writeln!(f, "  without its classifier")?;
        }
        for layer in &self.layers {
            let name = layer.name.as_deref().unwrap_or("-");
            write!(f, "  {:2} x {name:<12} {}", layer.repeat, LayerText(&layer.kind))?;
            layer.input.as_ref().map_or(Ok(()), |input| write!(f, " of {input}"))?;
            layer.stage.map_or(Ok(()), |stage| write!(f, " in stage {stage}"))?;
            writeln!(f)?;
        }
        self.detect.as_ref().map_or(Ok(()), |detect| write!(f, "{detect}"))
    }
}

struct LayerText<'a>(&'a LayerKind);

impl fmt::Display for LayerText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LayerKind::Conv { spec, filters, groups: 1 } => {
                write!(f, "conv {} {spec:?}", WidthText(*filters))
            }
            LayerKind::Conv { spec, filters, groups } => {
                write!(f, "conv {} groups={groups} {spec:?}", WidthText(*filters))
            }
            LayerKind::Depthwise { spec, multiplier: 1 } => write!(f, "depthwise {spec:?}"),
            LayerKind::Depthwise { spec, multiplier } => write!(f, "depthwise times {multiplier} {spec:?}"),
            LayerKind::Separable { spec, squeeze, filters } => {
                write!(f, "separable {} {spec:?}", WidthText(*filters))?;
                squeeze.map_or(Ok(()), |squeeze| write!(f, ", {}", SqueezeText(squeeze)))
            }
            LayerKind::SqueezeExcite(squeeze) => write!(f, "{}", SqueezeText(*squeeze)),
            LayerKind::Block(block) => {
                write!(f, "block of")?;
                block.parts().iter().try_for_each(|part| write!(f, " {}", &part.ending()[1..]))?;
                block.start_kernel.map_or(Ok(()), |kernel| write!(f, ", start {kernel}"))?;
                match block.expand {
                    Some(Expand::Times(times)) => write!(f, ", {times} times as wide")?,
                    Some(Expand::To(width)) => write!(f, ", {} wide", WidthText(width))?,
                    None => {}
                }
                block.squeeze.map_or(Ok(()), |squeeze| write!(f, ", {}", SqueezeText(squeeze)))?;
                write!(f, ", {} {:?} {:?}", WidthText(block.filters), block.window, block.spec)
            }
            LayerKind::Add { from, activation } => write!(f, "add of {from}, {activation:?}"),
            LayerKind::Multiply { from, activation } => write!(f, "multiply by {from}, {activation:?}"),
            LayerKind::Pool { pooling, slide, padding } => write!(f, "{pooling:?} pool {slide} {padding:?}"),
            LayerKind::Concat { from } => write!(f, "concat with {}", from.join(", ")),
            LayerKind::Upsample { factor } => write!(f, "upsample by {factor}"),
            LayerKind::GlobalAveragePool => write!(f, "global average pool"),
            LayerKind::Dense { units, flatten, activation, bias } => {
                let units = units.map_or("classes".to_owned(), |units| units.to_string());
                write!(f, "dense N={units} bias={bias} {activation:?}{}", flatten_text(*flatten))
            }
            LayerKind::Softmax => write!(f, "softmax"),
        }
    }
}

struct SqueezeText(SqueezeSpec);

impl fmt::Display for SqueezeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SqueezeSpec { reduce, activation, gate } = self.0;
        match reduce {
            Reduce::Times { times, multiple: None } => write!(f, "gate of {times} times as many")?,
            Reduce::Times { times, multiple: Some(multiple) } => {
                write!(f, "gate of {times} times as many in multiples of {multiple}")?;
            }
            Reduce::To(width) => write!(f, "gate of {}", WidthText(width))?,
        }
        write!(f, ", {activation:?}, {gate:?}")
    }
}

struct WidthText(Width);

impl fmt::Display for WidthText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Width::Fixed(channels) => write!(f, "N={channels} scaled=false"),
            Width::Scaled { channels, minimum: 1 } => write!(f, "N={channels} scaled=true"),
            Width::Scaled { channels, minimum } => write!(f, "N={channels} scaled=true minimum={minimum}"),
        }
    }
}

/// A window in the paper's words: `3x3 stride 2 pad 0,0,1,1` (top, left, bottom, right).
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slide { kernel, stride, dilation } = self.slide();
        write!(f, "{kernel}")?;
        for (word, sides) in [("stride", stride), ("dilation", dilation)] {
            match sides.side() {
                Some(1) if word == "dilation" => {}
                Some(side) => write!(f, " {word} {side}")?,
                None => write!(f, " {word} {sides}")?,
            }
        }
        let Window { rows, columns } = self;
        write!(f, " pad {},{},{},{}", rows.before, columns.before, rows.after, columns.after)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {}: alpha {}, {} nodes", self.name, self.alpha, self.nodes.len())?;
        for (idx, node) in self.nodes.iter().enumerate() {
            let layer = LayerWords(&node.layer);
            write!(f, "  n{idx:<3} {:<18} {:<12} {layer}", node.name, node.shape().to_string())?;
            write_inputs(f, node.inputs.iter().map(|id| id.0))?;
            writeln!(f)?;
        }
        let outputs: Vec<String> = self.outputs.iter().map(|id| format!("n{}", id.0)).collect();
        writeln!(f, "  returns {}", outputs.join(", "))?;
        self.detect.as_ref().map_or(Ok(()), |detect| write!(f, "{}", DetectText(detect)))
    }
}

struct LayerWords<'a>(&'a Layer);

impl fmt::Display for LayerWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Layer::Input => write!(f, "input"),
            Layer::Conv { window, n, bias } => write!(f, "conv {window}, N={n}, bias {bias}"),
            Layer::Grouped { window, n, groups, bias } => {
                write!(f, "conv {window}, N={n}, {groups} groups, bias {bias}")
            }
            Layer::Depthwise { window, bias } => write!(f, "depthwise {window}, bias {bias}"),
            Layer::BatchNorm { epsilon, gamma, beta } => {
                write!(f, "batch norm, epsilon {epsilon}")?;
                for (word, is_there) in [("gamma", gamma), ("beta", beta)] {
                    if !is_there {
                        write!(f, ", no {word}")?;
                    }
                }
                Ok(())
            }
            Layer::Activation(activation) => write!(f, "{activation:?}"),
            Layer::Add => write!(f, "add"),
            Layer::Multiply => write!(f, "multiply"),
            Layer::Pool { pooling, window } => write!(f, "{pooling:?} pool {window}"),
            Layer::Concat => write!(f, "concat"),
            Layer::Upsample { factor } => write!(f, "upsample by {factor}"),
            Layer::GlobalAveragePool => write!(f, "global average pool"),
            Layer::Dense { n, flatten, bias } => {
                write!(f, "dense N={n}, bias {bias}{}", flatten_text(*flatten))
            }
            Layer::Softmax => write!(f, "softmax"),
        }
    }
}

/// How files order a dense layer's weights, where that isn't the order in memory.
fn flatten_text(flatten: Flatten) -> &'static str {
    match flatten {
        Flatten::Hwc => "",
        Flatten::Chw => ", weights in the order channel, row, column",
    }
}

fn write_inputs(f: &mut fmt::Formatter<'_>, ids: impl Iterator<Item = usize>) -> fmt::Result {
    let ids: Vec<String> = ids.map(|id| format!("n{id}")).collect();
    if ids.is_empty() { Ok(()) } else { write!(f, " of {}", ids.join(", ")) }
}

impl fmt::Display for Fused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fused: {} nodes", self.nodes.len())?;
        for (idx, node) in self.nodes.iter().enumerate() {
            writeln!(
                f,
                "  n{idx:<3} {:<12} {:<12} {}",
                node.name,
                node.shape().to_string(),
                FusedText(self, node)
            )?;
        }
        let outputs: Vec<String> = self.outputs.iter().map(|id| format!("n{}", id.0)).collect();
        writeln!(f, "  returns {}", outputs.join(", "))
    }
}

struct FusedText<'a>(&'a Fused, &'a FusedNode);

impl fmt::Display for FusedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FusedText(network, node) = self;
        let FusedNode { layer, activation, .. } = node;
        match layer {
            Layer::Conv { window: Window::POINTWISE, .. } => write!(f, "pointwise")?,
            Layer::Conv { window, .. } => write!(f, "conv {window}")?,
            Layer::Grouped { window, groups, .. } => write!(f, "conv {window}, {groups} groups")?,
            Layer::Depthwise { window, .. } => write!(f, "depthwise {window}")?,
            Layer::Dense { .. } => write!(f, "dense")?,
            other => write!(f, "{}", LayerWords(other))?,
        }
        if let Some(addition) = &node.residual {
            write!(f, ", plus the last input ({addition})")?;
        }
        if layer.takes_activation() {
            write!(f, ", {activation:?}")?;
        }
        write_inputs(f, node.inputs.iter().map(|id| id.0))?;
        match &node.integer {
            Some(numbers) => {
                let channels = network.nodes[node.inputs[0].0].shape().channels;
                write_integers(f, node, numbers, channels)
            }
            None if node.bytes.is_some() && *layer != Layer::Input => write!(f, "; in f32"),
            None => Ok(()),
        }?;
        match node.bytes {
            Some(Bytes { zero_point, low, high, .. }) => {
                write!(f, "; bytes {low} to {high}, zero point {zero_point}")
            }
            None => Ok(()),
        }
    }
}

/// What is proved of a layer's sums, over so many channels.
fn write_integers(
    f: &mut fmt::Formatter<'_>,
    node: &FusedNode,
    numbers: &Integer,
    channels: usize,
) -> fmt::Result {
    if numbers.weights.is_empty() {
        return Ok(());
    }
    let most = numbers.bounds().max().unwrap_or(0);
    let products = match numbers.fit(&node.layer, channels) {
        Fit::One => "products need 32 bits",
        Fit::Two => "two products fit 16 bits",
        Fit::Four => "four products fit 16 bits",
    };
    write!(f, "; sums within {most}, {products}")?;
    if node.mantissas().is_some() { write!(f, ", rounded in one step") } else { Ok(()) }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schedule for {}: {} steps", self.isa.name, self.steps.len())?;
        for (idx, value) in self.values.iter().enumerate() {
            let Shape { channels, .. } = value.map.shape;
            let gap = value.map.pixel_stride - channels;
            let stride = if gap == 0 { String::new() } else { format!(", pixel stride C+{gap}") };
            let place = match value.place {
                Place::Input => "the caller's input".to_owned(),
                Place::Output { offset: 0 } => "the caller's output".to_owned(),
                Place::Output { offset } => format!("the caller's output + {offset} bytes"),
                Place::Workspace => "workspace".to_owned(),
            };
            writeln!(
                f,
                "  v{idx:<3} {:<12} {:<12} {place}{stride}",
                value.name,
                value.map.shape.to_string()
            )?;
        }
        for step in &self.steps {
            let reads: Vec<String> = step.reads.iter().map(|id| format!("v{}", id.0)).collect();
            let kernel = step.kernel_names(self.isa);
            let (reads, writes) = (reads.join(", "), step.writes.0);
            writeln!(f, "  {:<12} v{writes} = {kernel}({reads}): {}", step.name, step.reason)?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan: workspace of {} bytes", self.workspace_bytes)?;
        for slot in &self.slots {
            let value = self.schedule.value(slot.value);
            let end = slot.offset + slot.bytes;
            let steps = &self.schedule.steps;
            let (first, last) = (&steps[slot.first_step].name, &steps[slot.last_step].name);
            writeln!(
                f,
                "  {:>9}..{end:<9} v{:<3} {:<12} {first} to {last}",
                slot.offset, slot.value.0, value.name
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Input(bytes) => write!(f, "input+{bytes}"),
            Argument::Output(bytes) => write!(f, "output+{bytes}"),
            Argument::Workspace { offset, .. } => write!(f, "workspace+{offset}"),
            Argument::Constants(bytes) => write!(f, "constants+{bytes}"),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let constant_bytes = self.constants.len();
        let outputs: Vec<String> =
            self.outputs.iter().map(|output| output.tensor.shape.to_string()).collect();
        writeln!(f, "program for {}: {} -> {}", self.isa.name, self.input, outputs.join(", "))?;
        writeln!(f, "  workspace {} bytes, constants {constant_bytes} bytes", self.workspace_bytes)?;
        for step in &self.steps {
            for call in step.tasks.iter().flat_map(|task| &task.calls) {
                let arguments: Vec<String> = call.arguments.iter().map(Argument::to_string).collect();
                writeln!(
                    f,
                    "  {:<12} {}({})",
                    step.name,
                    self.kernels[call.kernel].symbol,
                    arguments.join(", ")
                )?;
            }
        }
        for kernel in &self.kernels {
            writeln!(f, "\n{} of {}:", kernel.symbol, kernel.layers.join(", "))?;
            write!(f, "{}", kernel.code)?;
        }
        Ok(())
    }
}
