//! What has changed from one look to the next, in words.

use std::collections::BTreeMap;
use std::fmt;

use dkc_core::ids::{MemberNo, SlaveId};

use super::look::Look;
use crate::status::{RingReport, ServerReport, SlaveReport, State};

/// A change that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When the look was taken, on its clock.
    pub at_ms: u64,
    /// It makes the service worse, or may.
    pub is_bad: bool,
    /// `server 1: running -> stopped`
    pub words: String,
}

struct Events {
    at_ms: u64,
    all: Vec<Event>,
}

impl Events {
    fn say(&mut self, is_bad: bool, words: String) {
        self.all.push(Event { at_ms: self.at_ms, is_bad, words });
    }

    fn state(&mut self, who: impl fmt::Display, before: State, now: State, why: Option<&String>) {
        if before != now {
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            self.say(is_bad(now), format!("{who}: {before} -> {now}{why}"));
        }
    }

    fn restarts(&mut self, who: impl fmt::Display, before: u64, now: u64) {
        if now > before {
            self.say(true, format!("{who}: ended by itself and was started again"));
        }
    }
}

fn is_bad(state: State) -> bool {
    !matches!(state, State::Running | State::Merging)
}

pub(super) fn between(before: &Look, now: &Look) -> Vec<Event> {
    let mut events = Events { at_ms: now.at_ms, all: Vec::new() };
    cluster(&mut events, before, now);
    servers(&mut events, before, now);
    leaders(&mut events, before, now);
    slaves(&mut events, before, now);
    if let (Some(before), Some(now)) = (&before.cluster.ring, &now.cluster.ring) {
        ring(&mut events, before, now);
    }
    events.all
}

fn cluster(events: &mut Events, before: &Look, now: &Look) {
    let (then, cluster) = (&before.cluster, &now.cluster);
    events.state(format_args!("cluster {}", cluster.name), then.status, cluster.status, cluster.why.as_ref());
    if let (Some(then), Some(tolerates)) = (then.tolerates, cluster.tolerates)
        && then != tolerates
    {
        events.say(tolerates < then, format!("tolerates {then} -> {tolerates} failures"));
    }
}

fn servers(events: &mut Events, before: &Look, now: &Look) {
    let known: BTreeMap<MemberNo, &ServerReport> =
        before.cluster.server.iter().map(|server| (server.number, server)).collect();
    for server in &now.cluster.server {
        let who = format!("server {}", server.number);
        let Some(then) = known.get(&server.number) else {
            events.say(false, format!("{who}: registered"));
            continue;
        };
        events.state(&who, then.status, server.status, server.why.as_ref());
        events.restarts(&who, then.restarts, server.restarts);
        if let (Some(then), Some(state)) = (&then.state, &server.state)
            && then != state
        {
            events.say(state.contains("[DOWN]"), format!("{who}: {state}"));
        }
    }
}

fn leaders(events: &mut Events, before: &Look, now: &Look) {
    let (then, leaders) = (before.leaders(), now.leaders());
    for (tablet, leader) in &leaders {
        match then.get(tablet) {
            Some(old) if old != leader => {
                events.say(false, format!("tablet {tablet}: leader is server {leader} (was {old})"));
            }
            _ => {}
        }
    }
    for tablet in then.keys().filter(|tablet| !leaders.contains_key(tablet)) {
        events.say(true, format!("tablet {tablet}: no leader known"));
    }
}

fn slaves(events: &mut Events, before: &Look, now: &Look) {
    let known: BTreeMap<SlaveId, &SlaveReport> =
        before.slaves.iter().map(|slave| (slave.id, slave)).collect();
    for slave in &now.slaves {
        if let Some(then) = known.get(&slave.id) {
            let who = format!("slave {}", slave.id);
            events.state(&who, then.status, slave.status, slave.why.as_ref());
            events.restarts(&who, then.restarts, slave.restarts);
        }
    }
}

fn ring(events: &mut Events, before: &RingReport, now: &RingReport) {
    if before.tablets != now.tablets {
        events.say(false, format!("{} -> {} tablets", before.tablets, now.tablets));
    }
    match (&before.merge, &now.merge) {
        (None, Some(merge)) => events.say(false, format!("merge of {} tablets begins", merge.tablets)),
        (Some(_), None) => events.say(false, "merge ended".into()),
        _ => {}
    }
    for split in now.splits.iter().filter(|split| !before.splits.contains(split)) {
        events.say(false, format!("splitting {split}"));
    }
    match (&before.operation, &now.operation) {
        (then, Some(running)) if then.as_ref() != Some(running) => {
            events.say(false, format!("{}: {}", running.holder, running.what));
        }
        (Some(then), None) => events.say(false, format!("{}: ended: {}", then.holder, then.what)),
        _ => {}
    }
}
