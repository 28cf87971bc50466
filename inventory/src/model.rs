//! The inventory as a value: hosts, clusters with their servers, slaves with their pairs, and the questions that
//! everybody asks of it. It only holds wishes, names and what the last deploy wrote; what hosts say of themselves
//! is in `observed`. Ordered maps everywhere, so that the same inventory is always the same text.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use dkc_core::config::{Pair, Parameters, ServerEntry};
use dkc_core::ids::{ClusterId, ClusterName, HostAddress, MemberNo, NodeAddress, NodeId, NodeUuid, SlaveId};
use serde::{Deserialize, Serialize};

use crate::generation::Generation;

/// The version of the file's format.
pub const INVENTORY_VERSION: u32 = 1;
/// The user that hosts get who are registered without one.
pub const DEFAULT_USER: &str = "dkc";
pub const DEFAULT_SSH_PORT: u16 = 22;
/// What a slave without a host runs on: this machine, reached without SSH.
pub const THIS_MACHINE: &str = "localhost";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    pub version: u32,
    /// Grows by one with every change.
    pub generation: Generation,
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
    /// Members that left the ring. Their numbers and directories on hosts are not given to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Server>,
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
    /// The members that this one joined: until it has the ring map it lets nobody else in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<NodeId>,
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
impl NodeName {
    pub fn cluster(&self) -> &ClusterName {
        match self {
            NodeName::Server(cluster, _) | NodeName::Slave(cluster, _) => cluster,
        }
    }
    pub fn is_server(&self) -> bool {
        matches!(self, NodeName::Server(..))
    }
    /// As the operator speaks of it: `server 0 of c0`, `slave 1`.
    pub fn spoken(&self) -> String {
        match self {
            NodeName::Server(cluster, number) => format!("server {number} of {cluster}"),
            NodeName::Slave(_, id) => format!("slave {id}"),
        }
    }
}
impl std::fmt::Display for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NodeName::Server(cluster, number) => write!(f, "{cluster}-{number}"),
            NodeName::Slave(cluster, id) => write!(f, "{cluster}-slave{id}"),
        }
    }
}

/// The address that stands for this machine.
pub fn this_machine() -> HostAddress {
    THIS_MACHINE.parse().expect("a constant that is a host name")
}

impl Host {
    /// A host as `register host` makes it when only its address is given.
    pub fn with_defaults() -> Host {
        Host {
            user: DEFAULT_USER.into(),
            port: DEFAULT_SSH_PORT,
            group: Vec::new(),
            host_key: Vec::new(),
            accept_new: false,
            data_dir: None,
            zone: None,
            local: false,
        }
    }
}

impl Default for Inventory {
    fn default() -> Self {
        Inventory::empty()
    }
}

impl Inventory {
    /// What a first start begins with.
    pub fn empty() -> Inventory {
        Inventory {
            version: INVENTORY_VERSION,
            generation: Generation::NONE,
            hosts: BTreeMap::new(),
            clusters: BTreeMap::new(),
            slaves: BTreeMap::new(),
        }
    }

    /// A registered host, or this machine, which needs no registration.
    pub fn host(&self, address: &HostAddress) -> Option<Cow<'_, Host>> {
        match self.hosts.get(address) {
            Some(host) => Some(Cow::Borrowed(host)),
            None if address.as_str() == THIS_MACHINE => {
                Some(Cow::Owned(Host { local: true, ..Host::with_defaults() }))
            }
            None => None,
        }
    }

    pub fn server(&self, cluster: &ClusterName, number: MemberNo) -> Option<&Server> {
        self.clusters.get(cluster)?.servers.iter().find(|s| s.number == number)
    }

    /// A member, or one that has left and whose directory may still lie on its host.
    fn server_ever(&self, cluster: &ClusterName, number: MemberNo) -> Option<&Server> {
        let cluster = self.clusters.get(cluster)?;
        cluster.servers.iter().chain(&cluster.removed).find(|server| server.number == number)
    }

    /// Members that have left.
    pub fn removed_of(&self, cluster: &ClusterName) -> Vec<NodeName> {
        let removed = self.clusters.get(cluster).map(|c| c.removed.as_slice()).unwrap_or_default();
        removed.iter().map(|server| NodeName::Server(cluster.clone(), server.number)).collect()
    }

    /// Every node there is, servers first within each cluster.
    pub fn node_names(&self) -> Vec<NodeName> {
        self.clusters.keys().flat_map(|cluster| self.nodes_of(cluster)).collect()
    }

    /// The servers of a cluster in order of their numbers, then its slaves.
    pub fn nodes_of(&self, cluster: &ClusterName) -> Vec<NodeName> {
        let mut nodes = self.servers_of(cluster);
        nodes.extend(self.slaves_of(cluster).into_iter().map(|id| NodeName::Slave(cluster.clone(), id)));
        nodes
    }

    pub fn servers_of(&self, cluster: &ClusterName) -> Vec<NodeName> {
        let servers = self.clusters.get(cluster).map(|c| c.servers.as_slice()).unwrap_or_default();
        let numbers: BTreeSet<MemberNo> = servers.iter().map(|s| s.number).collect();
        numbers.into_iter().map(|n| NodeName::Server(cluster.clone(), n)).collect()
    }

    pub fn slaves_of(&self, cluster: &ClusterName) -> Vec<SlaveId> {
        self.slaves.iter().filter(|(_, s)| s.cluster == *cluster).map(|(id, _)| *id).collect()
    }

    /// The name of a slave's node.
    pub fn slave_node(&self, id: SlaveId) -> Option<NodeName> {
        Some(NodeName::Slave(self.slaves.get(&id)?.cluster.clone(), id))
    }

    /// Where a node runs.
    pub fn host_of(&self, node: &NodeName) -> Option<HostAddress> {
        match node {
            NodeName::Server(cluster, number) => {
                Some(self.server_ever(cluster, *number)?.address.host.clone())
            }
            NodeName::Slave(_, id) => Some(self.slaves.get(id)?.host.clone().unwrap_or_else(this_machine)),
        }
    }

    pub fn nodes_on(&self, host: &HostAddress) -> Vec<NodeName> {
        self.node_names().into_iter().filter(|node| self.host_of(node).as_ref() == Some(host)).collect()
    }

    pub fn uuid_of(&self, node: &NodeName) -> Option<NodeUuid> {
        match node {
            NodeName::Server(cluster, number) => Some(self.server_ever(cluster, *number)?.node_uuid),
            NodeName::Slave(_, id) => Some(self.slaves.get(id)?.node_uuid),
        }
    }

    /// The digest of the configuration that the last deploy wrote for a node.
    pub fn deployed_of(&self, node: &NodeName) -> Option<&str> {
        match node {
            NodeName::Server(cluster, number) => self.server(cluster, *number)?.deployed.as_deref(),
            NodeName::Slave(_, id) => self.slaves.get(id)?.deployed.as_deref(),
        }
    }

    /// The servers of a cluster as its nodes' configuration lists them, with the zones of their hosts.
    pub fn server_entries(&self, cluster: &ClusterName) -> Vec<ServerEntry> {
        let servers = self.clusters.get(cluster).map(|c| c.servers.as_slice()).unwrap_or_default();
        servers.iter().map(|server| self.server_entry(server)).collect()
    }

    pub(crate) fn server_entry(&self, server: &Server) -> ServerEntry {
        ServerEntry {
            number: server.number,
            node_id: server.node_id,
            node_uuid: server.node_uuid,
            address: server.address.clone(),
            zone: self.hosts.get(&server.address.host).and_then(|h| h.zone.clone()),
        }
    }

    /// Nodes whose configuration is not what the last deploy wrote, or that were never deployed.
    pub fn undeployed(&self) -> Vec<NodeName> {
        let differs = |node: &NodeName| {
            let wanted =
                crate::render::node_config(self, node).map(|config| crate::render::config_digest(&config));
            wanted.as_deref() != self.deployed_of(node)
        };
        self.node_names().into_iter().filter(differs).collect()
    }

    /// Does the inventory hold changes that no deploy has carried to the hosts?
    pub fn is_dirty(&self) -> bool {
        !self.undeployed().is_empty()
    }
}

/// The directory of a node below its host's root.
pub fn node_dir(root: &str, node: &NodeName) -> String {
    format!("{}/{node}", root.trim_end_matches('/'))
}

impl Cluster {
    /// The number that the next member gets: never that of one that left, whose directory may still lie on its host.
    pub fn next_number(&self) -> MemberNo {
        let all = self.servers.iter().chain(&self.removed).map(|server| server.number.0 + 1);
        MemberNo(all.max().unwrap_or(0))
    }

    /// Copies of each tablet: as many as are wanted, or as there are servers.
    pub fn copies(&self) -> u32 {
        self.replicas.min(self.servers.len() as u32)
    }

    /// The operator's values laid over the defaults; the message names the one that is unknown or out of range.
    pub fn effective(&self) -> Result<Parameters, String> {
        Parameters::with_overrides(&self.parameters)
    }
}
