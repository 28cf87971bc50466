//! The protocol of each pair of a slave. The only place that knows all protocols.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use dkc_core::config::{self, Pair};
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::SlaveError;
use super::listener::Listener;
use super::memcache::Memcache;
use super::memory::Memory;
use super::protocol::{Protocol, Service};
use super::resp::Resp;
use super::statistics::{Counters, Traffic, counts};
use super::timeouts::Timeouts;
use crate::router::Router;

/// Shared by all pairs of a slave.
pub(super) struct Shared {
    pub router: Router,
    pub traffic: Arc<Traffic>,
    pub memory: Arc<Memory>,
    pub timeouts: Arc<Timeouts>,
    pub value_max_bytes: usize,
    pub connections_max: Arc<AtomicU32>,
    pub started: Instant,
}

/// An open pair.
pub(super) struct Endpoint {
    /// Accepts and serves until it is asked to stop.
    pub run: Box<dyn FnOnce(watch::Receiver<bool>) -> BoxFuture<'static, ()> + Send>,
    pub statistics: Arc<dyn Counts>,
}

/// The current counters of any protocol.
pub(crate) trait Counts: Send + Sync {
    fn counts(&self) -> Vec<(&'static str, u64)>;
}

impl<C: Counters> Counts for C {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        counts(self)
    }
}

pub(super) async fn open(pair: &Pair, shared: &Shared) -> Result<Endpoint, SlaveError> {
    match pair.protocol {
        config::Protocol::Memcache => listen::<Memcache>(pair, shared).await,
        config::Protocol::Redis => listen::<Resp>(pair, shared).await,
    }
}

async fn listen<P: Protocol>(pair: &Pair, shared: &Shared) -> Result<Endpoint, SlaveError> {
    let statistics = Arc::<P::Statistics>::default();
    let service = Arc::new(Service::<P> {
        router: shared.router.clone(),
        namespace: pair.namespace.clone(),
        value_max_bytes: shared.value_max_bytes,
        traffic: shared.traffic.clone(),
        memory: shared.memory.clone(),
        timeouts: shared.timeouts.clone(),
        statistics: statistics.clone(),
        started: shared.started,
    });
    let listener = Listener::open(&pair.listen, service, shared.connections_max.clone()).await;
    let listener = listener.map_err(|source| SlaveError::Listen { listen: pair.listen.clone(), source })?;
    Ok(Endpoint { run: Box::new(move |stop| Box::pin(listener.run(stop))), statistics })
}
