//! What a connection at the node port is served with. One task for each connection: it reads what came, hands it on
//! and sends answers as they become ready.
//!
//! *Invariant:* messages for one Raft group are given to it in the order in which they came on the connection.

mod member_sources;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::GroupId;
use dkc_core::meta::MetaCommand;
use dkc_core::mutant::{self, Mutant};
use dkc_core::wire::{self, Certified, Frame, Hello, Kind, Refusal};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::proposal_codec::encode_proposed;
use super::server::Server;
use crate::net::refusal_words;
use crate::net::{Admit, Alpn, Connection, NodeRole, Peer, Sender};
use crate::raft::{NotProposed, receive, snapshot_receive};
pub use member_sources::learn_member_sources;
use requests::Reads;

/// Pieces of work under way on one connection before no more is read from it.
const WORK_MAX: usize = 8192;
/// A ring watch is answered after this long even when nothing has changed, so that none is kept for ever.
const RING_WATCH_MAX: Duration = Duration::from_secs(25);
/// The longest that a forwarded meta command is tried here.
const META_TIMEOUT: Duration = Duration::from_secs(5);

type Work = BoxFuture<'static, ()>;

impl Admit for Server {
    fn admit(&self, peer: &Peer, _: Alpn, hello: &Hello) -> Result<Hello, Refusal> {
        if mutant::is_active(Mutant::RemovedNodeAdmitted) {
            return Ok(self.hello());
        }
        if let Some(refusal) = self.taken_back(peer) {
            return Err(refusal);
        }
        let peer = peer.identity;
        let is_known = match (peer.role, self.ring()) {
            (NodeRole::Slave, _) => true,
            (NodeRole::Server, Some(ring)) => ring.nodes.iter().any(|node| node.uuid == peer.node),
            (NodeRole::Server, None) => false,
        };
        let is_configured = self.config.servers.iter().any(|server| server.node_uuid == peer.node);
        // Whoever joined while this node was away is let in, or nobody could tell it of them when they lead.
        let may_be_new = peer.role == NodeRole::Server && hello.ring_version > self.ring_version();
        if is_known || is_configured || may_be_new { Ok(self.hello()) } else { Err(Refusal::UnknownNode) }
    }
}

impl Server {
    /// Why a certificate that is good is of no use any more.
    fn taken_back(&self, peer: &Peer) -> Option<Refusal> {
        let meta = self.meta();
        if meta.removed(peer.identity.node).is_some() {
            return Some(Refusal::Removed);
        }
        let issuer = meta.removed(peer.issuer?)?;
        let words =
            format!("its certificate was signed by No.{}, which was removed; deploy it", issuer.number);
        Some(Refusal::Other(words))
    }
}

/// Serves one admitted connection until it ends.
pub async fn serve(server: Arc<Server>, mut connection: Connection) {
    if connection.alpn == Alpn::Snapshot {
        return snapshot_receive::receive(connection, |id| server.group(id)).await;
    }
    if connection.alpn == Alpn::Peer {
        server.has_come_back(connection.peer.identity.node);
    }
    let mut work: FuturesUnordered<Work> = FuturesUnordered::new();
    let mut ring = server.ring.subscribe();
    loop {
        tokio::select! {
            // A removed node may be silent; the next time it connects it is told why.
            _ = ring.changed() => {
                if let Some(refusal) = server.taken_back(&connection.peer) {
                    return connection.sender.close(&refusal_words(&refusal));
                }
            }
            batch = connection.frames.next_batch(), if work.len() < WORK_MAX => {
                let Ok(batch) = batch else { return };
                connection.sender.ready().await;
                take_batch(&server, &connection, batch, &mut work);
            }
            Some(()) = work.next(), if !work.is_empty() => {}
        }
    }
}

fn take_batch(
    server: &Arc<Server>,
    connection: &Connection,
    batch: Vec<Frame>,
    work: &mut FuturesUnordered<Work>,
) {
    let mut reads = Reads::new();
    for frame in batch {
        match frame.kind {
            Kind::Request => server.take_request(frame, connection, &mut reads),
            Kind::Certify => certify(server, frame, connection),
            Kind::RingWatch => begin(work, ring_watch(server.clone(), frame, connection.sender.clone())),
            _ if connection.alpn != Alpn::Peer => {
                tracing::warn!(peer = %connection.peer, kind = ?frame.kind, "only servers may send this");
                connection.sender.close("only servers may send this kind of frame");
                return;
            }
            kind if receive::is_raft_message(kind) => {
                begin(work, raft(server.clone(), frame, connection.sender.clone()));
            }
            Kind::MetaPropose => begin(work, meta_propose(server.clone(), frame, connection.sender.clone())),
            Kind::PeerControl => begin(work, peer_control(server.clone(), frame, connection.sender.clone())),
            kind => tracing::debug!(?kind, "a frame that no server expects"),
        }
    }
    for (group, reads) in reads.into_values() {
        begin(work, async move { group.read(reads).await });
    }
}

/// Polls the work once before anything that came later is looked at: what it puts into a queue keeps its place.
fn begin(work: &mut FuturesUnordered<Work>, future: impl Future<Output = ()> + Send + 'static) {
    let mut future: Work = Box::pin(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    if future.as_mut().poll(&mut context).is_pending() {
        // FuturesUnordered polls what is pushed once more, with a waker that wakes this task.
        work.push(future);
    }
}

fn send(sender: &Sender, kind: Kind, frame_id: u64, group: GroupId, body: &[u8]) {
    if let Err(error) = sender.send(kind, frame_id, group, body) {
        tracing::debug!(%error, ?kind, "an answer could not be sent");
    }
}

fn certify(server: &Server, frame: Frame, connection: &Connection) {
    let stays = server.meta().node(server.node).is_some_and(|node| node.stays_in_service());
    let certified = match stays {
        true => server.certificates.certify(&connection.peer, &frame.body),
        false => Certified::Refused("this server is not in service".into()),
    };
    send(&connection.sender, Kind::CertifyAnswer, frame.id, frame.group, &certified.encode());
}

async fn raft(server: Arc<Server>, frame: Frame, sender: Sender) {
    // A group that is not open here gets no answer, as if the node were down for it.
    let Some(group) = server.group(frame.group) else { return };
    let is_short = server.is_disk_short();
    let accepts = receive::Accepts { data: !is_short, leadership: !is_short && !server.is_stopping() };
    match receive::answer(&group, frame.kind, frame.body, accepts).await {
        Ok(body) => send(&sender, Kind::PeerAnswer, frame.id, frame.group, &body),
        // Said once when it began; the sender's own time limit tells it.
        Err(receive::ReceiveError::ShortOfSpace | receive::ReceiveError::Hibernated) => {}
        Err(error) => {
            tracing::warn!(group = %frame.group, kind = ?frame.kind, %error, "message not answered")
        }
    }
}

async fn ring_watch(server: Arc<Server>, frame: Frame, sender: Sender) {
    let newer_than = match wire::decode_ring_watch(frame.body) {
        Ok(version) => version,
        Err(error) => return sender.close(&error.to_string()),
    };
    let mut ring = server.ring.subscribe();
    let is_newer = |ring: &Option<Arc<_>>| {
        ring.as_ref().is_some_and(|ring: &Arc<dkc_core::ring::RingMap>| ring.version > newer_than)
    };
    // Whether it became newer or the time is up: the answer is what is known now.
    let _ = tokio::time::timeout(RING_WATCH_MAX, ring.wait_for(is_newer)).await;
    let known = ring.borrow().clone();
    match known {
        Some(ring) => send(&sender, Kind::RingIs, frame.id, frame.group, &wire::encode_ring(&ring)),
        None => send(&sender, Kind::PeerAnswer, frame.id, frame.group, &[]),
    }
}

async fn meta_propose(server: Arc<Server>, frame: Frame, sender: Sender) {
    let result = match MetaCommand::decode(&frame.body) {
        Ok(command) => server.propose_here(&command, META_TIMEOUT).await,
        Err(error) => {
            tracing::warn!(%error, "a meta command cannot be read");
            Err(NotProposed::Unknown)
        }
    };
    let applied = server.meta_group.machine.applied().map_or(0, |id| id.index);
    let result = result.map(|reply| (reply, applied));
    send(&sender, Kind::PeerAnswer, frame.id, frame.group, &encode_proposed(&result));
}

async fn peer_control(server: Arc<Server>, frame: Frame, sender: Sender) {
    let answer = server.peer_control(&frame.body).await;
    send(&sender, Kind::PeerAnswer, frame.id, frame.group, &answer);
}
