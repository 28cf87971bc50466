//! The birth of a tablet by a split: the rows of its slots stay where they are, under the parent's incarnation; its own rows and its
//! first position reach the disk in the same ingestion as the parent's position behind the split.
//!
//! *Invariant:* the new tablet is opened only once that ingestion is durable. A crash before it leaves the parent before the split,
//! whose log entry is applied again; a crash after it finds both. Nothing in between can have voted or acknowledged.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::SlotId;
use dkc_core::tablet::Changes;

use super::catalog::CatalogEntry;
use super::home::Home;
use super::incarnation::Part;
use super::position::Position;
use super::{Shared, StorageError, TabletStore};

/// A tablet that begins.
pub struct NewTablet {
    pub group: GroupId,
    pub slots: RangeInclusive<SlotId>,
    /// Of the tablet itself.
    pub rows: Changes,
    pub applied: Bytes,
    pub membership: Bytes,
}

/// The same with its place, on its way to the disk.
pub struct Birth {
    pub group: GroupId,
    pub home: Home,
    pub rows: Changes,
    pub position: Position,
    shared: Arc<Shared>,
}

impl Birth {
    /// `None` if this node has a replica of that tablet already, or had one.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        parent: &Home,
        new: NewTablet,
    ) -> Result<Option<Arc<Birth>>, StorageError> {
        let NewTablet { group, slots, rows, applied, membership } = new;
        {
            let catalog = shared.catalog.lock();
            let is_known = catalog.groups.contains_key(&group) || catalog.vote_floors.contains_key(&group);
            if (is_known && !mutant::is_active(Mutant::ChildBornTwice))
                || !shared.being_born.lock().insert(group)
            {
                return Ok(None);
            }
        }
        let own = shared.new_incarnation()?;
        let data = shared.incarnations.keep_part(parent.slots_number(), Part::Slots(slots));
        if mutant::is_active(Mutant::ChildRowsNotKept) {
            shared.incarnations.let_go_of(&data);
        }
        let position = Position { commits: 1, applied: Some(applied), membership: Some(membership) };
        let home = Home::shared(own, data);
        Ok(Some(Arc::new(Birth { group, home, rows, position, shared: shared.clone() })))
    }

    /// In the catalog before its rows are: from the ingestion on, the tablet is there.
    pub(super) fn catalog_entry(&self, commits: u64) -> CatalogEntry {
        CatalogEntry { incarnation: self.home.number(), commits, rows: self.home.shared_rows() }
    }

    /// Its rows are durable.
    pub(super) fn store(&self) -> Result<TabletStore, StorageError> {
        TabletStore::open(self.shared.clone(), self.group, self.home.clone())
    }

    /// The split has no effect here: a snapshot replaced the parent.
    pub(super) fn give_up(&self) {
        self.home.forget();
        self.shared.being_born.lock().remove(&self.group);
    }
}
