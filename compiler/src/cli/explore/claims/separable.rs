//! Claim 1: a depthwise separable convolution instead of a standard one, counted and timed.

use super::super::chart::{Bars, Part, Row};
use super::super::map::Measured;
use super::super::pictures::Figure;
use super::super::published::{FULL_CONV_TOP1, SEPARABLE_TOP1};
use super::{Claim, Evidence, Finding, percent, times};

/// A block of both networks at the same place: the same input, the same output.
struct Block {
    name: String,
    mult_adds: f64,
    time: f64,
}

pub(super) fn claim(evidence: Evidence<'_>) -> Claim {
    let Evidence { whole, full_conv, .. } = evidence;
    let counted = full_conv.mult_adds as f64 / whole.mult_adds as f64;
    let timed = full_conv.latency.min / whole.latency.min;
    let median = full_conv.latency.median / whole.latency.median;
    let is_8_to_9 = |ratio: f64| (8.0..=9.0).contains(&((ratio * 10.0).round() / 10.0));
    let (of_standard, of_separable) = (full_conv.share_of_peak, whole.share_of_peak);
    let blocks = blocks(whole, full_conv);
    let findings = vec![
        Finding::judged(
            is_8_to_9(counted),
            format!(
                "counted over the whole network: {:.0} against {:.0} million multiply-adds, {} times",
                full_conv.mult_adds as f64 / 1e6,
                whole.mult_adds as f64 / 1e6,
                times(counted)
            ),
        ),
        Finding::timed(
            is_8_to_9(timed),
            format!(
                "timed: {:.2} against {:.3} ms at the fastest, {} times ({} at the median)",
                full_conv.latency.min,
                whole.latency.min,
                times(timed),
                times(median)
            ),
        ),
        Finding::note(format!(
            "both near their own peak, at the fastest: the standard network at {}, the separable one at {} of the core's multiply-adds",
            percent(of_standard),
            percent(of_separable)
        )),
        Finding::note(format!(
            "the price in accuracy (Table 4, published): {SEPARABLE_TOP1} instead of {FULL_CONV_TOP1} % top-1, {:.1} points",
            FULL_CONV_TOP1 - SEPARABLE_TOP1
        )),
    ];
    Claim {
        title: "A separable convolution costs 8 to 9 times less than a standard one".to_owned(),
        paper: "1/N + 1/D_K² of the multiply-adds, so between 8 and 9 times less computation at D_K = 3 (section 3.1)".to_owned(),
        figures: vec![picture(&blocks, (counted, timed))],
        findings,
    }
}

/// The blocks of both networks, side by side: `conv_2` is where `conv_dw_1` and `conv_pw_1` are.
fn blocks(whole: &Measured, full_conv: &Measured) -> Vec<Block> {
    let layer = |of: &Measured, name: String| {
        let found = of.layers.iter().find(|layer| layer.name == name)?;
        Some((found.mult_adds as f64, found.microseconds))
    };
    let block = |idx: usize| {
        let standard = layer(full_conv, format!("conv_{}", idx + 1))?;
        let (depthwise, pointwise) =
            (layer(whole, format!("conv_dw_{idx}"))?, layer(whole, format!("conv_pw_{idx}"))?);
        Some(Block {
            name: format!("block {idx}"),
            mult_adds: standard.0 / (depthwise.0 + pointwise.0),
            time: standard.1 / (depthwise.1 + pointwise.1),
        })
    };
    (1..).map_while(block).collect()
}

fn picture(blocks: &[Block], (counted, timed): (f64, f64)) -> Figure {
    let pair = |name: &str, mult_adds: f64, time: f64| {
        [(name, 0, mult_adds, false), ("", 1, time, true)].map(|(name, colour, value, is_second)| Row {
            name: name.to_owned(),
            parts: vec![Part { colour, value, text: String::new() }],
            text: times(value),
            is_second,
        })
    };
    let mut rows: Vec<Row> = pair("network", counted, timed).to_vec();
    rows.extend(blocks.iter().flat_map(|block| pair(&block.name, block.mult_adds, block.time)));
    let most = blocks.iter().map(|block| block.time.max(block.mult_adds)).fold(counted.max(timed), f64::max);
    let by_time = |a: &&Block, b: &&Block| a.time.total_cmp(&b.time);
    let of_blocks = match (blocks.iter().min_by(by_time), blocks.iter().max_by(by_time)) {
        (Some(least), Some(most)) => {
            format!(
                "; by block from {} ({}) to {} times ({})",
                times(least.time),
                least.name,
                times(most.time),
                most.name
            )
        }
        _ => String::new(),
    };
    let text = format!(
        "Standard over separable, block by block. The network: {} times in multiply-adds, {} times in time{of_blocks}.",
        times(counted),
        times(timed)
    );
    let bars = Bars {
        description: text.clone(),
        title: "standard over separable, times".to_owned(),
        most: most * 1.05,
        rows,
        legend: vec![(0, "multiply-adds".to_owned()), (1, "time".to_owned())],
    };
    Figure::new("Standard over separable convolutions", text, |size| bars.draw(size))
}
