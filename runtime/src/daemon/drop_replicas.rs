//! Drops replicas: once the ring map no longer lists this node for a tablet, closes its group, drops its state and its
//! log, and notifies the meta group. After a crash between two of these steps the next round repeats them.
//!
//! *Invariant (M6):* nothing is dropped before the meta group has confirmed that the replica is no longer needed, and
//! this node gets none again before the meta group has recorded that the old one is dropped.

use std::time::Duration;

use dkc_core::meta::{MetaCommand, MetaReply, MetaState};

use super::meta_group::MetaGroup;
use super::replicas::Replicas;

/// Timeout of a report to the meta group; the next round retries.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Drops the replicas that the ring map does not assign to this node, and reports them.
pub async fn drop_replicas(replicas: &Replicas, meta: &MetaGroup, state: &MetaState) {
    let Some(ring) = state.ring() else { return };
    let held = replicas.on_disk();
    for place in &ring.tablets {
        if place.replicas().any(|node| node == meta.node()) || !held.contains(&place.tablet) {
            continue;
        }
        // A leader that lost its vote transfers its leadership by itself, or hears of a later one: not while it hibernates.
        if let Some(group) = replicas.get(place.tablet.group()).filter(|group| group.is_leader()) {
            group.hibernation.touch();
            continue;
        }
        let leave = MetaCommand::LeaveReplica { tablet: place.tablet, node: meta.node() };
        match meta.propose(&leave, REPORT_TIMEOUT).await {
            Ok(MetaReply::Done) => {}
            Ok(reply) => {
                tracing::info!(tablet = %place.tablet, ?reply, "replica kept");
                continue;
            }
            Err(error) => {
                tracing::debug!(tablet = %place.tablet, ?error, "replica not dropped; will retry");
                return;
            }
        }
        if let Err(error) = replicas.give_up(place.tablet).await {
            crate::fatal::disk(&format_args!("tablet {} cannot be dropped: {error}", place.tablet));
        }
    }
    report_dropped(replicas, meta, state).await;
}

async fn report_dropped(replicas: &Replicas, meta: &MetaGroup, state: &MetaState) {
    let held = replicas.on_disk();
    for leaving in state.leaving() {
        if leaving.node != meta.node() || held.contains(&leaving.tablet) {
            continue;
        }
        let (tablet, node, since) = (leaving.tablet, leaving.node, leaving.since);
        let dropped = MetaCommand::ReplicaDropped { tablet, node, since };
        if let Err(error) = meta.propose(&dropped, REPORT_TIMEOUT).await {
            tracing::debug!(%tablet, ?error, "drop not reported; will retry");
            return;
        }
    }
}
