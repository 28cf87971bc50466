//! The inventory as a value: hosts, clusters with their servers, slaves with their pairs.

use std::collections::BTreeMap;

use dkc_core::config::{Pair, Parameters};
use dkc_core::ids::{ClusterId, ClusterName, HostAddress, MemberNo, NodeAddress, NodeId, NodeUuid, SlaveId};
use serde::{Deserialize, Serialize};

/// The version of the file's format.
pub const INVENTORY_VERSION: u32 = 1;
/// The user that hosts get who are registered without one.
pub const DEFAULT_USER: &str = "dkc";
pub const DEFAULT_SSH_PORT: u16 = 22;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    pub version: u32,
    /// Grows by one with every change.
    pub generation: u64,
    #[serde(default)]
    pub hosts: BTreeMap<HostAddress, Host>,
    #[serde(default)]
    pub clusters: BTreeMap<ClusterName, Cluster>,
    #[serde(default)]
    pub slaves: BTreeMap<SlaveId, Slave>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    pub user: String,
    #[serde(default = "default_ssh_port")]
    pub port: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
    /// Pinned host keys (`SHA256:…`); empty = not yet seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_key: Vec<String>,
    /// Trust whatever key the host shows at first contact, without asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_new: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// This machine: the same steps without SSH.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}
fn default_ssh_port() -> u16 {
    DEFAULT_SSH_PORT
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub id: ClusterId,
    pub replicas: u32,
    pub tablets: u16,
    pub servers: Vec<Server>,
    /// The Raft id that the next server gets; ids are never given out twice.
    pub next_node_id: NodeId,
    /// Parameters the operator set; all others have their defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, serde_yaml::Value>,
    /// Set once `start cluster` has founded the ring.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub founded: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    #[serde(rename = "No.")]
    pub number: MemberNo,
    pub node_id: NodeId,
    pub node_uuid: NodeUuid,
    pub address: NodeAddress,
    pub is_founder: bool,
    /// SHA-256 of the `node.yaml` that the last deploy wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slave {
    pub cluster: ClusterName,
    /// None = this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostAddress>,
    pub node_uuid: NodeUuid,
    #[serde(default)]
    pub pairs: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<String>,
}

/// A node of either role, by the name of its directory and unit: `c0-0`, `c0-slave1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeName {
    Server(ClusterName, MemberNo),
    Slave(ClusterName, SlaveId),
}
impl std::fmt::Display for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NodeName::Server(cluster, number) => write!(f, "{cluster}-{number}"),
            NodeName::Slave(cluster, id) => write!(f, "{cluster}-slave{id}"),
        }
    }
}

/// The parameters of a cluster with the operator's values laid over the defaults.
pub type Effective = Parameters;
