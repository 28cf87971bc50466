//! Installing a snapshot: rows are ingested under a new incarnation, and one line of the catalog makes it the state.
//!
//! *Invariant (D6):* until `finish` has returned, the old state serves; a crash before that leaves rows of an incarnation that the
//! catalog does not name, which are never read and which compaction removes.

use bytes::Bytes;
use dkc_core::mutant::{self, Mutant};

use super::StorageError;
use super::engine::Ingestion;
use super::home::Home;
use super::position::Position;
use super::row::check_row;
use super::tablet::TabletStore;

/// An incoming snapshot. Dropped before `finish`, it has no effect.
pub struct Install {
    store: TabletStore,
    home: Home,
    ingestion: Option<Box<dyn Ingestion>>,
    last_row: Option<Bytes>,
    is_state: bool,
}

impl Install {
    /// Begins to install a snapshot of another replica.
    pub fn begin(store: TabletStore) -> Result<Install, StorageError> {
        let old = store.home()?;
        let home = match mutant::is_active(Mutant::InstallUnderOldIncarnation) {
            true => old,
            false => Home::whole(store.shared().new_incarnation()?),
        };
        let ingestion = Some(store.shared().engine.begin()?);
        Ok(Install { store, home, ingestion, last_row: None, is_state: false })
    }

    /// The next rows, in ascending order across all chunks. Blocks while the disk is behind.
    pub fn add_chunk(&mut self, rows: Vec<(Bytes, Bytes)>) -> Result<(), StorageError> {
        for (row, value) in &rows {
            check_row(row, Some(value))?;
            if self.last_row.as_ref().is_some_and(|last| last >= row) {
                return Err(StorageError::InstallFailed("the rows of the snapshot are not in order".into()));
            }
            self.last_row = Some(row.clone());
        }
        let rows = rows.into_iter().map(|(row, value)| (self.home.key(&row), Some(value))).collect();
        let ingestion = self.ingestion.as_mut().ok_or_else(ended)?;
        ingestion.write(rows)
    }

    /// Makes the new rows the state of the group, durably.
    pub fn finish(mut self, applied: Bytes, membership: Option<Bytes>) -> Result<(), StorageError> {
        let position = Position { commits: self.store.commits() + 1, applied: Some(applied), membership };
        self.register(&position)?;
        self.switch(position)
    }

    pub(super) fn switch(&mut self, position: Position) -> Result<(), StorageError> {
        self.store.switch_to(self.home.clone(), position)?;
        self.is_state = true;
        Ok(())
    }

    /// The rows are on disk, and not the state yet.
    pub(super) fn register(&mut self, position: &Position) -> Result<(), StorageError> {
        let mut ingestion = self.ingestion.take().ok_or_else(ended)?;
        ingestion.write(self.home.position_rows(position))?;
        ingestion.finish()
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        if self.is_state {
            return;
        }
        // An ingestion that was begun is registered, so that its files have an owner that can give them back.
        // An error changes nothing: the catalog does not name the incarnation.
        if let Some(Err(error)) = self.ingestion.take().map(|ingestion| ingestion.finish()) {
            tracing::warn!(%error, "a snapshot that was given up leaves files until the next start");
        }
        self.home.forget();
    }
}

fn ended() -> StorageError {
    StorageError::InstallFailed("it has ended".into())
}
