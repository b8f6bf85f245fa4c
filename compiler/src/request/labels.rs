//! The names of outputs: what a user and the configurations say of them -> a name for each output of a graph.
//!
//! ImageNet's are built in: nearly every published checkpoint has its classes, and few say how they are called. Knows no files
//! but the text that it is given.

use std::path::Path;

use crate::compile::n_labels;
use crate::graph::Graph;

/// ImageNet's classes as torchvision calls them, in the order in which networks are trained on them.
const IMAGENET: &str = include_str!("labels/imagenet.txt");

/// What TensorFlow's networks have before ImageNet's first class.
const BACKGROUND: &str = "background";

/// Classes of ImageNet's challenge, without the background.
const N_IMAGENET: usize = 1000;

/// Where the names of outputs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// There are none.
    None,
    /// A file, or the model's configuration.
    Named(Vec<String>),
    /// ImageNet's: the user wants them.
    ImageNet,
    /// ImageNet's if the network has as many classes, else these: nobody says what its classes are.
    Unsaid(Vec<String>),
}

impl Labels {
    /// What a user asks for by a word instead of a file: `imagenet` or `none`.
    pub fn of_word(path: &Path) -> Option<Labels> {
        match path.to_str()? {
            "imagenet" => Some(Labels::ImageNet),
            "none" => Some(Labels::None),
            _ => None,
        }
    }

    /// Those of a configuration. transformers writes `LABEL_0`, `LABEL_1` and so on where nobody has said anything.
    pub fn configured(labels: Option<Vec<String>>, is_classifier: bool) -> Labels {
        let labels = labels.unwrap_or_default();
        let says_nothing = labels.iter().enumerate().all(|(idx, label)| *label == format!("LABEL_{idx}"));
        match is_classifier && says_nothing {
            true => Labels::Unsaid(labels),
            false if labels.is_empty() => Labels::None,
            false => Labels::Named(labels),
        }
    }

    /// Whether ImageNet's names are taken because the number of classes is ImageNet's.
    pub fn assumes_imagenet(&self, graph: &Graph) -> bool {
        match self {
            Labels::Unsaid(_) => n_labels(graph).ok().and_then(imagenet).is_some(),
            Labels::None | Labels::Named(_) | Labels::ImageNet => false,
        }
    }

    /// A name for each output of a graph, or none at all.
    ///
    /// # Errors
    /// A number of names that isn't that of the outputs: what was found, and what is expected.
    pub fn names(&self, graph: &Graph) -> Result<Vec<String>, String> {
        match self {
            Labels::None => Ok(Vec::new()),
            Labels::Named(labels) => {
                let expected = n_labels(graph)?;
                match labels.len() == expected {
                    true => Ok(labels.clone()),
                    false => Err(mismatch(labels.len(), expected, graph.detect.is_some())),
                }
            }
            Labels::ImageNet => {
                let expected = n_labels(graph)?;
                imagenet(expected).ok_or_else(|| {
                    format!(
                        "found `imagenet` for {expected} outputs, expected {N_IMAGENET} outputs, or {} with {BACKGROUND:?} \
                         first: give a file with a name for each, or none",
                        N_IMAGENET + 1
                    )
                })
            }
            Labels::Unsaid(labels) => {
                Ok(n_labels(graph).ok().and_then(imagenet).unwrap_or_else(|| labels.clone()))
            }
        }
    }
}

/// ImageNet's names for so many outputs, if they are ImageNet's.
fn imagenet(n_outputs: usize) -> Option<Vec<String>> {
    let names = IMAGENET.lines().map(str::to_owned);
    match n_outputs.checked_sub(N_IMAGENET)? {
        0 => Some(names.collect()),
        1 => Some([BACKGROUND.to_owned()].into_iter().chain(names).collect()),
        _ => None,
    }
}

/// What is wrong with a list of names, and for ImageNet's what to do.
fn mismatch(found: usize, expected: usize, is_detector: bool) -> String {
    let each = match is_detector {
        true => "one for each class, the background included",
        false => "one for each output",
    };
    let advice = match (found, expected) {
        (N_IMAGENET, 1001) => {
            ": TensorFlow's networks have \"background\" first; add it as the first line, or use --labels imagenet"
        }
        (1001, N_IMAGENET) => {
            ": only TensorFlow's networks have \"background\" first; remove that line, or use --labels imagenet"
        }
        _ => "",
    };
    format!("found {found} labels, expected {expected}, {each}{advice}")
}

/// The labels in a file's text, one a line.
pub fn labels(text: &str) -> Vec<String> {
    text.trim_start_matches('\u{feff}').lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::builtin;
    use crate::graph::Knobs;

    fn graph(classes: usize) -> Graph {
        let mut description = builtin("mobilenet-v1").expect("it is built in").description();
        description.classes = classes;
        Graph::build(&description, &Knobs { alpha: 0.25, resolution: None }).expect("it can be built")
    }

    #[test]
    fn imagenet_has_a_thousand_classes_and_tensorflow_one_more() {
        let names = Labels::ImageNet.names(&graph(1000)).unwrap();
        assert_eq!(names.len(), 1000);
        assert_eq!((names[0].as_str(), names[999].as_str()), ("tench", "toilet tissue"));
        let unique: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), 1000, "a name that is there twice names no class");
        let with_background = Labels::ImageNet.names(&graph(1001)).unwrap();
        assert_eq!(with_background[0], "background");
        assert_eq!(with_background[1..], names);
        let error = Labels::ImageNet.names(&graph(2)).unwrap_err();
        assert_eq!(
            error,
            "found `imagenet` for 2 outputs, expected 1000 outputs, or 1001 with \"background\" first: give a file with a name \
             for each, or none"
        );
    }

    #[test]
    fn names_are_assumed_where_nobody_says_any() {
        let check = |labels: Option<&[&str]>, is_classifier, classes, expected: &[&str]| {
            let labels = labels.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect());
            let names = Labels::configured(labels, is_classifier).names(&graph(classes)).unwrap();
            assert_eq!(names.iter().take(2).collect::<Vec<_>>(), expected, "{classes} classes");
        };
        check(None, true, 1000, &["tench", "goldfish"]);
        check(None, true, 1001, &["background", "tench"]);
        check(None, true, 999, &[]);
        // A network of the user's own has classes of its own.
        check(None, false, 1000, &[]);
        check(Some(&["cat", "dog"]), true, 2, &["cat", "dog"]);
        check(Some(&["LABEL_0", "LABEL_1"]), true, 2, &["LABEL_0", "LABEL_1"]);
        let default: Vec<String> = (0..1000).map(|idx| format!("LABEL_{idx}")).collect();
        let default: Vec<&str> = default.iter().map(String::as_str).collect();
        check(Some(&default), true, 1000, &["tench", "goldfish"]);
        check(Some(&default), false, 1000, &["LABEL_0", "LABEL_1"]);
        let own: Vec<&str> = vec!["own"; 1000];
        check(Some(&own), true, 1000, &["own", "own"]);
    }

    #[test]
    fn a_list_without_the_background_is_told_of_it() {
        let check = |found: usize, expected: usize, error: &str| {
            let labels = Labels::Named(vec!["a".to_owned(); found]);
            assert_eq!(labels.names(&graph(expected)).unwrap_err(), error);
        };
        check(3, 2, "found 3 labels, expected 2, one for each output");
        check(
            1000,
            1001,
            "found 1000 labels, expected 1001, one for each output: TensorFlow's networks have \"background\" first; add it as the \
             first line, or use --labels imagenet",
        );
        check(
            1001,
            1000,
            "found 1001 labels, expected 1000, one for each output: only TensorFlow's networks have \"background\" first; remove \
             that line, or use --labels imagenet",
        );
    }

    #[test]
    fn words_are_no_files() {
        assert_eq!(Labels::of_word(Path::new("imagenet")), Some(Labels::ImageNet));
        assert_eq!(Labels::of_word(Path::new("none")), Some(Labels::None));
        assert_eq!(Labels::of_word(Path::new("./none")), None);
    }
}
