//! The driver of splits. The meta state says which tablets are being split; the leader of such a tablet writes the split into the tablet's
//! log, stands for the new tablet as soon as that has begun here, and the new tablet's leader reports it. The driver is stateless: after a
//! crash or a change of leaders the next one goes on where this one was.

use std::sync::Arc;
use std::time::Duration;

use dkc_core::meta::{MemberChange, MetaCommand, MetaState, Split};
use dkc_core::tablet;
use tokio::time::Instant;

use super::meta_group::MetaGroup;
use super::replicas::Replicas;

/// A tablet with more bytes of records is split: snapshots and moves of a larger one take long.
const SPLIT_FROM_BYTES: u64 = 8 << 30;
/// No tablet is split automatically beyond so many: each costs every one of its servers memory and rounds.
const TABLETS_MAX: usize = 1024;
/// Poll interval while a tablet is being split, and otherwise.
const LOOK_SPLITTING: Duration = Duration::from_millis(25);
const LOOK_IDLE: Duration = Duration::from_millis(500);
/// Timeout of a proposal and of a report, which are repeated.
const STEP_MAX: Duration = Duration::from_secs(2);
/// Pause before this node stands again for a tablet that has no leader.
const STAND_AGAIN: Duration = Duration::from_millis(200);

pub struct SplitDriver {
    meta: Arc<MetaGroup>,
    replicas: Arc<Replicas>,
}

impl SplitDriver {
    pub fn new(meta: Arc<MetaGroup>, replicas: Arc<Replicas>) -> SplitDriver {
        SplitDriver { meta, replicas }
    }

    /// Does this node's part of every split, for as long as it is polled.
    pub async fn run(self) {
        let mut meta = self.meta.subscribe();
        let mut stood = Instant::now();
        loop {
            let state = meta.borrow_and_update().clone();
            for split in state.splits() {
                self.go_on(&state, split, &mut stood).await;
            }
            self.split_large(&state).await;
            let look = if state.splits().is_empty() { LOOK_IDLE } else { LOOK_SPLITTING };
            if let Ok(Err(_)) = tokio::time::timeout(look, meta.changed()).await {
                return;
            }
        }
    }

    /// Asks for a split of the largest tablet that this node leads, if it is too large. Whatever forbids it at the moment (a merge, an
    /// operation) passes.
    async fn split_large(&self, state: &MetaState) {
        let Some(ring) = state.ring().filter(|ring| ring.tablets.len() < TABLETS_MAX) else { return };
        if !state.splits().is_empty() || state.merge().is_some() || state.operation().is_some() {
            return;
        }
        let led = self.replicas.tablets().into_iter().filter(|group| group.is_leader());
        let largest = led.max_by_key(|group| group.machine.size_bytes());
        let Some(largest) = largest.filter(|group| group.machine.size_bytes() > SPLIT_FROM_BYTES) else {
            return;
        };
        let Some(tablet) = largest.id.tablet() else { return };
        let change = MemberChange::SplitTablet { tablet, child: ring.next_tablet(0) };
        match self.meta.propose(&MetaCommand::Change { operation: None, change }, STEP_MAX).await {
            Ok(reply) => {
                tracing::info!(%tablet, bytes = largest.machine.size_bytes(), ?reply, "split of a large tablet asked for")
            }
            Err(error) => tracing::debug!(%tablet, ?error, "split not asked for; will retry"),
        }
    }

    async fn go_on(&self, state: &MetaState, split: &Split, stood: &mut Instant) {
        let leads = |tablet: dkc_core::ids::TabletId| {
            self.replicas.get(tablet.group()).filter(|group| group.is_leader())
        };
        if leads(split.child).is_some() {
            let report = MetaCommand::TabletSplit { child: split.child };
            if let Err(error) = self.meta.propose(&report, STEP_MAX).await {
                tracing::debug!(tablet = %split.tablet, ?error, "split not reported; will retry");
            }
            return;
        }
        let Some(parent) = leads(split.tablet) else { return };
        if let Some(child) = self.replicas.get(split.child.group()) {
            if stood.elapsed() >= STAND_AGAIN {
                *stood = Instant::now();
                child.stand().await;
            }
            return;
        }
        let is_open = parent.machine.slots().is_some_and(|slots| slots.contains(&split.first_slot));
        let place = state.ring().and_then(|ring| ring.place_of(split.tablet));
        let Some(place) = place.filter(|_| is_open) else { return };
        let entry = tablet::Split {
            child: split.child,
            first_slot: split.first_slot,
            epoch: place.epoch,
            voters: place.voters.clone(),
        };
        if let Err(error) = parent.split(&entry, STEP_MAX).await {
            tracing::debug!(tablet = %split.tablet, %error, "not split; will retry");
        }
    }
}
