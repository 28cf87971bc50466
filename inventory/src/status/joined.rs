//! Slaves that joined with a token. They are in no inventory until they are adopted: the cluster knows them, and servers know which of
//! them are connected.

use dkc_core::ids::{ClusterName, Namespace, NodeUuid, SlaveId};
use dkc_core::token::TokenId;
use serde::Serialize;

use super::State;
use crate::enrolled::tokens;
use crate::model::Inventory;
use crate::observed::Observed;
use crate::ring_facts::RingFacts;

/// A slave that joined with a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JoinedSlave {
    /// Its id.
    pub id: SlaveId,
    /// Its cluster.
    pub cluster: String,
    /// Where it is connected from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Running if some server has a connection of it, else stopped as far as servers can tell.
    pub status: State,
    /// Its identity.
    pub node_uuid: NodeUuid,
    /// What it may use.
    pub namespaces: Vec<Namespace>,
    /// The token that it showed.
    pub token: TokenId,
    /// Milliseconds since the Unix epoch.
    pub joined_at_ms: u64,
}

/// The slaves that joined and are neither in the inventory nor revoked, by id.
pub fn joined_slaves(inventory: &Inventory, observed: &Observed, cluster: &ClusterName) -> Vec<JoinedSlave> {
    let Some(view) = tokens(inventory, observed, cluster) else { return Vec::new() };
    let revoked = RingFacts::of(inventory, observed, cluster).map(|facts| &facts.view.revoked);
    let is_left = |uuid: &NodeUuid| {
        let is_adopted = inventory.slaves.values().any(|slave| slave.node_uuid == *uuid);
        !is_adopted && !revoked.is_some_and(|revoked| revoked.contains_key(uuid))
    };
    let joined = view.enrolled.into_iter().filter(|(uuid, _)| is_left(uuid)).map(|(uuid, slave)| {
        let address = view.connected.get(&uuid).cloned();
        JoinedSlave {
            id: slave.id,
            cluster: cluster.to_string(),
            status: if address.is_some() { State::Running } else { State::Stopped },
            address,
            node_uuid: uuid,
            namespaces: slave.namespaces,
            token: slave.token,
            joined_at_ms: slave.at_ms,
        }
    });
    let mut joined: Vec<JoinedSlave> = joined.collect();
    joined.sort_by_key(|slave| slave.id);
    joined
}
