//! The gate between two nodes of a rolling change: the cluster must be as healthy as it was, and must take a write and give it
//! back. What fails there stops the plan before the next node, and `resume` goes on with it.

use dkc_core::ids::ClusterName;

use super::steps::{ObservedNode, Phase, Steps};
use super::{ClusterAction, Endpoint};
use crate::model::{Inventory, node_dir};
use crate::observed::Observed;
use crate::ring_facts::RingFacts;

pub(super) struct Gate {
    /// Servers that answer.
    endpoints: Vec<Endpoint>,
    /// Failures tolerated when the plan was made. `None` while data moves: a merge goes on longer than a node is waited for.
    failures: Option<u32>,
}

impl Gate {
    /// `None` if no server with a founded ring answers: nothing can be asked of such a cluster.
    pub fn of(inventory: &Inventory, observed: &Observed, cluster: &ClusterName) -> Option<Gate> {
        let facts = RingFacts::of(inventory, observed, cluster)?;
        let endpoint = |node: &crate::model::NodeName| {
            let host = inventory.host_of(node)?;
            let facts = observed.facts(&host)?;
            facts.node(node).meta.as_ref()?;
            Some(Endpoint { dir: node_dir(&facts.root, node), host })
        };
        let endpoints = inventory.servers_of(cluster).iter().filter_map(endpoint).collect();
        let failures = facts.view.merge.is_none().then(|| facts.tolerates().unwrap_or(0));
        Some(Gate { endpoints, failures })
    }

    /// After a server has changed, through that server first; after a slave, through any server.
    pub fn steps(&self, steps: &mut Steps, phase: Phase, changed: &ObservedNode<'_>) {
        let own = Endpoint { host: changed.host.clone(), dir: changed.dir() };
        let others = self.endpoints.iter().filter(|endpoint| **endpoint != own).cloned();
        let endpoints: Vec<Endpoint> = match changed.node.is_server() {
            true => [own.clone()].into_iter().chain(others).collect(),
            false => others.collect(),
        };
        if let Some(failures) = self.failures {
            steps.ring(phase, endpoints.clone(), ClusterAction::WaitHealthy { failures });
        }
        steps.ring(phase, endpoints, ClusterAction::Canary);
    }
}
