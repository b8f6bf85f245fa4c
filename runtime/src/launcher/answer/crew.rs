//! Threads that take batches of files, each with memory of its own for the network; their answers are waited for in order.

use super::super::model::Model;
use super::super::picture::{Memory, Together};
use super::{Done, Work};
use crate::abi::Status;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The threads. They aren't waited for: one that still reads a pipe when the program ends would keep it from ending.
pub(super) struct Crew {
    shared: Arc<Shared>,
}

struct Shared {
    work: Arc<Work>,
    /// What the pictures take.
    together: Arc<Together>,
    board: Mutex<Board>,
    changed: Condvar,
    /// Batches that may be done before somebody asks for them: the answers of more would fill the memory behind a slow one.
    most_ahead: usize,
}

#[derive(Default)]
struct Board {
    /// The batch that nobody has taken yet.
    next: usize,
    /// The batch whose answers come next.
    turn: usize,
    /// From that batch on what has been done.
    done: VecDeque<Option<Result<Done, Status>>>,
}

impl Crew {
    /// Starts as many threads as the model has; none where they have less than a batch each, or where there can't be two.
    pub(super) fn start(model: &Model, work: &Arc<Work>) -> Option<Crew> {
        let n_threads = model.threads();
        if n_threads < 2 || work.n_batches() < n_threads {
            return None;
        }
        let mut models: Vec<Model> = (0..n_threads).map_while(|_| model.another().ok()).collect();
        let shared = Arc::new(Shared {
            work: work.clone(),
            together: Arc::new(Together::new(work.most_memory)),
            board: Mutex::default(),
            changed: Condvar::new(),
            most_ahead: 2 * n_threads,
        });
        let mut n_started = 0;
        while let Some(model) = models.pop() {
            let shared = shared.clone();
            let thread = thread::Builder::new().name("pictures".to_string());
            n_started += usize::from(thread.spawn(move || shared.take_batches(model)).is_ok());
        }
        (n_started != 0).then_some(Crew { shared })
    }

    /// What was done with the batch whose turn it is.
    pub(super) fn wait_for_next(&self) -> Result<Done, Status> {
        let mut board = self.shared.lock();
        loop {
            if let Some(done) = board.done.front_mut().and_then(Option::take) {
                return done;
            }
            board = self.shared.wait(board);
        }
    }

    /// The answers of that batch have been given.
    pub(super) fn advance(&self) {
        self.shared.together.advance();
        let mut board = self.shared.lock();
        board.done.pop_front();
        board.turn += 1;
        drop(board);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// The life of a thread.
    fn take_batches(&self, mut model: Model) {
        loop {
            let mut board = self.lock();
            while board.turn + self.most_ahead <= board.next {
                board = self.wait(board);
            }
            let batch_idx = board.next;
            if self.work.n_batches() <= batch_idx {
                return;
            }
            board.next += 1;
            drop(board);
            let memory = || Memory::among(self.work.most_memory, &self.together, batch_idx);
            let done = self.work.answer(&mut model, batch_idx, memory);
            let mut board = self.lock();
            let place = batch_idx - board.turn;
            if board.done.len() <= place {
                board.done.resize_with(place + 1, || None);
            }
            board.done[place] = Some(done);
            drop(board);
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'b>(&self, board: MutexGuard<'b, Board>) -> MutexGuard<'b, Board> {
        self.changed.wait(board).unwrap_or_else(PoisonError::into_inner)
    }
}
