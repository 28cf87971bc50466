//! Leadership: returns each tablet's leadership to its preferred leader once that node is up and has caught up, one tablet at a
//! time, and transfers all of it away before this node stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dkc_core::ids::NodeId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::disk::Disk;
use super::known_ring::KnownRing;
use super::liveness::Liveness;
use super::replicas::Replicas;
use crate::raft::Group;

/// Interval of balancing; at most one leadership is transferred each time.
const LOOK: Duration = Duration::from_millis(500);
/// A follower that lags by at most this many entries can lead without a noticeable pause.
const LAG_MAX_ENTRIES: u64 = 16;
/// Intervals for which a tablet is skipped after a failed transfer.
const LOOKS_TO_SKIP: u32 = 10;
/// Timeout of transferring everything before a stop: a few milliseconds per tablet if the others are healthy.
const TRANSFER_ALL_MAX: Duration = Duration::from_secs(5);
const TRANSFER_ALL_LOOK: Duration = Duration::from_millis(20);
/// A server that has just returned gets leadership only after slaves had time to reconnect to it.
const STEADY_MIN: Duration = Duration::from_secs(2);
/// A server that was prepared for a stop and is not stopped accepts leadership again after this time.
const PREPARED_MAX: Duration = Duration::from_secs(30);

pub struct Leadership {
    node: NodeId,
    ring: Arc<KnownRing>,
    liveness: Arc<Liveness>,
    replicas: Arc<Replicas>,
    disk: Arc<Disk>,
    is_stopping: AtomicBool,
    /// True once the node is stopping.
    stopped: watch::Receiver<bool>,
}

impl Leadership {
    pub fn new(
        ring: Arc<KnownRing>,
        liveness: Arc<Liveness>,
        replicas: Arc<Replicas>,
        disk: Arc<Disk>,
        stopped: watch::Receiver<bool>,
    ) -> Leadership {
        Leadership {
            node: replicas.node(),
            ring,
            liveness,
            replicas,
            disk,
            is_stopping: AtomicBool::new(false),
            stopped,
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Whether this node may accept leadership and transfer its own to others.
    pub fn is_willing(&self) -> bool {
        !self.is_stopping() && !self.disk.is_short()
    }

    /// Transfers leadership to the preferred leaders, for as long as it is polled.
    pub async fn keep_balanced(self: Arc<Self>) {
        let mut skip = std::collections::BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            if !self.is_willing() {
                continue;
            }
            skip.retain(|_, looks: &mut u32| {
                *looks -= 1;
                *looks > 0
            });
            let next =
                self.replicas.tablets().into_iter().filter(|group| !skip.contains_key(&group.id)).find_map(
                    |group| {
                        let to = self.better_leader(&group)?;
                        Some((group, to))
                    },
                );
            if let Some((group, to)) = next {
                tracing::info!(group = %group.id, %to, "transferring leadership to the preferred leader");
                group.transfer_leader(to).await;
                skip.insert(group.id, LOOKS_TO_SKIP);
            }
        }
    }

    /// The preferred leader of a tablet that this node leads, if it could lead right now.
    pub fn better_leader(&self, group: &Group) -> Option<NodeId> {
        if !group.is_leader() {
            return None;
        }
        let preferred = self.ring.map()?.place_of(group.id.tablet()?)?.preferred_leader;
        let is_steady = self.liveness.up_for(preferred).is_some_and(|up| up >= STEADY_MIN);
        (preferred != self.node && is_steady && self.can_lead(group, preferred)).then_some(preferred)
    }

    fn can_lead(&self, group: &Group, node: NodeId) -> bool {
        self.liveness.is_up(node)
            && !self.liveness.is_draining(node)
            && group.voters().contains(&node)
            && group.caught_up(LAG_MAX_ENTRIES).contains(&node)
    }

    /// Transfers all leadership, before a stop.
    pub async fn prepare_stop(self: &Arc<Self>) {
        self.transfer_all().await;
        let leadership = self.clone();
        crate::task::spawn(async move {
            tokio::time::sleep(PREPARED_MAX).await;
            if !*leadership.stopped.borrow() {
                leadership.is_stopping.store(false, Ordering::Relaxed);
            }
        });
    }

    /// Transfers all leadership. Returns when other nodes are observed to lead, or when no node can take the rest.
    pub async fn transfer_all(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.decline().await;
        let until = Instant::now() + TRANSFER_ALL_MAX;
        // Wait only for groups that were led here.
        let mut led: Vec<Arc<Group>> =
            self.replicas.all().into_iter().filter(|group| group.is_leader()).collect();
        loop {
            led.retain(|group| group.leader().is_none_or(|leader| leader == self.node));
            if led.is_empty() {
                tracing::info!("all leadership transferred");
                return;
            }
            if Instant::now() >= until || led.iter().all(|group| !self.may_have_successor(group)) {
                tracing::warn!(groups = led.len(), "leadership not transferred in time");
                return;
            }
            self.offer().await;
            tokio::time::sleep(TRANSFER_ALL_LOOK).await;
        }
    }

    /// Whether another node can lead, now or once it has caught up.
    fn may_have_successor(&self, group: &Group) -> bool {
        let may_lead = |node: &NodeId| {
            *node != self.node && self.liveness.is_up(*node) && !self.liveness.is_draining(*node)
        };
        group.voters().iter().any(may_lead)
    }

    /// Announces to every node that is up that this one declines leadership.
    pub async fn decline(&self) {
        self.liveness.decline_leadership().await;
    }

    /// Asks eligible nodes to lead this node's groups; the next call repeats failed attempts.
    pub async fn offer(&self) {
        let led = self.replicas.all().into_iter().filter(|group| group.is_leader());
        for (turn, group) in led.enumerate() {
            if let Some(to) = self.successor_in_turn(&group, turn) {
                group.transfer_leader(to).await;
            }
        }
    }

    pub fn successor(&self, group: &Group) -> Option<NodeId> {
        self.successor_in_turn(group, 0)
    }

    /// Alternates between eligible nodes, so that this node's load is spread over all others.
    fn successor_in_turn(&self, group: &Group, turn: usize) -> Option<NodeId> {
        let able: Vec<NodeId> = group
            .voters()
            .into_iter()
            .filter(|node| *node != self.node && self.can_lead(group, *node))
            .collect();
        able.get(turn % able.len().max(1)).copied()
    }
}
