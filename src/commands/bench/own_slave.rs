//! A temporary slave on this machine for one run of `bench`: installed like any other, in a private directory, with a certificate
//! whose key is deleted afterwards. It is never written into the inventory.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dkc_core::config::{Pair, Protocol, layout};
use dkc_core::control::{ControlReply, ControlRequest, RoleStatus};
use dkc_core::ids::{ClusterName, HostAddress, Namespace, NodeUuid, SlaveId};
use dkc_inventory::model::{Inventory, NodeName, Slave};
use dkc_inventory::render;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::failed;
use crate::authority::{Authority, Subject};
use crate::error::CommandError;
use crate::session::Session;
use crate::world::{Host, local::LocalHost};

/// It listens at once and then connects to the servers, which takes less than a second each.
const READY_MAX: Duration = Duration::from_secs(10);
const READY_LOOK: Duration = Duration::from_millis(50);
const ASK_MAX: Duration = Duration::from_secs(2);
/// Time for a graceful stop; then it is killed.
const END_MAX: Duration = Duration::from_secs(5);

pub(super) struct OwnSlave {
    /// Its listen address.
    pub listen: String,
    dir: Directory,
    process: Child,
}

/// Removed when it is dropped.
struct Directory(PathBuf);
impl Drop for Directory {
    fn drop(&mut self) {
        // It holds nothing worth keeping.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl OwnSlave {
    pub async fn start(session: &Session, name: &ClusterName) -> Result<OwnSlave, CommandError> {
        let what = || failed(format!("bench of {name} through a temporary slave")).now("no request was sent");
        let inventory = session.inventory()?;
        let uuid = NodeUuid(uuid::Uuid::new_v4());
        let cluster_id = inventory.clusters.get(name).map(|cluster| cluster.id).expect("it was looked up");
        let authority =
            Authority::open(&session.store.authority_dir(), name, cluster_id).and_then(|authority| {
                let namespaces = vec![Namespace::default()];
                authority.issue(&Subject { cluster_id, is_server: false, node: uuid, namespaces })
            });
        let issued = authority.map_err(|error| {
            what().cause(error.to_string()).next("run it where the cluster was registered, or register slave")
        })?;
        let listen = free_address().map_err(|error| what().cause(format!("no free port: {error}")))?;
        let config = config_text(&inventory, name, uuid, &listen)
            .ok_or_else(|| what().cause("its parameters are not valid").next("check"))?;
        let files = [
            (layout::CONFIG, config),
            (layout::TLS_CA, issued.anchors_pem),
            (layout::TLS_CERT, issued.node_pem),
        ];
        let dir = make_directory(&files).map_err(|error| what().cause(error.to_string()))?;
        let process = run(&dir.0, uuid).await.map_err(|error| what().cause(error.to_string()))?;
        let mut slave = OwnSlave { listen, dir, process };
        if let Err(why) = slave.wait_until_ready().await {
            slave.end().await;
            return Err(why.into_iter().fold(what(), |error, cause| error.cause(cause)).next(
                "check that this machine reaches the servers' ports, or register a slave beside them",
            ));
        }
        session.ui.say(&format!("started a temporary slave of {name} on this machine"));
        Ok(slave)
    }

    /// Waits until every reachable server is connected, at least one. Otherwise returns the reasons.
    async fn wait_until_ready(&mut self) -> Result<(), Vec<String>> {
        let until = Instant::now() + READY_MAX;
        let mut why = vec!["it did not start".to_owned()];
        while Instant::now() < until {
            if let Ok(Some(status)) = self.process.try_wait() {
                let log = std::fs::read_to_string(self.dir.0.join(layout::LOG_FILE)).unwrap_or_default();
                let last_line = log.lines().last().unwrap_or_default();
                return Err(vec![format!("it ended with {status}: {last_line}")]);
            }
            match self.unconnected().await {
                Some(unconnected) if unconnected.is_empty() => return Ok(()),
                Some(unconnected) => why = unconnected,
                None => {}
            }
            tokio::time::sleep(READY_LOOK).await;
        }
        let servers = self.servers().await;
        if servers.iter().any(|server| server.is_connected) { Ok(()) } else { Err(why) }
    }

    /// The error of each server that is not connected; `None` while the slave does not answer.
    async fn unconnected(&self) -> Option<Vec<String>> {
        let servers = self.servers().await;
        let error =
            |server: &dkc_core::control::ServerLink| server.error.clone().unwrap_or("connecting".into());
        let lost = servers.iter().filter(|server| !server.is_connected);
        let lost =
            lost.map(|server| format!("server {} at {}: {}", server.number, server.address, error(server)));
        (!servers.is_empty()).then(|| lost.collect())
    }

    async fn servers(&self) -> Vec<dkc_core::control::ServerLink> {
        let host = Host::Local(std::sync::Arc::new(LocalHost::new(here())));
        let dir = self.dir.0.to_string_lossy().into_owned();
        let Ok(mut control) = host.control(&dir).await else { return Vec::new() };
        match control.ask(&ControlRequest::Status, ASK_MAX).await {
            Ok(ControlReply::Status(status)) => match status.role {
                RoleStatus::Slave(slave) => slave.servers,
                RoleStatus::Server(_) => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Stops the process and removes its directory.
    pub async fn end(mut self) {
        if let Some(pid) = self.process.id() {
            // It may have exited at this moment.
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGTERM);
        }
        if tokio::time::timeout(END_MAX, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }
}

fn here() -> HostAddress {
    "127.0.0.1".parse().expect("an address")
}

/// Free at this moment; if another process takes it, the slave does not start.
fn free_address() -> io::Result<String> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string())
}

/// The configuration that a registered slave of the cluster would have.
fn config_text(inventory: &Inventory, name: &ClusterName, uuid: NodeUuid, listen: &str) -> Option<String> {
    let mut inventory = inventory.clone();
    let id = SlaveId(inventory.slaves.keys().map(|id| id.0).max().map_or(0, |last| last.saturating_add(1)));
    let pair =
        Pair { listen: listen.to_owned(), protocol: Protocol::Memcache, namespace: Default::default() };
    let slave =
        Slave { cluster: name.clone(), host: None, node_uuid: uuid, pairs: vec![pair], deployed: None };
    inventory.slaves.insert(id, slave);
    render::node_config(&inventory, &NodeName::Slave(name.clone(), id))
        .map(|config| render::config_text(&config))
}

fn make_directory(files: &[(&str, String)]) -> io::Result<Directory> {
    let name = format!("dkc-bench-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    let dir = Directory(std::env::temp_dir().join(name));
    DirBuilder::new().mode(0o700).create(&dir.0)?;
    DirBuilder::new().mode(0o700).create(dir.0.join(layout::TLS_DIR))?;
    for (name, text) in files {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.0.join(name))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(dir)
}

/// This program as the daemon. It is stopped when this process exits cleanly.
async fn run(dir: &Path, uuid: NodeUuid) -> io::Result<Child> {
    let dkcd = |words: &[&str]| -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0("dkcd").args(words).arg("--dir").arg(dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        Ok(command)
    };
    let made = dkcd(&["init", "--uuid", &uuid.to_string()])?.stderr(Stdio::piped()).output().await?;
    if !made.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).trim().to_owned()));
    }
    DirBuilder::new().mode(0o700).create(dir.join(layout::LOG_DIR))?;
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(dir.join(layout::LOG_FILE))?;
    dkcd(&["run"])?.stderr(log).spawn()
}
