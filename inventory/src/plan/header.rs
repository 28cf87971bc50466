//! The head of a plan: what was asked for, from which generation.

use std::collections::BTreeSet;

use dkc_core::ids::RingVersion;
use serde::{Deserialize, Serialize};

use super::{Action, Danger, Endpoint, Plan};
use crate::model::{Inventory, NodeName};
use crate::observed::Observed;

/// What every request carries: its id (chance is an argument) and the words that were typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `op-` and 8 hex digits.
    pub id: String,
    /// The command in one line, as the operator would type it again.
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

    /// Nothing differs: nothing to do, nothing to confirm.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The servers that can say which version the ring has now: those that the plan asks, and those that it changes.
    pub fn endpoints(&self) -> BTreeSet<Endpoint> {
        let mut endpoints = BTreeSet::new();
        for step in &self.steps {
            match (&step.action, &step.node) {
                (Action::Ring { endpoints: asked, .. }, _) => endpoints.extend(asked.iter().cloned()),
                (Action::Host(action), Some(node)) if node.is_server() => {
                    let dir = action.node_dir().map(str::to_owned);
                    endpoints.extend(dir.map(|dir| Endpoint { host: step.host.clone(), dir }));
                }
                _ => {}
            }
        }
        endpoints
    }

    /// The nodes that steps concern, each once, in order.
    pub fn nodes(&self) -> Vec<NodeName> {
        let nodes: BTreeSet<_> = self.steps.iter().filter_map(|step| step.node.clone()).collect();
        nodes.into_iter().collect()
    }
}

/// The newest ring version that any of these nodes speaks of.
pub(super) fn ring_version(observed: &Observed, nodes: &[NodeName]) -> Option<RingVersion> {
    nodes.iter().filter_map(|node| Some(observed.node(node)?.status.as_ref()?.ring_version)).max()
}
