//! What one look shows beside the look before it: the lines of the screen, in numbers.

use dkc_core::control::{Latency, NodeStatus, TabletStatus};
use dkc_core::ids::{MemberNo, SlaveId, TabletId};

use super::look::{Look, slave_said};
use crate::ring_facts::MergeProgress;
use crate::status::{ServerReport, SlaveReport, State};

/// A cluster at one moment.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Why, and what is going on.
    pub words: String,
    /// Version of the ring map.
    pub ring_version: Option<u64>,
    /// Of all servers together; `None` before there were two looks.
    pub rates: Option<Rates>,
    /// By number.
    pub servers: Vec<ServerLine>,
    /// In slot order.
    pub tablets: Vec<TabletLine>,
    /// By id.
    pub slaves: Vec<SlaveLine>,
    /// The merge that runs.
    pub merge: Option<MergeProgress>,
    /// `tablet 3 into 3 and 12`
    pub splits: Vec<String>,
}

/// What was done between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// Read requests.
    pub reads_per_s: u64,
    /// Write requests.
    pub writes_per_s: u64,
    /// Of the writes in between.
    pub write_latency: Latency,
}

/// A server.
#[derive(Debug, Clone)]
pub struct ServerLine {
    /// `No.`
    pub number: MemberNo,
    /// HOST:PORT
    pub address: String,
    /// Its state.
    pub state: State,
    /// In the ring, in CHMPX's notation.
    pub ring: String,
    /// `None` if it did not answer twice.
    pub rates: Option<Rates>,
    /// Tablets that it leads.
    pub leads: Option<usize>,
    /// Tablets that it holds.
    pub replicas: Option<usize>,
    /// Why its state is what it is.
    pub what: String,
    /// All that its daemon said.
    pub said: Option<Box<NodeStatus>>,
}

/// A tablet.
#[derive(Debug, Clone)]
pub struct TabletLine {
    /// Its id.
    pub tablet: TabletId,
    /// The first slot, and how many.
    pub slots: (u32, u32),
    /// The server that leads it.
    pub leader: Option<MemberNo>,
    /// Servers with a vote.
    pub voters: Vec<MemberNo>,
    /// Servers that catch up.
    pub learners: Vec<MemberNo>,
    /// Live records.
    pub records: u64,
    /// Their size.
    pub bytes: u64,
    /// Requests; `None` before there were two looks.
    pub operations_per_s: Option<u64>,
    /// Entries that the slowest replica has not applied.
    pub lag: u64,
}

/// A slave.
#[derive(Debug, Clone)]
pub struct SlaveLine {
    /// Its id.
    pub id: SlaveId,
    /// Its host.
    pub address: String,
    /// Its state.
    pub state: State,
    /// Answered to applications; `None` if it did not answer twice.
    pub operations_per_s: Option<u64>,
    /// Of what applications have sent together.
    pub latency: Option<Latency>,
    /// Of applications.
    pub connections: u32,
    /// Servers that it is connected to, of how many.
    pub servers: (usize, usize),
    /// Why its state is what it is.
    pub what: String,
    /// All that its daemon said.
    pub said: Option<Box<NodeStatus>>,
}

/// The time between two looks, in milliseconds.
#[derive(Clone, Copy)]
struct Elapsed(u64);
impl Elapsed {
    fn per_s(self, before: u64, after: u64) -> u64 {
        after.saturating_sub(before).saturating_mul(1000) / self.0.max(1)
    }
}

impl Picture {
    pub(super) fn of(before: Option<&Look>, now: &Look) -> Picture {
        let elapsed = before.map(|before| Elapsed(now.at_ms.saturating_sub(before.at_ms)));
        let server_before = |number| before?.cluster.server.iter().find(|server| server.number == number);
        let slave_before = |id| before?.slaves.iter().find(|slave| slave.id == id);
        let servers: Vec<ServerLine> = now
            .cluster
            .server
            .iter()
            .map(|server| ServerLine::of(elapsed, server_before(server.number), server))
            .collect();
        let slaves = now.slaves.iter().map(|slave| SlaveLine::of(elapsed, slave_before(slave.id), slave));
        let ring = now.cluster.ring.as_ref();
        Picture {
            name: now.cluster.name.clone(),
            state: now.cluster.status,
            words: now.cluster.words(),
            ring_version: now.cluster.ring_version,
            rates: together(&servers),
            slaves: slaves.collect(),
            tablets: tablets(elapsed, before, now),
            merge: ring.and_then(|ring| ring.merge.clone()),
            splits: ring.map(|ring| ring.splits.clone()).unwrap_or_default(),
            servers,
        }
    }
}

fn together(servers: &[ServerLine]) -> Option<Rates> {
    servers.iter().filter_map(|server| server.rates.as_ref()).cloned().reduce(|sum, one| Rates {
        reads_per_s: sum.reads_per_s + one.reads_per_s,
        writes_per_s: sum.writes_per_s + one.writes_per_s,
        write_latency: sum.write_latency.and(&one.write_latency),
    })
}

/// Both looks saw the same process.
fn is_same_process(before: Option<&NodeStatus>, now: Option<&NodeStatus>) -> bool {
    let process = |said: &NodeStatus| (said.pid, said.node_uuid);
    matches!((before, now), (Some(before), Some(now)) if process(before) == process(now) && before.uptime_s <= now.uptime_s)
}

impl ServerLine {
    fn of(elapsed: Option<Elapsed>, before: Option<&ServerReport>, now: &ServerReport) -> ServerLine {
        let rates = || {
            let (before, elapsed) = (before?, elapsed?);
            let is_same = is_same_process(before.long.as_deref(), now.long.as_deref());
            let (then, said) = (before.said()?, now.said()?);
            is_same.then(|| Rates {
                reads_per_s: elapsed.per_s(then.served.reads, said.served.reads),
                writes_per_s: elapsed.per_s(then.served.writes, said.served.writes),
                write_latency: said.served.write_latency.since(&then.served.write_latency),
            })
        };
        ServerLine {
            number: now.number,
            address: format!("{}:{}", now.address, now.port),
            state: now.status,
            ring: now.state.clone().unwrap_or_default(),
            rates: rates(),
            leads: now.leads,
            replicas: now.replicas,
            what: now.why.iter().chain(&now.notice).cloned().collect::<Vec<_>>().join("; "),
            said: now.long.clone(),
        }
    }
}

impl SlaveLine {
    fn of(elapsed: Option<Elapsed>, before: Option<&SlaveReport>, now: &SlaveReport) -> SlaveLine {
        let said = slave_said(now);
        let then = before.and_then(slave_said).filter(|_| {
            is_same_process(before.and_then(|before| before.long.as_deref()), now.long.as_deref())
        });
        let both = then.zip(said);
        let links = said.map(|said| said.servers.as_slice()).unwrap_or_default();
        SlaveLine {
            id: now.id,
            address: now.address.clone().unwrap_or_default(),
            state: now.status,
            operations_per_s: both
                .zip(elapsed)
                .map(|((then, said), elapsed)| elapsed.per_s(then.operations, said.operations)),
            latency: both.map(|(then, said)| said.latency.since(&then.latency)),
            connections: said.map_or(0, |said| said.client_connections),
            servers: (links.iter().filter(|link| link.is_connected).count(), links.len()),
            what: now.why.iter().chain(&now.notice).cloned().collect::<Vec<_>>().join("; "),
            said: now.long.clone(),
        }
    }
}

fn tablets(elapsed: Option<Elapsed>, before: Option<&Look>, now: &Look) -> Vec<TabletLine> {
    let leaders = now.leaders();
    let ring = now.ring.iter();
    let places = ring.flat_map(|ring| &ring.tablets);
    let numbers =
        |nodes: &[dkc_core::ids::NodeId]| nodes.iter().filter_map(|node| now.number_of(*node)).collect();
    places
        .map(|place| {
            let held: Vec<&TabletStatus> = replicas(now, place.tablet).map(|(_, held)| held).collect();
            let ends = held.iter().map(|tablet| tablet.last_index).max().unwrap_or(0);
            let applied = held.iter().map(|tablet| tablet.applied_index).min().unwrap_or(ends);
            let first = u32::from(place.first_slot.0);
            TabletLine {
                tablet: place.tablet,
                slots: (first, u32::from(place.last_slot.0) + 1 - first),
                leader: leaders.get(&place.tablet.0).copied(),
                voters: numbers(&place.voters),
                learners: numbers(&place.learners),
                records: held.iter().map(|tablet| tablet.records).max().unwrap_or(0),
                bytes: held.iter().map(|tablet| tablet.bytes).max().unwrap_or(0),
                operations_per_s: before
                    .zip(elapsed)
                    .map(|(before, elapsed)| operations_per_s(elapsed, before, now, place.tablet)),
                lag: ends.saturating_sub(applied),
            }
        })
        .collect()
}

fn replicas(look: &Look, tablet: TabletId) -> impl Iterator<Item = (&ServerReport, &TabletStatus)> {
    look.cluster.server.iter().filter_map(move |server| {
        let mut held = server.said()?.tablets.iter();
        Some((server, held.find(|held| held.tablet == tablet)?))
    })
}

/// Of all replicas together: only the leader is asked for much, but it may change.
fn operations_per_s(elapsed: Elapsed, before: &Look, now: &Look, tablet: TabletId) -> u64 {
    replicas(now, tablet)
        .filter_map(|(server, held)| {
            let (earlier, then) =
                replicas(before, tablet).find(|(other, _)| other.number == server.number)?;
            let is_same = is_same_process(earlier.long.as_deref(), server.long.as_deref());
            is_same.then(|| elapsed.per_s(then.operations, held.operations))
        })
        .sum()
}
