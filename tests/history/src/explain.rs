//! Gives a contradiction its name. That there is one is certain by now; which of its operations is to blame is read
//! from the times, and where no pair of them shows it the answer is `NoOrder`.

use crate::operation::{Call, Operation, Reply};
use crate::register::Facts;
use crate::violation::{Kind, Violation};

pub(crate) fn explain(facts: &Facts<'_>, at: usize) -> Violation {
    let operation = facts.operations[at];
    let (kind, why) = match seen(facts, operation) {
        Some(Seen::Value(value)) => value_seen(facts, operation, value),
        Some(Seen::Absent) => absent_seen(facts, operation),
        None => (Kind::NoOrder, String::new()),
    };
    let told = format!(
        "client {} called {:?} at {} and was told {:?} at {}",
        operation.client, operation.call, operation.begin, operation.outcome, operation.end
    );
    let why = if why.is_empty() { told } else { format!("{told}; {why}") };
    Violation { key: operation.key, kind, why }
}

enum Seen {
    Value(u64),
    Absent,
}

fn seen(facts: &Facts<'_>, operation: &Operation) -> Option<Seen> {
    match (&operation.call, operation.reply()?) {
        (_, Reply::Value { value, .. }) => Some(Seen::Value(*value)),
        (Call::Cas { version, .. }, Reply::Stored) => facts.versions.get(version).copied().map(Seen::Value),
        (_, Reply::NotFound) | (Call::Add { .. }, Reply::Stored) => Some(Seen::Absent),
        _ => None,
    }
}

/// A value that had been replaced or deleted before it was asked for, or that was written only afterwards.
fn value_seen(facts: &Facts<'_>, reader: &Operation, value: u64) -> (Kind, String) {
    let writer = facts.operations[facts.writers[&value]];
    if writer.begin > reader.end {
        return (Kind::FromNowhere, format!("value {value} was first written at {}", writer.begin));
    }
    // From then on the value was there for certain.
    let known_from = facts.first_seen.get(&value).copied().unwrap_or(u64::MAX);
    let known_from = if writer.is_unknown() { known_from } else { known_from.min(writer.end) };
    let is_between = |other: &&&Operation| {
        is_change(other)
            && other.written() != Some(value)
            && other.begin > known_from
            && other.precedes(reader)
    };
    let Some(change) = facts.operations.iter().filter(is_between).max_by_key(|other| other.begin) else {
        return (Kind::NoOrder, String::new());
    };
    let told = format!(
        "client {} was told {:?} of {:?} at {}",
        change.client, change.outcome, change.call, change.end
    );
    let was_change_seen = match change.written() {
        Some(newer) => facts.first_seen.contains_key(&newer),
        None => false,
    };
    match (change.written(), was_change_seen) {
        (None, _) => (Kind::Resurrected, told),
        (Some(_), true) => (Kind::Stale, told),
        (Some(_), false) => (Kind::Lost, format!("{told}, and nobody ever saw it")),
    }
}

fn is_change(operation: &Operation) -> bool {
    matches!(operation.reply(), Some(Reply::Stored | Reply::Deleted))
}

/// The key was absent though a write of it had been acknowledged and nobody deleted it in between.
fn absent_seen(facts: &Facts<'_>, reader: &Operation) -> (Kind, String) {
    let is_store = |other: &&&Operation| other.reply() == Some(&Reply::Stored) && other.precedes(reader);
    let Some(write) = facts.operations.iter().filter(is_store).max_by_key(|other| other.begin) else {
        return (Kind::NoOrder, String::new());
    };
    let may_delete = |other: &&Operation| {
        other.call == Call::Delete
            && (other.is_unknown() || other.reply() == Some(&Reply::Deleted))
            && !other.precedes(write)
            && other.begin <= reader.end
    };
    if facts.operations.iter().any(may_delete) {
        return (Kind::NoOrder, String::new());
    }
    let value = write.written().unwrap_or_default();
    let told = format!("value {value} of client {} was acknowledged at {}", write.client, write.end);
    let comes_later = |other: &&Operation| {
        matches!(other.reply(), Some(Reply::Value { value: seen, .. }) if *seen == value)
            && reader.end < other.begin
    };
    let kind = if facts.operations.iter().any(comes_later) { Kind::Stale } else { Kind::Lost };
    (kind, told)
}
