//! Bars from the left, each of one part or of several in a row.

use mnc_runtime::chart::{Axis, Scale, escape};

use super::{Anchor, Size, Svg, width_of};

/// A piece of a bar.
#[derive(Clone, Debug)]
pub(in super::super) struct Part {
    /// The number of its colour.
    pub(in super::super) colour: usize,
    pub(in super::super) value: f64,
    /// Inside of it, where there is room; for whoever points at it in any case.
    pub(in super::super) text: String,
}

/// A bar.
#[derive(Clone, Debug)]
pub(in super::super) struct Row {
    /// At the left.
    pub(in super::super) name: String,
    pub(in super::super) parts: Vec<Part>,
    /// Behind its end; may be empty.
    pub(in super::super) text: String,
    /// Whether it belongs to the bar above it.
    pub(in super::super) is_second: bool,
}

/// The picture.
#[derive(Clone, Debug)]
pub(in super::super) struct Bars {
    /// For those who don't see it.
    pub(in super::super) description: String,
    /// Of the axis, with the unit.
    pub(in super::super) title: String,
    /// The end of the axis.
    pub(in super::super) most: f64,
    pub(in super::super) rows: Vec<Row>,
    /// Colours and what they mean.
    pub(in super::super) legend: Vec<(usize, String)>,
}

const FONT_SIZE: f64 = 11.0;

impl Bars {
    pub(in super::super) fn draw(&self, size: Size) -> String {
        let (thick, gap) = match size {
            Size::Wide => (17.0, 7.0),
            Size::Narrow => (15.0, 6.0),
        };
        let longest = self.rows.iter().map(|row| width_of(&row.name, FONT_SIZE)).fold(0.0, f64::max);
        let behind = self.rows.iter().map(|row| width_of(&row.text, FONT_SIZE)).fold(0.0, f64::max);
        let (left, right) = (longest + 12.0, size.width() - behind.max(8.0) - 10.0);
        let legend = self.legend_places(size);
        let top = legend.last().map_or(8.0, |(_, y)| y + 16.0);
        let step = |row: &Row| thick + if row.is_second { 1.0 } else { gap };
        let bottom = top + self.rows.iter().map(step).sum::<f64>() + gap;
        let mut svg = Svg::new(size, bottom + 46.0, &self.description);
        let x = Axis { scale: Scale::Linear, low: 0.0, high: self.most, start: left, end: right };
        svg.below(x, &self.title, (top, bottom));
        for ((colour, name), (x, y)) in self.legend.iter().zip(&legend) {
            svg.add(format_args!(
                "<rect class=\"bar s{colour}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\" rx=\"2\"/>",
                y - 10.0
            ));
            svg.words("name", (x + 16.0, *y), Anchor::Start, name);
        }
        let mut y = top;
        for row in &self.rows {
            y += step(row) - thick;
            let middle = y + thick / 2.0 + 4.0;
            svg.words("name", (left - 6.0, middle), Anchor::End, &row.name);
            let mut from = 0.0;
            for part in &row.parts {
                let (start, end) = (x.at(from), x.at(from + part.value));
                from += part.value;
                let (colour, width, hint) = (part.colour, (end - start - 0.8).max(0.4), escape(&part.text));
                svg.add(format_args!(
                    "<rect class=\"bar s{colour}\" x=\"{start:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{thick}\"><title>{hint}</title></rect>"
                ));
                if width_of(&part.text, FONT_SIZE) + 8.0 < width {
                    svg.words("inside", ((start + end) / 2.0, middle), Anchor::Middle, &part.text);
                }
            }
            svg.words("name", (x.at(from) + 6.0, middle), Anchor::Start, &row.text);
            y += thick;
        }
        svg.finish()
    }

    /// Where each entry of the legend begins, in as many lines as it takes.
    fn legend_places(&self, size: Size) -> Vec<(f64, f64)> {
        let (mut x, mut y) = (2.0, 14.0);
        let place = |(_, name): &(usize, String)| {
            let width = width_of(name, FONT_SIZE) + 32.0;
            if size.width() < x + width && 2.0 < x {
                (x, y) = (2.0, y + 19.0);
            }
            let place = (x, y);
            x += width;
            place
        };
        self.legend.iter().map(place).collect()
    }
}
