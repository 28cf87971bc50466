//! Follows the meta state: opens and closes tablet groups, connects to nodes, adds learners to the
//! meta group, and initialises the tablets of the first ring.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::NodeConfig;
use dkc_core::ids::{NodeId, TabletId};
use dkc_core::meta::{MetaCommand, MetaState};
use dkc_core::ring::{RingMap, SlotId, TabletPlace, founding_slots};

use super::drop_replicas::drop_replicas;
use super::known_ring::KnownRing;
use super::leadership::Leadership;
use super::local_node::LocalNode;
use super::meta_group::MetaGroup;
use super::meta_voters::keep_meta_members;
use super::replicas::Replicas;
use crate::net::Target;
use crate::raft::{TabletBounds, Transport};

/// Retry interval of failed steps.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Timeout of one report to the meta group; the next round retries.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The epoch of a tablet with its founding voters. Only such a tablet may be initialised.
const FIRST_EPOCH: u32 = 1;

/// Every node this one may connect to: the configured founders and the members of the ring map. The map wins.
pub fn targets(config: &NodeConfig, ring: Option<&RingMap>, own: NodeId) -> BTreeMap<NodeId, Target> {
    let configured = config.servers.iter().map(|s| (s.node_id, s.node_uuid, &s.address));
    let known = ring.into_iter().flat_map(|ring| ring.nodes.iter().map(|n| (n.node_id, n.uuid, &n.address)));
    // Once there is a map, founders that have left are no longer contacted.
    let configured = configured.filter(|_| ring.is_none());
    configured
        .chain(known)
        .filter(|(id, ..)| *id != own)
        .map(|(id, uuid, address)| (id, Target { address: address.clone(), node: Some(uuid) }))
        .collect()
}

pub struct MetaFollower {
    local: Arc<LocalNode>,
    meta: Arc<MetaGroup>,
    ring: Arc<KnownRing>,
    replicas: Arc<Replicas>,
    leadership: Arc<Leadership>,
    transport: Arc<Transport>,
}

impl MetaFollower {
    pub fn new(
        local: Arc<LocalNode>,
        meta: Arc<MetaGroup>,
        ring: Arc<KnownRing>,
        replicas: Arc<Replicas>,
        leadership: Arc<Leadership>,
        transport: Arc<Transport>,
    ) -> MetaFollower {
        MetaFollower { local, meta, ring, replicas, leadership, transport }
    }

    /// Applies every new meta state, for as long as it is polled.
    pub async fn run(self) {
        let (mut meta, mut births) = (self.meta.subscribe(), self.replicas.births());
        loop {
            births.borrow_and_update();
            let state = meta.borrow_and_update().clone();
            self.adopt_ring_map(&state).await;
            self.begin_tablets(&state).await;
            keep_meta_members(&self.meta, &self.leadership, &state).await;
            drop_replicas(&self.replicas, &self.meta, &state).await;
            // Some steps depend on others (a leader, a reachable node), so they are retried without a change.
            tokio::select! {
                biased;
                changed = meta.changed() => if changed.is_err() { return },
                _ = births.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Updates routing, connections and open groups to match the ring map.
    pub async fn adopt_ring_map(&self, state: &MetaState) {
        let Some(ring) = state.ring() else { return };
        if self.ring.is_older_than(ring) {
            self.transport.set_targets(targets(self.local.config(), Some(ring), self.local.id()));
            self.ring.replace(ring);
            tracing::info!(version = %ring.version, nodes = ring.nodes.len(), tablets = ring.tablets.len(), "new ring map");
        }
        let wanted = |place: &&TabletPlace| place.replicas().any(|node| node == self.local.id());
        let wanted = ring.tablets.iter().filter(wanted).map(|place| (place.tablet, place.first_slot));
        // In the order of their ids: a tablet comes before those that were split off it.
        let wanted: BTreeMap<TabletId, SlotId> = wanted.collect();
        for (tablet, first_slot) in &wanted {
            self.open_tablet(state, *tablet, *first_slot).await;
        }
        // Those that a split has begun, before the ring map names them.
        for split in state.splits() {
            let keeps_parent =
                ring.place_of(split.tablet).is_some_and(|place| place.voters.contains(&self.local.id()));
            let is_past = keeps_parent && self.replicas.is_past_split(split.tablet, split.first_slot);
            if self.replicas.is_on_disk(split.child) || is_past {
                self.open_tablet(state, split.child, split.first_slot).await;
            }
        }
    }

    async fn open_tablet(&self, state: &MetaState, tablet: TabletId, first_slot: SlotId) {
        if self.replicas.get(tablet.group()).is_some() {
            return;
        }
        if !self.replicas.is_on_disk(tablet) && self.replicas.awaits_split(tablet, first_slot) {
            return;
        }
        let slots = founding_slots(tablet, state.founding_tablets());
        let value_max_bytes = self.local.parameters().value_max_bytes as usize;
        let bounds = TabletBounds { value_max_bytes, slots, node: self.local.id() };
        if let Err(error) = self.replicas.open(tablet, bounds).await {
            crate::fatal::disk(&format_args!("tablet {tablet} cannot be opened: {error}"));
        }
    }

    /// At founding, a tablet's preferred leader initialises its group, and reports once it leads.
    async fn begin_tablets(&self, state: &MetaState) {
        let Some(ring) = state.ring() else { return };
        for tablet in state.unfounded_tablets() {
            let Some(place) = ring.place_of(tablet) else { continue };
            if place.preferred_leader != self.local.id() || place.epoch != FIRST_EPOCH {
                continue;
            }
            let Some(group) = self.replicas.get(tablet.group()) else { continue };
            if let Err(error) = group.initialise(&place.voters).await {
                tracing::warn!(%tablet, %error, "tablet not initialised; will retry");
                continue;
            }
            if group.leader().is_some() {
                let report = MetaCommand::TabletFounded { tablet };
                if let Err(error) = self.meta.propose(&report, REPORT_TIMEOUT).await {
                    tracing::debug!(%tablet, ?error, "tablet not reported as founded; will retry");
                    return;
                }
            }
        }
    }
}
