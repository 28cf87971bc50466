//! One slave's report: whether it runs and reaches its servers.

use dkc_core::control::{NodeStatus, RoleStatus, SlaveStatus};
use dkc_core::ids::SlaveId;
use serde::Serialize;

use super::{NodeCondition, State, is_zero};
use crate::model::Inventory;
use crate::observed::Observed;

/// A slave's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlaveReport {
    /// Its id.
    pub id: SlaveId,
    /// Its cluster.
    pub cluster: String,
    /// Its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its state.
    pub status: State,
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

impl SlaveReport {
    /// `None` if the slave is not registered.
    pub fn of(inventory: &Inventory, observed: &Observed, id: SlaveId) -> Option<SlaveReport> {
        let entry = inventory.slaves.get(&id)?;
        let node = inventory.slave_node(id)?;
        let NodeCondition { state, why, notice, said, restarts } =
            NodeCondition::of(inventory, observed, &node);
        let links = said.as_ref().and_then(|status| match &status.role {
            RoleStatus::Slave(slave) => link_trouble(slave),
            RoleStatus::Server(_) => None,
        });
        let (status, why) = match (state, links) {
            (State::Running, Some(trouble)) => (State::Degraded, Some(trouble)),
            // Its certificate has ended: it works only as long as its connections last.
            (State::Running, None) if why.is_some() => (State::Degraded, why),
            (state, _) => (state, why),
        };
        let address = inventory.host_of(&node).map(|host| host.to_string());
        Some(SlaveReport {
            id,
            cluster: entry.cluster.to_string(),
            address,
            status,
            why,
            notice,
            restarts,
            long: said,
        })
    }
}

/// A slave serves as long as it has a server connection; without any, applications wait.
fn link_trouble(slave: &SlaveStatus) -> Option<String> {
    if slave.listeners.is_empty() {
        return Some("no listeners".into());
    }
    let lost: Vec<String> =
        slave.servers.iter().filter(|link| !link.is_connected).map(|link| link.number.to_string()).collect();
    match lost.len() {
        0 => None,
        count if count == slave.servers.len() => Some("not connected to any server".into()),
        _ => Some(format!("not connected to server {}", lost.join(", "))),
    }
}
