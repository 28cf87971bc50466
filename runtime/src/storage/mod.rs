//! The state store of a node. The Raft log is its journal: applied rows stay in memory (`overlay`) until the generation reaches
//! its size or age limit; it is then frozen and ingested, sorted, into the engine (`ingest`). One keyspace holds the rows of all
//! groups, each row prefixed by the incarnation of its replica (`incarnation`).
//!
//! Invariants across crashes and power cuts, and where the code keeps them:
//! - *D1* no acknowledged write is lost: whatever is not yet ingested durably is in the Raft log, which is purged only up to
//!   `TabletStore::durable_applied`; that advances once `Ingestion::finish` has returned (`Ingesting::step`).
//! - *D3* a directory opens only if it has every commit that the catalog counts (`open_stores`).
//! - *D5* rows, applied position, sessions, clock and membership are frozen under one lock and written in one
//!   atomic ingestion (`Overlay::freeze`, `position_rows`, `Engine`).
//! - *D6* an installed snapshot replaces the state by one change of the catalog (`TabletStore::switch_to`).
//! - A tablet that a split begins is there as a whole or not at all (`birth`).
//! - Recovery opens the tables and replays the log from the ingested position: at most two generations.
//!
//! The store does not interpret rows; `dkc_core::tablet` does.

mod birth;
mod budget;
mod cache;
pub mod catalog;
#[cfg(not(feature = "simulation"))]
mod database;
#[cfg(not(feature = "simulation"))]
mod disk;
#[cfg(feature = "simulation")]
#[path = "../simulation/engine.rs"]
mod disk;
pub mod engine;
mod error;
mod home;
pub mod incarnation;
mod ingest;
mod install;
mod layer;
#[cfg(all(test, not(feature = "simulation")))]
mod model_tests;
mod overlay;
mod position;
mod row;
mod snapshot;
#[cfg(all(test, not(feature = "simulation")))]
mod split_tests;
mod tablet;
#[cfg(not(feature = "simulation"))]
mod takeover;
#[cfg(all(test, not(feature = "simulation")))]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::{GroupId, TabletId};
use parking_lot::Mutex;

use budget::Budget;
use catalog::{Catalog, CatalogEntry};
use engine::Engine;
use home::Home;
use incarnation::{Incarnation, Incarnations, Part};
use ingest::Generation;

pub use birth::NewTablet;
pub use budget::Usage;
#[cfg(feature = "simulation")]
pub use disk::has_position_of;
pub use error::StorageError;
pub use install::Install;
pub use row::{ROW_MAX_BYTES, SYSTEM_KIND};
pub use snapshot::{Chunk, TabletSnapshot};
pub use tablet::TabletStore;

/// Limit on replay after a crash, as a multiple of a generation's memory limit: a row that is overwritten takes memory once but is
/// replayed each time.
const REPLAY_PER_GENERATION: u64 = 2;

#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Memory for blocks of tables.
    pub cache_bytes: u64,
    /// Memory for single rows of tables that were looked up, of each group.
    pub group_row_cache_bytes: u64,
    /// Memory for rows that are not ingested yet: two generations.
    pub overlay_bytes: u64,
}

/// A simulation freezes after every few entries.
const SIMULATED_GENERATION_BYTES: u64 = 6 << 10;

impl Default for StorageOptions {
    fn default() -> Self {
        StorageOptions { cache_bytes: 16 << 20, group_row_cache_bytes: 1 << 20, overlay_bytes: 64 << 20 }
    }
}

/// The state of all groups of a node. A handle.
#[derive(Clone)]
pub struct Storage {
    shared: Arc<Shared>,
    stores: Arc<Mutex<BTreeMap<GroupId, TabletStore>>>,
    /// Frozen, and not yet fully ingested.
    generation: Arc<Mutex<Option<Arc<Generation>>>>,
}

struct Shared {
    directory: PathBuf,
    engine: Arc<dyn Engine>,
    catalog: Mutex<Catalog>,
    incarnations: Arc<Incarnations>,
    budget: Budget,
    row_cache_bytes: u64,
    /// Tablets that come of splits, until their beginning is durable.
    being_born: Mutex<BTreeSet<GroupId>>,
    /// Counts those that have been born.
    born: tokio::sync::watch::Sender<u64>,
    /// Held by the task that ingests.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Refuses a state in a format that this program does not know, without opening it: nothing is changed.
#[cfg(not(feature = "simulation"))]
pub fn check_format(directory: &Path) -> Result<(), StorageError> {
    let Some(text) = database::read_catalog(directory)? else { return Ok(()) };
    let found = catalog::version_of(&text, directory)?;
    let is_known = found.parse().is_ok_and(|found| {
        (dkc_core::versions::STATE_FORMAT_OLDEST..=dkc_core::versions::STATE_FORMAT_NEWEST).contains(&found)
    });
    match is_known {
        true => Ok(()),
        false => Err(catalog::unknown_version(found, directory)),
    }
}

impl Storage {
    /// Opens the state in `directory`, or makes an empty one there. Blocks while the engine opens its tables.
    pub fn open(directory: &Path, options: StorageOptions) -> Result<Storage, StorageError> {
        let catalog = Catalog::parse(&disk::prepare(directory, &options)?, directory)?;
        let incarnations = Arc::new(Incarnations::default());
        // Before the engine opens, because it may begin to compact at once.
        let kept: Vec<(GroupId, Home)> =
            catalog.groups.iter().map(|(group, entry)| (*group, home_of(entry, &incarnations))).collect();
        incarnations.end_gaps(catalog.incarnations);
        let generation_bytes = match cfg!(feature = "simulation") {
            true => SIMULATED_GENERATION_BYTES,
            false => (options.overlay_bytes / 2).max(1),
        };
        let shared = Arc::new(Shared {
            directory: directory.into(),
            engine: disk::open(directory, &options, incarnations.clone())?,
            catalog: Mutex::new(catalog),
            incarnations,
            budget: Budget::new(generation_bytes, generation_bytes * REPLAY_PER_GENERATION),
            row_cache_bytes: options.group_row_cache_bytes,
            being_born: Mutex::default(),
            born: tokio::sync::watch::channel(0).0,
            turn: Arc::default(),
        });
        let stores = open_stores(&shared, kept)?;
        Ok(Storage { stores: Arc::new(Mutex::new(stores)), generation: Arc::default(), shared })
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
        let incarnation = self.shared.new_incarnation()?;
        self.shared.name_in_catalog(group, incarnation.number(), 0)?;
        let store = TabletStore::open(Arc::clone(&self.shared), group, Home::whole(incarnation))?;
        stores.insert(group, store.clone());
        Ok(store)
    }

    /// The tablets that have a state here.
    pub fn tablets(&self) -> Vec<TabletId> {
        self.stores.lock().keys().filter_map(|group| group.tablet()).collect()
    }

    /// Whether this tablet has a state here.
    pub fn has_tablet(&self, tablet: TabletId) -> bool {
        self.has_group(tablet.group())
    }

    /// Whether this group has a state here.
    pub fn has_group(&self, group: GroupId) -> bool {
        self.stores.lock().contains_key(&group)
    }

    /// The vote floor that this node recorded when it left a tablet, if it did.
    pub fn vote_floor(&self, tablet: TabletId) -> Option<Bytes> {
        self.shared.catalog.lock().vote_floors.get(&tablet.group()).cloned()
    }

    /// Forgets a tablet's state and keeps `vote_floor` in its place, durably and in one step. Remaining
    /// handles answer `Dropped`; snapshots stay valid. Rows are not deleted one by one: compaction removes them.
    pub fn drop_tablet(&self, tablet: TabletId, vote_floor: Bytes) -> Result<(), StorageError> {
        let mut stores = self.stores.lock();
        let Some(store) = stores.get(&tablet.group()) else { return Ok(()) };
        self.shared.change_catalog(|catalog| {
            catalog.groups.remove(&tablet.group());
            catalog.vote_floors.insert(tablet.group(), vote_floor);
        })?;
        store.end();
        stores.remove(&tablet.group());
        Ok(())
    }

    /// Whether a split has begun this tablet here, and its beginning is not durable yet.
    pub fn is_being_born(&self, tablet: TabletId) -> bool {
        self.shared.being_born.lock().contains(&tablet.group())
    }

    /// Signals each tablet that a split has begun here.
    pub fn births(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.born.subscribe()
    }

    /// Returns when a generation is full and `ingest` has something to do.
    pub async fn wait_until_full(&self) {
        self.shared.budget.wait_until_full().await;
    }

    /// For shutdown: releases all who wait for room, because no ingestion will make any.
    pub fn stop_waiting(&self) {
        self.shared.budget.close();
    }

    pub fn usage(&self) -> Usage {
        self.shared.budget.usage()
    }

    /// The format of the catalog as it is on disk.
    pub fn format_version(&self) -> u32 {
        self.shared.catalog.lock().format_version()
    }

    /// Bytes of the rows on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.shared.engine.disk_bytes()
    }

    /// Free bytes on the disk. The daemon stops acknowledging well before they run out.
    pub fn free_bytes(&self) -> Result<u64, StorageError> {
        self.shared.engine.free_bytes()
    }
}

fn open_stores(
    shared: &Arc<Shared>,
    kept: Vec<(GroupId, Home)>,
) -> Result<BTreeMap<GroupId, TabletStore>, StorageError> {
    let catalog = shared.catalog.lock().clone();
    let mut stores = BTreeMap::new();
    for (group, home) in kept {
        let is_shared = home.shared_rows().is_some();
        let store = TabletStore::open(Arc::clone(shared), group, home)?;
        if is_shared && store.applied().is_none() {
            // It was named, and then a crash came before its beginning was durable: the parent's log has the split.
            shared.change_catalog(|catalog| {
                catalog.groups.remove(&group);
            })?;
            store.end();
            continue;
        }
        let (found, counted) = (store.commits(), catalog.groups.get(&group).map_or(0, |entry| entry.commits));
        if found < counted {
            let why = format!("group {group} has {found} commits, but {counted} were on disk before");
            return Err(shared.damaged(why));
        }
        stores.insert(group, store);
    }
    Ok(stores)
}

fn home_of(entry: &CatalogEntry, incarnations: &Arc<Incarnations>) -> Home {
    match &entry.rows {
        None => Home::whole(incarnations.keep(entry.incarnation)),
        Some(rows) => Home::shared(
            incarnations.keep_part(entry.incarnation, Part::Own),
            incarnations.keep_part(rows.incarnation, Part::Slots(rows.slots.clone())),
        ),
    }
}

impl Shared {
    /// A number never used before, durable before any row is written under it: rows of an interrupted install must not be
    /// mistaken for rows of the next one.
    fn new_incarnation(&self) -> Result<Arc<Incarnation>, StorageError> {
        let mut number = 0;
        self.change_catalog(|catalog| {
            catalog.incarnations += 1;
            number = catalog.incarnations;
        })?;
        Ok(self.incarnations.keep(number))
    }

    fn name_in_catalog(&self, group: GroupId, incarnation: u64, commits: u64) -> Result<(), StorageError> {
        self.change_catalog(|catalog| {
            catalog.groups.insert(group, CatalogEntry { incarnation, commits, rows: None });
        })
    }

    /// Durable when it returns; on an error the catalog is as before.
    fn change_catalog(&self, change: impl FnOnce(&mut Catalog)) -> Result<(), StorageError> {
        let mut catalog = self.catalog.lock();
        let mut changed = catalog.clone();
        change(&mut changed);
        if changed != *catalog {
            self.engine.write_catalog(&changed.render())?;
            *catalog = changed;
        }
        Ok(())
    }

    fn damaged(&self, why: String) -> StorageError {
        StorageError::Damaged { path: self.directory.clone(), why }
    }
}
