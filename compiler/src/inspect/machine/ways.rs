//! The ways through one call: which wait for their turn, and which meet again.
//!
//! Each question to the processor may end in several ways, and the next comes behind it. Ways that come to one jump with the same
//! knowledge go on alike, so that only the first goes on: else an object of four versions would be walked hundreds of times.

use super::state::{Place, State};

/// Ways that wait for their turn, each with all that it knows.
const MOST_OPEN: usize = 64;
/// Jumps at which what is known is kept.
const MOST_KNOWN: usize = 256;

/// What comes of a jump that may go either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Both ways are to be walked.
    Nobody,
    /// All that follows has been walked.
    AnotherWay,
    /// This way has been here: it may go round for ever.
    Itself,
}

/// Ways of which one is walked, to its end, before the one that waits for the shortest time.
#[derive(Default)]
pub(super) struct Ways {
    /// Each with the number of known jumps on the way to it.
    open: Vec<(usize, Box<State>)>,
    /// The known jumps that the present way has taken.
    path: Vec<usize>,
    /// What is known behind each jump that wasn't taken, and where it leads if it is. Where a jump begins says less: code may be read from
    /// the middle of an instruction on.
    known: Vec<(State, Place)>,
}

impl Ways {
    /// Those from a state on.
    pub(super) fn of(state: State) -> Ways {
        Ways { open: vec![(0, Box::new(state))], ..Ways::default() }
    }

    /// The next way to walk.
    pub(super) fn next(&mut self) -> Option<Box<State>> {
        let (n_before, state) = self.open.pop()?;
        self.path.truncate(n_before);
        Some(state)
    }

    /// Whether somebody has been at this jump with the same knowledge; keeps it for those who come.
    pub(super) fn meet(&mut self, state: &State, taken: Place) -> Met {
        if let Some(idx) = self.known.iter().position(|known| known.1 == taken && known.0 == *state) {
            return if self.path.contains(&idx) { Met::Itself } else { Met::AnotherWay };
        }
        if self.known.len() < MOST_KNOWN {
            self.path.push(self.known.len());
            self.known.push((state.clone(), taken));
        }
        Met::Nobody
    }

    /// Keeps a way for later; `false` if too many wait.
    #[must_use]
    pub(super) fn wait(&mut self, state: Box<State>) -> bool {
        let has_room = self.open.len() < MOST_OPEN;
        if has_room {
            self.open.push((self.path.len(), state));
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::IcedError;
    use iced_x86::code_asm::{CodeAssembler, eax, ecx, r8, r9d, rbx};

    use super::{Met, Place, State, Ways};
    use crate::inspect::image::Image;
    use crate::inspect::machine::{Machine, Terms, Totals, Value};

    /// Walks through a function that keeps rbx in r8, where CPUID leaves it alone.
    fn walk(write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Result<Totals, String> {
        let assemble = || {
            let mut a = CodeAssembler::new(64)?;
            a.mov(r8, rbx)?;
            write(&mut a)?;
            a.mov(rbx, r8)?;
            a.ret()?;
            a.assemble(0)
        };
        let code = assemble().expect("it can be encoded");
        Machine::new(&Image::of_code(&code), &[], &Terms::of_code(1 << 20)).call(0, &[])
    }

    /// Asks the processor, and does something only if the answer is zero.
    fn ask(
        a: &mut CodeAssembler,
        then: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) -> Result<(), IcedError> {
        let mut differs = a.create_label();
        a.cpuid()?;
        a.cmp(eax, 0)?;
        a.jne(differs)?;
        then(a)?;
        a.set_label(&mut differs)?;
        a.nop()
    }

    /// Two jumps may end at one byte, when one is read from the middle of the other.
    #[test]
    fn a_jump_to_another_place_is_another_jump() {
        let (state, mut ways) = (State::new(0, &[]), Ways::default());
        let met = [1, 2, 1].map(|target| ways.meet(&state, Place::Code(target)));
        assert_eq!(met, [Met::Nobody, Met::Nobody, Met::Itself]);
    }

    #[test]
    fn ways_that_know_the_same_meet() {
        let totals = walk(|a| {
            // The next question takes away what a way has learned.
            (0..40).try_for_each(|_| ask(a, |a| a.xor(ecx, ecx)))?;
            a.xor(eax, eax)
        });
        let totals = totals.expect("it ends");
        assert_eq!((totals.forks, totals.returns), (40, vec![Value::number(0)]));
    }

    #[test]
    fn ways_that_know_something_else_go_on() {
        let totals = walk(|a| {
            a.mov(r9d, 0)?;
            (1..4).try_for_each(|number| ask(a, |a| a.mov(r9d, number)))?;
            a.mov(eax, r9d)
        });
        let totals = totals.expect("it ends");
        let mut returns: Vec<u64> =
            totals.returns.into_iter().map(|value| value.known().expect("a number")).collect();
        returns.sort_unstable();
        // The second question has two ways to it, the third three: of four, two know the same.
        assert_eq!((totals.forks, returns), (1 + 2 + 3, vec![0, 1, 2, 3]));
    }

    #[test]
    fn loops_that_may_go_on_for_ever_are_refused() {
        for (n_inner, n_outer) in [(1, 0), (1, 1), (3, 2)] {
            let found = walk(|a| {
                let mut start = a.create_label();
                a.set_label(&mut start)?;
                (0..n_outer).try_for_each(|_| ask(a, |a| a.xor(ecx, ecx)))?;
                for _ in 0..n_inner {
                    a.cpuid()?;
                    a.cmp(eax, 0)?;
                    a.jne(start)?;
                }
                a.xor(eax, eax)
            });
            let fault = found.expect_err("it needn't end");
            assert_eq!(fault, "a loop that nothing known ends", "{n_inner} {n_outer}");
        }
        // One that counts ends.
        let totals = walk(|a| {
            let mut start = a.create_label();
            a.mov(r9d, 5)?;
            a.set_label(&mut start)?;
            ask(a, |a| a.xor(ecx, ecx))?;
            a.dec(r9d)?;
            a.jne(start)?;
            a.xor(eax, eax)
        });
        assert_eq!(totals.expect("it ends").forks, 5);
    }
}
