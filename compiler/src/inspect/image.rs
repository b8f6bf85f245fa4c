//! What of a file a program has in memory: code and constants, with what they say of each other kept apart.
//!
//! A relocation's field isn't filled in: a linker decides what it will hold. It is known by what it stands for.

use std::collections::{BTreeMap, HashMap};

use super::machine::{Origin, Value};

/// A piece of memory that nobody writes.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    /// As in messages.
    pub(super) name: String,
    /// What addresses there count from: for sections of an object, whose distances a linker decides, something of their own.
    pub(super) origin: Origin,
    pub(super) start: u64,
    pub(super) bytes: &'a [u8],
    /// Whether nobody writes there, a loader neither.
    pub(super) is_constant: bool,
}

impl Section<'_> {
    fn holds(&self, value: Value) -> bool {
        let length = self.bytes.len() as u64;
        self.origin == value.origin
            && value.rows == 0
            && value.offset.checked_sub(self.start).is_some_and(|offset| offset < length)
    }
}

/// What a field of the code stands for that a linker fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relocated {
    /// The distance from the field to this place.
    Place(Value),
    /// The same to a slot that holds an address.
    Slot(Value),
}

/// Bytes of a field that a linker fills in.
pub(super) const FIELD_BYTES: u64 = 4;

/// All that a program would have in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Image<'a> {
    /// The code first.
    pub(super) sections: Vec<Section<'a>>,
    /// Fields of the code, by where they are.
    pub(super) relocated: BTreeMap<u64, Relocated>,
    /// Words that hold addresses: what a loader writes.
    pub(super) words: HashMap<Value, Value>,
    /// Where the exported functions are, in the code.
    pub(super) functions: BTreeMap<String, u64>,
    /// Names of other functions of the code, by where they are: for messages alone.
    pub(super) names: HashMap<u64, String>,
}

impl<'a> Image<'a> {
    /// Code by itself.
    pub(super) fn of_code(bytes: &'a [u8]) -> Image<'a> {
        let (name, origin) = ("the code".to_owned(), Origin::image(0));
        let section = Section { name, origin, start: 0, bytes, is_constant: true };
        Image { sections: vec![section], ..Image::default() }
    }

    /// The one section that is run.
    pub(super) fn code(&self) -> &Section<'a> {
        &self.sections[0]
    }

    /// The section that holds an address.
    pub(super) fn section(&self, value: Value) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.holds(value))
    }

    /// The place in the code, if it is one.
    pub(super) fn code_place(&self, value: Value) -> Option<u64> {
        self.code().holds(value).then_some(value.offset)
    }

    /// The field among those bytes of the code, if there is one.
    pub(super) fn relocated_within(&self, start: u64, end: u64) -> Result<Option<(u64, Relocated)>, String> {
        let mut found = self.relocated.range(start.saturating_sub(FIELD_BYTES - 1)..end);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some((at, relocated)), None) => Ok(Some((*at, *relocated))),
            _ => Err("two relocations in one instruction".to_owned()),
        }
    }

    /// What lies at an address: a number, or an address that a loader has written.
    pub(super) fn load(&self, address: Value, bytes: u64) -> Value {
        if bytes == 8
            && let Some(word) = self.words.get(&address)
        {
            return *word;
        }
        let Some(section) = self.section(address).filter(|section| section.is_constant) else {
            return Value::UNKNOWN;
        };
        let end = address.offset.saturating_add(bytes);
        let is_code = section.origin == self.code().origin;
        let overlaps = |word: u64| word < end && address.offset < word + 8;
        if (is_code && !matches!(self.relocated_within(address.offset, end), Ok(None)))
            || self.words.keys().any(|word| word.origin == address.origin && overlaps(word.offset))
        {
            return Value::UNKNOWN;
        }
        let at = (address.offset - section.start) as usize;
        let mut word = [0; 8];
        match (section.bytes.get(at..at + bytes as usize), word.get_mut(..bytes as usize)) {
            (Some(bytes), Some(word)) => word.copy_from_slice(bytes),
            _ => return Value::UNKNOWN,
        }
        Value::number(u64::from_le_bytes(word))
    }
}
