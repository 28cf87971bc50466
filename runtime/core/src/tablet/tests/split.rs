//! A tablet that is split holds together what it would hold unsplit, and each half answers only for its own.

use proptest::prelude::*;

use super::super::rows::{KIND_ELEMENT, KIND_SYSTEM};
use super::super::split::Split;
use super::*;
use crate::ids::{NodeId, TabletId};
use crate::kv::operation::{Act, End, ListAct, Operation, Operations};

const EPOCH: u32 = 1;

fn split_at(first_slot: u16) -> Split {
    let split =
        Split { child: TabletId(1), first_slot: SlotId(first_slot), epoch: EPOCH, voters: vec![NodeId(1)] };
    let decoded = Split::decode(&split.encode()).unwrap().unwrap();
    assert_eq!(decoded, split);
    decoded
}

/// Two tablets over rows that lie in one place, but for those of the tablets themselves.
struct Halves {
    parent: Replica,
    child: Replica,
}

fn is_of_tablet(row: &[u8]) -> bool {
    row[0] == KIND_SYSTEM || row[0] == KIND_SESSION
}

impl Halves {
    fn of(mut parent: Replica, first_slot: u16) -> Halves {
        let (changes, birth) = parent.tablet.split(&split_at(first_slot)).expect("the slot is within");
        write_changes(&mut parent.rows, changes);
        let mut rows: Map = parent
            .rows
            .iter()
            .filter(|(row, _)| !is_of_tablet(row))
            .map(|(r, v)| (r.clone(), v.clone()))
            .collect();
        write_changes(&mut rows, birth.rows);
        let tablet = Tablet::open(&rows, VALUE_MAX_BYTES, ALL_SLOTS).unwrap();
        assert_eq!(*tablet.slots(), birth.slots);
        Halves { parent, child: Replica { rows, tablet } }
    }

    /// What one half did to the place of both.
    fn share(from: &Map, to: &mut Map) {
        to.retain(|row, _| is_of_tablet(row));
        to.extend(
            from.iter()
                .filter(|(row, _)| !is_of_tablet(row))
                .map(|(row, value)| (row.clone(), value.clone())),
        );
    }

    fn half(&mut self, slot: SlotId) -> &mut Replica {
        if self.child.tablet.slots().contains(&slot) { &mut self.child } else { &mut self.parent }
    }

    fn apply(&mut self, now_ms: u64, item: Item) -> Outcome {
        let slot = slot_of(&Namespace::default(), &item.write.key().expect("a key").bytes);
        let outcome = self.half(slot).apply(&Batch { now_ms, epoch: EPOCH + 1, items: vec![item] });
        self.shared(slot);
        outcome.into_iter().next().unwrap()
    }

    fn shared(&mut self, slot: SlotId) {
        let Halves { parent, child } = self;
        match child.tablet.slots().contains(&slot) {
            true => Halves::share(&child.rows, &mut parent.rows),
            false => Halves::share(&parent.rows, &mut child.rows),
        }
    }

    /// Removes and counts to the end.
    fn settle(&mut self) {
        for slot in [0, 16383] {
            self.half(SlotId(slot)).remove_all_due();
            self.shared(SlotId(slot));
        }
    }
}

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn push(key: &str, value: &str) -> Write {
    let act = Act::List(ListAct::Push {
        end: End::Right,
        elements: vec![value.to_owned().into()],
        only_if_present: false,
    });
    let operation = Operation { key: k(key).bytes, act };
    Write::Operations(Box::new(Operations { key: k(key), all: vec![operation], watched: None }))
}

fn a_write() -> impl Strategy<Value = Write> {
    let key = prop::sample::select(&KEYS[..]);
    (key, 0..6u8, 0..3000u64).prop_map(|(key, kind, after)| match kind {
        0 => Write::Delete { key: k(key), version: None },
        1 => store(key, StoreMode::Set, "until", Expiry::At(1000 + after)),
        2 | 3 => push(key, "e"),
        _ => set(key, &format!("v{after}")),
    })
}

proptest! {
    #[test]
    fn two_halves_hold_what_one_would(
        before in prop::collection::vec(a_write(), 0..40),
        after in prop::collection::vec(a_write(), 0..40),
        first_slot in 1u16..16383,
        settles_at in 0..40usize,
    ) {
        let mut whole = Replica::new();
        let mut replica = Replica::new();
        for write in &before {
            whole.at(1000, std::slice::from_ref(write));
            replica.at(1000, std::slice::from_ref(write));
        }
        let mut halves = Halves::of(replica, first_slot);
        for (number, write) in after.iter().enumerate() {
            let now_ms = 1000 + number as u64 * 100;
            if number == settles_at {
                halves.settle();
            }
            let want = whole.at(now_ms, std::slice::from_ref(write)).remove(0);
            let got = halves.apply(now_ms, item(0, 0, 0, false, write.clone()));
            // Each half counts its versions by itself, from the same beginning.
            let is_alike = matches!(
                (&got, &want),
                (Outcome::Reply(Reply::Stored { .. }), Outcome::Reply(Reply::Stored { .. }))
            );
            prop_assert!(is_alike || got == want, "{:?}: {:?}, not {:?}", write, got, want);
        }
        let late = Batch { now_ms: 9000, epoch: EPOCH + 1, items: vec![] };
        whole.apply(&late);
        for slot in [SlotId(0), SlotId(16383)] {
            halves.half(slot).apply(&late);
            halves.shared(slot);
        }
        whole.remove_all_due();
        halves.settle();
        for key in KEYS {
            let half = halves.half(slot_of(&Namespace::default(), key.as_bytes()));
            prop_assert_eq!(half.value(key), whole.value(key));
        }
        let counts = [halves.parent.count(), halves.child.count()];
        prop_assert_eq!((counts[0].0 + counts[1].0, counts[0].1 + counts[1].1), whole.count());
        for kind in [KIND_DATA, KIND_EXPIRY, KIND_ELEMENT, KIND_GARBAGE] {
            prop_assert_eq!(halves.parent.rows_of(kind), whole.rows_of(kind), "kind {}", kind);
        }
        // What a replica finds beside its own rows is no part of its state.
        for half in [&halves.parent, &halves.child] {
            let slots = half.tablet.slots().clone();
            let own: Map = half.rows.iter().filter(|(row, _)| is_own(row, &slots)).map(|(r, v)| (r.clone(), v.clone())).collect();
            let alone = Tablet::open(&own, VALUE_MAX_BYTES, ALL_SLOTS).unwrap();
            prop_assert_eq!(alone.state_hash(&own), half.tablet.state_hash(&half.rows));
            prop_assert_eq!(alone.next_expiry_ms(), half.tablet.next_expiry_ms());
        }
    }
}

/// Key "a" has slot 3647, key "b" another one below, so that a cut at 3647 parts them.
#[test]
fn each_half_answers_for_its_slots_and_a_retry_is_answered_again() {
    let mut replica = Replica::new();
    let first = Batch { now_ms: 1000, epoch: EPOCH, items: vec![item(9, 1, 1, false, incr_of("a"))] };
    replica.at(1000, &[set("a", "1")]);
    let answered = replica.apply(&first);
    let mut halves = Halves::of(replica, 3647);
    assert!(halves.parent.tablet.split(&split_at(3647)).is_none(), "a second time");
    let to = |replica: &mut Replica, epoch, is_retry| {
        replica.apply(&Batch { now_ms: 1000, epoch, items: vec![item(9, 1, 1, is_retry, incr_of("a"))] })
    };
    assert_eq!(to(&mut halves.parent, EPOCH, true), [Outcome::NotHere]);
    assert_eq!(to(&mut halves.child, EPOCH + 1, true), answered);
    assert_eq!(halves.child.value("a").as_deref(), Some("2"));
    assert_eq!(to(&mut halves.child, EPOCH, true), [Outcome::NotHere], "by a ring map from before the split");
    let read = |replica: &Replica, epoch| {
        replica.tablet.read(&replica.rows, &Read::Get { key: k("a") }, epoch).unwrap().is_some()
    };
    assert_eq!([read(&halves.parent, EPOCH), read(&halves.child, EPOCH)], [false, true]);
    // What concerns the whole tablet needs the ring map that names both.
    let count = Read::Count { namespace: Namespace::default() };
    let counts = |epoch| halves.parent.tablet.read(&halves.parent.rows, &count, epoch).unwrap().is_some();
    assert_eq!([counts(EPOCH), counts(EPOCH + 1)], [false, true]);
    let flush = Write::Flush { namespace: Namespace::default(), after_ms: 0 };
    let flushed = |replica: &mut Replica, epoch| {
        replica.apply(&Batch { now_ms: 1000, epoch, items: vec![item(0, 0, 0, false, flush.clone())] })
    };
    assert_eq!(flushed(&mut halves.parent, EPOCH), [Outcome::NotHere]);
    assert_eq!(flushed(&mut halves.parent, EPOCH + 1), [Outcome::Reply(Reply::Done)]);
}

fn incr_of(key: &str) -> Write {
    incr(key, 1)
}

#[test]
fn bytes_that_are_no_split_are_refused() {
    let good = split_at(7).encode();
    for cut in 1..good.len() {
        assert!(Split::decode(&good.slice(..cut)).unwrap().is_err(), "cut at {cut}");
    }
    assert_eq!(Split::decode(&Bytes::from_static(&[2, 0])), None, "a batch");
    assert!(Split::decode(&Bytes::from_static(&[3, 0, 1, 0, 7, 0, 0, 0, 1, 0])).unwrap().is_err());
}
