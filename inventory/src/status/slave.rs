//! One slave: whether it runs, and whether it reaches its servers.

use dkc_core::control::{NodeStatus, RoleStatus, SlaveStatus};
use dkc_core::ids::SlaveId;
use serde::Serialize;

use super::{NodeCondition, State};
use crate::model::Inventory;
use crate::observed::Observed;

/// How a slave is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlaveReport {
    /// Its id.
    pub id: SlaveId,
    /// The cluster that it serves.
    pub cluster: String,
    /// Its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// In one word.
    pub status: State,
    /// Why the state is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What will need a hand, although everything works now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// All that its daemon said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<Box<NodeStatus>>,
}

impl SlaveReport {
    /// `None` when no slave of this id is registered.
    pub fn of(inventory: &Inventory, observed: &Observed, id: SlaveId) -> Option<SlaveReport> {
        let entry = inventory.slaves.get(&id)?;
        let node = inventory.slave_node(id)?;
        let NodeCondition { state, why, notice, said } = NodeCondition::of(inventory, observed, &node);
        let links = said.as_ref().and_then(|status| match &status.role {
            RoleStatus::Slave(slave) => link_trouble(slave),
            RoleStatus::Server(_) => None,
        });
        let (status, why) = match (state, links) {
            (State::Running, Some(trouble)) => (State::Degraded, Some(trouble)),
            // Its certificate has ended: it goes on only as long as its connections stand.
            (State::Running, None) if why.is_some() => (State::Degraded, why),
            (state, _) => (state, why),
        };
        let address = inventory.host_of(&node).map(|host| host.to_string());
        Some(SlaveReport { id, cluster: entry.cluster.to_string(), address, status, why, notice, long: said })
    }
}

/// A slave serves as long as it has a server; without any its applications wait.
fn link_trouble(slave: &SlaveStatus) -> Option<String> {
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
