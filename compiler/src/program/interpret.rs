//! Runs a program in the interpreter of its kernel language, on one thread or task by task.
//!
//! Each value of the workspace is memory of its own, which is there from the first step of the value to its last, and empty in
//! the beginning. So a kernel that leaves the value that it was called for is found out, whatever lies beside it.

use super::{Argument, Call, Program, ProgramStep, ProgramValue};
use crate::code::interpret::{self, Region, Runner, Violation};
use crate::graph::tensor::{Dtype, f32_bytes, f32_numbers};
use crate::reference;

/// A task that runs, once all those before it are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Position in [`ProgramStep::tasks`].
    pub task: usize,
    /// Whether it resumes from the task whose mark it looks at, which is done. On a pool it may also begin before that, and end
    /// after it.
    pub resumes: bool,
}

impl ProgramStep {
    /// The turns of a pool that runs the tasks in that order, one at a time: each resumes that can.
    pub fn turns(&self, order: &[usize]) -> Vec<Turn> {
        let is_marked =
            |before: &[usize], mark| before.iter().any(|task| self.tasks[*task].mark == Some(mark));
        let resumes = |idx: usize| {
            let resume = self.tasks[order[idx]].resume.as_ref();
            resume.is_some_and(|resume| is_marked(&order[..idx], resume.mark))
        };
        (0..order.len()).map(|idx| Turn { task: order[idx], resumes: resumes(idx) }).collect()
    }
}

impl Program {
    /// Runs the program as one thread does, every access checked.
    ///
    /// # Errors
    /// A kernel that leaves the value that it was called for or uses it outside of its steps, or reads what nobody wrote.
    pub fn interpret(&self, input: &[f32]) -> Result<Vec<f32>, Violation> {
        let mut memory = Memory::new(self, input)?;
        for (idx, step) in self.steps.iter().enumerate() {
            memory.begin(idx)?;
            memory.run(&step.calls, &Runner { number: 1, first_of_step: 1, after: Vec::new() })?;
            memory.end(idx);
        }
        memory.output()
    }

    /// Runs the program as a pool does, every access checked: `turns` says in which order the tasks of a step have their turn.
    ///
    /// # Errors
    /// As [`Program::interpret`]; or a task that uses what another may write at the same time: what passes in one order passes in
    /// all in which the same tasks resume.
    ///
    /// # Panics
    /// When the turns of a step are not all of its tasks, or one resumes from a task that had no turn.
    pub fn interpret_tasks(
        &self,
        input: &[f32],
        mut turns: impl FnMut(&ProgramStep) -> Vec<Turn>,
    ) -> Result<Vec<f32>, Violation> {
        let mut memory = Memory::new(self, input)?;
        let mut n_runners = 0;
        for (idx, step) in self.steps.iter().enumerate() {
            memory.begin(idx)?;
            match step.tasks.len() {
                // The tasks of the next step do it.
                0 => {}
                // The caller does it.
                1 => {
                    n_runners += 1;
                    let runner = Runner { number: n_runners, first_of_step: n_runners, after: Vec::new() };
                    memory.run(&step.calls, &runner)?;
                }
                n_tasks => {
                    let turns = turns(step);
                    let mut tasks: Vec<usize> = turns.iter().map(|turn| turn.task).collect();
                    tasks.sort_unstable();
                    assert!(tasks.into_iter().eq(0..n_tasks), "{}: each task has one turn", step.name);
                    memory.run_turns(step, &turns, n_runners)?;
                    n_runners += n_tasks as u32;
                }
            }
            memory.end(idx);
        }
        memory.output()
    }
}

/// Where the values of the workspace begin among the regions.
const VALUES: usize = 3;

/// All that kernels may reach.
struct Memory<'a> {
    program: &'a Program,
    /// Input, output, constants, then each value of the workspace.
    regions: Vec<Region>,
    /// In messages.
    step: usize,
}

impl Program {
    /// What the steps read: numbers, or the bytes that become of them.
    fn input(&self, numbers: &[f32]) -> Result<Region, Violation> {
        let Some(bytes) = &self.byte_input else {
            return Ok(Region::constant("input", Dtype::F32, f32_bytes(numbers)));
        };
        let Some(call) = &self.quantise else {
            return Ok(Region::constant("input", Dtype::U8, reference::input_bytes(bytes, numbers)));
        };
        let mut regions = [
            Region::constant("numbers", Dtype::F32, f32_bytes(numbers)),
            Region::constant("constants", Dtype::F32, self.constants.to_vec()),
            Region::uninitialised("bytes", Dtype::U8, numbers.len()),
        ];
        let argument = |argument: &Argument| match *argument {
            Argument::Input(bytes) => interpret::Argument { region: 0, byte: bytes as i64 },
            Argument::Constants(bytes) => interpret::Argument { region: 1, byte: bytes as i64 },
            Argument::Workspace { .. } => interpret::Argument { region: 2, byte: 0 },
            Argument::Output(_) => unreachable!("nothing is written to the output before the steps"),
        };
        let arguments: Vec<interpret::Argument> = call.arguments.iter().map(argument).collect();
        let kernel = &self.kernels[call.kernel];
        let runner = Runner { number: 1, first_of_step: 1, after: Vec::new() };
        interpret::run(&kernel.code, &mut regions, &arguments, &runner)
            .map_err(|violation| violation.at(&kernel.symbol))?;
        let unwritten = |element| Violation::new(format!("nobody writes byte {element} of the input"));
        Ok(Region::constant("input", Dtype::U8, regions[2].contents().map_err(unwritten)?.to_vec()))
    }
}

impl Memory<'_> {
    fn new<'a>(program: &'a Program, input: &[f32]) -> Result<Memory<'a>, Violation> {
        let mut regions = vec![
            program.input(input)?,
            Region::uninitialised("output", Dtype::F32, program.output_bytes()),
            Region::constant("constants", Dtype::F32, program.constants.to_vec()),
        ];
        regions.extend(program.values.iter().map(|value| Region::dead(&value.name, value.dtype)));
        Ok(Memory { program, regions, step: 0 })
    }

    /// Makes the values that live from this step on.
    fn begin(&mut self, step: usize) -> Result<(), Violation> {
        self.step = step;
        let values = &self.program.values;
        for (idx, value) in values.iter().enumerate().filter(|(_, value)| value.first_step == step) {
            let meets = |other: &&ProgramValue| {
                other.first_step <= step
                    && step <= other.last_step
                    && overlap(other, value)
                    && *other != value
            };
            if let Some(other) = values.iter().find(meets) {
                let text = format!("{} begins in the bytes of {}", value.name, other.name);
                return Err(Violation::new(text).at(&self.program.steps[step].name));
            }
            self.regions[VALUES + idx] = Region::uninitialised(&value.name, value.dtype, value.bytes);
        }
        Ok(())
    }

    /// Takes away the values whose last step this was.
    fn end(&mut self, step: usize) {
        for (idx, value) in self.program.values.iter().enumerate() {
            if value.last_step == step {
                self.regions[VALUES + idx] = Region::dead(&value.name, value.dtype);
            }
        }
    }

    /// Runs the tasks of a step, which may run at once; so many have run before.
    fn run_turns(&mut self, step: &ProgramStep, turns: &[Turn], n_before: u32) -> Result<(), Violation> {
        let number = |task: usize| n_before + 1 + task as u32;
        // For each task that is done, those that were done for certain when it began.
        let mut after: Vec<Option<Vec<u32>>> = vec![None; step.tasks.len()];
        for turn in turns {
            let task = &step.tasks[turn.task];
            let mut runner =
                Runner { number: number(turn.task), first_of_step: number(0), after: Vec::new() };
            let calls = if turn.resumes {
                let mark = task.resume.as_ref().map(|resume| resume.mark);
                let from = step.tasks.iter().position(|other| mark.is_some() && other.mark == mark);
                let from = from.expect("a task that resumes looks at the mark of another");
                let before = after[from].as_ref().expect("a task resumes from one that is done");
                runner.after = before.iter().copied().chain([number(from)]).collect();
                task.resumed_calls()
            } else {
                task.calls.clone()
            };
            self.run(&calls, &runner).map_err(|violation| violation.at(&format!("task {}", turn.task)))?;
            after[turn.task] = Some(runner.after);
        }
        Ok(())
    }

    fn run(&mut self, calls: &[Call], runner: &Runner) -> Result<(), Violation> {
        for call in calls {
            let arguments: Vec<interpret::Argument> =
                call.arguments.iter().map(|argument| self.argument(*argument)).collect();
            let kernel = &self.program.kernels[call.kernel];
            interpret::run(&kernel.code, &mut self.regions, &arguments, runner)
                .map_err(|violation| violation.at(&kernel.symbol).at(&self.program.steps[self.step].name))?;
        }
        Ok(())
    }

    fn argument(&self, argument: Argument) -> interpret::Argument {
        let (region, byte) = match argument {
            Argument::Input(bytes) => (0, bytes as i64),
            Argument::Output(bytes) => (1, bytes as i64),
            Argument::Constants(bytes) => (2, bytes as i64),
            Argument::Workspace { value, offset } => {
                (VALUES + value, offset as i64 - self.program.values[value].offset as i64)
            }
        };
        interpret::Argument { region, byte }
    }

    fn output(&self) -> Result<Vec<f32>, Violation> {
        let unwritten = |element| Violation::new(format!("nobody writes element {element} of output"));
        self.regions[1].contents().map(f32_numbers).map_err(unwritten)
    }
}

fn overlap(a: &ProgramValue, b: &ProgramValue) -> bool {
    a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes
}

#[cfg(test)]
mod tests {
    use super::super::values::tests::program;
    use super::*;

    /// Changes a sound program and looks for what the interpreter says, of the tasks in their order.
    fn check(change: impl FnOnce(&mut Program), expected: &str) {
        let mut program = program();
        let input: Vec<f32> = (0..program.input.len()).map(|n| n as f32).collect();
        let in_order = |step: &ProgramStep| step.turns(&(0..step.tasks.len()).collect::<Vec<usize>>());
        assert_eq!(program.interpret(&input), program.interpret_tasks(&input, in_order));
        change(&mut program);
        let found = program.interpret_tasks(&input, in_order).map(|_| "no fault".to_owned());
        let found = found.unwrap_or_else(|violation| violation.to_string());
        assert!(found.contains(expected), "{found}");
    }

    /// The first call of a task of the chain that takes its input from a buffer.
    fn call(program: &mut Program, task: usize) -> &mut Call {
        let calls = &mut program.steps[0].tasks[task].calls;
        let reads_buffer = |call: &&mut Call| matches!(call.arguments[0], Argument::Workspace { .. });
        calls.iter_mut().find(reads_buffer).unwrap()
    }

    fn offset(call: &mut Call, argument: usize) -> &mut usize {
        match &mut call.arguments[argument] {
            Argument::Workspace { offset, .. } => offset,
            _ => panic!("an argument in the workspace"),
        }
    }

    #[test]
    fn whatever_leaves_its_value_is_named() {
        let names = "task 0: conv_dw_1..conv_dw_3: conv_dw_2_f32_depthwise_3x3s1_8x8_relu6_fma3: ";
        check(|program| *offset(call(program, 0), 2) -= 4, names);
        check(
            |program| *offset(call(program, 0), 2) -= 4,
            "at byte -4 of conv_dw_1..conv_dw_3.band_0.conv_dw_2",
        );
        // Less than a row: a part may leave the last rows of its buffer to other walks.
        let behind = |program: &mut Program| program.values[1].bytes = 4;
        check(behind, "of conv_dw_1..conv_dw_3.band_0.conv_dw_1, which has");
    }

    #[test]
    fn values_are_used_in_their_steps_alone() {
        let dead = |program: &mut Program| {
            let output = program.values.iter_mut().find(|value| value.name == "conv_dw_3").unwrap();
            output.last_step = 0;
        };
        check(dead, "conv_dw_3 is used before its first step or after its last");
        let overlapping = |program: &mut Program| program.values[1].offset = program.values[2].offset;
        check(overlapping, "begins in the bytes of conv_dw_1..conv_dw_3.band_0.conv_dw_");
        let unwritten = |program: &mut Program| drop(program.steps[0].tasks[0].calls.remove(0));
        check(unwritten, "of conv_dw_1..conv_dw_3.band_0.conv_dw_1 is read before it is written");
    }

    /// Whatever the order of the turns: who reads or writes what another writes is found out, but not who looked at its mark.
    #[test]
    fn tasks_that_run_at_once_share_nothing_that_one_of_them_writes() {
        let same_rows = |program: &mut Program| {
            let task = program.steps[0].tasks[0].clone();
            program.steps[0].tasks[1] = task;
        };
        check(same_rows, "is written while another task may use it");
        let without_mark = |program: &mut Program| {
            let task = &mut program.steps[0].tasks[1];
            task.calls = task.resumed_calls();
            task.resume = None;
        };
        check(without_mark, "is read while another task may write it");
    }
}
