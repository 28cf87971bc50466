//! `recover`: the cluster of this name starts over, with another id, on the hosts that are left. What its servers were is kept as removed:
//! their numbers, ids and directories are never used again.

use dkc_core::ids::{ClusterId, ClusterName, NodeAddress, NodeId, NodeUuid};

use super::cluster::once_each;
use super::unknown::unknown_cluster;
use super::{EditError, Edited, Fresh};
use crate::model::{Inventory, Server};

/// `recover -n NAME [HOST:PORT…]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoverCluster {
    /// Which cluster.
    pub name: ClusterName,
    /// The founders of the new one, at least one, on registered hosts.
    pub servers: Vec<NodeAddress>,
}

/// Gives the cluster a new id and new servers.
pub fn recover_cluster(
    inventory: &Inventory,
    request: &RecoverCluster,
    fresh: Fresh<'_>,
) -> Result<Edited, EditError> {
    let mut lines = Vec::new();
    let addresses = once_each(&request.servers, &mut lines)?;
    super::cluster::check_addresses_free(inventory, &addresses, Some(&request.name))?;
    if let Some(unknown) = addresses.iter().find(|address| inventory.host(&address.host).is_none()) {
        return Err(super::unknown_host(inventory, &unknown.host));
    }
    let mut after = inventory.clone();
    let cluster =
        after.clusters.get_mut(&request.name).ok_or_else(|| unknown_cluster(inventory, &request.name))?;
    let first = cluster.next_number();
    cluster.removed.append(&mut cluster.servers);
    for server in &mut cluster.removed {
        // They founded another cluster.
        (server.is_founder, server.joins, server.deployed) = (false, Vec::new(), None);
    }
    cluster.id = ClusterId(fresh());
    cluster.founded = false;
    for (address, index) in addresses.into_iter().zip(0..) {
        cluster.servers.push(Server {
            number: dkc_core::ids::MemberNo(first.0 + index),
            node_id: NodeId(cluster.next_node_id.0 + u64::from(index)),
            node_uuid: NodeUuid(fresh()),
            address,
            is_founder: true,
            joins: Vec::new(),
            deployed: None,
        });
    }
    cluster.next_node_id = NodeId(cluster.next_node_id.0 + cluster.servers.len() as u64);
    Ok(Edited::from(inventory, after, lines))
}
