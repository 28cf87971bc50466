//! One Raft group on this node: its machine, its Raft task, its queue of writes. Opened when the ring map (or the
//! membership of the meta group) says that this node holds a replica, closed when it does not or when the node stops.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dkc_core::config::{Parameters, ReadPolicy};
use dkc_core::ids::{GroupId, NodeId, RingVersion};
use dkc_core::meta::{MetaCommand, MetaReply};
use dkc_core::wire::Answer;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ForwardReason, InitializeError, RaftError};
use openraft::impls::EmptyNode;
use openraft::{RaftMetrics, SnapshotPolicy};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::log_store::LogStore;
use super::machine::{Machine, StateMachine};
use super::propose::{Proposer, QueuedWrite, not_written};
use super::transport::{NetworkOfGroup, Transport};
use super::types::{Applied, LogId, Proposal, Types};
use crate::log::GroupLog;

pub type Raft = openraft::Raft<Types, StateMachine>;
type MetricsReceiver = openraft::type_config::alias::WatchReceiverOf<Types, RaftMetrics<Types>>;

/// Entries in one append request; its bytes are bounded where the log is read.
const APPEND_ENTRIES_MAX: u64 = 1024;
/// Pause before a meta command is tried again that a fresh leader could not take yet.
const LEASE_PAUSE: Duration = Duration::from_millis(10);
/// Entries that a group's log may grow before it is purged.
const PURGE_ENTRIES: u64 = 20_000;
/// A follower that is behind by less catches up from the log, so that a short absence needs no snapshot.
const KEEP_ENTRIES: u64 = 2_000;

/// The version of the ring map that this node knows, for answers that send a client elsewhere.
#[derive(Clone, Default)]
pub struct RingVersionSource(Arc<AtomicU64>);

impl RingVersionSource {
    pub fn get(&self) -> RingVersion {
        RingVersion(self.0.load(Ordering::Relaxed))
    }
    pub fn set(&self, version: RingVersion) {
        self.0.store(version.0, Ordering::Relaxed);
    }
}

/// What all groups of a node share.
#[derive(Clone)]
pub struct GroupContext {
    pub node: NodeId,
    pub transport: Arc<Transport>,
    pub parameters: Parameters,
    pub ring_version: RingVersionSource,
}

pub struct Group {
    pub id: GroupId,
    pub node: NodeId,
    pub machine: Arc<Machine>,
    pub raft: Raft,
    pub read_policy: ReadPolicy,
    pub ring_version: RingVersionSource,
    metrics: MetricsReceiver,
    writes: mpsc::Sender<QueuedWrite>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("group {group}: the consensus library does not start: {why}")]
    Start { group: GroupId, why: String },
    #[error("group {group}: cannot be initialised: {why}")]
    Initialise { group: GroupId, why: String },
}

/// Why a meta command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotProposed {
    NotLeader(Option<NodeId>),
    /// It may be carried out, now or later. Every meta command can be sent again.
    Unknown,
}

fn settings(group: GroupId, parameters: &Parameters) -> Result<openraft::Config, GroupError> {
    let settings = openraft::Config {
        cluster_name: format!("group {group}"),
        heartbeat_interval: parameters.heartbeat_ms,
        election_timeout_min: parameters.election_timeout_min_ms,
        election_timeout_max: parameters.election_timeout_max_ms,
        enable_pre_vote: Some(true),
        // The default resumes leadership after a restart without an election and was seen to serve stale reads.
        enable_leader_restore: Some(false),
        max_payload_entries: APPEND_ENTRIES_MAX,
        // Purging follows what the state store has made durable, so only we may decide on it.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..openraft::Config::default()
    };
    settings.validate().map_err(|error| GroupError::Start { group, why: error.to_string() })
}

impl Group {
    pub async fn open(context: &GroupContext, machine: Machine, log: GroupLog) -> Result<Group, GroupError> {
        let id = log.group();
        let failed = |why: String| GroupError::Start { group: id, why };
        let machine = Arc::new(machine);
        let settings = Arc::new(settings(id, &context.parameters)?);
        let network = NetworkOfGroup { transport: context.transport.clone(), group: id };
        let raft = Raft::new(context.node.0, settings, network, LogStore(log), StateMachine(machine.clone()))
            .await
            .map_err(|fatal| failed(fatal.to_string()))?;
        let metrics = raft.metrics();
        let (writes, queue) = mpsc::channel(context.parameters.tablet_queue_max as usize);
        let mut tasks = vec![tokio::spawn(end_with_raft(id, metrics.clone()))];
        if id != GroupId::META {
            let ring_version = context.ring_version.clone();
            let proposer = Proposer { raft: raft.clone(), machine: machine.clone(), ring_version };
            tasks.push(tokio::spawn(proposer.run(queue)));
        }
        let ring_version = context.ring_version.clone();
        let (node, read_policy) = (context.node, context.parameters.read);
        Ok(Group { id, node, machine, raft, read_policy, ring_version, metrics, writes, tasks })
    }

    /// Stops taking part. What is queued is answered with `Unknown`.
    pub async fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(group = %self.id, %error, "group did not stop cleanly");
        }
    }

    /// Queues a write for the next entry; a full queue is answered at once.
    pub fn write(&self, write: QueuedWrite) {
        if let Err(error) = self.writes.try_send(write) {
            let (mpsc::error::TrySendError::Full(write) | mpsc::error::TrySendError::Closed(write)) = error;
            write.respond.send(Answer::Busy);
        }
    }

    /// The leader as this node knows it.
    pub fn leader(&self) -> Option<NodeId> {
        self.metrics.borrow_watched().current_leader.map(NodeId)
    }

    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.node)
    }

    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.metrics.borrow_watched().membership_config.voter_ids().map(NodeId).collect()
    }

    /// Begins the group's life with these voters, unless it has begun already. Only ever called with the voters of
    /// the first epoch, on one node.
    pub async fn initialise(&self, voters: &[NodeId]) -> Result<(), GroupError> {
        let members: BTreeMap<u64, EmptyNode> = voters.iter().map(|node| (node.0, EmptyNode {})).collect();
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(GroupError::Initialise { group: self.id, why: error.to_string() }),
        }
    }

    pub async fn is_initialised(&self) -> bool {
        self.raft.is_initialized().await.unwrap_or(false)
    }

    /// Adds a node that follows without a vote; it need not be reachable yet.
    pub async fn add_learner(&self, node: NodeId) -> Result<(), GroupError> {
        let added = self.raft.add_learner(node.0, EmptyNode {}, false).await;
        added.map(|_| ()).map_err(|error| GroupError::Initialise { group: self.id, why: error.to_string() })
    }

    /// Every node of the group, with or without a vote.
    pub fn members(&self) -> BTreeSet<NodeId> {
        self.metrics.borrow_watched().membership_config.nodes().map(|(id, _)| NodeId(*id)).collect()
    }

    /// Brings a command through the meta group; only its leader can.
    pub async fn propose_meta(
        &self,
        command: &MetaCommand,
        patience: Duration,
    ) -> Result<MetaReply, NotProposed> {
        let until = Instant::now() + patience;
        let proposal = Proposal(Bytes::from(command.encode()));
        loop {
            match self.raft.client_write(proposal.clone()).await {
                Ok(written) => match written.data {
                    Applied::Meta(reply) => return Ok(reply),
                    other => panic!("a meta command came to {other:?}"),
                },
                Err(error) => match not_written(&error) {
                    None => return Err(NotProposed::Unknown),
                    Some(forward)
                        if forward.reason == ForwardReason::LeaseExpired && Instant::now() < until =>
                    {
                        tokio::time::sleep(LEASE_PAUSE).await;
                    }
                    Some(forward) => return Err(NotProposed::NotLeader(forward.leader_id.map(NodeId))),
                },
            }
        }
    }

    /// Lets go of the log up to what the state store has made durable (`persisted`, the index applied before its
    /// last persist), when the log has grown enough to be worth it, or is pressed for space.
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
            // Only names the point; purging happens at the next round.
            let _ = self.raft.trigger().snapshot().await;
        } else {
            let _ = self.raft.trigger().purge_log(upto).await;
        }
    }

    /// Voters whose log is as long as ours, as their last answers say. Only the leader knows.
    pub fn caught_up(&self, lag_max: u64) -> BTreeSet<NodeId> {
        let metrics = self.metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let is_near = |matched: &Option<LogId>| matched.is_some_and(|id| id.index + lag_max >= last);
        let replication = metrics.replication.iter().flatten();
        replication.filter(|(_, matched)| is_near(matched)).map(|(id, _)| NodeId(*id)).collect()
    }

    pub async fn transfer_leader(&self, to: NodeId) {
        if let Err(error) = self.raft.trigger().transfer_leader(to.0).await {
            tracing::warn!(group = %self.id, %to, %error, "leadership was not handed over");
        }
    }
}

/// A group whose Raft task has ended by itself can neither be trusted nor repaired in place: the process ends, and
/// the next start reads what is on disk.
async fn end_with_raft(group: GroupId, mut metrics: MetricsReceiver) {
    loop {
        if let Err(fatal) = &metrics.borrow_and_update().running_state
            && !matches!(fatal, openraft::errors::Fatal::Stopped)
        {
            crate::daemon::fatal::group(group, fatal);
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Where a group stands, for status and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub term: u64,
    pub leader: Option<NodeId>,
    pub is_leader: bool,
    pub last_index: u64,
    pub applied_index: u64,
    pub purged_index: u64,
}

impl Group {
    pub fn progress(&self) -> Progress {
        let metrics = self.metrics.borrow_watched();
        let index = |id: &Option<LogId>| id.map_or(0, |id| id.index);
        Progress {
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId),
            is_leader: metrics.current_leader == Some(self.node.0),
            last_index: metrics.last_log_index.unwrap_or(0),
            applied_index: index(&metrics.last_applied),
            purged_index: index(&metrics.purged),
        }
    }
}
