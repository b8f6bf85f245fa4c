//! What lies in the workspace and when, and that each kernel keeps to the values that it was called for.
//!
//! A kernel gets pointers into values that live in its step. Each becomes a pointer into that value alone: an access by it
//! must stay inside, whatever lies beside it.

mod track;

use mnc_runtime::abi::WORKSPACE_ALIGN;

use super::Machine;
use super::state::{ARGUMENTS, State};
use super::value::{MOST_VALUES, Origin, Value};
use crate::describe::MAX_LAYERS;
use crate::emit::workspace::{self, Workspace};
pub(super) use track::{Effect, Track};
use track::{Span, Wanted};

/// Steps of a network: a layer of a description is a few of them.
const MOST_STEPS: usize = 8 * MAX_LAYERS;
/// Values that live in each step, all steps together.
const MOST_LIVES: u64 = 1 << 22;

/// The values of one version's workspace.
#[derive(Clone, Debug)]
pub(in crate::inspect) struct Layout {
    steps: Vec<Step>,
    regions: Vec<Region>,
}

#[derive(Clone, Debug)]
struct Step {
    name: String,
    /// What a pool gets of it: 0 where the tasks of the next step do it, 1 where the caller does it.
    tasks: u64,
    /// The values that live in it, in the order of their bytes.
    live: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Region {
    name: String,
    offset: u64,
    bytes: u64,
    first_step: usize,
    last_step: usize,
}

impl Region {
    fn is_live(&self, step: usize) -> bool {
        (self.first_step..=self.last_step).contains(&step)
    }

    fn end(&self) -> u64 {
        self.offset + self.bytes
    }

    fn has(&self, byte: u64) -> bool {
        (self.offset..self.end()).contains(&byte)
    }
}

impl Layout {
    /// # Errors
    /// What no plan has: values outside of the workspace, or over another that is alive at the same time.
    pub(in crate::inspect) fn of(workspace: &Workspace, workspace_bytes: u64) -> Result<Layout, String> {
        let (n_steps, n_values) = (workspace.steps.len(), workspace.values.len());
        if MOST_STEPS < n_steps || MOST_VALUES < n_values {
            return Err(format!(
                "the workspace has {n_values} values in {n_steps} steps, expected at most {MOST_VALUES} in {MOST_STEPS}"
            ));
        }
        let step = |step: &workspace::Step| Step {
            name: step.name.escape_debug().to_string(),
            tasks: step.tasks,
            live: Vec::new(),
        };
        let mut layout = Layout { steps: workspace.steps.iter().map(step).collect(), regions: Vec::new() };
        // What a network remembers from one run to the next lies in the last cache line.
        let most = workspace_bytes.saturating_sub(WORKSPACE_ALIGN as u64);
        let mut n_lives = 0u64;
        for value in &workspace.values {
            let region = layout.region(value, most)?;
            n_lives += (region.last_step - region.first_step) as u64 + 1;
            if MOST_LIVES < n_lives {
                return Err(format!("values live in more than {MOST_LIVES} steps, all together"));
            }
            layout.regions.push(region);
        }
        let mut by_offset: Vec<u32> = (0..n_values as u32).collect();
        by_offset.sort_by_key(|idx| layout.regions[*idx as usize].offset);
        for idx in by_offset {
            let region = &layout.regions[idx as usize];
            for step in &mut layout.steps[region.first_step..=region.last_step] {
                // In the order of their bytes, one that meets another meets its neighbour.
                let before = step.live.last().map(|before| &layout.regions[*before as usize]);
                if let Some(before) = before.filter(|before| region.offset < before.end()) {
                    let (name, other, step) = (&region.name, &before.name, &step.name);
                    return Err(format!("value {name} lies in the bytes of {other} in step {step}"));
                }
                step.live.push(idx);
            }
        }
        Ok(layout)
    }

    fn region(&self, value: &workspace::Value, most: u64) -> Result<Region, String> {
        let workspace::Value { offset, bytes, first_step, last_step, .. } = *value;
        let (name, n_steps) = (value.name.escape_debug().to_string(), self.steps.len());
        if bytes == 0 || offset.checked_add(bytes).is_none_or(|end| most < end) {
            return Err(format!(
                "value {name} is {bytes} bytes at byte {offset} of the workspace, which has {most} for values"
            ));
        }
        if last_step < first_step || n_steps as u64 <= last_step {
            return Err(format!(
                "value {name} lives from step {first_step} to {last_step}, expected some of {n_steps} steps"
            ));
        }
        let (first_step, last_step) = (first_step as usize, last_step as usize);
        Ok(Region { name, offset, bytes, first_step, last_step })
    }

    /// The value that lives in a step and has this byte of the workspace.
    fn live(&self, step: usize, byte: u64) -> Option<usize> {
        let live = &self.steps.get(step)?.live;
        let n_before = live.partition_point(|idx| self.regions[*idx as usize].offset <= byte);
        let idx = live[n_before.checked_sub(1)?] as usize;
        self.regions[idx].has(byte).then_some(idx)
    }

    /// Of a byte that no kernel may touch in a step, what there is to say: which value has it at another time.
    fn dead(&self, byte: u64) -> String {
        match self.regions.iter().find(|region| region.has(byte)) {
            Some(region) => format!(
                "of {}, which lives from {} to {} only",
                region.name, self.steps[region.first_step].name, self.steps[region.last_step].name
            ),
            None => "which is in no value".to_owned(),
        }
    }
}

impl Machine<'_> {
    fn layout(&self, state: &State) -> Option<&Layout> {
        Some(self.layouts[state.track.version?])
    }

    /// The step and the kernel, for messages.
    fn place(&self, state: &State) -> String {
        let step = self.layout(state).zip(state.track.step);
        let step = step.and_then(|(layout, step)| layout.steps.get(step));
        let step = step.map_or("outside of the steps", |step| step.name.as_str());
        match state.track.kernel {
            None => step.to_owned(),
            Some(kernel) => match self.image.names.get(&kernel) {
                Some(name) => format!("{step}: {}", name.escape_debug()),
                None => format!("{step}: the kernel at {kernel:#x}"),
            },
        }
    }

    /// A call of an entry may be that of a step, one of a step that of a kernel.
    pub(super) fn begin_call(&mut self, state: &mut State, target: u64) -> Result<(), String> {
        if self.layouts.is_empty() {
            return Ok(());
        }
        state.track.effects.clear();
        let depth = state.calls.len();
        if let Some(step) = state.track.step {
            if depth == state.track.depth {
                if let Some(entered) = state.track.entered.take() {
                    self.choose_version(state, entered)?;
                    if self.layout(state).is_none_or(|layout| layout.steps.len() <= step) {
                        return Err(format!("runs step {step}, expected {step} steps"));
                    }
                    state.track.next = step + 1;
                }
                state.track.kernel = Some(target);
                let layout = self.layouts[state.track.version.unwrap_or(0)];
                for register in ARGUMENTS {
                    let pointer = state.general[register];
                    if pointer.origin == Origin::WORKSPACE
                        && pointer.rows == 0
                        && let Some(value) = layout.live(step, pointer.offset)
                    {
                        let offset = pointer.offset - layout.regions[value].offset;
                        state.general[register] = Value::at(Origin::value(value), offset);
                    }
                }
            }
            return Ok(());
        }
        let [_, output, workspace, idx, ..] = ARGUMENTS.map(|register| state.general[register]);
        let is_step = output == Value::at(Origin::OUTPUT, 0) && workspace == Value::at(Origin::WORKSPACE, 0);
        let next = state.track.next;
        // Other functions are called with anything in these registers: it is a step when it calls a kernel. A step out of turn is
        // none, so that its kernels reach no value.
        if is_step && idx == Value::number(next as u64) && depth == 0 && !self.in_task {
            (state.track.step, state.track.depth, state.track.entered) =
                (Some(next), depth + 1, Some(target));
        }
        Ok(())
    }

    /// The first step tells which version runs, and what the entry has put into the workspace before.
    fn choose_version(&mut self, state: &mut State, target: u64) -> Result<(), String> {
        if state.track.version.is_some() {
            return Ok(());
        }
        let known = self.versions.iter().position(|known| *known == target);
        let version = known.unwrap_or_else(|| {
            self.versions.push(target);
            self.versions.len() - 1
        });
        let Some(layout) = self.layouts.get(version) else {
            return Err("more versions than the description tells of".to_owned());
        };
        state.track.version = Some(version);
        state.track.written = vec![Span::default(); layout.regions.len()];
        let early = state.track.early;
        if early.is_empty() {
            return Ok(());
        }
        match layout.live(0, early.start).map(|value| (value, &layout.regions[value])) {
            Some((value, region)) if early.end <= region.end() => {
                let [start, end] = [early.start, early.end].map(|byte| byte - region.offset);
                state.track.written[value] = Span { start, end };
                Ok(())
            }
            _ => Err(format!(
                "bytes {} to {} of the workspace are written before the first step, which is in no value of it",
                early.start, early.end
            )),
        }
    }

    /// The pool runs the tasks of a step, or those that come before the first.
    pub(super) fn begin_pool(
        &mut self,
        state: &mut State,
        (task, argument): (u64, Value),
        count: u64,
    ) -> Result<(), String> {
        if self.layouts.is_empty() {
            return Ok(());
        }
        state.track.effects.clear();
        // Of what comes before, the argument is the picture and its stride; of a step that reads the picture itself, it and the output.
        let is_stack = argument.origin == Origin::STACK
            && argument.rows == 0
            && argument.offset <= super::state::STACK_BYTES - 16;
        if state.track.version.is_none()
            && is_stack
            && state.load(argument.offset, 8) == Value::at(Origin::PICTURE, 0)
            && state.load(argument.offset + 8, 8) != Value::at(Origin::OUTPUT, 0)
        {
            return Ok(());
        }
        self.choose_version(state, task)?;
        let layout = self.layouts[state.track.version.unwrap_or(0)];
        let next = state.track.next;
        let step = (next..layout.steps.len()).find(|step| layout.steps[*step].tasks != 0);
        match step {
            Some(step) if layout.steps[step].tasks == count => {
                let track = &mut state.track;
                (track.step, track.next, track.depth, track.entered) = (Some(step), step + 1, 0, None);
                Ok(())
            }
            Some(step) => {
                let Step { name, tasks, .. } = &layout.steps[step];
                Err(format!("{name}: hands {count} tasks to the pool, expected {tasks}"))
            }
            None => Err(format!("hands {count} tasks to the pool behind the last step")),
        }
    }

    /// All tasks are done.
    pub(super) fn end_pool(&self, state: &mut State) -> Result<(), String> {
        for Wanted { value, read, kernel } in std::mem::take(&mut state.track.wanted) {
            if !state.track.written[value].holds(read) {
                state.track.kernel = kernel;
                return Err(self.unwritten(state, value, read));
            }
        }
        state.track.step = None;
        Ok(())
    }

    /// A run has ended.
    pub(super) fn end_run(&self, state: &State) -> Result<(), String> {
        // Before the first step nobody knows which version it is.
        let Some(layout) = self.layout(state).or(self.layouts.first().copied()) else { return Ok(()) };
        match layout.steps.get(state.track.next) {
            None => Ok(()),
            Some(step) => Err(format!("returns 0 before step {}", step.name)),
        }
    }

    fn unwritten(&self, state: &State, value: usize, read: Span) -> String {
        let name = self.layout(state).map_or("", |layout| &layout.regions[value].name);
        let Span { start, end } = read;
        format!("{}: bytes {start} to {end} of {name} are read before they are written", self.place(state))
    }

    /// An access by a pointer into the workspace and no value of it: of its last cache line, or before the first step.
    pub(super) fn touch_workspace(
        &self,
        state: &mut State,
        (offset, bytes): (u64, u64),
        workspace_bytes: u64,
        writes: bool,
    ) -> Result<(), String> {
        if workspace_bytes - WORKSPACE_ALIGN as u64 <= offset {
            return Ok(());
        }
        let span = Span { start: offset, end: offset + bytes };
        if writes && state.track.version.is_none() && span.end <= workspace_bytes - WORKSPACE_ALIGN as u64 {
            state.track.early = state.track.early.join(span);
            let effect = state.track.effect(Origin::WORKSPACE);
            effect.written = effect.written.join(span);
            return Ok(());
        }
        let layout = self.layout(state).or(self.layouts.first().copied());
        let value = layout.map_or(String::new(), |layout| layout.dead(offset));
        Err(format!("{}: {bytes} bytes at byte {offset} of the workspace, {value}", self.place(state)))
    }

    /// An access by a pointer into a value.
    pub(super) fn touch_value(
        &self,
        state: &mut State,
        idx: usize,
        address: Value,
        (bytes, writes): (u64, bool),
    ) -> Result<(), String> {
        let layout = self.layouts[state.track.version.unwrap_or(0)];
        let region = &layout.regions[idx];
        let offset = address.offset;
        if address.rows != 0 || region.bytes < offset || region.bytes - offset < bytes {
            return Err(format!(
                "{}: {bytes} bytes at byte {} of {}, which has {}",
                self.place(state),
                offset as i64,
                region.name,
                region.bytes
            ));
        }
        self.check_live(state, idx)?;
        let span = Span { start: offset, end: offset + bytes };
        if writes {
            let effect = state.track.effect(address.origin);
            effect.written = effect.written.join(span);
            state.track.written[idx] = state.track.written[idx].join(span);
            return Ok(());
        }
        let effect = state.track.effect(address.origin);
        if !effect.written.holds(span) {
            effect.read = effect.read.join(span);
        }
        self.read(state, idx, span)
    }

    /// What is read must have been written: in a task, by another one at the latest.
    fn read(&self, state: &mut State, idx: usize, span: Span) -> Result<(), String> {
        if state.track.written[idx].holds(span) {
            return Ok(());
        }
        if !self.in_task {
            return Err(self.unwritten(state, idx, span));
        }
        let kernel = state.track.kernel;
        state.track.want(Wanted { value: idx, read: span, kernel });
        Ok(())
    }

    /// A pointer that outlives the step that it was made in reaches nothing that is dead.
    fn check_live(&self, state: &State, idx: usize) -> Result<(), String> {
        let region = self.layout(state).map(|layout| &layout.regions[idx]);
        match region.filter(|region| !state.track.step.is_some_and(|step| region.is_live(step))) {
            None => Ok(()),
            Some(region) => Err(format!("{}: {} is dead", self.place(state), region.name)),
        }
    }

    /// Does to the values what a call does that isn't walked again.
    pub(super) fn replay(&self, state: &mut State, effects: &[Effect]) -> Result<(), String> {
        for effect in effects {
            match effect.origin.value_idx() {
                Some(idx) => {
                    self.check_live(state, idx)?;
                    self.read(state, idx, effect.read)?;
                    state.track.written[idx] = state.track.written[idx].join(effect.written);
                }
                None => state.track.early = state.track.early.join(effect.written),
            }
        }
        Ok(())
    }
}
