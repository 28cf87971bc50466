//! Configuration groups: parameters under a name, for any number of clusters. A group is valid by itself and together with what
//! each attached cluster sets; a change brings nothing to nodes before it is applied.

use dkc_core::ids::ConfigName;

use super::parameters::{apply_words, change, check_cluster, check_parameters};
use super::unknown::unknown_config;
use super::{EditError, Edited};
use crate::model::{Inventory, Overrides};

/// `register config -n NAME [KEY=VALUE]…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterConfig {
    /// Not that of a cluster.
    pub name: ConfigName,
    /// What it sets; everything else has its default.
    pub set: Overrides,
}

/// `modify config -n NAME [KEY=VALUE]… [--reset KEY]…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModifyConfig {
    /// Must be registered.
    pub name: ConfigName,
    /// Values to add or replace.
    pub set: Overrides,
    /// Parameters that the group sets no longer.
    pub unset: Vec<String>,
}

/// Adds a group. The same request again changes nothing; different values are refused.
pub fn register_config(inventory: &Inventory, request: &RegisterConfig) -> Result<Edited, EditError> {
    let RegisterConfig { name, set } = request;
    if inventory.clusters.keys().any(|cluster| cluster.as_str() == name.as_str()) {
        let rule = format!("a cluster has this name; its own parameters: modify config -c {name} KEY=VALUE");
        return Err(EditError::BadValue { what: format!("configuration group '{name}'"), rule });
    }
    check_parameters(set)?;
    let mut lines = Vec::new();
    let mut after = inventory.clone();
    match inventory.configs.get(name) {
        Some(present) => {
            check_same(name, present, set)?;
            lines.push(format!("configuration group {name}: already registered"));
        }
        None => drop(after.configs.insert(name.clone(), set.clone())),
    }
    Ok(Edited::from(inventory, after, lines))
}

fn check_same(name: &ConfigName, present: &Overrides, set: &Overrides) -> Result<(), EditError> {
    let differs = set.iter().filter(|(key, value)| present.get(*key) != Some(value));
    let differences: Vec<String> = differs.map(|(key, _)| format!("{key} differs")).collect();
    match differences.is_empty() {
        true => Ok(()),
        false => Err(EditError::Different {
            what: format!("configuration group {name}"),
            differences,
            modify: format!("modify config -n {name} KEY=VALUE"),
        }),
    }
}

/// Changes what a group sets.
pub fn modify_config(inventory: &Inventory, request: &ModifyConfig) -> Result<Edited, EditError> {
    let mut after = inventory.clone();
    let Some(config) = after.configs.get_mut(&request.name) else {
        return Err(unknown_config(inventory, &request.name));
    };
    change(config, &request.set, &request.unset)?;
    check_parameters(config)?;
    let attached = inventory.attached_to(&request.name);
    for cluster in &attached {
        check_cluster(inventory, &after, cluster)?;
    }
    let mut lines = Vec::new();
    if *inventory != after {
        lines.extend(attached.into_iter().filter_map(|cluster| apply_words(&after, cluster)));
    }
    Ok(Edited::from(inventory, after, lines))
}

/// Removes a group. Refused while clusters are attached.
pub fn unregister_config(inventory: &Inventory, name: &ConfigName) -> Result<Edited, EditError> {
    if !inventory.configs.contains_key(name) {
        return Err(unknown_config(inventory, name));
    }
    let attached = inventory.attached_to(name);
    if !attached.is_empty() {
        return Err(EditError::InUse {
            what: format!("configuration group {name}"),
            by: attached.iter().map(|cluster| format!("cluster {cluster}")).collect(),
            first: attached.iter().map(|c| format!("modify cluster -n {c} --reset config")).collect(),
        });
    }
    let mut after = inventory.clone();
    after.configs.remove(name);
    Ok(Edited::from(inventory, after, Vec::new()))
}
