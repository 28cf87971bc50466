//! What single commands answer, as tables, and the bounds. `model` holds the tablet against a plain map.

mod model;
mod split;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::rows::{KIND_DATA, KIND_EXPIRY, KIND_GARBAGE, KIND_SESSION, state_hash, write_changes};
use super::sessions::{CLOCK_STEP_MAX_MS, IDLE_MAX_MS, KEPT_VALUE_MAX_BYTES};
use super::*;
use crate::kv::{Expiry, Key, Record, StoreMode, Write};
use crate::ring::ALL_SLOTS;

const VALUE_MAX_BYTES: usize = 24;

type Map = BTreeMap<Vec<u8>, Bytes>;

/// A tablet with its rows.
struct Replica {
    rows: Map,
    tablet: Tablet,
}

impl Replica {
    fn new() -> Replica {
        let rows = Map::new();
        let tablet = Tablet::open(&rows, VALUE_MAX_BYTES, ALL_SLOTS).unwrap();
        Replica { rows, tablet }
    }

    fn apply(&mut self, batch: &Batch) -> Vec<Outcome> {
        let decoded = Batch::decode(&batch.encode()).unwrap();
        let (outcomes, changes) = self.tablet.apply(&self.rows, &decoded).unwrap();
        write_changes(&mut self.rows, changes);
        outcomes
    }

    fn at(&mut self, now_ms: u64, writes: &[Write]) -> Vec<Outcome> {
        let items = writes.iter().map(|write| item(0, 0, 0, false, write.clone())).collect();
        self.apply(&Batch { now_ms, epoch: 1, items })
    }

    fn reopen(&mut self) {
        self.tablet = Tablet::open(&self.rows, VALUE_MAX_BYTES, ALL_SLOTS).unwrap();
    }

    fn get(&self, key: &str) -> Reply {
        self.tablet.read(&self.rows, &Read::Get { key: k(key) }, u32::MAX).unwrap().unwrap()
    }

    fn value(&self, key: &str) -> Option<String> {
        match self.get(key) {
            Reply::Record(record) => Some(String::from_utf8_lossy(&record.value).into_owned()),
            _ => None,
        }
    }

    fn count(&self) -> (u64, u64) {
        match self
            .tablet
            .read(&self.rows, &Read::Count { namespace: Namespace::default() }, u32::MAX)
            .unwrap()
            .unwrap()
        {
            Reply::Count { records, bytes } => (records, bytes),
            other => panic!("{other:?}"),
        }
    }

    fn rows_of(&self, kind: u8) -> usize {
        self.rows.keys().filter(|row| row[0] == kind).count()
    }

    /// Empty batches until nothing is left to remove, as the leader proposes them.
    fn remove_all_due(&mut self) {
        for _ in 0..1000 {
            if self.tablet.next_expiry_ms().is_none_or(|at| at > self.tablet.clock_ms()) {
                return;
            }
            self.apply(&Batch { now_ms: 0, epoch: 1, items: vec![] });
        }
        panic!("removal does not come to an end");
    }
}

fn k(key: &str) -> Key {
    Key { namespace: Namespace::default(), bytes: Bytes::copy_from_slice(key.as_bytes()) }
}

fn item(session: u64, sequence: u64, answered_below: u64, is_retry: bool, write: Write) -> Item {
    Item { session, sequence, answered_below, is_retry, write }
}

fn store(key: &str, mode: StoreMode, value: &str, expiry: Expiry) -> Write {
    Write::Store { key: k(key), mode, flags: 7, expiry, value: Bytes::copy_from_slice(value.as_bytes()) }
}

fn set(key: &str, value: &str) -> Write {
    store(key, StoreMode::Set, value, Expiry::Never)
}

fn incr(key: &str, by: u64) -> Write {
    Write::Increment { key: k(key), by, is_decrement: false }
}

fn replies(outcomes: Vec<Outcome>) -> Vec<Reply> {
    let reply = |outcome| match outcome {
        Outcome::Reply(reply) => reply,
        Outcome::Unknown => panic!("unknown"),
        Outcome::NotHere => panic!("not here"),
    };
    outcomes.into_iter().map(reply).collect()
}

/// After these writes at 1000 ms, the last one answers `want` and key `k` has `value`.
fn check(writes: &[Write], want: Reply, value: Option<&str>) {
    let mut replica = Replica::new();
    let got = replies(replica.at(1000, writes));
    assert_eq!(got.last(), Some(&want), "{writes:?}");
    assert_eq!(replica.value("k").as_deref(), value, "{writes:?}");
    let mut one_by_one = Replica::new();
    for (write, want) in writes.iter().zip(got) {
        assert_eq!(replies(one_by_one.at(1000, std::slice::from_ref(write))), vec![want]);
        one_by_one.reopen();
    }
    assert_eq!(state_hash(&one_by_one.rows), state_hash(&replica.rows), "{writes:?}");
}

#[test]
fn a_store_looks_at_what_is_there() {
    let v = |mode| store("k", mode, "new", Expiry::Never);
    let stored = |version| Reply::Stored { version };
    check(&[v(StoreMode::Set)], stored(1), Some("new"));
    check(&[set("k", "old"), v(StoreMode::Set)], stored(2), Some("new"));
    check(&[v(StoreMode::Add)], stored(1), Some("new"));
    check(&[set("k", "old"), v(StoreMode::Add)], Reply::NotStored, Some("old"));
    check(&[v(StoreMode::Replace)], Reply::NotStored, None);
    check(&[set("k", "old"), v(StoreMode::Replace)], stored(2), Some("new"));
    check(&[v(StoreMode::Append)], Reply::NotStored, None);
    check(&[set("k", "old"), v(StoreMode::Append)], stored(2), Some("oldnew"));
    check(&[v(StoreMode::Prepend)], Reply::NotStored, None);
    check(&[set("k", "old"), v(StoreMode::Prepend)], stored(2), Some("newold"));
    check(&[v(StoreMode::Cas(1))], Reply::NotFound, None);
    check(&[set("k", "old"), v(StoreMode::Cas(1))], stored(2), Some("new"));
    check(&[set("k", "old"), v(StoreMode::Cas(2))], Reply::Exists, Some("old"));
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    let long = "x".repeat(VALUE_MAX_BYTES + 1);
    check(&[set("k", "old"), set("k", &long)], Reply::TooLarge, Some("old"));
    let append = store("k", StoreMode::Append, &long[..VALUE_MAX_BYTES], Expiry::Never);
    check(&[set("k", "o"), append], Reply::TooLarge, Some("o"));
    let key = "k".repeat(crate::kv::KEY_MAX_BYTES + 1);
    check(&[set(&key, "v")], Reply::TooLarge, None);
}

#[test]
fn delete_touch_and_counting() {
    let delete = |version| Write::Delete { key: k("k"), version };
    check(&[delete(None)], Reply::NotFound, None);
    check(&[set("k", "v"), delete(None)], Reply::Deleted, None);
    check(&[set("k", "v"), delete(Some(1))], Reply::Deleted, None);
    check(&[set("k", "v"), delete(Some(2))], Reply::Exists, Some("v"));
    let touch = |expiry| Write::Touch { key: k("k"), expiry };
    check(&[touch(Expiry::Never)], Reply::NotFound, None);
    check(&[set("k", "v"), touch(Expiry::After(1))], Reply::Touched, Some("v"));
    check(&[set("k", "v"), touch(Expiry::After(0))], Reply::Touched, None);
    check(&[incr("k", 1)], Reply::NotFound, None);
    check(&[set("k", "x"), incr("k", 1)], Reply::NotANumber, Some("x"));
    check(&[set("k", "9"), incr("k", 1)], Reply::Number { value: 10, version: 2 }, Some("10"));
    let decr = Write::Increment { key: k("k"), by: 1, is_decrement: true };
    check(&[set("k", "10"), decr], Reply::Number { value: 9, version: 2 }, Some("9 "));
}

#[test]
fn get_and_touch_answers_the_record_with_its_new_expiry() {
    let gat = |expiry| Write::GetAndTouch { key: k("k"), expiry };
    let record = |expires_at_ms| {
        let value = Bytes::from_static(b"v");
        Reply::Record(Record { value, flags: 7, version: 1, expires_at_ms, modified_at_ms: 1000 })
    };
    check(&[gat(Expiry::Never)], Reply::NotFound, None);
    check(&[set("k", "v"), gat(Expiry::At(5000))], record(Some(5000)), Some("v"));
    check(&[set("k", "v"), gat(Expiry::At(1000))], record(Some(1000)), None);
}

#[test]
fn append_keeps_flags_and_expiry_of_the_record() {
    let mut replica = Replica::new();
    replica.at(1000, &[store("k", StoreMode::Set, "a", Expiry::After(50))]);
    let append = Write::Store {
        key: k("k"),
        mode: StoreMode::Append,
        flags: 99,
        expiry: Expiry::Never,
        value: Bytes::from_static(b"b"),
    };
    replica.at(1010, &[append]);
    let Reply::Record(record) = replica.get("k") else { panic!() };
    assert_eq!((record.flags, record.expires_at_ms, record.modified_at_ms), (7, Some(1050), 1010));
}

#[test]
fn a_touch_leaves_the_version_so_that_a_cas_still_succeeds() {
    let touch = Write::Touch { key: k("k"), expiry: Expiry::At(9000) };
    let cas = store("k", StoreMode::Cas(1), "new", Expiry::Never);
    check(&[set("k", "old"), touch, cas], Reply::Stored { version: 2 }, Some("new"));
}

#[test]
fn what_has_expired_is_gone_for_reads_and_writes_and_never_comes_back() {
    let mut replica = Replica::new();
    replica.at(1000, &[store("k", StoreMode::Set, "v", Expiry::At(2000))]);
    assert_eq!(replica.tablet.next_expiry_ms(), Some(2000));
    replica.at(1999, &[]);
    assert_eq!(replica.value("k").as_deref(), Some("v"));
    replica.at(2000, &[set("other", "v")]);
    assert_eq!(replica.value("k"), None);
    // A leader with a slower clock does not bring it back.
    let add = store("k", StoreMode::Add, "again", Expiry::Never);
    let outcomes = replies(replica.at(1500, &[incr("k", 1), add]));
    assert_eq!(outcomes, [Reply::NotFound, Reply::Stored { version: 3 }]);
    assert_eq!(replica.tablet.clock_ms(), 2000);
    replica.remove_all_due();
    assert_eq!((replica.value("k").as_deref(), replica.rows_of(KIND_EXPIRY)), (Some("again"), 0));
    assert_eq!(replica.tablet.next_expiry_ms(), None);
}

#[test]
fn expired_records_are_removed_in_bounded_steps() {
    let mut replica = Replica::new();
    let many = EXPIRE_PER_BATCH_MAX + 10;
    let writes: Vec<_> =
        (0..many).map(|n| store(&format!("k{n}"), StoreMode::Set, "v", Expiry::At(2000))).collect();
    replica.at(1000, &writes);
    assert_eq!(replica.count().0, many as u64);
    replica.at(3000, &[]);
    assert_eq!(replica.count().0, 10);
    assert_eq!(replica.tablet.next_expiry_ms(), Some(2000));
    replica.at(3000, &[]);
    assert_eq!(replica.count(), (0, 0));
    assert_eq!((replica.rows_of(KIND_DATA), replica.tablet.next_expiry_ms()), (0, None));
}

#[test]
fn a_flush_kills_what_is_there_and_nothing_later() {
    let flush = |after_ms| Write::Flush { namespace: Namespace::default(), after_ms };
    check(&[set("k", "v"), flush(0)], Reply::Done, None);
    check(&[set("k", "v"), flush(0), incr("k", 1)], Reply::NotFound, None);
    check(&[set("k", "v"), flush(0), set("k", "w")], Reply::Stored { version: 2 }, Some("w"));
    check(&[set("k", "v"), flush(500)], Reply::Done, Some("v"));

    let mut replica = Replica::new();
    let many: Vec<_> = (0..SWEEP_PER_BATCH_MAX + 5).map(|n| set(&format!("k{n}"), "v")).collect();
    replica.at(1000, &many);
    replica.at(1000, &[flush(0), set("k", "later")]);
    assert_eq!(replica.count(), (1, 6));
    replica.reopen();
    replica.remove_all_due();
    assert_eq!((replica.rows_of(KIND_DATA), replica.value("k").as_deref()), (1, Some("later")));
}

#[test]
fn a_delayed_flush_waits_for_the_clock_and_a_new_one_replaces_it() {
    let flush = |after_ms| Write::Flush { namespace: Namespace::default(), after_ms };
    let mut replica = Replica::new();
    replica.at(1000, &[flush(500)]);
    assert_eq!(replica.tablet.next_expiry_ms(), Some(1500));
    replica.at(1400, &[set("k", "v")]);
    replica.reopen();
    assert_eq!(replica.value("k").as_deref(), Some("v"));
    replica.at(1500, &[store("k", StoreMode::Add, "new", Expiry::Never)]);
    assert_eq!(replica.value("k").as_deref(), Some("new"));
    replica.remove_all_due();
    replica.at(1600, &[flush(100), flush(1000)]);
    replica.at(1700, &[]);
    assert_eq!(replica.value("k").as_deref(), Some("new"));
    replica.at(2600, &[]);
    assert_eq!(replica.value("k"), None);
}

#[test]
fn a_flush_or_count_of_one_namespace_leaves_the_others_alone() {
    let other: Namespace = "other".parse().unwrap();
    let there = Key { namespace: other.clone(), bytes: Bytes::from_static(b"k") };
    let value = Bytes::from_static(b"theirs");
    let set_there =
        Write::Store { key: there.clone(), mode: StoreMode::Set, flags: 0, expiry: Expiry::Never, value };
    let mut replica = Replica::new();
    replica.at(1, &[set("k", "ours"), set_there]);
    replica.at(2, &[Write::Flush { namespace: Namespace::default(), after_ms: 0 }]);
    replica.remove_all_due();
    assert_eq!((replica.value("k"), replica.count()), (None, (0, 0)));
    let read = |read| replica.tablet.read(&replica.rows, &read, u32::MAX).unwrap().unwrap();
    assert!(matches!(read(Read::Get { key: there }), Reply::Record(_)));
    assert_eq!(read(Read::Count { namespace: other }), Reply::Count { records: 1, bytes: 7 });
}

#[test]
fn a_scan_goes_through_the_tablet_by_its_cursor() {
    let mut replica = Replica::new();
    let mut want: Vec<String> = (0..25).map(|n| format!("k{n:02}")).collect();
    replica.at(1, &want.iter().map(|key| set(key, "v")).collect::<Vec<_>>());
    let (mut got, mut after, mut answers) = (Vec::new(), Bytes::new(), 0);
    loop {
        let read = Read::Scan { namespace: Namespace::default(), after: after.clone(), limit: 10 };
        let Reply::Keys { keys, next } =
            replica.tablet.read(&replica.rows, &read, u32::MAX).unwrap().unwrap()
        else {
            panic!()
        };
        got.extend(keys.into_iter().map(|key| String::from_utf8(key.to_vec()).unwrap()));
        answers += 1;
        match next {
            Some(cursor) => after = cursor,
            None => break,
        }
    }
    got.sort();
    want.sort();
    assert_eq!((got, answers), (want, 3));
}

#[test]
fn a_retry_is_answered_again_and_not_applied_again() {
    let mut replica = Replica::new();
    let batch = |items| Batch { now_ms: 1000, epoch: 1, items };
    let incr = |sequence, below, is_retry| item(5, sequence, below, is_retry, incr("k", 1));
    let number = |value, version| Outcome::Reply(Reply::Number { value, version });
    replica.at(1000, &[set("k", "0")]);
    assert_eq!(
        replica.apply(&batch(vec![incr(1, 1, false), incr(3, 1, false)])),
        [number(1, 2), number(2, 3)]
    );
    replica.reopen();
    // Sequence 2 comes late, 1 and 3 come again, also within one batch.
    let outcomes =
        replica.apply(&batch(vec![incr(1, 1, true), incr(2, 1, true), incr(3, 1, true), incr(2, 1, true)]));
    assert_eq!(outcomes, [number(1, 2), number(3, 4), number(2, 3), number(3, 4)]);
    // What has been answered is forgotten, and a stray copy of it is not applied.
    assert_eq!(
        replica.apply(&batch(vec![incr(4, 4, false), incr(2, 1, true)])),
        [number(4, 5), Outcome::Unknown]
    );
    assert_eq!(replica.value("k").as_deref(), Some("4"));
}

#[test]
fn a_retry_of_a_session_nobody_knows_has_an_unknown_outcome() {
    let mut replica = Replica::new();
    let items = vec![item(5, 1, 1, true, set("k", "v"))];
    assert_eq!(replica.apply(&Batch { now_ms: 1, epoch: 1, items }), [Outcome::Unknown]);
    assert_eq!((replica.value("k"), replica.rows_of(KIND_SESSION)), (None, 0));
}

#[test]
fn a_large_record_is_not_kept_for_retries() {
    let large = Record {
        value: Bytes::from(vec![b'x'; KEPT_VALUE_MAX_BYTES + 1]),
        flags: 0,
        version: 1,
        expires_at_ms: None,
        modified_at_ms: 0,
    };
    let mut rows = Map::new();
    let mut tablet = Tablet::open(&rows, 1024 * 1024, ALL_SLOTS).unwrap();
    let value = large.value.clone();
    let set = Write::Store { key: k("k"), mode: StoreMode::Set, flags: 0, expiry: Expiry::Never, value };
    let gat = Write::GetAndTouch { key: k("k"), expiry: Expiry::Never };
    let items = vec![item(1, 1, 1, false, set), item(1, 2, 1, false, gat.clone()), item(1, 2, 1, true, gat)];
    let (outcomes, changes) = tablet.apply(&rows, &Batch { now_ms: 0, epoch: 1, items }).unwrap();
    write_changes(&mut rows, changes);
    assert_eq!(outcomes[1..], [Outcome::Reply(Reply::Record(large)), Outcome::Unknown]);
}

#[test]
fn sessions_are_forgotten_by_use_and_not_by_a_jump_of_the_clock() {
    let mut replica = Replica::new();
    let write = |sequence, is_retry| vec![item(5, sequence, 1, is_retry, set("k", "v"))];
    replica.apply(&Batch { now_ms: 1000, epoch: 1, items: write(1, false) });
    let far = 1000 + 100 * IDLE_MAX_MS;
    let again = replica.apply(&Batch { now_ms: far, epoch: 1, items: write(1, true) });
    assert_eq!(again, [Outcome::Reply(Reply::Stored { version: 1 })]);
    for step in 1..=IDLE_MAX_MS / CLOCK_STEP_MAX_MS {
        assert_eq!(replica.rows_of(KIND_SESSION), 1);
        replica.at(far + step * CLOCK_STEP_MAX_MS, &[]);
    }
    assert_eq!(replica.rows_of(KIND_SESSION), 0);
    let again = replica.apply(&Batch { now_ms: far, epoch: 1, items: write(1, true) });
    assert_eq!(again, [Outcome::Unknown]);
}

#[test]
fn a_full_session_table_takes_no_new_session_until_one_was_idle_long_enough() {
    let mut replica = Replica::new();
    let write = |session| item(session, 1, 1, false, set("k", "v"));
    let items = (1..=SESSIONS_MAX as u64).map(write).collect();
    replica.apply(&Batch { now_ms: 1000, epoch: 1, items });
    let outcomes = replica.apply(&Batch { now_ms: 1000, epoch: 1, items: vec![write(99_999)] });
    assert_eq!(outcomes, [Outcome::Unknown]);
    for step in 1..=KEEP_MIN_MS / CLOCK_STEP_MAX_MS {
        replica.at(1000 + step * CLOCK_STEP_MAX_MS, &[]);
    }
    let outcomes = replica.apply(&Batch { now_ms: 1000, epoch: 1, items: vec![write(99_999)] });
    assert!(matches!(outcomes[..], [Outcome::Reply(Reply::Stored { .. })]));
    assert_eq!(replica.rows_of(KIND_SESSION), SESSIONS_MAX);
}

#[test]
fn a_session_keeps_a_bounded_number_of_answers() {
    let mut replica = Replica::new();
    let many = REPLIES_PER_SESSION_MAX as u64 + 1;
    let items = (1..=many).map(|sequence| item(5, sequence, 1, false, set("k", "v"))).collect();
    replica.apply(&Batch { now_ms: 1, epoch: 1, items });
    let retry = |sequence| item(5, sequence, 1, true, set("k", "v"));
    let outcomes = replica.apply(&Batch { now_ms: 1, epoch: 1, items: vec![retry(1), retry(2)] });
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Reply(Reply::Stored { version: 2 })]);
}

#[test]
fn rows_of_the_storage_are_no_part_of_the_state() {
    let mut replica = Replica::new();
    replica.at(1, &[set("k", "v")]);
    let hash = state_hash(&replica.rows);
    for kind in [0, KIND_GARBAGE + 1, 0xff] {
        replica.rows.insert(vec![kind, b'a'], Bytes::from_static(b"applied index"));
    }
    replica.reopen();
    assert_eq!((state_hash(&replica.rows), replica.value("k").as_deref()), (hash, Some("v")));
}

#[test]
fn a_damaged_row_is_an_error_and_no_guess() {
    let mut replica = Replica::new();
    replica.apply(&Batch { now_ms: 1, epoch: 1, items: vec![item(5, 1, 1, false, set("k", "v"))] });
    for (row, value) in &replica.rows {
        for damaged in [Bytes::new(), value.slice(..value.len().min(3)), Bytes::from_static(b"\x63")] {
            let mut rows = replica.rows.clone();
            rows.insert(row.clone(), damaged);
            let refused = match Tablet::open(&rows, VALUE_MAX_BYTES, ALL_SLOTS) {
                Err(_) => true,
                Ok(tablet) => tablet.read(&rows, &Read::Get { key: k("k") }, 1).is_err(),
            };
            assert!(refused, "row {row:?}");
        }
    }
}

#[test]
fn a_write_that_was_let_in_under_an_older_epoch_or_for_another_slot_is_not_applied() {
    let mut replica = Replica::new();
    let mut under = |epoch, key: &str| {
        let items = vec![item(0, 0, 0, false, set(key, "v"))];
        let batch = Batch { now_ms: 1000, epoch, items };
        matches!(replica.apply(&batch)[..], [Outcome::Reply(Reply::Stored { .. })])
    };
    assert_eq!(
        [(3, "a"), (2, "b"), (3, "c"), (4, "d"), (3, "e")].map(|(n, key)| under(n, key)),
        [true, false, true, true, false]
    );
    assert_eq!(
        ["a", "b", "c", "d", "e"].map(|key| replica.value(key).is_some()),
        [true, false, true, true, false]
    );
    // The epoch is part of the state, so that a restart does not let older requests in again.
    replica.reopen();
    let late = Batch { now_ms: 1000, epoch: 3, items: vec![item(0, 0, 0, false, set("f", "v"))] };
    assert_eq!(replica.apply(&late), [Outcome::NotHere]);
    // Removal of what has expired belongs to no epoch.
    assert_eq!(replica.apply(&Batch::default()), []);

    // Key "a" has slot 3647.
    let rows = Map::new();
    let mut tablet = Tablet::open(&rows, VALUE_MAX_BYTES, SlotId(0)..=SlotId(3646)).unwrap();
    let foreign = Batch { now_ms: 1000, epoch: 1, items: vec![item(9, 1, 0, false, set("a", "v"))] };
    let (outcomes, changes) = tablet.apply(&rows, &foreign).unwrap();
    assert_eq!((outcomes, changes.len()), (vec![Outcome::NotHere], 1), "only the clock has moved");
}
