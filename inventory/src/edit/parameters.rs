//! What every change of parameters has to leave true, whether it is of a configuration group or of a cluster.

use dkc_core::config::{PARAMETERS, Parameter, Parameters};
use dkc_core::ids::ClusterName;

use super::EditError;
use crate::model::{Cluster, Inventory, Overrides};

/// Names, values and how they fit together.
pub(crate) fn check_parameters(parameters: &Overrides) -> Result<(), EditError> {
    let bad = |rule| EditError::BadValue { what: "parameter".into(), rule };
    Parameters::with_overrides(parameters).map(|_| ()).map_err(bad)
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
