//! What the matrix-like kernels share: register tiles, even splits, packed panels, the reduction and the epilogue.

use std::ops::Range;

use super::ending::Operands;
use super::epilogue::{Sum, store_activated};
use super::halves::OPERANDS;
use super::panel::Panels;
use super::{Ending, FeatureMap, IntegerEnding, narrow};
use crate::code::{Address, Builder, Op, Ptr, Reg};
use crate::graph::tensor::Dtype;
use crate::target::Isa;

/// A register tile: `mr` pixels x `vectors` vectors of channels, one accumulator each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Pixels.
    pub mr: usize,
    /// Vectors of output channels.
    pub vectors: usize,
}

/// Channels rounded up to whole vectors.
pub fn padded_channels(channels: usize, isa: &Isa) -> usize {
    channels.next_multiple_of(isa.lanes)
}

/// `extent` as pieces of at most `most`, as even as can be: (size, how many), larger ones first.
///
/// A remainder of one piece would leave most accumulators idle; 49 pixels in sixes are 4 x 6 + 5 x 5.
pub(crate) fn split_evenly(extent: usize, most: usize) -> Vec<(usize, usize)> {
    let pieces = extent.div_ceil(most);
    let (base, larger) = (extent / pieces, extent % pieces);
    [(base + 1, larger), (base, pieces - larger)].into_iter().filter(|(_, count)| *count != 0).collect()
}

/// Panels of `tile.vectors` vectors over `n` channels: (vectors, how many), the narrower rest last.
pub(super) fn panels(n: usize, tile: Tile, isa: &Isa) -> Vec<(usize, usize)> {
    let vectors = n.div_ceil(isa.lanes);
    let (full, rest) = (vectors / tile.vectors, vectors % tile.vectors);
    [(tile.vectors, full), (rest, usize::from(rest != 0))]
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .collect()
}

/// A run of equal rows, or of equal column tiles: how many, where the first one begins, and the taps each position takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run<T = Range<usize>> {
    /// First output position of the run.
    pub(super) first: usize,
    /// How often the piece is repeated.
    pub(super) count: usize,
    /// For each position of the piece, the taps that are inside the feature map.
    pub(super) taps: Vec<T>,
}

impl<T> Run<T> {
    /// Output positions of one piece.
    pub(super) fn len(&self) -> usize {
        self.taps.len()
    }
}

/// Cuts `extent` output positions of an axis into pieces of at most `most` and joins neighbours that take the same taps, so
/// that the border gets code of its own and the inside a loop.
pub(super) fn runs<T: PartialEq>(extent: usize, most: usize, taps: impl Fn(usize) -> T) -> Vec<Run<T>> {
    let mut runs: Vec<Run<T>> = Vec::new();
    let mut first = 0;
    for (len, count) in split_evenly(extent, most) {
        for _ in 0..count {
            let taps: Vec<T> = (first..first + len).map(&taps).collect();
            match runs.last_mut() {
                Some(run) if run.taps == taps => run.count += 1,
                _ => runs.push(Run { first, count: 1, taps }),
            }
            first += len;
        }
    }
    runs
}

/// The accumulators of a tile and the registers left for its operands.
pub(super) struct Registers {
    /// By pixel, then by vector.
    pub(super) accumulators: Vec<Vec<Reg>>,
    /// One for each two pixels, if they share their last vector ([`super::halves`]).
    pub(super) halves: Vec<Reg>,
    pub(super) scratch: Vec<Reg>,
    /// Where the weights of the tile's channels lie.
    pub(super) panels: Panels,
    /// What is summed, and what becomes of it.
    pub(super) ending: Ending,
}

impl Registers {
    /// All registers of the instruction set, divided between accumulators and operands.
    pub(super) fn take(b: &mut Builder, isa: &Isa, rows: usize, panels: Panels, ending: Ending) -> Registers {
        let vectors = panels.vectors;
        let n_whole = vectors - usize::from(panels.ends_in_half);
        let accumulators = (0..rows).map(|_| b.registers(n_whole)).collect();
        let n_halves = if panels.ends_in_half { rows.div_ceil(2) } else { 0 };
        let halves = b.registers(n_halves);
        let scratch = b.registers(ending.registers(isa) - rows * n_whole - n_halves);
        let n_operands = if panels.ends_in_half { vectors + OPERANDS } else { rows.min(vectors) + 1 };
        assert!(n_operands <= scratch.len(), "a tile of {rows}x{vectors} leaves registers for its operands");
        Registers { accumulators, halves, scratch, panels, ending }
    }

    /// Gives all of them back.
    pub(super) fn give_back(self, b: &mut Builder) {
        b.free(self.accumulators.into_iter().flatten().chain(self.halves).chain(self.scratch));
    }

    /// Starts each sum from the bias at the head of its panel, that of its row's border, and moves `weights` behind the head.
    pub(super) fn start(&self, b: &mut Builder, weights: Ptr, border: impl Fn(usize) -> usize) {
        let borders: Vec<usize> = (0..self.accumulators.len()).map(border).collect();
        for (row, accumulators) in self.accumulators.iter().enumerate() {
            let same = borders[..row].iter().position(|border| *border == borders[row]);
            for (idx, acc) in accumulators.iter().enumerate() {
                match same {
                    None => b.load(*acc, weights.at(self.panels.at(borders[row], idx))),
                    Some(before) => b.copy(*acc, self.accumulators[before][idx]),
                }
            }
        }
        self.start_halves(b, weights);
        b.advance(weights, self.panels.head * self.panels.width);
    }

    /// A pointer to the head of the panels, which lies so many words before another, for [`Finish`].
    pub(super) fn head(&self, b: &mut Builder, weights: Ptr, words: usize) -> Ptr {
        if self.ending.dtype() == Dtype::F32 {
            return weights;
        }
        let head = b.pointer();
        b.set_pointer(head, weights, -(words as isize));
        head
    }

    /// Gives it back.
    pub(super) fn free_head(&self, b: &mut Builder, weights: Ptr, head: Ptr) {
        if head != weights {
            b.free_pointers([head]);
        }
    }

    /// Adds the residual to every accumulator, applies the activation and stores it; or makes of integers what becomes of them.
    pub(super) fn finish(&self, b: &mut Builder, isa: &Isa, finish: Finish) {
        let Finish { residual, output, .. } = finish;
        let activation = match self.ending {
            Ending::Float(activation) => activation,
            Ending::Bytes(_) => unreachable!("what makes bytes of numbers has no tile"),
            Ending::Integer(ending) => return self.finish_integers(b, isa, ending, finish),
        };
        let sum = |row: usize, idx: usize, register: Reg| Sum {
            register,
            addend: residual.map(|residual| residual.at(row, idx, isa)),
            place: output.at(row, idx, isa),
        };
        let (last, scratch) = self.part_halves(b);
        let vectors = |row: usize| self.accumulators[row].iter().chain(last.get(row)).enumerate();
        let sums: Vec<Sum> = (0..self.accumulators.len())
            .flat_map(|row| vectors(row).map(move |(idx, register)| sum(row, idx, *register)))
            .collect();
        store_activated(b, activation, scratch, &sums);
    }
}

impl Registers {
    /// Makes of integers what becomes of them and stores it.
    fn finish_integers(&self, b: &mut Builder, isa: &Isa, ending: IntegerEnding, finish: Finish) {
        let Finish { residual, output, filter } = finish;
        let at_once = ending.bytes.filter(|_| isa.zips_bytes);
        for idx in 0..self.panels.vectors {
            let [multiplier, factor] =
                [0, 1].map(|row| filter.at(self.panels.at(ending.multiplier_row() + row, idx)));
            let sums: Vec<Reg> = self.accumulators.iter().map(|registers| registers[idx]).collect();
            let residuals: Vec<Address> = residual
                .iter()
                .flat_map(|residual| (0..sums.len()).map(|row| residual.at(row, idx, isa)))
                .collect();
            let operands = Operands { multiplier, factor, residuals: &residuals };
            if let Some(bytes) = at_once {
                ending.integers(b, operands, &self.scratch, (&sums, bytes));
            } else {
                let place = |(row, sum): (usize, &Reg)| (*sum, output.at(row, idx, isa));
                let sums: Vec<(Reg, Address)> = sums.iter().enumerate().map(place).collect();
                ending.store(b, operands, &self.scratch, &sums);
            }
        }
        if at_once.is_some() {
            narrow::store_all(b, self.scratch[0], &self.neighbours(output, isa));
        }
    }

    /// The sums whose bytes lie one behind the other, with where the first of them lies: those of a pixel, or of all pixels where a
    /// pixel has no more than those.
    fn neighbours(&self, output: Rows, isa: &Isa) -> Vec<(Vec<Reg>, Address)> {
        let is_whole = self.panels.vectors * isa.lanes == output.map.pixel_stride;
        if is_whole {
            return vec![(self.accumulators.concat(), output.at(0, 0, isa))];
        }
        let pixel = |(row, registers): (usize, &Vec<Reg>)| (registers.clone(), output.at(row, 0, isa));
        self.accumulators.iter().enumerate().map(pixel).collect()
    }
}

/// Where the sums of a tile go.
pub(super) struct Finish {
    /// What is added to them before.
    pub(super) residual: Option<Rows>,
    pub(super) output: Rows,
    /// The head of the panels, of integers.
    pub(super) filter: Ptr,
}

/// Where the rows of a tile lie in a map.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) start: Ptr,
    pub(super) map: FeatureMap,
}

impl Rows {
    fn at(self, row: usize, vector: usize, isa: &Isa) -> Address {
        self.start.at(row * self.map.pixel_words() + self.map.words(vector * isa.lanes))
    }
}

/// Cache lines fetched ahead while a reduction runs: the panel that comes next, so that it is in the second-level cache when
/// its turn comes.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    /// The next line to fetch; moves on.
    pub(super) next: Ptr,
    /// Lines of each unrolled body of the reduction.
    pub(super) lines: usize,
}

/// f32 elements of a cache line.
const LINE: usize = 16;

impl Stream {
    /// How `elements` of the next panel are spread over `tiles` reductions of `depth`: (lines a body, tiles that fetch).
    pub(super) fn spread(elements: usize, depth: usize, tiles: usize, isa: &Isa) -> (usize, usize) {
        let (lines, bodies) = (elements.div_ceil(LINE), trips(depth, isa).0);
        if bodies == 0 {
            return (0, 0);
        }
        let per_body = lines.div_ceil(bodies * tiles);
        (per_body, lines.div_ceil(bodies * per_body))
    }

    fn emit(self, b: &mut Builder) {
        (0..self.lines).for_each(|line| b.push(Op::Prefetch { at: self.next.at(line * LINE) }));
        b.advance(self.next, self.lines * LINE);
    }
}

/// A reduction as (unrolled bodies, single steps behind them).
fn trips(depth: usize, isa: &Isa) -> (usize, usize) {
    let unroll = isa.policy.unroll;
    if depth < 2 * unroll { (0, depth) } else { (depth / unroll, depth % unroll) }
}

/// Where a kernel with a filter is: at the input of a row, a tile or a vector, at its part of the filter, at its output.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    pub(super) input: Ptr,
    pub(super) filter: Ptr,
    pub(super) output: Ptr,
}

impl Cursor {
    /// The same place in pointers of its own.
    pub(super) fn copied(self, b: &mut Builder) -> Cursor {
        let mut copy = |from: Ptr| {
            let ptr = b.pointer();
            b.set_pointer(ptr, from, 0);
            ptr
        };
        Cursor { input: copy(self.input), output: copy(self.output), filter: copy(self.filter) }
    }

    /// Gives its pointers back.
    pub(super) fn free(self, b: &mut Builder) {
        b.free_pointers([self.input, self.output, self.filter]);
    }
}

/// A row of a register tile in a reduction.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// Bytes from the reduction's input to the row's first element.
    pub(super) offset: usize,
    /// Bytes before it from which on its one element is loaded, where memory may end with the row.
    pub(super) early: usize,
    /// Position in [`Registers::accumulators`].
    pub(super) accumulators: usize,
}

impl Row {
    /// Where the `k`th element is.
    pub(super) fn at(self, input: Ptr, k: usize) -> Address {
        let offset = i32::try_from(self.offset).expect("an offset inside a kernel fits 31 bits");
        Address { ptr: input, offset }.after(k)
    }

    /// The `k`th element into all lanes.
    pub(super) fn splat(self, b: &mut Builder, dst: Reg, input: Ptr, k: usize) {
        let at = self.at(input, k);
        if self.early == 0 {
            return b.splat(dst, at);
        }
        b.splat(dst, Address { offset: at.offset - self.early as i32, ..at });
        // What comes in behind the bytes has weights of 0.
        b.shift_right(dst, dst, (u8::BITS as usize * self.early) as u8);
    }
}

/// A reduction over consecutive input elements: for each, the panel's weights times the element of each row, in ascending order.
pub(super) struct Reduction<'a> {
    pub(super) registers: &'a Registers,
    pub(super) rows: &'a [Row],
    /// Elements.
    pub(super) depth: usize,
    /// What is fetched meanwhile.
    pub(super) stream: Option<Stream>,
}

impl Reduction<'_> {
    /// `weights` moves on by `depth` rows of the panel.
    pub(super) fn emit(&self, b: &mut Builder, isa: &Isa, input: Ptr, weights: Ptr) {
        let width = self.registers.panels.width;
        let (trips, rest) = trips(self.depth, isa);
        let steps = |b: &mut Builder, element: Ptr, steps: usize| {
            reduce_steps(b, isa, &Reduction { depth: steps, ..*self }, element, weights);
            b.advance(weights, steps * width);
        };
        if trips == 0 {
            return steps(b, input, rest);
        }
        let element = b.pointer();
        b.set_pointer(element, input, 0);
        b.repeat(trips, |b| {
            if let Some(stream) = self.stream {
                stream.emit(b);
            }
            steps(b, element, isa.policy.unroll);
            b.advance(element, isa.policy.unroll);
        });
        if rest != 0 {
            steps(b, element, rest);
        }
        b.free_pointers([element]);
    }
}

fn reduce_steps(b: &mut Builder, isa: &Isa, reduction: &Reduction<'_>, input: Ptr, weights: Ptr) {
    let Reduction { registers, rows, depth, .. } = *reduction;
    if !registers.halves.is_empty() {
        return (0..depth).for_each(|k| registers.step_halves(b, rows, k, input, weights));
    }
    let vectors = registers.accumulators[rows[0].accumulators].len();
    let (scratch, ending) = (&registers.scratch, registers.ending);
    let takes_lanes = isa.lane_fma && ending.dtype() == Dtype::F32;
    if ending.widens_bytes(isa) {
        return (0..depth).for_each(|k| registers.step_widened(b, rows, k, input, weights));
    }
    let mut k = 0;
    if ending.adds_words(isa) {
        while 2 <= depth - k {
            registers.step_words(b, rows, k, input, weights);
            k += 2;
        }
    }
    while k < depth {
        if takes_lanes && isa.lanes <= depth - k && vectors + rows.len() <= scratch.len() {
            // One load brings the next elements of a row; each is then taken from its lane.
            let (factors, elements) = scratch.split_at(vectors);
            for (row, element) in rows.iter().zip(elements) {
                b.load(*element, row.at(input, k));
            }
            for lane in 0..isa.lanes {
                for (idx, factor) in factors.iter().enumerate() {
                    b.load(*factor, weights.at(registers.panels.at(k + lane, idx)));
                }
                for (row, element) in rows.iter().zip(elements) {
                    for (acc, factor) in registers.accumulators[row.accumulators].iter().zip(factors) {
                        b.fma_lane(*acc, *factor, *element, lane);
                    }
                }
            }
            k += isa.lanes;
        } else if vectors < rows.len() {
            // The weights stay in registers, the elements of the rows take turns in the others.
            let (factors, elements) = scratch.split_at(vectors);
            for (idx, factor) in factors.iter().enumerate() {
                b.load(*factor, weights.at(registers.panels.at(k, idx)));
            }
            for (turn, row) in rows.iter().enumerate() {
                let element = elements[turn % elements.len()];
                row.splat(b, element, input, k);
                for (acc, factor) in registers.accumulators[row.accumulators].iter().zip(factors) {
                    ending.add_product(b, *acc, element, *factor);
                }
            }
            k += 1;
        } else {
            // The elements stay, the weights take turns.
            let (elements, factors) = scratch.split_at(rows.len());
            for (row, element) in rows.iter().zip(elements) {
                row.splat(b, *element, input, k);
            }
            for idx in 0..vectors {
                let factor = factors[idx % factors.len()];
                b.load(factor, weights.at(registers.panels.at(k, idx)));
                for (row, element) in rows.iter().zip(elements) {
                    ending.add_product(b, registers.accumulators[row.accumulators][idx], *element, factor);
                }
            }
            k += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::X86_64_V3_CRANELIFT as FOUR_LANES;

    #[test]
    fn splits_are_even() {
        let check = |extent, expected: &[(usize, usize)]| assert_eq!(split_evenly(extent, 6), expected);
        check(49, &[(6, 4), (5, 5)]);
        check(12, &[(6, 2)]);
        check(1, &[(1, 1)]);
        check(7, &[(4, 1), (3, 1)]);
    }

    #[test]
    fn panels_end_with_the_narrower() {
        let tile = Tile { mr: 6, vectors: 2 };
        assert_eq!(panels(16, tile, &FOUR_LANES), [(2, 2)]);
        assert_eq!(panels(9, tile, &FOUR_LANES), [(2, 1), (1, 1)]);
        assert_eq!(panels(3, tile, &FOUR_LANES), [(1, 1)]);
    }

    #[test]
    fn border_and_inside_are_runs() {
        use crate::describe::{Padding, Slide};
        use crate::graph::shape::Window;
        let window = Window::resolve(Slide::square(3, 1), Padding::Symmetric, (12, 12));
        let found = runs(12, 3, |x| window.columns.taps(x, 12));
        let lens: Vec<(usize, usize)> = found.iter().map(|run| (run.first, run.count)).collect();
        assert_eq!(lens, [(0, 1), (3, 2), (9, 1)]);
        assert_eq!(found[0].taps, [1..3, 0..3, 0..3]);
    }
}
