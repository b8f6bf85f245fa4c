//! Stage 7: [`Plan`] x numbers -> [`Program`]: kernels, packed constants and calls. All that an emitter sees.
//!
//! Each step is written twice: as the calls of one thread, and as tasks that threads may run side by side. A step in bands is
//! a longer list of calls; no emitter knows of bands. Knows no instruction and no symbol table.

mod calls;
mod interpret;
pub(crate) mod sizes;
mod values;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use mnc_runtime::filter::Packing;

use self::calls::Library;
pub use self::interpret::Turn;
use self::values::Values;
use crate::code::Code;
use crate::graph::shape::Shape;
use crate::graph::tensor::Dtype;
use crate::kernels::{Kernel, KernelName, Quantise};
use crate::passes::{ByteInput, Fused, FusedId, Mantissas};
use crate::plan::{Plan, WORKSPACE_ALIGN};
use crate::schedule::{Half, Output, Schedule, Stage, ValueId};
use crate::target::{Isa, Reader};

/// Alignment of each block of packed constants, in bytes: a cache line.
const CONSTANT_ALIGN: usize = 64;

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
    /// Into the workspace.
    Workspace {
        /// The value that the call may reach by it, by position in [`Program::values`].
        value: usize,
        /// Bytes from the start of the workspace.
        offset: usize,
    },
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
    /// The same in parts that may run in any order or at once. None where the tasks of the next step do it.
    pub tasks: Vec<Task>,
}

/// A part of a step.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Task {
    /// What a thread runs, in order.
    pub calls: Vec<Call>,
    /// What is shorter when another task of the step is done already.
    pub resume: Option<Resume>,
    /// The mark to set in the end ([`State::MARKS`]), for a task that may resume from there.
    pub mark: Option<usize>,
}

/// How a task goes on from where another has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// The other task's mark.
    pub mark: usize,
    /// What stands in for the first of the task's calls.
    pub calls: Vec<Call>,
    /// How many of them.
    pub replaced: usize,
}

impl Task {
    /// What a thread runs that finds the mark set, in order.
    pub fn resumed_calls(&self) -> Vec<Call> {
        match &self.resume {
            Some(resume) => [&resume.calls, &self.calls[resume.replaced..]].concat(),
            None => self.calls.clone(),
        }
    }
}

impl From<Vec<Call>> for Task {
    fn from(calls: Vec<Call>) -> Task {
        Task { calls, ..Task::default() }
    }
}

impl ProgramStep {
    /// Whether one thread runs the tasks one after the other.
    pub fn is_tasks_in_turn(&self) -> bool {
        self.calls.iter().eq(self.tasks.iter().flat_map(|task| &task.calls))
    }
}

/// A value in the workspace: an output of a layer, or in a part of a chain the rows behind a layer. Between its first and its last
/// step its bytes are its own; no other value that is alive then has any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramValue {
    /// The layer whose output it is; in a chain `FIRST..LAST.band_PART.LAYER`.
    pub name: String,
    /// Bytes from the start of the workspace.
    pub offset: usize,
    /// How an element is stored.
    pub dtype: Dtype,
    /// Its size. What follows up to the next value belongs to nobody.
    pub bytes: usize,
    /// The step that writes it, by position in [`Program::steps`].
    pub first_step: usize,
    /// The last step during which it is read.
    pub last_step: usize,
}

/// Where the numbers of a layer are among the constants.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramFilter {
    /// The layer.
    pub layer: String,
    /// Where it begins, in bytes.
    pub first: usize,
    /// How it lies there.
    pub packing: Packing,
}

/// What lies in the last cache line of a workspace, by the byte where it begins there.
#[derive(Clone, Copy, Debug)]
pub struct State;

impl State {
    /// The proof that the processor has been asked, 16 bytes ([`crate::target::CpuCheck::proof`]).
    pub const PROOF: usize = 0;
    /// The mark that the workspace has been bound to weights outside of the object, 16 bytes.
    pub const BOUND: usize = 16;
    /// The address of those weights.
    pub const WEIGHTS: usize = 32;
    /// Marks of 4 bytes by which the tasks of a step know which of them are done, in a run on several threads.
    pub const MARKS: usize = 40;
    /// How many there is room for.
    pub const N_MARKS: usize = (WORKSPACE_ALIGN - State::MARKS) / 4;
}

/// A network ready to be emitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// What the kernels are for.
    pub isa: &'static Isa,
    /// The functions; layers of one shape share one.
    pub kernels: Vec<ProgramKernel>,
    /// Packed weights and biases of all layers, each block aligned to a cache line. Programs of one object share them.
    pub constants: Arc<Vec<u8>>,
    /// What the constants hold, layer by layer. No two layers share a block, whatever their numbers.
    pub filters: Vec<ProgramFilter>,
    /// The steps, in order.
    pub steps: Vec<ProgramStep>,
    /// What lies in the workspace, and when. The first is the normalised input of an entry that takes bytes.
    pub values: Vec<ProgramValue>,
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
    /// How its numbers become the bytes that the first step reads; `None` if it reads the numbers.
    pub byte_input: Option<ByteInput>,
    /// What does so before the steps; `None` where they read the numbers, and where the caller of Rust source does.
    pub quantise: Option<Call>,
    /// What the network returns of one image, in the order of its bytes.
    pub outputs: Vec<Output>,
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
        let parts: Vec<Part> = plans
            .iter()
            .map(|plan| {
                let mut library = Library::new(plan.schedule.isa);
                let values = Values::of(plan, network);
                let filters = plan.schedule.steps.iter().map(|step| {
                    step.stages().iter().map(|stage| constants.filter(stage, library.isa, network)).collect()
                });
                let filters: Vec<Vec<Option<ProgramFilter>>> = filters.collect();
                let mut steps: Vec<ProgramStep> = filters
                    .iter()
                    .enumerate()
                    .map(|(idx, filters)| ProgramStep::build(&values, idx, filters, &mut library))
                    .collect();
                let is_second = |idx: &usize| plan.schedule.steps[*idx].half() == Some(Half::Second);
                for idx in (1..steps.len()).filter(is_second) {
                    let before = std::mem::take(&mut steps[idx - 1].tasks);
                    steps[idx].join(before);
                }
                let filters: Vec<ProgramFilter> = filters.into_iter().flatten().flatten().collect();
                let normalised = plan.offset(ValueId(0)).expect("the plan has a place for the input");
                let quantise = quantise_of(plan, network).map(|(kernel, bytes)| {
                    let filter = kernel.filter(library.isa, bytes);
                    let kernel = Kernel::Quantise(kernel);
                    let packed = kernel.pack(library.isa, &filter).expect("it has a filter");
                    let first = constants.place(FusedId(0), packed);
                    let arguments =
                        vec![Argument::Input(0), Argument::Constants(first), values.at(ValueId(0), 0)];
                    Call { kernel: library.kernel(&kernel, &network.nodes[0].name), arguments }
                });
                Part { library, filters, steps, values: values.values, normalised, quantise }
            })
            .collect();
        let constants = Arc::new(constants.bytes);
        let outputs = Output::all(network);
        let state_offset = plans.iter().map(|plan| plan.workspace_bytes).max().unwrap_or(0);
        let workspace_bytes = plans.iter().map(|plan| Program::workspace_bytes(plan)).max().unwrap_or(0);
        parts
            .into_iter()
            .map(|part| Program {
                isa: part.library.isa,
                kernels: part.library.kernels,
                constants: constants.clone(),
                filters: part.filters,
                steps: part.steps,
                values: part.values,
                workspace_bytes,
                state_offset,
                normalised_offset: part.normalised,
                quantise: part.quantise,
                batch: plans[0].schedule.batch,
                input: network.nodes[0].shape(),
                byte_input: network.byte_input.clone(),
                outputs: outputs.clone(),
            })
            .collect()
    }

    /// Elements that the network returns of an image.
    pub fn output_len(&self) -> usize {
        self.outputs.iter().map(|output| output.tensor.shape.len()).sum()
    }

    /// Bytes of the output of a run.
    pub fn output_bytes(&self) -> usize {
        self.batch * self.outputs.last().map_or(0, Output::end)
    }

    /// Bytes of the workspace that the caller of such a plan's program brings.
    pub fn workspace_bytes(plan: &Plan) -> usize {
        plan.workspace_bytes + WORKSPACE_ALIGN
    }
}

/// What makes bytes of the input of a plan's program, and how; nothing where Rust source is written, whose caller does.
fn quantise_of<'a>(plan: &Plan, network: &'a Fused) -> Option<(Quantise, &'a ByteInput)> {
    let Schedule { isa, batch, .. } = plan.schedule;
    Quantise::of(network, batch).filter(|_| isa.reader != Reader::Rust)
}

/// What a program has of its own among several that share constants.
struct Part {
    library: Library,
    filters: Vec<ProgramFilter>,
    steps: Vec<ProgramStep>,
    values: Vec<ProgramValue>,
    normalised: usize,
    quantise: Option<Call>,
}

/// The packed filters so far.
#[derive(Default)]
struct Constants {
    bytes: Vec<u8>,
    /// For each layer, its blocks.
    known: HashMap<FusedId, Vec<Range<usize>>>,
}

impl Constants {
    /// Packs the filter of a stage, if it has one.
    fn filter(&mut self, stage: &Stage, isa: &Isa, network: &Fused) -> Option<ProgramFilter> {
        let id = stage.node;
        let node = &network.nodes[id.0];
        let packing = stage.kernel.packing(isa)?;
        let packed = match (&node.integer, &node.filter) {
            (Some(numbers), _) => {
                let channels = stage.kernel.input().shape.channels;
                let numbers = numbers.without_groups(&node.layer, channels);
                match node.mantissas() {
                    None => stage.kernel.pack_integers(isa, &numbers, &node.factors())?,
                    Some(Mantissas { starts, addends }) => {
                        stage.kernel.pack_integers(isa, &numbers.starting(&starts), &addends)?
                    }
                }
            }
            (None, filter) => stage.kernel.pack(isa, filter.as_ref()?)?,
        };
        let first = self.place(id, packed);
        Some(ProgramFilter { layer: node.name.clone(), first, packing })
    }

    /// Where the block begins, in bytes. Versions of a network for several vector widths pack most filters alike.
    fn place(&mut self, id: FusedId, mut block: Vec<u8>) -> usize {
        block.resize(block.len().next_multiple_of(CONSTANT_ALIGN), 0);
        let known = self.known.entry(id).or_default();
        if let Some(same) = known.iter().find(|place| self.bytes[(*place).clone()] == block) {
            return same.start;
        }
        let first = self.bytes.len();
        self.bytes.extend(block);
        known.push(first..self.bytes.len());
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::Description;
    use crate::graph::{Graph, Knobs};
    use crate::passes;
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
        let expected =
            [("conv_pw_1", 0), ("conv_pw_2", 4 * 144)].map(|(layer, first)| (layer.to_owned(), first));
        assert_eq!(places(&programs[0]), expected);
        assert_eq!(places(&programs[1]), expected);
        assert_eq!(programs[0].constants.len(), 2 * 4 * 144);
    }
}
