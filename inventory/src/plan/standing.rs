//! A cluster's state from inventory and hosts: whether it is founded, its running members, the failures it tolerates.

use std::collections::BTreeSet;

use dkc_core::control::RoleStatus;
use dkc_core::ids::{ClusterName, MemberNo};

use crate::edit::plural;
use crate::model::{Inventory, NodeName};
use crate::observed::{NodeView, Observed, RunState};

/// Whether the ring is founded; the inventory may not have recorded it yet.
pub(super) fn is_founded(inventory: &Inventory, observed: &Observed, cluster: &ClusterName) -> bool {
    let says_so = |node: &NodeName| {
        let status = observed.node(node).and_then(|view| view.status.as_ref());
        matches!(status.map(|s| &s.role), Some(RoleStatus::Server(server)) if server.is_founded)
    };
    inventory.clusters.get(cluster).is_some_and(|c| c.founded)
        || inventory.servers_of(cluster).iter().any(says_so)
}

/// Running, or being restarted by its manager, which does not restart an older copy.
pub(super) fn is_up(view: &NodeView) -> bool {
    view.run != RunState::Stopped && view.put_back.is_none()
}

/// Members that run on their hosts or that another member sees up.
pub(super) fn members_up(
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
) -> BTreeSet<MemberNo> {
    let mut up = BTreeSet::new();
    for server in inventory.clusters.get(cluster).map(|c| c.servers.as_slice()).unwrap_or_default() {
        let name = NodeName::Server(cluster.clone(), server.number);
        let host_answers = observed.facts(&server.address.host).is_some();
        let runs = observed.node(&name).is_some_and(NodeView::is_running);
        if runs || (!host_answers && is_heard(inventory, observed, cluster, server.number)) {
            up.insert(server.number);
        }
    }
    up
}

fn is_heard(inventory: &Inventory, observed: &Observed, cluster: &ClusterName, number: MemberNo) -> bool {
    inventory.servers_of(cluster).iter().any(|node| {
        let status = observed.node(node).and_then(|view| view.status.as_ref());
        let Some(RoleStatus::Server(server)) = status.map(|status| &status.role) else { return false };
        server.members.iter().any(|member| member.node.number == number && member.is_up)
    })
}

/// Server failures that every tablet tolerates: a minority of its replicas.
pub(crate) fn tolerated(replicas: u32) -> usize {
    (replicas.saturating_sub(1) / 2) as usize
}

/// `1 failure`, `2 failures`.
pub(crate) fn failures(count: usize) -> String {
    format!("{count} {}", plural(count, "failure"))
}
