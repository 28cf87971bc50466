//! The slave role: sits beside applications, speaks memcached to them and routes what they ask to the servers of
//! the ring. It holds no data; what it keeps on disk (the last ring map and the list of servers) only lets it start
//! when the servers it was configured with are gone.
//!
//! *Invariant:* an application learns of a failure either as a definite error (nothing happened) or as
//! `outcome unknown`, never as an answer that is not true.

mod connection;
mod handler;
mod known;
mod listener;
mod statistics;
#[cfg(test)]
mod tests;
mod wave;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dkc_core::config::{NodeConfig, Protocol, Role, SlaveRole, layout};
use dkc_core::ids::NodeId;
use tokio::sync::watch;

use crate::control::{self, ControlError};
use crate::net::{Alpn, Identity, NodeRole, Tls, TlsError};
use crate::router::{Router, RouterOptions};
use connection::Service;
use known::Known;
use listener::Listener;
use statistics::Statistics;

/// At the end, operations that are under way get this long.
const STOP_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether they are done.
const STOP_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub enum SlaveError {
    #[error("node.yaml is that of a server, not of a slave")]
    NotASlave,
    #[error("pair {listen}: the protocol resp is not there yet; only memcache is")]
    Protocol { listen: String },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot listen on {listen} for applications: {source}")]
    Listen { listen: String, source: std::io::Error },
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// What the parts of a slave share.
pub(crate) struct Slave {
    pub directory: PathBuf,
    pub config: NodeConfig,
    pub role: SlaveRole,
    pub router: Router,
    pub statistics: Arc<Statistics>,
    pub started: Instant,
}

/// Runs a slave until `stop` says true. `started` is called once, when every listener is open. The caller has made
/// sure that the directory is this node's and is used by nobody else.
pub async fn run(
    directory: &Path,
    config: NodeConfig,
    started: impl FnOnce(),
    mut stop: watch::Receiver<bool>,
) -> Result<(), SlaveError> {
    let Role::Slave(role) = config.role.clone() else { return Err(SlaveError::NotASlave) };
    let identity = Identity { cluster: config.cluster_id, role: NodeRole::Slave, node: config.node_uuid };
    let tls = Tls::load(directory, identity)?;
    let known = Known::load(directory, &config);
    let router = Router::new(RouterOptions {
        tls: tls.clone(),
        alpn: Alpn::Slave,
        node_id: NodeId(0),
        servers: known.servers,
        ring: known.ring,
        deadline: Duration::from_millis(config.parameters.request_deadline_ms),
        is_following: true,
    });
    let statistics = Arc::new(Statistics::default());
    let listeners = open_all(&role, &config, &router, &statistics).await?;
    let socket = directory.join(layout::CONTROL_SOCKET);
    let control = control::open(&socket)?;
    let directory = directory.to_owned();
    let slave = Arc::new(Slave { directory, config, role, router, statistics, started: Instant::now() });

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(tls.keep_fresh());
    tasks.spawn(known::keep(slave.clone()));
    tasks.spawn(control::serve(control, slave.clone()));
    for listener in listeners {
        tasks.spawn(listener.run(stop.clone()));
    }
    tracing::info!(id = %slave.role.id, pairs = slave.role.pairs.len(), "slave serves");
    started();
    // An error means that whoever could say stop is gone: stop.
    let _ = stop.wait_for(|stop| *stop).await;
    settle(&slave.statistics).await;
    // So that nobody takes a node that ended in order for one that died; gone already is as good.
    let _ = std::fs::remove_file(socket);
    tracing::info!("stopped");
    Ok(())
}

async fn open_all(
    role: &SlaveRole,
    config: &NodeConfig,
    router: &Router,
    statistics: &Arc<Statistics>,
) -> Result<Vec<Listener>, SlaveError> {
    let mut listeners = Vec::new();
    for pair in &role.pairs {
        if pair.protocol != Protocol::Memcache {
            return Err(SlaveError::Protocol { listen: pair.listen.clone() });
        }
        let service = Service {
            router: router.clone(),
            namespace: pair.namespace.clone(),
            value_max_bytes: config.parameters.value_max_bytes as usize,
            statistics: statistics.clone(),
            started: Instant::now(),
        };
        let opened = Listener::open(&pair.listen, service, config.parameters.connections_max).await;
        listeners.push(opened.map_err(|source| SlaveError::Listen { listen: pair.listen.clone(), source })?);
    }
    Ok(listeners)
}

/// Waits, within bounds, until no operation is under way.
async fn settle(statistics: &Statistics) {
    let until = Instant::now() + STOP_MAX;
    while statistics.waves_under_way() > 0 && Instant::now() < until {
        tokio::time::sleep(STOP_INTERVAL).await;
    }
}
