//! The inventory as a value: hosts, clusters with their servers, slaves with their pairs, and common queries. It holds the
//! wanted state and what the last deploy wrote; facts from hosts are in `observed`. Ordered maps make its text
//! deterministic.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use dkc_core::config::{Pair, ServerEntry, Setting};
use dkc_core::ids::{
    ClusterId, ClusterName, ConfigName, HostAddress, MemberNo, NodeAddress, NodeId, NodeUuid, SlaveId,
};
use serde::{Deserialize, Serialize};

use crate::generation::Generation;

/// The version of the file's format.
pub const INVENTORY_VERSION: u32 = 1;
/// The default login user.
pub const DEFAULT_USER: &str = "dkc";
/// The SSH port of hosts without one.
pub const DEFAULT_SSH_PORT: u16 = 22;
/// The host of a slave without one: this machine, without SSH.
pub const THIS_MACHINE: &str = "localhost";

/// The content of the inventory file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// `INVENTORY_VERSION`; any other is refused.
    pub version: u32,
    /// Incremented by every change.
    pub generation: Generation,
    /// By SSH address.
    #[serde(default)]
    pub hosts: BTreeMap<HostAddress, Host>,
    /// Configuration groups by name: what the operator set in them. What a group leaves out has its default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<ConfigName, Overrides>,
    /// By name.
    #[serde(default)]
    pub clusters: BTreeMap<ClusterName, Cluster>,
    /// By id, which is unique over all clusters.
    #[serde(default)]
    pub slaves: BTreeMap<SlaveId, Slave>,
    /// Pinned host keys (`SHA256:…`) of jump hosts that are not registered themselves, by their `ssh_name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jump_hosts: BTreeMap<String, Vec<String>>,
}

/// Parameters that an operator set, by name.
pub type Overrides = BTreeMap<String, Setting>;

/// What a host is called in lists of known hosts.
pub fn ssh_name(host: &str, port: u16) -> String {
    if port == DEFAULT_SSH_PORT { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// How a host is reached, and what placement knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// SSH login; nodes run as this user too.
    pub user: String,
    /// SSH port.
    #[serde(default = "default_ssh_port")]
    pub port: u16,
    /// Names that select several hosts at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
    /// Pinned host keys (`SHA256:…`); empty = not yet seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_key: Vec<String>,
    /// Pin the key that the host presents at first contact without asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_new: bool,
    /// The nodes' root, an absolute path; `None`: chosen on the host (`HostFacts::root`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<String>,
    /// Failure domain for placement; `None`: the host is a zone of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The local machine: steps run without SSH.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}
fn default_ssh_port() -> u16 {
    DEFAULT_SSH_PORT
}

/// A named ring of servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// In every certificate and Hello; minted at `register cluster`.
    pub id: ClusterId,
    /// Copies of each tablet; fixed at founding.
    pub replicas: u32,
    /// Raft groups that the key space is divided into; fixed at founding.
    pub tablets: u16,
    /// Members, in the order of registration.
    pub servers: Vec<Server>,
    /// Removed members. Their numbers and directories are never reused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Server>,
    /// The next server's Raft id; ids are never reused.
    pub next_node_id: NodeId,
    /// The configuration group that it is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigName>,
    /// Parameters set for this cluster alone, before those of its group. `crate::parameters` resolves them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: Overrides,
    /// Set once `start cluster` has founded the ring.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub founded: bool,
}

/// A member of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// For people; unique in the cluster, also among removed members.
    #[serde(rename = "No.")]
    pub number: MemberNo,
    /// Raft id; never reused in the cluster.
    pub node_id: NodeId,
    /// Identity of the data directory; minted at registration, never reused.
    pub node_uuid: NodeUuid,
    /// Host and node port; unique in the inventory.
    pub address: NodeAddress,
    /// Registered before the cluster was founded.
    pub is_founder: bool,
    /// The members that this one joined: it accepts only them until it has the ring map.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<NodeId>,
    /// SHA-256 of the `node.yaml` that the last deploy wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<String>,
}

/// A process beside applications that listens for them and forwards to its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slave {
    /// Whose data it gives access to.
    pub cluster: ClusterName,
    /// None = this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostAddress>,
    /// Identity in its certificate; minted at registration.
    pub node_uuid: NodeUuid,
    /// Where it listens; no two at the same place of a host.
    #[serde(default)]
    pub pairs: Vec<Pair>,
    /// SHA-256 of the `node.yaml` that the last deploy wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<String>,
}

/// A node of either role, by the name of its directory and unit: `c0-0`, `c0-slave1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeName {
    /// By cluster and member number.
    Server(ClusterName, MemberNo),
    /// By cluster and slave id.
    Slave(ClusterName, SlaveId),
}
impl NodeName {
    /// Also of a slave: the cluster it gives access to.
    pub fn cluster(&self) -> &ClusterName {
        match self {
            NodeName::Server(cluster, _) | NodeName::Slave(cluster, _) => cluster,
        }
    }
    /// False for a slave.
    pub fn is_server(&self) -> bool {
        matches!(self, NodeName::Server(..))
    }
    /// For messages: `server 0 of c0`, `slave 1`.
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

/// The address of this machine.
pub fn this_machine() -> HostAddress {
    THIS_MACHINE.parse().expect("a constant that is a host name")
}

impl Host {
    /// A host registered by its address only.
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
    /// An empty inventory.
    pub fn empty() -> Inventory {
        Inventory {
            version: INVENTORY_VERSION,
            generation: Generation::NONE,
            hosts: BTreeMap::new(),
            configs: BTreeMap::new(),
            clusters: BTreeMap::new(),
            slaves: BTreeMap::new(),
            jump_hosts: BTreeMap::new(),
        }
    }

    /// The pinned keys of everybody who may be a jump host.
    pub fn jump_pins(&self) -> BTreeMap<String, Vec<String>> {
        let registered = self.hosts.iter().filter(|(_, host)| !host.host_key.is_empty());
        let registered =
            registered.map(|(address, host)| (ssh_name(address.as_str(), host.port), host.host_key.clone()));
        self.jump_hosts.clone().into_iter().chain(registered).collect()
    }

    /// A registered host, or this machine.
    pub fn host(&self, address: &HostAddress) -> Option<Cow<'_, Host>> {
        match self.hosts.get(address) {
            Some(host) => Some(Cow::Borrowed(host)),
            None if address.as_str() == THIS_MACHINE => {
                Some(Cow::Owned(Host { local: true, ..Host::with_defaults() }))
            }
            None => None,
        }
    }

    /// A present member.
    pub fn server(&self, cluster: &ClusterName, number: MemberNo) -> Option<&Server> {
        self.clusters.get(cluster)?.servers.iter().find(|s| s.number == number)
    }

    /// A member, or a removed one whose directory may still exist.
    fn server_ever(&self, cluster: &ClusterName, number: MemberNo) -> Option<&Server> {
        let cluster = self.clusters.get(cluster)?;
        cluster.servers.iter().chain(&cluster.removed).find(|server| server.number == number)
    }

    /// Removed members.
    pub fn removed_of(&self, cluster: &ClusterName) -> Vec<NodeName> {
        let removed = self.clusters.get(cluster).map(|c| c.removed.as_slice()).unwrap_or_default();
        removed.iter().map(|server| NodeName::Server(cluster.clone(), server.number)).collect()
    }

    /// Every node; servers come first within each cluster.
    pub fn node_names(&self) -> Vec<NodeName> {
        self.clusters.keys().flat_map(|cluster| self.nodes_of(cluster)).collect()
    }

    /// The servers of a cluster in order of their numbers, then its slaves.
    pub fn nodes_of(&self, cluster: &ClusterName) -> Vec<NodeName> {
        let mut nodes = self.servers_of(cluster);
        nodes.extend(self.slaves_of(cluster).into_iter().map(|id| NodeName::Slave(cluster.clone(), id)));
        nodes
    }

    /// In order of their numbers; empty for an unknown cluster.
    pub fn servers_of(&self, cluster: &ClusterName) -> Vec<NodeName> {
        let servers = self.clusters.get(cluster).map(|c| c.servers.as_slice()).unwrap_or_default();
        let numbers: BTreeSet<MemberNo> = servers.iter().map(|s| s.number).collect();
        numbers.into_iter().map(|n| NodeName::Server(cluster.clone(), n)).collect()
    }

    /// In order of their ids; empty for an unknown cluster.
    pub fn slaves_of(&self, cluster: &ClusterName) -> Vec<SlaveId> {
        self.slaves.iter().filter(|(_, s)| s.cluster == *cluster).map(|(id, _)| *id).collect()
    }

    /// The name of a slave's node.
    pub fn slave_node(&self, id: SlaveId) -> Option<NodeName> {
        Some(NodeName::Slave(self.slaves.get(&id)?.cluster.clone(), id))
    }

    /// A node's host.
    pub fn host_of(&self, node: &NodeName) -> Option<HostAddress> {
        match node {
            NodeName::Server(cluster, number) => {
                Some(self.server_ever(cluster, *number)?.address.host.clone())
            }
            NodeName::Slave(_, id) => Some(self.slaves.get(id)?.host.clone().unwrap_or_else(this_machine)),
        }
    }

    /// Servers and slaves; a slave without a host is on this machine.
    pub fn nodes_on(&self, host: &HostAddress) -> Vec<NodeName> {
        self.node_names().into_iter().filter(|node| self.host_of(node).as_ref() == Some(host)).collect()
    }

    /// Also of a removed member whose directory may still exist.
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

    /// A cluster's servers as listed in its nodes' configuration, with the zones of their hosts.
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
}

/// The directory of a node below its host's root.
pub fn node_dir(root: &str, node: &NodeName) -> String {
    format!("{}/{node}", root.trim_end_matches('/'))
}

impl Cluster {
    /// The next member's number: never a removed member's, whose directory may still exist.
    pub fn next_number(&self) -> MemberNo {
        let all = self.servers.iter().chain(&self.removed).map(|server| server.number.0 + 1);
        MemberNo(all.max().unwrap_or(0))
    }

    /// Replicas of each tablet: the configured number, at most the number of servers.
    pub fn copies(&self) -> u32 {
        self.replicas.min(self.servers.len() as u32)
    }
}
