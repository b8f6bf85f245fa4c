//! What `mnc verify` asks of a compiled network, and what comes back: bytes between two processes.
//!
//! An order is little-endian words of 64 bits; the input's bytes follow an order to run. An answer is one block: a word that
//! is 0 for an answer and 1 for the reason why there is none, a word with the length, and so many bytes. The program
//! `compiler/src/cli/verify/harness.c` speaks the same.

use std::io::{self, Read, Write};

/// How a network is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// On the caller's thread, by `NAME_run`.
    Serial,
    /// On the caller's thread, one step after the other, as a profile does it.
    Steps,
    /// By `NAME_run_parallel`, on a pool of so many threads.
    Threads(u64),
    /// By `NAME_run_parallel`, with a pool that does the pieces of a step one after the other, the first one first.
    Forwards,
    /// The same, the last one first.
    Backwards,
    /// The same, in an order that follows from this seed.
    Shuffled(u64),
}

impl Manner {
    fn words(self) -> [u64; 2] {
        match self {
            Manner::Serial => [0, 0],
            Manner::Steps => [1, 0],
            Manner::Threads(threads) => [2, threads],
            Manner::Forwards => [3, 0],
            Manner::Backwards => [4, 0],
            Manner::Shuffled(seed) => [5, seed],
        }
    }

    fn from_words([kind, number]: [u64; 2]) -> io::Result<Manner> {
        match kind {
            0 => Ok(Manner::Serial),
            1 => Ok(Manner::Steps),
            2 if (1..=MOST_THREADS).contains(&number) => Ok(Manner::Threads(number)),
            3 => Ok(Manner::Forwards),
            4 => Ok(Manner::Backwards),
            5 => Ok(Manner::Shuffled(number)),
            _ => Err(unknown()),
        }
    }
}

/// Most threads of an order.
pub const MOST_THREADS: u64 = 1024;

/// Whose memory is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// The workspace.
    Workspace,
    /// The caller's output.
    Output,
}

/// Bytes to copy right after a point of a run: a step of [`Manner::Steps`], or a call of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// How many steps, or calls of the pool, come before it.
    pub point: u64,
    /// Where the bytes are.
    pub region: Region,
    /// Where they begin there.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The description of the network, as JSON.
    Info,
    /// The input of one image that a picture or a file of numbers becomes: its path, as bytes.
    Prepare(Vec<u8>),
    /// A run on the input that follows, and what to look at meanwhile, in the order of the points.
    Run(Manner, Vec<View>),
}

/// No network has more to look at, no path is longer.
const MOST: u64 = 1 << 16;

impl Order {
    /// Writes the order.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Order::Info => write_words(out, &[0]),
            Order::Prepare(path) => {
                write_words(out, &[1, path.len() as u64])?;
                out.write_all(path)
            }
            Order::Run(manner, views) => {
                let [kind, number] = manner.words();
                write_words(out, &[2, kind, number, views.len() as u64])?;
                views.iter().try_for_each(|view| {
                    let View { point, region, offset, bytes } = *view;
                    write_words(out, &[point, u64::from(region == Region::Output), offset, bytes])
                })
            }
        }
    }

    /// Reads the next order; `None` where nothing follows.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Order>> {
        let kind = match word(from) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            kind => kind?,
        };
        match kind {
            0 => Ok(Some(Order::Info)),
            1 => {
                let mut path = vec![0; length(from)?];
                from.read_exact(&mut path)?;
                Ok(Some(Order::Prepare(path)))
            }
            2 => {
                let manner = Manner::from_words([word(from)?, word(from)?])?;
                let views = (0..length(from)?).map(|_| {
                    let [point, region, offset, bytes] = [word(from)?, word(from)?, word(from)?, word(from)?];
                    let region = if region == 0 { Region::Workspace } else { Region::Output };
                    Ok(View { point, region, offset, bytes })
                });
                Ok(Some(Order::Run(manner, views.collect::<io::Result<_>>()?)))
            }
            _ => Err(unknown()),
        }
    }
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an order of another version of mnc")
}

fn length(from: &mut impl Read) -> io::Result<usize> {
    match word(from)? {
        len @ ..=MOST => Ok(len as usize),
        _ => Err(unknown()),
    }
}

fn word(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn write_words(out: &mut impl Write, words: &[u64]) -> io::Result<()> {
    words.iter().try_for_each(|word| out.write_all(&word.to_le_bytes()))
}

/// Writes an answer, or why there is none.
pub fn write_answer(out: &mut impl Write, answer: Result<&[u8], &str>) -> io::Result<()> {
    let (kind, bytes) = match answer {
        Ok(bytes) => (0, bytes),
        Err(reason) => (1, reason.as_bytes()),
    };
    write_words(out, &[kind, bytes.len() as u64])?;
    out.write_all(bytes)?;
    out.flush()
}

/// Longer answers are none.
const MOST_ANSWER_BYTES: u64 = 8 << 30;

/// Reads an answer, or why there is none.
pub fn read_answer(from: &mut impl Read) -> io::Result<Result<Vec<u8>, String>> {
    let (kind, len) = (word(from)?, word(from)?);
    if 1 < kind || MOST_ANSWER_BYTES < len {
        return Err(unknown());
    }
    let mut bytes = Vec::new();
    if from.take(len).read_to_end(&mut bytes)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(if kind == 0 { Ok(bytes) } else { Err(String::from_utf8_lossy(&bytes).into_owned()) })
}

/// What a run has given: the bytes of an answer to [`Order::Run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the network returned ([`crate::abi::Status`]).
    pub status: i32,
    /// How many calls of the pool there were; 0 for a run without one.
    pub n_calls: u64,
    /// The views, one behind the other: of points that were reached.
    pub seen: Vec<u8>,
    /// The output.
    pub output: Vec<u8>,
}

impl Outcome {
    /// The bytes of the answer.
    pub fn to_bytes(&self) -> Vec<u8> {
        let words = [i64::from(self.status) as u64, self.n_calls, self.seen.len() as u64];
        let head = words.iter().flat_map(|word| word.to_le_bytes());
        head.chain(self.seen.iter().copied()).chain(self.output.iter().copied()).collect()
    }

    /// Reads what [`Outcome::to_bytes`] wrote; `None` if it didn't.
    pub fn from_bytes(bytes: &[u8]) -> Option<Outcome> {
        let (words, rest) = bytes.split_at_checked(24)?;
        let word = |idx: usize| u64::from_le_bytes(words.as_chunks::<8>().0[idx]);
        let (seen, output) = rest.split_at_checked(usize::try_from(word(2)).ok()?)?;
        let (seen, output) = (seen.to_vec(), output.to_vec());
        Some(Outcome { status: i32::try_from(word(0) as i64).ok()?, n_calls: word(1), seen, output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_back_as_they_were() {
        let view = |point, region| View { point, region, offset: 64 * point, bytes: 128 };
        let views = vec![view(0, Region::Workspace), view(3, Region::Output)];
        let manners = [Manner::Serial, Manner::Steps, Manner::Threads(7), Manner::Forwards];
        let manners = manners.into_iter().chain([Manner::Backwards, Manner::Shuffled(u64::MAX)]);
        let mut orders = vec![Order::Info, Order::Prepare(b"a b.jpg".to_vec())];
        orders.extend(manners.map(|manner| Order::Run(manner, views.clone())));
        let mut bytes = Vec::new();
        orders.iter().for_each(|order| order.write(&mut bytes).unwrap());
        let mut from = bytes.as_slice();
        let read: Vec<Order> = std::iter::from_fn(|| Order::read(&mut from).unwrap()).collect();
        assert_eq!(read, orders);
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let read = |words: &[u64]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            Order::read(&mut bytes.as_slice()).map_err(|error| error.kind())
        };
        for words in [&[3][..], &[1, MOST + 1], &[2, 6, 0, 0], &[2, 2, 0, 0], &[2, 0, 0, u64::MAX]] {
            assert_eq!(read(words), Err(io::ErrorKind::InvalidData), "{words:?}");
        }
        assert_eq!(read(&[1, 5]), Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn answers_come_back_as_they_were() {
        let outcome = Outcome { status: -3, n_calls: 9, seen: vec![1, 2, 3, 4], output: vec![5] };
        let mut bytes = Vec::new();
        write_answer(&mut bytes, Ok(&outcome.to_bytes())).unwrap();
        write_answer(&mut bytes, Err("no such file")).unwrap();
        let mut from = bytes.as_slice();
        let answer = read_answer(&mut from).unwrap().unwrap();
        assert_eq!(Outcome::from_bytes(&answer), Some(outcome));
        assert_eq!(read_answer(&mut from).unwrap(), Err("no such file".to_string()));
        assert!(read_answer(&mut from).is_err());
        assert_eq!(Outcome::from_bytes(&answer[..26]), None);
    }
}
