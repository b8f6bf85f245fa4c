//! SIGINT, SIGTERM and SIGHUP while a JSON document grows: it is closed, then the program ends by the signal.
//!
//! Answers are written as they come, and who interrupts a long run wants those that there are. The handler closes the document at
//! once, also while a picture is read or the network runs; during a write of the program itself that waits until the
//! element is whole. A second signal ends the program without more.

#[cfg(target_os = "linux")]
use std::ffi::c_int;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering::SeqCst};

/// What is on standard output.
#[cfg(target_os = "linux")]
static STATE: AtomicU8 = AtomicU8::new(EMPTY);
/// No element yet, nor the document's first character.
#[cfg(target_os = "linux")]
const EMPTY: u8 = 0;
/// Elements, all of them whole.
#[cfg(target_os = "linux")]
const WHOLE: u8 = 1;
/// A part of an element.
#[cfg(target_os = "linux")]
const WRITING: u8 = 2;
/// A document that a signal has closed, and that nobody may write to.
#[cfg(target_os = "linux")]
const CLOSED: u8 = 3;
/// The whole document.
#[cfg(target_os = "linux")]
const DONE: u8 = 4;

/// The signal that came during a write.
#[cfg(target_os = "linux")]
static PENDING: AtomicI32 = AtomicI32::new(0);

/// The one document of this process.
#[derive(Debug)]
pub(crate) struct Document {
    is_guarded: bool,
}

impl Document {
    /// Nothing is guarded that is no document: lines of text need no end.
    pub(crate) fn new(is_document: bool) -> Document {
        let is_guarded = is_document && cfg!(target_os = "linux");
        #[cfg(target_os = "linux")]
        if is_guarded {
            install();
        }
        Document { is_guarded }
    }

    /// Writes an element.
    pub(crate) fn element<T>(&self, write: impl FnOnce() -> T) -> T {
        self.begin();
        let written = write();
        #[cfg(target_os = "linux")]
        self.end(WHOLE);
        written
    }

    /// Writes the end.
    pub(crate) fn last<T>(&self, write: impl FnOnce() -> T) -> T {
        self.begin();
        let written = write();
        #[cfg(target_os = "linux")]
        self.end(DONE);
        written
    }

    fn begin(&self) {
        #[cfg(target_os = "linux")]
        if self.is_guarded {
            let open = |state| (state != CLOSED).then_some(WRITING);
            while STATE.fetch_update(SeqCst, SeqCst, open).is_err() {
                // Another thread has the signal, which ends all of them.
                std::thread::park();
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = self.is_guarded;
    }

    #[cfg(target_os = "linux")]
    fn end(&self, state: u8) {
        if self.is_guarded {
            STATE.store(state, SeqCst);
            match PENDING.load(SeqCst) {
                0 => {}
                signal => close(signal),
            }
        }
    }
}

#[cfg(target_os = "linux")]
unsafe extern "C" {
    #[link_name = "signal"]
    fn set_handler(signal: c_int, handler: usize) -> usize;
    fn raise(signal: c_int) -> c_int;
    #[link_name = "write"]
    fn write_bytes(file: c_int, bytes: *const u8, len: usize) -> isize;
}

#[cfg(target_os = "linux")]
const DEFAULT: usize = 0;
#[cfg(target_os = "linux")]
const IGNORED: usize = 1;

#[cfg(target_os = "linux")]
fn install() {
    let handler = close as extern "C" fn(c_int);
    for signal in [1, 2, 15] {
        // SAFETY: the handler is a function of the signal's number that calls what a handler may call.
        unsafe {
            // Who started this program may have told it to ignore the signal.
            if set_handler(signal, handler as usize) == IGNORED {
                set_handler(signal, IGNORED);
            }
        }
    }
}

/// The handler: closes the document and ends the program.
#[cfg(target_os = "linux")]
extern "C" fn close(signal: c_int) {
    // SAFETY: from here on the signal does what it does without a handler.
    unsafe { set_handler(signal, DEFAULT) };
    PENDING.store(signal, SeqCst);
    loop {
        let state = STATE.load(SeqCst);
        let end: &[u8] = match state {
            EMPTY => b"[]\n",
            WHOLE => b"\n]\n",
            // Who writes looks at the signal next.
            WRITING => return,
            _ => break,
        };
        if STATE.compare_exchange(state, CLOSED, SeqCst, SeqCst).is_ok() {
            // SAFETY: the bytes are there; should nobody read them any more, there is nobody to tell.
            unsafe { write_bytes(1, end.as_ptr(), end.len()) };
            break;
        }
    }
    // SAFETY: it ends the program, at the latest when this handler returns.
    unsafe { raise(signal) };
}
