//! What generators and the scheduler choose for an instruction set.

/// Choices that the processor leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Channels of a panel of packed weights, where instruction sets of several vector widths share them; `None` for panels as
    /// wide as the register tile.
    pub panel_channels: Option<usize>,
    /// Steps of a reduction that are written out at once.
    pub unroll: usize,
    /// Whether kernels take their reader so long that short ones are preferred, and that one thread runs those of several where
    /// it loses nothing by that.
    pub few_kernels: bool,
    /// Cycles below which a part isn't worth the hand-over to another thread.
    pub least_part_cycles: usize,
}

impl Policy {
    /// For machine code that is ours to the last instruction.
    pub const MACHINE_CODE: Policy = Policy {
        panel_channels: None,
        // Eight are as fast where the code stays, and slower where it runs once; full unrolling is ruinous.
        unroll: 4,
        few_kernels: false,
        // The hand-over to a thread that spins takes about a microsecond.
        least_part_cycles: 4000,
    };

    /// For instruction sets of several vector widths in one object.
    pub(super) const SHARED_PANELS: Policy = Policy { panel_channels: Some(16), ..Policy::MACHINE_CODE };
}
