//! Slaves: their cluster and host.

use dkc_core::ids::{ClusterName, HostAddress, NodeUuid, SlaveId};

use super::unknown::{unknown_cluster, unknown_host, unknown_slave};
use super::{Change, EditError, Edited, Fresh};
use crate::model::{Inventory, Slave};

/// `register slave --cluster NAME [--id N] [--host HOST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterSlave {
    /// Whose data it gives access to.
    pub cluster: ClusterName,
    /// None = the smallest free one.
    pub id: Option<SlaveId>,
    /// None = this machine.
    pub host: Option<HostAddress>,
}

/// `modify slave`. `None` keeps a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModifySlave {
    /// Which slave.
    pub id: SlaveId,
    /// Refused while the slave is installed.
    pub cluster: Option<ClusterName>,
    /// Refused while the slave is installed.
    pub host: Change<HostAddress>,
}

/// `unregister slave`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnregisterSlave {
    /// Which slave; its pairs go with it.
    pub id: SlaveId,
    /// Unregister it although it is installed on its host.
    pub forget: bool,
}

/// Adds a slave without pairs. The same request again changes nothing.
pub fn register_slave(
    inventory: &Inventory,
    request: &RegisterSlave,
    fresh: Fresh<'_>,
) -> Result<Edited, EditError> {
    check_cluster_and_host(inventory, &request.cluster, request.host.as_ref())?;
    let id = request.id.unwrap_or_else(|| smallest_free(inventory));
    if let Some(present) = inventory.slaves.get(&id) {
        check_same(id, present, request)?;
        let lines = vec![format!("slave {id}: already registered")];
        return Ok(Edited::from(inventory, inventory.clone(), lines));
    }
    let mut after = inventory.clone();
    let slave = Slave {
        cluster: request.cluster.clone(),
        host: request.host.clone(),
        node_uuid: NodeUuid(fresh()),
        pairs: Vec::new(),
        deployed: None,
    };
    after.slaves.insert(id, slave);
    let place = request.host.as_ref().map_or("this machine".into(), |host| format!("host {host}"));
    Ok(Edited::from(inventory, after, vec![format!("slave {id}: registered on {place}")]))
}

pub(super) fn check_cluster_and_host(
    inventory: &Inventory,
    cluster: &ClusterName,
    host: Option<&HostAddress>,
) -> Result<(), EditError> {
    if !inventory.clusters.contains_key(cluster) {
        return Err(unknown_cluster(inventory, cluster));
    }
    match host {
        Some(host) if inventory.host(host).is_none() => Err(unknown_host(inventory, host)),
        _ => Ok(()),
    }
}

fn smallest_free(inventory: &Inventory) -> SlaveId {
    (0..).map(SlaveId).find(|id| !inventory.slaves.contains_key(id)).unwrap_or_default()
}

pub(super) fn check_same(id: SlaveId, present: &Slave, request: &RegisterSlave) -> Result<(), EditError> {
    let mut differences = Vec::new();
    if present.cluster != request.cluster {
        differences.push(format!("its cluster is {}, not {}", present.cluster, request.cluster));
    }
    if present.host != request.host {
        let name =
            |host: &Option<HostAddress>| host.as_ref().map_or("this machine".into(), |h| h.to_string());
        differences.push(format!("its host is {}, not {}", name(&present.host), name(&request.host)));
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(EditError::Different {
            what: format!("slave {id}"),
            differences,
            modify: format!("modify slave --id {id} …"),
        }),
    }
}

/// Moves a slave that is not installed to another cluster or host.
pub fn modify_slave(inventory: &Inventory, request: &ModifySlave) -> Result<Edited, EditError> {
    let Some(present) = inventory.slaves.get(&request.id) else {
        return Err(unknown_slave(inventory, request.id));
    };
    let mut slave = present.clone();
    request.host.apply_optional(&mut slave.host);
    if let Some(cluster) = &request.cluster {
        slave.cluster = cluster.clone();
    }
    check_cluster_and_host(inventory, &slave.cluster, slave.host.as_ref())?;
    let moves = slave.host != present.host || slave.cluster != present.cluster;
    if moves && present.deployed.is_some() {
        return Err(EditError::Fixed {
            what: "host and cluster of a slave",
            cluster: present.cluster.clone(),
            why: "it is installed: destroy it first, or register another",
        });
    }
    let mut after = inventory.clone();
    after.slaves.insert(request.id, slave.clone());
    for pair in &slave.pairs {
        super::pair::check_free(&after, request.id, &pair.listen)?;
    }
    Ok(Edited::from(inventory, after, Vec::new()))
}

/// Removes a slave and its pairs. Refused while it is installed.
pub fn unregister_slave(inventory: &Inventory, request: &UnregisterSlave) -> Result<Edited, EditError> {
    let Some(slave) = inventory.slaves.get(&request.id) else {
        return Err(unknown_slave(inventory, request.id));
    };
    if slave.deployed.is_some() && !request.forget {
        return Err(EditError::Deployed {
            what: format!("slave {}", request.id),
            remove: format!("destroy slave --id {}", request.id),
        });
    }
    let mut after = inventory.clone();
    after.slaves.remove(&request.id);
    Ok(Edited::from(inventory, after, Vec::new()))
}
