//! What has to happen before a node goes by another configuration: nothing, a reload, or a restart. The daemon and the
//! plan of a deploy both ask this.

use super::{Change, NodeConfig, PARAMETERS, Role};

/// The parts of a configuration that differ from the one in use, by when they take effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// Parameters that a running node takes over when it reloads.
    pub dynamic: Vec<&'static str>,
    /// Parameters and other parts that take effect with the next start only.
    pub restart_needed: Vec<&'static str>,
}

impl ConfigChange {
    /// A reload is enough, and does something.
    pub fn is_reload(&self) -> bool {
        self.restart_needed.is_empty() && !self.dynamic.is_empty()
    }
}

impl NodeConfig {
    /// What differs when a node that runs with `self` is given `wanted`.
    pub fn change_to(&self, wanted: &NodeConfig) -> ConfigChange {
        let fixed = [
            ("version", self.version == wanted.version),
            ("cluster", self.cluster == wanted.cluster),
            ("cluster_id", self.cluster_id == wanted.cluster_id),
            ("node_uuid", self.node_uuid == wanted.node_uuid),
            ("role", self.role == wanted.role),
            // A slave needs them to begin with only: while it runs it follows the ring.
            ("servers", matches!(wanted.role, Role::Slave(_)) || self.servers == wanted.servers),
            // Who goes by it is of the release before and cannot read what has its place.
            ("cache_bytes", self.parameters.retired_cache_bytes == wanted.parameters.retired_cache_bytes),
        ];
        let mut change = ConfigChange::default();
        change.restart_needed.extend(fixed.iter().filter(|(_, is_same)| !is_same).map(|(name, _)| *name));
        for parameter in PARAMETERS {
            if parameter.value_in(&self.parameters) != parameter.value_in(&wanted.parameters) {
                match parameter.change {
                    Change::Dynamic => change.dynamic.push(parameter.name),
                    Change::RestartNeeded => change.restart_needed.push(parameter.name),
                }
            }
        }
        change
    }
}
