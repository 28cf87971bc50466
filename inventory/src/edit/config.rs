//! Configuration groups: parameters under a name, for any number of clusters. A group is valid by itself and together with what
//! each attached cluster sets; a change brings nothing to nodes before it is applied.

use dkc_core::config::{PARAMETERS, Parameter};
use dkc_core::ids::{ClusterName, ConfigName};

use super::cluster::check_parameters;
use super::unknown::unknown_config;
use super::{EditError, Edited};
use crate::model::{Cluster, Inventory, Overrides};

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

/// Sets and resets values; the names to reset must be parameters.
pub(super) fn change(overrides: &mut Overrides, set: &Overrides, unset: &[String]) -> Result<(), EditError> {
    for name in unset {
        if Parameter::named(name).is_none() {
            let known: Vec<&str> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
            let rule = format!("known parameters: {}", known.join(", "));
            return Err(EditError::BadValue { what: format!("parameter '{name}'"), rule });
        }
        overrides.remove(name);
    }
    overrides.extend(set.clone());
    Ok(())
}

/// Whether a cluster may have the parameters that it would have after a change.
pub(super) fn check_cluster(
    before: &Inventory,
    after: &Inventory,
    name: &ClusterName,
) -> Result<(), EditError> {
    let Some(cluster) = after.clusters.get(name) else { return Ok(()) };
    let bad = |rule| EditError::BadValue { what: format!("parameter of cluster {name}"), rule };
    let wanted = after.parameters_of(cluster).map_err(bad)?;
    let was = before.clusters.get(name).and_then(|was| before.parameters_of(was).ok());
    if cluster.founded && was.is_some_and(|was| was.value_max_bytes != wanted.value_max_bytes) {
        // Replicas decide by it what an entry of their log does: while some have another limit, or one that replays its log after
        // the change, they would differ.
        let why = "replicas that apply the log with different limits would differ; a cluster with another limit has to be \
                   founded with it, and `data export` and `data import` move the data";
        return Err(EditError::Fixed { what: "value_max_bytes", cluster: name.clone(), why });
    }
    Ok(())
}

/// How a change of parameters reaches the nodes of a cluster; `None` if none is installed.
pub(super) fn apply_words(inventory: &Inventory, name: &ClusterName) -> Option<String> {
    let cluster: &Cluster = inventory.clusters.get(name)?;
    let is_installed = cluster.servers.iter().any(|server| server.deployed.is_some());
    let how = if cluster.founded { format!("apply config -c {name}") } else { "deploy".into() };
    is_installed.then(|| format!("cluster {name}: run {how} to apply the change"))
}
