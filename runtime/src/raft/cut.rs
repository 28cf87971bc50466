//! The state of a tablet at one moment, read long afterwards while writes go on: the tablet's part of a cut through all tablets
//! of the cluster (`daemon/cuts.rs`).
//!
//! *Invariant:* if `is_still` answers true, nothing was committed in the group between the moment of the cut and that call, by
//! this leader or another one: the lease excludes other leaders, and this one has applied nothing. Nor has a tablet that is split off
//! it acknowledged anything: only one whose split this leader proposed could have, and then the answer is false.

use std::ops::RangeInclusive;

use dkc_core::ids::Namespace;
use dkc_core::kv::{Read, Reply};
use dkc_core::ring::SlotId;
use dkc_core::tablet::Tablet;
use tokio::time::Instant;

use super::group::Group;
use super::hold::HOLD_MAX;
use super::machine::{Machine, TabletBounds};
use super::read::AGAIN_PAUSE;
use super::types::LogId;
use crate::storage::{StorageError, TabletSnapshot};

/// Costs the memory of rows that were not ingested yet when it was taken, and the disk of rows that were replaced since.
pub struct TabletCut {
    snapshot: TabletSnapshot,
    applied: LogId,
    bounds: TabletBounds,
}

/// A cut with what a tablet keeps in memory to read its rows.
pub struct OpenCut {
    tablet: Tablet,
    snapshot: TabletSnapshot,
}

impl Group {
    /// Holds writes back and takes the state as it is then. `None` if this node does not lead. The hold goes on until
    /// `is_still` is asked, or for `HOLD_MAX`.
    pub async fn cut(&self) -> Result<Option<TabletCut>, StorageError> {
        if !self.leads_for_certain().await {
            return Ok(None);
        }
        self.hold.begin();
        self.hold.drained().await;
        let (applied, snapshot, bounds) = self.machine.cut()?;
        Ok(applied.map(|applied| TabletCut { snapshot, applied, bounds }))
    }

    /// Ends the hold. Whether the state of the cut is the newest one still.
    pub async fn is_still(&self, cut: &TabletCut) -> bool {
        let is_still = self.leads_for_certain().await
            && self.machine.applied() == Some(cut.applied)
            && !self.awaits_split(*cut.bounds.slots.end());
        self.hold.release();
        is_still
    }

    /// Whether this node leads and nobody else has led since its last entry.
    async fn leads_for_certain(&self) -> bool {
        let until = Instant::now() + HOLD_MAX;
        self.hibernation.touch();
        while self.is_leader() && Instant::now() < until {
            // The applied entry is read first, as for any read.
            let applied = self.machine.applied();
            if self
                .term_if_leader()
                .await
                .is_some_and(|term| applied.is_some_and(|id| id.leader_id.term == term))
            {
                return true;
            }
            tokio::time::sleep(AGAIN_PAUSE).await;
        }
        false
    }
}

impl TabletCut {
    /// Those of the tablet at that moment.
    pub fn slots(&self) -> RangeInclusive<SlotId> {
        self.bounds.slots.clone()
    }

    /// Of a replica that nobody leads: its state as it is. `None` if it has none.
    pub(super) fn of(machine: &Machine) -> Result<Option<TabletCut>, StorageError> {
        let (applied, snapshot, bounds) = machine.cut()?;
        Ok(applied.map(|applied| TabletCut { snapshot, applied, bounds }))
    }

    pub fn open(&self) -> Result<OpenCut, StorageError> {
        let tablet = Tablet::open(&self.snapshot, self.bounds.value_max_bytes, self.bounds.slots.clone())?;
        Ok(OpenCut { tablet, snapshot: self.snapshot.clone() })
    }
}

impl OpenCut {
    pub fn read(&self, read: &Read) -> Result<Reply, StorageError> {
        // No epoch is too old: the slots are those of the cut.
        let reply = self.tablet.read(&self.snapshot, read, u32::MAX)?;
        Ok(reply.unwrap_or(Reply::NotFound))
    }

    /// In their order.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.tablet.namespaces().cloned().collect()
    }
}
