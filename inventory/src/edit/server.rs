//! Members added and removed after the ring was founded. Registering one changes only the inventory; `plan::change_members`
//! adds it to the ring. Removed members stay in `removed`: their number, identity and directory are never reused.

use std::collections::BTreeSet;

use dkc_core::ids::{ClusterName, MemberNo, NodeAddress, NodeId, NodeUuid};

use super::cluster::{check_addresses_free, once_each, register_unknown_hosts};
use super::unknown::unknown_cluster;
use super::{EditError, Edited, Fresh};
use crate::model::{Cluster, Inventory, Server};

/// Adds a server for each new address; unknown hosts are registered with defaults. Existing members are left unchanged.
pub fn add_members(
    inventory: &Inventory,
    name: &ClusterName,
    typed: &[NodeAddress],
    fresh: Fresh<'_>,
) -> Result<Edited, EditError> {
    let mut lines = Vec::new();
    let addresses = once_each(typed, &mut lines)?;
    let Some(present) = inventory.clusters.get(name) else { return Err(unknown_cluster(inventory, name)) };
    let is_member = |address: &&NodeAddress| present.servers.iter().any(|s| s.address == **address);
    let new: Vec<NodeAddress> = addresses.iter().filter(|address| !is_member(address)).cloned().collect();
    check_addresses_free(inventory, &new, Some(name))?;
    let mut after = inventory.clone();
    if let Some(cluster) = after.clusters.get_mut(name) {
        let joins: Vec<NodeId> = cluster.servers.iter().map(|server| server.node_id).collect();
        for address in &new {
            let server = newcomer(cluster, address, joins.clone(), fresh);
            cluster.next_node_id = NodeId(server.node_id.0 + 1);
            cluster.servers.push(server);
        }
    }
    register_unknown_hosts(&mut after, name, &new, &mut lines);
    Ok(Edited::from(inventory, after, lines))
}

fn newcomer(cluster: &Cluster, address: &NodeAddress, joins: Vec<NodeId>, fresh: Fresh<'_>) -> Server {
    Server {
        number: cluster.next_number(),
        node_id: cluster.next_node_id,
        node_uuid: NodeUuid(fresh()),
        address: address.clone(),
        is_founder: false,
        joins,
        deployed: None,
    }
}

/// Records that these members have left the ring. Unknown and earlier numbers are ignored.
pub fn remove_members(inventory: &Inventory, name: &ClusterName, numbers: &[MemberNo]) -> Edited {
    let mut after = inventory.clone();
    let mut hosts = BTreeSet::new();
    if let Some(cluster) = after.clusters.get_mut(name) {
        let (leave, stay): (Vec<Server>, Vec<Server>) =
            cluster.servers.drain(..).partition(|server| numbers.contains(&server.number));
        cluster.servers = stay;
        hosts.extend(leave.iter().map(|server| server.address.host.clone()));
        hosts.retain(|host| !cluster.servers.iter().any(|server| server.address.host == *host));
        cluster.removed.extend(leave.into_iter().map(|server| Server { deployed: None, ..server }));
    }
    for host in hosts {
        if let Some(host) = after.hosts.get_mut(&host) {
            host.group.retain(|group| group != name.as_str());
        }
    }
    Edited::from(inventory, after, Vec::new())
}
