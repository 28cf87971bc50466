//! Which tablets are split for a number of servers, and what the ring is like afterwards. Splits come before data moves: they move
//! none themselves, and the merge then spreads more and smaller tablets.
//!
//! *Invariant:* tried on the observed ring by the meta group's own code, so that ids and refusals are those of the cluster.

use std::collections::BTreeMap;

use dkc_core::ids::TabletId;
use dkc_core::meta::{MemberChange, MetaCommand, MetaReply, MetaState, Split};
use dkc_core::ring::{RingMap, TabletPlace};

use crate::ring_facts::RingFacts;

/// Splits that come before a change of members.
#[derive(Debug, Clone)]
pub struct Splitting {
    /// One after the other: the next splits what came of the one before.
    pub rounds: Vec<Round>,
    /// The ring with all of them.
    pub ring: RingMap,
    /// Sizes as they will be, where a server has told one.
    pub bytes: BTreeMap<TabletId, u64>,
}

/// Splits that are under way together.
#[derive(Debug, Clone)]
pub struct Round {
    /// Each with its words.
    pub splits: Vec<(Split, String)>,
    /// The cluster has begun them already.
    pub is_begun: bool,
}

impl Splitting {
    /// Splits the widest tablets until there are `wanted`.
    pub fn to(facts: &RingFacts<'_>, wanted: usize) -> Splitting {
        let mut state = MetaState::from(facts.view);
        let mut splitting =
            Splitting { rounds: Vec::new(), ring: facts.view.ring.clone(), bytes: BTreeMap::new() };
        for place in &facts.view.ring.tablets {
            splitting.bytes.insert(place.tablet, facts.tablet_bytes(place.tablet));
        }
        splitting.end_round(&mut state, true);
        while splitting.ring.tablets.len() < wanted {
            let lacking = wanted - splitting.ring.tablets.len();
            let round: Vec<TabletId> = splitting.widest().into_iter().take(lacking).collect();
            for tablet in round {
                let child = splitting.ring.next_tablet(state.splits().len());
                let change = MemberChange::SplitTablet { tablet, child };
                let command =
                    MetaCommand::Change { operation: facts.view.operation.as_ref().map(|o| o.id), change };
                if matches!(state.apply(&command), MetaReply::Refused(_)) {
                    break;
                }
            }
            if state.splits().is_empty() {
                break;
            }
            splitting.end_round(&mut state, false);
        }
        splitting
    }

    /// Completes the splits that are under way in `state`, if there are any.
    fn end_round(&mut self, state: &mut MetaState, is_begun: bool) {
        let round = state.splits().to_vec();
        if round.is_empty() {
            return;
        }
        let told = |split: &Split| Some((*split, words(self.ring.place_of(split.tablet)?, split.child)));
        let splits = round.iter().filter_map(told).collect();
        for split in &round {
            state.apply(&MetaCommand::TabletSplit { child: split.child });
            let bytes = self.bytes.get(&split.tablet).copied().unwrap_or(0) / 2;
            self.bytes.extend([(split.tablet, bytes), (split.child, bytes)]);
        }
        self.ring = state.ring().cloned().unwrap_or_else(|| self.ring.clone());
        self.rounds.push(Round { splits, is_begun });
    }

    /// The tablets with the most slots, all of the same width but for one slot.
    fn widest(&self) -> Vec<TabletId> {
        let width = |place: &TabletPlace| place.last_slot.0 - place.first_slot.0 + 1;
        let most = self.ring.tablets.iter().map(width).max().unwrap_or(1);
        let wide = self.ring.tablets.iter().filter(|place| most > 1 && width(place) + 1 >= most);
        let mut wide: Vec<TabletId> = wide.map(|place| place.tablet).collect();
        wide.sort();
        wide
    }

    /// All of them, in order.
    pub fn count(&self) -> usize {
        self.rounds.iter().map(|round| round.splits.len()).sum()
    }
}

/// `tablet 3 (slots 5461-8191) becomes tablets 3 and 12`
pub fn words(place: &TabletPlace, child: TabletId) -> String {
    let TabletPlace { tablet, first_slot, last_slot, .. } = place;
    format!("tablet {tablet} (slots {}-{}) becomes tablets {tablet} and {child}", first_slot.0, last_slot.0)
}
