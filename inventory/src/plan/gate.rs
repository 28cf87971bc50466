//! The gate between two nodes of a rolling change: the cluster must be as healthy as it was, and must take a write and give it
//! back. What fails there stops the plan before the next node, and `resume` goes on with it.

use dkc_core::ids::ClusterName;

use super::ring::endpoints;
use super::steps::{ObservedNode, Phase, Steps};
use super::{ClusterAction, Endpoint};
use crate::model::Inventory;
use crate::observed::Observed;
use crate::ring_facts::RingFacts;

pub(super) struct Gate {
    /// Servers that answer.
    endpoints: Vec<Endpoint>,
    /// Failures tolerated when the plan was made. `None` while data moves, or waits for MERGE: neither ends while a node is waited for.
    failures: Option<u32>,
}

impl Gate {
    /// `None` if no server with a founded ring answers: nothing can be asked of such a cluster.
    pub fn of(inventory: &Inventory, observed: &Observed, cluster: &ClusterName) -> Option<Gate> {
        let facts = RingFacts::of(inventory, observed, cluster)?;
        let endpoints = endpoints(inventory, observed, cluster);
        let wanted = facts.copies_wanted();
        let is_whole = facts.view.ring.tablets.iter().all(|place| place.voters.len() >= wanted);
        let is_at_rest = facts.view.merge.is_none() && is_whole;
        let failures = is_at_rest.then(|| facts.tolerates().unwrap_or(0));
        Some(Gate { endpoints, failures })
    }

    /// The same with more failures to tolerate, where any are waited for.
    pub fn at_least(self, failures: u32) -> Gate {
        Gate { failures: self.failures.map(|known| known.max(failures)), ..self }
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
