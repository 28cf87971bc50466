//! Ctrl-C as a value: the number of presses since the running command began; and SIGTERM, which is permanent.
//!
//! *Invariant:* Ctrl-C interrupts only the running command; the count goes back to 0 when the next one begins. The
//! first press asks for a stop at the next safe point, the second one for not waiting any longer. A SIGTERM counts
//! as both, for this command and all later ones, which ends every prompt and batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Shared by the signal handler, the running command and the questions it asks.
#[derive(Clone)]
pub struct Interrupt {
    count: watch::Sender<u32>,
    is_terminated: Arc<AtomicBool>,
}

impl Default for Interrupt {
    fn default() -> Self {
        Interrupt { count: watch::Sender::new(0), is_terminated: Arc::default() }
    }
}

impl Interrupt {
    /// Counts one Ctrl-C.
    pub fn press(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    /// SIGTERM: ends the whole run.
    pub fn terminate(&self) {
        self.is_terminated.store(true, Ordering::Relaxed);
        self.count.send_modify(|count| *count += 2);
    }

    pub fn is_terminated(&self) -> bool {
        self.is_terminated.load(Ordering::Relaxed)
    }

    /// A new command begins.
    pub fn reset(&self) {
        if !self.is_terminated() {
            self.count.send_replace(0);
        }
    }

    pub fn count(&self) -> u32 {
        *self.count.borrow()
    }

    /// Stop at the next safe point.
    pub fn is_requested(&self) -> bool {
        self.count() > 0
    }

    /// Returns when Ctrl-C was pressed `times` times.
    pub async fn pressed(&self, times: u32) {
        let mut receiver = self.count.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = receiver.wait_for(|count| *count >= times).await;
    }
}
