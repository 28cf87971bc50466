//! The driver of splits. The meta state says which tablets are being split; the leader of such a tablet writes the split into the tablet's
//! log, stands for the new tablet as soon as that has begun here, and the new tablet's leader reports it. Of splits the driver
//! keeps no state: after a crash or a change of leaders the next one goes on where this one was. Only how long a tablet has been busy is
//! counted anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::TabletId;
use dkc_core::meta::{MemberChange, MetaCommand, MetaState, Split, middle_of};
use dkc_core::ring::{ClusterLoad, RingMap, TabletLoad, is_worth_a_split};
use dkc_core::tablet;
use tokio::time::Instant;

use super::load::{LoadWindows, ServerLoads};
use super::local_node::LocalNode;
use super::meta_group::MetaGroup;
use super::replicas::Replicas;

/// A tablet with more bytes of records is split: snapshots and moves of a larger one take long.
const SPLIT_FROM_BYTES: u64 = 8 << 30;
/// No tablet is split automatically beyond so many: each costs every one of its servers memory and rounds.
const TABLETS_MAX: usize = 1024;
/// A tablet is split for its load after so many windows in a row.
const LOAD_WINDOWS: u32 = 6;
/// Poll interval while a tablet is being split, and otherwise.
const LOOK_SPLITTING: Duration = Duration::from_millis(25);
const LOOK_IDLE: Duration = Duration::from_millis(500);
/// Timeout of a proposal and of a report, which are repeated.
const STEP_MAX: Duration = Duration::from_secs(2);
/// Pause before this node stands again for a tablet that has no leader.
const STAND_AGAIN: Duration = Duration::from_millis(200);

pub struct SplitDriver {
    local: Arc<LocalNode>,
    meta: Arc<MetaGroup>,
    replicas: Arc<Replicas>,
    loads: Arc<ServerLoads>,
}

/// What the driver remembers of loads.
struct Busy {
    windows: LoadWindows,
    /// Windows in a row in which a tablet was worth a split.
    for_windows: BTreeMap<TabletId, u32>,
    was_told: bool,
}

impl SplitDriver {
    pub fn new(
        local: Arc<LocalNode>,
        meta: Arc<MetaGroup>,
        replicas: Arc<Replicas>,
        loads: Arc<ServerLoads>,
    ) -> SplitDriver {
        SplitDriver { local, meta, replicas, loads }
    }

    /// Does this node's part of every split, for as long as it is polled.
    pub async fn run(self) {
        let mut meta = self.meta.subscribe();
        let mut stood = Instant::now();
        let mut busy = Busy::new(stood);
        loop {
            let state = meta.borrow_and_update().clone();
            for split in state.splits() {
                self.go_on(&state, split, &mut stood).await;
            }
            self.split_large(&state).await;
            self.split_busy(&state, &mut busy).await;
            let look = if state.splits().is_empty() { LOOK_IDLE } else { LOOK_SPLITTING };
            if let Ok(Err(_)) = tokio::time::timeout(look, meta.changed()).await {
                return;
            }
        }
    }

    /// Asks for a split of the largest tablet that this node leads, if it is too large. Whatever forbids it at the moment (a merge, an
    /// operation) passes.
    async fn split_large(&self, state: &MetaState) {
        let Some(ring) = may_split(state) else { return };
        let led = self.replicas.tablets().into_iter().filter(|group| group.is_leader());
        let largest = led.max_by_key(|group| group.machine.size_bytes());
        let Some(largest) = largest.filter(|group| group.machine.size_bytes() > SPLIT_FROM_BYTES) else {
            return;
        };
        if let Some(tablet) = largest.id.tablet() {
            tracing::info!(%tablet, bytes = largest.machine.size_bytes(), "asking for the split of a large tablet");
            self.ask_for_split(ring, tablet).await;
        }
    }

    /// Looks at the load once in each window, and asks for a split of the busiest tablet that has been worth one for long enough.
    async fn split_busy(&self, state: &MetaState, busy: &mut Busy) {
        let parameters = self.local.parameters();
        let window = Duration::from_millis(parameters.split_after_ms) / LOAD_WINDOWS;
        let Some(ring) = state.ring() else { return };
        let counted = || self.count_led(ring);
        let Some(loads) = busy.windows.end(Instant::now(), window, counted) else { return };
        let own_per_s = loads.values().map(TabletLoad::per_s).sum();
        // The last one tells that it has nothing to do any more.
        if own_per_s > 0 || busy.was_told {
            self.loads.tell(own_per_s).await;
        }
        busy.was_told = own_per_s > 0;
        let cluster = ClusterLoad {
            per_s: self.loads.others_per_s(window * 2).saturating_add(own_per_s),
            servers: ring.nodes.iter().filter(|node| node.stays()).count(),
            tablets: ring.tablets.len(),
        };
        let is_worth =
            |load: &TabletLoad| is_worth_a_split(*load, cluster, parameters.split_operations_per_s);
        let Some(tablet) = busy.look(&loads, is_worth) else { return };
        if let Some(ring) = may_split(state) {
            tracing::info!(%tablet, load = ?loads.get(&tablet), ?cluster, "asking for the split of a busy tablet");
            busy.for_windows.clear();
            self.ask_for_split(ring, tablet).await;
        }
    }

    /// Operations of the tablets that this node leads, by half.
    fn count_led(&self, ring: &RingMap) -> BTreeMap<TabletId, (u64, u64)> {
        let led = self.replicas.tablets().into_iter().filter(|group| group.is_leader());
        let of_one_range = led.filter_map(|group| {
            let tablet = group.id.tablet()?;
            ring.place_of(tablet).and_then(middle_of)?;
            Some((tablet, group.operations.by_half()))
        });
        of_one_range.collect()
    }

    /// Whatever forbids it at the moment (a merge, an operation) passes.
    async fn ask_for_split(&self, ring: &RingMap, tablet: TabletId) {
        let change = MemberChange::SplitTablet { tablet, child: ring.next_tablet(0) };
        match self.meta.propose(&MetaCommand::Change { operation: None, change }, STEP_MAX).await {
            Ok(reply) => tracing::info!(%tablet, ?reply, "split asked for"),
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

impl Busy {
    fn new(now: Instant) -> Busy {
        Busy { windows: LoadWindows::new(now), for_windows: BTreeMap::new(), was_told: false }
    }

    /// The busiest tablet that has been worth a split for `LOAD_WINDOWS` in a row.
    fn look(
        &mut self,
        loads: &BTreeMap<TabletId, TabletLoad>,
        is_worth: impl Fn(&TabletLoad) -> bool,
    ) -> Option<TabletId> {
        let before = std::mem::take(&mut self.for_windows);
        let worth = loads.iter().filter(|(_, load)| is_worth(load));
        self.for_windows =
            worth.map(|(tablet, _)| (*tablet, before.get(tablet).map_or(1, |windows| windows + 1))).collect();
        let long = self.for_windows.iter().filter(|(_, windows)| **windows >= LOAD_WINDOWS);
        long.map(|(tablet, _)| *tablet).max_by_key(|tablet| loads.get(tablet).map(TabletLoad::per_s))
    }
}

/// The ring map, while nothing is under way that forbids a split.
fn may_split(state: &MetaState) -> Option<&RingMap> {
    let is_idle = state.splits().is_empty() && state.merge().is_none() && state.operation().is_none();
    state.ring().filter(|ring| is_idle && ring.tablets.len() < TABLETS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tablet_must_be_busy_in_every_window_of_the_time() {
        let mut busy = Busy::new(Instant::now());
        let load = |per_s| TabletLoad { lower_per_s: per_s, upper_per_s: per_s };
        let loads = |first, second| BTreeMap::from([(TabletId(0), load(first)), (TabletId(1), load(second))]);
        let is_worth = |load: &TabletLoad| load.per_s() >= 100;
        for _ in 1..LOAD_WINDOWS {
            assert_eq!(busy.look(&loads(60, 0), is_worth), None);
        }
        assert_eq!(busy.look(&loads(0, 0), is_worth), None, "a quiet window begins the time anew");
        for _ in 1..LOAD_WINDOWS {
            assert_eq!(busy.look(&loads(60, 90), is_worth), None);
        }
        assert_eq!(busy.look(&loads(60, 90), is_worth), Some(TabletId(1)));
    }
}
