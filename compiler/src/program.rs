//! Stage 7: [`Plan`] x numbers -> [`Program`]: kernels, packed constants and calls. All that an emitter sees.
//!
//! Each step is written twice: as the calls of one thread, and as tasks that threads may run side by side. A step in bands is
//! a longer list of calls; no emitter knows of bands. Knows no instruction and no symbol table.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use mnc_runtime::filter::Packing;

use crate::code::Code;
use crate::code::interpret::{self, Region, Violation};
use crate::graph::shape::Shape;
use crate::kernels::{Copy, FeatureMap, Filter, Kernel, KernelName, Part, Split};
use crate::passes::{Fused, FusedId, FusedOp};
use crate::plan::{Plan, WORKSPACE_ALIGN};
use crate::schedule::{Place, Stage, Step, ValueId, band};
use crate::target::Isa;

/// Alignment of each block of packed constants, in elements: a cache line.
const CONSTANT_ALIGN: usize = 16;

/// A kernel function.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramKernel {
    /// Its name in the object, without the network's prefix: `conv_pw_7_f32_pointwise_6x8_relu6_fma3x4`.
    pub symbol: String,
    /// Its name in the registry.
    pub name: KernelName,
    /// The layers that call it.
    pub layers: Vec<String>,
    /// The program.
    pub code: Code,
}

/// Where an argument of a call points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// So many bytes into the caller's input.
    Input(usize),
    /// So many bytes into the caller's output.
    Output(usize),
    /// So many bytes into the workspace.
    Workspace(usize),
    /// So many bytes into the constants.
    Constants(usize),
}

/// One kernel call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Position in [`Program::kernels`].
    pub kernel: usize,
    /// One for each parameter of the kernel.
    pub arguments: Vec<Argument>,
}

/// The calls that compute one step of the schedule. The next step waits for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramStep {
    /// The step.
    pub name: String,
    /// What one thread runs, in order.
    pub calls: Vec<Call>,
    /// The same in parts that are independent of each other; the calls of a part run in order. None where the tasks of the
    /// next step do it.
    pub tasks: Vec<Vec<Call>>,
}

/// Where the numbers of a layer are among the constants.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramFilter {
    /// The layer.
    pub layer: String,
    /// Where it begins, in elements.
    pub first: usize,
    /// How it lies there.
    pub packing: Packing,
}

/// What lies in the last cache line of a workspace, by the byte where it begins there.
#[derive(Clone, Copy, Debug)]
pub struct State;

impl State {
    /// The proof that the processor has been asked, 16 bytes ([`crate::target::X86Level::proof`]).
    pub const PROOF: usize = 0;
    /// The mark that the workspace has been bound to weights outside of the object, 16 bytes.
    pub const BOUND: usize = 16;
    /// The address of those weights.
    pub const WEIGHTS: usize = 32;
}

/// A network ready to be emitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// What the kernels are for.
    pub isa: &'static Isa,
    /// The functions; layers of one shape share one.
    pub kernels: Vec<ProgramKernel>,
    /// Packed weights and biases of all layers, each block aligned to a cache line. Programs of one object share them.
    pub constants: Arc<Vec<f32>>,
    /// What the constants hold, layer by layer. No two layers share a block, whatever their numbers.
    pub filters: Vec<ProgramFilter>,
    /// The steps, in order.
    pub steps: Vec<ProgramStep>,
    /// Size of the workspace that the caller brings: the plan's, and a cache line behind it for what a network remembers
    /// from one run to the next ([`State`]).
    pub workspace_bytes: usize,
    /// Where that cache line begins.
    pub state_offset: usize,
    /// Where in the workspace an entry that takes bytes puts the normalised input.
    pub normalised_offset: usize,
    /// Images of one run, one behind the other in input and output.
    pub batch: usize,
    /// Shape of one image.
    pub input: Shape,
    /// Shape of the output of one image.
    pub output: Shape,
}

impl Program {
    /// Packs the numbers of `network` and generates the kernels of its plan.
    pub fn build(plan: &Plan, network: &Fused) -> Program {
        let [program] = <[Program; 1]>::try_from(Program::build_all(&[plan], network))
            .unwrap_or_else(|_| unreachable!("one plan gives one program"));
        program
    }

    /// The same for several instruction sets, whose programs take turns in one object: they share constants and workspace.
    pub fn build_all(plans: &[&Plan], network: &Fused) -> Vec<Program> {
        let mut constants = Constants::default();
        let parts: Vec<_> = plans
            .iter()
            .map(|plan| {
                let mut library =
                    Library { isa: plan.schedule.isa, kernels: Vec::new(), known: HashMap::new() };
                let filters = plan.schedule.steps.iter().map(|step| {
                    step.stages.iter().map(|stage| constants.filter(stage, library.isa, network)).collect()
                });
                let filters: Vec<Vec<Option<ProgramFilter>>> = filters.collect();
                let mut steps: Vec<ProgramStep> = filters
                    .iter()
                    .enumerate()
                    .map(|(idx, filters)| ProgramStep::build((plan, idx), network, filters, &mut library))
                    .collect();
                for idx in (1..steps.len()).filter(|idx| plan.schedule.steps[*idx].joined) {
                    let before = std::mem::take(&mut steps[idx - 1].tasks);
                    steps[idx].join(before);
                }
                let filters: Vec<ProgramFilter> = filters.into_iter().flatten().flatten().collect();
                (
                    library,
                    filters,
                    steps,
                    plan.offset(ValueId(0)).expect("the plan has a place for the input"),
                )
            })
            .collect();
        let constants = Arc::new(constants.values);
        let state_offset = plans.iter().map(|plan| plan.workspace_bytes).max().unwrap_or(0);
        let workspace_bytes = plans.iter().map(|plan| Program::workspace_bytes(plan)).max().unwrap_or(0);
        parts
            .into_iter()
            .map(|(library, filters, steps, normalised_offset)| Program {
                isa: library.isa,
                kernels: library.kernels,
                constants: constants.clone(),
                filters,
                steps,
                workspace_bytes,
                state_offset,
                normalised_offset,
                batch: plans[0].schedule.batch,
                input: network.nodes[0].shape,
                output: network.nodes[network.outputs[0].0].shape,
            })
            .collect()
    }

    /// Bytes of the workspace that the caller of such a plan's program brings.
    pub fn workspace_bytes(plan: &Plan) -> usize {
        plan.workspace_bytes + WORKSPACE_ALIGN
    }

    /// Runs the program in the interpreter of its kernel language, every access checked.
    ///
    /// # Errors
    /// A kernel that reads or writes outside of its buffers, or reads what nobody wrote.
    ///
    /// # Panics
    /// When the input's length is not that of the input's shape.
    pub fn interpret(&self, input: &[f32]) -> Result<Vec<f32>, Violation> {
        assert_eq!(input.len(), self.batch * self.input.len(), "the input has the program's input shape");
        let mut regions = [
            Region::constant("input", input.to_vec()),
            Region::uninitialised("output", self.batch * self.output.len()),
            Region::uninitialised("workspace", self.workspace_bytes / 4),
            Region::constant("constants", self.constants.to_vec()),
        ];
        for call in self.steps.iter().flat_map(|step| &step.calls) {
            let arguments: Vec<interpret::Argument> = call
                .arguments
                .iter()
                .map(|argument| match *argument {
                    Argument::Input(bytes) => interpret::Argument { region: 0, element: bytes / 4 },
                    Argument::Output(bytes) => interpret::Argument { region: 1, element: bytes / 4 },
                    Argument::Workspace(bytes) => interpret::Argument { region: 2, element: bytes / 4 },
                    Argument::Constants(bytes) => interpret::Argument { region: 3, element: bytes / 4 },
                })
                .collect();
            interpret::run(&self.kernels[call.kernel].code, &mut regions, &arguments)?;
        }
        let output = regions[1].values().expect("the last step writes every element of the output");
        Ok(output.to_vec())
    }
}

impl ProgramStep {
    fn build(
        (plan, idx): (&Plan, usize),
        network: &Fused,
        filters: &[Option<ProgramFilter>],
        library: &mut Library,
    ) -> ProgramStep {
        let (isa, step) = (plan.schedule.isa, &plan.schedule.steps[idx]);
        let filters = filters.iter().map(|filter| Some(filter.as_ref()?.first)).collect();
        let layer = |stage: &Stage| stage.node.map_or(step.name.as_str(), |id| &network.nodes[id.0].name);
        let layers = step.stages.iter().map(layer).collect();
        let mut caller = Caller { plan, step, layers, filters, image: 0, library };
        let in_pair = step.joined || plan.schedule.is_joined_by_next(idx);
        let (calls, tasks) = match step.stages.as_slice() {
            [stage] if in_pair => {
                let mut calls =
                    |parts: Vec<Part>| parts.iter().map(|part| caller.part(part)).collect::<Vec<Call>>();
                // Whole rows, for the parts of both layers to be of the same.
                let parts = calls(stage.kernel.row_parts(step.split.parts()));
                let alone = if step.whole_alone {
                    calls(stage.kernel.parts(Split::Whole, isa))
                } else {
                    parts.clone()
                };
                (alone, parts.into_iter().map(|call| vec![call]).collect())
            }
            [stage] => {
                let parts = stage.kernel.parts(step.split, isa);
                let tasks =
                    caller.each_image(|caller| parts.iter().map(|part| vec![caller.part(part)]).collect());
                (tasks.concat(), tasks)
            }
            _ => {
                let calls = caller.each_image(|caller| caller.bands(1));
                (calls.concat(), caller.each_image(|caller| caller.bands(step.split.parts())))
            }
        };
        ProgramStep { name: step.name.clone(), calls, tasks }
    }

    /// Puts the tasks of the step before in front of its own, part by part.
    fn join(&mut self, before: Vec<Vec<Call>>) {
        assert_eq!(before.len(), self.tasks.len(), "{}: a pair is cut alike", self.name);
        for (task, before) in self.tasks.iter_mut().zip(before) {
            task.splice(..0, before);
        }
    }
}

/// The packed filters so far.
#[derive(Default)]
struct Constants {
    values: Vec<f32>,
    /// For each layer, its blocks.
    known: HashMap<FusedId, Vec<Range<usize>>>,
}

impl Constants {
    /// Packs the filter of a stage, if it has one.
    fn filter(&mut self, stage: &Stage, isa: &Isa, network: &Fused) -> Option<ProgramFilter> {
        let id = stage.node?;
        let node = &network.nodes[id.0];
        let packing = stage.kernel.packing(isa)?;
        let first = self.place(id, stage.kernel.pack(isa, filter(&node.op)?)?);
        Some(ProgramFilter { layer: node.name.clone(), first, packing })
    }

    /// Where the block begins, in elements. Versions of a network for several vector widths pack most filters alike.
    fn place(&mut self, id: FusedId, mut block: Vec<f32>) -> usize {
        block.resize(block.len().next_multiple_of(CONSTANT_ALIGN), 0.0);
        let known = self.known.entry(id).or_default();
        let is_block = |values: &[f32]| {
            values.iter().map(|value| value.to_bits()).eq(block.iter().map(|value| value.to_bits()))
        };
        if let Some(same) = known.iter().find(|place| is_block(&self.values[(*place).clone()])) {
            return same.start;
        }
        let first = self.values.len();
        self.values.extend(block);
        known.push(first..self.values.len());
        first
    }
}

/// Turns the kernels of one step into calls.
struct Caller<'a> {
    plan: &'a Plan,
    step: &'a Step,
    /// For each stage, the layer that it computes.
    layers: Vec<&'a str>,
    /// For each stage, where its packed filter begins in the constants, in elements.
    filters: Vec<Option<usize>>,
    /// Which of the batch.
    image: usize,
    library: &'a mut Library,
}

impl Caller<'_> {
    /// The parts for each image in turn; a part does its share of all images.
    fn each_image(&mut self, mut parts: impl FnMut(&mut Self) -> Vec<Vec<Call>>) -> Vec<Vec<Call>> {
        let mut all: Vec<Vec<Call>> = Vec::new();
        for image in 0..self.step.images {
            self.image = image;
            for (idx, calls) in parts(self).into_iter().enumerate() {
                match all.get_mut(idx) {
                    Some(part) => part.extend(calls),
                    None => all.push(calls),
                }
            }
        }
        all
    }

    /// A position in a value.
    fn place(&self, id: ValueId, elements: usize) -> Argument {
        let value = self.plan.schedule.value(id);
        let elements = if value.images == 1 { elements } else { self.image * value.map.len() + elements };
        match value.place {
            Place::Input => Argument::Input(elements * 4),
            Place::Output => Argument::Output(elements * 4),
            Place::Workspace => {
                let offset = self.plan.offset(id).expect("the plan places every value of the workspace");
                Argument::Workspace(offset + elements * 4)
            }
        }
    }

    /// A part of a step of one stage.
    fn part(&mut self, part: &Part) -> Call {
        let mut arguments: Vec<Argument> =
            self.step.reads.iter().map(|id| self.place(*id, part.input)).collect();
        arguments.extend(self.filters[0].map(|first| Argument::Constants((first + part.filter) * 4)));
        arguments.push(self.place(self.step.writes, part.output));
        Call { kernel: self.library.kernel(&part.kernel, self.layers[0]), arguments }
    }

    /// The bands of a chain, cut into parts.
    fn bands(&mut self, n_parts: usize) -> Vec<Vec<Call>> {
        let kernels = self.step.kernels();
        let height = kernels[kernels.len() - 1].output().shape.height;
        let parts = band::parts(height, n_parts);
        parts
            .into_iter()
            .enumerate()
            .map(|(part, rows)| {
                let moves = band::walk(&kernels, rows, self.step.band_rows, self.library.isa);
                moves.iter().map(|step| self.band_move(step, part)).collect()
            })
            .collect()
    }

    fn band_move(&mut self, step: &band::Move, part: usize) -> Call {
        let kernels = self.step.kernels();
        match step {
            band::Move::Compute { stage, rows, input_base, output_base } => {
                let kernel = kernels[*stage];
                let (piece, input_rows) = kernel.rows(rows.clone());
                let from = (input_rows.start - input_base) * kernel.input().row_stride();
                let to = (rows.start - output_base) * kernel.output().row_stride();
                let input = match stage.checked_sub(1) {
                    None => self.place(self.step.reads[0], from),
                    Some(before) => self.buffer(before, part, from),
                };
                let output = match self.step.buffer_offsets.get(*stage) {
                    None => self.place(self.step.writes, to),
                    Some(_) => self.buffer(*stage, part, to),
                };
                let filter = self.filters[*stage].expect("every layer of a chain has a filter");
                let arguments = vec![input, Argument::Constants(filter * 4), output];
                Call { kernel: self.library.kernel(&piece, self.layers[*stage]), arguments }
            }
            band::Move::Keep { stage, rows, base } => {
                let map = kernels[*stage].output();
                let rows_map = FeatureMap { shape: Shape { height: rows.len(), ..map.shape }, ..map };
                let piece = Kernel::Copy(Copy { input: rows_map, output: rows_map });
                let from = self.buffer(*stage, part, (rows.start - base) * map.row_stride());
                let arguments = vec![from, self.buffer(*stage, part, 0)];
                Call { kernel: self.library.kernel(&piece, self.layers[*stage]), arguments }
            }
        }
    }

    /// A position in a part's buffer behind a stage.
    fn buffer(&self, stage: usize, part: usize, elements: usize) -> Argument {
        self.place(self.step.buffers[part], self.step.buffer_offsets[stage] + elements)
    }
}

/// The kernels so far, each generated once.
struct Library {
    isa: &'static Isa,
    kernels: Vec<ProgramKernel>,
    known: HashMap<Kernel, usize>,
}

impl Library {
    fn kernel(&mut self, kernel: &Kernel, layer: &str) -> usize {
        let idx = *self.known.entry(kernel.clone()).or_insert_with(|| {
            let name = kernel.name(self.isa);
            let mut symbol = format!("{layer}_{name}");
            // A layer cut into parts has several kernels of one name.
            let taken = self.kernels.iter().filter(|other| other.symbol.starts_with(&symbol)).count();
            if taken != 0 {
                symbol = format!("{symbol}_{taken}");
            }
            let code = kernel.code(self.isa);
            self.kernels.push(ProgramKernel { symbol, name, layers: Vec::new(), code });
            self.kernels.len() - 1
        });
        let layers = &mut self.kernels[idx].layers;
        if !layers.iter().any(|known| known == layer) {
            layers.push(layer.to_owned());
        }
        idx
    }
}

fn filter(op: &FusedOp) -> Option<Filter<'_>> {
    match op {
        FusedOp::Conv { weights, bias, .. }
        | FusedOp::Depthwise { weights, bias, .. }
        | FusedOp::Dense { weights, bias, .. } => Some(Filter { weights, bias }),
        FusedOp::Input | FusedOp::Add { .. } | FusedOp::GlobalAveragePool | FusedOp::Softmax => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::Description;
    use crate::graph::{Graph, Knobs};
    use crate::passes;
    use crate::schedule::Schedule;
    use crate::target::{X86_64_V3, X86_64_V4};
    use crate::weights::Parameters;

    /// Two layers of one shape, all of whose numbers are zero.
    fn network() -> Fused {
        let layer = "[[layer]]\nkind = \"pointwise\"\nfilters = 8\n";
        let input = "name = \"net\"\nclasses = 1\ninput = { height = 2, width = 2, channels = 8 }\n";
        let description = Description::parse(&format!("{input}{layer}{layer}"), "net.toml").unwrap();
        let graph = Graph::build(&description, &Knobs::default()).unwrap();
        passes::run(&graph, &Parameters::zeros(&graph)).unwrap()
    }

    #[test]
    fn layers_have_places_of_their_own_and_versions_share_them() {
        let network = network();
        let plans = [&X86_64_V3, &X86_64_V4].map(|isa| Plan::build(Schedule::build(&network, isa)));
        let programs = Program::build_all(&plans.each_ref(), &network);
        let places = |program: &Program| -> Vec<(String, usize)> {
            program.filters.iter().map(|filter| (filter.layer.clone(), filter.first)).collect()
        };
        let expected = [("conv_pw_1", 0), ("conv_pw_2", 144)].map(|(layer, first)| (layer.to_owned(), first));
        assert_eq!(places(&programs[0]), expected);
        assert_eq!(places(&programs[1]), expected);
        assert_eq!(programs[0].constants.len(), 2 * 144);
    }
}
