//! A profile as an aligned table.

use crate::measured::profile::{Profile, StepProfile, Total};
use crate::measured::unit;
use std::io::{self, Write};

const N_COLUMNS: usize = 12;

/// Beside each other in one line; the first and the last two are words, the others numbers.
fn headings(is_int8: bool) -> [&'static str; N_COLUMNS] {
    [
        "layer",
        "us",
        "share",
        unit(is_int8),
        "of peak",
        "weights KB",
        "input KB",
        "output KB",
        if is_int8 { "op/byte" } else { "flop/byte" },
        "of roof",
        "bound",
        "kernel",
    ]
}

pub(super) fn write(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let Profile { network, alpha, height, width, isa, is_int8, n_runs, total, .. } = profile;
    writeln!(out, "{network} {alpha:?}, {height} x {width}, {isa}: one thread, the best of {n_runs} runs")?;
    if let Some(cpu) = &profile.cpu {
        writeln!(out, "CPU: {cpu}")?;
    }
    match (profile.fma_peak_gflops, profile.memory()) {
        (Some(peak), Some([(near, near_speed), (far, far_speed)])) => writeln!(
            out,
            "this core, between the runs: {peak:.1} {} in multiply-adds; reads {near_speed:.0} GB/s within {}, \
             {far_speed:.0} GB/s within {}, the network's memory",
            unit(*is_int8),
            size(near),
            size(far),
        )?,
        _ => writeln!(out, "what this core can do at most isn't known: no probe for {isa}")?,
    }
    writeln!(out)?;
    let mut rows = vec![headings(*is_int8).map(str::to_string)];
    rows.extend(profile.steps.iter().map(step_row));
    rows.push(total_row(total));
    let mut widths = [0; N_COLUMNS];
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
    }
    for (i, row) in rows.iter().enumerate() {
        if i + 1 == rows.len() {
            writeln!(out, "{}", "-".repeat(widths.iter().sum::<usize>() + 2 * (N_COLUMNS - 1)))?;
        }
        writeln!(out, "{}", line(row, &widths))?;
    }
    writeln!(out, "\na whole run: {:.1} us", total.run_microseconds)
}

fn line(row: &[String; N_COLUMNS], widths: &[usize; N_COLUMNS]) -> String {
    let cell = |(i, (cell, &width)): (usize, (&String, &usize))| match i {
        0 | 10 | 11 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    };
    let cells: Vec<String> = row.iter().zip(widths).enumerate().map(cell).collect();
    cells.join("  ").trim_end().to_string()
}

fn step_row(step: &StepProfile) -> [String; N_COLUMNS] {
    let info = &step.info;
    [
        info.name.clone(),
        format!("{:.1}", step.microseconds),
        percent(Some(step.share)),
        format!("{:.1}", step.gflops),
        percent(step.share_of_peak),
        kilobytes(info.weight_bytes),
        kilobytes(info.input_bytes),
        kilobytes(info.output_bytes),
        format!("{:.1}", step.flops_per_byte),
        percent(step.roof.map(|roof| roof.share)),
        step.roof.map_or("", |roof| roof.bound.name()).to_string(),
        info.kernel.clone(),
    ]
}

fn total_row(total: &Total) -> [String; N_COLUMNS] {
    [
        "total".to_string(),
        format!("{:.1}", total.microseconds),
        percent(Some(1.0)),
        format!("{:.1}", total.gflops),
        percent(total.share_of_peak),
        kilobytes(total.weight_bytes),
        kilobytes(total.input_bytes),
        kilobytes(total.output_bytes),
        format!("{:.1}", total.flops_per_byte),
        percent(total.roof_share),
        String::new(),
        String::new(),
    ]
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_string(), |share| format!("{:.1} %", share * 100.0))
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e3)
}

/// `256 KiB`, `17 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes >> 10)
    } else {
        format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use crate::launcher::profile::tests::profile;

    const EXPECTED: &str = "\
mobilenet-v1 0.25, 128 x 128, x86-64-v3: one thread, the best of 150 runs
CPU: Example 9000
this core, between the runs: 100.0 GFLOP/s in multiply-adds; reads 100 GB/s within 1 MiB, 20 GB/s within 4 MiB, the network's memory

layer          us    share  GFLOP/s  of peak  weights KB  input KB  output KB  flop/byte  of roof  bound    kernel
conv1       125.0    8.8 %     80.0   80.0 %         4.0     200.0      300.0       19.8   80.0 %  compute  f32_conv_3x3s2_6x8_relu6_fma3
conv_dw_1    50.0    3.5 %     40.0   40.0 %         0.4     500.0      500.0        2.0   40.0 %  compute  f32_depthwise_3x3s1_7x8_relu6_fma3
conv_pw_1  1250.0   87.7 %     80.0   80.0 %      1000.0      50.0       50.0       90.9   80.0 %  compute  f32_pointwise_6x16_relu6_fma3
softmax       1.0    0.1 %      0.0    0.0 %         0.0       4.0        4.0        0.0    8.0 %  memory   f32_softmax_1x8_fma3
----------------------------------------------------------------------------------------------------------------------------------------------
total      1426.0  100.0 %     78.5   78.5 %      1004.4     754.0      854.0       42.9   78.5 %

a whole run: 1400.0 us
";

    #[test]
    fn columns_are_aligned() {
        let mut out = Vec::new();
        profile().write(false, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), EXPECTED);
    }
}
