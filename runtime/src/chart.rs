//! What pictures in SVG share: axes with round ticks, and names beside dots that cover neither each other nor a dot.
//!
//! Positions are in pixels of the picture, y downwards. Nothing here knows what is drawn.

mod axis;
pub mod labels;

pub use axis::{Axis, Scale, Short, Tick};

/// Text as SVG and HTML take it, in content and in quoted attributes.
///
/// ```
/// assert_eq!(mnc_runtime::chart::escape("a<b & \"c\""), "a&lt;b &amp; &quot;c&quot;");
/// ```
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
