//! Reports on a cluster and its servers.

use dkc_core::control::{NodeStatus, RoleStatus, ServerStatus};
use dkc_core::ids::{ClusterName, MemberNo};
use serde::Serialize;

use super::{NodeCondition, RingReport, State, is_zero};
use crate::model::{Inventory, NodeName, Server};
use crate::observed::Observed;
use crate::ring_facts::leaderless;

/// A cluster's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterReport {
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: State,
    /// Why the state is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Current activity and remaining tolerance, in a few words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// The newest ring version that a server knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_version: Option<u64>,
    /// The best informed server's view of the ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingReport>,
    /// Further server failures that it tolerates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerates: Option<u32>,
    /// Its members.
    pub server: Vec<ServerReport>,
}

/// A server's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerReport {
    /// Its number in the cluster.
    #[serde(rename = "No.")]
    pub number: MemberNo,
    /// Its host.
    pub address: String,
    /// Its state.
    pub status: State,
    /// Its port.
    pub port: u16,
    /// In the ring, in CHMPX's notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Tablets that it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leads: Option<usize>,
    /// Tablets that it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<usize>,
    /// Why the state is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What will need attention, although everything works now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// How often its daemon ended by itself and was started again.
    #[serde(skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// All that its daemon said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<Box<NodeStatus>>,
}

impl ClusterReport {
    /// `None` if the cluster is not registered.
    pub fn of(inventory: &Inventory, observed: &Observed, name: &ClusterName) -> Option<ClusterReport> {
        let cluster = inventory.clusters.get(name)?;
        let report = |server| ServerReport::of(inventory, observed, name, server);
        let mut server: Vec<ServerReport> = cluster.servers.iter().map(report).collect();
        let speaker = server.iter().filter_map(ServerReport::founded).max_by_key(|(ring, _)| *ring);
        let ring_version = speaker.map(|(ring, _)| ring).filter(|ring| *ring > 0);
        let ring = RingReport::of(inventory, observed, name);
        let (status, why) = judge(&server, speaker.map(|(_, status)| status));
        let is_merging = ring.as_ref().is_some_and(|ring| ring.merge.is_some());
        let status = match status {
            // Members that are down are listed separately; the operator waits for the merge.
            State::Running | State::Degraded if is_merging => State::Merging,
            status => status,
        };
        for report in &mut server {
            report.state = ring.as_ref().map(|ring| match ring.state_of(report.number) {
                Some(state) => state.to_owned(),
                None => "not in the ring".into(),
            });
        }
        let is_serving = matches!(status, State::Running | State::Merging | State::Degraded);
        let tolerates = ring.as_ref().and_then(|ring| ring.tolerates).filter(|_| is_serving);
        let what = what(ring.as_ref(), tolerates);
        Some(ClusterReport {
            name: name.to_string(),
            status,
            why,
            ring_version,
            what,
            tolerates,
            ring,
            server,
        })
    }

    /// Lists only these members; the state remains that of the whole cluster.
    pub fn only(mut self, numbers: &[MemberNo]) -> Self {
        self.server.retain(|server| numbers.is_empty() || numbers.contains(&server.number));
        self
    }

    /// The reason, current activity and remaining tolerance.
    pub fn words(&self) -> String {
        let why = self.why.iter().cloned();
        why.chain((!self.what.is_empty()).then(|| self.what.clone())).collect::<Vec<_>>().join("; ")
    }
}

/// Only for a cluster that serves; otherwise the reason is reported.
fn what(ring: Option<&RingReport>, tolerates: Option<u32>) -> String {
    let Some(count) = tolerates else { return String::new() };
    let failures = if count == 1 { "failure" } else { "failures" };
    let mut words = ring.map(RingReport::words).unwrap_or_default();
    words.push(format!("tolerates {count} {failures}"));
    words.join("; ")
}

impl ServerReport {
    fn of(
        inventory: &Inventory,
        observed: &Observed,
        cluster: &ClusterName,
        server: &Server,
    ) -> ServerReport {
        let node = NodeName::Server(cluster.clone(), server.number);
        let NodeCondition { state, why, notice, said, restarts } =
            NodeCondition::of(inventory, observed, &node);
        let mut report = ServerReport {
            number: server.number,
            address: server.address.host.to_string(),
            status: state,
            port: server.address.port,
            state: None,
            leads: None,
            replicas: None,
            why,
            notice,
            restarts,
            long: said,
        };
        let load = report.said().map(|said| {
            let led = said.tablets.iter().filter(|tablet| tablet.leader == Some(said.node_id)).count();
            (led, said.tablets.len())
        });
        (report.leads, report.replicas) = load.unzip();
        report
    }

    /// Its daemon's status as a server.
    pub fn said(&self) -> Option<&ServerStatus> {
        match &self.long.as_ref()?.role {
            RoleStatus::Server(server) => Some(server),
            RoleStatus::Slave(_) => None,
        }
    }

    /// The same if it knows a founded ring.
    fn founded(&self) -> Option<(u64, &ServerStatus)> {
        let said = self.said().filter(|said| said.is_founded)?;
        Some((self.long.as_ref()?.ring_version.0, said))
    }
}

/// The cluster's state, from its servers' states and the best informed server's view.
fn judge(servers: &[ServerReport], speaker: Option<&ServerStatus>) -> (State, Option<String>) {
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
            _ => (State::Error, Some("servers run, but the ring is not founded: start cluster".into())),
        };
    };
    let without = speaker.tablets_without_leader.len();
    if without > 0 || speaker.meta_leader.is_none() {
        let why = format!("{}; {running} of {of} servers running", leaderless(without));
        return (State::Error, Some(why));
    }
    if running < of {
        return (State::Degraded, Some(format!("{running} of {of} servers running")));
    }
    match servers.iter().find_map(|server| server.why.clone()) {
        Some(why) => (State::Degraded, Some(why)),
        None => (State::Running, None),
    }
}

fn first_reason(servers: &[ServerReport]) -> Option<String> {
    servers.iter().find_map(|server| Some(format!("server {}: {}", server.number, server.why.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkc_core::ids::{NodeId, TabletId};

    fn server(status: State) -> ServerReport {
        ServerReport {
            number: MemberNo(0),
            address: "h".into(),
            status,
            port: 8020,
            state: None,
            leads: None,
            replicas: None,
            why: None,
            notice: None,
            restarts: 0,
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
            served: Default::default(),
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
    fn the_worst_of_several_states_decides() {
        let check = |states: &[State], want: State| assert_eq!(states.iter().max(), Some(&want));
        check(&[State::Running, State::Degraded], State::Degraded);
        check(&[State::Unknown, State::Degraded], State::Unknown);
        check(&[State::Unknown, State::Stopped], State::Stopped);
    }
}
