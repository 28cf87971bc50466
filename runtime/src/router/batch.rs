//! The replies of commands that were started together. The last one wakes the waiter, so that sixteen pipelined
//! commands cost one wake-up.
//!
//! *Invariant:* a record that is not admitted is dropped at once, so that admission bounds the memory of unconsumed
//! replies.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use dkc_core::kv::Reply;
use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::RouteError;

/// Decides whether the value of a received record may be kept until it is consumed. Called on the task that
/// reads the connection, so it must not wait.
pub trait AdmitValue: Send + Sync {
    fn admit(&self, bytes: usize) -> bool;
}

type Outcome = Result<Reply, RouteError>;

pub(super) struct ReplyBatch {
    outcomes: Mutex<Vec<Option<Outcome>>>,
    remaining: AtomicUsize,
    waker: AtomicWaker,
    admit: Option<Arc<dyn AdmitValue>>,
}

impl ReplyBatch {
    pub fn new(size: usize, admit: Option<Arc<dyn AdmitValue>>) -> Arc<ReplyBatch> {
        let outcomes = Mutex::new((0..size).map(|_| None).collect());
        Arc::new(ReplyBatch { outcomes, remaining: AtomicUsize::new(size), waker: AtomicWaker::new(), admit })
    }

    /// `is_kept`: also without room.
    pub fn complete(&self, index: usize, mut outcome: Outcome, is_kept: bool) {
        let bytes = outcome.as_ref().map_or(0, Reply::value_bytes);
        if let Some(admit) = &self.admit
            && !admit.admit(bytes)
            && !is_kept
        {
            outcome = Err(RouteError::NoRoom { bytes });
        }
        self.outcomes.lock()[index] = Some(outcome);
        if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waker.wake();
        }
    }
}

pub(super) fn all_done(batch: Arc<ReplyBatch>) -> impl Future<Output = Vec<Outcome>> {
    poll_fn(move |context| {
        batch.waker.register(context.waker());
        if batch.remaining.load(Ordering::Acquire) > 0 {
            return Poll::Pending;
        }
        let outcomes = std::mem::take(&mut *batch.outcomes.lock());
        Poll::Ready(
            outcomes.into_iter().map(|outcome| outcome.expect("every operation completes once")).collect(),
        )
    })
}
