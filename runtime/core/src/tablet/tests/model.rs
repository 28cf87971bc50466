//! The tablet against a model that is as plain as can be, and two replicas against each other, by random batches
//! with retries, late and repeated sequences, moving clocks, and one replica reopened from its rows in between.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::rows::{KIND_DATA, KIND_EXPIRY, expiry_row, peek_record};
use super::super::*;
use super::{Replica, VALUE_MAX_BYTES, item};
use crate::kv::{Adjustment, Delta, Expiry, Initial, Key, Record, StoreMode, Write};

/// The same commands on a plain map, with nothing kept for speed.
#[derive(Default)]
struct Model {
    clock_ms: u64,
    version: u64,
    records: BTreeMap<Key, Record>,
    flush_at_ms: BTreeMap<Namespace, u64>,
    /// Session → answered below, answers.
    sessions: BTreeMap<u64, (u64, BTreeMap<u64, Outcome>)>,
}

impl Model {
    fn apply(&mut self, batch: &Batch) -> Vec<Outcome> {
        self.clock_ms = self.clock_ms.max(batch.now_ms);
        let due: Vec<_> =
            self.flush_at_ms.iter().filter(|(_, at)| **at <= self.clock_ms).map(|(n, _)| n.clone()).collect();
        for namespace in due {
            self.flush(&namespace);
        }
        self.drop_expired();
        batch.items.iter().map(|item| self.item(item)).collect()
    }

    fn drop_expired(&mut self) {
        let clock_ms = self.clock_ms;
        self.records.retain(|_, record| record.expires_at_ms.is_none_or(|at| at > clock_ms));
    }

    fn flush(&mut self, namespace: &Namespace) {
        self.flush_at_ms.remove(namespace);
        self.records.retain(|key, _| key.namespace != *namespace);
    }

    fn item(&mut self, item: &Item) -> Outcome {
        if item.session == 0 {
            return Outcome::Reply(self.write(&item.write));
        }
        if item.is_retry && !self.sessions.contains_key(&item.session) {
            return Outcome::Unknown;
        }
        let (below, answers) = self.sessions.entry(item.session).or_insert((1, BTreeMap::new()));
        *below = item.answered_below.max(*below);
        if item.sequence < *below {
            return Outcome::Unknown;
        }
        if let Some(outcome) = answers.get(&item.sequence) {
            return outcome.clone();
        }
        let outcome = Outcome::Reply(self.write(&item.write));
        if let Some((_, answers)) = self.sessions.get_mut(&item.session) {
            answers.insert(item.sequence, outcome.clone());
        }
        outcome
    }

    fn write(&mut self, write: &Write) -> Reply {
        let reply = self.write_unexpired(write);
        self.drop_expired();
        reply
    }

    fn write_unexpired(&mut self, write: &Write) -> Reply {
        if let Write::Flush { namespace, after_ms } = write {
            if *after_ms > 0 {
                self.flush_at_ms.insert(namespace.clone(), self.clock_ms + after_ms);
            } else {
                self.flush(namespace);
            }
            return Reply::Done;
        }
        let key = write.key().unwrap().clone();
        let old = self.records.get(&key).cloned();
        let resolve = |expiry| match expiry {
            Expiry::Never => None,
            Expiry::At(ms) => Some(ms),
            Expiry::After(ms) => Some(self.clock_ms + ms),
        };
        let (changed, is_new_version) = match (write, old) {
            (Write::Store { value, .. }, _) if value.len() > VALUE_MAX_BYTES => return Reply::TooLarge,
            (Write::Store { mode, flags, expiry, value, .. }, old) => {
                let fresh = |value: Bytes| Record {
                    value,
                    flags: *flags,
                    version: 0,
                    expires_at_ms: resolve(*expiry),
                    modified_at_ms: 0,
                };
                let record = match (mode, old) {
                    (StoreMode::Set, _) | (StoreMode::Add, None) | (StoreMode::Replace, Some(_)) => {
                        fresh(value.clone())
                    }
                    (StoreMode::Append, Some(old)) => {
                        Record { value: [&old.value[..], value].concat().into(), ..old }
                    }
                    (StoreMode::Prepend, Some(old)) => {
                        Record { value: [&value[..], &old.value].concat().into(), ..old }
                    }
                    (StoreMode::Cas(version), Some(old)) if *version == old.version => fresh(value.clone()),
                    (StoreMode::AppendIf(version), Some(old)) if *version == old.version => {
                        Record { value: [&old.value[..], value].concat().into(), ..old }
                    }
                    (StoreMode::PrependIf(version), Some(old)) if *version == old.version => {
                        Record { value: [&value[..], &old.value].concat().into(), ..old }
                    }
                    (StoreMode::Cas(_) | StoreMode::AppendIf(_) | StoreMode::PrependIf(_), Some(_)) => {
                        return Reply::Exists;
                    }
                    (StoreMode::Cas(_), None) => return Reply::NotFound,
                    _ => return Reply::NotStored,
                };
                (record, true)
            }
            (Write::Adjust { adjustment, .. }, None) if adjustment.initial.is_some() => {
                let Initial { value, expiry } = adjustment.initial.clone().unwrap();
                let expires_at_ms = resolve(expiry);
                (Record { value, flags: 0, version: 0, expires_at_ms, modified_at_ms: 0 }, true)
            }
            (_, None) => return Reply::NotFound,
            (Write::Adjust { adjustment, .. }, Some(old)) => {
                if !old.value.is_empty() && adjustment.version.is_some_and(|version| version != old.version) {
                    return Reply::Exists;
                }
                let text = std::str::from_utf8(&old.value).unwrap();
                let value = match adjustment.delta {
                    Delta::Unsigned { by, is_decrement } => {
                        let Some(number) = leading_number(text) else { return Reply::NotANumber };
                        let number =
                            if is_decrement { number.saturating_sub(by) } else { number.wrapping_add(by) };
                        format!("{number:<width$}", width = text.len())
                    }
                    Delta::Signed { by } => {
                        let Some(number) =
                            text.parse::<i64>().ok().filter(|number| number.to_string() == text)
                        else {
                            return Reply::NotANumber;
                        };
                        let Some(number) = number.checked_add(by) else { return Reply::OutOfRange };
                        number.to_string()
                    }
                };
                let expires_at_ms = adjustment.expiry.map_or(old.expires_at_ms, resolve);
                (Record { value: value.into(), expires_at_ms, ..old }, true)
            }
            (Write::Delete { version, .. }, Some(old)) => {
                if version.is_some_and(|version| version != old.version) {
                    return Reply::Exists;
                }
                self.records.remove(&key);
                return Reply::Deleted;
            }
            (Write::Increment { by, is_decrement, .. }, Some(old)) => {
                let Some(number) = leading_number(std::str::from_utf8(&old.value).unwrap()) else {
                    return Reply::NotANumber;
                };
                let number =
                    if *is_decrement { number.saturating_sub(*by) } else { number.wrapping_add(*by) };
                let value = format!("{number:<width$}", width = old.value.len());
                (Record { value: value.into(), ..old }, true)
            }
            (Write::Touch { expiry, .. } | Write::GetAndTouch { expiry, .. }, Some(old)) => {
                (Record { expires_at_ms: resolve(*expiry), ..old }, false)
            }
            (Write::Flush { .. } | Write::Operations(_), _) => return Reply::Done,
        };
        if changed.value.len() > VALUE_MAX_BYTES {
            return Reply::TooLarge;
        }
        self.put(write, key, changed, is_new_version)
    }

    fn put(&mut self, write: &Write, key: Key, mut record: Record, is_new_version: bool) -> Reply {
        if is_new_version {
            self.version += 1;
            record.version = self.version;
            record.modified_at_ms = self.clock_ms;
        }
        let version = record.version;
        let reply = match write {
            Write::Increment { .. } => {
                let value = std::str::from_utf8(&record.value).unwrap().trim().parse().unwrap();
                Reply::Number { value, version }
            }
            Write::Adjust { .. } => {
                let number = std::str::from_utf8(&record.value).unwrap().trim().to_owned();
                Reply::Record(Record { value: number.into(), ..record.clone() })
            }
            Write::Touch { .. } => Reply::Touched,
            Write::GetAndTouch { .. } => Reply::Record(record.clone()),
            _ => Reply::Stored { version },
        };
        self.records.insert(key, record);
        reply
    }
}

fn any_key() -> impl Strategy<Value = Key> {
    (prop_oneof![4 => Just("default"), 1 => Just("other")], 0..5u8).prop_map(|(namespace, n)| Key {
        namespace: namespace.parse().unwrap(),
        bytes: Bytes::from(vec![b'a' + n]),
    })
}

/// Around the times that the batches have, so that things do expire.
fn any_expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        3 => Just(Expiry::Never),
        2 => (0..400u64).prop_map(Expiry::At),
        2 => (0..60u64).prop_map(Expiry::After),
    ]
}

fn any_mode() -> impl Strategy<Value = StoreMode> {
    prop_oneof![
        4 => Just(StoreMode::Set),
        1 => Just(StoreMode::Add),
        1 => Just(StoreMode::Replace),
        1 => Just(StoreMode::Append),
        1 => Just(StoreMode::Prepend),
        2 => (1..40u64).prop_map(StoreMode::Cas),
        1 => (1..40u64).prop_map(StoreMode::AppendIf),
        1 => (1..40u64).prop_map(StoreMode::PrependIf),
    ]
}

fn any_adjustment() -> impl Strategy<Value = Adjustment> {
    let unsigned =
        (0..12u64, any::<bool>()).prop_map(|(by, is_decrement)| Delta::Unsigned { by, is_decrement });
    let signed = prop_oneof![-12..12i64, Just(i64::MAX), Just(i64::MIN)].prop_map(|by| Delta::Signed { by });
    let initial =
        ("-?[1-9]{1,3}", any_expiry()).prop_map(|(value, expiry)| Initial { value: value.into(), expiry });
    let version = prop_oneof![3 => Just(None), 1 => (1..40u64).prop_map(Some)];
    let expiry = proptest::option::of(any_expiry());
    (prop_oneof![unsigned, signed], proptest::option::of(initial), version, expiry)
        .prop_map(|(delta, initial, version, expiry)| Adjustment { delta, initial, version, expiry })
}

fn any_write() -> impl Strategy<Value = Write> {
    let store = (any_key(), any_mode(), any::<u32>(), any_expiry(), "[0-9]{1,3}|[a-z]{0,26}");
    let store = store.prop_map(|(key, mode, flags, expiry, value)| Write::Store {
        key,
        mode,
        flags,
        expiry,
        value: value.into(),
    });
    let version = prop_oneof![3 => Just(None), 1 => (1..40u64).prop_map(Some)];
    let by = prop_oneof![0..12u64, Just(u64::MAX)];
    prop_oneof![
        8 => store,
        2 => (any_key(), version).prop_map(|(key, version)| Write::Delete { key, version }),
        3 => (any_key(), by, any::<bool>())
            .prop_map(|(key, by, is_decrement)| Write::Increment { key, by, is_decrement }),
        3 => (any_key(), any_adjustment())
            .prop_map(|(key, adjustment)| Write::Adjust { key, adjustment: Box::new(adjustment) }),
        2 => (any_key(), any_expiry()).prop_map(|(key, expiry)| Write::Touch { key, expiry }),
        2 => (any_key(), any_expiry()).prop_map(|(key, expiry)| Write::GetAndTouch { key, expiry }),
        1 => (any_key(), prop_oneof![Just(0), 1..60u64])
            .prop_map(|(key, after_ms)| Write::Flush { namespace: key.namespace, after_ms }),
    ]
}

/// Sequences are drawn from a few, so that most come twice, late, or below what was answered.
fn any_item() -> impl Strategy<Value = Item> {
    (0..3u64, 1..16u64, 0..6u64, any::<bool>(), any_write()).prop_map(
        |(session, sequence, window, is_retry, write)| {
            let answered_below = sequence.saturating_sub(window);
            if session == 0 {
                return item(0, 0, 0, is_retry, write);
            }
            item(session, sequence, answered_below, is_retry, write)
        },
    )
}

/// A batch, and whether the second replica is reopened before it.
fn any_batches() -> impl Strategy<Value = Vec<(Batch, bool)>> {
    let items = prop_oneof![3 => prop::collection::vec(any_item(), 1..8), 1 => Just(vec![])];
    let batch = (0..400u64, items).prop_map(|(now_ms, items)| Batch { now_ms, epoch: 1, items });
    prop::collection::vec((batch, any::<bool>()), 1..24)
}

/// Every record that expires has its expiry row and the other way round, and nothing live is expired before the
/// bound that `next_expiry_ms` gives.
fn check_expiry_rows(replica: &Replica) {
    let mut want = Vec::new();
    for (row, value) in replica.rows.iter().filter(|(row, _)| row[0] == KIND_DATA) {
        if let Some(at_ms) = peek_record(value).unwrap().1 {
            want.push(expiry_row(at_ms, row));
            assert!(replica.tablet.next_expiry_ms().unwrap() <= at_ms);
        }
    }
    want.sort();
    let got: Vec<_> = replica.rows.keys().filter(|row| row[0] == KIND_EXPIRY).cloned().collect();
    assert_eq!(got, want);
}

fn check_reads(replica: &Replica, model: &Model) {
    for namespace in ["default", "other"] {
        for n in 0..5u8 {
            let key = Key { namespace: namespace.parse().unwrap(), bytes: Bytes::from(vec![b'a' + n]) };
            let want = model.records.get(&key).cloned().map_or(Reply::NotFound, Reply::Record);
            assert_eq!(
                replica.tablet.read(&replica.rows, &Read::Get { key }, u32::MAX).unwrap().unwrap(),
                want
            );
        }
    }
}

fn check_counts(replica: &Replica, model: &Model) {
    for namespace in ["default", "other"] {
        let namespace: Namespace = namespace.parse().unwrap();
        let of_it = model.records.iter().filter(|(key, _)| key.namespace == namespace);
        let sizes = of_it.map(|(key, record)| (key.bytes.len() + record.value.len()) as u64);
        let (records, bytes) = (sizes.clone().count() as u64, sizes.sum());
        let got = replica.tablet.read(&replica.rows, &Read::Count { namespace }, u32::MAX).unwrap().unwrap();
        assert_eq!(got, Reply::Count { records, bytes });
    }
}

/// memcached takes what comes before a space: `0 0` is 0.
fn leading_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tablet_does_what_the_model_does_and_replicas_stay_identical(batches in any_batches()) {
        let (mut steady, mut reopened, mut model) = (Replica::new(), Replica::new(), Model::default());
        let mut versions = std::collections::BTreeSet::new();
        for (batch, is_reopened) in batches {
            if is_reopened {
                reopened.reopen();
            }
            let known = model.version;
            let want = model.apply(&batch);
            prop_assert_eq!(&steady.apply(&batch), &want);
            prop_assert_eq!(&reopened.apply(&batch), &want);
            prop_assert_eq!(&steady.rows, &reopened.rows);
            prop_assert_eq!(steady.tablet.state_hash(&steady.rows), reopened.tablet.state_hash(&reopened.rows));
            for outcome in want {
                if let Outcome::Reply(
                    Reply::Stored { version }
                    | Reply::Number { version, .. }
                    | Reply::Record(Record { version, .. }),
                ) = outcome
                    && version > known
                {
                    versions.insert(version);
                }
            }
            // No version was given twice: as many different ones as were counted.
            prop_assert_eq!(versions.len() as u64, model.version);
            check_expiry_rows(&steady);
            check_reads(&steady, &model);
        }
        steady.remove_all_due();
        check_counts(&steady, &model);
        check_reads(&steady, &model);
        let data_rows = steady.rows_of(KIND_DATA);
        prop_assert_eq!(data_rows, model.records.len());
    }
}
