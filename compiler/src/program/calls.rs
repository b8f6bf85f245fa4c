//! Steps of a schedule -> calls of kernels, and tasks for threads.
//!
//! In: a step, its layers' places among the constants, the plan's offsets. Generates each kernel once.

use std::collections::HashMap;
use std::ops::Range;

use super::values::Values;
use super::{Argument, Call, ProgramFilter, ProgramKernel, ProgramStep, Resume, Task};
use crate::kernels::{Copy, FeatureMap, Kernel, Part, Pointwise, Split};
use crate::schedule::band::{self, Move, Walk};
use crate::schedule::{Chain, Place, Share, Stage, Step, ValueId, Work};
use crate::target::Isa;

impl ProgramStep {
    pub(super) fn build(
        values: &Values<'_>,
        idx: usize,
        filters: &[Option<ProgramFilter>],
        library: &mut Library,
    ) -> ProgramStep {
        let (schedule, network) = (&values.plan.schedule, values.network);
        let (isa, step) = (schedule.isa, &schedule.steps[idx]);
        let filters = filters.iter().map(|filter| Some(filter.as_ref()?.first)).collect();
        let layers = match &step.work {
            Work::Copy(_) => vec![step.name.as_str()],
            Work::Layer { .. } | Work::Chain(_) => {
                step.stages().iter().map(|stage| network.nodes[stage.node.0].name.as_str()).collect()
            }
        };
        let mut caller = Caller { values, step, layers, filters, image: 0, library };
        let (calls, tasks) = match &step.work {
            Work::Layer { stage, share: Share::Pair { parts, whole_alone, .. } } => {
                let mut calls =
                    |parts: Vec<Part>| parts.iter().map(|part| caller.part(part)).collect::<Vec<Call>>();
                // Whole rows, for the parts of both layers to be of the same.
                let parts = calls(stage.kernel.row_parts(*parts));
                let alone =
                    if *whole_alone { calls(stage.kernel.parts(Split::Whole, isa)) } else { parts.clone() };
                (alone, parts.into_iter().map(|call| vec![call].into()).collect())
            }
            Work::Layer { stage: Stage { kernel, .. }, share: Share::Alone(_) } | Work::Copy(kernel) => {
                let mut calls_of = |parts: Vec<Part>| {
                    caller.each_image(|caller| parts.iter().map(|part| vec![caller.part(part)]).collect())
                };
                let tasks = calls_of(kernel.parts(step.split(), isa));
                // Parts fetch nothing for others.
                let fetches = matches!(kernel, Kernel::Pointwise(Pointwise { ahead: 1.., .. }));
                let alone =
                    if fetches { calls_of(kernel.parts(Split::Whole, isa)).concat() } else { tasks.concat() };
                (alone, tasks.into_iter().map(Task::from).collect())
            }
            Work::Chain(chain) => {
                let calls = caller.each_image(|caller| caller.band_calls(chain, 1));
                (calls.concat(), caller.band_tasks(chain))
            }
        };
        ProgramStep { name: step.name.clone(), calls, tasks }
    }

    /// Puts the tasks of the step before in front of its own, part by part.
    pub(super) fn join(&mut self, before: Vec<Task>) {
        assert_eq!(before.len(), self.tasks.len(), "{}: a pair is cut alike", self.name);
        for (task, before) in self.tasks.iter_mut().zip(before) {
            task.calls.splice(..0, before.calls);
        }
    }
}

/// Turns the kernels of one step into calls.
struct Caller<'a> {
    values: &'a Values<'a>,
    step: &'a Step,
    /// For each stage, the layer that it computes.
    layers: Vec<&'a str>,
    /// For each stage, where its packed filter begins in the constants, in bytes.
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
    fn place(&self, id: ValueId, within: usize) -> Argument {
        let value = self.values.plan.schedule.value(id);
        let bytes = if value.images == 1 { within } else { self.image * value.map.bytes() + within };
        match value.place {
            Place::Input => Argument::Input(bytes),
            Place::Output { offset } => {
                let image = self.image * self.values.plan.schedule.output_bytes();
                Argument::Output(image + offset + within)
            }
            Place::Workspace => self.values.at(id, bytes),
        }
    }

    /// A part of a step of one stage.
    fn part(&mut self, part: &Part) -> Call {
        let mut arguments: Vec<Argument> =
            self.step.reads.iter().zip(&part.inputs).map(|(id, bytes)| self.place(*id, *bytes)).collect();
        let filter = self.filters.first().copied().flatten();
        arguments.extend(filter.map(|first| Argument::Constants(first + part.filter)));
        arguments.push(self.place(self.step.writes, part.output));
        Call { kernel: self.library.kernel(&part.kernel, self.layers[0]), arguments }
    }

    /// The bands of a chain for one image, cut into parts.
    fn band_calls(&mut self, chain: &Chain, n_parts: usize) -> Vec<Vec<Call>> {
        let walks = self.walks(chain, n_parts).into_iter().enumerate();
        walks.map(|(part, walk)| self.band_moves(chain, &walk.bands.concat(), part)).collect()
    }

    /// What `n_parts` parts of a chain do.
    fn walks(&self, chain: &Chain, n_parts: usize) -> Vec<Walk> {
        band::walks(&chain.kernels(), n_parts, chain.band_rows, self.library.isa)
    }

    /// The tasks of a chain, in the order that makes the most of them resume: a pool whose threads begin at both ends, as the
    /// runtime's does, takes the upper half from the top downwards and the lower half as well.
    fn band_tasks(&mut self, chain: &Chain) -> Vec<Task> {
        let n_parts = chain.buffers.len();
        let calls = self.each_image(|caller| caller.band_calls(chain, n_parts));
        let mut tasks: Vec<Task> = calls.into_iter().map(Task::from).collect();
        // With several images, the buffers of a part that is done are those of another image.
        if self.step.images == 1 {
            for (part, walk) in self.walks(chain, n_parts).iter().enumerate() {
                let Some(moves) = &walk.resumed else { continue };
                let (mark, replaced) = (part - 1, walk.bands[0].len());
                let calls = self.band_moves(chain, moves, part);
                tasks[mark].mark = Some(mark);
                tasks[part].resume = Some(Resume { mark, calls, replaced });
            }
        }
        let half = tasks.len().div_ceil(2);
        tasks[half..].reverse();
        tasks
    }

    fn band_moves(&mut self, chain: &Chain, moves: &[Move], part: usize) -> Vec<Call> {
        moves.iter().map(|step| self.band_move(chain, step, part)).collect()
    }

    fn band_move(&mut self, chain: &Chain, step: &Move, part: usize) -> Call {
        let map = |stage: usize| chain.stages[stage].kernel.output();
        let buffer = |stage: usize, part: usize, rows: &Range<usize>, base: usize| {
            let [start, end] = [rows.start, rows.end].map(|row| (row - base) * map(stage).row_bytes());
            self.values.at_rows(chain.buffers[part], stage, start..end)
        };
        match step {
            Move::Compute { stage, rows, input_base, output_base } => {
                let kernel = &chain.stages[*stage].kernel;
                let (piece, input_rows) = kernel.rows(rows.clone());
                let input = match stage.checked_sub(1) {
                    None => self.place(self.step.reads[0], input_rows.start * kernel.input().row_bytes()),
                    Some(before) => buffer(before, part, &input_rows, *input_base),
                };
                let output = match chain.buffer_offsets.get(*stage) {
                    None => self.place(self.step.writes, rows.start * kernel.output().row_bytes()),
                    Some(_) => buffer(*stage, part, rows, *output_base),
                };
                let filter = self.filters[*stage].expect("every layer of a chain has a filter");
                let residual = kernel.residual().map(|map| {
                    let id = self.step.reads[chain.residual(*stage)];
                    self.place(id, rows.start * map.row_bytes())
                });
                let arguments = [input]
                    .into_iter()
                    .chain(residual)
                    .chain([Argument::Constants(filter), output])
                    .collect();
                Call { kernel: self.library.kernel(&piece, self.layers[*stage]), arguments }
            }
            Move::Keep { stage, rows, base } => {
                let (from, to) = (buffer(*stage, part, rows, *base), buffer(*stage, part, rows, rows.start));
                self.copy_rows(*stage, map(*stage).with_height(rows.len()), from, to)
            }
            Move::Take { stage, rows, from_base, to_base } => {
                let (from, to) =
                    (buffer(*stage, part - 1, rows, *from_base), buffer(*stage, part, rows, *to_base));
                self.copy_rows(*stage, map(*stage).with_height(rows.len()), from, to)
            }
        }
    }

    /// Copies rows behind a stage.
    fn copy_rows(&mut self, stage: usize, rows: FeatureMap, from: Argument, to: Argument) -> Call {
        let piece = Kernel::Copy(Copy { input: rows, output: rows });
        Call { kernel: self.library.kernel(&piece, self.layers[stage]), arguments: vec![from, to] }
    }
}

/// The kernels so far, each generated once.
pub(super) struct Library {
    pub(super) isa: &'static Isa,
    pub(super) kernels: Vec<ProgramKernel>,
    known: HashMap<Kernel, usize>,
    /// For each layer, the kernels that it calls.
    called_by: HashMap<String, Vec<usize>>,
}

impl Library {
    pub(super) fn new(isa: &'static Isa) -> Library {
        Library { isa, kernels: Vec::new(), known: HashMap::new(), called_by: HashMap::new() }
    }

    pub(super) fn kernel(&mut self, kernel: &Kernel, layer: &str) -> usize {
        if !self.called_by.contains_key(layer) {
            self.called_by.insert(layer.to_owned(), Vec::new());
        }
        let called = self.called_by.get_mut(layer).expect("it has just been put there");
        let idx = *self.known.entry(kernel.clone()).or_insert_with(|| {
            let (name, code) = (kernel.name(self.isa), kernel.code(self.isa));
            // Layers may differ in what makes no difference to this code: in what is known of their weights, or in borders that the
            // part doesn't touch.
            let is_same = |known: &ProgramKernel| known.name == name && known.code == code;
            if let Some(same) = self.kernels.iter().position(is_same) {
                return same;
            }
            let mut symbol = format!("{layer}_{name}");
            // A layer cut into parts has several kernels of one name.
            let taken = called.iter().filter(|idx| self.kernels[**idx].symbol.starts_with(&symbol)).count();
            if taken != 0 {
                symbol = format!("{symbol}_{taken}");
            }
            self.kernels.push(ProgramKernel { symbol, name, layers: Vec::new(), code });
            self.kernels.len() - 1
        });
        if !called.contains(&idx) {
            called.push(idx);
            self.kernels[idx].layers.push(layer.to_owned());
        }
        idx
    }
}
