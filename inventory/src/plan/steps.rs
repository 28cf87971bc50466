//! Collects steps and numbers them by phase, then host, then order of addition.

use dkc_core::ids::HostAddress;

use super::{Action, ClusterAction, Endpoint, HostAction, Refusal, Step};
use crate::model::{Inventory, NodeName};
use crate::observed::{HostFacts, HostView, Observed};

/// The phases in order; a phase starts when the previous one has completed on all hosts. A plan has only those it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Before anything changes: what stopped servers have.
    Salvage,
    /// Servers of a cluster that was lost never start again.
    Fence,
    StopOldSlaves,
    /// Acquires the ring's lock.
    TakeLock,
    /// Programs come first: a host that cannot take it stops the plan before any node is touched.
    PrepareHosts,
    InstallNodes,
    /// Starts when every node of the plan has its new configuration.
    Reload,
    /// Registers new members in the ring before they start.
    Register,
    HandOver,
    /// Slaves stop before servers: applications see closed connections instead of timeouts.
    StopSlaves,
    RemoveSlaves,
    Stop,
    Remove,
    RemoveRoots,
    Start,
    Ready,
    Found,
    Join,
    /// Before data moves.
    Split,
    Merge,
    /// After data has moved away from leaving members.
    Depart,
    ConfigureSlaves,
    Finish,
    /// One node at a time, from 0.
    Turn(usize),
}

#[derive(Default)]
pub(super) struct Steps {
    list: Vec<(Phase, HostAddress, Option<NodeName>, Action)>,
}

impl Steps {
    pub fn host(&mut self, phase: Phase, host: &HostAddress, action: HostAction) {
        self.list.push((phase, host.clone(), None, action.into()));
    }

    pub fn node(&mut self, phase: Phase, place: &ObservedNode<'_>, action: HostAction) {
        self.list.push((phase, place.host.clone(), Some(place.node.clone()), action.into()));
    }

    /// Listed under the host of the first endpoint; without endpoints the step is omitted.
    pub fn ring(&mut self, phase: Phase, endpoints: Vec<Endpoint>, action: ClusterAction) {
        if let Some(host) = endpoints.first().map(|endpoint| endpoint.host.clone()) {
            self.list.push((phase, host, None, Action::Cluster { endpoints, action }));
        }
    }

    /// Numbers start at 1; empty phases leave no gap.
    pub fn numbered(mut self) -> Vec<Step> {
        self.list.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut phase = 0;
        let mut last = None;
        let mut steps = Vec::new();
        for (index, (raw_phase, host, node, action)) in self.list.into_iter().enumerate() {
            if last != Some(raw_phase) {
                phase += 1;
                last = Some(raw_phase);
            }
            steps.push(Step { number: index as u32 + 1, phase, host, node, action });
        }
        steps
    }
}

/// A node with its host and that host's facts.
pub(super) struct ObservedNode<'a> {
    pub node: NodeName,
    pub host: HostAddress,
    pub facts: &'a HostFacts,
}

impl ObservedNode<'_> {
    pub fn dir(&self) -> String {
        crate::model::node_dir(&self.facts.root, &self.node)
    }
}

/// Pairs nodes with their hosts' facts; a silent host becomes a refusal.
pub(super) fn places<'a>(
    inventory: &Inventory,
    observed: &'a Observed,
    nodes: &[NodeName],
    refusals: &mut Vec<Refusal>,
) -> Vec<ObservedNode<'a>> {
    let mut places = Vec::new();
    for node in nodes {
        let Some(host) = inventory.host_of(node) else { continue };
        match facts(observed, &host) {
            Ok(facts) => places.push(ObservedNode { node: node.clone(), host, facts }),
            Err(refusal) if refusals.contains(&refusal) => {}
            Err(refusal) => refusals.push(refusal),
        }
    }
    places
}

pub(super) fn facts<'a>(observed: &'a Observed, host: &HostAddress) -> Result<&'a HostFacts, Refusal> {
    match observed.hosts.get(host) {
        Some(HostView::Facts(facts)) => Ok(facts),
        Some(HostView::Silent { kind, message }) => {
            Err(Refusal::Silent { host: host.clone(), kind: *kind, message: message.clone() })
        }
        None => Err(Refusal::NotAsked { host: host.clone() }),
    }
}
