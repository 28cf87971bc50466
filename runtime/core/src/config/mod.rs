//! The configuration file of one node, `node.yaml`: rendered by the shell from the inventory, read by the daemon.
//! It is complete (every parameter with its value) and holds no secret.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, ClusterName, MemberNo, Namespace, NodeAddress, NodeId, NodeUuid, SlaveId};

mod change;
mod parameters;
mod parse;
mod setting;
#[cfg(test)]
mod tests;

pub use change::ConfigChange;
pub use parameters::{Change, LogFormat, PARAMETERS, Parameter, Parameters, Range, ReadPolicy, Switch};
pub use parse::BadConfig;
pub use setting::Setting;

/// The version of the file's format.
pub const NODE_CONFIG_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    pub version: u32,
    pub cluster: ClusterName,
    pub cluster_id: ClusterId,
    pub node_uuid: NodeUuid,
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub role: Role,
    /// The servers of the cluster: for a server the founding members, for a slave where to begin.
    pub servers: Vec<ServerEntry>,
    pub parameters: Parameters,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Role {
    Server(ServerRole),
    Slave(SlaveRole),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRole {
    pub number: MemberNo,
    pub node_id: NodeId,
    pub listen: NodeAddress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The shape of the ring, used once: when the cluster is founded.
    pub tablets: u16,
    pub replicas: u32,
    /// True for a member that the cluster was registered with; false for one that joins later.
    pub is_founder: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaveRole {
    pub id: SlaveId,
    pub pairs: Vec<Pair>,
}

/// One listener of a slave for applications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// `ADDRESS:PORT` on loopback, or the absolute path of a Unix socket.
    pub listen: String,
    pub protocol: Protocol,
    pub namespace: Namespace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Memcache,
    /// RESP2 and RESP3.
    #[serde(alias = "resp")]
    Redis,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Protocol::Memcache => "memcache",
            Protocol::Redis => "redis",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerEntry {
    pub number: MemberNo,
    pub node_id: NodeId,
    pub node_uuid: NodeUuid,
    pub address: NodeAddress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Where things of a node lie, relative to its directory `<root>/<cluster>-<no>` (`-slave<id>` for a slave).
/// `<root>/bin/<first 16 hex digits of sha256>/dkc` are the programs; `<node dir>/dkcd` links to the one in use.
pub mod layout {
    /// In the root: says that the directory is ours. Nothing without a marker is ever removed.
    pub const ROOT_MARKER: &str = ".dkc-root";
    /// In a node's directory: one line with the node's UUID.
    pub const NODE_MARKER: &str = ".dkc-node";
    pub const BIN_DIR: &str = "bin";
    pub const PROGRAM: &str = "dkc";
    pub const PROGRAM_LINK: &str = "dkcd";
    pub const CONFIG: &str = "node.yaml";
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
    pub const DATA_DIR: &str = "data";
    /// Written by `dkcd init` with the node's UUID: a data directory without it is never started on.
    pub const IDENTITY: &str = "data/identity";
    pub const RAFT_LOG_DIR: &str = "data/log";
    pub const STATE_DIR: &str = "data/state";
    /// Says that the cluster has removed this node, and who said so: a daemon that finds it does not start.
    pub const REMOVED: &str = "REMOVED";
    pub const RUN_DIR: &str = "run";
    pub const CONTROL_SOCKET: &str = "run/control.sock";
    /// Of the supervisor, where there is no systemd.
    pub const PID_FILE: &str = "run/dkcd.pid";
    /// Held by the daemon while it runs; holds its process number.
    pub const DAEMON_LOCK: &str = "run/daemon.lock";
    /// Why the supervisor does not start the daemon again; absent while all is well.
    pub const GAVE_UP: &str = "run/gave-up";
    /// How often the supervisor has started the daemon again since it runs, and why the last time: `3 signal: 9 …`.
    pub const RESTARTS: &str = "run/restarts";
    pub const LOG_DIR: &str = "log";
    pub const LOG_FILE: &str = "log/dkcd.log";
    /// One file for each finished step of an operation: `receipts/<operation>-<step>`.
    pub const RECEIPTS_DIR: &str = "receipts";
}
