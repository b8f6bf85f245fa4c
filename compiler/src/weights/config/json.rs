//! Reading one key of a JSON object at a time, each with what is expected there.

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Faults, Place, Result};
use crate::weights::foreign;

/// An object and how errors name it.
pub(super) struct Object<'j> {
    file: String,
    /// Of the objects around it, each with a colon.
    keys: String,
    map: &'j Map<String, Value>,
}

/// What [`count`] expects.
pub(super) const COUNT: &str = "a whole number from 1 to 16777216";
/// What [`positive`] expects.
pub(super) const POSITIVE: &str = "a number above 0";
/// What [`not_negative`] expects.
pub(super) const NOT_NEGATIVE: &str = "a number from 0 up";

/// The text as JSON of any shape.
pub(super) fn parse(text: &str, place: &str) -> Result<Value> {
    // Editors of Windows begin texts with a mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|error| {
        if let Some(what) = foreign::text(text) {
            let detail = format!("found {}, expected JSON: {}", what.0, what.1);
            return Error::new(ErrorKind::Weights, Place::file(place), detail);
        }
        Error::new(
            ErrorKind::Weights,
            Place::Text { file: place.to_owned(), line: error.line(), column: Some(error.column()) },
            message(&error),
        )
    })
}

/// The object that the file must be.
pub(super) fn root<'j>(value: &'j Value, place: &str) -> Result<Object<'j>> {
    let map = value.as_object().ok_or_else(|| {
        Error::new(
            ErrorKind::Weights,
            Place::file(place),
            format!("found {}, expected a JSON object", shown(value)),
        )
    })?;
    Ok(Object { file: place.to_owned(), keys: String::new(), map })
}

impl<'j> Object<'j> {
    /// Whether the key is there; `null` is how these files write that it isn't.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// The key's value, whatever it is.
    pub(super) fn value(&self, key: &str) -> Option<&'j Value> {
        self.map.get(key)
    }

    /// Where a fault of a key's value is.
    pub(super) fn at(&self, key: &str) -> Place {
        Place::Entry { file: self.file.clone(), key: self.name(key) }
    }

    /// The key's value, `None` when it isn't there or isn't what is expected; the latter is a fault.
    pub(super) fn read<T>(
        &self,
        key: &str,
        expected: &str,
        faults: &mut Faults,
        convert: impl FnOnce(&'j Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        let converted = convert(value);
        if converted.is_none() {
            self.fault(key, expected, faults);
        }
        converted
    }

    /// Every key with its value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'j String, &'j Value)> {
        self.map.iter()
    }

    /// A key with the keys around it.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.keys)
    }

    /// A fault of a key's value.
    pub(super) fn fault(&self, key: &str, expected: &str, faults: &mut Faults) {
        let value = self.map.get(key).unwrap_or(&Value::Null);
        faults.push(self.at(key), format!("found {}, expected {expected}", shown(value)));
    }

    /// An object within.
    pub(super) fn object(&self, key: &str, faults: &mut Faults) -> Option<Object<'j>> {
        let map = self.read(key, "an object", faults, Value::as_object)?;
        Some(Object { file: self.file.clone(), keys: format!("{}{key}: ", self.keys), map })
    }
}

pub(super) fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|x| x.is_finite())
}

/// What [`factor`] expects.
pub(super) const FACTOR: &str = "a number from 1e-9 to 1e9";

/// What multiplies or divides a pixel's value, within the bounds of descriptions.
pub(super) fn factor(value: &Value) -> Option<f64> {
    number(value).filter(|x| (1e-9..=1e9).contains(x))
}

/// What is subtracted from one, likewise.
pub(super) fn summand(value: &Value) -> Option<f64> {
    number(value).filter(|x| x.abs() <= 1e9)
}

pub(super) fn positive(value: &Value) -> Option<f64> {
    number(value).filter(|&x| 0.0 < x)
}

pub(super) fn not_negative(value: &Value) -> Option<f64> {
    number(value).filter(|&x| 0.0 <= x)
}

/// An extent or a count, bounded so that products of a few stay far from overflow.
pub(super) fn count(value: &Value) -> Option<usize> {
    let count = value.as_u64().filter(|count| (1..=1 << 24).contains(count))?;
    usize::try_from(count).ok()
}

/// An array of which every element is what is expected; not empty.
pub(super) fn list<T>(value: &Value, convert: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    items.iter().map(convert).collect()
}

/// The strings of an object whose keys are 0, 1, 2 and so on, in that order whatever the order in the file.
pub(super) fn by_index(value: &Value) -> Option<Vec<String>> {
    let map = value.as_object().filter(|map| !map.is_empty())?;
    (0..map.len()).map(|index| map.get(&index.to_string()).and_then(string)).collect()
}

/// A value, fit for one line of a message.
fn shown(value: &Value) -> String {
    const MAX_CHARS: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// serde_json's message without the position, which is part of the place.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.find(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
