//! The state machine of one tablet: what a batch of writes does to its records, its sessions and its clock.
//!
//! *Invariant (D5):* data, session table, version counter and replicated clock leave here as ONE list of
//! changes; the storage writes them in one atomic batch together with the applied log index.
//! *Invariant (T1):* the clock of a tablet only moves by `Batch::now_ms`, and never backwards; expiry is decided
//! by it alone.
//! *Invariant (X1):* a (session, sequence) that was applied is answered again, never applied again.

pub mod batch;

use bytes::Bytes;

use crate::kv::codec::BadBytes;
use crate::kv::{Read, Reply, Write};

/// One write of one session, as it stands in a log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Chosen at random by a slave (one per slave process and tablet); 0 = no session, applied as often as sent.
    pub session: u64,
    /// Counts from 1 inside the session, in the order of sending.
    pub sequence: u64,
    /// Every sequence below this has been answered to the application; its reply may be forgotten.
    pub answered_below: u64,
    /// The sender cannot know whether an earlier sending of the same sequence was applied.
    pub is_retry: bool,
    pub write: Write,
}

/// A log entry: many writes, one time. `now_ms` is the proposing leader's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    pub now_ms: u64,
    pub items: Vec<Item>,
}

/// What one item came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Reply(Reply),
    /// A retry whose session has been forgotten: whether it was applied before cannot be said any more, and it
    /// was not applied now.
    Unknown,
}

/// The rows of a tablet as they were before the batch. Implemented by the storage and by test maps.
pub trait Rows {
    /// A row that cannot be read, or does not hold what this release writes. The daemon ends on it.
    type Error: From<BadBytes>;
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, Self::Error>;
    /// Rows from `from` on, in order, until `visit` answers false.
    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Self::Error>;
}

/// Rows to write; `None` removes. In order, no row twice.
pub type Changes = std::collections::BTreeMap<Vec<u8>, Option<Bytes>>;

/// The part of a tablet's state that is kept in memory beside the rows: clock, version counter, sessions.
/// Rebuilt from the rows by `open`, changed only by `apply`.
#[derive(Debug)]
pub struct Tablet {}

impl Tablet {
    /// Reads clock, version counter and sessions from the system rows.
    pub fn open<R: Rows>(_rows: &R, _value_max_bytes: usize) -> Result<Tablet, R::Error> {
        Ok(Tablet {})
    }

    /// Carries out a batch: outcomes in the order of the items, and the rows to write.
    pub fn apply<R: Rows>(&mut self, _rows: &R, _batch: &Batch) -> Result<(Vec<Outcome>, Changes), R::Error> {
        Ok((Vec::new(), Changes::new()))
    }

    /// Answers a read from the rows by the replicated clock. The caller has made sure that it may.
    pub fn read<R: Rows>(&self, _rows: &R, _read: &Read) -> Result<Reply, R::Error> {
        Ok(Reply::NotFound)
    }

    /// The earliest expiry that is not yet carried out: when the leader's clock has passed it, the leader
    /// proposes an empty batch, which moves the clock and removes what has expired.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        None
    }
}
