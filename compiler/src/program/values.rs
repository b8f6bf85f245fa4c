//! What lies in the workspace: the values of the plan, and of a chain the rows behind each of its layers.

use std::ops::Range;

use super::{Argument, ProgramValue};
use crate::graph::tensor::Dtype;
use crate::passes::Fused;
use crate::plan::Plan;
use crate::schedule::ValueId;

/// The values of a program, and where to find that of a plan's value.
pub(super) struct Values<'a> {
    pub(super) plan: &'a Plan,
    pub(super) network: &'a Fused,
    pub(super) values: Vec<ProgramValue>,
    /// For each value of the schedule, the position of the first that is made of it; `None` where it isn't in the workspace.
    first: Vec<Option<usize>>,
}

impl Values<'_> {
    pub(super) fn of<'a>(plan: &'a Plan, network: &'a Fused) -> Values<'a> {
        let schedule = &plan.schedule;
        let mut slots = plan.slots.clone();
        slots.sort_by_key(|slot| slot.value);
        let mut values = Vec::new();
        let mut first = vec![None; schedule.values.len()];
        for slot in slots {
            first[slot.value.0] = Some(values.len());
            let value = schedule.value(slot.value);
            let value_of = |(name, dtype): (String, Dtype), start: usize, end: usize| ProgramValue {
                name,
                offset: slot.offset + start,
                dtype,
                bytes: end - start,
                first_step: slot.first_step,
                last_step: slot.last_step,
            };
            let len = value.bytes();
            let step = &schedule.steps[slot.first_step];
            let Some(chain) = step.chain().filter(|chain| chain.buffers.contains(&slot.value)) else {
                values.push(value_of((value.name.clone(), value.map.dtype), 0, len));
                continue;
            };
            let ends = chain.buffer_offsets.iter().skip(1).copied().chain([len]);
            for ((stage, start), end) in chain.stages.iter().zip(&chain.buffer_offsets).zip(ends) {
                let layer = network.nodes[stage.node.0].value_name();
                let dtype = stage.kernel.output().dtype;
                values.push(value_of((format!("{}.{layer}", value.name), dtype), *start, end));
            }
        }
        Values { plan, network, values, first }
    }

    /// So many bytes into a value of the plan.
    pub(super) fn at(&self, id: ValueId, bytes: usize) -> Argument {
        self.argument(self.position(id), bytes)
    }

    /// Bytes of the rows behind a stage, in the buffer of a part of a chain.
    pub(super) fn at_rows(&self, buffer: ValueId, stage: usize, bytes: Range<usize>) -> Argument {
        let value = self.position(buffer) + stage;
        assert!(bytes.end <= self.values[value].bytes, "a buffer of a chain holds every row");
        self.argument(value, bytes.start)
    }

    fn argument(&self, value: usize, bytes: usize) -> Argument {
        Argument::Workspace { value, offset: self.values[value].offset + bytes }
    }

    fn position(&self, id: ValueId) -> usize {
        self.first[id.0].expect("the plan places every value of the workspace")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Program;
    use super::*;
    use crate::describe::Description;
    use crate::graph::{Graph, Knobs};
    use crate::passes;
    use crate::schedule::Schedule;
    use crate::target::{Isa, Policy, X86_64_V3};
    use crate::weights::Parameters;

    /// So little cache and so short parts that three layers make a chain in two parts.
    static SMALL_CACHE: Isa = Isa {
        l2_bytes: 4 << 10,
        policy: Policy { least_part_cycles: 2500, ..X86_64_V3.policy },
        ..X86_64_V3
    };

    pub(in crate::program) fn program() -> Program {
        let description = "name = \"net\"\nclasses = 1\ninput = { height = 24, width = 8, channels = 8 }\n\
            [[layer]]\nkind = \"depthwise\"\n[[layer]]\nkind = \"depthwise\"\n[[layer]]\nkind = \"depthwise\"\n\
            [[layer]]\nkind = \"global_average_pool\"\n";
        let description = Description::parse(description, "net.toml").unwrap();
        let graph = Graph::build(&description, &Knobs::default()).unwrap();
        let network = passes::run(&graph, &Parameters::random(&graph, 1)).unwrap();
        let plan = Plan::build(Schedule::build(&network, &SMALL_CACHE));
        Program::build(&plan, &network)
    }

    #[test]
    fn the_rows_behind_a_layer_of_a_chain_are_a_value_of_each_part() {
        let program = program();
        let names: Vec<&str> = program.values.iter().map(|value| value.name.as_str()).collect();
        let chain = |part: usize, layer: usize| format!("conv_dw_1..conv_dw_3.band_{part}.conv_dw_{layer}");
        let rows = [chain(0, 1), chain(0, 2), chain(1, 1), chain(1, 2)];
        assert_eq!(names[..5], ["input", &rows[0], &rows[1], &rows[2], &rows[3]]);
        // One behind the other in the buffer of their part.
        let [first, second] = [1, 2].map(|idx| &program.values[idx]);
        assert_eq!(first.offset + first.bytes, second.offset);
        let is_inside = |argument: &Argument| match *argument {
            Argument::Workspace { value, offset } => {
                let value = &program.values[value];
                (value.offset..value.offset + value.bytes).contains(&offset)
            }
            _ => true,
        };
        let tasks = program.steps.iter().flat_map(|step| &step.tasks);
        let calls: Vec<_> =
            tasks.flat_map(|task| [task.calls.clone(), task.resumed_calls()].concat()).collect();
        assert!(calls.iter().flat_map(|call| &call.arguments).all(is_inside));
    }
}
