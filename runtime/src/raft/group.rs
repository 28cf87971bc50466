//! One Raft group on this node: its state machine, its Raft task, its queue of writes. Open while the ring map (or the
//! membership of the meta group) assigns a replica to this node and the node runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dkc_core::config::Parameters;
use dkc_core::ids::{GroupId, NodeId};
use dkc_core::meta::{MetaCommand, MetaReply};
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::SlotId;
use dkc_core::wire::Answer;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::impls::EmptyNode;
use openraft::raft::Precondition;
use openraft::storage::RaftLogStorage;
use openraft::{ChangeMembers, RaftMetrics, ServerState, SnapshotPolicy};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::codec;
use super::hibernate::Hibernation;
use super::hold::Hold;
use super::log_store::LogStore;
use super::machine::{Machine, Raft, StateMachine};
use super::operations::Operations;
use super::propose::{NotProposed, Proposer, QueuedWrite, propose};
use super::ring_version::RingVersionSource;
use super::transport::{NetworkOfGroup, Transport};
use super::tuning::{QUEUE_ROOM_MAX, Tuning};
use super::types::{Applied, LogId, Proposal, Types, Vote};
use super::vote_floor::{VoteFloor, later};
use crate::histogram::Histogram;
use crate::log::GroupLog;

type MetricsReceiver = openraft::type_config::alias::WatchReceiverOf<Types, RaftMetrics<Types>>;

/// Entries in one append request; its bytes are bounded where the log is read.
const APPEND_ENTRIES_MAX: u64 = 1024;
/// Entries that a group's log may grow before it is purged.
const PURGE_ENTRIES: u64 = if cfg!(feature = "simulation") { 30 } else { 20_000 };
/// A follower that is behind by less catches up from the log, so that a short absence needs no snapshot.
const KEEP_ENTRIES: u64 = if cfg!(feature = "simulation") { 10 } else { 2_000 };

/// Shared by all groups of a node.
#[derive(Clone)]
pub struct GroupContext {
    pub node: NodeId,
    pub transport: Arc<Transport>,
    /// As they were when the node started, but for those in `tuning`.
    pub parameters: Parameters,
    pub tuning: Arc<Tuning>,
    /// Of all groups of the node together.
    pub write_latency: Arc<Histogram>,
    pub ring_version: RingVersionSource,
    /// False until this node may vote, campaign and acknowledge (`daemon::standing`).
    pub takes_part: watch::Receiver<bool>,
}

pub struct Group {
    pub id: GroupId,
    pub node: NodeId,
    pub machine: Arc<Machine>,
    pub raft: Raft,
    pub tuning: Arc<Tuning>,
    pub read_lease: Duration,
    pub ring_version: RingVersionSource,
    pub hibernation: Arc<Hibernation>,
    pub hold: Arc<Hold>,
    pub operations: Operations,
    /// The log end that this node had in an earlier replica, if it was longer.
    floor: Option<LogId>,
    takes_part: watch::Receiver<bool>,
    /// The term in which this node has last begun to transfer its leadership: in that term it sends no heartbeats any more.
    pub(super) transferred_in: AtomicU64,
    /// The first slot of a split that this node has proposed.
    pub(super) splitting: Mutex<Option<SlotId>>,
    metrics: MetricsReceiver,
    writes: mpsc::Sender<QueuedWrite>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("group {group}: cannot start the consensus library: {why}")]
    Start { group: GroupId, why: String },
    #[error("group {group}: cannot be initialised: {why}")]
    Initialise { group: GroupId, why: String },
    #[error("group {group} was not split: {why}")]
    Split { group: GroupId, why: String },
    #[error("group {group}: its members were not changed: {why}")]
    Members { group: GroupId, why: String },
}

/// The membership of a group, as one node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The log id of the membership entry: identifies this membership.
    since: Option<LogId>,
    pub voters: BTreeSet<NodeId>,
    /// With and without a vote.
    pub nodes: BTreeSet<NodeId>,
    /// A change of voters is in progress.
    pub is_joint: bool,
}

fn settings(
    group: GroupId,
    parameters: &Parameters,
    may_elect: bool,
) -> Result<openraft::Config, GroupError> {
    let settings = openraft::Config {
        cluster_name: format!("group {group}"),
        heartbeat_interval: parameters.heartbeat_ms,
        election_timeout_min: parameters.election_timeout_min_ms,
        election_timeout_max: parameters.election_timeout_max_ms,
        enable_pre_vote: Some(true),
        enable_elect: may_elect,
        // The default resumes leadership after a restart without an election, which served stale reads in a test.
        enable_leader_restore: Some(mutant::is_active(Mutant::LeaderRestore)),
        max_payload_entries: APPEND_ENTRIES_MAX,
        // Purging depends on what the state store has made durable, so the library must not decide on it.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..openraft::Config::default()
    };
    settings.validate().map_err(|error| GroupError::Start { group, why: error.to_string() })
}

impl Group {
    /// `vote_floor` is this node's vote and log end when it left the group, if it was a member before.
    pub async fn open(
        context: &GroupContext,
        machine: Machine,
        log: GroupLog,
        vote_floor: Option<VoteFloor>,
    ) -> Result<Group, GroupError> {
        let id = log.group();
        let failed = |why: String| GroupError::Start { group: id, why };
        let machine = Arc::new(machine);
        let vote_floor = vote_floor.filter(|_| !mutant::is_active(Mutant::DropWithoutVoteFloor));
        let floor = vote_floor
            .as_ref()
            .and_then(|vote_floor| vote_floor.last)
            .filter(|last| machine.applied() < Some(*last));
        if let Some(vote) = vote_floor.and_then(|vote_floor| vote_floor.vote) {
            restore_vote(&log, vote).await.map_err(|error| failed(error.to_string()))?;
        }
        let may_elect = floor.is_none() && *context.takes_part.borrow();
        let settings = Arc::new(settings(id, &context.parameters, may_elect)?);
        let network = NetworkOfGroup { transport: context.transport.clone(), group: id };
        let raft = Raft::new(context.node.0, settings, network, LogStore(log), StateMachine(machine.clone()))
            .await
            .map_err(|fatal| failed(fatal.to_string()))?;
        let metrics = raft.metrics();
        let (writes, queue) = mpsc::channel(QUEUE_ROOM_MAX);
        let mut tasks = vec![crate::task::spawn(end_with_raft(id, raft.clone()))];
        if !may_elect {
            let takes_part = context.takes_part.clone();
            tasks.push(crate::task::spawn(elect_later(takes_part, floor, raft.clone(), metrics.clone())));
        }
        let hibernation = Arc::new(Hibernation::new(raft.clone(), context.node));
        let hold = Arc::new(Hold::default());
        if id != GroupId::META {
            let ring_version = context.ring_version.clone();
            let (raft, machine) = (raft.clone(), machine.clone());
            let (hibernation, hold) = (hibernation.clone(), hold.clone());
            let latency = context.write_latency.clone();
            let proposer = Proposer { raft, machine, ring_version, hibernation, hold, latency };
            tasks.push(crate::task::spawn(proposer.run(queue)));
        }
        let ring_version = context.ring_version.clone();
        let (node, tuning) = (context.node, context.tuning.clone());
        let read_lease = Duration::from_millis(context.parameters.read_lease_ms());
        Ok(Group {
            id,
            node,
            machine,
            raft,
            tuning,
            read_lease,
            ring_version,
            hibernation,
            hold,
            operations: Operations::default(),
            floor,
            takes_part: context.takes_part.clone(),
            transferred_in: AtomicU64::new(0),
            splitting: Mutex::default(),
            metrics,
            writes,
            tasks,
        })
    }

    /// Stops the group. Queued writes are answered with `Unknown`.
    pub async fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(group = %self.id, %error, "group did not stop cleanly");
        }
    }

    /// Queues a write for the next entry; a full queue refuses it at once.
    pub fn write(&self, write: QueuedWrite) {
        let queued = self.writes.max_capacity() - self.writes.capacity();
        if !self.tuning.has_room(queued) {
            return write.respond.send(Answer::Busy);
        }
        if let Err(error) = self.writes.try_send(write) {
            let (mpsc::error::TrySendError::Full(write) | mpsc::error::TrySendError::Closed(write)) = error;
            write.respond.send(Answer::Busy);
        }
    }

    pub(super) fn metrics(&self) -> &MetricsReceiver {
        &self.metrics
    }

    /// The leader as this node knows it.
    pub fn leader(&self) -> Option<NodeId> {
        let metrics = self.metrics.borrow_watched();
        // A node that lost its vote, and so its leadership, still reports itself as the last leader.
        let is_former = metrics.current_leader == Some(self.node.0) && metrics.state != ServerState::Leader;
        metrics.current_leader.map(NodeId).filter(|_| !is_former)
    }

    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.node)
    }

    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.metrics.borrow_watched().membership_config.voter_ids().map(NodeId).collect()
    }

    /// Initialises the group with these voters, unless it is initialised. Called only with the voters of
    /// the first epoch, on one node.
    pub async fn initialise(&self, voters: &[NodeId]) -> Result<(), GroupError> {
        if self.takes_part.clone().wait_for(|takes_part| *takes_part).await.is_err() {
            return Err(GroupError::Initialise { group: self.id, why: "this node is stopping".into() });
        }
        let members: BTreeMap<u64, EmptyNode> = voters.iter().map(|node| (node.0, EmptyNode {})).collect();
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(GroupError::Initialise { group: self.id, why: error.to_string() }),
        }
    }

    pub async fn is_initialised(&self) -> bool {
        self.raft.is_initialized().await.unwrap_or(false)
    }

    /// The members as this node knows them, whether or not that is committed.
    pub fn membership(&self) -> Members {
        let metrics = self.metrics.borrow_watched();
        let known = &metrics.membership_config;
        Members {
            since: *known.log_id(),
            voters: known.voter_ids().map(NodeId).collect(),
            nodes: known.nodes().map(|(id, _)| NodeId(*id)).collect(),
            is_joint: known.membership().get_joint_config().len() > 1,
        }
    }

    /// Adds learners, if the membership has not changed since `seen`. They need not
    /// be reachable yet.
    pub async fn add_learners(&self, nodes: &[NodeId], seen: &Members) -> Result<(), GroupError> {
        let nodes = nodes.iter().map(|node| (node.0, EmptyNode {})).collect();
        self.change_members(ChangeMembers::AddNodes(nodes), seen).await
    }

    /// Removes learners from the group.
    pub async fn remove_learners(&self, nodes: &[NodeId], seen: &Members) -> Result<(), GroupError> {
        let nodes = nodes.iter().map(|node| node.0).collect();
        self.change_members(ChangeMembers::RemoveNodes(nodes), seen).await
    }

    /// Makes exactly these the voters, through joint consensus. A node that loses its vote leaves the group, or stays as a
    /// learner in the meta group, which every server follows.
    pub async fn change_voters(&self, voters: &[NodeId], seen: &Members) -> Result<(), GroupError> {
        let voters = voters.iter().map(|node| node.0).collect();
        self.change_members(ChangeMembers::ReplaceAllVoters(voters), seen).await
    }

    async fn change_members(
        &self,
        change: ChangeMembers<u64, EmptyNode>,
        seen: &Members,
    ) -> Result<(), GroupError> {
        let keeps_learners = self.id == GroupId::META;
        self.hibernation.touch();
        let guard = [Precondition::LastMembershipLogId { last_membership_log_id: seen.since }];
        let changed = self.raft.change_membership_if(change, keeps_learners, guard).await;
        changed.map(|_| ()).map_err(|error| GroupError::Members { group: self.id, why: error.to_string() })
    }

    /// Whether this node may vote for a candidate with this log end: not if the candidate lacks entries that this node once
    /// acknowledged, as long as its own log lacks them too.
    pub fn may_vote_for(&self, candidate_last: Option<LogId>) -> bool {
        let Some(floor) = self.floor else { return true };
        candidate_last >= Some(floor) || self.metrics.borrow_watched().last_applied >= Some(floor)
    }

    /// Proposes a command to the meta group; only its leader can.
    pub async fn propose_meta(
        &self,
        command: &MetaCommand,
        timeout: Duration,
    ) -> Result<MetaReply, NotProposed> {
        self.hibernation.touch();
        let proposal = Proposal(Bytes::from(command.encode()));
        match propose(&self.raft, proposal, Instant::now() + timeout).await? {
            Applied::Meta(reply) => Ok(reply),
            other => panic!("unexpected outcome of a meta command: {other:?}"),
        }
    }

    /// Purges the log up to the index that the state store has made durable (`persisted`, applied before its
    /// last persist), if the log has grown enough or is short of space.
    pub async fn purge(&self, persisted: LogId, is_pressed: bool) {
        let (purged, snapshot) = {
            let metrics = self.metrics.borrow_watched();
            (metrics.purged.map_or(0, |id| id.index), metrics.snapshot.map_or(0, |id| id.index))
        };
        let (grown, keep) = if is_pressed { (1, 0) } else { (PURGE_ENTRIES, KEEP_ENTRIES) };
        if persisted.index < purged + grown + keep {
            return;
        }
        let upto = persisted.index - keep;
        if snapshot < upto {
            // Sets the index only; the next round purges.
            let _ = self.raft.trigger().snapshot().await;
        } else {
            let _ = self.raft.trigger().purge_log(upto).await;
        }
    }

    /// Voters whose logs match ours, by their last replies. Known to the leader only.
    pub fn caught_up(&self, lag_max: u64) -> BTreeSet<NodeId> {
        let metrics = self.metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let is_near = |matched: &Option<LogId>| matched.is_some_and(|id| id.index + lag_max >= last);
        let replication = metrics.replication.iter().flatten();
        replication.filter(|(_, matched)| is_near(matched)).map(|(id, _)| NodeId(*id)).collect()
    }

    /// A follower has returned: ends the backoff after failed attempts.
    pub async fn replicate_at_once(&self, to: NodeId) {
        // It fails only when the group has stopped.
        let _ = self.raft.trigger().reset_backoff([to.0]).await;
    }

    pub async fn transfer_leader(&self, to: NodeId) {
        self.hibernation.touch();
        self.transferred_in.store(self.progress().term, Ordering::Relaxed);
        if let Err(error) = self.raft.trigger().transfer_leader(to.0).await {
            tracing::warn!(group = %self.id, %to, %error, "leadership transfer failed");
        }
    }
}

/// A vote given before the group was left stays valid.
async fn restore_vote(log: &GroupLog, promised: Vote) -> Result<(), std::io::Error> {
    let known = log.state().vote.map(codec::decode_vote).transpose().map_err(std::io::Error::other)?;
    if later(known, Some(promised)) == known {
        return Ok(());
    }
    LogStore(log.clone()).save_vote(&promised).await
}

/// Lets the group campaign once this node takes part and its log reaches the vote floor, if it has one.
async fn elect_later(
    mut takes_part: watch::Receiver<bool>,
    floor: Option<LogId>,
    raft: Raft,
    mut metrics: MetricsReceiver,
) {
    if takes_part.wait_for(|takes_part| *takes_part).await.is_err() {
        return;
    }
    while metrics.borrow_and_update().last_applied < floor {
        if metrics.changed().await.is_err() {
            return;
        }
    }
    raft.runtime_config().elect(true);
}

/// A group whose Raft task has ended by itself can neither be trusted nor repaired in place: the process exits, and
/// the next start recovers from disk. The task's error is in its metrics. This watches the metrics of the server role, which
/// rarely change and end with the task, so that it does not wake up with every entry.
async fn end_with_raft(group: GroupId, raft: Raft) {
    let mut role = raft.server_metrics();
    while role.changed().await.is_ok() {}
    let metrics = raft.metrics();
    if let Err(fatal) = &metrics.borrow_watched().running_state
        && !matches!(fatal, openraft::errors::Fatal::Stopped)
    {
        crate::fatal::group(group, fatal);
    }
}

/// A group's progress, for status and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupProgress {
    pub term: u64,
    pub leader: Option<NodeId>,
    pub is_leader: bool,
    pub last_index: u64,
    pub applied_index: u64,
    pub purged_index: u64,
}

impl Group {
    pub fn progress(&self) -> GroupProgress {
        let metrics = self.metrics.borrow_watched();
        let index = |id: &Option<LogId>| id.map_or(0, |id| id.index);
        GroupProgress {
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId),
            is_leader: metrics.current_leader == Some(self.node.0),
            last_index: metrics.last_log_index.unwrap_or(0),
            applied_index: index(&metrics.last_applied),
            purged_index: index(&metrics.purged),
        }
    }
}
