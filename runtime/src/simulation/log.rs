//! The Raft log on a simulated disk: the interface and guarantees of the real one. Its writer syncs after a delay drawn from the
//! seed, and loses unsynced entries when its process ends.

#[path = "../log/error.rs"]
mod error;
#[path = "../log/interface.rs"]
mod interface;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkc_core::lineage::LogEnd;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::simulation::disk::{Disk, GroupImage, Record};
use crate::simulation::process::Process;
use crate::simulation::{Mutant, is_active, task, world};

pub use error::LogError;
pub use interface::{Done, GroupState, LogOptions, LogUsage};

/// A simulated disk is never full.
pub fn is_disk_full(_: &io::Error) -> bool {
    false
}

#[derive(Clone)]
pub struct SharedLog {
    open: Arc<Open>,
}

#[derive(Clone)]
pub struct GroupLog {
    group: GroupId,
    open: Arc<Open>,
}

struct Open {
    process: Arc<Process>,
    disk: Arc<Disk>,
    state: Mutex<State>,
    work: Notify,
}

#[derive(Default)]
struct State {
    /// The state that callers see, including unsynced writes.
    groups: BTreeMap<GroupId, GroupImage>,
    queue: Vec<Request>,
    committed: BTreeMap<GroupId, Bytes>,
    rounds: u64,
    entries: u64,
    is_closed: bool,
}

struct Request {
    group: GroupId,
    records: Vec<Record>,
    done: Option<Done>,
}

impl SharedLog {
    pub fn open(_: &Path, _: LogOptions) -> Result<SharedLog, LogError> {
        let process = Process::current().expect("a log belongs to a process");
        let disk = world().disk(&process.host);
        let groups = {
            let mut disk = disk.lock();
            disk.log.sync(usize::MAX);
            disk.log.synced.clone()
        };
        let state = Mutex::new(State { groups, ..State::default() });
        let open = Arc::new(Open { process, disk, state, work: Notify::new() });
        task::spawn(write(open.clone()));
        Ok(SharedLog { open })
    }

    pub fn group(&self, group: GroupId) -> GroupLog {
        GroupLog { group, open: self.open.clone() }
    }

    pub fn groups(&self) -> Vec<GroupId> {
        let state = self.open.state.lock();
        state.groups.iter().filter(|(_, group)| !group.is_empty()).map(|(group, _)| *group).collect()
    }

    pub fn synced_end(&self) -> LogEnd {
        let disk = self.open.disk.lock();
        let untold = if is_active(Mutant::LogEndToldUnsynced) { disk.log.written.len() as u64 } else { 0 };
        LogEnd(disk.log.synced_count + untold)
    }

    pub fn trouble(&self) -> Option<String> {
        None
    }

    /// It has no segments.
    pub fn set_segment_bytes(&self, _: u64) {}

    pub fn usage(&self) -> LogUsage {
        let state = self.open.state.lock();
        LogUsage { rounds: state.rounds, entries: state.entries, ..LogUsage::default() }
    }

    pub fn close(self) {
        self.open.state.lock().is_closed = true;
    }
}

/// Runs in rounds: everything queued is written, synced together and acknowledged in order.
async fn write(open: Arc<Open>) {
    loop {
        let (requests, committed) = {
            let mut state = open.state.lock();
            (std::mem::take(&mut state.queue), std::mem::take(&mut state.committed))
        };
        if requests.is_empty() {
            // A committed position alone does not start a round.
            open.state.lock().committed.extend(committed);
            open.work.notified().await;
            continue;
        }
        let mut dones = Vec::new();
        let count = {
            let mut disk = open.disk.lock();
            for Request { group, records, done } in requests {
                disk.log.written.extend(records.into_iter().map(|record| (group, record)));
                dones.extend(done);
            }
            // After the entries, as in the real log: a position must not survive without its entry.
            for (group, position) in committed {
                disk.log.written.push((group, Record::Committed(position)));
            }
            disk.log.written.len()
        };
        let sync_time = open.disk.sync_time();
        tokio::time::sleep(sync_time).await;
        open.disk.lock().log.sync(count);
        open.state.lock().rounds += 1;
        dones.into_iter().for_each(|done| done(Ok(())));
    }
}

impl Open {
    fn enqueue(&self, group: GroupId, records: Vec<Record>, done: Done) {
        if !self.process.is_alive() {
            return;
        }
        let is_entry = matches!(records.first(), Some(Record::Entry(..)));
        let is_early = is_entry && is_active(Mutant::AckBeforeFsync);
        if matches!(records.first(), Some(Record::Vote(_))) && is_active(Mutant::VoteNotPersisted) {
            return done(Ok(()));
        }
        let mut state = self.state.lock();
        if state.is_closed {
            drop(state);
            return done(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the Raft log is closed")));
        }
        let done = if is_early {
            drop(state);
            done(Ok(()));
            state = self.state.lock();
            None
        } else {
            Some(done)
        };
        state.queue.push(Request { group, records, done });
        self.work.notify_one();
    }

    fn change(&self, group: GroupId, record: Record, done: Done) {
        self.state.lock().groups.entry(group).or_default().take(record.clone());
        self.enqueue(group, vec![record], done);
    }
}

impl GroupLog {
    pub fn group(&self) -> GroupId {
        self.group
    }

    pub async fn room(&self) {}

    pub fn append(&self, entries: Vec<(u64, Bytes)>, done: Done) {
        let records: Vec<Record> =
            entries.into_iter().map(|(index, payload)| Record::Entry(index, payload)).collect();
        let accepted = {
            let mut state = self.open.state.lock();
            state.entries += records.len() as u64;
            append(state.groups.entry(self.group).or_default(), &records)
        };
        match accepted {
            Ok(()) => self.open.enqueue(self.group, records, done),
            Err(why) => {
                done(Err(io::Error::new(io::ErrorKind::InvalidInput, format!("group {}: {why}", self.group))))
            }
        }
    }

    pub fn save_vote(&self, vote: Bytes, done: Done) {
        self.open.change(self.group, Record::Vote(vote), done);
    }

    pub fn save_committed(&self, committed: Bytes) {
        let mut state = self.open.state.lock();
        state.groups.entry(self.group).or_default().committed = Some(committed.clone());
        state.committed.insert(self.group, committed);
    }

    pub fn truncate_from(&self, index: u64, done: Done) {
        self.open.change(self.group, Record::Truncate(index), done);
    }

    pub fn purge_to(&self, index: u64, marker: Bytes, done: Done) {
        self.open.change(self.group, Record::Purge(index, marker), done);
    }

    pub fn drop_group(&self, done: Done) {
        self.open.state.lock().committed.remove(&self.group);
        self.open.change(self.group, Record::Drop, done);
    }

    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<(u64, Bytes)>> {
        self.read_up_to(range, usize::MAX)
    }

    pub fn read_up_to(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let state = self.open.state.lock();
        let Some(group) = state.groups.get(&self.group) else { return Ok(Vec::new()) };
        let (from, to) = (range.start.max(group.first), range.end.min(group.next()));
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for index in from..to {
            if bytes >= bytes_max {
                break;
            }
            let payload = group.entries[(index - group.first) as usize].clone();
            bytes += payload.len();
            entries.push((index, payload));
        }
        Ok(entries)
    }

    pub fn state(&self) -> GroupState {
        let state = self.open.state.lock();
        let Some(group) = state.groups.get(&self.group) else { return GroupState::default() };
        let is_empty = group.entries.is_empty();
        GroupState {
            vote: group.vote.clone(),
            committed: group.committed.clone(),
            purged: group.purged.clone(),
            first_index: (!is_empty).then_some(group.first),
            last_index: (!is_empty).then(|| group.next() - 1),
        }
    }
}

fn append(group: &mut GroupImage, records: &[Record]) -> Result<(), String> {
    for record in records {
        let Record::Entry(index, _) = record else { continue };
        if let Some(want) = group.expected().filter(|want| want != index) {
            return Err(format!("entry {index} does not follow: {want} is next"));
        }
        group.take(record.clone());
    }
    Ok(())
}
