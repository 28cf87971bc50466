//! The nodes that a command targets, and the hosts to observe before planning.

use std::collections::BTreeSet;

use dkc_core::ids::{ClusterName, HostAddress, MemberNo, SlaveId};

use super::{Refusal, Refused};
use crate::model::{Inventory, NodeName};

/// The targets of a deploy: the union of these names, or all hosts if all are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// All nodes of these clusters.
    pub clusters: Vec<ClusterName>,
    /// All nodes on hosts of these groups.
    pub groups: Vec<String>,
    /// All nodes on these hosts.
    pub hosts: Vec<HostAddress>,
}

/// The target of start, stop or restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The servers of a cluster; all if no numbers are given.
    Servers {
        /// Must be registered.
        cluster: ClusterName,
        /// Empty: all of them.
        numbers: Vec<MemberNo>,
    },
    /// These slaves; all if none is given.
    Slaves {
        /// Each must be registered.
        ids: Vec<SlaveId>,
    },
}

impl Selection {
    /// The nodes to deploy, in order.
    pub fn nodes(&self, inventory: &Inventory) -> Result<Vec<NodeName>, Refused> {
        self.check_names(inventory)?;
        let all = self.clusters.is_empty() && self.groups.is_empty() && self.hosts.is_empty();
        let is_meant = |node: &NodeName| {
            all || self.clusters.contains(node.cluster())
                || inventory.host_of(node).is_some_and(|host| self.means_host(inventory, &host))
        };
        Ok(inventory.node_names().into_iter().filter(is_meant).collect())
    }

    fn means_host(&self, inventory: &Inventory, address: &HostAddress) -> bool {
        let groups = inventory.hosts.get(address).map(|host| host.group.as_slice()).unwrap_or_default();
        self.hosts.contains(address) || self.groups.iter().any(|group| groups.contains(group))
    }

    fn check_names(&self, inventory: &Inventory) -> Result<(), Refused> {
        let clusters = self.clusters.iter().filter(|name| !inventory.clusters.contains_key(name));
        let hosts = self.hosts.iter().filter(|name| inventory.host(name).is_none());
        let all_groups: BTreeSet<&String> = inventory.hosts.values().flat_map(|host| &host.group).collect();
        let groups = self.groups.iter().filter(|name| !all_groups.contains(name));
        let refusals: Vec<Refusal> = clusters
            .map(|name| unknown_cluster(inventory, name))
            .chain(hosts.map(|name| unknown_host(inventory, name)))
            .chain(groups.map(|name| Refusal::UnknownName {
                what: "group",
                name: name.clone(),
                known: all_groups.iter().map(|group| group.to_string()).collect(),
            }))
            .collect();
        Refused::unless_empty(refusals)
    }

    /// The hosts to observe.
    pub fn hosts(&self, inventory: &Inventory) -> Result<BTreeSet<HostAddress>, Refused> {
        Ok(hosts_of(inventory, &self.nodes(inventory)?))
    }
}

impl Target {
    /// In order and without duplicates; refused if a name is unknown.
    pub fn nodes(&self, inventory: &Inventory) -> Result<Vec<NodeName>, Refused> {
        match self {
            Target::Servers { cluster, numbers } => servers(inventory, cluster, numbers),
            Target::Slaves { ids } if ids.is_empty() => {
                Ok(inventory.slaves.keys().filter_map(|id| inventory.slave_node(*id)).collect())
            }
            Target::Slaves { ids } => {
                let ids: BTreeSet<&SlaveId> = ids.iter().collect();
                let unknown = ids.iter().filter(|id| !inventory.slaves.contains_key(id));
                let known = || inventory.slaves.keys().map(|id| id.to_string()).collect();
                let refusals = unknown
                    .map(|id| Refusal::UnknownName { what: "slave", name: id.to_string(), known: known() })
                    .collect();
                Refused::unless_empty(refusals)?;
                Ok(ids.into_iter().filter_map(|id| inventory.slave_node(*id)).collect())
            }
        }
    }

    /// The hosts to observe: those of the nodes and of the cluster's slaves.
    pub fn hosts(&self, inventory: &Inventory) -> Result<BTreeSet<HostAddress>, Refused> {
        let mut nodes = self.nodes(inventory)?;
        if let Target::Servers { cluster, .. } = self {
            nodes = inventory.nodes_of(cluster);
        }
        Ok(hosts_of(inventory, &nodes))
    }
}

fn servers(
    inventory: &Inventory,
    cluster: &ClusterName,
    numbers: &[MemberNo],
) -> Result<Vec<NodeName>, Refused> {
    if !inventory.clusters.contains_key(cluster) {
        return Err(unknown_cluster(inventory, cluster).into());
    }
    let all = inventory.servers_of(cluster);
    if numbers.is_empty() {
        return Ok(all);
    }
    let numbers: BTreeSet<&MemberNo> = numbers.iter().collect();
    let known = || all.iter().map(number_word).collect();
    let refusals = numbers
        .iter()
        .filter(|n| inventory.server(cluster, ***n).is_none())
        .map(|n| Refusal::UnknownName { what: "server No.", name: n.to_string(), known: known() });
    Refused::unless_empty(refusals.collect())?;
    Ok(numbers.into_iter().map(|n| NodeName::Server(cluster.clone(), *n)).collect())
}

fn number_word(node: &NodeName) -> String {
    match node {
        NodeName::Server(_, number) => number.to_string(),
        NodeName::Slave(_, id) => id.to_string(),
    }
}

pub(super) fn hosts_of(inventory: &Inventory, nodes: &[NodeName]) -> BTreeSet<HostAddress> {
    nodes.iter().filter_map(|node| inventory.host_of(node)).collect()
}

fn unknown_cluster(inventory: &Inventory, name: &ClusterName) -> Refusal {
    let known = inventory.clusters.keys().map(|c| c.to_string()).collect();
    Refusal::UnknownName { what: "cluster", name: name.to_string(), known }
}

fn unknown_host(inventory: &Inventory, name: &HostAddress) -> Refusal {
    let known = inventory.hosts.keys().map(|h| h.to_string()).collect();
    Refusal::UnknownName { what: "host", name: name.to_string(), known }
}
