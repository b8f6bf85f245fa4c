//! The function of the C header that makes boxes of the outputs of a detector.
//!
//! It is the decoder of `mnc_runtime::detect` in portable C99, for the caller's compiler: what the network is compiled for, and
//! what an object may refer to, has no part in it. Products that are added to something go through a volatile variable, since
//! compilers may otherwise round the two at once.

use std::fmt::Write as _;

use mnc_runtime::detect::{Map, Order, Probability, Rule};
use mnc_runtime::info::{Detect, Info};

const TEMPLATE: &str = include_str!("detect.h");

/// The constants, the type of a box and the function.
pub(super) fn detect(info: &Info, detect: &Detect, upper: &str) -> String {
    let Detect { rule, maps } = detect;
    let Rule { n_classes, background, threshold, least, overlap, candidates, most_boxes, order, .. } = *rule;
    let n_priors: usize = maps.iter().map(Map::n_priors).sum();
    let sizes: Vec<String> =
        maps.iter().flat_map(|map| &map.priors).map(|[w, h]| format!("{{{w:?}, {h:?}}}")).collect();
    let mut first = 0;
    let mut rows = String::new();
    for map in maps {
        let Map { rows: r, columns, divisors: [down, across], scores, locations, priors } = map;
        let n = priors.len();
        writeln!(rows, "    {{{r}, {columns}, {down:?}, {across:?}, {scores}, {locations}, {first}, {n}}},")
            .expect("a String takes every write");
        first += n;
    }
    let number = |class: Option<usize>| class.map_or("-1".to_owned(), |class| class.to_string());
    let rule_number = match rule.probability {
        Probability::Softmax => 0,
        Probability::Sigmoid => 1,
        Probability::Values => 2,
    };
    let [x, y, w, h] = match order {
        Order::Xywh => [0, 1, 2, 3],
        Order::Yxhw => [1, 0, 3, 2],
    };
    let values = [
        ("@MAPS@", rows.trim_end().to_owned()),
        ("@SIZES@", sizes.join(", ")),
        ("@N_MAPS@", maps.len().to_string()),
        ("@N_PRIORS@", n_priors.to_string()),
        ("@N_CLASSES@", n_classes.to_string()),
        ("@BACKGROUND@", number(background)),
        ("@RULE@", rule_number.to_string()),
        ("@THRESHOLD@", format!("{threshold:?}")),
        ("@LEAST@", format!("{least:?}")),
        ("@OVERLAP@", format!("{overlap:?}")),
        ("@CANDIDATES@", candidates.to_string()),
        ("@MOST_BOXES@", most_boxes.to_string()),
        ("@CENTER@", format!("{:?}", rule.center_variance)),
        ("@SIZE@", format!("{:?}", rule.size_variance)),
        ("@X@", x.to_string()),
        ("@Y@", y.to_string()),
        ("@W@", w.to_string()),
        ("@H@", h.to_string()),
        ("@NAME@", info.name.clone()),
        ("@UPPER@", upper.to_owned()),
    ];
    values.iter().fold(TEMPLATE.to_owned(), |text, (place, value)| text.replace(place, value))
}
