//! Plain names that a user's file of names gives a few tensors -> those of the exporter that has named all others.
//!
//! Such a file speaks of layers as `mnc tensors` lists them, and of a checkpoint whose classifier alone has a name of its own it has two
//! lines. One naming has to hold for all tensors.

use crate::describe::Description;
use crate::error::Result;
use crate::graph::{Graph, Knobs};
use crate::weights::form::{Form, Norms};
use crate::weights::naming::Naming;
use crate::weights::{Asked, Weights};

impl Weights<'_> {
    /// Gives the tensors that were renamed to plain names of this network the names that they have in the naming of the others, and all
    /// that were renamed the prefix of these.
    ///
    /// # Errors
    /// As [`Weights::fit`].
    pub(crate) fn adopt_names(&mut self, description: &Description, asked: Asked<'_>) -> Result<()> {
        if self.file_of_names.is_none() {
            return Ok(());
        }
        let asked_naming = asked.naming.as_slice();
        let namings = if asked_naming.is_empty() { Naming::ALL } else { asked_naming };
        for norms in [Norms::Described, Norms::Folded] {
            let mut whole = description.clone();
            Form { is_headless: false, norms }.apply(&mut whole);
            whole.is_headless = false;
            let Ok(graph) = Graph::build(&whole, &Knobs::default()) else { continue };
            let Some(fit) = self.fit(&graph, namings, asked.prefix)? else { continue };
            let (Ok(plain), Ok(theirs)) = (Naming::PLAIN.tensors(&graph), fit.naming.tensors(&graph)) else {
                continue;
            };
            // Both list the tensors of the same nodes in the same order.
            for (plain, theirs) in plain.iter().zip(&theirs) {
                let name = fit.prefix.put_on(&theirs.tensor);
                let is_renamed =
                    |name: &&&str| self.tensors.get(**name).is_some_and(|tensor| tensor.own_name.is_some());
                let spoken_of = [&*plain.tensor, &*theirs.tensor];
                let Some(found) =
                    spoken_of.iter().find(is_renamed).filter(|_| !self.tensors.contains_key(&name))
                else {
                    continue;
                };
                if let Some(tensor) = self.tensors.remove(*found) {
                    self.tensors.insert(name, tensor);
                }
            }
            break;
        }
        Ok(())
    }
}
