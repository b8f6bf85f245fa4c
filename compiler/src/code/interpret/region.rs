//! Checked memory: the bytes of one buffer, of which every element knows whether and by whom it was written and read.

use std::ops::Range;

use super::Violation;
use crate::graph::tensor::Dtype;

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
    data: Vec<u8>,
    /// What is written and read as one.
    dtype: Dtype,
    /// For each element, who wrote it last; 0 where nobody did.
    writers: Vec<u32>,
    /// For each element, who read it last, and another who did. None for what nobody may write.
    readers: Vec<[u32; 2]>,
    writable: bool,
    alive: bool,
}

impl Region {
    /// A buffer that kernels may only read.
    pub fn constant(name: &str, dtype: Dtype, data: Vec<u8>) -> Region {
        let writers = vec![1; data.len() / dtype.bytes()];
        let name = name.to_owned();
        Region { name, data, dtype, writers, readers: Vec::new(), writable: false, alive: true }
    }

    /// A buffer of so many bytes, none of them written yet.
    pub fn uninitialised(name: &str, dtype: Dtype, bytes: usize) -> Region {
        let n_elements = bytes / dtype.bytes();
        Region {
            name: name.to_owned(),
            // The filler is a value that spoils every result it gets into, should a check be missing: NaN.
            data: vec![0xff; bytes],
            dtype,
            writers: vec![0; n_elements],
            readers: vec![[0; 2]; n_elements],
            writable: true,
            alive: true,
        }
    }

    /// A buffer that may not be touched: before its first use, or after its last.
    pub fn dead(name: &str, dtype: Dtype) -> Region {
        Region { alive: false, ..Region::uninitialised(name, dtype, 0) }
    }

    /// The bytes, or the position of the first element that nobody wrote.
    pub fn contents(&self) -> Result<&[u8], usize> {
        match self.writers.iter().position(|writer| *writer == 0) {
            None => Ok(&self.data),
            Some(idx) => Err(idx),
        }
    }

    /// So many bytes from `byte` on, which somebody reads.
    pub(super) fn read(&mut self, byte: i64, bytes: usize, by: &Runner) -> Result<&[u8], Violation> {
        let range = self.range(byte, bytes)?;
        let elements = self.elements(&range);
        for element in elements.clone() {
            let writer = self.writers[element];
            if writer == 0 {
                return Err(self.violation(element, "is read before it is written"));
            }
            if self.writable && by.runs_beside(writer) {
                return Err(self.violation(element, "is read while another task may write it"));
            }
        }
        for readers in self.readers.iter_mut().skip(elements.start).take(elements.len()) {
            if readers[0] != by.number {
                *readers = [by.number, readers[0]];
            }
        }
        Ok(&self.data[range])
    }

    /// The bytes from `byte` on, for somebody to write them.
    pub(super) fn write(&mut self, byte: i64, bytes: usize, by: &Runner) -> Result<&mut [u8], Violation> {
        if !self.writable {
            return Err(Violation(format!("{} may not be written", self.name)));
        }
        let range = self.range(byte, bytes)?;
        for element in self.elements(&range) {
            let [last, other] = self.readers[element];
            if [self.writers[element], last, other].iter().any(|who| by.runs_beside(*who)) {
                return Err(self.violation(element, "is written while another task may use it"));
            }
            self.writers[element] = by.number;
        }
        Ok(&mut self.data[range])
    }

    fn violation(&self, element: usize, what: &str) -> Violation {
        Violation(format!("element {element} of {} {what}", self.name))
    }

    /// The elements that have these bytes.
    fn elements(&self, range: &Range<usize>) -> Range<usize> {
        range.start / self.dtype.bytes()..range.end / self.dtype.bytes()
    }

    /// Whole elements from a byte on, if they are there.
    fn range(&self, byte: i64, bytes: usize) -> Result<Range<usize>, Violation> {
        let (name, len) = (&self.name, self.data.len());
        if !self.alive {
            return Err(Violation(format!("{name} is used before its first step or after its last")));
        }
        if byte % self.dtype.bytes() as i64 != 0 || !bytes.is_multiple_of(self.dtype.bytes()) {
            return Err(Violation(format!("byte {byte} of {name} is not the start of an element")));
        }
        match usize::try_from(byte) {
            Ok(start) if start + bytes <= len => Ok(start..start + bytes),
            _ => Err(Violation(format!("{bytes} bytes at byte {byte} of {name}, which has {len}"))),
        }
    }
}
