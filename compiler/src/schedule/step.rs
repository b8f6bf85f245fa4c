//! One step of a schedule, and what it computes.

use super::ValueId;
use crate::kernels::{Kernel, Split};
use crate::passes::FusedId;
use crate::target::Isa;

/// What is done in one go: a layer, a chain of layers, or a change of layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The layer that it computes, `FIRST..LAST` of a chain, or `input`, `output` for a change of layout.
    pub name: String,
    /// What is computed.
    pub work: Work,
    /// The inputs of its first layer, then the residuals of the others.
    pub reads: Vec<ValueId>,
    /// The output of its last layer.
    pub writes: ValueId,
    /// How often it is done: for each image of a batch, or once for all of them together.
    pub images: usize,
    /// Cycles that it is expected to take.
    pub cycles: usize,
    /// Why these kernels with these parameters.
    pub reason: String,
}

/// What a step computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// A layer over the whole map.
    Layer {
        /// The layer.
        stage: Stage,
        /// How threads share it out.
        share: Share,
    },
    /// Several layers, a few rows at a time.
    Chain(Chain),
    /// The same numbers in another layout, by a [`Kernel::Copy`].
    Copy(Kernel),
}

/// A layer and its kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The node whose numbers the kernel takes.
    pub node: FusedId,
    /// What runs, over the whole map.
    pub kernel: Kernel,
}

/// How threads share out a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All wait for each other before it and behind it.
    Alone(Split),
    /// It is one layer of a pair, the steps of which follow each other: each part of the second runs right behind the part of the
    /// first whose rows it reads, so that threads wait for each other once for both.
    Pair {
        /// Which layer of the two.
        half: Half,
        /// Parts, each of whole rows; the same number in both steps.
        parts: usize,
        /// Whether a run on one thread computes the layer whole instead of part by part.
        whole_alone: bool,
    },
}

/// A layer of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The one that is read.
    First,
    /// The one that reads it.
    Second,
}

/// Layers that are computed together, a band of rows at a time. Each is the only reader of the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The layers, two or more.
    pub stages: Vec<Stage>,
    /// Rows of the last layer that a band computes.
    pub band_rows: usize,
    /// For each part that a thread takes, the rows between its layers, as one buffer. A run on one thread takes the first.
    pub buffers: Vec<ValueId>,
    /// Bytes into a part's buffer where the rows behind each layer but the last begin.
    pub buffer_offsets: Vec<usize>,
}

impl Chain {
    /// Among what its step reads, the residual of a stage.
    pub fn residual(&self, stage: usize) -> usize {
        let before = &self.stages[..stage];
        1 + before.iter().filter(|stage| stage.kernel.residual().is_some()).count()
    }

    /// The kernels of its layers.
    pub fn kernels(&self) -> Vec<&Kernel> {
        self.stages.iter().map(|stage| &stage.kernel).collect()
    }
}

impl Step {
    /// Its layers with their kernels; none for a change of layout.
    pub fn stages(&self) -> &[Stage] {
        match &self.work {
            Work::Layer { stage, .. } => std::slice::from_ref(stage),
            Work::Chain(chain) => &chain.stages,
            Work::Copy(_) => &[],
        }
    }

    /// The chain, if it is one.
    pub fn chain(&self) -> Option<&Chain> {
        match &self.work {
            Work::Chain(chain) => Some(chain),
            Work::Layer { .. } | Work::Copy(_) => None,
        }
    }

    /// The buffers of its parts; only a chain has such.
    pub fn buffers(&self) -> &[ValueId] {
        self.chain().map_or(&[], |chain| &chain.buffers)
    }

    /// The kernels, in the order in which they run.
    pub fn kernels(&self) -> Vec<&Kernel> {
        match &self.work {
            Work::Layer { stage, .. } => vec![&stage.kernel],
            Work::Chain(chain) => chain.kernels(),
            Work::Copy(kernel) => vec![kernel],
        }
    }

    /// Which layer of a pair it is, if of any.
    pub fn half(&self) -> Option<Half> {
        match self.work {
            Work::Layer { share: Share::Pair { half, .. }, .. } => Some(half),
            Work::Layer { share: Share::Alone(_), .. } | Work::Chain(_) | Work::Copy(_) => None,
        }
    }

    /// Into which parts it is cut for threads.
    pub fn split(&self) -> Split {
        match &self.work {
            Work::Layer { share: Share::Alone(split), .. } => *split,
            Work::Layer { share: Share::Pair { parts, .. }, .. } => Split::Rows(*parts),
            Work::Chain(chain) => Split::Rows(chain.buffers.len()),
            Work::Copy(_) => Split::Whole,
        }
    }

    /// The names of the kernels, joined by `+`.
    pub fn kernel_names(&self, isa: &Isa) -> String {
        let names: Vec<String> = self.kernels().iter().map(|kernel| kernel.name(isa).to_string()).collect();
        names.join("+")
    }

    /// The kernel, or how a chain of them runs, in a few words.
    pub fn summary(&self, isa: &Isa) -> String {
        match &self.work {
            Work::Layer { .. } | Work::Copy(_) => self.kernel_names(isa),
            Work::Chain(chain) => {
                format!("{} kernels in bands of {} rows", chain.stages.len(), chain.band_rows)
            }
        }
    }
}
