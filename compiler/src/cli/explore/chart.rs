//! The pictures' common ground: sizes, text, axes. Colours are names of the page's style, which knows light and dark.
//!
//! Each picture is drawn twice, for a desk and for a phone, and the style shows one of the two: letters keep their size, where a
//! scaled picture would shrink them.

mod bars;
mod scatter;

use std::fmt::Write as _;

use mnc_runtime::chart::{Axis, Scale, Short, escape};

pub(super) use bars::{Bars, Part, Row};
pub(super) use scatter::{Line, Mark, Point, Scatter, Series, Values};

/// Between an axis and its numbers.
const NUMBER_GAP: f64 = 7.0;
/// Of the numbers, as the page's style has it.
const NUMBER_SIZE: f64 = 12.0;

/// For which screen a picture is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A desk.
    Wide,
    /// A phone.
    Narrow,
}

impl Size {
    /// The class that shows it.
    fn class(self) -> &'static str {
        match self {
            Size::Wide => "wide",
            Size::Narrow => "narrow",
        }
    }

    fn width(self) -> f64 {
        match self {
            Size::Wide => 840.0,
            Size::Narrow => 372.0,
        }
    }
}

/// Text that ends in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// An SVG that grows.
struct Svg(String);

impl Svg {
    /// `description` is read to those who don't see the picture.
    fn new(size: Size, height: f64, description: &str) -> Svg {
        let (class, width, description) = (size.class(), size.width(), escape(description));
        let text = format!(
            "<svg class=\"{class}\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"{description}\">\n"
        );
        Svg(text)
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        self.0.write_fmt(element).expect("a String takes every write");
        self.0.push('\n');
    }

    fn words(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, words: &str) {
        let (anchor, words) = (anchor.name(), escape(words));
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        ));
    }

    /// Lines and numbers of the axis below, and its title.
    fn below(&mut self, x: Axis, title: &str, (top, bottom): (f64, f64)) {
        for tick in x.ticks() {
            let at = x.at(tick.value);
            let class = if tick.has_number { "grid" } else { "grid minor" };
            self.add(format_args!("<path class=\"{class}\" d=\"M{at:.1} {top}V{bottom}\"/>"));
            if tick.has_number {
                self.words("tick", (at, bottom + 17.0), Anchor::Middle, &Short(tick.value).to_string());
            }
        }
        let middle = (x.start + x.end) / 2.0;
        self.words("title", (middle, bottom + 38.0), Anchor::Middle, title);
    }

    /// Lines and numbers of the axis at the left, and its title above it.
    fn left(&mut self, y: Axis, title: &str, (left, right): (f64, f64)) {
        for tick in y.ticks() {
            let at = y.at(tick.value);
            let class = if tick.has_number { "grid" } else { "grid minor" };
            self.add(format_args!("<path class=\"{class}\" d=\"M{left} {at:.1}H{right}\"/>"));
            if tick.has_number {
                self.words(
                    "tick",
                    (left - NUMBER_GAP, at + 4.0),
                    Anchor::End,
                    &Short(tick.value).to_string(),
                );
            }
        }
        self.words("title", (2.0, 14.0), Anchor::Start, title);
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// A path through points.
fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let points = points.into_iter().enumerate();
    points.map(|(idx, (x, y))| format!("{}{x:.1} {y:.1}", if idx == 0 { 'M' } else { 'L' })).collect()
}

/// How wide words are in pixels: a generous guess, for nobody knows the reader's font.
fn width_of(words: &str, font_size: f64) -> f64 {
    words.chars().count() as f64 * font_size * 0.58
}

/// How wide the widest number of an axis is.
fn width_of_numbers(axis: Axis) -> f64 {
    let numbers = axis.ticks().into_iter().filter(|tick| tick.has_number);
    numbers.map(|tick| width_of(&Short(tick.value).to_string(), NUMBER_SIZE)).fold(0.0, f64::max)
}

/// The least and the most of some values, with air around them.
fn range(values: impl Iterator<Item = f64>, scale: Scale) -> (f64, f64) {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    match scale {
        Scale::Log => (low / 1.25, high * 1.25),
        Scale::Linear => {
            let air = ((high - low) * 0.08).max(high.abs() * 0.01).max(1e-9);
            (low - air, high + air)
        }
    }
}

#[cfg(test)]
mod tests;
