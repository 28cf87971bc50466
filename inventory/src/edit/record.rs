//! What the shell writes down after a plan was carried out: which configuration lies on the hosts, and that a ring
//! was founded.

use dkc_core::ids::ClusterName;

use super::Edited;
use crate::model::{Inventory, NodeName};
use crate::render;

/// The configurations of these nodes, as rendered from this inventory, now lie on their hosts.
pub fn record_deployed(inventory: &Inventory, nodes: &[NodeName]) -> Edited {
    let mut after = inventory.clone();
    for node in nodes {
        let digest = render::node_config(inventory, node).map(|config| render::config_digest(&config));
        set_deployed(&mut after, node, digest);
    }
    Edited::from(inventory, after, Vec::new())
}

/// These nodes were removed from their hosts.
pub fn forget_deployed(inventory: &Inventory, nodes: &[NodeName]) -> Edited {
    let mut after = inventory.clone();
    nodes.iter().for_each(|node| set_deployed(&mut after, node, None));
    Edited::from(inventory, after, Vec::new())
}

/// The ring of this cluster stands.
pub fn record_founded(inventory: &Inventory, cluster: &ClusterName) -> Edited {
    let mut after = inventory.clone();
    if let Some(cluster) = after.clusters.get_mut(cluster) {
        cluster.founded = true;
    }
    Edited::from(inventory, after, Vec::new())
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
