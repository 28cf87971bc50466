//! The exact check of a short history, straight from the definition: is there an order of the operations that keeps
//! real time and in which every reply is what a store without faults would answer? Wing and Gong's search with
//! Lowe's memory of what was tried. Exponential, and therefore only the judge of the fast checkers.

use std::collections::{BTreeMap, HashSet};

use crate::operation::{Call, Operation, Outcome, Reply};

/// More than this many operations take too long.
pub const EXACT_MAX_OPERATIONS: usize = 24;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    Absent,
    Value(u64),
    Pieces(Vec<u64>),
}

/// The operations of one key, absent before. Panics beyond `EXACT_MAX_OPERATIONS`.
pub fn is_linearizable(operations: &[&Operation]) -> bool {
    assert!(operations.len() <= EXACT_MAX_OPERATIONS, "{} operations are too many", operations.len());
    let Some(versions) = versions(operations) else { return false };
    let happened: Vec<&Operation> =
        operations.iter().copied().filter(|operation| operation.outcome != Outcome::Refused).collect();
    Search { operations: happened, versions, tried: HashSet::new() }.from(0, State::Absent)
}

/// Which value each version names. `None` when a version names two values or a value has two versions.
fn versions(operations: &[&Operation]) -> Option<BTreeMap<u64, u64>> {
    let (mut by_version, mut by_value) = (BTreeMap::new(), BTreeMap::new());
    for operation in operations {
        let Some(&Reply::Value { value, version: Some(version) }) = operation.reply() else { continue };
        let is_new = *by_version.entry(version).or_insert(value) == value;
        if !is_new || *by_value.entry(value).or_insert(version) != version {
            return None;
        }
    }
    Some(by_version)
}

struct Search<'a> {
    operations: Vec<&'a Operation>,
    versions: BTreeMap<u64, u64>,
    tried: HashSet<(u32, State)>,
}

impl Search<'_> {
    /// Whether the operations outside `done` can follow in the state.
    fn from(&mut self, done: u32, state: State) -> bool {
        let is_open = |i: usize| done & (1 << i) == 0;
        if (0..self.operations.len()).all(|i| !is_open(i) || self.operations[i].is_unknown()) {
            return true;
        }
        if !self.tried.insert((done, state.clone())) {
            return false;
        }
        for i in 0..self.operations.len() {
            let operation = self.operations[i];
            let is_next =
                (0..self.operations.len()).all(|j| !is_open(j) || !self.operations[j].precedes(operation));
            if !is_open(i) || !is_next {
                continue;
            }
            let (after, reply) = self.apply(&state, &operation.call);
            let is_told = operation.reply().is_none_or(|told| is_same(told, &reply));
            if is_told && self.from(done | 1 << i, after) {
                return true;
            }
        }
        false
    }

    fn apply(&self, state: &State, call: &Call) -> (State, Reply) {
        use State::{Absent, Pieces, Value};
        let keep = |reply| (state.clone(), reply);
        match (call, state) {
            (Call::Get, Absent) => keep(Reply::NotFound),
            (Call::Get, Value(value)) => keep(Reply::Value { value: *value, version: None }),
            (Call::Get, Pieces(pieces)) => keep(Reply::Pieces(pieces.clone().into())),
            (Call::Set { value }, _) | (Call::Add { value }, Absent) => (Value(*value), Reply::Stored),
            (Call::Add { .. }, _) => keep(Reply::NotStored),
            (Call::Cas { .. }, Absent) => keep(Reply::NotFound),
            (Call::Cas { version, value }, Value(now)) if self.versions.get(version) == Some(now) => {
                (Value(*value), Reply::Stored)
            }
            (Call::Cas { .. }, _) => keep(Reply::Exists),
            (Call::Delete, Absent) => keep(Reply::NotFound),
            (Call::Delete, _) => (Absent, Reply::Deleted),
            (Call::Increment { by }, Value(now)) => {
                let next = now.wrapping_add(*by);
                (Value(next), Reply::Number(next))
            }
            (Call::Increment { .. }, _) => keep(Reply::NotFound),
            (Call::Append { .. }, Absent) => keep(Reply::NotStored),
            (Call::Append { piece }, Value(first)) => (Pieces(vec![*first, *piece]), Reply::Stored),
            (Call::Append { piece }, Pieces(pieces)) => {
                (Pieces(pieces.iter().copied().chain([*piece]).collect()), Reply::Stored)
            }
        }
    }
}

/// Versions have been compared already; a list of one piece is a value.
fn is_same(told: &Reply, reply: &Reply) -> bool {
    match (told, reply) {
        (Reply::Value { value: told, .. }, Reply::Value { value, .. }) => told == value,
        (Reply::Pieces(told), Reply::Value { value, .. }) => **told == [*value],
        _ => told == reply,
    }
}
