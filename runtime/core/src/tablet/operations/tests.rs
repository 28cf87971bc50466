//! Lists, hashes, sets and sorted sets beside a model of plain collections: the same answers, identical replicas, and rows
//! that fit together after every batch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use crate::ids::Namespace;
use crate::kv::operation::{
    Act, AddHow, End, HashAct, KeyAct, ListAct, Operation, Operations, SetAct, SortedSetAct, Span,
};
use crate::kv::{Expiry, Fault, Key, Read, Reply, Score, StoreMode, Value, Write};
use crate::ring::ALL_SLOTS;
use crate::tablet::head::Head;
use crate::tablet::rows::state_hash;
use crate::tablet::rows::{
    FORMAT_HEAD, KIND_DATA, KIND_ELEMENT, KIND_GARBAGE, decode_record, split_data_row, write_changes,
};
use crate::tablet::{Batch, Item, Outcome, Tablet};

type Map = BTreeMap<Vec<u8>, Bytes>;

const VALUE_MAX_BYTES: usize = 1000;

#[derive(Debug, Clone, PartialEq)]
enum Holds {
    Text(Bytes),
    List(VecDeque<Bytes>),
    Hash(BTreeMap<Bytes, Bytes>),
    Set(BTreeSet<Bytes>),
    Sorted(BTreeMap<Bytes, i64>),
}

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

    fn reopen(&mut self) {
        self.tablet = Tablet::open(&self.rows, VALUE_MAX_BYTES, ALL_SLOTS).unwrap();
    }

    fn apply(&mut self, now_ms: u64, writes: &[Write]) -> Vec<Outcome> {
        let item = |write: &Write| Item {
            session: 0,
            sequence: 0,
            answered_below: 0,
            is_retry: false,
            write: write.clone(),
        };
        let batch = Batch { now_ms, epoch: 1, items: writes.iter().map(item).collect() };
        let (outcomes, changes) = self.tablet.apply(&self.rows, &batch).unwrap();
        write_changes(&mut self.rows, changes);
        outcomes
    }

    fn of_kind(&self, kind: u8) -> impl Iterator<Item = (&Vec<u8>, &Bytes)> {
        self.rows.iter().filter(move |(row, _)| row[0] == kind)
    }

    /// Every element has a head or is garbage, heads count their elements, and the namespace counts the heads.
    fn check_rows(&self) {
        let mut wanted: BTreeMap<Vec<u8>, (u64, u64)> = BTreeMap::new();
        let (mut records, mut bytes) = (0, 0);
        for (row, value) in self.of_kind(KIND_DATA) {
            let record = decode_record(value).unwrap();
            records += 1;
            bytes += split_data_row(row).unwrap().1.len() as u64;
            if value[0] == FORMAT_HEAD {
                let head = Head::decode(&record.value).unwrap();
                assert!(head.elements > 0);
                bytes += head.bytes;
                let place = [&row[1..3], &head.incarnation.to_be_bytes()].concat();
                wanted.insert(place, (head.elements, head.bytes));
            } else {
                bytes += record.value.len() as u64;
            }
        }
        let garbage: BTreeSet<Vec<u8>> =
            self.of_kind(KIND_GARBAGE).map(|(row, _)| row[1..].to_vec()).collect();
        let mut got: BTreeMap<Vec<u8>, (u64, u64)> = BTreeMap::new();
        for (row, value) in self.of_kind(KIND_ELEMENT) {
            let place = row[1..11].to_vec();
            assert!(
                wanted.contains_key(&place) != garbage.contains(&place),
                "an element with a head or garbage"
            );
            if row[11] == b'e' && wanted.contains_key(&place) {
                let (elements, bytes) = got.entry(place).or_default();
                *elements += 1;
                *bytes += (row.len() - 12 + value.len()) as u64;
            }
        }
        assert_eq!(got, wanted);
        let counted = self
            .tablet
            .read(&self.rows, &Read::Count { namespace: Namespace::default() }, u32::MAX)
            .unwrap()
            .unwrap();
        assert_eq!(counted, Reply::Count { records, bytes });
    }
}

fn key(n: u8) -> Bytes {
    Bytes::from(format!("{{t}}{n}"))
}

fn write(key: &Bytes, act: Act) -> Write {
    let operation = Operation { key: key.clone(), act };
    Write::Operations(Box::new(Operations::one(Namespace::default(), operation)))
}

#[derive(Debug, Clone)]
enum Do {
    Push(u8, End, Vec<Bytes>),
    Pop(u8, End),
    Remove(u8, Bytes),
    Trim(u8, Span),
    SetField(u8, Bytes, Bytes),
    DeleteField(u8, Bytes),
    AddMember(u8, Bytes),
    RemoveMember(u8, Bytes),
    Score(u8, i64, Bytes),
    PopLowest(u8),
    Rename(u8, u8),
    Copy(u8, u8),
    Delete(u8),
    Store(u8, Bytes),
    Expire(u8),
    Flush,
}

impl Do {
    fn write(&self) -> Write {
        match self.clone() {
            Do::Push(n, end, elements) => {
                write(&key(n), Act::List(ListAct::Push { end, elements, only_if_present: false }))
            }
            Do::Pop(n, end) => write(&key(n), Act::List(ListAct::Pop { end, count: None })),
            Do::Remove(n, element) => write(&key(n), Act::List(ListAct::Remove { count: 0, element })),
            Do::Trim(n, span) => write(&key(n), Act::List(ListAct::Trim { span })),
            Do::SetField(n, field, value) => {
                write(&key(n), Act::Hash(HashAct::Set { pairs: vec![(field, value)], says_okay: false }))
            }
            Do::DeleteField(n, field) => write(&key(n), Act::Hash(HashAct::Delete { fields: vec![field] })),
            Do::AddMember(n, member) => write(&key(n), Act::Set(SetAct::Add { members: vec![member] })),
            Do::RemoveMember(n, member) => write(&key(n), Act::Set(SetAct::Remove { members: vec![member] })),
            Do::Score(n, score, member) => {
                let elements = vec![(Score(score as f64), member)];
                write(&key(n), Act::SortedSet(SortedSetAct::Add { how: AddHow::default(), elements }))
            }
            Do::PopLowest(n) => {
                write(&key(n), Act::SortedSet(SortedSetAct::Pop { is_highest: false, count: Some(1) }))
            }
            Do::Rename(n, to) => {
                write(&key(n), Act::Key(KeyAct::Rename { to: key(to), only_if_absent: false }))
            }
            Do::Copy(n, to) => write(&key(n), Act::Key(KeyAct::Copy { to: key(to), replaces: true })),
            Do::Delete(n) => write(&key(n), Act::Key(KeyAct::Delete { others: vec![] })),
            Do::Store(n, value) => Write::Store {
                key: Key { namespace: Namespace::default(), bytes: key(n) },
                mode: StoreMode::Set,
                flags: 0,
                expiry: Expiry::Never,
                value,
            },
            Do::Expire(n) => {
                write(&key(n), Act::Key(KeyAct::Expire { expiry: Expiry::At(1), condition: None }))
            }
            Do::Flush => Write::Flush { namespace: Namespace::default(), after_ms: 0 },
        }
    }
}

#[derive(Default)]
struct Model(BTreeMap<u8, Holds>);

/// What is there, or a new one; a fault if it is of another type.
macro_rules! holds {
    ($model:expr, $n:expr, $kind:ident) => {
        match $model.0.entry($n).or_insert_with(|| Holds::$kind(Default::default())) {
            Holds::$kind(inner) => inner,
            _ => return Value::Fault(Fault::WrongType),
        }
    };
}

impl Model {
    fn carry_out(&mut self, what: &Do) -> Value {
        let value = self.change(what);
        self.0.retain(|_, holds| match holds {
            Holds::Text(_) => true,
            Holds::List(inner) => !inner.is_empty(),
            Holds::Hash(inner) => !inner.is_empty(),
            Holds::Set(inner) => !inner.is_empty(),
            Holds::Sorted(inner) => !inner.is_empty(),
        });
        value
    }

    fn change(&mut self, what: &Do) -> Value {
        match what.clone() {
            Do::Push(n, end, elements) => {
                let list = holds!(self, n, List);
                for element in elements {
                    if end == End::Left { list.push_front(element) } else { list.push_back(element) }
                }
                Value::count(list.len())
            }
            Do::Pop(n, end) => {
                let list = holds!(self, n, List);
                Value::of(if end == End::Left { list.pop_front() } else { list.pop_back() })
            }
            Do::Remove(n, element) => {
                let list = holds!(self, n, List);
                let before = list.len();
                list.retain(|present| *present != element);
                Value::count(before - list.len())
            }
            Do::Trim(n, span) => {
                let list = holds!(self, n, List);
                let range = span.of_elements(list.len() as u64).unwrap_or(0..0);
                *list = list.range(range.start as usize..range.end as usize).cloned().collect();
                Value::OKAY
            }
            Do::SetField(n, field, value) => {
                Value::flag(holds!(self, n, Hash).insert(field, value).is_none())
            }
            Do::DeleteField(n, field) => Value::flag(holds!(self, n, Hash).remove(&field).is_some()),
            Do::AddMember(n, member) => Value::flag(holds!(self, n, Set).insert(member)),
            Do::RemoveMember(n, member) => Value::flag(holds!(self, n, Set).remove(&member)),
            Do::Score(n, score, member) => {
                Value::flag(holds!(self, n, Sorted).insert(member, score).is_none())
            }
            Do::PopLowest(n) => {
                let sorted = holds!(self, n, Sorted);
                let lowest = sorted.iter().map(|(member, score)| (*score, member.clone())).min();
                let Some((score, member)) = lowest else { return Value::Array(vec![]) };
                sorted.remove(&member);
                Value::Pairs(vec![Value::Text(member), Value::Double(Score(score as f64))])
            }
            Do::Rename(n, to) => {
                let Some(holds) = self.0.remove(&n) else { return Value::Fault(Fault::NoSuchKey) };
                self.0.insert(to, holds);
                Value::OKAY
            }
            Do::Copy(n, to) => {
                let Some(holds) = self.0.get(&n).cloned() else { return Value::Integer(0) };
                self.0.insert(to, holds);
                Value::Integer(1)
            }
            Do::Delete(n) => Value::flag(self.0.remove(&n).is_some()),
            Do::Store(n, value) => {
                self.0.insert(n, Holds::Text(value));
                Value::OKAY
            }
            Do::Expire(n) => Value::flag(self.0.remove(&n).is_some()),
            Do::Flush => {
                self.0.clear();
                Value::OKAY
            }
        }
    }

    /// What reading everything of a key must give.
    fn check(&self, n: u8, replica: &Replica) {
        let all = Span { start: 0, end: -1 };
        let texts = |texts: Vec<Bytes>| Value::texts(texts);
        let (act, want) = match self.0.get(&n) {
            None => (Act::Key(KeyAct::Exists { others: vec![] }), Value::Integer(0)),
            Some(Holds::Text(text)) => {
                (Act::String(crate::kv::operation::StringAct::Get), Value::Text(text.clone()))
            }
            Some(Holds::List(list)) => {
                (Act::List(ListAct::Range { span: all }), texts(list.iter().cloned().collect()))
            }
            Some(Holds::Hash(hash)) => {
                let pairs = hash.iter().flat_map(|(field, value)| [field.clone(), value.clone()]);
                (Act::Hash(HashAct::All), Value::Map(pairs.map(Value::Text).collect()))
            }
            Some(Holds::Set(set)) => {
                (Act::Set(SetAct::Members), Value::Set(set.iter().cloned().map(Value::Text).collect()))
            }
            Some(Holds::Sorted(sorted)) => {
                let mut members: Vec<(i64, Bytes)> =
                    sorted.iter().map(|(m, score)| (*score, m.clone())).collect();
                members.sort();
                let act = SortedSetAct::Range {
                    which: crate::kv::operation::Which::Ranks(all),
                    is_reverse: false,
                    part: crate::kv::operation::Part { offset: 0, count: None },
                    with_scores: false,
                };
                (Act::SortedSet(act), texts(members.into_iter().map(|(_, member)| member).collect()))
            }
        };
        let operation = Operation { key: key(n), act };
        let read = Read::Operations(Box::new(Operations::one(Namespace::default(), operation)));
        assert_eq!(replica.tablet.read(&replica.rows, &read, u32::MAX).unwrap().unwrap(), Reply::Value(want));
    }
}

fn any_do() -> impl Strategy<Value = Do> {
    let n = 0..4u8;
    let word =
        || prop::sample::select(vec!["a", "b", "c", "dd", ""]).prop_map(|word| Bytes::from(word.to_owned()));
    let end = || prop_oneof![Just(End::Left), Just(End::Right)];
    prop_oneof![
        4 => (n.clone(), end(), prop::collection::vec(word(), 1..4)).prop_map(|(n, end, all)| Do::Push(n, end, all)),
        2 => (n.clone(), end()).prop_map(|(n, end)| Do::Pop(n, end)),
        1 => (n.clone(), word()).prop_map(|(n, word)| Do::Remove(n, word)),
        1 => (n.clone(), -4..4i64, -4..4i64).prop_map(|(n, start, end)| Do::Trim(n, Span { start, end })),
        3 => (n.clone(), word(), word()).prop_map(|(n, field, value)| Do::SetField(n, field, value)),
        1 => (n.clone(), word()).prop_map(|(n, field)| Do::DeleteField(n, field)),
        3 => (n.clone(), word()).prop_map(|(n, member)| Do::AddMember(n, member)),
        1 => (n.clone(), word()).prop_map(|(n, member)| Do::RemoveMember(n, member)),
        3 => (n.clone(), -3..3i64, word()).prop_map(|(n, score, member)| Do::Score(n, score, member)),
        1 => n.clone().prop_map(Do::PopLowest),
        2 => (n.clone(), n.clone()).prop_map(|(n, to)| Do::Rename(n, to)),
        1 => (n.clone(), 4..6u8).prop_map(|(n, to)| Do::Copy(n, to)),
        2 => n.clone().prop_map(Do::Delete),
        1 => (n.clone(), word()).prop_map(|(n, value)| Do::Store(n, value)),
        1 => n.prop_map(Do::Expire),
        1 => Just(Do::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn collections_do_what_the_model_does_and_replicas_stay_identical(
        batches in prop::collection::vec((prop::collection::vec(any_do(), 0..6), any::<bool>()), 1..24),
    ) {
        let (mut steady, mut reopened, mut model) = (Replica::new(), Replica::new(), Model::default());
        for (at, (all, is_reopened)) in batches.into_iter().enumerate() {
            if is_reopened {
                reopened.reopen();
            }
            let writes: Vec<Write> = all.iter().map(Do::write).collect();
            let now_ms = 10 + at as u64;
            let got = steady.apply(now_ms, &writes);
            prop_assert_eq!(&reopened.apply(now_ms, &writes), &got);
            prop_assert_eq!(&steady.rows, &reopened.rows);
            prop_assert_eq!(state_hash(&steady.rows), state_hash(&reopened.rows));
            for (what, outcome) in all.iter().zip(got) {
                let want = model.carry_out(what);
                let got = match outcome {
                    Outcome::Reply(Reply::Value(value)) => value,
                    Outcome::Reply(Reply::Stored { .. } | Reply::Done) => Value::OKAY,
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(got, want, "{:?}", what);
            }
            for n in 0..6 {
                model.check(n, &steady);
            }
        }
        // Empty batches remove what is dead and what has lost its head.
        for now_ms in 1000..1100 {
            if steady.tablet.next_expiry_ms().is_none() {
                break;
            }
            steady.apply(now_ms, &[]);
        }
        prop_assert_eq!(steady.tablet.next_expiry_ms(), None);
        prop_assert_eq!(steady.of_kind(KIND_GARBAGE).count(), 0);
        steady.check_rows();
    }
}
