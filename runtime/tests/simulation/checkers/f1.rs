//! F1: a flush that was answered has removed what was stored before it, and nothing else has; a listing names every key that was
//! there all the time.

use std::collections::BTreeSet;

use dkc_history::Report;

use crate::record::{Flushable, FlushableCall, Record};

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let calls = record.flushable.borrow();
    calls.iter().flat_map(|call| check_call(call, &calls)).collect()
}

fn check_call(call: &Flushable, calls: &[Flushable]) -> Vec<String> {
    match &call.what {
        FlushableCall::Found { number, value } => found(*number, *value, call, calls),
        FlushableCall::NotFound { number } => {
            let there = surely_there(*number, call, calls);
            there
                .map(|value| format!("key {number} had {value} and is gone at {}", call.end))
                .into_iter()
                .collect()
        }
        FlushableCall::Listed(numbers) => {
            let stored: BTreeSet<u64> = stored(calls).map(|(number, ..)| number).collect();
            let missing = stored
                .into_iter()
                .filter(|number| !numbers.contains(number) && surely_there(*number, call, calls).is_some());
            missing.map(|number| format!("key {number} is not listed at {}", call.end)).collect()
        }
        _ => Vec::new(),
    }
}

/// What was certainly stored: number, value, call.
fn stored(calls: &[Flushable]) -> impl Iterator<Item = (u64, u64, &Flushable)> {
    calls.iter().filter_map(|call| match call.what {
        FlushableCall::Stored { number, value } => Some((number, value, call)),
        _ => None,
    })
}

/// A value of the key that was stored before the call began, and that no flush can have removed before the call ended.
fn surely_there(number: u64, at: &Flushable, calls: &[Flushable]) -> Option<u64> {
    let may_remove = |store: &Flushable| {
        calls.iter().any(|flush| match flush.what {
            FlushableCall::Flushed { is_done } => {
                flush.begin < at.end && (!is_done || flush.end > store.begin)
            }
            _ => false,
        })
    };
    let before = stored(calls).filter(|(key, _, store)| *key == number && store.end < at.begin);
    before.into_iter().find(|(_, _, store)| !may_remove(store)).map(|(_, value, _)| value)
}

fn found(number: u64, value: u64, at: &Flushable, calls: &[Flushable]) -> Vec<String> {
    let is_tried = calls.iter().any(|call| match call.what {
        FlushableCall::Stored { number: key, value: tried }
        | FlushableCall::StoreUnknown { number: key, value: tried } => (key, tried) == (number, value),
        _ => false,
    });
    if !is_tried {
        return vec![format!("key {number} has {value} at {}, which nobody stored", at.end)];
    }
    // A store of unknown outcome may be carried out at any time.
    let Some((_, _, store)) = stored(calls).find(|(_, stored, _)| *stored == value) else {
        return Vec::new();
    };
    let is_between = |call: &&Flushable| store.end < call.begin && call.end < at.begin;
    let flush =
        calls.iter().filter(is_between).find(|call| call.what == FlushableCall::Flushed { is_done: true });
    let later = stored(calls).find(|(key, _, later)| *key == number && is_between(later));
    let flushed = flush.map(|flush| format!("flushed at {}", flush.end));
    let overwritten = later.map(|(_, later, call)| format!("overwritten with {later} at {}", call.end));
    let gone = flushed.into_iter().chain(overwritten);
    gone.map(|why| format!("key {number} still has {value} at {}, {why}", at.begin)).collect()
}
