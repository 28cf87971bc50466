//! A server on a simulated host: the real one, assembled from its parts, without certificates, control socket and
//! signals.

use std::path::PathBuf;
use std::sync::Arc;

use dkc_core::config::{NodeConfig, Role};
use tokio::sync::{oneshot, watch};

use super::disk::Disk;
use super::server::Server;
use super::{Parts, Running, StartError};
use crate::net::{Identity, Listener, NodeRole, Tls};
use crate::simulation::process::{CrashKind, Process};
use crate::simulation::task::{of_this_node, spawn_in};
use crate::simulation::world;

/// A process that runs a server.
pub struct Node {
    pub process: Arc<Process>,
    pub server: Arc<Server>,
}

impl Node {
    /// Starts the server of `config` on its host, with the current contents of its disk.
    pub async fn start(config: NodeConfig, clock_offset_ms: i64) -> Option<Node> {
        let Role::Server(role) = config.role.clone() else { panic!("only servers are simulated as nodes") };
        let process = Process::begin(role.listen.host.as_str(), clock_offset_ms);
        let (started, is_started) = oneshot::channel();
        let main = spawn_in(&process, async move {
            match begin(config).await {
                Ok(mut running) => {
                    // It runs even if its starter has given up waiting.
                    let _ = started.send(running.server.clone());
                    while running.tasks.join_next().await.is_some() {}
                }
                Err(error) => world().fail(format!("a node does not start: {error}")),
            }
        });
        drop(main);
        // An error means that it was stopped while starting, or could not start.
        is_started.await.ok().map(|server| Node { process, server })
    }

    pub fn end(self, how: CrashKind) {
        self.process.end(how);
    }
}

async fn begin(config: NodeConfig) -> Result<Running, StartError> {
    let Role::Server(role) = config.role.clone() else { panic!("only servers are simulated as nodes") };
    let identity = Identity { cluster: config.cluster_id, role: NodeRole::Server, node: config.node_uuid };
    let tls = Tls::without_certificates(identity);
    let listening = Listener::bind(&role.listen, tls.clone(), config.parameters.connections_max).await;
    let listener =
        listening.map_err(|source| StartError::Listen { address: role.listen.to_string(), source })?;
    let directory = PathBuf::from(role.listen.host.as_str());
    let disk = of_this_node(Disk::open(&directory, &config, &role)).await?;
    let (_, stopped) = watch::channel(false);
    Running::start(Parts { directory, config, role, tls, listener, disk, stopped }).await
}
