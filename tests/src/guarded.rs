//! Memory with a margin on either side that must stay as it was.

/// Bytes of a margin.
const MARGIN: usize = 1024;
const PATTERN: u8 = 0xa5;
/// What addresses are counted modulo.
const LINE: usize = 64;

/// So many bytes between two margins.
#[derive(Debug)]
pub struct Guarded {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Guarded {
    /// `len` bytes of `fill`, the first at an address that is `past_line` modulo 64.
    pub fn new(len: usize, past_line: usize, fill: u8) -> Guarded {
        let mut memory = vec![PATTERN; len + 2 * MARGIN + 2 * LINE];
        let line_start = memory.as_ptr().align_offset(LINE);
        let start = line_start + MARGIN + past_line;
        memory[start..start + len].fill(fill);
        Guarded { memory, start, len }
    }

    /// Numbers, the first at such an address.
    pub fn of(values: &[f32], past_line: usize) -> Guarded {
        let mut guarded = Guarded::new(values.len() * 4, past_line, 0);
        let (start, len) = (guarded.start, guarded.len);
        guarded.memory[start..start + len].copy_from_slice(&crate::bits::to_bytes(values));
        guarded
    }

    /// The bytes between the margins.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// The same, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// They as numbers.
    pub fn values(&self) -> Vec<f32> {
        crate::bits::from_bytes(self.bytes())
    }

    /// Where they begin. The margins are part of what may be reached from it.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr().wrapping_add(self.start)
    }

    /// Whether nobody wrote to the margins.
    pub fn is_intact(&self) -> bool {
        let (before, rest) = self.memory.split_at(self.start);
        before.iter().chain(&rest[self.len..]).all(|byte| *byte == PATTERN)
    }
}
