//! Orders in which the interpreter runs the tasks of a step.

use mnc::program::{ProgramStep, Turn};

use crate::random::Random;

/// From the first to the last; each resumes that can.
pub fn forwards(step: &ProgramStep) -> Vec<Turn> {
    step.turns(&(0..step.tasks.len()).collect::<Vec<usize>>())
}

/// From the last to the first; each resumes that can.
pub fn backwards(step: &ProgramStep) -> Vec<Turn> {
    step.turns(&(0..step.tasks.len()).rev().collect::<Vec<usize>>())
}

/// In an order of their own for each step. Half of those that could resume began too early for it.
pub fn shuffled(seed: u64) -> impl FnMut(&ProgramStep) -> Vec<Turn> {
    let mut random = Random::new(seed ^ 0x7475_726e_7300);
    move |step| {
        let mut turns = step.turns(&random.permutation(step.tasks.len()));
        turns.iter_mut().for_each(|turn| turn.resumes &= random.percent(50));
        turns
    }
}
