//! From facts to states. Pure: what hosts and daemons said in, one word and its reason out. *Invariant:* a state is
//! only ever claimed from what was seen: silence is `unknown`, never `stopped`.

use std::fmt;

use dkc_core::control::{NodeStatus, RoleStatus, ServerStatus, SlaveStatus};
use dkc_core::ids::{ClusterName, HostAddress, MemberNo, SlaveId};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{HostFacts, HostView, NodeView, Observed, RunState};
use dkc_inventory::ring::leaderless;
use serde::Serialize;

use super::ring::RingReport;
use crate::error::Exit;

/// Columns of the table of clusters, servers and slaves.
pub const COLUMNS: usize = 9;

/// The words of the seed, and those that it lacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    Merging,
    Degraded,
    Unknown,
    Stopped,
    Error,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Running => "running",
            State::Merging => "merging",
            State::Degraded => "degraded",
            State::Unknown => "unknown",
            State::Stopped => "stopped",
            State::Error => "error",
        })
    }
}

impl State {
    /// The larger one decides about several.
    pub fn weight(self) -> u8 {
        self as u8
    }

    pub fn exit(self) -> Exit {
        match self {
            State::Running | State::Merging => Exit::Done,
            State::Degraded => Exit::Degraded,
            State::Unknown => Exit::StatusUnknown,
            State::Stopped | State::Error => Exit::NotServing,
        }
    }
}

/// One server or slave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    #[serde(rename = "No.", skip_serializing_if = "is_slave_number")]
    pub number: Number,
    #[serde(rename = "id", skip_serializing_if = "Option::is_none")]
    pub slave: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub status: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// In the ring, in CHMPX's notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Tablets that it leads, of those that it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<usize>,
    /// Why the state is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<Box<NodeStatus>>,
}

/// A member's number, or a slave's id, which is shown under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Number {
    Member(u32),
    Slave(u32),
}
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Member(number) | Number::Slave(number) => number.fmt(f),
        }
    }
}
fn is_slave_number(number: &Number) -> bool {
    matches!(number, Number::Slave(_))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterReport {
    pub name: String,
    pub status: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What happens now and what may still happen, in a few words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingReport>,
    /// Further server failures that it would survive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerates: Option<u32>,
    pub server: Vec<NodeReport>,
}

pub fn cluster(inventory: &Inventory, observed: &Observed, name: &ClusterName) -> Option<ClusterReport> {
    let cluster = inventory.clusters.get(name)?;
    let mut server: Vec<NodeReport> =
        cluster.servers.iter().map(|s| server_report(inventory, observed, name, s.number)).collect();
    let speaker = server.iter().filter_map(server_status).max_by_key(|(ring, _)| *ring);
    let ring_version = speaker.map(|(ring, _)| ring).filter(|ring| *ring > 0);
    let ring = RingReport::of(inventory, observed, name);
    let (status, why) = judge(&server, speaker.map(|(_, status)| status));
    let is_merging = ring.as_ref().is_some_and(|ring| ring.merge.is_some());
    let status = match status {
        // A member that is down is told beside; that data moves is what one waits for.
        State::Running | State::Degraded if is_merging => State::Merging,
        status => status,
    };
    for (report, entry) in server.iter_mut().zip(&cluster.servers) {
        report.state = ring.as_ref().map(|ring| match ring.state_of(entry.number) {
            Some(state) => state.to_owned(),
            None => "not in the ring".into(),
        });
    }
    let is_serving = matches!(status, State::Running | State::Merging | State::Degraded);
    let tolerates = ring.as_ref().and_then(|ring| ring.tolerates).filter(|_| is_serving);
    Some(ClusterReport {
        name: name.to_string(),
        status,
        why,
        ring_version,
        what: what(ring.as_ref(), tolerates),
        tolerates,
        ring,
        server,
    })
}

/// Only of a cluster that serves: of another one, what it lacks is told.
fn what(ring: Option<&RingReport>, tolerates: Option<u32>) -> String {
    let Some(count) = tolerates else { return String::new() };
    let failures = if count == 1 { "failure" } else { "failures" };
    let mut words = ring.map(RingReport::words).unwrap_or_default();
    words.push(format!("tolerates {count} {failures}"));
    words.join("; ")
}

fn server_status(report: &NodeReport) -> Option<(u64, &ServerStatus)> {
    let status = report.long.as_ref()?;
    match &status.role {
        RoleStatus::Server(server) if server.is_founded => Some((status.ring_version.0, server)),
        _ => None,
    }
}

/// The state of the whole from those of its servers and from what the best informed of them says.
fn judge(servers: &[NodeReport], speaker: Option<&ServerStatus>) -> (State, Option<String>) {
    let count = |state: State| servers.iter().filter(|server| server.status == state).count();
    let of = servers.len();
    let (running, stopped, unknown) = (count(State::Running), count(State::Stopped), count(State::Unknown));
    let Some(speaker) = speaker else {
        return match (running, stopped, unknown) {
            (_, stopped, _) if stopped == of => (State::Stopped, None),
            (0, _, unknown) if unknown > 0 => {
                (State::Unknown, Some(format!("{unknown} of {of} servers do not answer")))
            }
            (0, _, _) => (State::Error, first_reason(servers)),
            _ => (State::Error, Some("its servers run, but the ring is not founded: start cluster".into())),
        };
    };
    let without = speaker.tablets_without_leader.len();
    if without > 0 || speaker.meta_leader.is_none() {
        let why = format!("{}; {running} of {of} servers run", leaderless(without));
        return (State::Error, Some(why));
    }
    if running < of {
        return (State::Degraded, Some(format!("{running} of {of} servers run")));
    }
    match servers.iter().find_map(|server| server.why.clone()) {
        Some(why) => (State::Degraded, Some(why)),
        None => (State::Running, None),
    }
}

fn first_reason(servers: &[NodeReport]) -> Option<String> {
    servers.iter().find_map(|server| Some(format!("server {}: {}", server.number, server.why.as_ref()?)))
}

fn server_report(
    inventory: &Inventory,
    observed: &Observed,
    name: &ClusterName,
    number: MemberNo,
) -> NodeReport {
    let node = NodeName::Server(name.clone(), number);
    let address = inventory.server(name, number).map(|server| server.address.clone());
    let (status, why, long) = node_state(inventory, observed, &node);
    let load = long.as_ref().and_then(|status| load_of(status));
    NodeReport {
        state: None,
        leads: load.map(|load| load.0),
        replicas: load.map(|load| load.1),
        number: Number::Member(number.0),
        slave: None,
        cluster: None,
        address: address.as_ref().map(|address| address.host.to_string()),
        status,
        port: address.map(|address| address.port),
        why,
        long,
    }
}

pub fn slave(inventory: &Inventory, observed: &Observed, id: SlaveId) -> Option<NodeReport> {
    let entry = inventory.slaves.get(&id)?;
    let node = inventory.slave_node(id)?;
    let (status, why, long) = node_state(inventory, observed, &node);
    let links = long.as_ref().and_then(|status| match &status.role {
        RoleStatus::Slave(slave) => Some(slave_trouble(slave)),
        RoleStatus::Server(_) => None,
    });
    let (status, why) = match (status, links.flatten()) {
        (State::Running, Some(trouble)) => (State::Degraded, Some(trouble)),
        as_it_was => (as_it_was.0, why),
    };
    Some(NodeReport {
        number: Number::Slave(id.0),
        slave: Some(id.0),
        cluster: Some(entry.cluster.to_string()),
        address: inventory.host_of(&node).map(|host| host.to_string()),
        status,
        port: None,
        state: None,
        leads: None,
        replicas: None,
        why,
        long,
    })
}

/// A slave serves as long as it has a server; without any its applications wait.
fn slave_trouble(slave: &SlaveStatus) -> Option<String> {
    if slave.listeners.is_empty() {
        return Some("it listens nowhere".into());
    }
    let lost: Vec<String> =
        slave.servers.iter().filter(|link| !link.is_connected).map(|link| link.number.to_string()).collect();
    match lost.len() {
        0 => None,
        count if count == slave.servers.len() => Some("it is connected to no server".into()),
        _ => Some(format!("it is not connected to server {}", lost.join(", "))),
    }
}

fn node_state(
    inventory: &Inventory,
    observed: &Observed,
    node: &NodeName,
) -> (State, Option<String>, Option<Box<NodeStatus>>) {
    let view = inventory.host_of(node).and_then(|host| observed.hosts.get(&host));
    match view {
        Some(HostView::Facts(facts)) => match facts.nodes.get(node) {
            Some(view) => state_of(view),
            None => (State::Stopped, Some("not installed".into()), None),
        },
        Some(HostView::Silent { message, .. }) => (State::Unknown, Some(message.clone()), None),
        None => (State::Unknown, Some("not asked".into()), None),
    }
}

fn state_of(view: &NodeView) -> (State, Option<String>, Option<Box<NodeStatus>>) {
    match (&view.run, &view.status) {
        (RunState::Stopped, _) if !view.exists => (State::Stopped, Some("not installed".into()), None),
        (RunState::Stopped, _) => (State::Stopped, None, None),
        (RunState::Failing { message }, _) => (State::Error, Some(message.clone()), None),
        (RunState::Running { pid }, None) => {
            (State::Unknown, Some(format!("process {pid} runs but does not answer")), None)
        }
        (RunState::Running { .. }, Some(status)) => (State::Running, trouble(status), Some(status.clone())),
    }
}

fn trouble(status: &NodeStatus) -> Option<String> {
    match &status.role {
        RoleStatus::Server(server) => server.trouble.clone(),
        RoleStatus::Slave(_) => None,
    }
}

impl ClusterReport {
    /// With only these members listed; the state stays that of the whole.
    pub fn only(mut self, numbers: &[MemberNo]) -> Self {
        let is_wanted = |number: Number| numbers.iter().any(|wanted| number == Number::Member(wanted.0));
        self.server.retain(|server| numbers.is_empty() || is_wanted(server.number));
        self
    }

    pub fn row(&self) -> Vec<String> {
        let mut row = vec![self.name.clone(), self.status.to_string()];
        row.resize(COLUMNS - 1, String::new());
        row.push(self.words());
        row
    }

    /// Why, what happens now, and what may still happen.
    pub fn words(&self) -> String {
        let why = self.why.iter().cloned();
        why.chain((!self.what.is_empty()).then(|| self.what.clone())).collect::<Vec<_>>().join("; ")
    }
}

impl NodeReport {
    pub fn row(&self) -> Vec<String> {
        let name = match self.number {
            Number::Member(number) => format!("  {number}"),
            Number::Slave(id) => format!("slave {id}"),
        };
        let address = match (&self.address, self.port) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.clone(),
            _ => String::new(),
        };
        let (leads, records) = self.long.as_ref().map(|status| load(status)).unwrap_or_default();
        let of = |word: fn(&NodeStatus) -> String| {
            self.long.as_ref().map(|status| word(status)).unwrap_or_default()
        };
        let state = self.state.clone().unwrap_or_default();
        let memory = of(|status| bytes(status.memory_bytes));
        let uptime = of(|status| duration(status.uptime_s));
        let why = self.why.clone().unwrap_or_default();
        vec![name, self.status.to_string(), address, state, leads, records, memory, uptime, why]
    }
}

/// Tablets led of those held, and their records.
fn load(status: &NodeStatus) -> (String, String) {
    match load_of(status) {
        Some((led, held, records)) => (format!("{led}/{held}"), records.to_string()),
        None => (String::new(), String::new()),
    }
}

fn load_of(status: &NodeStatus) -> Option<(usize, usize, u64)> {
    let RoleStatus::Server(server) = &status.role else { return None };
    let led = server.tablets.iter().filter(|tablet| tablet.leader == Some(server.node_id)).count();
    Some((led, server.tablets.len(), server.tablets.iter().map(|tablet| tablet.records).sum()))
}

/// As a document; without `long` the daemon's own words are left out.
pub fn document(report: &impl Serialize, is_long: bool) -> serde_yaml::Value {
    let mut value = serde_yaml::to_value(report).unwrap_or_default();
    if !is_long {
        drop_long(&mut value);
    }
    value
}

fn drop_long(value: &mut serde_yaml::Value) {
    match value {
        serde_yaml::Value::Mapping(fields) => {
            fields.remove("long");
            fields.iter_mut().for_each(|(_, field)| drop_long(field));
        }
        serde_yaml::Value::Sequence(items) => items.iter_mut().for_each(drop_long),
        _ => {}
    }
}

#[derive(Debug, Serialize)]
pub struct HostDocument {
    hostname: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<serde_yaml::Value>,
}
impl HostDocument {
    pub fn of(address: &HostAddress, facts: &HostFacts) -> Self {
        let mut short = facts.clone();
        short.nodes.clear();
        let facts = serde_yaml::to_value(short).ok();
        HostDocument { hostname: address.to_string(), status: "running".into(), facts }
    }
    pub fn silent(address: &HostAddress, words: &str) -> Self {
        HostDocument { hostname: address.to_string(), status: words.to_owned(), facts: None }
    }
}

/// `c0-0 running`
pub fn node_words((name, view): (&NodeName, &NodeView)) -> String {
    format!("{name} {}", state_of(view).0)
}

pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count / 1000),
        1_000_000..10_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{} GB", count / 1_000_000_000),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkc_core::ids::{NodeId, TabletId};

    fn server(status: State) -> NodeReport {
        NodeReport {
            number: Number::Member(0),
            slave: None,
            cluster: None,
            address: Some("h".into()),
            status,
            port: Some(8020),
            state: None,
            leads: None,
            replicas: None,
            why: None,
            long: None,
        }
    }

    fn speaker(leader: Option<u64>, without_leader: usize) -> ServerStatus {
        ServerStatus {
            number: MemberNo(0),
            node_id: NodeId(1),
            address: "h:8020".parse().unwrap(),
            is_founded: true,
            meta_leader: leader.map(NodeId),
            members: Vec::new(),
            tablets: Vec::new(),
            tablets_without_leader: (0..without_leader as u16).map(TabletId).collect(),
            tolerates: 1,
            disk_free_bytes: 0,
            trouble: None,
            merge: None,
            operation: None,
            transfers: Vec::new(),
        }
    }

    #[test]
    fn the_state_of_a_cluster_follows_from_its_servers() {
        use State::*;
        let check = |servers: &[State], speaker: Option<ServerStatus>, want: State| {
            let reports: Vec<_> = servers.iter().map(|state| server(*state)).collect();
            assert_eq!(judge(&reports, speaker.as_ref()).0, want, "{servers:?}");
        };
        check(&[Running, Running, Running], Some(speaker(Some(1), 0)), Running);
        check(&[Running, Stopped, Running], Some(speaker(Some(1), 0)), Degraded);
        check(&[Running, Unknown, Running], Some(speaker(Some(1), 0)), Degraded);
        check(&[Running, Running, Running], Some(speaker(Some(1), 2)), Error);
        check(&[Running, Stopped, Stopped], Some(speaker(None, 0)), Error);
        check(&[Running, Running, Running], None, Error);
        check(&[Stopped, Stopped, Stopped], None, Stopped);
        check(&[Stopped, Stopped, Unknown], None, Unknown);
        check(&[Unknown, Unknown, Unknown], None, Unknown);
        check(&[Error, Stopped, Stopped], None, Error);
    }

    #[test]
    fn scripts_see_one_status_for_several() {
        let check = |states: &[State], want: Exit| {
            let worst = states.iter().copied().max_by_key(|state| state.weight());
            assert_eq!(worst.map(State::exit), Some(want));
        };
        check(&[State::Running, State::Running], Exit::Done);
        check(&[State::Running, State::Degraded], Exit::Degraded);
        check(&[State::Unknown, State::Degraded], Exit::StatusUnknown);
        check(&[State::Unknown, State::Stopped], Exit::NotServing);
    }
}
