//! The header of a plan: command and generation.

use std::collections::BTreeSet;

use dkc_core::ids::RingVersion;
use serde::{Deserialize, Serialize};

use super::{Action, Danger, Endpoint, Plan};
use crate::model::{Inventory, NodeName};
use crate::observed::Observed;

/// Common to every request: its id and the command as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `op-` and 8 hex digits.
    pub id: String,
    /// The command line, for running it again.
    pub command: String,
}

impl Plan {
    /// A plan without steps yet.
    pub(super) fn new(inventory: &Inventory, operation: &Operation, danger: Danger) -> Plan {
        Plan {
            operation: operation.id.clone(),
            command: operation.command.clone(),
            danger,
            base: inventory.generation,
            running: inventory.generation,
            target: inventory.generation,
            ring_version: None,
            confirm: None,
            impact: Vec::new(),
            undo: String::new(),
            steps: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// Nothing to do and nothing to confirm.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The servers to ask for the current ring version: the plan's endpoints and targets.
    pub fn endpoints(&self) -> BTreeSet<Endpoint> {
        let mut endpoints = BTreeSet::new();
        for step in &self.steps {
            match (&step.action, &step.node) {
                (Action::Cluster { endpoints: asked, .. }, _) => endpoints.extend(asked.iter().cloned()),
                (Action::Host(action), Some(node)) if node.is_server() => {
                    let dir = action.node_dir().map(str::to_owned);
                    endpoints.extend(dir.map(|dir| Endpoint { host: step.host.clone(), dir }));
                }
                _ => {}
            }
        }
        endpoints
    }

    /// The nodes of the steps, without duplicates, in order.
    pub fn nodes(&self) -> Vec<NodeName> {
        let nodes: BTreeSet<_> = self.steps.iter().filter_map(|step| step.node.clone()).collect();
        nodes.into_iter().collect()
    }
}

/// The newest ring version that any of these nodes reports.
pub(super) fn ring_version(observed: &Observed, nodes: &[NodeName]) -> Option<RingVersion> {
    nodes.iter().filter_map(|node| Some(observed.node(node)?.status.as_ref()?.ring_version)).max()
}
