//! Ctrl-C while an answer is being written: heard, not obeyed at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cmd::Failure;

/// Whether the user has had enough of the answer that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt {
    asked: Arc<AtomicBool>,
    /// No answer is being written: the signal ends the program, as it does elsewhere.
    idle: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens for Ctrl-C from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let interrupt = Self { asked: Arc::default(), idle: Arc::new(AtomicBool::new(true)) };
        let signal = signal_hook::consts::SIGINT;
        let registered = signal_hook::flag::register_conditional_default(signal, Arc::clone(&interrupt.idle))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupt.asked)));
        registered.map_err(|error| Failure::run(format!("cannot listen for Ctrl-C: {error}")))?;
        Ok(interrupt)
    }

    /// An answer begins.
    pub(super) fn begin(&self) {
        self.asked.store(false, Ordering::SeqCst);
        self.idle.store(false, Ordering::SeqCst);
    }

    /// It is over.
    pub(super) fn end(&self) {
        self.idle.store(true, Ordering::SeqCst);
    }

    /// Whether Ctrl-C was pressed since it began.
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}
