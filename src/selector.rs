//! Resolves the selectors HOST, @GROUP, CLUSTER, CLUSTER/NO and CLUSTER/slaveID to hosts and nodes. Selection is always
//! explicit: no command acts on the node that it happens to be connected to.

use std::collections::BTreeSet;

use dkc_core::ids::{ClusterName, HostAddress};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::names::suggestion;

use crate::error::{CommandError, codes};

/// The hosts and nodes that selectors name. Nodes are only those named through their cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    pub hosts: BTreeSet<HostAddress>,
    pub nodes: BTreeSet<NodeName>,
}

impl Selected {
    pub fn parse(inventory: &Inventory, words: &[String]) -> Result<Selected, CommandError> {
        let mut selected = Selected::default();
        for word in words {
            selected.add(inventory, word)?;
        }
        Ok(selected)
    }

    /// Whether the selection includes the node.
    pub fn means(&self, inventory: &Inventory, node: &NodeName) -> bool {
        self.nodes.contains(node) || inventory.host_of(node).is_some_and(|host| self.hosts.contains(&host))
    }

    /// Every named host, and the hosts of named nodes.
    pub fn all_hosts(&self, inventory: &Inventory) -> BTreeSet<HostAddress> {
        let of_nodes = self.nodes.iter().filter_map(|node| inventory.host_of(node));
        self.hosts.iter().cloned().chain(of_nodes).collect()
    }

    fn add(&mut self, inventory: &Inventory, word: &str) -> Result<(), CommandError> {
        if let Some(group) = word.strip_prefix('@') {
            let members =
                inventory.hosts.iter().filter(|(_, host)| host.group.iter().any(|name| name == group));
            let before = self.hosts.len();
            self.hosts.extend(members.map(|(address, _)| address.clone()));
            let groups = inventory.hosts.values().flat_map(|host| &host.group).cloned();
            return if self.hosts.len() > before { Ok(()) } else { Err(unknown("group", group, groups)) };
        }
        if let Some((cluster, member)) = word.split_once('/') {
            let nodes = nodes_of(inventory, cluster);
            let wanted = format!("{cluster}-{member}");
            let members =
                nodes.iter().filter_map(|node| node.to_string().strip_prefix(cluster).map(str::to_owned));
            let known: Vec<String> =
                members.map(|end| format!("{cluster}/{}", end.trim_start_matches('-'))).collect();
            let found = nodes.into_iter().find(|node| node.to_string() == wanted);
            self.nodes.insert(found.ok_or_else(|| unknown("member", word, known))?);
            return Ok(());
        }
        let nodes = nodes_of(inventory, word);
        if !nodes.is_empty() {
            self.nodes.extend(nodes);
            return Ok(());
        }
        match word.parse::<HostAddress>() {
            Ok(address) if inventory.host(&address).is_some() => drop(self.hosts.insert(address)),
            _ => {
                let names = inventory.hosts.keys().map(|host| host.to_string());
                let names = names.chain(inventory.clusters.keys().map(|cluster| cluster.to_string()));
                return Err(unknown("host", word, names));
            }
        }
        Ok(())
    }
}

fn nodes_of(inventory: &Inventory, cluster: &str) -> Vec<NodeName> {
    cluster.parse::<ClusterName>().map(|name| inventory.nodes_of(&name)).unwrap_or_default()
}

fn unknown(what: &str, word: &str, known: impl IntoIterator<Item = String>) -> CommandError {
    let error = CommandError::new(&codes::UNKNOWN_NAME, format!("{what} {word} is not registered"));
    let noun = if what == "member" { "cluster" } else { "host" };
    error.now("nothing changed").next(suggestion(word, known, noun).join("\n"))
}
