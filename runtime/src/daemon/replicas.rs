//! The replicas that this server holds, open as Raft groups: the meta group's and those of tablets.
//!
//! *Invariant (D4):* the vote floor of a dropped log is kept (`raft::vote_floor`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dkc_core::ids::{GroupId, NodeId, TabletId};
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::SlotId;
use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};

use super::replica_error::ReplicaError;
use crate::log::SharedLog;
use crate::raft::vote_floor::{VoteFloor, VoteFloorError};
use crate::raft::{Group, GroupContext, Machine, TabletBounds};
use crate::storage::Storage;

pub struct Replicas {
    context: GroupContext,
    log: SharedLog,
    store: Storage,
    meta: Arc<Group>,
    tablets: RwLock<BTreeMap<GroupId, Arc<Group>>>,
}

impl Replicas {
    pub fn new(context: GroupContext, log: SharedLog, store: Storage, meta: Arc<Group>) -> Replicas {
        Replicas { context, log, store, meta, tablets: RwLock::default() }
    }

    /// The node that holds them.
    pub fn node(&self) -> NodeId {
        self.context.node
    }

    pub fn get(&self, id: GroupId) -> Option<Arc<Group>> {
        if id == GroupId::META {
            return Some(self.meta.clone());
        }
        self.tablets.read().get(&id).cloned()
    }

    /// The tablet groups that are open here.
    pub fn tablets(&self) -> Vec<Arc<Group>> {
        self.tablets.read().values().cloned().collect()
    }

    pub fn all(&self) -> Vec<Arc<Group>> {
        let mut groups = vec![self.meta.clone()];
        groups.extend(self.tablets());
        groups
    }

    /// The tablets that have a state on this disk.
    pub fn on_disk(&self) -> BTreeSet<TabletId> {
        self.store.tablets().into_iter().collect()
    }

    pub fn is_on_disk(&self, tablet: TabletId) -> bool {
        self.store.has_tablet(tablet)
    }

    /// Opens the replica of a tablet with its state on this disk, if any.
    pub async fn open(&self, tablet: TabletId, bounds: TabletBounds) -> Result<(), ReplicaError> {
        let id = tablet.group();
        let vote_floor = self.vote_floor(tablet)?;
        if vote_floor.is_some() && !self.is_on_disk(tablet) {
            // This node stopped while it dropped an earlier replica.
            self.drop_log(tablet).await?;
        }
        let store = self.store.tablet(tablet)?;
        let machine = Machine::open(id, store, bounds)?;
        let group = Group::open(&self.context, machine, self.log.group(id), vote_floor).await?;
        tracing::debug!(%tablet, "tablet opened");
        self.tablets.write().insert(id, Arc::new(group));
        Ok(())
    }

    /// Signals each tablet that a split has begun on this node.
    pub fn births(&self) -> watch::Receiver<u64> {
        self.store.births()
    }

    /// Whether this node will hold the slot's tablet by a split of one that it holds now: it must not begin that tablet empty.
    pub fn awaits_split(&self, tablet: TabletId, first_slot: SlotId) -> bool {
        let covers = |group: &Arc<Group>| {
            group.id != tablet.group()
                && group.machine.slots().is_some_and(|slots| slots.contains(&first_slot))
        };
        let is_covered = self.tablets().iter().any(covers) && !mutant::is_active(Mutant::ChildBornTwice);
        is_covered || self.store.is_being_born(tablet)
    }

    /// Whether the parent's state here is one after the split. A replica that came by it in a snapshot never applies the split itself;
    /// it takes part in the new tablet empty, or the tablet may lack the vote that it needs for its first leader.
    pub fn is_past_split(&self, parent: TabletId, first_slot: SlotId) -> bool {
        let slots = self.get(parent.group()).and_then(|parent| parent.machine.slots());
        slots.is_some_and(|slots| !slots.contains(&first_slot))
    }

    /// Closes the replica and drops its state and its log.
    pub async fn give_up(&self, tablet: TabletId) -> Result<(), ReplicaError> {
        let id = tablet.group();
        let group = self.tablets.write().remove(&id);
        if let Some(group) = group {
            group.close().await;
        }
        let log = self.log.group(id);
        let vote_floor = VoteFloor::of(&log, self.vote_floor(tablet)?.as_ref())?;
        let store = self.store.clone();
        let dropping = crate::task::spawn_blocking(move || store.drop_tablet(tablet, vote_floor.encode()));
        dropping.await.unwrap_or_else(|error| panic!("dropping ended without a result: {error}"))?;
        self.drop_log(tablet).await?;
        tracing::info!(%tablet, "replica dropped");
        Ok(())
    }

    /// The vote floor of an earlier replica of the tablet that this node dropped.
    fn vote_floor(&self, tablet: TabletId) -> Result<Option<VoteFloor>, VoteFloorError> {
        self.store.vote_floor(tablet).map(|bytes| VoteFloor::decode(&bytes)).transpose()
    }

    /// Drops the log of a tablet that has no state here, if there is one.
    async fn drop_log(&self, tablet: TabletId) -> Result<(), VoteFloorError> {
        let log = self.log.group(tablet.group());
        let state = log.state();
        if state.vote.is_none() && state.last_index.is_none() && state.purged.is_none() {
            return Ok(());
        }
        let (sender, receiver) = oneshot::channel();
        log.drop_group(Box::new(move |result| drop(sender.send(result))));
        receiver.await.unwrap_or_else(|_| Err(std::io::Error::other("the log has ended")))?;
        Ok(())
    }
}
