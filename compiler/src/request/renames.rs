//! What a user says of the names and axes of tensors, read and applied to the weights.

use std::path::{Path, PathBuf};

use super::{Files, Request};
use crate::error::Result;
use crate::files::Kind;
use crate::weights::Weights;
use crate::weights::layout::Layout;
use crate::weights::names::{Names, Renamed};

/// The file of names and the order of axes.
#[derive(Clone, Debug, Default)]
pub struct Renames {
    names: Option<Names>,
    /// Its path and text.
    file: Option<(PathBuf, String)>,
    axes: Option<Layout>,
}

impl Renames {
    /// Reads the file that the request names, if it does.
    ///
    /// # Errors
    /// A file that can't be read, or is none of names; an order of axes that nobody knows.
    pub fn read(request: &Request, files: &mut impl Files) -> Result<Renames> {
        let axes = request.axes.as_deref().map(Layout::asked).transpose()?;
        let Some(path) = &request.names else { return Ok(Renames { axes, ..Renames::default() }) };
        let text = files.text(path, Kind::Names)?;
        let names = Names::parse(&text, &path.display().to_string())?;
        Ok(Renames { names: Some(names), file: Some((path.clone(), text)), axes })
    }

    /// Renames the tensors, and spells those of TensorFlow as our tables do; what became of them, where there is a file of names.
    ///
    /// # Errors
    /// As [`Weights::rename`].
    pub fn apply(&self, weights: &mut Weights<'_>) -> Result<Option<Renamed>> {
        if let Some(axes) = self.axes {
            weights.set_layout(axes);
        }
        let renamed = self.names.as_ref().map(|names| weights.rename(names)).transpose()?;
        weights.respell();
        Ok(renamed)
    }

    /// The file of names and its text.
    pub fn file(&self) -> Option<(&Path, &str)> {
        self.file.as_ref().map(|(path, text)| (path.as_path(), text.as_str()))
    }
}
