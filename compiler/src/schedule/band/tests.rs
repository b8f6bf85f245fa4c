use std::cell::Cell;
use std::ops::Range;

use super::cut::{Chain, cut};
use super::*;
use crate::graph::layer::Activation;
use crate::graph::shape::{Axis, Shape, Window};
use crate::graph::tensor::{Dtype, Tensor};
use crate::kernels::{Depthwise, Ending, FeatureMap, Form, IntegerEnding, Kernel, Pointwise, Tile};
use crate::passes::Fit;
use crate::target::X86_64_V3;

thread_local! {
    /// How many stages were put before a chain, in this thread.
    pub(super) static N_STAGES_LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

fn depthwise(window: Window, height: usize, width: usize) -> Kernel {
    let map = |height: usize| FeatureMap::tight(Tensor::f32(Shape { height, width, channels: 8 }));
    let input = map(height);
    let output = map(window.rows.output(height).expect("the window fits"));
    Kernel::Depthwise(Depthwise {
        form: Form::Taps,
        window,
        input,
        output,
        ending: Ending::Float(Activation::None),
        rows: 1,
        pixels: 4,
    })
}

/// A window of 3x3 that loses no row.
fn same(stride: usize, height: usize) -> Kernel {
    let after = if stride == 1 || height % 2 == 1 { 1 } else { 0 };
    let rows = Axis { kernel: 3, stride, dilation: 1, before: 1, after };
    depthwise(Window { rows, columns: Axis { after: 1, ..rows } }, height, 8)
}

fn pointwise(height: usize, width: usize) -> Kernel {
    pointwise_that_ends(Ending::Float(Activation::None), height, width)
}

/// Of numbers or of bytes.
fn pointwise_that_ends(ending: Ending, height: usize, width: usize) -> Kernel {
    let shape = Shape { height, width, channels: 8 };
    let map = FeatureMap::tight(Tensor { shape, dtype: ending.dtype() });
    let tile = Tile { mr: 6, vectors: 1 };
    Kernel::Pointwise(Pointwise { input: map, residual: None, output: map, ending, tile, ahead: 0 })
}

/// SplitMix64: numbers that a seed determines.
struct Random(u64);

impl Random {
    /// From `low` to `high`, both possible.
    fn within(&mut self, low: usize, high: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + ((z ^ (z >> 31)) % (high - low + 1) as u64) as usize
    }
}

/// A random chain of windows, pointwise layers among them.
fn chain(random: &mut Random) -> Vec<Kernel> {
    let mut height = random.within(2, 70);
    // From rows that a pointwise stage takes one by one to rows of which it takes many at once.
    let width = [8, 64, 150, 512][random.within(0, 3)];
    let mut stages = Vec::new();
    for _ in 0..random.within(2, 6) {
        let stage = if random.within(0, 3) == 0 {
            pointwise(height, width)
        } else {
            let (kernel, stride) = (random.within(1, 7), random.within(1, 4));
            let [before, after] = match random.within(0, 3) {
                0 => [0, 0],
                1 => [kernel / 2; 2],
                2 => [(kernel - 1) / 2, kernel / 2],
                _ => [random.within(0, kernel - 1), random.within(0, kernel - 1)],
            };
            let dilation = if random.within(0, 3) == 0 { random.within(2, 3) } else { 1 };
            let rows = Axis { kernel, stride, dilation, before, after };
            if rows.output(height).is_none() {
                continue;
            }
            depthwise(Window { rows, columns: Window::POINTWISE.columns }, height, width)
        };
        height = stage.output().shape.height;
        stages.push(stage);
    }
    if stages.len() < 2 { chain(random) } else { stages }
}

/// The buffers of a part behind all stages but the last. A row is known by its number.
#[derive(Clone, Debug)]
struct Buffers(Vec<Vec<Option<usize>>>);

impl Buffers {
    fn new(capacities: &[usize]) -> Buffers {
        Buffers(capacities.iter().map(|rows| vec![None; *rows]).collect())
    }

    /// The places of rows in a buffer that begins with the row `base`; a fault where it has no such place.
    fn places(&self, stage: usize, rows: &Range<usize>, base: usize) -> Result<Range<usize>, String> {
        let len = self.0[stage].len();
        match (rows.start.checked_sub(base), rows.end.checked_sub(base)) {
            (Some(start), Some(end)) if end <= len => Ok(start..end),
            _ => Err(format!("rows {rows:?} from row {base} on in the {len} behind stage {stage}")),
        }
    }

    fn read(&self, stage: usize, rows: Range<usize>, base: usize) -> Result<(), String> {
        let places = self.places(stage, &rows, base)?;
        if self.0[stage][places.clone()].iter().copied().eq(rows.clone().map(Some)) {
            return Ok(());
        }
        Err(format!("rows {rows:?} behind stage {stage} read, found {:?}", &self.0[stage][places]))
    }

    fn write(&mut self, stage: usize, rows: Range<usize>, base: usize) -> Result<(), String> {
        let places = self.places(stage, &rows, base)?;
        self.0[stage][places].iter_mut().zip(rows).for_each(|(place, row)| *place = Some(row));
        Ok(())
    }

    /// Makes the moves, which must find all that they read; `before` are the buffers of the part before. Hands back the rows
    /// of each stage that were computed.
    fn make(
        &mut self,
        stages: &[&Kernel],
        moves: &[&Move],
        before: Option<&Buffers>,
    ) -> Result<Vec<Vec<usize>>, String> {
        let mut computed = vec![Vec::new(); stages.len()];
        for step in moves {
            match (*step).clone() {
                Move::Compute { stage, rows, input_base, output_base } => {
                    let read = stages[stage].input_rows(rows.clone());
                    match stage.checked_sub(1) {
                        Some(before) => self.read(before, read, input_base)?,
                        None if read.end <= stages[0].input().shape.height => {}
                        None => return Err(format!("rows {read:?} of the input")),
                    }
                    computed[stage].extend(rows.clone());
                    if stage + 1 != stages.len() {
                        self.write(stage, rows, output_base)?;
                    }
                }
                Move::Keep { stage, rows, base } => {
                    self.read(stage, rows.clone(), base)?;
                    self.write(stage, rows.clone(), rows.start)?;
                }
                Move::Take { stage, rows, from_base, to_base } => {
                    before.ok_or("no part before")?.read(stage, rows.clone(), from_base)?;
                    self.write(stage, rows, to_base)?;
                }
            }
        }
        Ok(computed)
    }
}

/// A part of a chain that has run.
struct Done {
    buffers: Buffers,
    /// Its stages' rows, in the order in which they were computed.
    computed: Vec<Vec<usize>>,
}

/// Runs a part, after `before` where it resumes.
fn part(
    stages: &[&Kernel],
    walk: &Walk,
    capacities: &[usize],
    before: Option<&Done>,
) -> Result<Done, String> {
    let first = match (before, &walk.resumed) {
        (None, _) => &walk.bands[0],
        (Some(_), Some(resumed)) => resumed,
        (Some(_), None) => return Err("the first part can't resume".to_owned()),
    };
    let moves: Vec<&Move> = first.iter().chain(walk.bands[1..].iter().flatten()).collect();
    let mut buffers = Buffers::new(capacities);
    let computed = buffers.make(stages, &moves, before.map(|done| &done.buffers))?;
    Ok(Done { buffers, computed })
}

/// Every subset of the parts resumed. A part that begins anew doesn't look at the one before, so each subset is made of runs of
/// parts of which all but the first resume: these are all runs.
fn check(stages: &[&Kernel], n_parts: usize, band_rows: usize) -> Result<usize, String> {
    let walks = walks(stages, n_parts, band_rows, &X86_64_V3);
    let capacities = capacities(stages, n_parts, band_rows, &X86_64_V3);
    let last = stages.len() - 1;
    let rows = parts(stages[last].output().shape.height, n_parts);
    let mut n_taken = 0;
    for first in 0..n_parts {
        let mut before: Option<Done> = None;
        for idx in first..n_parts {
            let done = part(stages, &walks[idx], &capacities, before.as_ref())
                .map_err(|fault| format!("part {idx} after parts {first}..{idx}: {fault}"))?;
            if done.computed[last] != rows[idx].clone().collect::<Vec<usize>>() {
                return Err(format!("part {idx} computed rows {:?} of {:?}", done.computed[last], rows[idx]));
            }
            // In order, and none that the part before has computed.
            let so_far = before.map_or(vec![0; stages.len()], |before| ends(&before, stages.len()));
            for (stage, rows) in done.computed.iter().enumerate() {
                let ascends = rows.windows(2).all(|pair| pair[0] < pair[1]);
                if !ascends || rows.first().is_some_and(|row| *row < so_far[stage]) {
                    return Err(format!("part {idx} computed rows {rows:?} of stage {stage}"));
                }
            }
            before = Some(done);
        }
        n_taken +=
            walks[first].resumed.iter().flatten().filter(|step| matches!(step, Move::Take { .. })).count();
    }
    Ok(n_taken)
}

/// Behind the last row of each stage that a part has computed.
fn ends(done: &Done, n_stages: usize) -> Vec<usize> {
    (0..n_stages).map(|stage| done.computed[stage].last().map_or(0, |row| row + 1)).collect()
}

#[test]
fn random_chains_find_every_row_whoever_resumes() {
    let mut random = Random(1);
    let (mut n_checked, mut n_taken) = (0, 0);
    for _ in 0..12_000 {
        let stages = chain(&mut random);
        let stages: Vec<&Kernel> = stages.iter().collect();
        let height = stages[stages.len() - 1].output().shape.height;
        let n_parts = random.within(2, 8).min(height);
        let most_rows = [4, height][random.within(0, 1)];
        let band_rows = random.within(1, most_rows);
        n_taken += check(&stages, n_parts, band_rows).unwrap_or_else(|fault| {
            panic!("{n_parts} parts, bands of {band_rows} rows: {fault}\n{stages:?}");
        });
        n_checked += usize::from(n_parts != 1);
    }
    assert!(
        8000 < n_checked && 15_000 < n_taken,
        "{n_checked} chains of several parts, {n_taken} rows taken over"
    );
}

/// What a chain is cut by is what it needs.
#[test]
fn a_chain_that_grows_counts_the_bytes_of_its_walk() {
    let mut random = Random(2);
    for _ in 0..1000 {
        let stages = chain(&mut random);
        let stages: Vec<&Kernel> = stages.iter().collect();
        let last = stages[stages.len() - 1];
        let band_rows = random.within(1, last.output().shape.height);
        let mut grown = Chain::of(last, band_rows, &X86_64_V3);
        for first in (0..stages.len() - 1).rev() {
            grown.put_before(stages[first]);
            let stages = &stages[first..];
            let rows = capacities(stages, 1, band_rows, &X86_64_V3);
            let buffers = stages.iter().zip(rows).map(|(stage, rows)| rows * stage.output().row_stride() * 4);
            let filters = stages.iter().filter_map(|stage| stage.packing(&X86_64_V3));
            let filters = filters.map(|packing| packing.len() * 4);
            assert_eq!(grown.bytes(), buffers.sum::<usize>() + filters.sum::<usize>(), "{stages:#?}");
        }
    }
}

/// Each stage computes its rows once and in order on one thread; a part in the middle begins above its first window.
#[test]
fn every_row_is_computed_once_where_nobody_shares() {
    // Whose rows are so wide that a pointwise stage takes them one by one.
    let (first, second, third, last) = (same(1, 24), same(2, 24), pointwise(12, 512), same(1, 12));
    let stages = [&first, &second, &third, &last];
    for band_rows in 1..=12 {
        let [walk] = &walks(&stages, 1, band_rows, &X86_64_V3)[..] else { panic!("one part has one walk") };
        let capacities = capacities(&stages, 1, band_rows, &X86_64_V3);
        assert_eq!(capacities[1], 1, "a row between two stages of a group");
        let done = part(&stages, walk, &capacities, None).unwrap();
        assert_eq!(done.computed, [24, 12, 12, 12].map(|rows| (0..rows).collect::<Vec<usize>>()));
    }
    let second_part = &walks(&[&first, &second], 2, 12, &X86_64_V3)[1];
    assert!(matches!(&second_part.bands[0][0], Move::Compute { stage: 0, rows, .. } if *rows == (11..24)));
}

#[test]
fn chains_end_where_the_least_leaves_the_cache() {
    let lens = |height| {
        let stages = [&same(1, height), &same(2, height), &pointwise(height / 2, 8)];
        cut(&stages, &X86_64_V3)
    };
    // Maps of 2 KiB stay in the cache; of 1 MiB and half of it only the smaller do.
    assert_eq!(lens(8), [1, 1, 1]);
    assert_eq!(lens(4096), [2, 1]);
}

#[test]
fn bytes_are_cut_as_numbers_are() {
    let (activation, bytes, addition, borders) = (Activation::None, None, None, None);
    let of_bytes = Ending::Integer(IntegerEnding {
        fit: Fit::Two,
        activation,
        bytes,
        addition,
        in_mantissas: false,
        borders,
    });
    let lens = |ending, height| {
        let stage = pointwise_that_ends(ending, height, 8);
        assert_eq!(stage.output().dtype, ending.dtype());
        cut(&[&stage; 3], &X86_64_V3)
    };
    assert_eq!(of_bytes.dtype(), Dtype::U8);
    for height in [8, 1024, 2048, 2049, 4096] {
        assert_eq!(lens(of_bytes, height), lens(Ending::Float(Activation::None), height), "{height} rows");
    }
    assert_eq!(lens(of_bytes, 2049), [3]);
}

/// In which filters and rows of 60 pointwise layers would fit, and a map of 200 rows doesn't.
static SMALL_CACHE: Isa = Isa { l2_bytes: 48 << 10, ..X86_64_V3 };

/// Twice the layers, twice the work; where all maps stay in the cache, none.
#[test]
fn the_work_of_cutting_grows_with_the_layers() {
    let n_looked_at = |n_stages: usize, height: usize| {
        let stage = pointwise(height, 8);
        N_STAGES_LOOKED_AT.set(0);
        let lens = cut(&vec![&stage; n_stages], &SMALL_CACHE);
        assert_eq!(lens.iter().sum::<usize>(), n_stages);
        N_STAGES_LOOKED_AT.get()
    };
    assert_eq!(n_looked_at(4096, 8), 0);
    let (half, whole) = (n_looked_at(512, 200), n_looked_at(1024, 200));
    // Chains of 32 stages at most, fewer before the first 31 stages.
    assert_eq!(half, 31 * 512 - 31 * 32 / 2);
    assert_eq!(whole, 31 * 1024 - 31 * 32 / 2);
}

#[test]
fn parts_share_no_row_of_the_last_stage() {
    assert_eq!(parts(7, 3), [0..2, 2..4, 4..7]);
}
