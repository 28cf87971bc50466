//! Whether this server may take part. Before it votes, campaigns or acknowledges anything after a start, it asks every other server
//! what that remembers of it (`dkc_core::lineage`); whoever remembers more ends it. Later it tells them how far its log has come.
//!
//! *Invariant (D4):* a server that was put back from an older copy of its directory does not take part once a server that
//! remembers more has answered, and one that answers within `ANSWERS_MAX` of the start has answered before it does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::{GroupId, NodeId, NodeUuid};
use dkc_core::lineage::{LogEnd, Mark, Tell};
use dkc_core::mutant::{self, Mutant};
use dkc_core::wire::Kind;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::disk::Disk;
use super::known_ring::KnownRing;
use super::local_node::LocalNode;
use crate::raft::Transport;

/// How long a server that has started waits for those that do not answer. A healthy one answers within milliseconds; after a power
/// cut of all, this is also how much later than this one another may boot and still be asked in time.
const ANSWERS_MAX: Duration = Duration::from_millis(1_000);
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How far the log has come is told so often, if it has come any further: a copy that is older than this is noticed.
const TELL: Duration = Duration::from_millis(if cfg!(feature = "simulation") { 100 } else { 250 });
const TELL_MAX: Duration = Duration::from_millis(1_000);
/// What others told is written so often, if it has changed.
const PERSIST: Duration = Duration::from_millis(if cfg!(feature = "simulation") { 500 } else { 5_000 });

/// Body of a `PeerControl`, before a `Tell`, and the beginning of its answer, before a `Mark` or none. A release that does not know
/// it answers differently, and remembers nothing.
const RUNS: &[u8] = b"\x01runs";
const REMEMBERED: &[u8] = b"\x01remembered";

pub struct Standing {
    local: Arc<LocalNode>,
    disk: Arc<Disk>,
    ring: Arc<KnownRing>,
    transport: Arc<Transport>,
    takes_part: watch::Sender<bool>,
    /// What each server was told last, and when.
    told: Mutex<BTreeMap<NodeId, (LogEnd, Instant)>>,
}

impl Standing {
    /// `takes_part` becomes true once this server may take part.
    pub fn new(
        local: Arc<LocalNode>,
        disk: Arc<Disk>,
        ring: Arc<KnownRing>,
        transport: Arc<Transport>,
        takes_part: watch::Sender<bool>,
    ) -> Standing {
        Standing { local, disk, ring, transport, takes_part, told: Mutex::default() }
    }

    pub fn takes_part(&self) -> bool {
        *self.takes_part.borrow()
    }

    /// Why this server does not take part yet, for status.
    pub fn trouble(&self) -> Option<String> {
        let words = "it has just started and asks the other servers what they remember of it";
        (!self.takes_part()).then(|| words.into())
    }

    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.takes_part.subscribe()
    }

    /// Asks everybody, begins to take part, and keeps telling, for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        if !mutant::is_active(Mutant::TakesPartUntold) {
            self.ask_everybody().await;
        }
        self.takes_part.send_replace(true);
        let mut persisted = Instant::now();
        loop {
            tokio::time::sleep(TELL).await;
            let due = self.transport.targets().into_keys().filter(|node| self.is_due(*node));
            futures::future::join_all(due.map(|node| self.tell(node, TELL_MAX))).await;
            if persisted.elapsed() >= PERSIST {
                self.forget_strangers();
                self.disk.lineage().persist().await;
                persisted = Instant::now();
            }
        }
    }

    async fn ask_everybody(&self) {
        let until = Instant::now() + ANSWERS_MAX;
        let others = self.transport.targets().into_keys();
        let silent = futures::future::join_all(others.map(|node| self.ask_until(node, until))).await;
        let silent: Vec<u64> = silent.into_iter().flatten().map(|node| node.0).collect();
        if !silent.is_empty() {
            tracing::info!(nodes = ?silent, "taking part without having heard what these servers remember of this one");
        }
    }

    /// The server, if it has not answered until then.
    async fn ask_until(&self, node: NodeId, until: Instant) -> Option<NodeId> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(node);
            }
            if self.tell(node, left).await {
                return None;
            }
            tokio::time::sleep(ASK_AGAIN.min(left)).await;
        }
    }

    /// Whether the log has come further since the server was told, or the connection to it is another one.
    fn is_due(&self, node: NodeId) -> bool {
        let Some(connected_for) = self.transport.link(node).and_then(|link| link.connected_for()) else {
            return false;
        };
        match self.told.lock().get(&node) {
            Some((end, at)) => *end < self.disk.log().synced_end() || connected_for < at.elapsed(),
            None => true,
        }
    }

    /// Tells a server the runs and the end of the log, and hears what that remembers. Whether it answered.
    async fn tell(&self, node: NodeId, timeout: Duration) -> bool {
        let (end, at) = (self.disk.log().synced_end(), Instant::now());
        let body: Bytes = [RUNS, &self.disk.lineage().tell(end).encode()].concat().into();
        let asking = self.transport.ask(node, Kind::PeerControl, GroupId::META, body, timeout);
        let Ok(Ok(answer)) = tokio::time::timeout(timeout, asking).await else { return false };
        self.told.lock().insert(node, (end, at));
        let remembered = answer.strip_prefix(REMEMBERED).map(Mark::decode_answer);
        match remembered {
            Some(Ok(Some(mark))) => self.compare(node, &mark),
            Some(Err(error)) => {
                tracing::warn!(%node, %error, "what a server remembers of this one is invalid")
            }
            Some(Ok(None)) | None => {}
        }
        true
    }

    /// Ends this server if another one remembers more of it than is here.
    fn compare(&self, node: NodeId, remembered: &Mark) {
        if let Err(what) = self.disk.lineage().check(remembered, self.disk.log().synced_end()) {
            let (cluster, number) = (&self.local.config().cluster, self.local.role().number);
            let address = self.transport.targets().get(&node).map(|target| target.address.to_string());
            let by = address.unwrap_or_else(|| format!("node {node}"));
            crate::fatal::put_back(&format_args!(
                "the data of server No.{number} was put back from an older copy: {by} remembers {what}. It may lack what it \
                 acknowledged, so it takes no part any more; replace it: dkc replace -n {cluster} --no {number} --address HOST:PORT"
            ));
        }
    }

    /// Answers another server; `None` for other messages.
    pub async fn answer(&self, from: NodeUuid, body: &[u8]) -> Option<Bytes> {
        let body = body.strip_prefix(RUNS)?;
        let remembered = match Tell::decode(body) {
            Ok(told) => self.disk.lineage().hear(from, &told).await,
            Err(error) => {
                tracing::warn!(%from, %error, "the runs of a server are invalid");
                None
            }
        };
        Some([REMEMBERED, &Mark::encode_answer(remembered)].concat().into())
    }

    /// A removed server never returns.
    fn forget_strangers(&self) {
        let Some(ring) = self.ring.map() else { return };
        self.disk.lineage().retain(|node| ring.nodes.iter().any(|member| member.uuid == node));
    }
}
