//! The meta group on this server: its state, and how this server proposes commands to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::{GroupId, NodeId};
use dkc_core::meta::{MetaCommand, MetaReply, MetaState};
use dkc_core::ring::ALL_SLOTS;
use dkc_core::wire::Kind;
use tokio::sync::watch;
use tokio::time::Instant;

use super::proposal_codec::{decode_proposed, encode_proposed};
use super::replica_error::ReplicaError;
use crate::log::SharedLog;
use crate::raft::{Group, GroupContext, Machine, NotProposed, TabletBounds, Transport};
use crate::storage::Storage;

/// Pause between two attempts to find the meta group's leader.
const META_PAUSE: Duration = Duration::from_millis(50);
/// How long to wait until a change that another node has applied is applied here too, and how often to check.
const KNOWN_HERE_MAX: Duration = Duration::from_secs(1);
const KNOWN_HERE_LOOK: Duration = Duration::from_millis(2);
/// Longest time that a forwarded meta command is retried here.
const FORWARDED_TIMEOUT: Duration = Duration::from_secs(5);

pub struct MetaGroup {
    node: NodeId,
    group: Arc<Group>,
    transport: Arc<Transport>,
}

impl MetaGroup {
    pub async fn open(
        context: &GroupContext,
        store: &Storage,
        log: &SharedLog,
    ) -> Result<MetaGroup, ReplicaError> {
        let bounds = TabletBounds { value_max_bytes: 0, slots: ALL_SLOTS, node: context.node };
        let machine = Machine::open(GroupId::META, store.meta()?, bounds)?;
        let group = Group::open(context, machine, log.group(GroupId::META), None).await?;
        Ok(MetaGroup { node: context.node, group: Arc::new(group), transport: context.transport.clone() })
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    pub fn state(&self) -> Arc<MetaState> {
        self.group.machine.meta().borrow().clone()
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<MetaState>> {
        self.group.machine.meta()
    }

    fn applied_index(&self) -> u64 {
        self.group.machine.applied().map_or(0, |id| id.index)
    }

    /// Proposes a meta command, here or through the leader of the meta group.
    pub async fn propose(&self, command: &MetaCommand, timeout: Duration) -> Result<MetaReply, NotProposed> {
        let until = Instant::now() + timeout;
        let mut leader = self.group.leader();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NotProposed::NotLeader(leader));
            }
            let result = match leader {
                Some(leader) if leader != self.node => self.propose_at(leader, command, left).await,
                Some(_) => self.propose_here(command, left).await,
                None => Err(NotProposed::NotLeader(None)),
            };
            match result {
                Err(NotProposed::NotLeader(Some(other))) if Some(other) != leader => leader = Some(other),
                Err(NotProposed::NotLeader(_)) | Err(NotProposed::Unknown) => {
                    // Every meta command can be retried: repeating one has no effect.
                    tokio::time::sleep(META_PAUSE).await;
                    leader = self.group.leader();
                }
                Ok(reply) => return Ok(reply),
            }
        }
    }

    /// Waits until this server has applied a change that another node carried out, so that the caller reads its own write here. A
    /// server that is partitioned, or has just left, answers after a moment all the same.
    async fn wait_until_known_here(&self, applied: u64) {
        let is_known = || self.applied_index() >= applied;
        let until = Instant::now() + KNOWN_HERE_MAX;
        while !is_known() && Instant::now() < until {
            tokio::time::sleep(KNOWN_HERE_LOOK).await;
        }
    }

    /// Proposes a meta command if this node leads the meta group.
    pub async fn propose_here(
        &self,
        command: &MetaCommand,
        timeout: Duration,
    ) -> Result<MetaReply, NotProposed> {
        self.group.propose_meta(command, timeout).await
    }

    async fn propose_at(
        &self,
        node: NodeId,
        command: &MetaCommand,
        timeout: Duration,
    ) -> Result<MetaReply, NotProposed> {
        let body = command.encode().into();
        match self.transport.ask(node, Kind::MetaPropose, GroupId::META, body, timeout).await {
            Ok(answer) => {
                let (reply, applied) = decode_proposed(&answer)?;
                self.wait_until_known_here(applied).await;
                Ok(reply)
            }
            Err(error) if error.is_never_sent() => Err(NotProposed::NotLeader(None)),
            Err(_) => Err(NotProposed::Unknown),
        }
    }

    /// Answers a server that forwarded a command to this one.
    pub async fn answer_forwarded(&self, body: &[u8]) -> Bytes {
        let result = match MetaCommand::decode(body) {
            Ok(command) => self.propose_here(&command, FORWARDED_TIMEOUT).await,
            Err(error) => {
                tracing::warn!(%error, "invalid meta command");
                Err(NotProposed::Unknown)
            }
        };
        encode_proposed(&result.map(|reply| (reply, self.applied_index())))
    }
}
