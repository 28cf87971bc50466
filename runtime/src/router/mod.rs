//! Sends a command to the leader of its tablet and returns the reply, while leadership moves, servers fail and the ring
//! changes. Used by slaves and by a server's control socket.
//!
//! *Invariant:* a write is applied at most once: every attempt carries the same session and sequence, and
//! a retry is marked as one if an earlier attempt may have arrived.
//! *Invariant:* `RouteError::Unreachable` and `Refused` mean that the command was not applied and never will be; every
//! other error is `Unknown`.
//!
//! The ring map here is a hint: safety depends on the leader's check and on the epoch check when the write is applied.

mod batch;
mod in_flight;
mod retry;
mod session;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dkc_core::config::ServerEntry;
use dkc_core::control::ServerLink;
use dkc_core::ids::{MemberNo, NodeId, RingVersion, TabletId};
use dkc_core::kv::{Command, Reply};
use dkc_core::ring::RingMap;
use dkc_core::wire::Hello;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::net::{Alpn, Peers, Target, Tls};
pub use batch::AdmitValue;
use batch::ReplyBatch;
use in_flight::InFlight;
use retry::Retries;
use view::{Tablets, View};

/// Why a command got no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Not carried out, and never will be.
    #[error("{0}")]
    Refused(String),
    /// Not carried out: no server accepted it within the deadline.
    #[error("no server carried it out within {after_ms} ms: {why}")]
    Unreachable { after_ms: u64, why: String },
    /// It may or may not have been carried out.
    #[error("outcome unknown after {after_ms} ms: {why}")]
    Unknown { after_ms: u64, why: String },
    /// It was carried out; the record's value of this size was not admitted, or not even sent.
    #[error("no room for a reply of {bytes} bytes")]
    NoRoom { bytes: usize },
}

impl RouteError {
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, RouteError::Unknown { .. })
    }
}

/// A command, and its tablet if it names no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub command: Command,
    pub tablet: Option<TabletId>,
    /// A reply with a value larger than `REPLY_BOUNDED_MAX_BYTES` ends with `NoRoom`, and the value is not sent.
    pub reply_is_bounded: bool,
}
impl From<Command> for Call {
    fn from(command: Command) -> Call {
        Call { command, tablet: None, reply_is_bounded: false }
    }
}

impl Call {
    fn on(tablet: TabletId, command: Command) -> Call {
        Call { tablet: Some(tablet), ..Call::from(command) }
    }
}

pub struct RouterOptions {
    pub tls: Arc<Tls>,
    /// `Slave` for a slave, `Peer` for a server.
    pub alpn: Alpn,
    /// 0 for a slave.
    pub node_id: NodeId,
    /// Servers to ask when no ring map is known.
    pub servers: Vec<ServerEntry>,
    /// The last known ring map.
    pub ring: Option<RingMap>,
    pub deadline: Duration,
    /// Watch the servers for newer ring maps and connect to all of them in advance. A server does
    /// not: `set_ring` gives it the map, and it routes little.
    pub is_following: bool,
}

/// Shared by all parts of the router.
pub(crate) struct Shared {
    peers: Peers,
    cluster: dkc_core::ids::ClusterId,
    servers: Vec<ServerEntry>,
    deadline_ms: AtomicU64,
    view: RwLock<Option<Arc<View>>>,
    /// Sessions and leaders outlive a ring map.
    tablets: Mutex<Tablets>,
    ring: tokio::sync::watch::Sender<Option<Arc<RingMap>>>,
    ring_version: Arc<AtomicU64>,
    /// A server reported a newer ring version than ours.
    ring_wanted: tokio::sync::Notify,
    /// Why there is no ring map yet, for errors.
    ring_error: Mutex<String>,
    retries: Retries,
    operations: AtomicU64,
    is_following: bool,
}

/// Cheap to clone; its tasks end with the last clone.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

struct Tasks(Vec<tokio::task::JoinHandle<()>>);
impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(|task| task.abort());
    }
}

impl Router {
    /// Must be called inside a runtime.
    pub fn new(options: RouterOptions) -> Router {
        let ring_version = Arc::new(AtomicU64::new(0));
        let identity = options.tls.identity();
        let (node_id, version) = (options.node_id, ring_version.clone());
        let hello = move || Hello {
            cluster: identity.cluster,
            node: identity.node,
            node_id,
            ring_version: RingVersion(version.load(Ordering::Relaxed)),
            release: env!("CARGO_PKG_VERSION").into(),
        };
        let shared = Arc::new(Shared {
            peers: Peers::new(options.tls, options.alpn, Arc::new(hello)),
            cluster: identity.cluster,
            servers: options.servers,
            deadline_ms: AtomicU64::new(options.deadline.as_millis() as u64),
            view: RwLock::default(),
            tablets: Mutex::default(),
            ring: tokio::sync::watch::Sender::new(None),
            ring_version,
            ring_wanted: tokio::sync::Notify::new(),
            ring_error: Mutex::new("no server asked yet".into()),
            retries: Retries::default(),
            operations: AtomicU64::new(0),
            is_following: options.is_following,
        });
        if let Some(ring) = options.ring {
            shared.set_ring(ring);
        }
        let mut tasks = vec![crate::task::spawn(retry::run(shared.clone()))];
        if options.is_following {
            tasks.push(crate::task::spawn(watch::follow(shared.clone())));
            tasks.push(crate::task::spawn(watch::keep_connected(shared.clone())));
        }
        Router { shared, _tasks: Arc::new(Tasks(tasks)) }
    }

    /// Carries out one command on a key.
    pub async fn execute(&self, command: Command) -> Result<Reply, RouteError> {
        only(self.execute_all(vec![command.into()]).await)
    }

    /// Carries out one command on a tablet.
    pub async fn execute_on(&self, tablet: TabletId, command: Command) -> Result<Reply, RouteError> {
        only(self.execute_all(vec![Call::on(tablet, command)]).await)
    }

    /// Carries out commands concurrently: all of them are sent when this returns, those to the same server in
    /// one write, and the future wakes once, when all replies have arrived. The results are in the order of the calls.
    pub fn execute_all(
        &self,
        calls: Vec<Call>,
    ) -> impl Future<Output = Vec<Result<Reply, RouteError>>> + use<> {
        self.execute_admitted(calls, None)
    }

    /// The same; a record is kept only if `admit` admits its value.
    pub fn execute_admitted(
        &self,
        calls: Vec<Call>,
        admit: Option<Arc<dyn AdmitValue>>,
    ) -> impl Future<Output = Vec<Result<Reply, RouteError>>> + use<> {
        let batch = ReplyBatch::new(calls.len(), admit);
        self.shared.operations.fetch_add(calls.len() as u64, Ordering::Relaxed);
        let began = Instant::now();
        for (index, call) in calls.into_iter().enumerate() {
            InFlight::begin(&self.shared, call, began, batch.clone(), index);
        }
        batch::all_done(batch)
    }

    /// Carries out a command on every tablet, in the order of their ids. Waits for a ring map if there is none yet.
    pub async fn execute_everywhere(
        &self,
        command: Command,
    ) -> Result<Vec<Result<Reply, RouteError>>, RouteError> {
        let mut results = Vec::new();
        loop {
            // A tablet that has been split meanwhile has answered for what it kept: the new one comes behind all others.
            let tablets = self.tablets().await?;
            if tablets.len() <= results.len() {
                return Ok(results);
            }
            let calls = tablets[results.len()..].iter().map(|tablet| Call::on(*tablet, command.clone()));
            results.extend(self.execute_all(calls.collect()).await);
        }
    }

    /// All tablets, in the order of their ids, so that those of later splits come last. Waits for a ring map if there is none yet.
    pub async fn tablets(&self) -> Result<Vec<TabletId>, RouteError> {
        let mut ring = self.shared.ring.subscribe();
        let deadline = self.shared.deadline();
        let known = tokio::time::timeout(deadline, ring.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(ring)) => {
                let ring = ring.as_ref().expect("waited for it");
                let mut tablets: Vec<TabletId> = ring.tablets.iter().map(|place| place.tablet).collect();
                tablets.sort();
                Ok(tablets)
            }
            _ => Err(RouteError::Unreachable {
                after_ms: deadline.as_millis() as u64,
                why: self.shared.no_ring(),
            }),
        }
    }

    /// Applies to later operations.
    pub fn set_deadline(&self, deadline: Duration) {
        self.shared.deadline_ms.store(deadline.as_millis() as u64, Ordering::Relaxed);
    }

    /// Adopts a ring map if it is newer; true if it was.
    pub fn set_ring(&self, ring: RingMap) -> bool {
        self.shared.set_ring(ring)
    }

    /// The ring map and its changes.
    pub fn ring(&self) -> tokio::sync::watch::Receiver<Option<Arc<RingMap>>> {
        self.shared.ring.subscribe()
    }

    /// Commands so far.
    pub fn operations(&self) -> u64 {
        self.shared.operations.load(Ordering::Relaxed)
    }

    /// Every known server, and whether it is connected.
    pub fn links(&self) -> Vec<ServerLink> {
        let link = |number: MemberNo, target: &Target| {
            let state = self.shared.peers.link(target).state();
            ServerLink {
                number,
                address: target.address.clone(),
                is_connected: state.is_connected,
                error: state.error,
            }
        };
        self.shared.targets().iter().map(|(number, target)| link(*number, target)).collect()
    }
}

fn only(mut results: Vec<Result<Reply, RouteError>>) -> Result<Reply, RouteError> {
    results.pop().expect("one call, one result")
}

impl Shared {
    fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.load(Ordering::Relaxed))
    }

    fn view(&self) -> Option<Arc<View>> {
        self.view.read().clone()
    }

    /// The servers of the ring map, or those of the configuration while there is none.
    fn targets(&self) -> Vec<(MemberNo, Target)> {
        match self.view() {
            Some(view) => {
                let target = |node: &dkc_core::ring::Node| (node.number, view::target_of(node));
                view.ring.nodes.iter().map(target).collect()
            }
            None => {
                let target = |server: &ServerEntry| {
                    let node = Some(server.node_uuid);
                    (server.number, Target { address: server.address.clone(), node })
                };
                self.servers.iter().map(target).collect()
            }
        }
    }

    /// Sources of the ring map: the servers of the map, then those of the configuration.
    fn ring_sources(&self) -> Vec<Target> {
        let mut all: Vec<Target> = self.targets().into_iter().map(|(_, target)| target).collect();
        for server in &self.servers {
            let target = Target { address: server.address.clone(), node: Some(server.node_uuid) };
            if !all.contains(&target) {
                all.push(target);
            }
        }
        all
    }

    fn set_ring(&self, ring: RingMap) -> bool {
        if ring.cluster != self.cluster || ring.tablets.is_empty() {
            tracing::warn!(cluster = %ring.cluster, "ring map of another cluster ignored");
            return false;
        }
        let mut tablets = self.tablets.lock();
        if ring.version.0 <= self.ring_version.load(Ordering::Relaxed) {
            return false;
        }
        tracing::info!(version = ring.version.0, servers = ring.nodes.len(), "new ring map");
        let ring = Arc::new(ring);
        let before = self.view().map(|view| view.ring.clone());
        let view = View::new(ring.clone(), before.as_deref(), &self.peers, &mut tablets);
        if self.is_following {
            view.connect();
        }
        *self.view.write() = Some(Arc::new(view));
        self.ring_version.store(ring.version.0, Ordering::Relaxed);
        let wanted = self.ring_sources();
        self.peers.retain(|target| wanted.contains(target));
        self.ring.send_replace(Some(ring));
        true
    }

    fn no_ring(&self) -> String {
        let last_error = self.ring_error.lock();
        format!("no ring map yet ({last_error})")
    }

    /// A server reported this ring version.
    fn notice_ring(&self, version: RingVersion) {
        if version.0 > self.ring_version.load(Ordering::Relaxed) {
            self.ring_wanted.notify_one();
        }
    }
}
