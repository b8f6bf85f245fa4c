//! Filters of fully connected layers, each weight of which is used once: a pointwise layer before them fetches them into the second-level
//! cache while it computes.
//!
//! Memory gives such a layer its weights more slowly than it takes them, and has little to do before. A pointwise layer of some pixels
//! uses each of its weights that often, and fetches its own next panel anyway.

use super::{Schedule, Share, WORD, Work};
use crate::kernels::Kernel;
use crate::target::Reader;

/// Of the second-level cache, the share that may be filled ahead: the pointwise layer's own filter passes through it as well.
const CACHE_SHARE: usize = 2;
/// Products of vectors for each line that is fetched, at least: more lines than that would keep loads waiting.
const PRODUCTS_OF_LINE: usize = 8;
/// Words of a cache line.
const LINE: usize = 16;

/// Has pointwise layers fetch what follows their filters, where those are of fully connected layers alone.
pub(super) fn fetch(schedule: &mut Schedule) {
    let isa = schedule.isa;
    // Cranelift has no such instruction, and a whole kernel beside its parts is one more for rustc.
    if isa.reader != Reader::X86 {
        return;
    }
    // Words that lie right behind a step's filter, up to the next that isn't read once.
    let mut behind = 0;
    for step in schedule.steps.iter_mut().rev() {
        match &mut step.work {
            Work::Layer { stage, share } => match &mut stage.kernel {
                Kernel::Dense(kernel) => behind += Kernel::Dense(*kernel).filter_bytes(isa) / WORD,
                Kernel::Pointwise(kernel) => {
                    let is_whole = match share {
                        Share::Alone(_) => true,
                        Share::Pair { whole_alone, .. } => *whole_alone,
                    };
                    let products = kernel.input.shape.pixels()
                        * kernel.input.depth()
                        * kernel.output.shape.channels.div_ceil(isa.lanes);
                    let own = Kernel::Pointwise(*kernel).filter_bytes(isa) / WORD;
                    let most = (products / PRODUCTS_OF_LINE * LINE).saturating_sub(own);
                    if is_whole {
                        kernel.ahead = behind.min(isa.l2_bytes / CACHE_SHARE / WORD).min(most);
                    }
                    behind = 0;
                }
                kernel if kernel.packing(isa).is_some() => behind = 0,
                _ => {}
            },
            Work::Chain(_) => behind = 0,
            Work::Copy(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Op;
    use crate::describe::builtin;
    use crate::graph::{Graph, Knobs};
    use crate::kernels::{Pointwise, Split};
    use crate::passes;
    use crate::target::{ISAS, Isa};
    use crate::weights::Parameters;

    fn schedule(resolution: &str, isa: &'static Isa) -> Schedule {
        let description = builtin("mobilenet-v1").unwrap().description();
        let knobs = Knobs { alpha: 0.25, resolution: Some(resolution.parse().unwrap()) };
        let graph = Graph::build(&description, &knobs).unwrap();
        Schedule::build(&passes::run(&graph, &Parameters::zeros(&graph)).unwrap(), isa)
    }

    fn pointwise(schedule: &Schedule) -> impl Iterator<Item = (&str, Pointwise)> {
        schedule.steps.iter().filter_map(|step| match step.kernels()[..] {
            [Kernel::Pointwise(kernel)] => Some((step.name.as_str(), *kernel)),
            _ => None,
        })
    }

    /// Lines that code fetches.
    fn n_lines(ops: &[Op]) -> usize {
        let of_one = |op: &Op| match op {
            Op::Prefetch { .. } => 1,
            Op::Loop { count, body } => *count as usize * n_lines(body),
            _ => 0,
        };
        ops.iter().map(of_one).sum()
    }

    #[test]
    fn the_last_pointwise_layer_fetches_for_the_classifier() {
        for isa in ISAS {
            for resolution in ["128", "224"] {
                let schedule = schedule(resolution, isa);
                for (name, kernel) in pointwise(&schedule) {
                    let fetches = name == "conv_pw_13" && isa.reader == Reader::X86;
                    assert_eq!(0 < kernel.ahead, fetches, "{} {resolution} {name}", isa.name);
                    assert!(kernel.ahead * WORD <= isa.l2_bytes / CACHE_SHARE);
                }
            }
        }
    }

    #[test]
    fn all_of_it_is_fetched_by_the_whole_kernel_alone() {
        for isa in ISAS.iter().filter(|isa| isa.reader == Reader::X86) {
            let schedule = schedule("224", isa);
            let (_, kernel) = pointwise(&schedule).last().expect("there are pointwise layers");
            let lines = |kernel: &Kernel| n_lines(&kernel.code(isa).body);
            let own = Kernel::Pointwise(Pointwise { ahead: 0, ..kernel });
            let (whole, own_lines) = (Kernel::Pointwise(kernel), lines(&own));
            let found = lines(&whole) - own_lines;
            // Each panel fetches the same of it in whole lines of each unrolled body.
            assert!((kernel.ahead.div_ceil(LINE)..2 * kernel.ahead / LINE).contains(&found), "{}", isa.name);
            for split in [Split::Rows(2), Split::Channels(2)] {
                for part in whole.parts(split, isa) {
                    assert!(matches!(part.kernel, Kernel::Pointwise(Pointwise { ahead: 0, .. })));
                }
            }
        }
    }
}
