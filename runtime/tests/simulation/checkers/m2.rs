//! M2: one membership operation at a time. While one operator certainly has the lock, no other gets it.

use dkc_history::Report;

use crate::record::{Lock, Record};

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let locks = record.locks.borrow();
    let pairs = locks.iter().flat_map(|one| locks.iter().map(move |other| (one, other)));
    pairs
        .filter(|(one, other)| was_granted_within(one, other))
        .map(|(one, other)| describe(one, other))
        .collect()
}

fn was_granted_within(holder: &Lock, other: &Lock) -> bool {
    let (from, to) = holder.held;
    holder.operator != other.operator && from < other.asked && other.held.0 < to
}

fn describe(holder: &Lock, other: &Lock) -> String {
    format!("operator {} got the lock at {} while {} had it", other.operator, other.held.0, holder.operator)
}
