//! Histories of a simulated key that is linearizable by construction, with calls that overlap and outcomes that nobody
//! learned, are accepted; what a mutation makes of them is judged as the exact search judges it.

use dkc_history::{Call, Operation, Outcome, Reply, Verdict, check, check_key, is_linearizable};
use proptest::prelude::*;

/// A small generator of numbers, so that a history is a function of its seed.
struct Chance(u64);
impl Chance {
    fn next(&mut self) -> u64 {
        // splitmix64 (Steele, Lea, Flood 2014)
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Register,
    Counter,
    List,
}

#[derive(Clone)]
enum State {
    Absent,
    Value { value: u64, version: u64 },
    Pieces(Vec<u64>),
}

/// One key and what happened to it so far, in the order of taking effect.
struct Model {
    state: State,
    version: u64,
    versions_read: Vec<u64>,
    values: u64,
}

impl Model {
    fn call(&mut self, usage: Use, chance: &mut Chance) -> Call {
        let is_write = !chance.one_in(3);
        self.values += 1;
        let value = self.values;
        match (usage, is_write) {
            (_, false) => Call::Get,
            (Use::Counter, true) => Call::Increment { by: 1 },
            (Use::List, true) => Call::Append { piece: value },
            (Use::Register, true) => match chance.below(7) {
                0 | 1 => Call::Set { value },
                2 => Call::Add { value },
                3 => Call::Delete,
                _ => match self.versions_read.last() {
                    Some(&version) => Call::Cas { version, value },
                    None => Call::Set { value },
                },
            },
        }
    }

    fn put(&mut self, value: u64) -> Reply {
        self.version += 1;
        self.state = State::Value { value, version: self.version };
        Reply::Stored
    }

    fn apply(&mut self, call: &Call) -> Reply {
        match (call, self.state.clone()) {
            (Call::Get, State::Value { value, version }) => Reply::Value { value, version: Some(version) },
            (Call::Get, State::Pieces(pieces)) => Reply::Pieces(pieces.into()),
            (Call::Add { .. }, State::Value { .. } | State::Pieces(_)) => Reply::NotStored,
            (Call::Set { value } | Call::Add { value }, _) => self.put(*value),
            (Call::Cas { version, value }, State::Value { version: now, .. }) if now == *version => {
                self.put(*value)
            }
            (Call::Cas { .. }, State::Value { .. }) => Reply::Exists,
            (Call::Delete, State::Value { .. }) => {
                self.state = State::Absent;
                Reply::Deleted
            }
            (Call::Increment { by }, State::Value { value, .. }) => {
                self.put(value + by);
                Reply::Number(value + by)
            }
            (Call::Append { piece }, State::Pieces(mut pieces)) => {
                pieces.push(*piece);
                self.state = State::Pieces(pieces);
                Reply::Stored
            }
            (Call::Append { piece }, State::Value { value, .. }) => {
                self.state = State::Pieces(vec![value, *piece]);
                Reply::Stored
            }
            (Call::Append { .. }, State::Absent) => Reply::NotStored,
            _ => Reply::NotFound,
        }
    }
}

/// When a call begins, takes effect and ends. `None`: it never takes effect.
struct Plan {
    client: u32,
    begin: u64,
    effect: Option<u64>,
    end: u64,
    is_unknown: bool,
    is_first: bool,
}

fn plans(count: usize, clients: u64, unknown_one_in: u64, chance: &mut Chance) -> Vec<Plan> {
    let mut free_at = vec![10; clients as usize];
    let mut plans =
        vec![Plan { client: 0, begin: 0, effect: Some(1), end: 2, is_unknown: false, is_first: true }];
    while plans.len() < count {
        let client = chance.below(clients) as usize;
        let begin = free_at[client] + chance.below(6);
        let effect = begin + chance.below(8);
        let end = effect + chance.below(8);
        free_at[client] = end + 1;
        let is_unknown = chance.one_in(unknown_one_in);
        let effect = match is_unknown {
            true if chance.one_in(2) => None,
            // It may take effect long after the client gave up.
            true => Some(effect + chance.below(60)),
            false => Some(effect),
        };
        plans.push(Plan { client: client as u32, begin, effect, end, is_unknown, is_first: false });
    }
    plans
}

fn history(
    key: u32,
    usage: Use,
    count: usize,
    clients: u64,
    unknown_one_in: u64,
    seed: u64,
) -> Vec<Operation> {
    let mut chance = Chance(seed);
    let mut plans = plans(count, clients, unknown_one_in, &mut chance);
    plans.sort_by_key(|plan| plan.effect.unwrap_or(plan.begin));
    let mut model = Model { state: State::Absent, version: 0, versions_read: Vec::new(), values: 0 };
    let mut operations = Vec::new();
    for plan in plans {
        let call = match (plan.is_first, usage) {
            (true, Use::Counter) => Call::Add { value: 0 },
            (true, Use::List) => Call::Add { value: 1_000_000_000 },
            _ => model.call(usage, &mut chance),
        };
        let reply = plan.effect.map(|_| model.apply(&call));
        let outcome = match reply {
            Some(reply) if !plan.is_unknown => Outcome::Done(reply),
            _ => Outcome::Unknown,
        };
        if let Outcome::Done(Reply::Value { version: Some(version), .. }) = outcome {
            model.versions_read.push(version);
        }
        let outcome = without_version(usage, outcome);
        operations.push(Operation {
            key,
            client: plan.client,
            begin: plan.begin,
            end: plan.end,
            call,
            outcome,
        });
    }
    operations
}

fn without_version(usage: Use, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Done(Reply::Value { value, .. }) if usage != Use::Register => {
            Outcome::Done(Reply::Value { value, version: None })
        }
        outcome => outcome,
    }
}

/// Changes one answer into another that the same call might have had.
fn mutate(operations: &mut [Operation], usage: Use, chance: &mut Chance) {
    let values: Vec<u64> = operations.iter().filter_map(Operation::written).collect();
    if values.is_empty() {
        return;
    }
    let at = chance.below(operations.len() as u64) as usize;
    let any = values[chance.below(values.len() as u64) as usize];
    let operation = &mut operations[at];
    let Outcome::Done(reply) = operation.outcome.clone() else {
        return operation.outcome = Outcome::Refused;
    };
    let reply = match (&operation.call, reply) {
        (Call::Get, Reply::Number(_) | Reply::Value { .. } | Reply::NotFound) if usage == Use::Counter => {
            Reply::Value { value: chance.below(10), version: None }
        }
        (Call::Get, Reply::Value { .. }) if chance.one_in(4) => Reply::NotFound,
        (Call::Get, Reply::Value { version, .. }) => {
            Reply::Value { value: any, version: version.filter(|_| chance.one_in(3)) }
        }
        (Call::Get, Reply::NotFound) => Reply::Value { value: any, version: None },
        (Call::Get, Reply::Pieces(pieces)) => Reply::Pieces(mutated(pieces.into(), chance).into()),
        (Call::Add { .. }, Reply::Stored) => Reply::NotStored,
        (Call::Add { .. }, _) => Reply::Stored,
        (Call::Cas { .. }, Reply::Stored) => Reply::Exists,
        (Call::Cas { .. }, Reply::Exists) if chance.one_in(2) => Reply::NotFound,
        (Call::Cas { .. }, _) => Reply::Stored,
        (Call::Delete, Reply::Deleted) => Reply::NotFound,
        (Call::Delete, _) => Reply::Deleted,
        (Call::Increment { .. }, Reply::Number(number)) => {
            Reply::Number((number + chance.below(3)).max(2) - 1)
        }
        (_, reply) => {
            return operation.outcome =
                if chance.one_in(2) { Outcome::Refused } else { Outcome::Done(reply) };
        }
    };
    operation.outcome = Outcome::Done(reply);
}

fn mutated(mut pieces: Vec<u64>, chance: &mut Chance) -> Vec<u64> {
    let at = chance.below(pieces.len() as u64) as usize;
    match chance.below(3) {
        0 => drop(pieces.remove(at)),
        1 => pieces.push(pieces[at]),
        _ => pieces.swap(at, 0),
    }
    pieces
}

fn is_fine(operations: &[Operation]) -> bool {
    let operations: Vec<&Operation> = operations.iter().collect();
    match check_key(&operations) {
        Verdict::Fine => true,
        Verdict::Violated(_) => false,
        Verdict::Undecided(why) => panic!("undecided: {why}"),
    }
}

fn exact(operations: &[Operation]) -> bool {
    is_linearizable(&operations.iter().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_register_is_decided_as_the_exact_search_decides(
        seed: u64, count in 3..14usize, clients in 1..5u64, unknown in 2..8u64, mutations in 0..3usize
    ) {
        let mut operations = history(1, Use::Register, count, clients, unknown, seed);
        prop_assert!(is_fine(&operations) && exact(&operations), "the simulation is linearizable: {operations:?}");
        let mut chance = Chance(seed);
        for _ in 0..mutations {
            mutate(&mut operations, Use::Register, &mut chance);
        }
        prop_assert_eq!(is_fine(&operations), exact(&operations), "{:?}", operations);
    }

    #[test]
    fn a_counter_is_decided_as_the_exact_search_decides(
        seed: u64, count in 3..12usize, clients in 1..4u64, unknown in 2..8u64, is_mutated: bool
    ) {
        let mut operations = history(1, Use::Counter, count, clients, unknown, seed);
        if is_mutated {
            mutate(&mut operations[1..], Use::Counter, &mut Chance(seed));
        }
        prop_assert_eq!(is_fine(&operations), exact(&operations), "{:?}", operations);
    }

    #[test]
    fn a_list_is_decided_as_the_exact_search_decides(
        seed: u64, count in 3..12usize, clients in 1..4u64, unknown in 2..8u64, is_mutated: bool
    ) {
        let mut operations = history(1, Use::List, count, clients, unknown, seed);
        if is_mutated {
            mutate(&mut operations[..], Use::List, &mut Chance(seed));
        }
        prop_assert_eq!(is_fine(&operations), exact(&operations), "{:?}", operations);
    }
}

/// Found by the property above in one run of many: the lost piece was acknowledged while the only read was under
/// way, and a piece appended later is in the list.
#[test]
fn a_lost_piece_is_found_by_the_pieces_after_it() {
    let seed = 5_045_533_455_522_446_332;
    let mut operations = history(1, Use::List, 5, 3, 4, seed);
    assert!(is_fine(&operations) && exact(&operations));
    mutate(&mut operations[..], Use::List, &mut Chance(seed));
    assert!(!is_fine(&operations) && !exact(&operations), "{operations:?}");
}

#[test]
fn long_histories_of_many_clients_are_checked_and_accepted() {
    let mut all = Vec::new();
    all.extend(history(1, Use::Register, 60_000, 12, u64::MAX, 7));
    all.extend(history(2, Use::Counter, 60_000, 12, 500, 8));
    all.extend(history(3, Use::List, 2_000, 12, 500, 9));
    all.extend(history(4, Use::Register, 2_000, 12, 50, 10));
    for key in 10..400 {
        all.extend(history(key, Use::Register, 200, 6, 20, u64::from(key)));
    }
    let report = check(&all);
    assert!(report.is_fine() && report.undecided.is_empty(), "{report}\n{:?}", report.violations);
    assert_eq!(report.operations, all.len() as u64);
}
