//! Giving up replicas: when the ring map lists this node for a tablet no more, its group is closed, its state and its
//! log are dropped, and the meta group is told. A crash between two of these steps is made good at the next look.
//!
//! *Invariant (M6):* nothing is dropped before the meta group has confirmed that nobody counts on the replica, and
//! none comes back to this node before the meta group has heard that the old one is gone.
//! *Invariant (D4):* the promises of the dropped log are kept (`raft::promise`).

use std::collections::BTreeSet;
use std::time::Duration;

use dkc_core::ids::TabletId;
use dkc_core::meta::{MetaCommand, MetaReply, MetaState};
use tokio::sync::oneshot;

use super::groups::OpenError;
use super::server::Server;
use crate::raft::promise::{Promise, PromiseError};

/// One report to the meta group; the next look repeats it.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);

impl Server {
    /// What this node promised when it gave up an earlier replica of the tablet.
    pub fn promise(&self, tablet: TabletId) -> Result<Option<Promise>, PromiseError> {
        self.store.promise(tablet).map(|bytes| Promise::decode(&bytes)).transpose()
    }

    /// Drops the replicas that the ring map does not give to this node, and says so.
    pub async fn leave_tablets(&self, state: &MetaState) {
        let Some(ring) = state.ring() else { return };
        let held: BTreeSet<TabletId> = self.store.tablets().into_iter().collect();
        for place in &ring.tablets {
            if place.replicas().any(|node| node == self.node) || !held.contains(&place.tablet) {
                continue;
            }
            // A leader that lost its vote hands the leadership on by itself.
            if self.group(place.tablet.group()).is_some_and(|group| group.is_leader()) {
                continue;
            }
            let leave = MetaCommand::LeaveReplica { tablet: place.tablet, node: self.node };
            match self.propose(&leave, REPORT_PATIENCE).await {
                Ok(MetaReply::Done) => {}
                Ok(reply) => {
                    tracing::info!(tablet = %place.tablet, ?reply, "the replica stays");
                    continue;
                }
                Err(error) => {
                    tracing::debug!(tablet = %place.tablet, ?error, "not dropped yet");
                    return;
                }
            }
            if let Err(error) = self.drop_replica(place.tablet).await {
                super::fatal::disk(&format_args!("tablet {} cannot be dropped: {error}", place.tablet));
            }
        }
        self.report_dropped(state).await;
    }

    async fn drop_replica(&self, tablet: TabletId) -> Result<(), OpenError> {
        let id = tablet.group();
        let group = self.groups.write().expect("lock is never poisoned: panic aborts").remove(&id);
        if let Some(group) = group {
            group.close().await;
        }
        let log = self.log.group(id);
        let promise = Promise::of(&log, self.promise(tablet)?.as_ref())?;
        let store = self.store.clone();
        let dropping = crate::task::spawn_blocking(move || store.drop_tablet(tablet, promise.encode()));
        dropping.await.unwrap_or_else(|error| panic!("dropping ended without a result: {error}"))?;
        self.drop_log(tablet).await?;
        tracing::info!(%tablet, "replica dropped");
        Ok(())
    }

    /// Forgets the log of a tablet that has no state here. Nothing happens where there is none.
    pub async fn drop_log(&self, tablet: TabletId) -> Result<(), PromiseError> {
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

    async fn report_dropped(&self, state: &MetaState) {
        let held: BTreeSet<TabletId> = self.store.tablets().into_iter().collect();
        for leaving in state.leaving() {
            if leaving.node != self.node || held.contains(&leaving.tablet) {
                continue;
            }
            let (tablet, node, since) = (leaving.tablet, leaving.node, leaving.since);
            let dropped = MetaCommand::ReplicaDropped { tablet, node, since };
            if let Err(error) = self.propose(&dropped, REPORT_PATIENCE).await {
                tracing::debug!(%tablet, ?error, "the report will be repeated");
                return;
            }
        }
    }
}
