//! Counters and lists: keys of which every answer tells where in a single sequence of steps the operation stood. An
//! increment that answered 7 took the counter from 6 to 7; an append that is third in the list took it from two pieces
//! to three. So each operation has a place `low..high`, places must not overlap, must follow real time, and what is
//! between them must be the work of unknown calls. No order has to be searched: sorting suffices.

use std::collections::{BTreeSet, HashMap};

use crate::operation::{Call, Operation, Outcome, Reply};
use crate::violation::{Kind, Verdict, Violation};

/// Sums of unknown increments that are told apart; beyond it only their total is compared.
const SUMS_MAX: usize = 100_000;

/// An operation and the part of the sequence it is known to stand at. A read has `low == high`.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    operation: &'a Operation,
    /// When it had taken effect for certain.
    end: u64,
    low: u64,
    high: u64,
}

impl<'a> Place<'a> {
    fn new(operation: &'a Operation, low: u64, high: u64) -> Place<'a> {
        let end = if operation.is_unknown() { u64::MAX } else { operation.end };
        Place { operation, end, low, high }
    }
}

type Found<T> = Result<T, Verdict>;

fn violated<T>(operation: &Operation, kind: Kind, why: String) -> Found<T> {
    Err(Verdict::Violated(Violation { key: operation.key, kind, why }))
}

const FOREIGN_ANSWER: Verdict = Verdict::Undecided("an answer that does not belong to its call");

fn verdict(found: Found<()>) -> Verdict {
    found.err().unwrap_or(Verdict::Fine)
}

pub(crate) fn check_counter(operations: &[&Operation]) -> Verdict {
    verdict(counter(operations))
}

/// The counter is made by `add 0` and changed by increments only.
fn counter(operations: &[&Operation]) -> Found<()> {
    let mut places = Vec::new();
    for &operation in operations {
        let Outcome::Done(reply) = &operation.outcome else { continue };
        match (&operation.call, reply) {
            (Call::Get, Reply::Value { value, .. }) => places.push(Place::new(operation, *value, *value)),
            (Call::Increment { by }, Reply::Number(number)) => match number.checked_sub(*by) {
                Some(low) => places.push(Place::new(operation, low, *number)),
                None => return violated(operation, Kind::Lost, format!("adding {by} made {number}")),
            },
            (Call::Add { value: 0 }, Reply::Stored) => places.push(Place::new(operation, 0, 0)),
            (Call::Add { value: 0 }, Reply::NotStored)
            | (Call::Get | Call::Increment { .. }, Reply::NotFound) => {}
            _ => return Err(FOREIGN_ANSWER),
        }
    }
    check_presence(operations)?;
    check_order(&mut places)?;
    check_overlap(&mut places)?;
    check_sums(operations, &places)
}

/// Made once, and never absent again.
fn check_presence(operations: &[&Operation]) -> Found<()> {
    let stored = |operation: &&&Operation| {
        matches!(operation.call, Call::Add { .. }) && operation.reply() == Some(&Reply::Stored)
    };
    let mut makers = operations.iter().filter(stored);
    if let (Some(_), Some(second)) = (makers.next(), makers.next()) {
        return violated(
            second,
            Kind::Lost,
            format!("made a second time at {}, as if it had been absent", second.end),
        );
    }
    let makes = |operation: &&Operation| {
        matches!(operation.call, Call::Add { .. })
            && matches!(operation.outcome, Outcome::Unknown | Outcome::Done(Reply::Stored))
    };
    let made_from = operations.iter().copied().filter(makes).map(|operation| operation.begin).min();
    let shows = |operation: &&Operation| is_presence(operation);
    let present_from = operations.iter().copied().filter(shows).map(|operation| operation.end).min();
    for operation in operations {
        if is_presence(operation) && made_from.is_none_or(|from| operation.end < from) {
            return violated(
                operation,
                Kind::FromNowhere,
                format!("there at {}, before it was made", operation.end),
            );
        }
        let is_absent = matches!(
            (&operation.call, operation.reply()),
            (_, Some(Reply::NotFound)) | (Call::Append { .. }, Some(Reply::NotStored))
        );
        if is_absent && present_from.is_some_and(|from| operation.begin > from) {
            let why =
                format!("absent at {}, though it was there at {}", operation.end, present_from.unwrap_or(0));
            return violated(operation, Kind::Lost, why);
        }
    }
    Ok(())
}

/// The answer shows that the key is there.
fn is_presence(operation: &Operation) -> bool {
    let reply = operation.reply();
    matches!(reply, Some(Reply::Value { .. } | Reply::Pieces(_) | Reply::Number(_) | Reply::Stored))
        || (matches!(operation.call, Call::Add { .. }) && reply == Some(&Reply::NotStored))
}

/// What ended before another began stands before it.
fn check_order(places: &mut [Place<'_>]) -> Found<()> {
    places.sort_by_key(|place| place.operation.begin);
    let mut by_end: Vec<Place<'_>> = places.to_vec();
    by_end.sort_by_key(|place| place.end);
    let mut ended = by_end.into_iter().peekable();
    let mut highest: Option<Place<'_>> = None;
    for place in places {
        while let Some(before) = ended.next_if(|before| before.end < place.operation.begin) {
            if highest.is_none_or(|highest| before.high > highest.high) {
                highest = Some(before);
            }
        }
        if let Some(before) = highest.filter(|before| before.high > place.low) {
            return violated(place.operation, out_of_order(place), said(&before, place));
        }
    }
    Ok(())
}

/// A read that goes back is stale; a write that starts from what was before an acknowledged one has undone it.
fn out_of_order(place: &Place<'_>) -> Kind {
    if place.low == place.high { Kind::Stale } else { Kind::Lost }
}

fn said(before: &Place<'_>, after: &Place<'_>) -> String {
    format!(
        "it stood at {} at {} (client {}), and at {} when client {} called {:?} at {}",
        before.high,
        before.operation.end,
        before.operation.client,
        after.low,
        after.operation.client,
        after.operation.call,
        after.operation.begin
    )
}

/// No two steps share a part of the sequence, and no read stands inside a step.
fn check_overlap(places: &mut [Place<'_>]) -> Found<()> {
    places.sort_by_key(|place| (place.low, place.high));
    let mut highest: Option<Place<'_>> = None;
    for place in places {
        if let Some(before) = highest.filter(|before| before.high > place.low && before.low < place.high) {
            let why = format!(
                "client {} took it from {} to {}, client {} found {} to {}",
                before.operation.client,
                before.low,
                before.high,
                place.operation.client,
                place.low,
                place.high
            );
            let kind = if place.low == place.high { Kind::NoOrder } else { Kind::Lost };
            return violated(place.operation, kind, why);
        }
        if highest.is_none_or(|highest| place.high > highest.high) {
            highest = Some(*place);
        }
    }
    Ok(())
}

/// Nothing was added that nobody called for: below every number that was seen, what acknowledged increments leave
/// over is the sum of unknown ones that had begun.
fn check_sums(operations: &[&Operation], places: &[Place<'_>]) -> Found<()> {
    let unknown = UnknownSums::of(operations);
    let mut acknowledged = 0;
    let mut last: Option<Place<'_>> = None;
    for place in places {
        acknowledged += place.high - place.low;
        // A read of the same number later in the list adds nothing.
        let left_over = place.high.checked_sub(acknowledged);
        match left_over {
            None => {
                let why = format!("{acknowledged} were acknowledged below {}", place.high);
                return violated(place.operation, Kind::Lost, why);
            }
            Some(left_over) if left_over > unknown.begun_until(place.operation.end) => {
                let why = format!(
                    "it stood at {} at {}: {left_over} more than acknowledged, and only {} unknown",
                    place.high,
                    place.operation.end,
                    unknown.begun_until(place.operation.end)
                );
                return violated(place.operation, Kind::Double, why);
            }
            Some(_) => {}
        }
        last = Some(*place);
    }
    let Some(last) = last else { return Ok(()) };
    let left_over = last.high - acknowledged;
    if unknown.reaches(left_over) {
        return Ok(());
    }
    let why = format!("at the end {left_over} more than acknowledged, which no unknown increments make");
    violated(last.operation, Kind::Double, why)
}

struct UnknownSums {
    /// Begin and sum up to it.
    sums: Vec<(u64, u64)>,
    steps: Vec<u64>,
}

impl UnknownSums {
    fn of(operations: &[&Operation]) -> UnknownSums {
        let increment = |operation: &&Operation| match operation.call {
            Call::Increment { by } if operation.is_unknown() => Some((operation.begin, by)),
            _ => None,
        };
        let mut calls: Vec<(u64, u64)> = operations.iter().filter_map(increment).collect();
        calls.sort_unstable();
        let steps = calls.iter().map(|(_, by)| *by).collect();
        let mut total = 0;
        for (_, by) in &mut calls {
            total += *by;
            *by = total;
        }
        UnknownSums { sums: calls, steps }
    }

    fn begun_until(&self, time: u64) -> u64 {
        let count = self.sums.partition_point(|(begin, _)| *begin <= time);
        if count == 0 { 0 } else { self.sums[count - 1].1 }
    }

    /// Some of them add up to it. Answers yes when there are too many sums to try.
    fn reaches(&self, sum: u64) -> bool {
        let mut sums = BTreeSet::from([0]);
        for step in &self.steps {
            let more: Vec<u64> =
                sums.iter().map(|before| before + step).filter(|next| *next <= sum).collect();
            sums.extend(more);
            if sums.len() > SUMS_MAX {
                return true;
            }
        }
        sums.contains(&sum)
    }
}

pub(crate) fn check_list(operations: &[&Operation]) -> Verdict {
    verdict(list(operations))
}

/// The list is made by an add of its first piece and changed by appends only.
fn list(operations: &[&Operation]) -> Found<()> {
    check_presence(operations)?;
    let reads = operations.iter().copied().filter_map(|operation| Some((operation, pieces(operation)?)));
    let Some((longest, all)) = reads.max_by_key(|(_, pieces)| pieces.len()) else { return Ok(()) };
    let positions = positions(longest, all)?;
    let mut places = Vec::new();
    for &operation in operations {
        if let Some(place) = list_place(operation, all, &positions)? {
            places.push(place);
        }
    }
    check_missing(operations, &places, all, &positions)?;
    check_known(operations, longest, all)?;
    check_order(&mut places)?;
    check_overlap(&mut places)
}

fn pieces(operation: &Operation) -> Option<&[u64]> {
    match operation.reply() {
        Some(Reply::Pieces(pieces)) => Some(pieces),
        Some(Reply::Value { value, .. }) => Some(std::slice::from_ref(value)),
        _ => None,
    }
}

fn positions(longest: &Operation, all: &[u64]) -> Found<HashMap<u64, u64>> {
    let mut positions = HashMap::new();
    for (position, piece) in (0..).zip(all) {
        if let Some(first) = positions.insert(*piece, position) {
            let why = format!("piece {piece} is in the list twice, at {first} and {position}");
            return violated(longest, Kind::Double, why);
        }
    }
    Ok(positions)
}

fn list_place<'a>(
    operation: &'a Operation,
    all: &[u64],
    positions: &HashMap<u64, u64>,
) -> Found<Option<Place<'a>>> {
    if let Some(read) = pieces(operation) {
        if !all.starts_with(read) {
            let why = format!("{read:?}, read at {}, is no beginning of {all:?}", operation.end);
            return violated(operation, Kind::Lost, why);
        }
        let length = read.len() as u64;
        return Ok(Some(Place::new(operation, length, length)));
    }
    let (Call::Append { piece } | Call::Add { value: piece }) = operation.call else { return Ok(None) };
    match (&operation.outcome, positions.get(&piece)) {
        (Outcome::Done(Reply::Stored) | Outcome::Unknown, Some(low)) => {
            Ok(Some(Place::new(operation, *low, low + 1)))
        }
        (Outcome::Refused | Outcome::Done(Reply::NotStored), Some(_)) => {
            let why = format!("piece {piece}, refused at {}, is in the list", operation.end);
            violated(operation, Kind::RefusedHappened, why)
        }
        _ => Ok(None),
    }
}

/// An acknowledged piece that is not in the longest list stands behind all of it. So whatever began after the
/// acknowledgement cannot stand in the list, nor have read it.
fn check_missing(
    operations: &[&Operation],
    places: &[Place<'_>],
    all: &[u64],
    positions: &HashMap<u64, u64>,
) -> Found<()> {
    let missing = |operation: &Operation| match operation.call {
        Call::Append { piece } | Call::Add { value: piece }
            if operation.reply() == Some(&Reply::Stored) && !positions.contains_key(&piece) =>
        {
            Some((operation.end, piece))
        }
        _ => None,
    };
    let first = operations
        .iter()
        .filter_map(|operation| Some((missing(operation)?, *operation)))
        .min_by_key(|((end, _), _)| *end);
    let Some(((end, piece), lost)) = first else { return Ok(()) };
    match places.iter().find(|place| place.operation.begin > end) {
        None => Ok(()),
        Some(later) => {
            let why = format!(
                "piece {piece}, acknowledged at {end}, is not in {all:?}, where {:?} of {} stands or read",
                later.operation.call, later.operation.begin
            );
            violated(lost, Kind::Lost, why)
        }
    }
}

/// Every piece was written by somebody, before it was read.
fn check_known(operations: &[&Operation], longest: &Operation, all: &[u64]) -> Found<()> {
    let written = |operation: &&Operation| match operation.call {
        Call::Append { piece } | Call::Add { value: piece } => Some((piece, operation.begin)),
        _ => None,
    };
    let writers: HashMap<u64, u64> = operations.iter().copied().filter_map(|one| written(&one)).collect();
    for operation in operations {
        // What stands at the end is the newest: earlier pieces were looked at in shorter reads or below.
        let read = pieces(operation).unwrap_or_default();
        let is_known = |piece: &u64| writers.get(piece).is_some_and(|begin| *begin <= operation.end);
        let suspects =
            if std::ptr::eq(*operation, longest) { all } else { &read[read.len().saturating_sub(1)..] };
        if let Some(piece) = suspects.iter().find(|piece| !is_known(piece)) {
            let why = format!("piece {piece} was in the list at {} before anybody wrote it", operation.end);
            return violated(operation, Kind::FromNowhere, why);
        }
    }
    Ok(())
}
