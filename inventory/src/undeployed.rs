//! What of the inventory its hosts do not have yet: the wanted configuration of each node against the digest that the last deploy
//! recorded.

use crate::model::{Inventory, NodeName};
use crate::render::{config_digest, node_config};

impl Inventory {
    /// Nodes that were never deployed, or whose configuration changed since the last deploy.
    pub fn undeployed(&self) -> Vec<NodeName> {
        let differs = |node: &NodeName| {
            let wanted = node_config(self, node).map(|config| config_digest(&config));
            wanted.as_deref() != self.deployed_of(node)
        };
        self.node_names().into_iter().filter(differs).collect()
    }

    /// Whether the inventory has changes that are not deployed yet.
    pub fn is_dirty(&self) -> bool {
        !self.undeployed().is_empty()
    }
}
