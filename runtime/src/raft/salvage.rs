//! A replica on the disk of a stopped server, with every entry of its log applied, whether it was committed or not: nobody can tell
//! here what a majority had. All of it happens in memory: nothing is ingested, so that the disk stays as it is.

use std::io;

use dkc_core::ids::{GroupId, NodeId, TabletId};
use dkc_core::salvage::{LogPosition, SalvagedReplica, SalvagedTablet, SlotRange};
use dkc_core::tablet::Split;

use super::cut::TabletCut;
use super::limits::READ_BYTES_MAX;
use super::log_store::LogStore;
use super::machine::{Machine, MachineError};
use super::types::{Entry, Payload, first_log_id};
use crate::log::GroupLog;
use crate::storage::StorageError;

#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the log of group {group} cannot be read: {source}")]
    Log { group: GroupId, source: io::Error },
    #[error("the log of group {group} lacks entry {index}")]
    Gap { group: GroupId, index: u64 },
}

/// A tablet to be read, and what is said of it.
pub struct Found {
    pub tablet: SalvagedTablet,
    pub cut: TabletCut,
}

/// Applies the rest of the meta group's log. `None` if it never had anything.
pub fn replay_meta(machine: &Machine, log: GroupLog) -> Result<Option<SalvagedReplica>, SalvageError> {
    replay(machine, log, |_| Ok(()))?;
    Ok(machine.applied().map(|_| replica(machine)))
}

/// The same for a tablet; also those that a split in its log begins and that have no state here yet.
pub fn replay_tablet(
    machine: &Machine,
    tablet: TabletId,
    log: GroupLog,
    has_state: impl Fn(TabletId) -> bool,
) -> Result<Vec<Found>, SalvageError> {
    let mut found = Vec::new();
    replay(machine, log, |entry| {
        if let Some(split) = split_of(entry).filter(|split| !has_state(split.child)) {
            found.extend(child(machine, tablet, &split)?);
        }
        Ok(())
    })?;
    if let (Some(cut), Some(slots)) = (TabletCut::of(machine)?, machine.slots()) {
        let slots = SlotRange { first: *slots.start(), last: *slots.end() };
        found.push(Found { tablet: described(machine, tablet, slots, replica(machine), None), cut });
    }
    Ok(found)
}

fn replay(
    machine: &Machine,
    log: GroupLog,
    mut before: impl FnMut(&Entry) -> Result<(), SalvageError>,
) -> Result<(), SalvageError> {
    let group = log.group();
    let log = LogStore(log);
    loop {
        let next = machine.applied().map_or(0, |applied| applied.index + 1);
        let read = log.read(next, u64::MAX, READ_BYTES_MAX);
        let entries = read.map_err(|source| SalvageError::Log { group, source })?;
        if entries.is_empty() {
            return Ok(());
        }
        for (index, entry) in (next..).zip(entries) {
            if entry.log_id.index != index {
                return Err(SalvageError::Gap { group, index });
            }
            before(&entry)?;
            machine.apply(&entry)?;
        }
    }
}

fn split_of(entry: &Entry) -> Option<Split> {
    match &entry.payload {
        Payload::Normal(proposal) => Split::decode(&proposal.0)?.ok(),
        _ => None,
    }
}

/// The upper slots of the parent, as they are right before the split.
fn child(machine: &Machine, parent: TabletId, split: &Split) -> Result<Option<Found>, SalvageError> {
    let Some(slots) = machine.slots().filter(|slots| slots.contains(&split.first_slot)) else {
        return Ok(None);
    };
    let slots = SlotRange { first: split.first_slot, last: *slots.end() };
    let end = LogPosition { term: first_log_id().leader_id.term, index: first_log_id().index };
    let replica = SalvagedReplica { end, voters: vec![split.voters.iter().copied().collect()] };
    let cut = TabletCut::of(machine)?;
    Ok(cut.map(|cut| Found { tablet: described(machine, split.child, slots, replica, Some(parent)), cut }))
}

fn described(
    machine: &Machine,
    tablet: TabletId,
    slots: SlotRange,
    replica: SalvagedReplica,
    split_from: Option<TabletId>,
) -> SalvagedTablet {
    let (clock_ms, records) = (machine.clock_ms(), machine.counted().0);
    SalvagedTablet { tablet, slots, replica, clock_ms, records, split_from }
}

fn replica(machine: &Machine) -> SalvagedReplica {
    let end = machine.applied().unwrap_or_else(first_log_id);
    let membership = machine.membership();
    let sets = membership.membership().get_joint_config();
    let voters = sets.iter().map(|set| set.iter().copied().map(NodeId).collect()).collect();
    SalvagedReplica { end: LogPosition { term: end.leader_id.term, index: end.index }, voters }
}

#[cfg(all(test, not(feature = "simulation")))]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;
    use std::sync::mpsc;

    use bytes::Bytes;
    use dkc_core::kv::{Expiry, Key, Read, Reply, StoreMode, Write};
    use dkc_core::ring::{ALL_SLOTS, SlotId, slot_of};
    use dkc_core::tablet::{Batch, Item};
    use openraft::impls::EmptyNode;

    use super::super::codec::encode_entry;
    use super::super::machine::TabletBounds;
    use super::super::types::{Membership, Proposal, log_id};
    use super::*;
    use crate::log::{LogOptions, SharedLog};
    use crate::storage::{Storage, StorageOptions};

    const TABLET: TabletId = TabletId(0);
    const CHILD: TabletId = TabletId(1);
    const MIDDLE: SlotId = SlotId(8_000);

    fn open(directory: &Path) -> (SharedLog, Storage) {
        let options = LogOptions { segment_bytes: 1 << 20, group_cache_bytes: 0, queue_bytes_max: 1 << 20 };
        let log = SharedLog::open(&directory.join("log"), options).unwrap();
        (log, Storage::open(&directory.join("state"), StorageOptions::default()).unwrap())
    }

    fn machine(store: &Storage) -> Machine {
        let bounds = TabletBounds { value_max_bytes: 1 << 20, slots: ALL_SLOTS, node: NodeId(u64::MAX) };
        Machine::open(TABLET.group(), store.tablet(TABLET).unwrap(), bounds).unwrap()
    }

    fn key(text: &str) -> Key {
        Key { namespace: Default::default(), bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn set(text: &str) -> Payload {
        let (mode, expiry, value) = (StoreMode::Set, Expiry::Never, Bytes::from_static(b"v"));
        let write = Write::Store { key: key(text), mode, flags: 0, expiry, value };
        let item = Item { session: 0, sequence: 0, answered_below: 0, is_retry: false, write };
        Payload::Normal(Proposal(Batch { now_ms: 7, epoch: 1, items: vec![item] }.encode()))
    }

    fn voters() -> Payload {
        let nodes = [1, 2, 3].map(|id| (id, EmptyNode {}));
        Payload::Membership(Membership::new(vec![[1, 2, 3].into()], BTreeMap::from(nodes)).unwrap())
    }

    fn split() -> Payload {
        let voters = [1, 2, 3].map(NodeId).to_vec();
        let split = Split { child: CHILD, first_slot: MIDDLE, epoch: 1, voters };
        Payload::Normal(Proposal(split.encode()))
    }

    /// Entries of term 3, of which nothing is applied.
    fn append(log: &SharedLog, payloads: Vec<Payload>) {
        let entry = |(index, payload)| Entry { log_id: log_id(3, index), payload };
        let entries: Vec<Entry> = (0..).zip(payloads).map(entry).collect();
        let (sender, receiver) = mpsc::channel();
        let encoded = entries.iter().map(|entry| (entry.log_id.index, encode_entry(entry))).collect();
        log.group(TABLET.group()).append(encoded, Box::new(move |done| drop(sender.send(done))));
        receiver.recv().unwrap().unwrap();
    }

    fn keys(found: &Found) -> Vec<Bytes> {
        let scan = Read::Scan { namespace: Default::default(), after: Bytes::new(), limit: 100 };
        match found.cut.open().unwrap().read(&scan).unwrap() {
            Reply::Keys { keys, .. } => keys,
            other => panic!("{other:?}"),
        }
    }

    /// Two texts, the first in a slot below the middle.
    fn on_either_side() -> (String, String) {
        let texts = || (0..).map(|n| format!("k{n}"));
        let is_low = |text: &String| slot_of(&Default::default(), text.as_bytes()) < MIDDLE;
        (texts().find(is_low).unwrap(), texts().find(|text| !is_low(text)).unwrap())
    }

    #[test]
    fn every_entry_of_a_log_is_read_and_the_disk_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let (log, store) = open(directory.path());
            if log.group(TABLET.group()).state().last_index.is_none() {
                append(&log, vec![voters(), set("a"), set("b")]);
            }
            let machine = machine(&store);
            assert_eq!(machine.applied(), None, "nothing was ingested");
            let found = replay_tablet(&machine, TABLET, log.group(TABLET.group()), |_| false).unwrap();
            assert_eq!(found.len(), 1);
            let SalvagedTablet { tablet, replica, clock_ms, records, split_from, .. } = &found[0].tablet;
            assert_eq!((*tablet, *clock_ms, *records, *split_from), (TABLET, 7, 2, None));
            assert_eq!(replica.end, LogPosition { term: 3, index: 2 });
            assert_eq!(replica.voters, [BTreeSet::from([1, 2, 3].map(NodeId))]);
            assert_eq!(keys(&found[0]), ["a", "b"]);
        }
    }

    #[test]
    fn a_split_in_the_log_gives_the_new_tablet_what_the_parent_had() {
        let directory = tempfile::tempdir().unwrap();
        let (log, store) = open(directory.path());
        let (low, high) = on_either_side();
        append(&log, vec![voters(), set(&low), set(&high), split(), set("gone")]);
        let machine = machine(&store);
        let found = replay_tablet(&machine, TABLET, log.group(TABLET.group()), |_| false).unwrap();
        let [child, parent] = &found[..] else { panic!("{} tablets", found.len()) };
        assert_eq!((child.tablet.tablet, child.tablet.split_from), (CHILD, Some(TABLET)));
        assert_eq!(child.tablet.slots, SlotRange { first: MIDDLE, last: *ALL_SLOTS.end() });
        assert!(keys(child).contains(&Bytes::from(high.clone())));
        let last = SlotId(MIDDLE.0 - 1);
        assert_eq!(parent.tablet.slots, SlotRange { first: SlotId(0), last });
        assert_eq!(parent.tablet.replica.end.index, 4);
        assert_eq!(keys(parent), [low]);
        assert!(!store.has_tablet(CHILD), "nothing begins on this disk");
    }

    #[test]
    fn a_new_tablet_that_is_here_already_has_its_own_log() {
        let directory = tempfile::tempdir().unwrap();
        let (log, store) = open(directory.path());
        append(&log, vec![voters(), split()]);
        let machine = machine(&store);
        let found = replay_tablet(&machine, TABLET, log.group(TABLET.group()), |tablet| tablet == CHILD);
        let found: Vec<_> = found.unwrap().iter().map(|found| found.tablet.tablet).collect();
        assert_eq!(found, [TABLET]);
    }

    #[test]
    fn a_log_with_a_gap_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (log, store) = open(directory.path());
        let (sender, receiver) = mpsc::channel();
        let entry = Entry { log_id: log_id(3, 5), payload: set("a") };
        let group = log.group(TABLET.group());
        group.append(vec![(5, encode_entry(&entry))], Box::new(move |done| drop(sender.send(done))));
        receiver.recv().unwrap().unwrap();
        let failed = replay_tablet(&machine(&store), TABLET, group, |_| false);
        assert!(matches!(failed, Err(SalvageError::Gap { index: 0, .. })));
    }
}
