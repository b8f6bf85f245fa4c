//! What lies in the workspace of each version and when, as JSON for [`crate::inspect`]: it holds the code to it.
//!
//! The text lies behind the zero byte that ends the description, so whatever finds the one finds the other: an object, what a
//! static library holds of it, a shared library. No program reads it. An executable has no symbols and nobody walks it, so it
//! goes without.

use serde::{Deserialize, Serialize};

use crate::program::{Program, ProgramStep, ProgramValue};

/// The workspace of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The values.
    pub values: Vec<Value>,
}

/// What threads do of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The step.
    pub name: String,
    /// The tasks that a pool gets of it: 0 where those of the next step do it, 1 where the caller does it.
    pub tasks: u64,
}

/// A value: from its first step to its last no other value has any of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// As in [`ProgramValue::name`].
    pub name: String,
    /// Bytes from the start of the workspace.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
    /// The step that writes it, by position.
    pub first_step: u64,
    /// The last step that reads it.
    pub last_step: u64,
}

/// The workspaces of the programs of one object.
pub fn to_json<'a>(programs: impl Iterator<Item = &'a Program>) -> String {
    let workspaces: Vec<Workspace> = programs.map(of).collect();
    serde_json::to_string(&workspaces).expect("names and numbers are JSON")
}

/// Reads them back.
///
/// # Errors
/// What isn't such JSON.
pub fn from_json(text: &[u8]) -> Result<Vec<Workspace>, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn of(program: &Program) -> Workspace {
    let step = |step: &ProgramStep| Step { name: step.name.clone(), tasks: step.tasks.len() as u64 };
    let value = |value: &ProgramValue| Value {
        name: value.name.clone(),
        offset: value.offset as u64,
        bytes: value.bytes as u64,
        first_step: value.first_step as u64,
        last_step: value.last_step as u64,
    };
    Workspace {
        steps: program.steps.iter().map(step).collect(),
        values: program.values.iter().map(value).collect(),
    }
}
