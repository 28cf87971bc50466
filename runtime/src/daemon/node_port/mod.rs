//! Serves the connections at the node port. One task per connection reads frames, passes them on
//! and sends replies as they become ready.
//!
//! *Invariant:* messages for a Raft group are passed to it in the order in which they arrived on the connection.

mod admission;
mod connections;
mod enrolment;
mod held;
mod member_sources;
mod own_program;
mod requests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::{GroupId, NodeId, NodeUuid};
use dkc_core::wire::{self, Certified, Frame, Kind};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::disk::Disk;
use super::known_ring::KnownRing;
use super::leadership::Leadership;
use super::meta_group::MetaGroup;
use super::peer_control::PeerControl;
use super::replicas::Replicas;
use super::standing::Standing;
use crate::certificates::Certificates;
use crate::net::{Alpn, Connection, Sender, refusal_words};
use crate::raft::{Group, receive, snapshot_receive};
pub use admission::Admission;
pub use connections::PortConnections;
use held::Held;
pub use member_sources::learn_member_sources;
pub use own_program::OwnProgram;
use requests::Reads;
pub use requests::Requests;

/// Requests in progress on one connection; above this, reading pauses.
const WORK_MAX: usize = 8192;
/// A ring watch is answered after this time even without a change, which bounds every watch.
const RING_WATCH_MAX: Duration = Duration::from_secs(25);

type Work = BoxFuture<'static, ()>;

/// The services behind every connection. It has no state of its own.
pub struct NodePort {
    pub requests: Arc<Requests>,
    pub admission: Arc<Admission>,
    pub certificates: Arc<Certificates>,
    pub peer_control: PeerControl,
    pub ring: Arc<KnownRing>,
    pub meta: Arc<MetaGroup>,
    pub replicas: Arc<Replicas>,
    pub leadership: Arc<Leadership>,
    pub disk: Arc<Disk>,
    pub standing: Arc<Standing>,
}

/// Serves one admitted connection until it ends.
pub async fn serve(port: Arc<NodePort>, mut connection: Connection) {
    let mut takes_part = port.standing.subscribe();
    if connection.alpn == Alpn::Snapshot {
        // An error means that this server ends.
        if takes_part.wait_for(|takes_part| *takes_part).await.is_err() {
            return;
        }
        return snapshot_receive::receive(connection, |id| port.replicas.get(id)).await;
    }
    if connection.alpn == Alpn::Peer
        && let Some(node) = port.ring.member(connection.peer.identity.node)
    {
        crate::task::spawn(has_come_back(port.clone(), node));
    }
    let mut work: FuturesUnordered<Work> = FuturesUnordered::new();
    let mut ring = port.ring.subscribe();
    let mut held = Held::default();
    loop {
        tokio::select! {
            Ok(()) = takes_part.changed(), if !held.is_empty() => {
                let batch = held.pass(Vec::new(), *takes_part.borrow_and_update());
                take_batch(&port, &connection, batch, &mut work);
            }
            // A removed node may be silent; its next handshake is refused with the reason.
            _ = ring.changed() => {
                if let Some(refusal) = port.admission.taken_back(&connection.peer) {
                    return connection.sender.close(&refusal_words(&refusal));
                }
            }
            batch = connection.frames.next_batch(), if work.len() < WORK_MAX => {
                let Ok(batch) = batch else { return };
                connection.sender.ready().await;
                let batch = held.pass(batch, port.standing.takes_part());
                if held.is_full() {
                    return connection.sender.close("too many messages before this server may take part");
                }
                take_batch(&port, &connection, batch, &mut work);
            }
            Some(()) = work.next(), if !work.is_empty() => {}
        }
    }
}

/// Another server has connected, so it is up: replication to it continues at once. It may have been restarted, and then it does
/// not know what was committed last; a learner has no election timer, so only the leader can wake the group.
async fn has_come_back(port: Arc<NodePort>, node: NodeId) {
    let has_it = |group: &Arc<Group>| group.is_leader() && group.membership().nodes.contains(&node);
    let led = || port.replicas.all().into_iter().filter(has_it);
    led().for_each(|group| group.hibernation.wake());
    if port.peer_control.has_come_back(node).await {
        futures::future::join_all(led().map(|group| async move { group.replicate_at_once(node).await }))
            .await;
    }
}

fn take_batch(
    port: &Arc<NodePort>,
    connection: &Connection,
    batch: Vec<Frame>,
    work: &mut FuturesUnordered<Work>,
) {
    let mut reads = Reads::new();
    for frame in batch {
        match frame.kind {
            Kind::Request => port.requests.take(frame, connection, &mut reads),
            Kind::Certify => certify(port, frame, connection),
            Kind::RingWatch => begin(work, ring_watch(port.clone(), frame, connection.sender.clone())),
            _ if connection.alpn != Alpn::Peer => {
                tracing::warn!(peer = %connection.peer, kind = ?frame.kind, "frame refused: peer is not a server");
                connection.sender.close("only servers may send this kind of frame");
                return;
            }
            kind if receive::is_raft_message(kind) => {
                begin(work, raft(port.clone(), frame, connection.sender.clone()));
            }
            Kind::MetaPropose => begin(work, meta_propose(port.clone(), frame, connection.sender.clone())),
            Kind::PeerControl => {
                let from = connection.peer.identity.node;
                begin(work, peer_control(port.clone(), from, frame, connection.sender.clone()));
            }
            kind => tracing::debug!(?kind, "unexpected frame ignored"),
        }
    }
    for (group, reads) in reads.into_values() {
        begin(work, async move { group.read(reads).await });
    }
}

/// Polls the work once before later frames are handled, so that queue order is frame order. Runs outside the cooperative
/// budget: once that is used up, a queue with room returns "pending", and a later frame would pass an earlier one.
fn begin(work: &mut FuturesUnordered<Work>, future: impl Future<Output = ()> + Send + 'static) {
    let mut future: Work = Box::pin(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let first = pin!(tokio::task::unconstrained(future.as_mut())).poll(&mut context);
    if first.is_pending() {
        // FuturesUnordered polls it again, with a waker that wakes this task.
        work.push(future);
    }
}

fn send(sender: &Sender, kind: Kind, frame_id: u64, group: GroupId, body: &[u8]) {
    if let Err(error) = sender.send(kind, frame_id, group, body) {
        tracing::debug!(%error, ?kind, "reply not sent");
    }
}

fn certify(port: &NodePort, frame: Frame, connection: &Connection) {
    let meta = port.meta.state();
    let certified = match meta.node(port.meta.node()).is_some_and(|node| node.stays_in_service()) {
        true => port.certificates.certify(&connection.peer, &frame.body),
        false => Certified::Refused("this server is not in service".into()),
    };
    send(&connection.sender, Kind::CertifyAnswer, frame.id, frame.group, &certified.encode());
}

async fn raft(port: Arc<NodePort>, frame: Frame, sender: Sender) {
    // A group that is not open here sends no reply, as if this node were down.
    let Some(group) = port.replicas.get(frame.group) else { return };
    let accepts = receive::Accepts { data: !port.disk.is_short(), leadership: port.leadership.is_willing() };
    match receive::answer(&group, frame.kind, frame.body, accepts).await {
        Ok(body) => send(&sender, Kind::PeerAnswer, frame.id, frame.group, &body),
        // Logged once when it started; the sender notices by its own timeout.
        Err(receive::ReceiveError::ShortOfSpace | receive::ReceiveError::Hibernated) => {}
        Err(error) => {
            tracing::warn!(group = %frame.group, kind = ?frame.kind, %error, "request failed")
        }
    }
}

async fn ring_watch(port: Arc<NodePort>, frame: Frame, sender: Sender) {
    let newer_than = match wire::decode_ring_watch(frame.body) {
        Ok(version) => version,
        Err(error) => return sender.close(&error.to_string()),
    };
    let mut ring = port.ring.subscribe();
    let is_newer = |ring: &Option<Arc<_>>| {
        ring.as_ref().is_some_and(|ring: &Arc<dkc_core::ring::RingMap>| ring.version > newer_than)
    };
    // Whether it changed or the time is up: reply with the current state.
    let _ = tokio::time::timeout(RING_WATCH_MAX, ring.wait_for(is_newer)).await;
    let known = ring.borrow().clone();
    match known {
        Some(ring) => send(&sender, Kind::RingIs, frame.id, frame.group, &wire::encode_ring(&ring)),
        None => send(&sender, Kind::PeerAnswer, frame.id, frame.group, &[]),
    }
}

async fn meta_propose(port: Arc<NodePort>, frame: Frame, sender: Sender) {
    let answer = port.meta.answer_forwarded(&frame.body).await;
    send(&sender, Kind::PeerAnswer, frame.id, frame.group, &answer);
}

async fn peer_control(port: Arc<NodePort>, from: NodeUuid, frame: Frame, sender: Sender) {
    let answer = port.peer_control.answer(from, &frame.body).await;
    send(&sender, Kind::PeerAnswer, frame.id, frame.group, &answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_of_messages_is_queued_in_its_order_at_once() {
        const MESSAGES: usize = 1000;
        let (sender, mut queue) = tokio::sync::mpsc::channel(MESSAGES);
        let mut work = FuturesUnordered::new();
        for message in 0..MESSAGES {
            let sender = sender.clone();
            begin(&mut work, async move { sender.send(message).await.expect("the queue is open") });
        }
        let queued: Vec<usize> = std::iter::from_fn(|| queue.try_recv().ok()).collect();
        assert!(queued.is_sorted() && queued.len() == MESSAGES, "{} are queued: {queued:?}", queued.len());
    }
}
