//! The state store on a simulated disk: one atomic commit after the other in the page cache, durable with `persist`.

#[path = "../storage/error.rs"]
mod error;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::{GroupId, TabletId};
use dkc_core::tablet::{Changes, Rows};
use parking_lot::Mutex;

use crate::simulation::disk::{Commit, Disk, RowsImage, StateImage};
use crate::simulation::process::Process;
use crate::simulation::{Mutant, is_active, world};

pub use error::StorageError;

/// Rows that a snapshot never carries in the real store are none here: applied position and membership stand apart.
const FREE_BYTES: u64 = 1 << 40;

#[derive(Debug, Clone, Default)]
pub struct StorageOptions {
    pub cache_bytes: u64,
    pub memtable_bytes: u64,
    pub tablets: u16,
}

#[derive(Clone)]
pub struct Storage {
    shared: Arc<Shared>,
}

struct Shared {
    process: Arc<Process>,
    disk: Arc<Disk>,
    stores: Mutex<BTreeMap<GroupId, TabletStore>>,
}

#[derive(Clone)]
pub struct TabletStore {
    group: GroupId,
    shared: Arc<Shared>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    image: StateImage,
    persisted_commits: u64,
    persisted_applied: Option<Bytes>,
    is_dropped: bool,
}

impl State {
    fn persisted(image: StateImage) -> State {
        let (persisted_commits, persisted_applied) = (image.commits, image.applied.clone());
        State { image, persisted_commits, persisted_applied, is_dropped: false }
    }
}

impl Storage {
    pub fn open(_: &Path, _: StorageOptions) -> Result<Storage, StorageError> {
        let process = Process::current().expect("a state store belongs to a process");
        let disk = world().disk(&process.host);
        let images = {
            let mut disk = disk.lock();
            // As the real store does, which syncs all that it reads back.
            disk.state.sync(usize::MAX);
            disk.state.synced.clone()
        };
        let shared = Arc::new(Shared { process, disk, stores: Mutex::default() });
        let open = |(group, image)| {
            let state = Arc::new(Mutex::new(State::persisted(image)));
            (group, TabletStore { group, shared: shared.clone(), state })
        };
        *shared.stores.lock() = images.into_iter().map(open).collect();
        Ok(Storage { shared })
    }

    pub fn tablet(&self, tablet: TabletId) -> Result<TabletStore, StorageError> {
        self.group(tablet.group())
    }

    pub fn meta(&self) -> Result<TabletStore, StorageError> {
        self.group(GroupId::META)
    }

    pub fn group(&self, group: GroupId) -> Result<TabletStore, StorageError> {
        let mut stores = self.shared.stores.lock();
        if let Some(store) = stores.get(&group) {
            return Ok(store.clone());
        }
        let image = self.shared.new_image();
        self.shared.name(group, image.clone());
        let state = Arc::new(Mutex::new(State::persisted(image)));
        let store = TabletStore { group, shared: self.shared.clone(), state };
        stores.insert(group, store.clone());
        Ok(store)
    }

    pub fn tablets(&self) -> Vec<TabletId> {
        self.shared.stores.lock().keys().filter_map(|group| group.tablet()).collect()
    }

    pub fn vote_floor(&self, tablet: TabletId) -> Option<Bytes> {
        self.shared.disk.lock().state.left.get(&tablet.group()).cloned()
    }

    pub fn drop_tablet(&self, tablet: TabletId, vote_floor: Bytes) -> Result<(), StorageError> {
        let Some(store) = self.shared.stores.lock().remove(&tablet.group()) else { return Ok(()) };
        store.state.lock().is_dropped = true;
        if self.shared.process.is_alive() {
            let mut disk = self.shared.disk.lock();
            disk.state.synced.remove(&tablet.group());
            disk.state.left.insert(tablet.group(), vote_floor);
        }
        Ok(())
    }

    pub fn persist(&self) -> Result<(), StorageError> {
        if !self.shared.process.is_alive() {
            return Ok(());
        }
        if !is_active(Mutant::PurgeBeyondPersisted) {
            self.shared.disk.lock().state.sync(usize::MAX);
        }
        for store in self.shared.stores.lock().values() {
            let mut state = store.state.lock();
            state.persisted_commits = state.image.commits;
            state.persisted_applied = state.image.applied.clone();
        }
        Ok(())
    }

    pub fn free_bytes(&self) -> Result<u64, StorageError> {
        Ok(FREE_BYTES)
    }
}

impl Shared {
    fn new_image(&self) -> StateImage {
        let mut disk = self.disk.lock();
        disk.state.incarnations += 1;
        StateImage { incarnation: disk.state.incarnations, ..StateImage::default() }
    }

    /// Durable at once, as the catalog of the real store.
    fn name(&self, group: GroupId, image: StateImage) {
        if self.process.is_alive() {
            self.disk.lock().state.synced.insert(group, image);
        }
    }
}

impl TabletStore {
    pub fn group(&self) -> GroupId {
        self.group
    }

    pub fn commit(
        &self,
        changes: Changes,
        applied: Bytes,
        membership: Option<Bytes>,
    ) -> Result<(), StorageError> {
        if !self.shared.process.is_alive() {
            return Ok(());
        }
        let mut state = self.live()?;
        let (group, incarnation) = (self.group, state.image.incarnation);
        let commit = Commit { group, incarnation, changes, applied: Some(applied), membership };
        let mut disk = self.shared.disk.lock();
        if is_active(Mutant::AppliedOutsideBatch) {
            let position = Commit { changes: Changes::new(), membership: None, ..commit.clone() };
            disk.state.written.push_back(position);
        }
        disk.state.written.push_back(commit.clone());
        state.image.take(commit);
        Ok(())
    }

    pub fn applied(&self) -> Option<Bytes> {
        self.state.lock().image.applied.clone()
    }

    pub fn membership(&self) -> Option<Bytes> {
        self.state.lock().image.membership.clone()
    }

    pub fn persisted_applied(&self) -> Option<Bytes> {
        self.state.lock().persisted_applied.clone()
    }

    pub fn snapshot(&self) -> Result<TabletSnapshot, StorageError> {
        Ok(TabletSnapshot { image: self.live()?.image.clone() })
    }

    pub fn begin_install(&self) -> Result<Install, StorageError> {
        drop(self.live()?);
        Ok(Install { store: self.clone(), rows: BTreeMap::new() })
    }

    pub fn disk_bytes(&self) -> u64 {
        let state = self.state.lock();
        state.image.rows.iter().map(|(row, value)| (row.len() + value.len()) as u64).sum()
    }

    fn live(&self) -> Result<parking_lot::MutexGuard<'_, State>, StorageError> {
        let state = self.state.lock();
        match state.is_dropped {
            true => Err(StorageError::Dropped(format!("the state of group {}", self.group))),
            false => Ok(state),
        }
    }
}

fn get(rows: &RowsImage, row: &[u8]) -> Option<Bytes> {
    rows.get(row).cloned()
}

fn scan(rows: &RowsImage, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
    for (row, value) in rows.range(from.to_vec()..) {
        if !visit(row, value) {
            return;
        }
    }
}

impl Rows for TabletStore {
    type Error = StorageError;

    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(get(&self.live()?.image.rows, row))
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StorageError> {
        let rows = self.live()?.image.rows.clone();
        scan(&rows, from, visit);
        Ok(())
    }
}

#[derive(Clone)]
pub struct TabletSnapshot {
    image: StateImage,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    pub rows: Vec<(Bytes, Bytes)>,
    pub next: Option<Bytes>,
}

impl TabletSnapshot {
    pub fn applied(&self) -> Result<Option<Bytes>, StorageError> {
        Ok(self.image.applied.clone())
    }

    pub fn membership(&self) -> Result<Option<Bytes>, StorageError> {
        Ok(self.image.membership.clone())
    }

    pub fn chunk(&self, after: Option<&[u8]>, bytes_max: usize) -> Result<Chunk, StorageError> {
        let (mut chunk, mut bytes) = (Chunk::default(), 0);
        let from = after.map_or_else(Vec::new, |after| [after, &[0]].concat());
        scan(&self.image.rows, &from, &mut |row, value| {
            if bytes >= bytes_max {
                chunk.next = chunk.rows.last().map(|(row, _): &(Bytes, Bytes)| row.clone());
                return false;
            }
            bytes += row.len() + value.len();
            chunk.rows.push((Bytes::copy_from_slice(row), Bytes::copy_from_slice(value)));
            true
        });
        Ok(chunk)
    }
}

impl Rows for TabletSnapshot {
    type Error = StorageError;

    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(get(&self.image.rows, row))
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StorageError> {
        scan(&self.image.rows, from, visit);
        Ok(())
    }
}

/// A snapshot on its way in.
pub struct Install {
    store: TabletStore,
    rows: BTreeMap<Vec<u8>, Bytes>,
}

impl Install {
    pub fn add_chunk(&mut self, rows: Vec<(Bytes, Bytes)>) -> Result<(), StorageError> {
        for (row, value) in rows {
            if self.rows.last_key_value().is_some_and(|(last, _)| last[..] >= row[..]) {
                return Err(StorageError::InstallFailed("the rows of the snapshot are not in order".into()));
            }
            self.rows.insert(row.to_vec(), value);
        }
        Ok(())
    }

    pub fn finish(self, applied: Bytes, membership: Option<Bytes>) -> Result<(), StorageError> {
        let incarnation = self.store.shared.new_image().incarnation;
        let mut state = self.store.live()?;
        let image = StateImage {
            incarnation,
            rows: Arc::new(self.rows),
            applied: Some(applied),
            membership,
            commits: state.image.commits + 1,
        };
        self.store.shared.name(self.store.group, image.clone());
        *state = State::persisted(image);
        Ok(())
    }
}
