//! A simulated host's disk: synced bytes, unsynced bytes, and its current slowness. It carries a log and a state store, as `log` and
//! `storage` use them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::process::{CrashKind, Process};
use super::world;

/// Longest sync, in milliseconds: usually, and of a slow one.
const SYNC_MAX_MS: u64 = 2;
const SYNC_SLOW_MAX_MS: u64 = 40;
/// Percentage of syncs that are slow.
const SYNC_SLOW_PERCENT: u64 = 3;
/// How often and how long a store is full.
const FULL_PERCENT: u64 = 30;
const FULL_MAX_MS: u64 = 2_000;

#[derive(Default)]
pub struct Disk {
    inner: Mutex<DiskState>,
}

#[derive(Default)]
pub struct DiskState {
    pub log: LogDisk,
    pub state: StateDisk,
    /// A small file, replaced as a whole.
    pub lineage: Option<String>,
    /// Added to every sync.
    pub slowness_ms: u64,
    /// Until then applying waits, as it does while an ingestion makes room.
    pub full_until: Option<Instant>,
}

impl DiskState {
    /// Whether a group has durable entries.
    pub fn has_log_of(&self, group: GroupId) -> bool {
        let has_log = |image: &GroupImage| !image.entries.is_empty() || image.purged.is_some();
        self.log.synced.get(&group).is_some_and(has_log)
    }
}

impl Disk {
    pub fn lock(&self) -> MutexGuard<'_, DiskState> {
        self.inner.lock()
    }

    /// Duration of the next sync.
    pub fn sync_time(&self) -> Duration {
        let world = world();
        let is_slow = world.chance(SYNC_SLOW_PERCENT);
        let max_ms = if is_slow { SYNC_SLOW_MAX_MS } else { SYNC_MAX_MS };
        Duration::from_millis(world.draw(max_ms + 1) + world.draw(self.lock().slowness_ms + 1))
    }

    pub fn set_slowness_ms(&self, slowness_ms: u64) {
        self.lock().slowness_ms = slowness_ms;
    }

    pub(super) fn crash(&self, how: CrashKind) {
        let mut disk = self.lock();
        disk.log.crash(how);
    }

    /// What is durable now, as a snapshot of the disk has it.
    pub fn copy(&self) -> DiskState {
        let disk = self.lock();
        let log = LogDisk { written: Vec::new(), ..disk.log.clone() };
        DiskState {
            log,
            state: disk.state.clone(),
            lineage: disk.lineage.clone(),
            slowness_ms: 0,
            full_until: None,
        }
    }

    /// Puts an earlier copy in the place of what is there.
    pub fn put_back(&self, copy: DiskState) {
        *self.lock() = copy;
    }
}

/// Waits for as long as the store of this host is full.
pub async fn wait_for_room() {
    let Some(process) = Process::current() else { return };
    let full_until = world().disk(&process.host).lock().full_until;
    if let Some(until) = full_until {
        tokio::time::sleep_until(until).await;
    }
}

/// Fills the store of this host for a while, now and then: what was proposed here before is committed and applied by others long
/// before it is applied here.
pub fn fill_now_and_then() {
    if let Some(process) = Process::current()
        && world().chance(FULL_PERCENT)
    {
        let full_for = Duration::from_millis(world().draw(FULL_MAX_MS));
        world().disk(&process.host).lock().full_until = Some(Instant::now() + full_for);
    }
}

/// How many unsynced writes survive: all, none, or a prefix.
fn surviving(count: usize) -> usize {
    let world = world();
    match world.draw(3) {
        0 => 0,
        1 => count,
        _ => world.draw(count as u64 + 1) as usize,
    }
}

/// The log of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupImage {
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    pub purged: Option<(u64, Bytes)>,
    /// The index of `entries[0]`.
    pub first: u64,
    pub entries: VecDeque<Bytes>,
}

#[derive(Debug, Clone)]
pub enum Record {
    Entry(u64, Bytes),
    Vote(Bytes),
    Committed(Bytes),
    Truncate(u64),
    Purge(u64, Bytes),
    Drop,
}

impl GroupImage {
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        *self == GroupImage { first: self.first, ..GroupImage::default() }
    }

    /// The index that the next entry must have; `None` if any will do.
    pub fn expected(&self) -> Option<u64> {
        match (&self.purged, self.entries.is_empty()) {
            (_, false) => Some(self.next()),
            (Some((purged, _)), true) => Some(purged + 1),
            (None, true) => None,
        }
    }

    pub fn take(&mut self, record: Record) {
        match record {
            Record::Entry(index, payload) => {
                if self.entries.is_empty() {
                    self.first = index;
                }
                self.entries.push_back(payload);
            }
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Committed(committed) => self.committed = Some(committed),
            Record::Truncate(from) => {
                self.entries.truncate(from.saturating_sub(self.first) as usize);
            }
            Record::Purge(upto, marker) => {
                while !self.entries.is_empty() && self.first <= upto {
                    self.entries.pop_front();
                    self.first += 1;
                }
                self.purged = Some((upto, marker));
            }
            Record::Drop => *self = GroupImage::default(),
        }
    }
}

#[derive(Default, Clone)]
pub struct LogDisk {
    pub synced: BTreeMap<GroupId, GroupImage>,
    /// Records that were ever synced.
    pub synced_count: u64,
    /// Written, and not synced yet: the page cache.
    pub written: Vec<(GroupId, Record)>,
}

impl LogDisk {
    pub fn sync(&mut self, count: usize) {
        for (group, record) in self.written.drain(..count.min(self.written.len())) {
            self.synced_count += 1;
            self.synced.entry(group).or_default().take(record);
        }
    }

    /// A kill may interrupt a write, but what was written stays in the page cache until the power is cut.
    fn crash(&mut self, how: CrashKind) {
        let surviving = surviving(self.written.len());
        match how {
            CrashKind::Kill => self.written.truncate(surviving),
            CrashKind::PowerCut => {
                self.sync(surviving);
                self.written.clear();
            }
        }
    }
}

/// The contents of the state store's engine, all durable: a finished ingestion is, and an unfinished one leaves nothing.
#[derive(Default, Clone)]
pub struct StateDisk {
    pub rows: Arc<BTreeMap<Vec<u8>, Bytes>>,
    pub catalog: Option<String>,
}
