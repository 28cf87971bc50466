//! Records the result of a plan: the configurations deployed to hosts, and that a ring was founded.

use dkc_core::ids::ClusterName;

use super::Edited;
use crate::model::{Inventory, NodeName};
use crate::render;

/// Records that the configurations of these nodes, rendered from this inventory, are deployed.
pub fn record_deployed(inventory: &Inventory, nodes: &[NodeName]) -> Edited {
    let mut after = inventory.clone();
    for node in nodes {
        let digest = render::node_config(inventory, node).map(|config| render::config_digest(&config));
        set_deployed(&mut after, node, digest);
    }
    Edited::from(inventory, after, Vec::new())
}

/// Records that these nodes were removed from their hosts. A ring without servers has to be founded again.
pub fn forget_deployed(inventory: &Inventory, nodes: &[NodeName]) -> Edited {
    let mut after = inventory.clone();
    nodes.iter().for_each(|node| set_deployed(&mut after, node, None));
    for node in nodes.iter().filter(|node| node.is_server()) {
        if let Some(cluster) = after.clusters.get_mut(node.cluster()) {
            cluster.founded &= cluster.servers.iter().any(|server| server.deployed.is_some());
        }
    }
    Edited::from(inventory, after, Vec::new())
}

/// Records that this cluster's ring is founded.
pub fn record_founded(inventory: &Inventory, cluster: &ClusterName) -> Edited {
    let mut after = inventory.clone();
    if let Some(cluster) = after.clusters.get_mut(cluster) {
        cluster.founded = true;
    }
    Edited::from(inventory, after, Vec::new())
}

/// Prepares an earlier inventory to replace the current one: registered values are restored, records about hosts are kept,
/// because hosts do not change.
pub fn keep_recorded(mut earlier: Inventory, now: &Inventory) -> Inventory {
    for (name, cluster) in &mut earlier.clusters {
        let Some(present) = now.clusters.get(name).filter(|present| present.id == cluster.id) else {
            continue;
        };
        cluster.founded = present.founded;
        if present.founded {
            // Membership is decided by the ring; an undo cannot revert it.
            cluster.servers.clone_from(&present.servers);
            cluster.removed.clone_from(&present.removed);
            cluster.next_node_id = present.next_node_id;
            for server in &cluster.servers {
                let host = &server.address.host;
                if let (None, Some(entry)) = (earlier.hosts.get(host), now.hosts.get(host)) {
                    earlier.hosts.insert(host.clone(), entry.clone());
                }
            }
        }
        for server in &mut cluster.servers {
            if let Some(same) = present.servers.iter().find(|s| s.node_uuid == server.node_uuid) {
                server.deployed.clone_from(&same.deployed);
            }
        }
    }
    for (id, slave) in &mut earlier.slaves {
        if let Some(same) = now.slaves.get(id).filter(|same| same.node_uuid == slave.node_uuid) {
            slave.deployed.clone_from(&same.deployed);
        }
    }
    earlier
}

fn set_deployed(inventory: &mut Inventory, node: &NodeName, digest: Option<String>) {
    match node {
        NodeName::Server(cluster, number) => {
            let servers = inventory.clusters.get_mut(cluster).map(|c| c.servers.iter_mut());
            if let Some(server) = servers.into_iter().flatten().find(|s| s.number == *number) {
                server.deployed = digest;
            }
        }
        NodeName::Slave(_, id) => {
            if let Some(slave) = inventory.slaves.get_mut(id) {
                slave.deployed = digest;
            }
        }
    }
}
