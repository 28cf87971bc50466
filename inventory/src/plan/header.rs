//! The head of a plan: what was asked for, from which generation.

use dkc_core::ids::RingVersion;
use serde::{Deserialize, Serialize};

use super::{Danger, Plan};
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
            generation: inventory.generation,
            generation_after: inventory.generation,
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

    /// The nodes that steps concern, each once, in order.
    pub fn nodes(&self) -> Vec<NodeName> {
        let nodes: std::collections::BTreeSet<_> =
            self.steps.iter().filter_map(|step| step.node.clone()).collect();
        nodes.into_iter().collect()
    }
}

/// The newest ring version that any of these nodes speaks of.
pub(super) fn ring_version(observed: &Observed, nodes: &[NodeName]) -> Option<RingVersion> {
    nodes.iter().filter_map(|node| Some(observed.node(node)?.status.as_ref()?.ring_version)).max()
}
