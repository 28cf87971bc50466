//! The slave role: runs next to applications, speaks their protocol and routes their requests to the servers of the
//! ring. It holds no data; the ring map that it saves on disk lets it start when the configured servers are gone.
//!
//! *Invariant:* a failure is reported to the application as a definite error (nothing happened) or as
//! `outcome unknown`, never as a wrong reply.

mod batch;
mod connection;
mod endpoints;
mod handler;
mod listener;
mod memcache;
mod memory;
mod output;
mod protocol;
mod resp;
mod saved_ring;
mod statistics;
#[cfg(test)]
mod tests;
mod timeouts;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use dkc_core::config::{NodeConfig, Role, SlaveRole, layout};
use dkc_core::ids::NodeId;
use dkc_core::metrics;
use tokio::sync::watch;

use crate::certificates::{Certificates, Signer};
use crate::config::InUse;
use crate::control::{self, ControlError};
use crate::metrics_port;
use crate::net::{Alpn, Identity, NodeRole, Target, Tls, TlsError};
use crate::prometheus::Text;
use crate::resident::resident_bytes;
use crate::router::{Router, RouterOptions};
use endpoints::{Endpoint, Shared};
use memory::Memory;
use saved_ring::SavedRing;
use statistics::{Traffic, counts};
use timeouts::{Limits, Timeouts};

/// Timeout of operations in flight when the slave stops.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Interval of checks whether they are done.
const STOP_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub enum SlaveError {
    #[error("node.yaml is for a server, not a slave")]
    NotASlave,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot listen on {listen} for applications: {source}")]
    Listen { listen: String, source: std::io::Error },
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Shared by the parts of a slave.
pub(crate) struct Slave {
    pub directory: PathBuf,
    /// The configuration at start; all but the dynamic parameters still apply.
    pub config: NodeConfig,
    pub in_use: InUse,
    pub role: SlaveRole,
    pub router: Router,
    pub certificates: Arc<Certificates>,
    pub traffic: Arc<Traffic>,
    pub memory: Arc<Memory>,
    pub timeouts: Arc<Timeouts>,
    pub connections_max: Arc<AtomicU32>,
    /// The counters of each pair's protocol.
    pub statistics: Vec<Arc<dyn endpoints::Counts>>,
    pub started: Instant,
}

impl Slave {
    /// The servers that may sign: in the ring map, those in service that are not leaving; until there is a map, the configured ones.
    /// Certificates signed by a leaving server would be refused once it is removed.
    fn servers(&self) -> Vec<Target> {
        match &*self.router.ring().borrow() {
            Some(ring) => {
                let target = |node: &dkc_core::ring::Node| Target {
                    address: node.address.clone(),
                    node: Some(node.uuid),
                };
                ring.nodes.iter().filter(|node| node.stays_in_service()).map(target).collect()
            }
            None => {
                let target = |server: &dkc_core::config::ServerEntry| Target {
                    address: server.address.clone(),
                    node: Some(server.node_uuid),
                };
                self.config.servers.iter().map(target).collect()
            }
        }
    }

    /// Prometheus text.
    fn metrics(&self) -> String {
        let mut all = counts(&self.traffic.counters);
        self.statistics.iter().for_each(|statistics| all.extend(statistics.counts()));
        let mut text = Text::default();
        let gauges = [
            (&metrics::SLAVE_CONNECTIONS, self.traffic.connections().into()),
            (&metrics::SLAVE_MEMORY, resident_bytes()),
            (&metrics::SLAVE_MEMORY_FREE, self.memory.free_bytes() as u64),
        ];
        gauges.into_iter().for_each(|(metric, value)| text.sample(metric, "", value));
        for link in self.router.links() {
            let labels = format!("{{server=\"{}\"}}", link.number);
            text.sample(&metrics::SLAVE_SERVER_UP, &labels, link.is_connected.into());
        }
        text.latency(&metrics::SLAVE_BATCH_LATENCY, &self.traffic.latency.counted());
        statistics::write_metrics(&mut text, &all);
        text.end()
    }
}

/// Runs a slave until `stop` is true. `started` is called once, when every listener is open. The caller guarantees
/// that the directory is this node's and no other process uses it.
pub async fn run(
    directory: &Path,
    config: NodeConfig,
    started: impl FnOnce(),
    mut stop: watch::Receiver<bool>,
) -> Result<(), SlaveError> {
    let Role::Slave(role) = config.role.clone() else { return Err(SlaveError::NotASlave) };
    let identity = Identity { cluster: config.cluster_id, role: NodeRole::Slave, node: config.node_uuid };
    let tls = Tls::load(directory, identity)?;
    let saved = SavedRing::load(directory, &config);
    let router = Router::new(RouterOptions {
        tls: tls.clone(),
        alpn: Alpn::Slave,
        node_id: NodeId(0),
        servers: saved.servers,
        ring: saved.ring,
        deadline: Duration::from_millis(config.parameters.request_deadline_ms),
        is_following: true,
    });
    let traffic = Arc::new(Traffic::default());
    let memory = Memory::new(config.parameters.slave_memory_bytes as usize);
    let limits = Limits::of(&config.parameters);
    let timeouts = Arc::new(Timeouts::new(limits, memory.clone(), traffic.clone()));
    let connections_max = Arc::new(AtomicU32::new(config.parameters.connections_max));
    let shared = Shared {
        router: router.clone(),
        traffic: traffic.clone(),
        memory: memory.clone(),
        timeouts: timeouts.clone(),
        value_max_bytes: config.parameters.value_max_bytes as usize,
        connections_max: connections_max.clone(),
        started: Instant::now(),
    };
    let endpoints = open_all(&role, &shared).await?;
    let socket = directory.join(layout::CONTROL_SOCKET);
    let control = control::open(&socket)?;
    let directory = directory.to_owned();
    let statistics = endpoints.iter().map(|endpoint| endpoint.statistics.clone()).collect();
    let started_at = shared.started;
    let certificates = Certificates::new(tls, directory.clone());
    let slave = Arc::new(Slave {
        in_use: InUse::new(&directory, config.clone()),
        directory,
        config,
        role,
        router,
        certificates,
        traffic,
        memory,
        timeouts,
        connections_max,
        statistics,
        started: started_at,
    });
    let _tasks = serve(&slave, endpoints, control, stop.clone());
    started();
    // An error means that the sender is gone: stop.
    let _ = stop.wait_for(|stop| *stop).await;
    drain(&slave.traffic).await;
    // A stopped node must not look like a crashed one. The file may not exist.
    let _ = std::fs::remove_file(socket);
    tracing::info!("stopped");
    Ok(())
}

/// Starts the slave's loops; they end when the result is dropped.
fn serve(
    slave: &Arc<Slave>,
    endpoints: Vec<Endpoint>,
    control: tokio::net::UnixListener,
    stop: watch::Receiver<bool>,
) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(slave.certificates.clone().keep(signer(slave.clone())));
    tasks.spawn(saved_ring::keep(slave.clone()));
    tasks.spawn(control::serve(control, slave.clone()));
    tasks.spawn(metrics_port::serve(slave.config.parameters.slave_metrics_port, slave.clone()));
    tasks.spawn(slave.timeouts.clone().run());
    for endpoint in endpoints {
        tasks.spawn((endpoint.run)(stop.clone()));
    }
    tracing::info!(id = %slave.role.id, pairs = slave.role.pairs.len(), "serving");
    tasks
}

/// Any server signs for a slave.
fn signer(slave: Arc<Slave>) -> Signer {
    Signer::Servers(Box::new(move || slave.servers()))
}

async fn open_all(role: &SlaveRole, shared: &Shared) -> Result<Vec<Endpoint>, SlaveError> {
    let mut all = Vec::new();
    for pair in &role.pairs {
        all.push(endpoints::open(pair, shared).await?);
    }
    Ok(all)
}

/// Waits until no operation is in flight, at most `STOP_MAX`.
async fn drain(traffic: &Traffic) {
    let until = Instant::now() + STOP_MAX;
    while traffic.batches_in_flight() > 0 && Instant::now() < until {
        tokio::time::sleep(STOP_INTERVAL).await;
    }
}
