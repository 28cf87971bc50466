//! L4: a counter ends as the sum of the acknowledged increments and some of the unknown ones.

use dkc_history::{Call, Outcome, Report};

use crate::clients::COUNTERS;
use crate::record::Record;

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    // Without a quiet end there is no last word.
    if record.last.borrow().is_none() {
        return Vec::new();
    }
    COUNTERS.filter_map(|key| check_counter(record, key)).collect()
}

fn check_counter(record: &Record, key: u32) -> Option<String> {
    let history = record.history.borrow();
    let of_key = || history.iter().filter(|operation| operation.key == key);
    let sum = |outcome: fn(&Outcome) -> bool| -> u64 {
        let by = |call: &Call| if let Call::Increment { by } = call { *by } else { 0 };
        of_key().filter(|operation| outcome(&operation.outcome)).map(|operation| by(&operation.call)).sum()
    };
    let number = |outcome: &Outcome| match outcome {
        Outcome::Done(dkc_history::Reply::Value { value, .. }) => Some(*value),
        _ => None,
    };
    let known = sum(|outcome| matches!(outcome, Outcome::Done(dkc_history::Reply::Number(_))));
    let unknown = sum(|outcome| *outcome == Outcome::Unknown);
    // The last word is the read after healing, when everything had ended.
    let last =
        of_key().filter(|operation| operation.call == Call::Get).max_by_key(|operation| operation.begin)?;
    let value = number(&last.outcome)?;
    let is_possible = (known..=known + unknown).contains(&value);
    (!is_possible).then(|| format!("counter {key} is {value}; acknowledged are {known}, unknown {unknown}"))
}
