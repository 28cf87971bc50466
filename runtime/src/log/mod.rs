//! The Raft log of a node: one sequence of segments on disk shared by all groups, so that everything queued
//! at a moment becomes durable with one write and one fdatasync. Payloads are opaque here.
//!
//! *Invariant (D1, D7):* `done` of an append, a vote, a truncation, a purge or a drop is called only after an
//! fdatasync that covers it, in submission order.
//! *Invariant (D2):* on a full disk everything waits, with the reason in `trouble`, until there is space; a
//! failed fdatasync ends the process and is never retried.
//! *Invariant (D3):* the log opens only if everything ever acknowledged is present; otherwise it reports what is missing.
//!
//! It knows nothing of terms, votes or commands; those belong to the Raft library and its glue.

mod error;
mod format;
mod group;
mod interface;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkc_core::lineage::LogEnd;
use parking_lot::{Condvar, Mutex};

pub use error::LogError;
use group::{RecordIndex, Tail};
pub use interface::{Done, GroupState, LogOptions, LogUsage};
pub use segment::is_disk_full;
use segment::{SegmentFile, SegmentPool};

/// Largest payload: record offsets must fit into 32 bits.
const PAYLOAD_MAX_BYTES: usize = 1 << 30;

/// The log of a node. A handle: the log closes when `close` is called or the last handle is dropped.
#[derive(Clone)]
pub struct SharedLog {
    open: Arc<Open>,
}

/// The log of one group in it.
#[derive(Clone)]
pub struct GroupLog {
    group: GroupId,
    tail: Arc<Mutex<Tail>>,
    open: Arc<Open>,
}

struct Open {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Refuses a log in a format that this program does not know, without opening it: nothing is changed.
pub fn check_format(directory: &Path) -> Result<(), LogError> {
    segment::check_formats(directory)
}

struct Shared {
    options: LogOptions,
    pool: Arc<SegmentPool>,
    queue: Mutex<Queue>,
    has_work: Condvar,
    has_room: tokio::sync::Notify,
    tails: Mutex<BTreeMap<GroupId, Arc<Mutex<Tail>>>>,
    locations: Mutex<Locations>,
    /// See `SharedLog::synced_end`.
    synced_end: AtomicU64,
    rounds: AtomicU64,
    entries: AtomicU64,
}

#[derive(Default)]
struct Queue {
    requests: Vec<Request>,
    bytes: usize,
    /// The newest committed position of each group: written with the next round, never the cause of one.
    committed: BTreeMap<GroupId, Bytes>,
    is_closing: bool,
}

struct Request {
    group: GroupId,
    tail: Arc<Mutex<Tail>>,
    operation: Submission,
    done: Done,
}

enum Submission {
    Append { entries: Vec<(u64, Bytes)>, truncations: u64 },
    Vote(Bytes),
    Truncate(u64),
    Purge(u64, Bytes),
    Drop,
}

/// Offsets take 32 bits: see `PAYLOAD_MAX_BYTES`.
fn end_of(generation: u64, offset: u32) -> u64 {
    generation << 32 | u64::from(offset)
}

/// The positions of everything written.
#[derive(Default)]
struct Locations {
    indexes: BTreeMap<GroupId, RecordIndex>,
    segments: BTreeMap<u64, LiveSegment>,
}

struct LiveSegment {
    file: Arc<SegmentFile>,
    /// Bytes of live entries in it.
    live_bytes: u64,
}

impl SharedLog {
    /// Opens the log in `directory`, or creates a new one there.
    pub fn open(directory: &Path, options: LogOptions) -> Result<SharedLog, LogError> {
        let (shared, writer) = recover::open(directory, options)?;
        let filler = Arc::clone(&shared.pool);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(work)
                .map_err(LogError::io("start a thread for the log in", directory))
        };
        let threads = vec![
            spawn("log-filler", Box::new(move || filler.fill()))?,
            spawn("log-writer", Box::new(move || writer.run()))?,
        ];
        Ok(SharedLog { open: Arc::new(Open { shared, threads: Mutex::new(threads) }) })
    }

    pub fn group(&self, group: GroupId) -> GroupLog {
        let tail = Arc::clone(self.open.shared.tails.lock().entry(group).or_default());
        GroupLog { group, tail, open: Arc::clone(&self.open) }
    }

    /// The groups with records in the log.
    pub fn groups(&self) -> Vec<GroupId> {
        let tails = self.open.shared.tails.lock();
        tails.iter().filter(|(_, tail)| !tail.lock().is_empty()).map(|(group, _)| *group).collect()
    }

    /// The end of what is synced: the segment's generation and the offset in it. It only grows, also over restarts, crashes and
    /// power cuts, whatever is truncated or purged; a copy that lacks something written since has a smaller one.
    pub fn synced_end(&self) -> LogEnd {
        LogEnd(self.open.shared.synced_end.load(Ordering::Acquire))
    }

    /// Why nothing is acknowledged now or soon: a full disk.
    pub fn trouble(&self) -> Option<String> {
        self.open.shared.pool.trouble()
    }

    /// The size of segments from the next one on.
    pub fn set_segment_bytes(&self, bytes: u64) {
        self.open.shared.pool.set_segment_bytes(bytes);
    }

    pub fn usage(&self) -> LogUsage {
        let shared = &self.open.shared;
        let locations = shared.locations.lock();
        LogUsage {
            segments: locations.segments.len(),
            bytes: locations.segments.values().map(|segment| segment.file.header.segment_bytes).sum(),
            live_bytes: locations.live_bytes(),
            rounds: shared.rounds.load(Ordering::Relaxed),
            entries: shared.entries.load(Ordering::Relaxed),
        }
    }

    /// Writes and syncs everything queued, then releases the directory. Blocks meanwhile. Requests that
    /// wait for space on a full disk fail.
    pub fn close(self) {
        self.open.close();
    }
}

impl GroupLog {
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Waits until the queue for the disk has room. Call it before `append`: it bounds memory if
    /// the disk is slower than the writers, or full.
    pub async fn room(&self) {
        let shared = &self.open.shared;
        loop {
            let mut notified = std::pin::pin!(shared.has_room.notified());
            notified.as_mut().enable();
            {
                let queue = shared.queue.lock();
                if queue.bytes < shared.options.queue_bytes_max || queue.is_closing {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Queues entries and returns at once; they are readable immediately. Their indexes must be consecutive.
    pub fn append(&self, entries: Vec<(u64, Bytes)>, done: Done) {
        let mut tail = self.tail.lock();
        let is_too_large = entries.iter().any(|(_, payload)| payload.len() > PAYLOAD_MAX_BYTES);
        let accepted = match is_too_large {
            true => Err(format!("an entry is larger than {PAYLOAD_MAX_BYTES} bytes")),
            false => tail.append(&entries),
        };
        match accepted {
            Ok(()) => {
                let truncations = tail.truncations;
                self.enqueue(Submission::Append { entries, truncations }, done);
            }
            Err(why) => {
                drop(tail);
                done(Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("group {}: {why}", self.group),
                )));
            }
        }
    }

    pub fn save_vote(&self, vote: Bytes, done: Done) {
        let mut tail = self.tail.lock();
        tail.vote = Some(vote.clone());
        self.enqueue(Submission::Vote(vote), done);
    }

    /// Kept in memory, written with the next round, never synced on its own.
    pub fn save_committed(&self, committed: Bytes) {
        let mut tail = self.tail.lock();
        tail.committed = Some(committed.clone());
        self.open.shared.queue.lock().committed.insert(self.group, committed);
    }

    /// Removes the entries from `index` on.
    pub fn truncate_from(&self, index: u64, done: Done) {
        let mut tail = self.tail.lock();
        tail.truncate_from(index);
        self.enqueue(Submission::Truncate(index), done);
    }

    /// Removes the entries up to `index`, which may be after the last one: then the log continues after it.
    pub fn purge_to(&self, index: u64, marker: Bytes, done: Done) {
        let mut tail = self.tail.lock();
        tail.purge_to(index, marker.clone());
        self.enqueue(Submission::Purge(index, marker), done);
    }

    /// Drops the group: its replica has moved away. The handle may be reused for a new incarnation of it.
    pub fn drop_group(&self, done: Done) {
        let mut tail = self.tail.lock();
        tail.forget();
        self.open.shared.queue.lock().committed.remove(&self.group);
        self.enqueue(Submission::Drop, done);
    }

    /// The entries of the range that exist.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<(u64, Bytes)>> {
        self.read_up_to(range, usize::MAX)
    }

    /// The same, ending with the entry that reaches `bytes_max`.
    pub fn read_up_to(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let found = self.tail.lock().read(range);
        let (mut entries, mut bytes) = (Vec::with_capacity(found.len()), 0);
        for (index, payload) in found {
            if bytes >= bytes_max {
                break;
            }
            let payload = match payload {
                Some(payload) => payload,
                None => self.open.shared.read_from_segment(self.group, index)?,
            };
            bytes += payload.len();
            entries.push((index, payload));
        }
        Ok(entries)
    }

    pub fn state(&self) -> GroupState {
        self.tail.lock().state()
    }

    /// The caller holds the lock of `tail`, so that the queue has a group's requests in the order of its state.
    fn enqueue(&self, operation: Submission, done: Done) {
        let mut queue = self.open.shared.queue.lock();
        if queue.is_closing {
            drop(queue);
            return done(Err(closed()));
        }
        queue.bytes += operation.bytes();
        queue.requests.push(Request { group: self.group, tail: Arc::clone(&self.tail), operation, done });
        self.open.shared.has_work.notify_one();
    }
}

impl Submission {
    fn bytes(&self) -> usize {
        match self {
            Submission::Append { entries, .. } => {
                entries.iter().map(|(_, payload)| format::record_bytes(payload.len())).sum()
            }
            _ => format::RECORD_HEADER_BYTES,
        }
    }
}

impl Shared {
    fn read_from_segment(&self, group: GroupId, index: u64) -> io::Result<Bytes> {
        let (position, file) = {
            let locations = self.locations.lock();
            locations.find(group, index).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("group {group}: entry {index} was removed while reading"),
                )
            })?
        };
        writer::read_entry(&file, group, index, position)
    }
}

impl Locations {
    fn find(&self, group: GroupId, index: u64) -> Option<(group::RecordPosition, Arc<SegmentFile>)> {
        let position = self.indexes.get(&group)?.position(index)?;
        Some((position, Arc::clone(&self.segments.get(&position.generation)?.file)))
    }

    fn live_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.live_bytes).sum()
    }

    fn add_live(&mut self, position: group::RecordPosition) {
        if let Some(segment) = self.segments.get_mut(&position.generation) {
            segment.live_bytes += format::record_bytes(position.payload_length as usize) as u64;
        }
    }

    fn remove_live(&mut self, positions: impl IntoIterator<Item = group::RecordPosition>) {
        for position in positions {
            if let Some(segment) = self.segments.get_mut(&position.generation) {
                segment.live_bytes -= format::record_bytes(position.payload_length as usize) as u64;
            }
        }
    }
}

impl Open {
    fn close(&self) {
        self.shared.queue.lock().is_closing = true;
        self.shared.has_work.notify_one();
        self.shared.has_room.notify_waiters();
        self.shared.pool.close();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // The last handle may be dropped by a callback, which runs on the writer's own thread. A panic of
            // the other thread has been reported by its own message.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the Raft log is closed")
}
