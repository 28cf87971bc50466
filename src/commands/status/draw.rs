//! Draws reports: table rows, documents for yaml and json, and the exit status of a state.

use dkc_core::control::NodeStatus;
use dkc_core::ids::HostAddress;
use dkc_inventory::model::NodeName;
use dkc_inventory::observed::{HostFacts, HostView, NodeView};
use dkc_inventory::status::{ClusterReport, JoinedSlave, ServerReport, SlaveReport, State, state_of};
use serde::Serialize;

use crate::error::Exit;
use crate::ui::numbers::{self, duration};

/// The columns of the table of clusters, servers and slaves.
pub const COLUMNS: [&str; 9] =
    ["name", "status", "address", "ring", "leads/replicas", "records", "memory", "uptime", "what"];

/// The exit status for scripts.
pub fn exit_of(state: State) -> Exit {
    match state {
        State::Running | State::Merging => Exit::Done,
        State::Degraded => Exit::Degraded,
        State::Unknown => Exit::StatusUnknown,
        State::Stopped | State::Error => Exit::NotServing,
    }
}

pub fn cluster_row(cluster: &ClusterReport) -> Vec<String> {
    let mut row = vec![cluster.name.clone(), cluster.status.to_string()];
    row.resize(COLUMNS.len() - 1, String::new());
    row.push(cluster.words());
    row
}

pub fn server_row(server: &ServerReport) -> Vec<String> {
    let load = server.leads.zip(server.replicas).map(|(led, held)| format!("{led}/{held}"));
    let records = server.said().map(|said| said.tablets.iter().map(|tablet| tablet.records).sum::<u64>());
    vec![
        format!("  {}", server.number),
        server.status.to_string(),
        format!("{}:{}", server.address, server.port),
        server.state.clone().unwrap_or_default(),
        load.unwrap_or_default(),
        records.map(|count| count.to_string()).unwrap_or_default(),
        memory(server.long.as_deref()),
        uptime(server.long.as_deref()),
        what(&server.why, &server.notice, server.restarts),
    ]
}

pub fn slave_row(slave: &SlaveReport) -> Vec<String> {
    let mut row = vec![format!("slave {}", slave.id), slave.status.to_string()];
    row.push(slave.address.clone().unwrap_or_default());
    row.resize(COLUMNS.len() - 3, String::new());
    row.push(memory(slave.long.as_deref()));
    row.push(uptime(slave.long.as_deref()));
    row.push(what(&slave.why, &slave.notice, slave.restarts));
    row
}

pub fn joined_row(slave: &JoinedSlave) -> Vec<String> {
    let mut row = vec![format!("slave {}", slave.id), slave.status.to_string()];
    row.push(slave.address.clone().unwrap_or_default());
    row.resize(COLUMNS.len() - 1, String::new());
    let connected = if slave.address.is_some() { "" } else { ", not connected to any server" };
    row.push(format!("joined {} with a token{connected}", slave.cluster));
    row
}

/// The current state, then what is pending, then the past: a healthy node may have crashed often before.
fn what(why: &Option<String>, notice: &Option<String>, restarts: u64) -> String {
    let times = match restarts {
        0 => None,
        1 => Some("restarted once".to_owned()),
        count => Some(format!("restarted {count} times")),
    };
    why.iter().chain(notice).chain(&times).cloned().collect::<Vec<_>>().join("; ")
}

fn memory(said: Option<&NodeStatus>) -> String {
    said.map(numbers::memory).unwrap_or_default()
}

fn uptime(said: Option<&NodeStatus>) -> String {
    said.map(|said| duration(said.uptime_s)).unwrap_or_default()
}

/// The report as a document; without `long` it omits the daemon's raw status.
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
    format!("{name} {}", state_of(view))
}

/// A host's reply, in one line.
pub fn view_words(view: &HostView) -> String {
    match view {
        HostView::Facts(facts) if facts.nodes.is_empty() => "answered".into(),
        HostView::Facts(facts) => facts.nodes.iter().map(node_words).collect::<Vec<_>>().join(", "),
        HostView::Silent { message, .. } => format!("unknown ({message})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_see_one_status_for_several() {
        let check = |states: &[State], want: Exit| {
            let worst = states.iter().copied().max();
            assert_eq!(worst.map(exit_of), Some(want));
        };
        check(&[State::Running, State::Running], Exit::Done);
        check(&[State::Running, State::Degraded], Exit::Degraded);
        check(&[State::Unknown, State::Degraded], Exit::StatusUnknown);
        check(&[State::Unknown, State::Stopped], Exit::NotServing);
    }
}
