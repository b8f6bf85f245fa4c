//! What stands beside the plot: kinds by their share of time, and the network as a whole.

use super::super::profile::done;
use super::{Picture, RIGHT, TOP, colour};
use crate::chart::escape;
use crate::measured::{share_of, unit};
use std::fmt::{self, Write as _};

impl Picture<'_> {
    /// Kinds by their share of time, and the network as a whole.
    pub(super) fn legend(&self, svg: &mut String) -> fmt::Result {
        let (x, total) = (RIGHT + 28.0, &self.profile.total);
        let mut y = TOP + 10.0;
        let muted = r##"fill="#52606d""##;
        writeln!(svg, r##"<text x="{x}" y="{y}" font-weight="600">Kernels</text>"##)?;
        let columns = [x + 168.0, x + 230.0];
        for (column, heading) in columns.iter().zip(["of time", "of peak"]) {
            writeln!(
                svg,
                r##"<text x="{column}" y="{y}" text-anchor="end" font-size="11" {muted}>{heading}</text>"##
            )?;
        }
        for kind in self.kinds() {
            y += 24.0;
            writeln!(
                svg,
                r##"<circle cx="{cx}" cy="{cy}" r="6" fill="{}" fill-opacity="0.85"/><text x="{tx}" y="{y}">{}</text><text x="{}" y="{y}" text-anchor="end">{:.1} %</text>"##,
                colour(&kind.name),
                escape(&kind.name),
                columns[0],
                kind.share * 100.0,
                cx = x + 6.0,
                cy = y - 4.0,
                tx = x + 20.0,
            )?;
            if kind.gflops != 0.0 {
                let share = kind.gflops / self.peak * 100.0;
                writeln!(svg, r##"<text x="{}" y="{y}" text-anchor="end">{share:.1} %</text>"##, columns[1])?;
            }
        }
        y += 18.0;
        writeln!(svg, r##"<path d="M{x} {y}H{}" stroke="#cbd2d9"/>"##, columns[1])?;
        y += 22.0;
        let of_peak = share_of(self.peak, total.gflops) * 100.0;
        writeln!(
            svg,
            r##"<text x="{x}" y="{y}" font-weight="600">Network</text><text x="{}" y="{y}" text-anchor="end" font-weight="600">{of_peak:.1} %</text>"##,
            columns[1],
        )?;
        let rows = [
            ("Sum of the best", format!("{} µs", Grouped(total.microseconds))),
            ("Best run", format!("{} µs", Grouped(total.run_microseconds))),
            ("Multiply-adds", format!("{:.1} M", total.multiply_adds as f64 / 1e6)),
            ("Speed", format!("{:.1} {}", total.gflops, unit(self.profile.is_int8))),
        ];
        for (name, value) in rows {
            y += 22.0;
            writeln!(
                svg,
                r##"<text x="{x}" y="{y}" {muted}>{name}</text><text x="{}" y="{y}" text-anchor="end">{value}</text>"##,
                columns[1],
            )?;
        }
        y += 40.0;
        for note in ["The area of a dot is its share of the time.", "A multiply-add is two operations."] {
            writeln!(svg, r##"<text x="{x}" y="{y}" font-size="11" {muted}>{note}</text>"##)?;
            y += 17.0;
        }
        Ok(())
    }

    /// Most time first.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = Vec::new();
        for step in &self.profile.steps {
            let at = kinds.iter().position(|kind| kind.name == step.kind).unwrap_or_else(|| {
                kinds.push(Kind {
                    name: step.kind.clone(),
                    share: 0.0,
                    multiply_adds: 0,
                    microseconds: 0.0,
                    gflops: 0.0,
                });
                kinds.len() - 1
            });
            let kind = &mut kinds[at];
            kind.share += step.share;
            kind.multiply_adds += done(&step.info);
            kind.microseconds += step.microseconds;
            kind.gflops = 2.0 * kind.multiply_adds as f64 / (kind.microseconds * 1e3).max(f64::MIN_POSITIVE);
        }
        kinds.sort_by(|a, b| b.share.total_cmp(&a.share));
        kinds
    }
}

/// All steps of one kind.
struct Kind {
    name: String,
    share: f64,
    multiply_adds: u64,
    microseconds: f64,
    gflops: f64,
}

/// `12 345.6`: digits in groups of three, with a thin space.
struct Grouped(f64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.1}", self.0);
        let whole = text.len() - 2;
        for (i, digit) in text.chars().enumerate() {
            if 0 < i && i < whole && (whole - i).is_multiple_of(3) {
                f.write_char('\u{202f}')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let grouped = [0.25, 999.0, 1234.5, 1_234_567.8].map(|value| Grouped(value).to_string());
        assert_eq!(grouped, ["0.2", "999.0", "1\u{202f}234.5", "1\u{202f}234\u{202f}567.8"]);
    }
}
