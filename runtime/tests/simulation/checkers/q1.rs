//! Q1: of a list that grows at its right and shrinks at its left, every value is popped once at most, none is lost, and they come in
//! the order in which they were pushed.

use std::collections::BTreeSet;

use dkc_history::Report;

use crate::record::{QueueCall, Queued, Record};

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let calls = record.queue.borrow();
    [popped_twice(&calls), unknown_values(&calls), out_of_order(&calls), lost(&calls), back_again(&calls)]
        .concat()
}

fn pushed(calls: &[Queued]) -> impl Iterator<Item = (u64, &Queued)> {
    calls.iter().filter_map(|call| match call.what {
        QueueCall::Pushed(value) => Some((value, call)),
        _ => None,
    })
}

fn popped(calls: &[Queued]) -> impl Iterator<Item = (u64, &Queued)> {
    calls.iter().filter_map(|call| match call.what {
        QueueCall::Popped(Some(value)) => Some((value, call)),
        _ => None,
    })
}

fn seen(calls: &[Queued]) -> impl Iterator<Item = (&Vec<u64>, &Queued)> {
    calls.iter().filter_map(|call| match &call.what {
        QueueCall::Seen(values) => Some((values, call)),
        _ => None,
    })
}

fn popped_twice(calls: &[Queued]) -> Vec<String> {
    let mut before = BTreeSet::new();
    let twice = popped(calls).filter(|(value, _)| !before.insert(*value));
    twice.map(|(value, call)| format!("{value} was popped once more at {}", call.end)).collect()
}

fn unknown_values(calls: &[Queued]) -> Vec<String> {
    let tried: BTreeSet<u64> = calls
        .iter()
        .filter_map(|call| match call.what {
            QueueCall::Pushed(value) | QueueCall::PushUnknown(value) => Some(value),
            _ => None,
        })
        .collect();
    let told = popped(calls).map(|(value, call)| (value, call.end));
    let told =
        told.chain(seen(calls).flat_map(|(values, call)| values.iter().map(|value| (*value, call.end))));
    told.filter(|(value, _)| !tried.contains(value))
        .map(|(value, at)| format!("{value} at {at} was never pushed"))
        .collect()
}

/// `first` was pushed before `second`, so it is popped first, and stands before it.
fn out_of_order(calls: &[Queued]) -> Vec<String> {
    let mut found = Vec::new();
    for (first, push) in pushed(calls) {
        for (second, _) in pushed(calls).filter(|(_, later)| push.end < later.begin) {
            let pop_of =
                |value: u64| popped(calls).find(|(popped, _)| *popped == value).map(|(_, call)| call);
            if let (Some(pop), Some(later)) = (pop_of(second), pop_of(first))
                && pop.end < later.begin
            {
                found.push(format!("{second} was popped at {} before {first}, pushed earlier", pop.end));
            }
            for (values, call) in seen(calls) {
                let place = |value: u64| values.iter().position(|seen| *seen == value);
                if let (Some(first_at), Some(second_at)) = (place(first), place(second))
                    && first_at > second_at
                {
                    found.push(format!("{first} stands behind {second} at {}", call.end));
                }
            }
        }
    }
    found
}

/// What was pushed and is not there must have been popped; each pop of unknown outcome has popped one at most.
fn lost(calls: &[Queued]) -> Vec<String> {
    let check = |values: &Vec<u64>, at: &Queued| {
        let begun: Vec<&Queued> = calls.iter().filter(|call| call.begin < at.end).collect();
        let unknown = begun.iter().filter(|call| call.what == QueueCall::PopUnknown).count();
        let is_gone = |value: u64| begun.iter().any(|call| call.what == QueueCall::Popped(Some(value)));
        let missing: Vec<u64> = pushed(calls)
            .filter(|(value, push)| push.end < at.begin && !values.contains(value) && !is_gone(*value))
            .map(|(value, _)| value)
            .collect();
        (missing.len() > unknown)
            .then(|| format!("{missing:?} are missing at {}; {unknown} pops are of unknown outcome", at.end))
    };
    let empty = Vec::new();
    // A pop that found nothing has seen an empty list.
    let nothing = calls.iter().filter(|call| call.what == QueueCall::Popped(None)).map(|call| (&empty, call));
    seen(calls).chain(nothing).filter_map(|(values, at)| check(values, at)).collect()
}

fn back_again(calls: &[Queued]) -> Vec<String> {
    let back = popped(calls).flat_map(|(value, pop)| {
        let later = seen(calls).filter(move |(values, call)| pop.end < call.begin && values.contains(&value));
        later.map(move |(_, call)| format!("{value} was popped at {} and is back at {}", pop.end, call.begin))
    });
    back.collect()
}
