//! What servers tell each other beside Raft: that the meta group should begin, and that a node takes no leadership for a while. And
//! the view of who is up, which is whether a connection to them stands.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::{GroupId, NodeId, NodeUuid};
use dkc_core::wire::Kind;
use tokio::time::Instant;

use super::server::Server;

/// Body of a `PeerControl`: begin the meta group, if you vote in it.
pub const BEGIN_META: &[u8] = b"\x01begin-meta";
/// Body of a `PeerControl`: the node with this id (u64) is about to stop, or cannot lead for another reason.
const STOPPING: &[u8] = b"\x01stopping";
const DONE: &[u8] = b"\x01done";

/// How long a peer that said so gets no leadership, unless it connects anew: then it has started again.
const DRAINING_MAX: Duration = Duration::from_secs(30);
/// How often lost connections are looked after.
const LOOK: Duration = Duration::from_secs(1);
/// Telling a peer must not hold up the stop.
const TELL_MAX: Duration = Duration::from_millis(500);

impl Server {
    /// Answers another server.
    pub async fn peer_control(&self, body: &[u8]) -> Bytes {
        if let Some(answer) = self.hibernation_control(body) {
            return answer;
        }
        if body == BEGIN_META {
            if let Err(error) = self.begin_meta_if_voter().await {
                tracing::warn!(%error, "asked to begin the meta group");
            }
        } else if let Some(id) = body.strip_prefix(STOPPING).and_then(|id| id.try_into().ok()) {
            let node = NodeId(u64::from_be_bytes(id));
            let mut draining = self.draining.lock().expect("lock is never poisoned: panic aborts");
            draining.insert(node, Instant::now() + DRAINING_MAX);
        } else {
            tracing::debug!("a peer sent a control message that this release does not know");
        }
        Bytes::from_static(DONE)
    }

    /// Tells everybody that is up not to hand leadership to this node any more.
    pub async fn decline_leadership(&self) {
        let body: Bytes = [STOPPING, &self.node.0.to_be_bytes()].concat().into();
        let tell = |node: NodeId| {
            let asking = self.transport.ask(node, Kind::PeerControl, GroupId::META, body.clone(), TELL_MAX);
            async move { tokio::time::timeout(TELL_MAX, asking).await }
        };
        let up = self.transport.targets().into_keys().filter(|node| self.is_up(*node));
        futures::future::join_all(up.map(tell)).await;
    }

    pub fn is_draining(&self, node: NodeId) -> bool {
        let draining = self.draining.lock().expect("lock is never poisoned: panic aborts");
        draining.get(&node).is_some_and(|until| Instant::now() < *until)
    }

    /// A server has opened a connection: what it said before it stopped is over.
    pub fn has_come_back(&self, uuid: NodeUuid) {
        let Some(ring) = self.ring() else { return };
        if let Some(node) = ring.nodes.iter().find(|node| node.uuid == uuid) {
            self.draining.lock().expect("lock is never poisoned: panic aborts").remove(&node.node_id);
        }
    }

    /// How long the connection to the node has stood.
    pub fn up_for(&self, node: NodeId) -> Option<Duration> {
        self.transport.link(node)?.connected_for()
    }

    /// Whether a connection to the node stands; this node itself is always up.
    pub fn is_up(&self, node: NodeId) -> bool {
        node == self.node || self.transport.link(node).is_some_and(|link| link.state().is_connected)
    }

    /// Keeps a connection to every other server, so that `is_up` says something.
    pub async fn keep_connected(self: Arc<Self>) {
        loop {
            for node in self.transport.targets().into_keys() {
                if let Some(link) = self.transport.link(node) {
                    // Begins an attempt when there is none; whether it succeeds is seen at the next look.
                    let _ = link.current();
                    if link.state().is_removed {
                        crate::fatal::removed(&link.target().address);
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
