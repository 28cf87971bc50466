//! The fourth step of an operation: records its result in the inventory.

use dkc_core::ids::ClusterName;
use dkc_inventory::edit;
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::plan::{HostAction, Plan};

use crate::error::CommandError;
use crate::store::Locked;

/// The changes to write into the inventory after a plan has been carried out.
#[derive(Debug, Clone, Default)]
pub struct InventoryChanges {
    pub deployed: Vec<NodeName>,
    pub forgotten: Vec<NodeName>,
    pub founded: Vec<ClusterName>,
    /// Members that have left the ring.
    pub left: Vec<NodeName>,
    /// Written before the first step: the inventory must know a member before the ring does, or a retry would create it
    /// twice.
    pub first: Option<Inventory>,
}

impl InventoryChanges {
    /// Derived from the plan's steps, for a resumed operation.
    pub fn of_plan(plan: &Plan) -> InventoryChanges {
        let mut record = InventoryChanges { left: plan.leaves.clone(), ..InventoryChanges::default() };
        for step in &plan.steps {
            let Some(node) = &step.node else { continue };
            match step.action.on_host() {
                Some(HostAction::CheckConfiguration { .. }) => record.deployed.push(node.clone()),
                Some(HostAction::RemoveNode { .. }) => record.forgotten.push(node.clone()),
                Some(HostAction::FoundCluster { .. }) => record.founded.push(node.cluster().clone()),
                _ => {}
            }
        }
        record
    }

    /// Applies the record: the next generation, or the same one if nothing differs.
    pub fn apply(&self, inventory: &Inventory) -> Inventory {
        let founded =
            |inventory: Inventory, name: &ClusterName| edit::record_founded(&inventory, name).inventory;
        let left = |inventory: Inventory, node: &NodeName| match node {
            NodeName::Server(cluster, number) => {
                edit::remove_members(&inventory, cluster, &[*number]).inventory
            }
            NodeName::Slave(..) => inventory,
        };
        let remaining = self.left.iter().fold(inventory.clone(), left);
        let deployed = edit::record_deployed(&remaining, &self.deployed).inventory;
        let forgotten = edit::forget_deployed(&deployed, &self.forgotten).inventory;
        let after = self.founded.iter().fold(forgotten, founded);
        // All edits together make one generation.
        let is_changed = after.generation != inventory.generation;
        Inventory { generation: inventory.generation.next_if(is_changed), ..after }
    }
}

/// Writes the inventory unless it is unchanged.
pub fn save(locked: &Locked, inventory: &Inventory) -> Result<(), CommandError> {
    if locked.load()?.generation == inventory.generation {
        return Ok(());
    }
    locked.save(inventory)
}
