//! Which other servers are up (a connection to them is open), and which are draining: about to stop, or unable to
//! lead for another reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::NodeId;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::raft::Transport;

/// Body of a `PeerControl`: the node with this id (u64) is about to stop, or cannot lead for another reason.
const STOPPING: &[u8] = b"\x01stopping";

/// How long a draining peer gets no leadership. Reconnecting ends it: the peer has restarted.
const DRAINING_MAX: Duration = Duration::from_secs(30);
/// Interval of reconnecting lost connections.
const LOOK: Duration = Duration::from_secs(1);

pub struct Liveness {
    node: NodeId,
    transport: Arc<Transport>,
    /// Draining peers: they get no leadership until this moment.
    draining: Mutex<BTreeMap<NodeId, Instant>>,
}

impl Liveness {
    pub fn new(node: NodeId, transport: Arc<Transport>) -> Liveness {
        Liveness { node, transport, draining: Mutex::default() }
    }

    /// Whether a connection to the node is open; this node itself is always up.
    pub fn is_up(&self, node: NodeId) -> bool {
        node == self.node || self.transport.link(node).is_some_and(|link| link.state().is_connected)
    }

    pub fn is_draining(&self, node: NodeId) -> bool {
        let draining = self.draining.lock();
        draining.get(&node).is_some_and(|until| Instant::now() < *until)
    }

    /// A server has connected: clears its earlier announcement and the backoff after failed attempts to connect to it.
    /// True if this node is connected to it.
    pub async fn has_come_back(&self, node: NodeId) -> bool {
        self.draining.lock().remove(&node);
        let Some(link) = self.transport.link(node) else { return false };
        link.end_pause();
        link.client().await.is_ok()
    }

    /// The age of the connection to the node.
    pub fn up_for(&self, node: NodeId) -> Option<Duration> {
        self.transport.link(node)?.connected_for()
    }

    /// Keeps a connection to every other server, which `is_up` relies on.
    pub async fn keep_connected(self: Arc<Self>) {
        loop {
            for node in self.transport.targets().into_keys() {
                if let Some(link) = self.transport.link(node) {
                    // Starts an attempt if none is in progress; the next round sees its result.
                    let _ = link.current();
                    if link.state().is_removed {
                        crate::fatal::removed(&link.target().address);
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Announces to every node that is up that this one declines leadership.
    pub async fn decline_leadership(&self) {
        let body: Bytes = [STOPPING, &self.node.0.to_be_bytes()].concat().into();
        self.transport.tell_connected(body).await;
    }

    /// Records another server's announcement; false for other messages.
    pub fn hear_declined(&self, body: &[u8]) -> bool {
        let id = body.strip_prefix(STOPPING).and_then(|id| id.try_into().ok());
        let Some(node) = id.map(|id| NodeId(u64::from_be_bytes(id))) else { return false };
        let mut draining = self.draining.lock();
        draining.insert(node, Instant::now() + DRAINING_MAX);
        true
    }
}
