//! Connections to many servers, opened on first use and reopened with exponential backoff when lost. At
//! most one attempt per server is in progress, and none starts during the backoff: a dead peer costs
//! nothing however often it is requested.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::wire::{Hello, Refusal};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

use super::NetError;
use super::client::Client;
use super::target::Target;
use super::tls::{Alpn, Tls};

/// Backoff after the first failure; it doubles up to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The maximum: a server that returned is reconnected within about this time.
const BACKOFF_MAX: Duration = Duration::from_millis(1000);

/// The content of Hello; requested for each connection, because the ring version grows.
pub type MakeHello = Arc<dyn Fn() -> Hello + Send + Sync>;

struct Shared {
    tls: Arc<Tls>,
    alpn: Alpn,
    hello: MakeHello,
}

/// The links of one kind from this node, by target.
pub struct Peers {
    shared: Arc<Shared>,
    links: Mutex<HashMap<Target, Arc<Link>>>,
}

impl Peers {
    pub fn new(tls: Arc<Tls>, alpn: Alpn, hello: MakeHello) -> Peers {
        Peers { shared: Arc::new(Shared { tls, alpn, hello }), links: Mutex::default() }
    }

    /// The link to a server. It connects on first use.
    pub fn link(&self, target: &Target) -> Arc<Link> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(target) {
            return link.clone();
        }
        let link = Arc::new(Link::new(self.shared.clone(), target.clone()));
        links.insert(target.clone(), link.clone());
        link
    }

    /// Drops the links to all targets that are no longer wanted; their connections end.
    pub fn retain(&self, is_wanted: impl Fn(&Target) -> bool) {
        let mut links = self.links.lock();
        links.retain(|target, link| {
            let keep = is_wanted(target);
            if !keep {
                link.close();
            }
            keep
        });
    }
}

/// The state of a link, for status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    pub is_connected: bool,
    /// The last error, if it is not connected.
    pub error: Option<String>,
    /// The server refused this node because the cluster has removed it.
    pub is_removed: bool,
}

enum State {
    Idle,
    /// Notifies receivers when the attempt has ended.
    Connecting(watch::Receiver<()>),
    Connected(Client, Instant),
}

struct Inner {
    state: State,
    error: Option<NetError>,
    failures: u32,
    not_before: Option<Instant>,
    is_closed: bool,
}

/// One server, connected or not.
pub struct Link {
    shared: Arc<Shared>,
    target: Target,
    inner: Mutex<Inner>,
}

impl Link {
    fn new(shared: Arc<Shared>, target: Target) -> Link {
        let inner =
            Inner { state: State::Idle, error: None, failures: 0, not_before: None, is_closed: false };
        Link { shared, target, inner: Mutex::new(inner) }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The connection if it is open. If not, starts an attempt (unless the pause forbids it) and returns the
    /// current error. Never blocks.
    pub fn current(self: &Arc<Self>) -> Result<Client, NetError> {
        let mut inner = self.lock();
        match &inner.state {
            State::Connected(client, _) if client.is_open() => return Ok(client.clone()),
            State::Connecting(_) => {
                return Err(NetError::not_sent(format_args!("connecting to {}", self.target.address)));
            }
            _ => {}
        }
        self.begin(&mut inner).map(|_| ())?;
        Err(NetError::not_sent(format_args!("connecting to {}", self.target.address)))
    }

    /// The connection; waits for an attempt in progress or starts one. Fails at once during the backoff.
    pub async fn client(self: &Arc<Self>) -> Result<Client, NetError> {
        let mut ended = {
            let mut inner = self.lock();
            match &inner.state {
                State::Connected(client, _) if client.is_open() => return Ok(client.clone()),
                State::Connecting(ended) => ended.clone(),
                _ => self.begin(&mut inner)?,
            }
        };
        // The sender is dropped when the attempt has ended; that is the signal.
        let _ = ended.changed().await;
        let inner = self.lock();
        match &inner.state {
            State::Connected(client, _) => Ok(client.clone()),
            _ => Err(inner
                .error
                .clone()
                .unwrap_or_else(|| NetError::not_sent("the connection attempt was abandoned"))),
        }
    }

    pub fn is_connecting(&self) -> bool {
        matches!(self.lock().state, State::Connecting(_))
    }

    /// The server is known to be up: the next attempt starts at once, without backoff.
    pub fn end_pause(&self) {
        let mut inner = self.lock();
        inner.failures = 0;
        inner.not_before = None;
    }

    /// How long the connection has been open, if it is.
    pub fn connected_for(&self) -> Option<Duration> {
        match &self.lock().state {
            State::Connected(client, since) if client.is_open() => Some(since.elapsed()),
            _ => None,
        }
    }

    pub fn state(&self) -> LinkState {
        let inner = self.lock();
        match &inner.state {
            State::Connected(client, _) => match client.closed() {
                None => LinkState { is_connected: true, error: None, is_removed: false },
                Some(why) => {
                    LinkState { is_connected: false, error: Some(why.to_string()), is_removed: false }
                }
            },
            _ => LinkState {
                is_connected: false,
                error: inner.error.as_ref().map(|error| error.to_string()),
                is_removed: matches!(inner.error, Some(NetError::Refused(Refusal::Removed))),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        inner.state = State::Idle;
    }

    /// Begins an attempt in a task of its own, so that it completes even if no caller waits.
    fn begin(self: &Arc<Self>, inner: &mut Inner) -> Result<watch::Receiver<()>, NetError> {
        let now = Instant::now();
        if inner.is_closed {
            return Err(NetError::not_sent("the server is no longer a member"));
        }
        if let (Some(not_before), Some(error)) = (inner.not_before, &inner.error)
            && now < not_before
        {
            return Err(error.clone());
        }
        let (end, ended) = watch::channel(());
        inner.state = State::Connecting(ended.clone());
        let link = self.clone();
        crate::task::spawn(async move {
            let result = link.attempt().await;
            link.finish(result);
            drop(end);
        });
        Ok(ended)
    }

    async fn attempt(&self) -> Result<Client, NetError> {
        let hello = (self.shared.hello)();
        Client::connect(&self.shared.tls, self.shared.alpn, &self.target, &hello).await
    }

    fn finish(&self, result: Result<Client, NetError>) {
        let mut inner = self.lock();
        if inner.is_closed {
            return;
        }
        match result {
            Ok(client) => {
                tracing::info!(server = %self.target.address, protocol = self.shared.alpn.as_str(), "connected");
                // A server that accepts and closes at once must not cause a tight loop either.
                inner.not_before = Some(Instant::now() + BACKOFF_MIN);
                inner.state = State::Connected(client, Instant::now());
                inner.failures = 0;
                inner.error = Some(NetError::not_sent("the connection was lost"));
            }
            Err(error) => {
                if inner.failures == 0 {
                    tracing::warn!(server = %self.target.address, %error, "connect failed; will retry");
                }
                inner.failures = inner.failures.saturating_add(1);
                let pause = BACKOFF_MIN.saturating_mul(1 << (inner.failures - 1).min(10)).min(BACKOFF_MAX);
                inner.not_before = Some(Instant::now() + pause);
                inner.state = State::Idle;
                inner.error = Some(error);
            }
        }
    }
}
