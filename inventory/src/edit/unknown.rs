//! The refusal of a name that is not registered; it lists those that are.

use dkc_core::ids::{ClusterName, ConfigName, HostAddress, SlaveId};

use super::EditError;
use crate::model::Inventory;

pub(crate) fn unknown_host(inventory: &Inventory, name: &HostAddress) -> EditError {
    EditError::UnknownHost {
        name: name.clone(),
        known: inventory.hosts.keys().map(|h| h.to_string()).collect(),
    }
}

pub(crate) fn unknown_cluster(inventory: &Inventory, name: &ClusterName) -> EditError {
    let known = inventory.clusters.keys().map(|c| c.to_string()).collect();
    EditError::UnknownCluster { name: name.clone(), known }
}

pub(crate) fn unknown_slave(inventory: &Inventory, id: SlaveId) -> EditError {
    EditError::UnknownSlave { id, known: inventory.slaves.keys().map(|id| id.to_string()).collect() }
}

pub(crate) fn unknown_config(inventory: &Inventory, name: &ConfigName) -> EditError {
    EditError::UnknownConfig {
        name: name.clone(),
        known: inventory.configs.keys().map(|config| config.to_string()).collect(),
        is_cluster: inventory.clusters.keys().any(|cluster| cluster.as_str() == name.as_str()),
    }
}
