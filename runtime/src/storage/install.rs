//! Taking over a snapshot: rows go into a new keyspace, and one rename of the catalog makes it the state.
//!
//! *Invariant (D6):* until `finish` has returned, the old state stays and serves; a crash at any moment before
//! leaves a keyspace that the catalog does not name, which is removed at the next opening.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use fjall::Keyspace;

use super::tablet::{APPLIED_ROW, MEMBERSHIP_ROW, TabletStore, check_row, encode_applied};
use super::{Shared, StorageError};

/// Chunks on their way to the disk: one being written and one waiting, so that memory stays small.
const CHUNKS_WAITING: usize = 1;

type Rows = Vec<(Bytes, Bytes)>;

/// A snapshot on its way in. Dropped before `finish`, it leaves nothing.
pub struct Install {
    store: TabletStore,
    incarnation: u64,
    keyspace: Option<Keyspace>,
    chunks: Option<SyncSender<Rows>>,
    /// The engine's bulk load borrows the keyspace, so it lives on a thread of its own.
    loader: Option<JoinHandle<Result<(), StorageError>>>,
    last_row: Option<Bytes>,
}

impl TabletStore {
    /// Starts to install a snapshot of another replica.
    pub fn begin_install(&self) -> Result<Install, StorageError> {
        self.keyspace()?;
        Install::begin(self.clone())
    }
}

impl Install {
    fn begin(store: TabletStore) -> Result<Install, StorageError> {
        let (incarnation, keyspace) = store.shared().new_keyspace(store.group())?;
        let (chunks, receiver) = sync_channel(CHUNKS_WAITING);
        let target = keyspace.clone();
        let loader = std::thread::Builder::new()
            .name("state-install".into())
            .spawn(move || load(&target, &receiver))
            .map_err(StorageError::io("start a thread for", store.shared().directory.clone()))?;
        Ok(Install {
            store,
            incarnation,
            keyspace: Some(keyspace),
            chunks: Some(chunks),
            loader: Some(loader),
            last_row: None,
        })
    }

    /// The next rows, in ascending order across all chunks. Blocks while the disk is behind.
    pub fn add_chunk(&mut self, rows: Rows) -> Result<(), StorageError> {
        for (row, value) in &rows {
            check_row(row, Some(value))?;
            if self.last_row.as_ref().is_some_and(|last| last >= row) {
                return Err(StorageError::InstallFailed("the rows of the snapshot are not in order".into()));
            }
            self.last_row = Some(row.clone());
        }
        self.send(rows)
    }

    /// Makes the new rows the state of the group, durably.
    pub fn finish(mut self, applied: Bytes, membership: Option<Bytes>) -> Result<(), StorageError> {
        let commits = self.store.commits() + 1;
        let mut rows = vec![(Bytes::from_static(APPLIED_ROW), encode_applied(commits, &applied))];
        rows.extend(membership.clone().map(|value| (Bytes::from_static(MEMBERSHIP_ROW), value)));
        self.send(rows)?;
        self.end_loading()?;
        let Some(keyspace) = self.keyspace.take() else { return Ok(()) };
        self.store.switch_to(keyspace, self.incarnation, commits, applied, membership)
    }

    fn send(&mut self, rows: Rows) -> Result<(), StorageError> {
        let is_taken = self.chunks.as_ref().is_some_and(|chunks| chunks.send(rows).is_ok());
        // The loader ends before its time only with an error.
        if is_taken { Ok(()) } else { self.end_loading().and(Err(gave_up())) }
    }

    #[cfg(test)]
    pub(super) fn end_loading_for_test(&mut self) {
        self.end_loading().unwrap();
        let (chunks, receiver) = sync_channel(CHUNKS_WAITING);
        let target = self.keyspace.clone().unwrap();
        self.chunks = Some(chunks);
        self.loader = Some(std::thread::spawn(move || load(&target, &receiver)));
    }

    fn end_loading(&mut self) -> Result<(), StorageError> {
        self.chunks = None;
        self.loader.take().map_or(Ok(()), |loader| loader.join().unwrap_or_else(|_| Err(gave_up())))
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        let is_given_up = self.keyspace.is_some();
        if is_given_up {
            // An error here changes nothing: the keyspace has no name in the catalog and goes at the next start.
            let _ = self.end_loading();
        }
        if let Some(keyspace) = self.keyspace.take() {
            self.store.shared().remove_keyspace(keyspace);
        }
    }
}

fn gave_up() -> StorageError {
    StorageError::InstallFailed("the loader has ended".into())
}

fn load(keyspace: &Keyspace, chunks: &Receiver<Rows>) -> Result<(), StorageError> {
    let error = || StorageError::engine("load a snapshot");
    let mut ingestion = keyspace.start_ingestion().map_err(error())?;
    while let Ok(rows) = chunks.recv() {
        for (row, value) in rows {
            ingestion.write(row.as_ref(), value.as_ref()).map_err(error())?;
        }
    }
    ingestion.finish().map_err(error())
}

impl Shared {
    /// Best effort: what stays is removed at the next opening.
    pub(super) fn remove_keyspace(&self, keyspace: Keyspace) {
        let name = keyspace.name().to_string();
        if let Err(error) = self.database.delete_keyspace(keyspace) {
            tracing::warn!(keyspace = %name, %error, "keyspace not removed; the next start removes it");
        }
    }
}
