//! A profile as a picture: the roofline of Williams, Waterman and Patterson (2009), one dot a step, SVG.
//!
//! Right is more work a byte, up is faster, both in logarithms. Nothing is above the roof: the core's multiply-adds at
//! the top, and on the left what memory brings, once from the nearest that is measured and once from where the whole
//! network is. The picture refers to nothing outside of itself.

mod legend;
mod plot;

use super::profile::size;
use crate::chart::labels::{self, Circle, Label};
use crate::chart::{Short, Tick, escape};
use crate::measured::profile::{Profile, StepProfile};
use crate::measured::{self, share_of, unit};
use plot::Plot;
use std::fmt::{self, Write as _};

const WIDTH: f64 = 1120.0;
const HEIGHT: f64 = 680.0;
/// The edges of the plot.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 850.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 606.0;

/// A step that takes all of the time would have this radius, so that areas are shares of time.
const FULL_RADIUS: f64 = 46.0;
const MIN_RADIUS: f64 = 4.0;

/// How many dots are named: those of the longest steps, of which several may be at one place.
const N_LABELS: usize = 14;

/// The width of the peak's name, in pixels: a generous guess, for nobody knows the reader's font.
const PEAK_NAME_WIDTH: f64 = 200.0;

/// Okabe and Ito's colours, which people with any vision tell apart.
const COLOURS: [(&str, &str); 9] = [
    ("pointwise", "#0072b2"),
    ("chain", "#d55e00"),
    ("depthwise", "#e69f00"),
    ("conv", "#009e73"),
    ("dense", "#cc79a7"),
    ("pool", "#56b4e9"),
    ("add", "#5b6ee1"),
    ("softmax", "#7a6a00"),
    ("copy", "#8a8a8a"),
];
const OTHER_COLOUR: &str = "#4b4b9b";

/// Draws the picture. The error says what is missing for it.
pub(crate) fn svg(profile: &Profile) -> Result<String, String> {
    let (Some(peak), Some(memory)) = (profile.fma_peak_gflops, profile.memory()) else {
        return Err(format!("found no limits of this core for {}, expected a roof to draw", profile.isa));
    };
    // The longest first, so that small dots lie on top of large ones.
    let mut dots: Vec<&StepProfile> =
        profile.steps.iter().filter(|step| 0.0 < step.gflops && 0.0 < step.flops_per_byte).collect();
    if dots.is_empty() {
        return Err("found no step with multiply-adds, expected some to draw".to_string());
    }
    dots.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
    let picture = Picture { profile, peak, memory, plot: Plot::around(&dots, peak), dots };
    let mut svg = String::new();
    picture.write(&mut svg).expect("a String takes every write");
    Ok(svg)
}

struct Picture<'a> {
    profile: &'a Profile,
    peak: f64,
    /// Bytes and GB/s of the nearest and of the farthest memory.
    memory: [(u64, f64); 2],
    plot: Plot,
    dots: Vec<&'a StepProfile>,
}

impl Picture<'_> {
    fn write(&self, svg: &mut String) -> fmt::Result {
        writeln!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif" font-size="12" fill="#1f2933">
<rect width="100%" height="100%" fill="#ffffff"/>
<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{w}" height="{h}"/></clipPath>"##,
            w = RIGHT - LEFT,
            h = BOTTOM - TOP,
        )?;
        self.title(svg)?;
        self.grid(svg)?;
        let circles = self.circles();
        let peak_name = self.peak_name(&circles);
        self.roof(svg, peak_name)?;
        let labels = self.labels(&circles, peak_name);
        leaders(&labels, svg)?;
        self.dots(&circles, svg)?;
        names(&labels, svg)?;
        self.legend(svg)?;
        svg.push_str("</svg>\n");
        Ok(())
    }

    fn title(&self, svg: &mut String) -> fmt::Result {
        let Profile { network, alpha, height, width, isa, cpu, is_int8, .. } = self.profile;
        let cpu = cpu.as_deref().map(|cpu| format!("{cpu}, ")).unwrap_or_default();
        writeln!(
            svg,
            r##"<text x="{LEFT}" y="40" font-size="20" font-weight="600">{} {alpha:?}, {height} × {width}</text>
<text x="{LEFT}" y="64" fill="#52606d">Roofline of one thread: {}{}, {}</text>"##,
            escape(network),
            escape(&cpu),
            escape(isa),
            if *is_int8 { "int8" } else { "f32" },
        )
    }

    fn grid(&self, svg: &mut String) -> fmt::Result {
        let Plot { x, y } = self.plot;
        for Tick { value, has_number } in x.ticks() {
            let (at, colour) = (x.at(value), line_colour(has_number));
            writeln!(svg, r##"<path d="M{at:.1} {TOP}V{BOTTOM}" stroke="{colour}"/>"##)?;
            if has_number {
                let below = BOTTOM + 20.0;
                writeln!(
                    svg,
                    r##"<text x="{at:.1}" y="{below}" text-anchor="middle">{value}</text>"##,
                    value = Short(value)
                )?;
            }
        }
        for Tick { value, has_number } in y.ticks() {
            let (at, colour) = (y.at(value), line_colour(has_number));
            writeln!(svg, r##"<path d="M{LEFT} {at:.1}H{RIGHT}" stroke="{colour}"/>"##)?;
            if has_number {
                let (left, base) = (LEFT - 10.0, at + 4.0);
                writeln!(
                    svg,
                    r##"<text x="{left}" y="{base:.1}" text-anchor="end">{value}</text>"##,
                    value = Short(value)
                )?;
            }
        }
        let (middle, low, centre) = ((LEFT + RIGHT) / 2.0, BOTTOM + 46.0, (TOP + BOTTOM) / 2.0);
        writeln!(
            svg,
            r##"<text x="{middle}" y="{low}" text-anchor="middle" fill="#52606d">Operations per byte of weights, input and output</text>
<text transform="translate(26 {centre}) rotate(-90)" text-anchor="middle" fill="#52606d">{}</text>"##,
            unit(self.profile.is_int8)
        )
    }

    /// The two slopes and the peak, each with its name along it; what only the nearest memory reaches is shaded.
    fn roof(&self, svg: &mut String, peak_name: labels::Box) -> fmt::Result {
        let Plot { x, y } = self.plot;
        let peak_at = y.at(self.peak);
        let [near, far] = self.memory.map(|(_, gb_per_s)| x.at(self.peak / gb_per_s));
        // Where a slope is at the left edge of the plot; it may be far below.
        let [near_left, far_left] = self.memory.map(|(_, gb_per_s)| y.at(gb_per_s * x.low));
        writeln!(
            svg,
            r##"<g clip-path="url(#plot)" fill="none">
<path d="M{LEFT} {near_left:.1}L{near:.1} {peak_at:.1}H{far:.1}L{LEFT} {far_left:.1}Z" fill="#f0b429" fill-opacity="0.10"/>
<path d="M{LEFT} {near_left:.1}L{near:.1} {peak_at:.1}H{RIGHT}" stroke="#1f2933" stroke-width="2" stroke-linejoin="round"/>
<path d="M{LEFT} {far_left:.1}L{far:.1} {peak_at:.1}" stroke="#1f2933" stroke-width="1.5" stroke-dasharray="6 4"/>
</g>
<text x="{name_at:.1}" y="{above:.1}" font-weight="600">{} peak {:.1} {}</text>"##,
            measured::peak_name(self.profile.is_int8),
            self.peak,
            unit(self.profile.is_int8),
            name_at = peak_name.0,
            above = peak_at - 9.0,
        )?;
        // A decade is as steep everywhere: up as many pixels as right, if the axes had one scale.
        let rise = (y.start - y.end) / (y.high / y.low).ln() / ((x.end - x.start) / (x.high / x.low).ln());
        let angle = -rise.atan().to_degrees();
        for ((bytes, gb_per_s), distance) in self.memory.into_iter().zip([-8.0, 17.0]) {
            // From where the slope is well inside of the plot.
            let start = (x.at(y.low * 1.25 / gb_per_s)).max(LEFT + 16.0);
            let value = x.low * ((start - x.start) / (x.end - x.start) * (x.high / x.low).ln()).exp();
            let base = y.at(value * gb_per_s);
            writeln!(
                svg,
                r##"<text transform="translate({start:.1} {base:.1}) rotate({angle:.1})" y="{distance}" font-size="11" fill="#52606d">{gb_per_s:.0} GB/s within {}</text>"##,
                size(bytes),
            )?;
        }
        Ok(())
    }

    fn circles(&self) -> Vec<Circle> {
        let circle = |dot: &&StepProfile| Circle {
            x: self.plot.x.at(dot.flops_per_byte),
            y: self.plot.y.at(dot.gflops),
            radius: (dot.share.sqrt() * FULL_RADIUS).max(MIN_RADIUS),
        };
        self.dots.iter().map(circle).collect()
    }

    /// A place for the peak's name just above it, where no dot is: from the left, or at the right edge.
    fn peak_name(&self, circles: &[Circle]) -> labels::Box {
        let Plot { x, y } = self.plot;
        let bottom = y.at(self.peak) - 4.0;
        let area = |left: f64| (left, bottom - 18.0, left + PEAK_NAME_WIDTH, bottom);
        let right = RIGHT - PEAK_NAME_WIDTH;
        let first = x.at(self.peak / self.memory[0].1) + 12.0;
        let mut lefts = (0..).map(|i| first + 10.0 * f64::from(i)).take_while(|left| *left < right);
        area(lefts.find(|left| labels::is_free(area(*left), circles, &[])).unwrap_or(right))
    }

    fn labels(&self, circles: &[Circle], peak_name: labels::Box) -> Vec<Label> {
        let names = self.dots.iter().map(|dot| dot.info.name.as_str());
        let named: Vec<(&str, Circle)> = names.zip(circles.iter().copied()).collect();
        let mut groups = labels::group(&named);
        groups.truncate(N_LABELS);
        let peak_at = self.plot.y.at(self.peak);
        let peak_line = (LEFT, peak_at - 1.5, RIGHT, peak_at + 1.5);
        labels::place(groups, circles, (LEFT, TOP, RIGHT, BOTTOM), &[peak_line, peak_name])
    }

    fn dots(&self, circles: &[Circle], svg: &mut String) -> fmt::Result {
        for (dot, Circle { x, y, radius }) in self.dots.iter().zip(circles) {
            writeln!(
                svg,
                r##"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{}" fill-opacity="0.75" stroke="#ffffff"><title>{}: {:.1} µs, {:.1} {}, {:.1} % of peak, {:.1} % of the time
{}</title></circle>"##,
                colour(&dot.kind),
                escape(&dot.info.name),
                dot.microseconds,
                dot.gflops,
                unit(self.profile.is_int8),
                share_of(self.peak, dot.gflops) * 100.0,
                dot.share * 100.0,
                escape(&dot.info.kernel),
            )?;
        }
        Ok(())
    }
}

/// Lines from dots to names that stand far from them.
fn leaders(labels: &[Label], svg: &mut String) -> fmt::Result {
    for Label { circle, leader, .. } in labels {
        if let Some((x, y)) = leader {
            let (from_x, from_y) = (circle.x, circle.y);
            writeln!(
                svg,
                r##"<path d="M{from_x:.1} {from_y:.1}L{x:.1} {y:.1}" stroke="#9aa5b1" stroke-width="0.8"/>"##
            )?;
        }
    }
    Ok(())
}

/// With a white seam, so that they can be read across lines.
fn names(labels: &[Label], svg: &mut String) -> fmt::Result {
    for Label { name, x, y, .. } in labels {
        writeln!(
            svg,
            r##"<text x="{x:.1}" y="{y:.1}" font-size="{}" paint-order="stroke" stroke="#ffffff" stroke-width="3" stroke-linejoin="round">{}</text>"##,
            labels::FONT_SIZE,
            escape(name),
        )?;
    }
    Ok(())
}

fn colour(kind: &str) -> &'static str {
    COLOURS.iter().find(|(known, _)| *known == kind).map_or(OTHER_COLOUR, |(_, colour)| colour)
}

fn line_colour(has_number: bool) -> &'static str {
    if has_number { "#dde3e9" } else { "#eff2f5" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::profile::tests::profile;

    #[test]
    fn a_picture_has_a_dot_for_each_step_with_work() {
        let mut profile = profile();
        profile.steps[0].info.name = "a<b&c".to_string();
        let svg = svg(&profile).unwrap();
        assert_eq!(svg.matches("<title>").count(), 3);
        assert!(svg.contains("a&lt;b&amp;c") && !svg.contains("a<b"));
        assert!(svg.contains("FMA peak 100.0 GFLOP/s"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let n_groups =
            |tag: &str| svg.matches(&format!("<{tag}")).count() == svg.matches(&format!("</{tag}>")).count();
        assert!(["svg", "text", "g", "clipPath"].into_iter().all(n_groups));
    }

    #[test]
    fn what_is_missing_is_said() {
        let check = |profile: &Profile, error: &str| assert_eq!(svg(profile), Err(error.to_string()));
        let mut profile = profile();
        profile.steps.truncate(0);
        check(&profile, "found no step with multiply-adds, expected some to draw");
        profile.fma_peak_gflops = None;
        check(&profile, "found no limits of this core for x86-64-v3, expected a roof to draw");
    }
}
