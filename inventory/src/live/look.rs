//! One look at a cluster.

use std::collections::BTreeMap;

use dkc_core::control::{RoleStatus, SlaveStatus};
use dkc_core::ids::{ClusterName, MemberNo, NodeId};
use dkc_core::ring::RingMap;

use crate::model::Inventory;
use crate::observed::Observed;
use crate::ring_facts::RingFacts;
use crate::status::{ClusterReport, SlaveReport};

/// What the hosts and daemons said at one moment.
#[derive(Debug, Clone)]
pub struct Look {
    /// Milliseconds on a clock that only goes forward.
    pub at_ms: u64,
    /// The cluster and its servers.
    pub cluster: ClusterReport,
    /// The registered slaves of the cluster.
    pub slaves: Vec<SlaveReport>,
    /// The newest map, if a server with a founded ring answered.
    pub ring: Option<RingMap>,
}

impl Look {
    /// `None` if the cluster is not registered.
    pub fn of(inventory: &Inventory, observed: &Observed, name: &ClusterName, at_ms: u64) -> Option<Look> {
        let of_this = inventory.slaves.iter().filter(|(_, slave)| slave.cluster == *name);
        Some(Look {
            at_ms,
            cluster: ClusterReport::of(inventory, observed, name)?,
            slaves: of_this.filter_map(|(id, _)| SlaveReport::of(inventory, observed, *id)).collect(),
            ring: RingFacts::of(inventory, observed, name).map(|facts| facts.view.ring.clone()),
        })
    }

    /// Who leads each tablet, by what the servers themselves say; the newest term wins.
    pub(super) fn leaders(&self) -> BTreeMap<u16, MemberNo> {
        let mut newest: BTreeMap<u16, (u64, NodeId)> = BTreeMap::new();
        for tablet in
            self.cluster.server.iter().filter_map(|server| server.said()).flat_map(|said| &said.tablets)
        {
            let Some(leader) = tablet.leader else { continue };
            let known = newest.entry(tablet.tablet.0).or_insert((tablet.term, leader));
            if known.0 < tablet.term {
                *known = (tablet.term, leader);
            }
        }
        let number = |(tablet, (_, node)): (u16, (u64, NodeId))| Some((tablet, self.number_of(node)?));
        newest.into_iter().filter_map(number).collect()
    }

    pub(super) fn number_of(&self, node: NodeId) -> Option<MemberNo> {
        let mut said = self.cluster.server.iter().filter_map(|server| server.said());
        let own = said.find(|said| said.node_id == node).map(|said| said.number);
        own.or_else(|| self.ring.as_ref()?.node(node).map(|node| node.number))
    }
}

/// What a slave said of itself.
pub(super) fn slave_said(slave: &SlaveReport) -> Option<&SlaveStatus> {
    match &slave.long.as_ref()?.role {
        RoleStatus::Slave(said) => Some(said),
        RoleStatus::Server(_) => None,
    }
}
