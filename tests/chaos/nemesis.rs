//! Draws faults by the seed, one or two at a time, and ends them. All classes are drawn before any is drawn again.

use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::faults::{Class, Fault, shape_network};
use crate::options::Options;
use crate::{pause, since};

/// Between two faults: the cluster may find itself again, and some faults meet it while it does.
const REST_MIN_MS: u64 = 300;
const REST_MAX_MS: u64 = 3_000;
/// Every so many faults are two at once.
const TWO_ONE_IN: u64 = 3;

/// A fault that happened, in the time of the history.
pub struct Happened {
    pub class: Class,
    pub hosts: Vec<&'static str>,
    pub begin: u64,
    pub end: u64,
    pub trouble: Option<String>,
}

pub fn run(
    cluster: &Cluster,
    options: &Options,
    epoch: Instant,
    keep_on: &dyn Fn() -> bool,
) -> Vec<Happened> {
    let mut chance = Chance::new(options.seed, 1);
    let mut deck: Vec<Class> = Vec::new();
    let mut happened = Vec::new();
    while keep_on() {
        let rest = REST_MIN_MS + chance.below(REST_MAX_MS - REST_MIN_MS);
        pause(Duration::from_millis(rest), keep_on);
        let faults = draw(cluster, &options.classes, &mut deck, &mut chance);
        let lasts = faults.iter().map(|fault| fault.lasts_ms(&mut chance)).max().unwrap_or(0);
        let begin = since(epoch);
        let begun = begin_all(cluster, &faults);
        pause(Duration::from_millis(lasts), keep_on);
        let ended = end_all(cluster, &faults);
        let end = since(epoch);
        for (fault, trouble) in faults.into_iter().zip(begun.into_iter().zip(ended)) {
            let trouble = trouble.0.err().or(trouble.1.err());
            happened.push(Happened { class: fault.class, hosts: fault.hosts, begin, end, trouble });
        }
    }
    happened
}

fn draw(cluster: &Cluster, classes: &[Class], deck: &mut Vec<Class>, chance: &mut Chance) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let count = if chance.one_in(TWO_ONE_IN) { 2 } else { 1 };
    while faults.len() < count {
        if deck.is_empty() {
            *deck = classes.to_vec();
            chance.shuffle(deck);
        }
        // With all servers down nothing else can be done to them.
        if !faults.is_empty() && deck.last() == Some(&Class::PowerCutAll) {
            break;
        }
        let Some(class) = deck.pop() else { break };
        let spared: Vec<&'static str> = faults.iter().flat_map(|fault| fault.hosts.clone()).collect();
        faults.push(Fault::draw(class, cluster, &spared, chance));
        if class == Class::PowerCutAll {
            break;
        }
    }
    faults
}

fn begin_all(cluster: &Cluster, faults: &[Fault]) -> Vec<Result<(), String>> {
    let shaped = shape_network(cluster, faults);
    faults.iter().map(|fault| shaped.clone().and_then(|()| fault.begin(cluster))).collect()
}

/// Everything is taken back before a node is started again, so that the shell reaches all hosts.
fn end_all(cluster: &Cluster, faults: &[Fault]) -> Vec<Result<(), String>> {
    let healed = shape_network(cluster, &[]);
    let mut ended: Vec<(usize, Result<(), String>)> = Vec::new();
    let is_started_again =
        |fault: &Fault| matches!(fault.class, Class::KillNode | Class::PowerCut | Class::PowerCutAll);
    let mut order: Vec<usize> = (0..faults.len()).collect();
    order.sort_by_key(|i| is_started_again(&faults[*i]));
    for i in order {
        ended.push((i, healed.clone().and(faults[i].end(cluster))));
    }
    ended.sort_by_key(|(i, _)| *i);
    ended.into_iter().map(|(_, result)| result).collect()
}
