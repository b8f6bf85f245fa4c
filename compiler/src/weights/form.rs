//! How a file may have a network otherwise than its description: without its classifier, with its batch norms folded.

use std::fmt;

use crate::describe::{Description, NormSpec};

/// What of a description a file has otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The classifier is not there.
    pub is_headless: bool,
    /// The batch norms.
    pub norms: Norms,
}

/// How a file has the batch norms of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// As they are described.
    Described,
    /// None: they were folded into the convolutions, which have biases.
    Folded,
    /// None has a gamma.
    WithoutGamma,
    /// None has a beta.
    WithoutBeta,
}

impl Form {
    /// The description's own.
    pub const DESCRIBED: Form = Form { is_headless: false, norms: Norms::Described };

    /// The description's own first.
    pub(super) fn all() -> impl Iterator<Item = Form> {
        let norms = [Norms::Described, Norms::Folded, Norms::WithoutGamma, Norms::WithoutBeta];
        norms.into_iter().flat_map(|norms| [false, true].map(|is_headless| Form { is_headless, norms }))
    }

    /// Makes the description that of the file.
    pub fn apply(self, description: &mut Description) {
        description.is_headless |= self.is_headless;
        for spec in description.layers.iter_mut().filter_map(|layer| layer.kind.spec_mut()) {
            let Some(norm) = spec.norm else { continue };
            match self.norms {
                Norms::Described => {}
                Norms::Folded => (spec.norm, spec.bias) = (None, true),
                Norms::WithoutGamma => spec.norm = Some(NormSpec { gamma: false, ..norm }),
                Norms::WithoutBeta => spec.norm = Some(NormSpec { beta: false, ..norm }),
            }
        }
    }
}

/// What is said of it.
impl fmt::Display for Norms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Norms::Described => "as described",
            Norms::Folded => "folded into the convolutions before the file was written: none is computed",
            Norms::WithoutGamma => "without gamma in the file: each is 1",
            Norms::WithoutBeta => "without beta in the file: each is 0",
        })
    }
}
