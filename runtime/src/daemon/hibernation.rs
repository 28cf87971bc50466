//! Which groups of this node hibernate (`raft::hibernate`): the leader hibernates those that have been idle for a
//! while, with the consent of every member; one beat to each peer replaces the heartbeats of all of them.
//!
//! *Invariant:* a group hibernates only when every member has agreed, so none is left whose election timer runs while the
//! leader is silent. A follower that is unreachable, misses beats, or gets them from another process than the one that asked wakes up.
//! *Invariant:* a leader's group hibernates with one process of each follower: when a server reconnects, the groups that it is a
//! member of wake up (`node_port`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use dkc_core::ids::{GroupId, NodeId};
use dkc_core::wire::Kind;
use tokio::time::Instant;

use super::beats::Beats;
use super::leadership::Leadership;
use super::liveness::Liveness;
use super::local_node::LocalNode;
use super::meta_group::MetaGroup;
use super::replicas::Replicas;
use crate::raft::hibernate::Keeper;
use crate::raft::types::{LogId, log_id};
use crate::raft::{Group, Transport};

/// Interval of the search for idle groups.
const LOOK: Duration = Duration::from_millis(if cfg!(feature = "simulation") { 40 } else { 1_000 });
/// A group hibernates after so many idle intervals.
const IDLE_LOOKS: u32 = if cfg!(feature = "simulation") { 2 } else { 5 };
/// Timeout of a beat, in heartbeats.
const BEAT_TIMEOUT_HEARTBEATS: u32 = 4;

/// Bodies of a `PeerControl`. A release that does not know them replies differently, and nothing hibernates.
const REST: &[u8] = b"\x01rest";
const BEAT: &[u8] = b"\x01beat";
/// The reply of a hibernating replica.
const RESTS: &[u8] = b"\x01rests";

/// A leader's request to a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ask {
    keeper: Keeper,
    group: GroupId,
    term: u64,
    last: LogId,
}

impl Ask {
    fn encode(&self) -> Bytes {
        let mut out = encode_beat(REST, self.keeper);
        out.put_u16(self.group.0);
        out.put_u64(self.term);
        out.put_u64(self.last.leader_id.term);
        out.put_u64(self.last.index);
        out.into()
    }

    fn decode(mut rest: &[u8]) -> Option<Ask> {
        let keeper = take_keeper(&mut rest)?;
        if rest.len() != 2 + 3 * 8 {
            return None;
        }
        let (group, term) = (GroupId(rest.get_u16()), rest.get_u64());
        Some(Ask { keeper, group, term, last: log_id(rest.get_u64(), rest.get_u64()) })
    }
}

fn encode_beat(word: &[u8], keeper: Keeper) -> Vec<u8> {
    let mut out = word.to_vec();
    out.put_u64(keeper.leader.0);
    out.put_u64(keeper.run);
    out
}

fn take_keeper(rest: &mut &[u8]) -> Option<Keeper> {
    (rest.len() >= 16).then(|| Keeper { leader: NodeId(rest.get_u64()), run: rest.get_u64() })
}

pub struct Hibernator {
    local: Arc<LocalNode>,
    meta: Arc<MetaGroup>,
    replicas: Arc<Replicas>,
    liveness: Arc<Liveness>,
    leadership: Arc<Leadership>,
    transport: Arc<Transport>,
    beats: Beats,
}

impl Hibernator {
    pub fn new(
        local: Arc<LocalNode>,
        meta: Arc<MetaGroup>,
        replicas: Arc<Replicas>,
        liveness: Arc<Liveness>,
        leadership: Arc<Leadership>,
        transport: Arc<Transport>,
    ) -> Hibernator {
        Hibernator { local, meta, replicas, liveness, leadership, transport, beats: Beats::default() }
    }

    /// Sends beats and looks for missed ones, for as long as it is polled.
    pub async fn keep_beating(self: Arc<Self>) {
        let heartbeat = Duration::from_millis(self.local.parameters().heartbeat_ms);
        let timeout = self.draw_beat_timeout();
        loop {
            tokio::time::sleep(heartbeat).await;
            self.beat(heartbeat * BEAT_TIMEOUT_HEARTBEATS);
            self.wake_abandoned(timeout);
        }
    }

    /// Randomised like election timeouts, so that the followers of a dead leader do not all campaign at once.
    fn draw_beat_timeout(&self) -> Duration {
        let (min, max) = (
            self.local.parameters().election_timeout_min_ms,
            self.local.parameters().election_timeout_max_ms,
        );
        Duration::from_millis(min + crate::chance::unique_u64() % (max - min).max(1))
    }

    fn own_keeper(&self) -> Keeper {
        Keeper { leader: self.local.id(), run: self.beats.run }
    }

    fn beat(&self, timeout: Duration) {
        let is_kept_here =
            |group: &Arc<Group>| group.hibernation.keeper().is_some_and(|k| k.leader == self.local.id());
        let kept = self.replicas.all().into_iter().filter(is_kept_here);
        let followers: BTreeSet<NodeId> = kept.flat_map(|group| group.membership().nodes).collect();
        let body: Bytes = encode_beat(BEAT, self.own_keeper()).into();
        for node in followers.into_iter().filter(|node| *node != self.local.id()) {
            let (transport, body) = (self.transport.clone(), body.clone());
            crate::task::spawn(async move {
                // A peer that misses it wakes up; nothing to do here.
                let asking = transport.ask(node, Kind::PeerControl, GroupId::META, body, timeout);
                let _ = tokio::time::timeout(timeout, asking).await;
            });
        }
    }

    fn wake_abandoned(&self, timeout: Duration) {
        for group in self.replicas.all() {
            let keeper = group.hibernation.keeper().filter(|keeper| keeper.leader != self.local.id());
            let is_abandoned =
                keeper.is_some_and(|keeper| self.beats.is_missed(keeper, Instant::now(), timeout));
            if is_abandoned {
                tracing::info!(group = %group.id, "group woken: heartbeat missed");
                group.hibernation.wake();
            }
        }
    }

    /// Hibernates idle groups that this node leads, for as long as it is polled.
    pub async fn keep_hibernating(self: Arc<Self>) {
        let mut idle_looks: BTreeMap<GroupId, u32> = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            for group in self.replicas.all() {
                let is_idle = group.hibernation.take_idle() && group.is_leader();
                let looks = idle_looks.entry(group.id).or_default();
                *looks = if is_idle { looks.saturating_add(1) } else { 0 };
                if *looks >= IDLE_LOOKS && group.hibernation.keeper().is_none() && self.may_rest(&group) {
                    self.put_to_rest(&group).await;
                }
            }
        }
    }

    fn may_rest(&self, group: &Group) -> bool {
        let meta = self.meta.state();
        let is_calm = meta.is_founded() && meta.merge().is_none() && meta.leaving().is_empty();
        let is_there = |node: &NodeId| self.liveness.is_up(*node) && !self.liveness.is_draining(*node);
        is_calm
            && self.leadership.is_willing()
            && self.leadership.better_leader(group).is_none()
            && group.membership().nodes.iter().all(is_there)
            && group.settled().is_some()
    }

    /// Stops heartbeats first, so that none is in flight when the followers are asked. Both together take less than an
    /// election timeout.
    async fn put_to_rest(&self, group: &Group) {
        let heartbeat = Duration::from_millis(self.local.parameters().heartbeat_ms);
        let Some((term, last)) = group.settled() else { return };
        if !group.hibernation.rest(self.own_keeper()) {
            return;
        }
        tokio::time::sleep(heartbeat).await;
        if group.settled() != Some((term, last)) {
            return group.hibernation.wake();
        }
        let body = Ask { keeper: self.own_keeper(), group: group.id, term, last }.encode();
        let ask = |node: NodeId| {
            let asking = self.transport.ask(node, Kind::PeerControl, GroupId::META, body.clone(), heartbeat);
            async move {
                let answer = tokio::time::timeout(heartbeat, asking).await;
                matches!(answer, Ok(Ok(body)) if body == RESTS)
            }
        };
        let others = group.membership().nodes.into_iter().filter(|node| *node != self.local.id());
        let agreed = futures::future::join_all(others.map(ask)).await;
        match agreed.into_iter().all(|is_agreed| is_agreed) {
            true => tracing::debug!(group = %group.id, "group hibernates"),
            false => group.hibernation.wake(),
        }
    }

    /// Answers another server's message about hibernation; `None` for other messages.
    pub fn answer(&self, body: &[u8]) -> Option<Bytes> {
        if let Some(mut rest) = body.strip_prefix(BEAT) {
            self.beats.hear(take_keeper(&mut rest)?, Instant::now());
            return Some(Bytes::new());
        }
        let ask = Ask::decode(body.strip_prefix(REST)?)?;
        self.beats.hear(ask.keeper, Instant::now());
        let group = self.replicas.get(ask.group)?;
        let rests = !self.leadership.is_stopping() && group.rest_under(ask.keeper, ask.term, ask.last);
        Some(if rests { Bytes::from_static(RESTS) } else { Bytes::new() })
    }

    /// Groups hibernating here, for metrics.
    pub fn resting(&self) -> usize {
        self.replicas.all().iter().filter(|group| group.hibernation.keeper().is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_leader_asks_reads_back_as_written_and_nothing_shorter_is_taken() {
        let keeper = Keeper { leader: NodeId(3), run: 0x0102_0304 };
        let ask = Ask { keeper, group: GroupId(7), term: 9, last: log_id(8, 77) };
        let bytes = ask.encode();
        let body = bytes.strip_prefix(REST).unwrap();
        assert_eq!(Ask::decode(body), Some(ask));
        for cut in 0..body.len() {
            assert_eq!(Ask::decode(&body[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Ask::decode(&[body, b"x"].concat()), None);
    }
}
