//! `list config`, and the refusal of `show config` for a group that is not registered.

use dkc_core::ids::ConfigName;

use crate::edit::{EditError, unknown_config};
use crate::model::Inventory;

/// Names only, in order.
pub fn list_configs(inventory: &Inventory) -> Vec<String> {
    inventory.configs.keys().map(|name| name.to_string()).collect()
}

/// Refuses a group that is not registered.
pub fn check_config(inventory: &Inventory, name: &ConfigName) -> Result<(), EditError> {
    match inventory.configs.contains_key(name) {
        true => Ok(()),
        false => Err(unknown_config(inventory, name)),
    }
}
