//! Follows the meta state: which nodes can be reached, which tablet groups are open here, who is a learner of the
//! meta group, and which tablets of the first ring still wait to be begun.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::NodeConfig;
use dkc_core::ids::{GroupId, NodeId, TabletId};
use dkc_core::meta::{MetaCommand, MetaState};
use dkc_core::ring::{ALL_SLOTS, RingMap, TabletPlace};

use super::server::Server;
use crate::net::Target;
use crate::raft::{Group, GroupError, Machine, Shape};

/// How often what could not be done at once is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The longest that one report to the meta group is tried; the next look tries again.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);
/// The epoch of a tablet whose voters are those of the founding. Only such a tablet may be begun.
const FIRST_EPOCH: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Machine(#[from] crate::raft::machine::MachineError),
    #[error(transparent)]
    Storage(#[from] crate::storage::StorageError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error(transparent)]
    Promise(#[from] crate::raft::promise::PromiseError),
}

/// Everybody this node may speak to: the configured founders, and whoever the ring map knows. The map wins.
pub fn targets(config: &NodeConfig, ring: Option<&RingMap>, own: NodeId) -> BTreeMap<NodeId, Target> {
    let configured = config.servers.iter().map(|s| (s.node_id, s.node_uuid, &s.address));
    let known = ring.into_iter().flat_map(|ring| ring.nodes.iter().map(|n| (n.node_id, n.uuid, &n.address)));
    // Once there is a map, founders that have left are not spoken to any more.
    let configured = configured.filter(|_| ring.is_none());
    configured
        .chain(known)
        .filter(|(id, ..)| *id != own)
        .map(|(id, uuid, address)| (id, Target { address: address.clone(), node: Some(uuid) }))
        .collect()
}

impl Server {
    /// Applies every new meta state, for as long as it is polled.
    pub async fn follow_meta(self: Arc<Self>) {
        let mut meta = self.meta_group.machine.meta();
        loop {
            let state = meta.borrow_and_update().clone();
            self.take_over(&state).await;
            self.begin_tablets(&state).await;
            self.keep_meta_members(&state).await;
            self.leave_tablets(&state).await;
            // Some steps wait for others (a leader, a reachable node), so they are looked at again without a change.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK_AGAIN, meta.changed()).await {
                return;
            }
        }
    }

    /// Makes routing, connections and open groups agree with the ring map.
    pub async fn take_over(&self, state: &MetaState) {
        let Some(ring) = state.ring() else { return };
        let is_new = self.ring.borrow().as_ref().is_none_or(|known| known.version < ring.version);
        if is_new {
            self.transport.set_targets(targets(&self.config, Some(ring), self.node));
            self.context.ring_version.set(ring.version);
            self.ring.send_replace(Some(Arc::new(ring.clone())));
            tracing::info!(version = %ring.version, nodes = ring.nodes.len(), tablets = ring.tablets.len(), "ring map");
        }
        let wanted = |place: &&TabletPlace| place.replicas().any(|node| node == self.node);
        let wanted: BTreeSet<TabletId> =
            ring.tablets.iter().filter(wanted).map(|place| place.tablet).collect();
        for tablet in &wanted {
            if self.group(tablet.group()).is_none()
                && let Some(place) = ring.place_of(*tablet)
                && let Err(error) = self.open_tablet(place).await
            {
                super::fatal::disk(&format_args!("tablet {tablet} cannot be opened: {error}"));
            }
        }
    }

    async fn open_tablet(&self, place: &TabletPlace) -> Result<(), OpenError> {
        let (tablet, id) = (place.tablet, place.tablet.group());
        let promise = self.promise(tablet)?;
        if promise.is_some() && !self.store.tablets().contains(&tablet) {
            // An earlier replica was being dropped when this node stopped.
            self.drop_log(tablet).await?;
        }
        let store = self.store.tablet(tablet)?;
        let shape = Shape {
            value_max_bytes: self.parameters().value_max_bytes as usize,
            slots: place.first_slot..=place.last_slot,
        };
        let machine = Machine::open(id, store, shape)?;
        let group = Group::open(&self.context, machine, self.log.group(id), promise).await?;
        tracing::debug!(%tablet, "tablet opened");
        self.groups.write().expect("lock is never poisoned: panic aborts").insert(id, Arc::new(group));
        Ok(())
    }

    /// The preferred leader of a tablet of the founding begins its group, and reports once it leads.
    async fn begin_tablets(&self, state: &MetaState) {
        let Some(ring) = state.ring() else { return };
        for tablet in state.unfounded_tablets() {
            let Some(place) = ring.place_of(tablet) else { continue };
            if place.preferred_leader != self.node || place.epoch != FIRST_EPOCH {
                continue;
            }
            let Some(group) = self.group(tablet.group()) else { continue };
            if let Err(error) = group.initialise(&place.voters).await {
                tracing::warn!(%tablet, %error, "tablet not begun");
                continue;
            }
            if group.leader().is_some() {
                let report = MetaCommand::TabletFounded { tablet };
                if let Err(error) = self.propose(&report, REPORT_PATIENCE).await {
                    tracing::debug!(%tablet, ?error, "report to the meta group will be repeated");
                    return;
                }
            }
        }
    }

    /// Opens group 0 before there is a server around it.
    pub async fn open_meta(
        context: &crate::raft::GroupContext,
        store: &crate::storage::Storage,
        log: &crate::log::SharedLog,
    ) -> Result<Arc<Group>, OpenError> {
        let shape = Shape { value_max_bytes: 0, slots: ALL_SLOTS };
        let machine = Machine::open(GroupId::META, store.meta()?, shape)?;
        Ok(Arc::new(Group::open(context, machine, log.group(GroupId::META), None).await?))
    }
}
