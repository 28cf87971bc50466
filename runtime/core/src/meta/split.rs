//! Splitting a tablet: the meta group records the split; the tablet's leader writes it into the tablet's own log; where that entry
//! is applied, the upper part of the slots becomes a tablet of its own on the same nodes (`tablet::split`); the new tablet's first
//! leader reports it, and only then the ring map names it.
//!
//! *Invariant:* no tablet is moved while it is split, and none is split while anything moves: both tablets begin with the same voters.
//! *Invariant:* a tablet's id is given once. Tablets are never joined, so the ids are 0 to the number of tablets.

use serde::{Deserialize, Serialize};

use super::apply::Outcome;
use super::{MetaReply, MetaState, Refused};
use crate::ids::{NodeId, TabletId};
use crate::mutant::{self, Mutant};
use crate::ring::{RingMap, SLOTS, SlotId, TabletPlace};

/// A tablet that is being split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// It keeps the slots below `first_slot`.
    pub tablet: TabletId,
    /// The tablet that begins at `first_slot`.
    pub child: TabletId,
    /// Of the child.
    pub first_slot: SlotId,
}

/// What the meta group remembers of splits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splits {
    /// Tablets that the cluster was founded with; 0 until the first split, when the ring map still has exactly those.
    pub founding_tablets: u16,
    /// Recorded, and not reported by the child yet.
    pub pending: Vec<Split>,
}

impl RingMap {
    /// The id of the next tablet that comes of a split, `pending` of them on their way.
    pub fn next_tablet(&self, pending: usize) -> TabletId {
        TabletId((self.tablets.len() + pending) as u16)
    }
}

/// Where a tablet is cut: in the middle. `None` for a single slot.
pub fn middle_of(place: &TabletPlace) -> Option<SlotId> {
    let slots = place.last_slot.0 - place.first_slot.0;
    (slots > 0).then(|| SlotId(place.first_slot.0 + slots / 2 + 1))
}

impl MetaState {
    /// Splits that are under way.
    pub fn splits(&self) -> &[Split] {
        &self.splits.pending
    }

    /// Tablets that the cluster was founded with; their ids are below this.
    pub fn founding_tablets(&self) -> u16 {
        match self.splits.founding_tablets {
            0 => self.ring().map_or(0, |ring| ring.tablets.len() as u16),
            founding => founding,
        }
    }

    pub(super) fn split_tablet(&mut self, tablet: TabletId, child: TabletId) -> Outcome {
        let word = "splitting a tablet";
        let ring = self.founded_ring()?;
        let place = ring.place_of(tablet).ok_or(Refused::NoSuchTablet(tablet))?;
        let is_retry = self.splits.pending.iter().any(|one| (one.tablet, one.child) == (tablet, child));
        let is_done = ring.place_of(child).is_some_and(|after| {
            child.0 > tablet.0 && after.first_slot.0 == place.last_slot.0.wrapping_add(1)
        });
        if is_retry || is_done {
            return Ok(MetaReply::Done);
        }
        let refused =
            |state: String, next: &str| Err(Refused::Illegal { word: word.into(), state, next: next.into() });
        let next = ring.next_tablet(self.splits.pending.len());
        if child != next {
            return refused(
                format!("tablet id {child} is not the next one, {next}"),
                "the same with that id",
            );
        }
        if let Some(merge) = self.merge().filter(|_| !mutant::is_active(Mutant::SplitDuringMove)) {
            return refused(merge.describe(), "wait until the merge has ended, or ABORTMERGE");
        }
        if let Some(one) = self.splits.pending.iter().find(|one| one.tablet == tablet) {
            return refused(
                format!("tablet {tablet} is being split already, into {}", one.child),
                "the end of that",
            );
        }
        if !self.is_tablet_founded(tablet) {
            return refused(
                format!("tablet {tablet} has had no leader yet"),
                "wait until the cluster is founded",
            );
        }
        let Some(first_slot) = middle_of(place) else {
            return refused(format!("tablet {tablet} has one slot of {SLOTS}"), "another tablet");
        };
        let founding_tablets = self.founding_tablets();
        self.splits.founding_tablets = founding_tablets;
        self.splits.pending.push(Split { tablet, child, first_slot });
        Ok(MetaReply::Done)
    }

    /// The child has a leader: the ring map names it from now on.
    pub(super) fn tablet_split(&mut self, child: TabletId) -> Outcome {
        let Some(at) = self.splits.pending.iter().position(|one| one.child == child) else {
            return match self.founded_ring()?.place_of(child) {
                Some(_) => Ok(MetaReply::Done),
                None => Err(Refused::NoSuchTablet(child)),
            };
        };
        let Split { tablet, first_slot, .. } = self.splits.pending.remove(at);
        let ring = self.founded_ring_mut()?;
        let at = ring.tablets.iter().position(|place| place.tablet == tablet);
        let at = at.ok_or(Refused::NoSuchTablet(tablet))?;
        let parent = &mut ring.tablets[at];
        parent.epoch += 1;
        let mut place = TabletPlace { tablet: child, first_slot, learners: Vec::new(), ..parent.clone() };
        parent.last_slot = SlotId(first_slot.0 - 1);
        place.preferred_leader = leads_least(ring, &place.voters).unwrap_or(place.preferred_leader);
        ring.tablets.insert(at + 1, place);
        ring.version.0 += 1;
        self.founded_tablets.insert(child);
        Ok(MetaReply::Done)
    }

    /// A merge moves whole tablets, so it waits for those that are being split.
    pub(super) fn check_nothing_splits(&self, word: &str) -> Result<(), Refused> {
        match self.splits.pending.first() {
            None => Ok(()),
            Some(one) => Err(Refused::Illegal {
                word: word.into(),
                state: format!("tablet {} is being split", one.tablet),
                next: "wait until that has ended".into(),
            }),
        }
    }
}

/// The voter that fewest tablets prefer as leader.
fn leads_least(ring: &RingMap, voters: &[NodeId]) -> Option<NodeId> {
    let led = |node: &NodeId| ring.tablets.iter().filter(|place| place.preferred_leader == *node).count();
    voters.iter().copied().min_by_key(|node| (led(node), *node))
}
