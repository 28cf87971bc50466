//! The server role of a node: its groups, its view of the ring and of its peers, and the loops that keep them in
//! order. Everything here acts on what the meta group says; nothing here decides where data belongs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use dkc_core::config::{NodeConfig, Parameters, ServerRole};
use dkc_core::ids::{GroupId, NodeId, RingVersion};
use dkc_core::meta::{MetaCommand, MetaReply, MetaState};
use dkc_core::ring::RingMap;
use dkc_core::wire::{Hello, Kind};
use tokio::sync::watch;
use tokio::time::Instant;

use super::beats::Beats;
use super::proposal_codec::decode_proposed;
use crate::certificates::Certificates;
use crate::config::InUse;
use crate::log::SharedLog;
use crate::raft::{Group, GroupContext, NotProposed, Transport};
use crate::storage::Storage;

/// Pause between two tries to find the meta group's leader.
const META_PAUSE: Duration = Duration::from_millis(50);
/// How long it may take that a change which another node has applied is applied here too, and how often that is looked.
const KNOWN_HERE_MAX: Duration = Duration::from_secs(1);
const KNOWN_HERE_LOOK: Duration = Duration::from_millis(2);

/// A number that only grows, for metrics.
#[derive(Default)]
pub struct Counter(AtomicU64);
impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub struct Counters {
    pub reads: Counter,
    pub writes: Counter,
}

pub struct Server {
    pub directory: PathBuf,
    /// As it was when the node started; all but the dynamic parameters is so still.
    pub config: NodeConfig,
    pub in_use: InUse,
    pub certificates: Arc<Certificates>,
    pub role: ServerRole,
    pub node: NodeId,
    pub started: Instant,
    pub log: SharedLog,
    pub store: Storage,
    pub transport: Arc<Transport>,
    pub context: GroupContext,
    pub meta_group: Arc<Group>,
    pub groups: RwLock<BTreeMap<GroupId, Arc<Group>>>,
    pub ring: watch::Sender<Option<Arc<RingMap>>>,
    pub counters: Counters,
    pub connections: Arc<AtomicU32>,
    pub connections_max: Arc<AtomicU32>,
    /// For the groups that hibernate.
    pub beats: Beats,
    /// Peers that said that they are about to stop: no leadership is handed to them until this moment.
    pub draining: Mutex<BTreeMap<NodeId, Instant>>,
    pub is_stopping: AtomicBool,
    /// Set before the disk is full: no entry is taken any more.
    pub is_disk_short: AtomicBool,
    pub stop: watch::Sender<bool>,
}

impl Server {
    /// Those in use at this moment.
    pub fn parameters(&self) -> Parameters {
        self.in_use.config().parameters.clone()
    }

    pub fn group(&self, id: GroupId) -> Option<Arc<Group>> {
        if id == GroupId::META {
            return Some(self.meta_group.clone());
        }
        self.groups.read().expect("lock is never poisoned: panic aborts").get(&id).cloned()
    }

    /// The tablet groups that are open here.
    pub fn tablet_groups(&self) -> Vec<Arc<Group>> {
        self.groups.read().expect("lock is never poisoned: panic aborts").values().cloned().collect()
    }

    pub fn all_groups(&self) -> Vec<Arc<Group>> {
        let mut groups = vec![self.meta_group.clone()];
        groups.extend(self.tablet_groups());
        groups
    }

    pub fn meta(&self) -> Arc<MetaState> {
        self.meta_group.machine.meta().borrow().clone()
    }

    pub fn ring_version(&self) -> RingVersion {
        self.context.ring_version.get()
    }

    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    pub fn hello(&self) -> Hello {
        make_hello(&self.config, self.node, self.ring_version())
    }

    /// Brings a meta command through, here or on the node that leads the meta group.
    pub async fn propose(&self, command: &MetaCommand, timeout: Duration) -> Result<MetaReply, NotProposed> {
        let until = Instant::now() + timeout;
        let mut leader = self.meta_group.leader();
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
                    // Every meta command can be sent again: each is carried out once, or again without effect.
                    tokio::time::sleep(META_PAUSE).await;
                    leader = self.meta_group.leader();
                }
                Ok(reply) => return Ok(reply),
            }
        }
    }

    /// Whoever asked this server for a change sees it here at once, although another node carried it out. A server that
    /// is cut off, or has just left, answers all the same after a moment.
    async fn wait_until_known_here(&self, applied: u64) {
        let is_known = || self.meta_group.machine.applied().map_or(0, |id| id.index) >= applied;
        let until = Instant::now() + KNOWN_HERE_MAX;
        while !is_known() && Instant::now() < until {
            tokio::time::sleep(KNOWN_HERE_LOOK).await;
        }
    }

    /// Brings a meta command through if this node leads the meta group.
    pub async fn propose_here(
        &self,
        command: &MetaCommand,
        timeout: Duration,
    ) -> Result<MetaReply, NotProposed> {
        self.meta_group.propose_meta(command, timeout).await
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
}

pub fn make_hello(config: &NodeConfig, node: NodeId, ring_version: RingVersion) -> Hello {
    Hello {
        cluster: config.cluster_id,
        node: config.node_uuid,
        node_id: node,
        ring_version,
        release: env!("CARGO_PKG_VERSION").into(),
    }
}
