//! What a detector has in Rust: the settings of `mnc_runtime::detect`, and a function over its own output.

use mnc_runtime::detect::{Map, Rule};
use mnc_runtime::info::Detect;

/// The constants and the function.
pub(super) fn detector(detect: &Detect, output_len: usize) -> String {
    let Rule {
        probability,
        n_classes,
        background,
        threshold,
        least,
        overlap,
        candidates,
        most_boxes,
        order,
        ..
    } = detect.rule;
    let Rule { center_variance, size_variance, .. } = detect.rule;
    let map = |map: &Map<Vec<[f64; 2]>>| {
        let Map { rows, columns, divisors, scores, locations, priors } = map;
        format!(
            "                Map {{\n                    rows: {rows},\n                    columns: {columns},\n                    \
             divisors: {divisors:?},\n                    scores: {scores},\n                    locations: {locations},\n                    \
             priors: &{priors:?} as &[[f64; 2]],\n                }},\n"
        )
    };
    let maps: String = detect.maps.iter().map(map).collect();
    format!(
        "
        /// How the outputs become boxes.
        pub const DETECTOR: ::mnc_runtime::detect::Detector<'static> = {{
            use ::mnc_runtime::detect::{{Detector, Map, Order, Probability, Rule}};
            let rule = Rule {{
                probability: Probability::{probability:?},
                n_classes: {n_classes},
                background: {background:?},
                threshold: {threshold:?},
                least: {least:?},
                overlap: {overlap:?},
                candidates: {candidates},
                most_boxes: {most_boxes},
                order: Order::{order:?},
                center_variance: {center_variance:?},
                size_variance: {size_variance:?},
            }};
            let maps: &'static [Map<&'static [[f64; 2]]>] = &[
{maps}            ];
            Detector {{ rule, maps }}
        }};
        /// Boxes that `detect` looks at.
        pub const CANDIDATES: usize = {candidates};

        /// The boxes in what a run has returned, the best first, as parts of the input: `found` is memory for them.
        pub fn detect<'f>(
            output: &[f32; {output_len}],
            found: &'f mut [::mnc_runtime::detect::Found; {candidates}],
        ) -> &'f [::mnc_runtime::detect::Found] {{
            Self::DETECTOR.boxes(output, found)
        }}
"
    )
}
