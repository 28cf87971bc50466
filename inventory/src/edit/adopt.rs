//! A slave that joined with a token gets its place in the inventory: from then on it is like one that was registered here.

use dkc_core::config::Pair;
use dkc_core::ids::{ClusterName, HostAddress, NodeUuid, SlaveId};

use super::pair::check_free;
use super::slave::{check_cluster_and_host, check_same};
use super::{EditError, Edited, RegisterSlave};
use crate::model::{Inventory, Slave};

/// `adopt slave`, with what its host said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptSlave {
    /// Whose data it gives access to.
    pub cluster: ClusterName,
    /// The id that the cluster gave it.
    pub id: SlaveId,
    /// Where it runs. None = this machine.
    pub host: Option<HostAddress>,
    /// Its identity.
    pub node_uuid: NodeUuid,
    /// Where it listens.
    pub pairs: Vec<Pair>,
    /// SHA-256 of its `node.yaml`.
    pub deployed: String,
}

/// Adds the slave as it runs. The same request again changes nothing.
pub fn adopt_slave(inventory: &Inventory, request: &AdoptSlave) -> Result<Edited, EditError> {
    let AdoptSlave { cluster, id, host, node_uuid, pairs, deployed } = request;
    check_cluster_and_host(inventory, cluster, host.as_ref())?;
    if let Some(present) = inventory.slaves.get(id) {
        let same = RegisterSlave { cluster: cluster.clone(), id: Some(*id), host: host.clone() };
        check_same(*id, present, &same)?;
        if present.node_uuid != *node_uuid {
            return Err(EditError::Different {
                what: format!("slave {id}"),
                differences: vec![format!("its identity is {}, not {node_uuid}", present.node_uuid)],
                modify: format!("unregister slave --id {id}"),
            });
        }
        let lines = vec![format!("slave {id}: already registered")];
        return Ok(Edited::from(inventory, inventory.clone(), lines));
    }
    let mut after = inventory.clone();
    let slave = Slave {
        cluster: cluster.clone(),
        host: host.clone(),
        node_uuid: *node_uuid,
        pairs: pairs.clone(),
        deployed: Some(deployed.clone()),
    };
    after.slaves.insert(*id, slave);
    for pair in pairs {
        check_free(&after, *id, &pair.listen)?;
    }
    let place = host.as_ref().map_or("this machine".into(), |host| format!("host {host}"));
    Ok(Edited::from(inventory, after, vec![format!("slave {id}: adopted on {place}")]))
}
