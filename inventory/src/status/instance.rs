//! One line for each node of all clusters: where it runs, what it belongs to, which release it is, and how it is.

use dkc_core::ring::{InRing, MemberAction};
use serde::Serialize;

use super::{NodeCondition, State};
use crate::model::{Inventory, NodeName};
use crate::observed::Observed;
use crate::ring_facts::RingFacts;

/// The reason of a server that `detach` took out of the ring.
const DETACHED: &str = "detached: a member without data";

/// A node among those of all clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceReport {
    /// Its directory's name.
    pub instance: String,
    /// `server` or `slave`.
    pub role: &'static str,
    /// Whose data it holds or gives access to.
    pub cluster: String,
    /// The configuration group of that cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Its host, and a server's port.
    pub address: String,
    /// The release that runs; what its link names is in `program`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of the program that its next start runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Since its daemon was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
    /// Its state.
    pub status: State,
    /// Why the state is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl InstanceReport {
    /// `None` for a node that is not registered.
    pub fn of(inventory: &Inventory, observed: &Observed, node: &NodeName) -> Option<InstanceReport> {
        let cluster = inventory.clusters.get(node.cluster())?;
        let host = inventory.host_of(node)?;
        let condition = NodeCondition::of(inventory, observed, node);
        let is_detached = is_detached(inventory, observed, node);
        let (role, address) = match node {
            NodeName::Server(name, number) => {
                ("server", inventory.server(name, *number)?.address.to_string())
            }
            NodeName::Slave(..) => ("slave", host.to_string()),
        };
        Some(InstanceReport {
            instance: node.to_string(),
            role,
            cluster: node.cluster().to_string(),
            config: cluster.config.as_ref().filter(|_| !is_detached).map(ToString::to_string),
            address,
            version: condition.said.as_ref().map(|said| said.release.clone()),
            program: observed.node(node).and_then(|view| view.program.clone()),
            uptime_s: condition.said.as_ref().map(|said| said.uptime_s),
            status: condition.state,
            why: condition.why.or(is_detached.then(|| DETACHED.to_owned())).or(condition.notice),
        })
    }
}

/// A member that holds no data and will not, by what the ring says.
fn is_detached(inventory: &Inventory, observed: &Observed, node: &NodeName) -> bool {
    let NodeName::Server(name, number) = node else { return false };
    let facts = RingFacts::of(inventory, observed, name);
    let member = facts.as_ref().and_then(|facts| facts.node(*number));
    member.is_some_and(|member| member.in_ring == InRing::ServiceOut && member.action == MemberAction::None)
}
