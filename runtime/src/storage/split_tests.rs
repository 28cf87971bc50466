//! Splits in the state store: both tablets read their rows before and after the ingestion, across a crash at any step of it and
//! across a second split; what is given up goes with compaction.

use bytes::Bytes;
use dkc_core::ring::SlotId;
use dkc_core::tablet::{Changes, OwnRows, Rows};

use super::*;

const PARENT: TabletId = TabletId(0);
const CHILD: TabletId = TabletId(3);
const CUT: u8 = 10;
const SLOTS_HERE: u8 = 20;

fn open(directory: &Path) -> Storage {
    Storage::open(directory, StorageOptions::default()).unwrap()
}

fn slots(from: u8, to: u8) -> std::ops::RangeInclusive<SlotId> {
    SlotId(from.into())..=SlotId(to.into())
}

fn text(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

/// A record, its expiry and a system row, for each of the slots.
fn rows_of(from: u8, to: u8, value: &str) -> Changes {
    let mut rows = Changes::from([(b"\x01s".to_vec(), Some(text(value)))]);
    for slot in from..to {
        rows.insert(vec![4, 0, slot, b'k'], Some(text(value)));
        rows.insert(vec![3, 0, 0, 0, 0, 0, 0, 0, 100 - slot, 0, slot, b'k'], Some(Bytes::new()));
    }
    rows
}

fn split(store: &TabletStore) {
    let new = NewTablet {
        group: CHILD.group(),
        slots: slots(CUT, SLOTS_HERE),
        rows: Changes::from([(b"\x01s".to_vec(), Some(text("born")))]),
        applied: text("first"),
        membership: text("voters"),
    };
    let changes = Changes::from([(b"\x01s".to_vec(), Some(text("split")))]);
    store.commit_split(changes, text("at 2"), slots(0, CUT - 1), Some(new)).unwrap();
}

/// The rows of a tablet with these slots, as words: slot and value of records, and the system row.
fn seen<R: Rows<Error = StorageError>>(rows: &R, slots: std::ops::RangeInclusive<SlotId>) -> String {
    let mut words = Vec::new();
    let mut expiries = 0;
    let own = OwnRows::new(rows, Some(slots));
    own.scan(&[], &mut |row, value| {
        match row[0] {
            3 => expiries += 1,
            4 => words.push(format!("{}={}", row[2], String::from_utf8_lossy(value))),
            _ => words.push(String::from_utf8_lossy(value).into_owned()),
        }
        true
    })
    .unwrap();
    let records = words.iter().filter(|word| word.contains('=')).count();
    assert_eq!(records, expiries);
    words.join(" ")
}

fn want(system: &str, from: u8, to: u8, value: &str) -> String {
    std::iter::once(system.to_owned())
        .chain((from..to).map(|slot| format!("{slot}={value}")))
        .collect::<Vec<_>>()
        .join(" ")
}

/// So many steps of an ingestion; true if it has ended.
fn steps(storage: &Storage, count: usize) -> bool {
    storage.forget_ended().unwrap();
    let turn = storage.shared.turn.clone().try_lock_owned().unwrap();
    let Some(mut ingesting) = storage.begin_ingesting(turn).unwrap() else { return true };
    (0..count).any(|_| !ingesting.step().unwrap())
}

fn ingest(storage: &Storage) {
    assert!(steps(storage, 1000));
}

fn parent_seen(storage: &Storage) -> String {
    seen(&storage.tablet(PARENT).unwrap(), slots(0, CUT - 1))
}

fn child_seen(storage: &Storage) -> String {
    seen(&storage.tablet(CHILD).unwrap(), slots(CUT, SLOTS_HERE))
}

#[test]
fn both_tablets_have_their_rows_in_memory_on_disk_and_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(PARENT).unwrap();
    store.commit(rows_of(0, SLOTS_HERE, "a"), text("at 1"), None).unwrap();
    ingest(&storage);
    store.commit(rows_of(5, 15, "b"), text("at 1"), None).unwrap();
    split(&store);
    assert!(storage.is_being_born(CHILD));
    assert_eq!(storage.tablets(), [PARENT], "its beginning is not durable");
    // The generation still has rows of both; the parent goes on.
    store.commit(rows_of(0, 3, "c"), text("at 3"), None).unwrap();
    ingest(&storage);
    assert_eq!((storage.tablets(), storage.is_being_born(CHILD)), (vec![PARENT, CHILD], false));
    let child = storage.tablet(CHILD).unwrap();
    assert_eq!((child.applied(), child.membership()), (Some(text("first")), Some(text("voters"))));
    assert_eq!(child.durable_applied(), Some(text("first")));
    let upper = "born 10=b 11=b 12=b 13=b 14=b 15=a 16=a 17=a 18=a 19=a";
    let lower = "c 0=c 1=c 2=c 3=a 4=a 5=b 6=b 7=b 8=b 9=b";
    assert_eq!((parent_seen(&storage), child_seen(&storage)), (lower.into(), upper.into()));
    // Both write into the place that they share, in one generation.
    let snapshot = child.snapshot().unwrap();
    store.commit(rows_of(0, CUT, "d"), text("at 4"), None).unwrap();
    child.commit(rows_of(CUT, SLOTS_HERE, "e"), text("second"), None).unwrap();
    let (lower, later) = (want("d", 0, CUT, "d"), want("e", CUT, SLOTS_HERE, "e"));
    assert_eq!((parent_seen(&storage), child_seen(&storage)), (lower.clone(), later.clone()));
    ingest(&storage);
    assert_eq!((parent_seen(&storage), child_seen(&storage)), (lower.clone(), later.clone()));
    assert_eq!(seen(&snapshot, slots(CUT, SLOTS_HERE)), upper);
    let chunk = child.snapshot().unwrap().chunk(None, 1 << 20, Some(slots(CUT, SLOTS_HERE))).unwrap();
    assert_eq!((chunk.rows.len(), chunk.next), (21, None), "a snapshot carries no rows of the sibling");
    drop((snapshot, child, store, storage));
    let storage = open(directory.path());
    assert_eq!((parent_seen(&storage), child_seen(&storage)), (lower, later));
}

/// After a crash at any step either the parent is before the split and nothing of the child is there, or both are there.
#[test]
fn a_crash_at_any_step_of_the_ingestion_finds_one_tablet_or_two() {
    let mut found = std::collections::BTreeSet::new();
    for count in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let storage = open(directory.path());
        let store = storage.tablet(PARENT).unwrap();
        store.commit(rows_of(0, SLOTS_HERE, "a"), text("at 1"), None).unwrap();
        ingest(&storage);
        split(&store);
        let is_ended = steps(&storage, count);
        drop((store, storage));
        let storage = open(directory.path());
        let store = storage.tablet(PARENT).unwrap();
        let is_split = store.applied() == Some(text("at 2"));
        found.insert(is_split);
        assert!(is_split || !is_ended);
        assert_eq!(storage.tablets().contains(&CHILD), is_split, "after {count} steps");
        if !is_split {
            assert_eq!(seen(&store, slots(0, SLOTS_HERE)), want("a", 0, SLOTS_HERE, "a"));
            split(&store);
            ingest(&storage);
        }
        // What a crash between the two left undone.
        store.keep_slots(slots(0, CUT - 1)).unwrap();
        assert_eq!(parent_seen(&storage), want("split", 0, CUT, "a"));
        assert_eq!(child_seen(&storage), want("born", CUT, SLOTS_HERE, "a"));
        let entries = storage.shared.catalog.lock().groups.clone();
        let shared = |tablet: TabletId| entries[&tablet.group()].rows.clone().map(|rows| rows.slots);
        assert_eq!((shared(PARENT), shared(CHILD)), (Some(slots(0, CUT - 1)), Some(slots(CUT, SLOTS_HERE))));
    }
    assert_eq!(found.len(), 2, "some crashes came before it was durable, some after");
}

#[test]
fn who_has_a_replica_already_keeps_it_and_who_left_the_tablet_gets_none() {
    for has_left in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let storage = open(directory.path());
        storage.tablet(CHILD).unwrap().commit(rows_of(CUT, SLOTS_HERE, "x"), text("later"), None).unwrap();
        if has_left {
            storage.drop_tablet(CHILD, text("floor")).unwrap();
        }
        let store = storage.tablet(PARENT).unwrap();
        store.commit(rows_of(0, SLOTS_HERE, "a"), text("at 1"), None).unwrap();
        split(&store);
        assert!(!storage.is_being_born(CHILD));
        ingest(&storage);
        assert_eq!(storage.tablets().contains(&CHILD), !has_left);
        if !has_left {
            assert_eq!(child_seen(&storage), want("x", CUT, SLOTS_HERE, "x"));
        }
        assert_eq!(parent_seen(&storage), want("split", 0, CUT, "a"));
    }
}

#[test]
fn a_split_that_a_snapshot_takes_the_place_of_comes_to_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(PARENT).unwrap();
    store.commit(rows_of(0, SLOTS_HERE, "a"), text("at 1"), None).unwrap();
    split(&store);
    let mut install = Install::begin(store.clone()).unwrap();
    install.add_chunk(vec![(Bytes::from_static(b"\x01s"), text("installed"))]).unwrap();
    install.finish(text("at 9"), None).unwrap();
    ingest(&storage);
    assert!(!storage.is_being_born(CHILD));
    assert_eq!(storage.tablets(), [PARENT]);
    assert_eq!(parent_seen(&storage), "installed");
}

#[test]
fn rows_that_were_given_away_go_when_the_other_tablet_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(PARENT).unwrap();
    store.commit(rows_of(0, SLOTS_HERE, "a"), text("at 1"), None).unwrap();
    split(&store);
    ingest(&storage);
    storage.drop_tablet(CHILD, text("floor")).unwrap();
    drop((store, storage));
    let storage = open(directory.path());
    assert_eq!(parent_seen(&storage), want("split", 0, CUT, "a"));
    let key = |slot: u8| [&incarnation::prefix(1)[..], &[4, 0, slot]].concat();
    let kept = [0, CUT - 1, CUT, SLOTS_HERE - 1].map(|slot| storage.shared.incarnations.is_kept(&key(slot)));
    assert_eq!(kept, [true, true, false, false]);
}
