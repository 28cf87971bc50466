//! Collecting steps and numbering them: by phase, then by host, in the order in which they were added.

use dkc_core::ids::HostAddress;

use super::{Action, Endpoint, HostAction, Refusal, RingAction, Step};
use crate::model::{Inventory, NodeName};
use crate::observed::{HostFacts, HostView, Observed};

/// What is done when: a phase begins when the one before it has ended on all hosts. A plan has only those that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Nobody else changes members from here on.
    TakeLock,
    /// First the program on every host: one that cannot take it stops the plan before any node is touched.
    PrepareHosts,
    InstallNodes,
    /// The ring knows a newcomer before it starts.
    Register,
    HandOver,
    /// Slaves before servers: applications then hear of it at once instead of waiting for servers that are gone.
    StopSlaves,
    RemoveSlaves,
    Stop,
    Remove,
    RemoveRoots,
    Start,
    Ready,
    Found,
    Join,
    Merge,
    /// Data has moved away from those who leave.
    Depart,
    ConfigureSlaves,
    Finish,
    /// One node after the other, from 0.
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

    pub fn node(&mut self, phase: Phase, place: &Place<'_>, action: HostAction) {
        self.list.push((phase, place.host.clone(), Some(place.node.clone()), action.into()));
    }

    /// Listed under the host of the first endpoint. Without any there is nobody to ask.
    pub fn ring(&mut self, phase: Phase, endpoints: Vec<Endpoint>, action: RingAction) {
        if let Some(host) = endpoints.first().map(|endpoint| endpoint.host.clone()) {
            self.list.push((phase, host, None, Action::Ring { endpoints, action }));
        }
    }

    /// Numbers count from 1; phases without a step leave no gap.
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

/// A node with the host it is on and what that host said.
pub(super) struct Place<'a> {
    pub node: NodeName,
    pub host: HostAddress,
    pub facts: &'a HostFacts,
}

impl Place<'_> {
    pub fn dir(&self) -> String {
        crate::model::node_dir(&self.facts.root, &self.node)
    }
}

/// The places of nodes; a host that gave no facts gives one refusal instead.
pub(super) fn places<'a>(
    inventory: &Inventory,
    observed: &'a Observed,
    nodes: &[NodeName],
    refusals: &mut Vec<Refusal>,
) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    for node in nodes {
        let Some(host) = inventory.host_of(node) else { continue };
        match facts(observed, &host) {
            Ok(facts) => places.push(Place { node: node.clone(), host, facts }),
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
