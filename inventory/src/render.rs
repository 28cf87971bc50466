//! Renders what a deploy writes on hosts: each node's complete configuration and its systemd unit. Deterministic: the
//! digest of the text decides what a deploy does.

use std::collections::BTreeSet;

use dkc_core::config::{NODE_CONFIG_VERSION, NodeConfig, Pair, Role, ServerRole, SlaveRole, layout};
use sha2::{Digest, Sha256};

use crate::document::Document;
use crate::model::{Cluster, Inventory, NodeName, Server};
use crate::observed::ServiceManager;

/// Longest path of a Unix socket (`sun_path` without its terminator).
pub const SOCKET_PATH_MAX_BYTES: usize = 107;
/// Watchdog timeout after which systemd restarts a hung daemon: ten times the longest pause seen on a loaded two-core
/// host.
const WATCHDOG_S: u32 = 30;
/// Start timeout: the first start after a power cut replays the log of every tablet.
const START_MAX_S: u32 = 300;
/// Stop timeout: a graceful stop transfers leaderships, persists and closes.
const STOP_MAX_S: u32 = 60;
const RESTART_DELAY_S: u32 = 2;

/// A node's configuration; `None` if the node is unknown or its parameters are invalid.
pub fn node_config(inventory: &Inventory, node: &NodeName) -> Option<NodeConfig> {
    let cluster = inventory.clusters.get(node.cluster())?;
    let role = match node {
        NodeName::Server(name, number) => {
            let server = inventory.server(name, *number)?;
            Role::Server(ServerRole {
                number: *number,
                node_id: server.node_id,
                listen: server.address.clone(),
                zone: inventory.server_entry(server).zone,
                tablets: cluster.tablets,
                replicas: cluster.replicas,
                is_founder: server.is_founder,
            })
        }
        NodeName::Slave(_, id) => {
            Role::Slave(SlaveRole { id: *id, pairs: inventory.slaves.get(id)?.pairs.clone() })
        }
    };
    let listed: Vec<&Server> = match node {
        NodeName::Server(name, number) => first_contacts(cluster, inventory.server(name, *number)?),
        NodeName::Slave(..) => cluster.servers.iter().collect(),
    };
    Some(NodeConfig {
        version: NODE_CONFIG_VERSION,
        cluster: node.cluster().clone(),
        cluster_id: cluster.id,
        node_uuid: inventory.uuid_of(node)?,
        role,
        servers: listed.into_iter().map(|s| inventory.server_entry(s)).collect(),
        parameters: inventory.parameters_of(cluster).ok()?,
    })
}

/// A server only needs to know whom it founded the ring with, or whom it joined: a list that changed with every
/// member that comes or leaves would make the configuration of all others differ for nothing.
fn first_contacts<'a>(cluster: &'a Cluster, server: &Server) -> Vec<&'a Server> {
    let ever = cluster.servers.iter().chain(&cluster.removed);
    let is_listed = |other: &&Server| match server.is_founder {
        true => other.is_founder,
        false => server.joins.contains(&other.node_id),
    };
    let mut listed: Vec<&Server> = ever.filter(is_listed).collect();
    listed.sort_by_key(|server| server.number);
    listed
}

/// `node.yaml` as it is written.
pub fn config_text(config: &NodeConfig) -> String {
    let value = serde_yaml::to_value(config).expect("a configuration is plain data");
    format!("# Written by dkc deploy, which overwrites manual changes. Use dkc to change it.\n{}", {
        Document::from(value).file_text()
    })
}

/// SHA-256 of `node.yaml`, in hex.
pub fn config_digest(config: &NodeConfig) -> String {
    digest(&config_text(config))
}

/// SHA-256 of a text, in hex.
pub fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// `dkcd@c0-0.service`.
pub fn unit_name(node: &NodeName) -> String {
    format!("dkcd@{node}.service")
}

/// The unit of one node. `dir` is the node's directory, `user` who runs it (the system's manager only). `pairs` are
/// a slave's: their Unix sockets lie outside of its directory, so the sandbox grants write access to each.
pub fn unit_text(
    node: &NodeName,
    dir: &str,
    user: &str,
    manager: ServiceManager,
    pairs: &[Pair],
) -> Option<String> {
    let install = match manager {
        ServiceManager::Cron | ServiceManager::Supervise => return None,
        ServiceManager::SystemdSystem => "multi-user.target",
        ServiceManager::SystemdUser => "default.target",
    };
    let run_as = match manager {
        ServiceManager::SystemdSystem => format!("User={user}\n"),
        _ => String::new(),
    };
    let hardening = match manager {
        ServiceManager::SystemdSystem => format!("{SANDBOX}{}{PROCESS}", writable_paths(dir, pairs)),
        _ => PROCESS.to_owned(),
    };
    Some(format!(
        "# Written by dkc deploy, which overwrites manual changes.\n\
         [Unit]\n\
         Description=dkc {}\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         # Never given up: a full disk or a taken port may clear hours later.\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         {run_as}\
         ExecStart={dir}/{link} run --dir {dir}\n\
         Restart=on-failure\n\
         RestartSec={RESTART_DELAY_S}\n\
         # A refused configuration does not get better by trying again, nor does a node that was removed.\n\
         RestartPreventExitStatus=78\n\
         WatchdogSec={WATCHDOG_S}\n\
         TimeoutStartSec={START_MAX_S}\n\
         TimeoutStopSec={STOP_MAX_S}\n\
         {hardening}\
         \n\
         [Install]\n\
         WantedBy={install}\n",
        node.spoken(),
        link = layout::PROGRAM_LINK,
    ))
}

/// The directories that the process writes to.
fn writable_paths(dir: &str, pairs: &[Pair]) -> String {
    let sockets = pairs.iter().filter(|pair| pair.listen.starts_with('/'));
    let parents: BTreeSet<&str> = sockets.filter_map(|pair| Some(pair.listen.rsplit_once('/')?.0)).collect();
    // A /tmp of its own would hide a socket there from the applications.
    let needs_tmp = parents.iter().any(|parent| parent.starts_with("/tmp") || parent.starts_with("/var/tmp"));
    let private_tmp = if needs_tmp { "no" } else { "yes" };
    let paths: Vec<&str> = [dir].into_iter().chain(parents).collect();
    format!("PrivateTmp={private_tmp}\nReadWritePaths={}\n", paths.join(" "))
}

/// Sandbox options. They need mount namespaces or capabilities to set up, which the manager of a user does
/// not have: there, systemd refuses to start the unit or silently ignores the line, so a user's unit leaves them out.
const SANDBOX: &str = "\
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
OOMScoreAdjust=-100
";

/// Options that need no privileges, so every manager can apply them: seccomp filters need `NoNewPrivileges` only.
const PROCESS: &str = "\
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
LimitCORE=0
LimitNOFILE=65536
";
