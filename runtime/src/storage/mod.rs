//! The state of the groups of a node, kept by fjall: one keyspace for each tablet and one for the meta group.
//!
//! *Invariant (D5):* see `TabletStore::commit`: one batch, one applied position.
//! *Invariant:* commits reach the disk with `persist` only; until then the Raft log holds them, so it is purged
//! only up to `TabletStore::persisted_applied`.
//! *Invariant (D3):* a directory opens only if every commit that was persisted is there.
//!
//! What is absent: any meaning of the rows. `dkc_core::tablet` gives them theirs.

mod cache;
mod catalog;
mod error;
mod install;
mod tablet;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::{GroupId, TabletId};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;

use catalog::{Catalog, Entry};
pub use error::StorageError;
pub use install::Install;
pub use tablet::{Chunk, ROW_MAX_BYTES, SYSTEM_KIND, TabletSnapshot, TabletStore};

const ENGINE_DIRECTORY: &str = "fjall";
/// A memtable smaller than this is flushed so often that compaction takes over the disk; one larger makes
/// recovery after a crash long (64 tablets with the engine's default of 64 MiB: 6 s, with 1 MiB: 1 s).
const MEMTABLE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 20;
/// Sealed journals beyond this make the engine flush the tablets that still need the oldest one. The engine's
/// least; it bounds what recovery reads.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// Flushing and compaction. One of them always stays free to flush.
const WORKER_THREADS: usize = 2;
/// Open table files: 12 tablets have a few dozen.
const OPEN_FILES_MAX: usize = 256;

#[derive(Debug, Clone)]
pub struct StorageOptions {
    pub cache_bytes: u64,
    /// Memory for rows that are not in table files yet, of all tablets together.
    pub memtable_bytes: u64,
    /// Memory for rows that were looked up lately, of all tablets together.
    pub row_cache_bytes: u64,
    /// How many tablets are expected on this node: they share the memory.
    pub tablets: u16,
}

impl Default for StorageOptions {
    fn default() -> Self {
        StorageOptions {
            cache_bytes: 16 << 20,
            memtable_bytes: 32 << 20,
            row_cache_bytes: 32 << 20,
            tablets: 12,
        }
    }
}

/// The state of all groups of a node. A handle.
#[derive(Clone)]
pub struct Storage {
    shared: Arc<Shared>,
    stores: Arc<Mutex<BTreeMap<GroupId, TabletStore>>>,
}

struct Shared {
    directory: PathBuf,
    database: Database,
    catalog: Mutex<Catalog>,
    /// Of one tablet.
    memtable_bytes: u64,
    row_cache_bytes: u64,
}

impl Storage {
    /// Opens the state in `directory`, or makes an empty one there. Blocks while the engine recovers.
    pub fn open(directory: &Path, options: StorageOptions) -> Result<Storage, StorageError> {
        fs::create_dir_all(directory).map_err(StorageError::io("make", directory))?;
        let engine_directory = directory.join(ENGINE_DIRECTORY);
        let catalog = read_catalog(directory, &engine_directory)?;
        let database = Database::builder(&engine_directory)
            .cache_size(options.cache_bytes)
            .worker_threads(WORKER_THREADS)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()
            .map_err(StorageError::engine("recover"))?;
        let tablets = u64::from(options.tablets.max(1));
        let memtable_bytes = options.memtable_bytes / tablets;
        let shared = Arc::new(Shared {
            directory: directory.into(),
            database,
            catalog: Mutex::new(catalog),
            memtable_bytes: memtable_bytes.clamp(*MEMTABLE_BYTES.start(), *MEMTABLE_BYTES.end()),
            row_cache_bytes: options.row_cache_bytes / tablets,
        });
        shared.remove_unnamed_keyspaces()?;
        let storage = Storage { stores: Arc::new(Mutex::new(open_stores(&shared)?)), shared };
        match storage.persist() {
            // What the catalog says stays true: it names the least that must be there.
            Err(error) if error.is_disk_full() => {
                tracing::warn!(%error, "state store opened on a full disk")
            }
            other => other?,
        }
        Ok(storage)
    }

    /// The state of a tablet, made empty if this node has none.
    pub fn tablet(&self, tablet: TabletId) -> Result<TabletStore, StorageError> {
        self.group(tablet.group())
    }

    /// The state of the meta group.
    pub fn meta(&self) -> Result<TabletStore, StorageError> {
        self.group(GroupId::META)
    }

    /// The state of any group, made empty if this node has none.
    pub fn group(&self, group: GroupId) -> Result<TabletStore, StorageError> {
        let mut stores = self.stores.lock();
        if let Some(store) = stores.get(&group) {
            return Ok(store.clone());
        }
        let (incarnation, keyspace) = self.shared.new_keyspace(group)?;
        self.shared.name_in_catalog(group, incarnation, 0)?;
        let store = TabletStore::open(Arc::clone(&self.shared), group, incarnation, keyspace)?;
        stores.insert(group, store.clone());
        Ok(store)
    }

    /// The tablets that have a state here.
    pub fn tablets(&self) -> Vec<TabletId> {
        self.stores.lock().keys().filter_map(|group| group.tablet()).collect()
    }

    /// What this node promised when it left a tablet, if it did.
    pub fn vote_floor(&self, tablet: TabletId) -> Option<Bytes> {
        self.shared.catalog.lock().vote_floors.get(&tablet.group()).cloned()
    }

    /// Removes a tablet's state and keeps `vote_floor` in its place, durably and in one step. Handles that are still
    /// held answer `Dropped`; snapshots live on.
    pub fn drop_tablet(&self, tablet: TabletId, vote_floor: Bytes) -> Result<(), StorageError> {
        let mut stores = self.stores.lock();
        let Some(store) = stores.get(&tablet.group()) else { return Ok(()) };
        self.shared.change_catalog(|catalog| {
            catalog.groups.remove(&tablet.group());
            catalog.vote_floors.insert(tablet.group(), vote_floor);
        })?;
        if let Some(keyspace) = store.take_keyspace() {
            self.shared.remove_keyspace(keyspace);
        }
        stores.remove(&tablet.group());
        Ok(())
    }

    /// Makes everything committed so far durable, without blocking commits. Blocks for an fsync or two.
    pub fn persist(&self) -> Result<(), StorageError> {
        let stores: Vec<TabletStore> = self.stores.lock().values().cloned().collect();
        let before: Vec<_> = stores.iter().map(|store| store.position()).collect();
        self.shared.database.persist(PersistMode::SyncAll).map_err(StorageError::engine("sync"))?;
        self.shared.change_catalog(|catalog| {
            for (store, (incarnation, position)) in stores.iter().zip(&before) {
                // A group that was replaced or dropped meanwhile is none of ours.
                if let Some(entry) =
                    catalog.groups.get_mut(&store.group()).filter(|entry| entry.incarnation == *incarnation)
                {
                    entry.commits = entry.commits.max(position.commits);
                }
            }
        })?;
        for (store, (_, position)) in stores.iter().zip(before) {
            store.persisted(position.commits, position.applied);
        }
        Ok(())
    }

    /// Bytes that the disk still has for us. The engine takes no more writes once it has met a full disk, so
    /// the daemon stops acknowledging well before.
    pub fn free_bytes(&self) -> Result<u64, StorageError> {
        let directory = &self.shared.directory;
        let disk = nix::sys::statvfs::statvfs(directory)
            .map_err(|errno| StorageError::io("look at the disk of", directory)(errno.into()))?;
        Ok(disk.blocks_available() as u64 * disk.fragment_size() as u64)
    }
}

fn read_catalog(directory: &Path, engine_directory: &Path) -> Result<Catalog, StorageError> {
    if let Some(catalog) = Catalog::read(directory)? {
        return Ok(catalog);
    }
    if engine_directory.exists() {
        let why = "there are rows but no catalog that says whose they are".to_owned();
        return Err(StorageError::Damaged { path: directory.into(), why });
    }
    let catalog = Catalog::default();
    catalog.write(directory)?;
    Ok(catalog)
}

fn open_stores(shared: &Arc<Shared>) -> Result<BTreeMap<GroupId, TabletStore>, StorageError> {
    let catalog = shared.catalog.lock().clone();
    let mut stores = BTreeMap::new();
    for (group, Entry { incarnation, commits }) in catalog.groups {
        let name = Catalog::keyspace_name(group, incarnation);
        let is_there = shared.database.keyspace_exists(&name);
        let damaged = |why: String| StorageError::Damaged { path: shared.directory.clone(), why };
        if !is_there && commits > 0 {
            return Err(damaged(format!("the rows of group {group} are missing")));
        }
        let keyspace = shared.open_keyspace(&name)?;
        let store = TabletStore::open(Arc::clone(shared), group, incarnation, keyspace)?;
        if store.commits() < commits {
            let why =
                format!("group {group} has {} commits, but {commits} were on disk before", store.commits());
            return Err(damaged(why));
        }
        stores.insert(group, store);
    }
    Ok(stores)
}

impl Shared {
    /// A keyspace that the catalog does not name yet.
    fn new_keyspace(&self, group: GroupId) -> Result<(u64, Keyspace), StorageError> {
        let incarnation = {
            let mut catalog = self.catalog.lock();
            catalog.incarnations += 1;
            catalog.incarnations
        };
        Ok((incarnation, self.open_keyspace(&Catalog::keyspace_name(group, incarnation))?))
    }

    fn open_keyspace(&self, name: &str) -> Result<Keyspace, StorageError> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(self.memtable_bytes);
        self.database.keyspace(name, options).map_err(StorageError::engine("open a keyspace"))
    }

    fn name_in_catalog(&self, group: GroupId, incarnation: u64, commits: u64) -> Result<(), StorageError> {
        self.change_catalog(|catalog| {
            catalog.groups.insert(group, Entry { incarnation, commits });
        })
    }

    /// Durable when it returns; on an error the catalog is as before.
    fn change_catalog(&self, change: impl FnOnce(&mut Catalog)) -> Result<(), StorageError> {
        let mut catalog = self.catalog.lock();
        let mut changed = catalog.clone();
        change(&mut changed);
        if changed != *catalog {
            changed.write(&self.directory)?;
            *catalog = changed;
        }
        Ok(())
    }

    /// What an interrupted install, creation or removal left behind.
    fn remove_unnamed_keyspaces(&self) -> Result<(), StorageError> {
        let catalog = self.catalog.lock();
        let named = |(group, entry): (&GroupId, &Entry)| Catalog::keyspace_name(*group, entry.incarnation);
        let named: Vec<String> = catalog.groups.iter().map(named).collect();
        for name in self.database.list_keyspace_names() {
            if !named.iter().any(|named| **named == *name) {
                tracing::info!(keyspace = %name, "removing orphaned keyspace");
                let keyspace = self.open_keyspace(&name)?;
                self.database.delete_keyspace(keyspace).map_err(StorageError::engine("remove a keyspace"))?;
            }
        }
        Ok(())
    }
}
