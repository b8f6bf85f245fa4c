//! Checked memory: one buffer, of which every element knows whether and by whom it was written and read.

use std::ops::Range;

use super::Violation;

/// Who runs a kernel: one of the tasks that may run at once.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Its number, from 1; those of a later step are larger.
    pub number: u32,
    /// The smallest number of its step.
    pub first_of_step: u32,
    /// Those of its step that were done, as far as it knows, when it began.
    pub after: Vec<u32>,
}

impl Runner {
    /// Whether another may run at the same time.
    fn runs_beside(&self, other: u32) -> bool {
        other != self.number && self.first_of_step <= other && !self.after.contains(&other)
    }
}

/// One buffer.
#[derive(Clone, Debug)]
pub struct Region {
    /// As in messages: `input`, `conv_pw_1`.
    pub name: String,
    data: Vec<f32>,
    /// For each element, who wrote it last; 0 where nobody did.
    writers: Vec<u32>,
    /// For each element, who read it last, and another who did. None for what nobody may write.
    readers: Vec<[u32; 2]>,
    writable: bool,
    alive: bool,
}

impl Region {
    /// A buffer that kernels may only read.
    pub fn constant(name: &str, data: Vec<f32>) -> Region {
        let writers = vec![1; data.len()];
        Region { name: name.to_owned(), data, writers, readers: Vec::new(), writable: false, alive: true }
    }

    /// A buffer of so many elements, none of them written yet.
    pub fn uninitialised(name: &str, len: usize) -> Region {
        Region {
            name: name.to_owned(),
            // The filler is a value that spoils every result it gets into, should a check be missing.
            data: vec![f32::NAN; len],
            writers: vec![0; len],
            readers: vec![[0; 2]; len],
            writable: true,
            alive: true,
        }
    }

    /// A buffer that may not be touched: before its first use, or after its last.
    pub fn dead(name: &str) -> Region {
        Region { alive: false, ..Region::uninitialised(name, 0) }
    }

    /// The elements, or the position of the first one that nobody wrote.
    pub fn values(&self) -> Result<&[f32], usize> {
        match self.writers.iter().position(|writer| *writer == 0) {
            None => Ok(&self.data),
            Some(idx) => Err(idx),
        }
    }

    /// The elements from a byte on, which somebody reads.
    pub(super) fn read(&mut self, byte: i64, count: usize, by: &Runner) -> Result<&[f32], Violation> {
        let range = self.elements(byte, count)?;
        for element in range.clone() {
            let writer = self.writers[element];
            if writer == 0 {
                return Err(self.violation(element, "is read before it is written"));
            }
            if self.writable && by.runs_beside(writer) {
                return Err(self.violation(element, "is read while another task may write it"));
            }
        }
        for readers in self.readers.iter_mut().skip(range.start).take(range.len()) {
            if readers[0] != by.number {
                *readers = [by.number, readers[0]];
            }
        }
        Ok(&self.data[range])
    }

    /// Writes elements from a byte on.
    pub(super) fn write(&mut self, byte: i64, values: &[f32], by: &Runner) -> Result<(), Violation> {
        if !self.writable {
            return Err(Violation(format!("{} may not be written", self.name)));
        }
        let range = self.elements(byte, values.len())?;
        for element in range.clone() {
            let [last, other] = self.readers[element];
            if [self.writers[element], last, other].iter().any(|who| by.runs_beside(*who)) {
                return Err(self.violation(element, "is written while another task may use it"));
            }
            self.writers[element] = by.number;
        }
        self.data[range].copy_from_slice(values);
        Ok(())
    }

    fn violation(&self, element: usize, what: &str) -> Violation {
        Violation(format!("element {element} of {} {what}", self.name))
    }

    /// The elements from a byte on, if they are there.
    fn elements(&self, byte: i64, count: usize) -> Result<Range<usize>, Violation> {
        let (name, len) = (&self.name, self.data.len());
        if !self.alive {
            return Err(Violation(format!("{name} is used before its first step or after its last")));
        }
        if byte % 4 != 0 {
            return Err(Violation(format!("byte {byte} of {name} is not the start of an element")));
        }
        match usize::try_from(byte / 4) {
            Ok(start) if start + count <= len => Ok(start..start + count),
            _ => {
                Err(Violation(format!("{} bytes at byte {byte} of {name}, which has {}", count * 4, len * 4)))
            }
        }
    }
}
