//! Registers: get, set, add, cas and delete on one key, decided exactly in one sweep over time. What is carried along
//! are the states the key may be in, each with the calls under way that took effect already (just-in-time
//! linearization: Lowe, "Testing for linearizability", 2017). Few clients share a key, so there are few such states,
//! and a million operations take a million small steps.
//!
//! What keeps unknown writes from multiplying the states: one that was read took effect before the first read of it
//! ended; of those never read only their number matters, because each leaves the key with a value nobody knows.
//!
//! What keeps calls that piled up during an outage from doing so: writes under way that need and leave the same (deletes,
//! or sets of values that nobody read) can be exchanged with each other in any order that explains the answers, so only
//! the one that ends first is tried.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::explain::explain;
use crate::operation::{Call, Operation, Outcome, Reply};
use crate::violation::{Kind, Verdict, Violation};

/// Calls under way at one time that are told apart; a bit for each.
const UNDER_WAY_MAX: usize = 64;
/// States looked at for one key before the check gives up: far more than any run with a dozen clients to a key needs.
const STATES_MAX: usize = 2_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Now {
    Absent,
    Value(u64),
    /// Present, with a value that nobody ever read.
    Nameless,
}

/// What an operation needs to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Anything,
    Absent,
    Present,
    Is(u64),
    PresentAndNot(u64),
}

impl Need {
    fn is_met(self, now: Now) -> bool {
        match self {
            Need::Anything => true,
            Need::Absent => now == Now::Absent,
            Need::Present => now != Now::Absent,
            Need::Is(value) => now == Now::Value(value),
            Need::PresentAndNot(value) => now != Now::Absent && now != Now::Value(value),
        }
    }
}

/// An operation that took effect for certain, between `begin` and `end`.
#[derive(Debug, Clone, Copy)]
struct Step {
    at: usize,
    begin: u64,
    end: u64,
    need: Need,
    /// The state it leaves, unless it changes nothing.
    leaves: Option<Now>,
}

/// An unknown write of which nobody saw anything: from `begin` on it may take effect, at any time or never.
#[derive(Debug, Clone, Copy)]
struct Spare {
    begin: u64,
    kind: SpareKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpareKind {
    Delete,
    Set,
    Add,
    Cas { expected: u64 },
}

/// How many spare deletes, sets and adds a state has used up.
type Used = [u32; 3];

pub(crate) struct Facts<'a> {
    pub operations: &'a [&'a Operation],
    /// The value that a version names.
    pub versions: BTreeMap<u64, u64>,
    /// Who wrote a value.
    pub writers: HashMap<u64, usize>,
    /// The first end of an operation that saw a value.
    pub first_seen: HashMap<u64, u64>,
}

pub(crate) fn check(operations: &[&Operation]) -> Verdict {
    let facts = match gather(operations) {
        Ok(facts) => facts,
        Err(verdict) => return verdict,
    };
    let mut steps = Vec::new();
    let mut spares = Vec::new();
    for at in 0..operations.len() {
        if let Err(verdict) = facts.translate(at, &mut steps, &mut spares) {
            return verdict;
        }
    }
    match sweep(&steps, &spares) {
        Ok(()) => Verdict::Fine,
        Err(Stuck::At(at)) => Verdict::Violated(explain(&facts, at)),
        Err(Stuck::TooMuch(why)) => Verdict::Undecided(why),
    }
}

fn violated(operation: &Operation, kind: Kind, why: String) -> Verdict {
    Verdict::Violated(Violation { key: operation.key, kind, why })
}

/// What can be said without any order of events.
fn gather<'a>(operations: &'a [&'a Operation]) -> Result<Facts<'a>, Verdict> {
    let mut facts =
        Facts { operations, versions: BTreeMap::new(), writers: HashMap::new(), first_seen: HashMap::new() };
    for (at, operation) in operations.iter().enumerate() {
        if let Some(value) = operation.written()
            && facts.writers.insert(value, at).is_some()
        {
            return Err(Verdict::Undecided("a value that is written by two calls"));
        }
    }
    facts.read_versions()?;
    facts.compare_winners()?;
    facts.check_sources()?;
    Ok(facts)
}

impl Facts<'_> {
    fn read_versions(&mut self) -> Result<(), Verdict> {
        let mut version_of = HashMap::new();
        for operation in self.operations {
            let Some(&Reply::Value { value, version }) = operation.reply() else { continue };
            let seen = self.first_seen.entry(value).or_insert(operation.end);
            *seen = (*seen).min(operation.end);
            let Some(version) = version else { continue };
            let before = *version_of.entry(value).or_insert(version);
            if before != version {
                let why = format!(
                    "value {value} had version {before} and version {version}: it was written more than once"
                );
                return Err(violated(operation, Kind::Double, why));
            }
            let named = *self.versions.entry(version).or_insert(value);
            if named != value {
                let why = format!("version {version} names value {named} and value {value}");
                return Err(violated(operation, Kind::NoOrder, why));
            }
        }
        Ok(())
    }

    fn compare_winners(&self) -> Result<(), Verdict> {
        let mut winners: HashMap<u64, &Operation> = HashMap::new();
        for operation in self.operations {
            let Call::Cas { version, value } = operation.call else { continue };
            if operation.reply() != Some(&Reply::Stored) {
                continue;
            }
            if let Some(first) = winners.insert(version, operation) {
                let why = format!(
                    "version {version} accepted {:?} of client {} and value {value} of client {}",
                    first.written(),
                    first.client,
                    operation.client
                );
                return Err(violated(operation, Kind::TwoWinners, why));
            }
        }
        Ok(())
    }

    /// Every value that was seen was written by somebody who was not told that it did not happen.
    fn check_sources(&self) -> Result<(), Verdict> {
        for operation in self.operations {
            let Some(&Reply::Value { value, .. }) = operation.reply() else { continue };
            let Some(writer) = self.writers.get(&value).map(|at| self.operations[*at]) else {
                let why = format!(
                    "client {} read {value} at {}, which nobody wrote",
                    operation.client, operation.end
                );
                return Err(violated(operation, Kind::FromNowhere, why));
            };
            let is_definite_failure = match &writer.outcome {
                Outcome::Done(reply) => *reply != Reply::Stored,
                Outcome::Refused => true,
                Outcome::Unknown => false,
            };
            if is_definite_failure {
                let why = format!(
                    "value {value}, whose write was answered {:?} at {}, was read at {}",
                    writer.outcome, writer.end, operation.end
                );
                return Err(violated(operation, Kind::RefusedHappened, why));
            }
        }
        Ok(())
    }

    fn translate(&self, at: usize, steps: &mut Vec<Step>, spares: &mut Vec<Spare>) -> Result<(), Verdict> {
        let operation = self.operations[at];
        let (begin, end) = (operation.begin, operation.end);
        match &operation.outcome {
            Outcome::Refused => Ok(()),
            Outcome::Unknown => {
                self.unknown(at, steps, spares);
                Ok(())
            }
            Outcome::Done(reply) => {
                let (need, leaves) = self.done(&operation.call, reply)?;
                if need == Need::Present
                    && matches!(operation.call, Call::Cas { .. })
                    && *reply == Reply::Stored
                {
                    let why = "a cas was accepted for a version that no read showed".to_owned();
                    return Err(violated(operation, Kind::NoOrder, why));
                }
                steps.push(Step { at, begin, end, need, leaves });
                Ok(())
            }
        }
    }

    fn done(&self, call: &Call, reply: &Reply) -> Result<(Need, Option<Now>), Verdict> {
        let named = |version: &u64| self.versions.get(version).copied();
        // Whatever nobody read is alike.
        let written = |value: &u64| match self.first_seen.contains_key(value) {
            true => Now::Value(*value),
            false => Now::Nameless,
        };
        Ok(match (call, reply) {
            (Call::Get, Reply::NotFound)
            | (Call::Cas { .. }, Reply::NotFound)
            | (Call::Delete, Reply::NotFound) => (Need::Absent, None),
            (Call::Get, Reply::Value { value, .. }) => (Need::Is(*value), None),
            (Call::Set { value }, Reply::Stored) => (Need::Anything, Some(written(value))),
            (Call::Add { value }, Reply::Stored) => (Need::Absent, Some(written(value))),
            (Call::Add { .. }, Reply::NotStored) => (Need::Present, None),
            (Call::Cas { version, value }, Reply::Stored) => {
                (named(version).map_or(Need::Present, Need::Is), Some(written(value)))
            }
            (Call::Cas { version, .. }, Reply::Exists) => {
                (named(version).map_or(Need::Present, Need::PresentAndNot), None)
            }
            (Call::Delete, Reply::Deleted) => (Need::Present, Some(Now::Absent)),
            _ => return Err(Verdict::Undecided("an answer that does not belong to its call")),
        })
    }

    /// An unknown write is bounded by the first read of what it wrote, or it is spare.
    fn unknown(&self, at: usize, steps: &mut Vec<Step>, spares: &mut Vec<Spare>) {
        let operation = self.operations[at];
        let begin = operation.begin;
        let expected = match operation.call {
            Call::Cas { version, .. } => self.versions.get(&version).copied(),
            _ => None,
        };
        let seen = operation.written().and_then(|value| Some((value, *self.first_seen.get(&value)?)));
        if let Some((value, seen)) = seen {
            let need = match (&operation.call, expected) {
                (Call::Add { .. }, _) => Need::Absent,
                (Call::Cas { .. }, Some(expected)) => Need::Is(expected),
                // A version that no read showed names its own value at most, and that cannot be.
                (Call::Cas { .. }, None) => Need::Is(value),
                _ => Need::Anything,
            };
            steps.push(Step { at, begin, end: seen.max(begin), need, leaves: Some(Now::Value(value)) });
            return;
        }
        let kind = match (&operation.call, expected) {
            (Call::Delete, _) => SpareKind::Delete,
            (Call::Set { .. }, _) => SpareKind::Set,
            (Call::Add { .. }, _) => SpareKind::Add,
            (Call::Cas { .. }, Some(expected)) => SpareKind::Cas { expected },
            _ => return,
        };
        spares.push(Spare { begin, kind });
    }
}

enum Stuck {
    /// This operation's answer cannot be explained.
    At(usize),
    TooMuch(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Spare(usize),
    Begin(usize),
    End(usize),
}

/// States and what was used up to reach them; of two ways to the same state the more frugal is kept.
#[derive(Default)]
struct States(HashMap<(Now, u64), Vec<Used>>);

impl States {
    /// False when it is there already, or there with less used up.
    fn insert(&mut self, now: Now, taken: u64, used: Used) -> bool {
        let ways = self.0.entry((now, taken)).or_default();
        let is_within = |a: &Used, b: &Used| a.iter().zip(b).all(|(a, b)| a <= b);
        if ways.iter().any(|way| is_within(way, &used)) {
            return false;
        }
        ways.retain(|way| !is_within(&used, way));
        ways.push(used);
        true
    }

    fn each(&self) -> impl Iterator<Item = (Now, u64, Used)> {
        self.0.iter().flat_map(|((now, taken), ways)| ways.iter().map(|used| (*now, *taken, *used)))
    }
}

struct Sweep<'a> {
    steps: &'a [Step],
    states: States,
    /// Which step holds which bit.
    places: [Option<usize>; UNDER_WAY_MAX],
    /// For each place, the places of steps that need and leave the same and end earlier: those are taken first.
    before: [u64; UNDER_WAY_MAX],
    /// Spare writes whose call has begun.
    spare: Used,
    spare_cas: HashSet<u64>,
    looked_at: usize,
}

fn sweep(steps: &[Step], spares: &[Spare]) -> Result<(), Stuck> {
    // At one moment what begins comes before what ends: only a strict order in time binds.
    let mut events: Vec<(u64, Event)> = Vec::with_capacity(steps.len() * 2 + spares.len());
    events.extend(spares.iter().enumerate().map(|(i, spare)| (spare.begin, Event::Spare(i))));
    for (i, step) in steps.iter().enumerate() {
        events.extend([(step.begin, Event::Begin(i)), (step.end, Event::End(i))]);
    }
    events.sort_unstable();
    let mut states = States::default();
    states.insert(Now::Absent, 0, [0; 3]);
    let mut sweep = Sweep {
        steps,
        states,
        places: [None; UNDER_WAY_MAX],
        before: [0; UNDER_WAY_MAX],
        spare: [0; 3],
        spare_cas: HashSet::new(),
        looked_at: 0,
    };
    for (_, event) in events {
        match event {
            Event::Spare(i) => sweep.spare(spares[i].kind),
            Event::Begin(i) => sweep.begin(i)?,
            Event::End(i) => sweep.end(i)?,
        }
    }
    Ok(())
}

impl Sweep<'_> {
    fn spare(&mut self, kind: SpareKind) {
        match kind {
            SpareKind::Delete => self.spare[0] += 1,
            SpareKind::Set => self.spare[1] += 1,
            SpareKind::Add => self.spare[2] += 1,
            SpareKind::Cas { expected } => drop(self.spare_cas.insert(expected)),
        }
    }

    fn begin(&mut self, step: usize) -> Result<(), Stuck> {
        let free = self.places.iter().position(Option::is_none);
        let free = free.ok_or(Stuck::TooMuch("more than 64 calls under way at once"))?;
        self.places[free] = Some(step);
        let new = self.steps[step];
        for other in (0..UNDER_WAY_MAX).filter(|place| *place != free) {
            let Some(old) = self.places[other].map(|step| self.steps[step]) else { continue };
            if (old.need, old.leaves) != (new.need, new.leaves) {
                continue;
            }
            match old.end <= new.end {
                true => self.before[free] |= 1 << other,
                false => self.before[other] |= 1 << free,
            }
        }
        Ok(())
    }

    /// The step must have taken effect by now: states in which it has not are led there, by letting other calls under
    /// way take effect before it, or dropped.
    fn end(&mut self, step: usize) -> Result<(), Stuck> {
        let place = self.places.iter().position(|held| *held == Some(step));
        let bit = 1u64 << place.expect("a step ends after it began");
        let mut next = States::default();
        let mut seen = States::default();
        let mut open = Vec::new();
        for (now, taken, used) in self.states.each() {
            if taken & bit != 0 {
                next.insert(now, taken & !bit, used);
            } else {
                let taken = self.take_reads(now, taken);
                if seen.insert(now, taken, used) {
                    open.push((now, taken, used));
                }
            }
        }
        let wanted = self.steps[step];
        while let Some((now, taken, used)) = open.pop() {
            self.looked_at += 1;
            if self.looked_at > STATES_MAX {
                return Err(Stuck::TooMuch("too many states to decide"));
            }
            if wanted.need.is_met(now) {
                let after = wanted.leaves.unwrap_or(now);
                let taken = self.take_reads(after, taken | bit) & !bit;
                next.insert(after, taken, used);
                if wanted.leaves.is_none() {
                    continue;
                }
            }
            self.successors(now, taken, used, bit, |now, taken, used| {
                if seen.insert(now, taken, used) {
                    open.push((now, taken, used));
                }
            });
        }
        if next.0.is_empty() {
            return Err(Stuck::At(wanted.at));
        }
        self.states = next;
        let place = bit.trailing_zeros() as usize;
        self.places[place] = None;
        self.before[place] = 0;
        self.before.iter_mut().for_each(|before| *before &= !bit);
        Ok(())
    }

    /// Calls under way that change nothing and whose need is met take effect at once: later is never better.
    fn take_reads(&self, now: Now, taken: u64) -> u64 {
        let mut all = taken;
        for (place, step) in self.under_way() {
            if step.leaves.is_none() && step.need.is_met(now) {
                all |= 1 << place;
            }
        }
        all
    }

    fn under_way(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.places.iter().enumerate().filter_map(|(place, held)| Some((place, &self.steps[(*held)?])))
    }

    /// The states that one write under way, other than that of `but`, or one spare write leads to.
    fn successors(&self, now: Now, taken: u64, used: Used, but: u64, mut put: impl FnMut(Now, u64, Used)) {
        for (place, step) in self.under_way() {
            let bit = 1 << place;
            if let (Some(after), true) = (step.leaves, step.need.is_met(now))
                && taken & bit == 0
                && self.before[place] & !taken == 0
                && bit != but
            {
                put(after, self.take_reads(after, taken | bit), used);
            }
        }
        if !self.is_spare_wanted(now, taken) {
            return;
        }
        let mut by_spare = |which: usize, after: Now| {
            if used[which] < self.spare[which] {
                let mut used = used;
                used[which] += 1;
                put(after, self.take_reads(after, taken), used);
            }
        };
        if now != Now::Absent {
            by_spare(0, Now::Absent);
        }
        if now != Now::Nameless {
            by_spare(1, Now::Nameless);
        }
        if now == Now::Absent {
            by_spare(2, Now::Nameless);
        }
        if let Now::Value(value) = now
            && self.spare_cas.contains(&value)
        {
            put(Now::Nameless, self.take_reads(Now::Nameless, taken), used);
        }
    }

    /// A spare write may as well wait until right before a call whose need it meets.
    fn is_spare_wanted(&self, now: Now, taken: u64) -> bool {
        let is_meant = |need| matches!(need, Need::Absent | Need::Present | Need::PresentAndNot(_));
        self.under_way()
            .any(|(place, step)| taken & (1 << place) == 0 && is_meant(step.need) && !step.need.is_met(now))
    }
}
