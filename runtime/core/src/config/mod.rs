//! The configuration file of one node, `node.yaml`: rendered by the shell from the inventory, read by the daemon.
//! It is complete (every parameter with its value) and holds no secret.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, ClusterName, MemberNo, Namespace, NodeAddress, NodeId, NodeUuid, SlaveId};
use crate::ring::Node;

mod change;
mod parameters;
mod parse;
mod protocol;
mod setting;
#[cfg(test)]
mod tests;

pub use change::ConfigChange;
pub use parameters::{
    Change, LogFormat, PARAMETERS, Parameter, Parameters, RETIRED, Range, ReadPolicy, Retired, Switch,
};
pub use parse::BadConfig;
pub use protocol::Protocol;
pub use setting::Setting;

/// The version of the file's format.
pub const NODE_CONFIG_VERSION: u32 = 1;

/// The content of `node.yaml`. A deploy writes it; `NodeConfig::parse` reads and checks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// `NODE_CONFIG_VERSION`; any other is refused.
    pub version: u32,
    /// For people and paths; identity is `cluster_id`.
    pub cluster: ClusterName,
    /// Peers whose certificate or Hello names another cluster are refused.
    pub cluster_id: ClusterId,
    /// Must equal `data/identity` and the certificate's SAN URI.
    pub node_uuid: NodeUuid,
    /// What the node is; cannot change in a directory that was initialised.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub role: Role,
    /// The servers of the cluster: for a server the founding members, for a slave where to begin.
    pub servers: Vec<ServerEntry>,
    /// Every parameter; those that the file leaves out have their defaults.
    pub parameters: Parameters,
}

/// The two kinds of node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Role {
    /// Holds replicas and votes.
    Server(ServerRole),
    /// Sits beside applications and holds no data.
    Slave(SlaveRole),
}

/// What only a server has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRole {
    /// `No.` of the inventory.
    pub number: MemberNo,
    /// Assigned when the server is registered; a Raft id is never given out again.
    pub node_id: NodeId,
    /// Where the node port listens; also the address that other nodes connect to.
    pub listen: NodeAddress,
    /// The failure domain that the operator named; replicas are spread over zones. `None`: its host is a zone
    /// of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The shape of the ring, used once: when the cluster is founded.
    pub tablets: u16,
    /// Copies of each tablet, 1 to `REPLICAS_MAX`; used once, when the cluster is founded.
    pub replicas: u32,
    /// True for a member that the cluster was registered with; false for one that joins later.
    pub is_founder: bool,
}

/// What only a slave has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaveRole {
    /// Unique in the inventory of the cluster.
    pub id: SlaveId,
    /// At least one; no two listen at the same place.
    pub pairs: Vec<Pair>,
}

/// One listener of a slave for applications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// `ADDRESS:PORT` on loopback, or the absolute path of a Unix socket.
    pub listen: String,
    /// What applications speak there.
    pub protocol: Protocol,
    /// Where every key of this listener lives; applications cannot choose another.
    pub namespace: Namespace,
}

/// A server as a node's configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerEntry {
    /// `No.` of the inventory.
    pub number: MemberNo,
    /// Its Raft id.
    pub node_id: NodeId,
    /// Shown by its certificate; another node at this address is refused.
    pub node_uuid: NodeUuid,
    /// Its node port.
    pub address: NodeAddress,
    /// As in `ServerRole::zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl From<&Node> for ServerEntry {
    fn from(node: &Node) -> ServerEntry {
        ServerEntry {
            number: node.number,
            node_id: node.node_id,
            node_uuid: node.uuid,
            address: node.address.clone(),
            zone: node.zone.clone(),
        }
    }
}

/// Where things of a node lie, relative to its directory `<root>/<cluster>-<no>` (`-slave<id>` for a slave).
/// `<root>/bin/<first 16 hex digits of sha256>/dkc` are the programs; `<node dir>/dkcd` links to the one in use.
pub mod layout {
    /// In the root: says that the directory is ours. Nothing without a marker is ever removed.
    pub const ROOT_MARKER: &str = ".dkc-root";
    /// In a node's directory: one line with the node's UUID.
    pub const NODE_MARKER: &str = ".dkc-node";
    /// In the root; one directory for each release that a node of this host uses.
    pub const BIN_DIR: &str = "bin";
    /// The executable, in a directory of `BIN_DIR`.
    pub const PROGRAM: &str = "dkc";
    /// In a node's directory: symbolic link to the executable in use.
    pub const PROGRAM_LINK: &str = "dkcd";
    /// `NodeConfig` as YAML.
    pub const CONFIG: &str = "node.yaml";
    /// Readable by the service's user only.
    pub const TLS_DIR: &str = "tls";
    /// Trust anchors of the cluster (PEM, one or two).
    pub const TLS_CA: &str = "tls/ca.pem";
    /// The node's key and its certificate with the issuer that signed it, in one file: it is replaced as a whole, so that a key
    /// never precedes its certificate.
    pub const TLS_CERT: &str = "tls/node.pem";
    /// Where earlier releases kept the key; read only where `TLS_CERT` has none.
    pub const TLS_KEY: &str = "tls/node.key";
    /// A server's issuer: key and certificate. With it the server renews its own certificate and those of slaves.
    pub const TLS_ISSUER: &str = "tls/issuer.pem";
    /// The certificates of `TLS_CERT` without the key, for those who look and may not read keys. Nothing depends on it.
    pub const TLS_CERT_SHOWN: &str = "tls/node.crt";
    /// The same of `TLS_ISSUER`.
    pub const TLS_ISSUER_SHOWN: &str = "tls/issuer.crt";
    /// Log and state; what a node loses with it comes back only from other replicas.
    pub const DATA_DIR: &str = "data";
    /// Written by `dkcd init` with the node's UUID: a data directory without it is never started on.
    pub const IDENTITY: &str = "data/identity";
    /// Segments of the Raft log, shared by all groups.
    pub const RAFT_LOG_DIR: &str = "data/log";
    /// The LSM store: rows of all tablets.
    pub const STATE_DIR: &str = "data/state";
    /// The runs of a server and what it remembers of others (`lineage`).
    pub const LINEAGE: &str = "data/lineage";
    /// Says that the data was put back from an older copy, and who remembers more: a daemon that finds it does not start.
    pub const PUT_BACK: &str = "data/PUT_BACK";
    /// Says that the cluster has removed this node, and who said so: a daemon that finds it does not start.
    pub const REMOVED: &str = "REMOVED";
    /// Recreated at each start.
    pub const RUN_DIR: &str = "run";
    /// Unix socket for `ControlRequest`s and CHMPX's words; mode 0600, or 0660 where the directory is open to its group.
    pub const CONTROL_SOCKET: &str = "run/control.sock";
    /// Of the supervisor, where there is no systemd.
    pub const PID_FILE: &str = "run/dkcd.pid";
    /// Held by the daemon while it runs; holds its process number.
    pub const DAEMON_LOCK: &str = "run/daemon.lock";
    /// Why the supervisor does not start the daemon again; absent while all is well.
    pub const GAVE_UP: &str = "run/gave-up";
    /// How often the supervisor has started the daemon again since it runs, and why the last time: `3 signal: 9 …`.
    pub const RESTARTS: &str = "run/restarts";
    /// What the daemon prints, where there is no systemd; rotated by the supervisor.
    pub const LOG_DIR: &str = "log";
    /// The log in use; older ones have a number behind the name.
    pub const LOG_FILE: &str = "log/dkcd.log";
    /// One file for each finished step of an operation: `receipts/<operation>-<step>`.
    pub const RECEIPTS_DIR: &str = "receipts";
}
