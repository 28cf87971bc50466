//! Where the value of a parameter comes from: set for the cluster, else by its configuration group, else the default. *Invariant:*
//! this is the only place that resolves one; configurations of nodes, checks and `show config` all ask here.

use dkc_core::config::{PARAMETERS, Parameter, Parameters, Setting};
use dkc_core::ids::{ClusterName, ConfigName};

use crate::model::{Cluster, Inventory, Overrides};

/// Who set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The configuration group.
    Config(ConfigName),
    /// The operator, for this cluster alone.
    Cluster(ClusterName),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Config(name) => write!(f, "config {name}"),
            Origin::Cluster(name) => write!(f, "cluster {name}"),
        }
    }
}

/// A parameter with its value.
pub struct Resolved {
    /// Its row in the table.
    pub parameter: &'static Parameter,
    /// What a node gets.
    pub value: Setting,
    /// Who set it.
    pub origin: Origin,
}

impl Inventory {
    /// What is set for a cluster, by itself or by its group.
    pub fn overrides_of(&self, cluster: &Cluster) -> Overrides {
        let group = cluster.config.as_ref().and_then(|name| self.configs.get(name));
        let mut all = group.cloned().unwrap_or_default();
        all.extend(cluster.parameters.clone());
        all
    }

    /// The parameters of a cluster's nodes; the error names an unknown or invalid one.
    pub fn parameters_of(&self, cluster: &Cluster) -> Result<Parameters, String> {
        Parameters::with_overrides(&self.overrides_of(cluster))
    }

    /// The clusters that are attached to a group.
    pub fn attached_to(&self, config: &ConfigName) -> Vec<&ClusterName> {
        let is_attached = |cluster: &Cluster| cluster.config.as_ref() == Some(config);
        self.clusters.iter().filter(|(_, cluster)| is_attached(cluster)).map(|(name, _)| name).collect()
    }

    /// Every parameter of a cluster; none if it is not registered.
    pub fn resolved_of_cluster(&self, name: &ClusterName) -> Vec<Resolved> {
        let Some(cluster) = self.clusters.get(name) else { return Vec::new() };
        let of_group = cluster.config.as_ref().and_then(|config| Some((config, self.configs.get(config)?)));
        let resolve = |parameter: &'static Parameter| {
            let by_cluster = cluster.parameters.get(parameter.name);
            let own = by_cluster.map(|value| (value.clone(), Origin::Cluster(name.clone())));
            own.or_else(|| of_group.and_then(|(config, set)| from_group(parameter, config, set)))
                .unwrap_or_else(|| (parameter.default_value(), Origin::Default))
        };
        resolved(resolve)
    }

    /// Every parameter of a group; none if it is not registered.
    pub fn resolved_of_config(&self, name: &ConfigName) -> Vec<Resolved> {
        let Some(set) = self.configs.get(name) else { return Vec::new() };
        resolved(|parameter| {
            from_group(parameter, name, set).unwrap_or_else(|| (parameter.default_value(), Origin::Default))
        })
    }
}

fn from_group(parameter: &Parameter, name: &ConfigName, set: &Overrides) -> Option<(Setting, Origin)> {
    Some((set.get(parameter.name)?.clone(), Origin::Config(name.clone())))
}

fn resolved(resolve: impl Fn(&'static Parameter) -> (Setting, Origin)) -> Vec<Resolved> {
    let of = |parameter| {
        let (value, origin) = resolve(parameter);
        Resolved { parameter, value, origin }
    };
    PARAMETERS.iter().map(of).collect()
}
