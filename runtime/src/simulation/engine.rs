//! The state store's engine on a simulated disk: an ordered map that an ingestion changes in one step. Everything
//! above it is the daemon's own code: freezing, the steps of an ingestion, reading, installing and the catalog.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::GroupId;

use super::catalog::{Catalog, CatalogEntry};
use super::engine::{Engine, IngestedRow, Ingestion, View, Visit};
use super::incarnation::{self, Incarnations};
use super::row::APPLIED_ROW;
use super::{StorageError, StorageOptions};
use crate::simulation::disk::{Disk, StateDisk};
use crate::simulation::process::Process;
use crate::simulation::world;

const FREE_BYTES: u64 = 1 << 40;
/// Percentage of ingestions that are followed by a full compaction.
const COMPACTION_PERCENT: u64 = 30;

type RowsImage = Arc<BTreeMap<Vec<u8>, Bytes>>;

pub fn prepare(_: &Path, _: &StorageOptions) -> Result<String, StorageError> {
    let process = Process::current().expect("a state store belongs to a process");
    let disk = world().disk(&process.host);
    let mut disk = disk.lock();
    Ok(disk.state.catalog.get_or_insert_with(|| Catalog::default().render()).clone())
}

pub fn open(
    _: &Path,
    _: &StorageOptions,
    incarnations: Arc<Incarnations>,
) -> Result<Arc<dyn Engine>, StorageError> {
    let process = Process::current().expect("a state store belongs to a process");
    let disk = world().disk(&process.host);
    Ok(Arc::new(Simulated { process, disk, incarnations }))
}

/// Whether a disk has rows of a group, with their position.
pub fn has_position_of(state: &StateDisk, group: GroupId) -> bool {
    let catalog = state.catalog.as_deref().map(|text| Catalog::parse(text, Path::new("catalog")));
    let Some(Ok(catalog)) = catalog else { return false };
    let key = |entry: &CatalogEntry| [&incarnation::prefix(entry.incarnation)[..], APPLIED_ROW].concat();
    catalog.groups.get(&group).is_some_and(|entry| state.rows.contains_key(&key(entry)))
}

#[derive(Clone)]
struct Simulated {
    process: Arc<Process>,
    disk: Arc<Disk>,
    incarnations: Arc<Incarnations>,
}

impl Simulated {
    fn rows(&self) -> RowsImage {
        self.disk.lock().state.rows.clone()
    }
}

struct Moment(RowsImage);

impl View for Moment {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StorageError> {
        for (key, value) in self.0.range(from.to_vec()..to.to_vec()) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl View for Simulated {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Moment(self.rows()).get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StorageError> {
        Moment(self.rows()).scan(from, to, visit)
    }
}

impl Engine for Simulated {
    fn view(&self) -> Box<dyn View> {
        Box::new(Moment(self.rows()))
    }

    fn begin(&self) -> Result<Box<dyn Ingestion>, StorageError> {
        Ok(Box::new(Loading { engine: self.clone(), rows: Vec::new() }))
    }

    fn forget(&self, from: &[u8], to: &[u8]) -> Result<(), StorageError> {
        if self.process.is_alive() {
            let mut disk = self.disk.lock();
            Arc::make_mut(&mut disk.state.rows).retain(|key, _| key[..] < *from || key[..] >= *to);
        }
        Ok(())
    }

    fn write_catalog(&self, text: &str) -> Result<(), StorageError> {
        if self.process.is_alive() {
            self.disk.lock().state.catalog = Some(text.to_owned());
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, StorageError> {
        Ok(FREE_BYTES)
    }

    fn disk_bytes(&self) -> u64 {
        self.rows().iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

struct Loading {
    engine: Simulated,
    rows: Vec<IngestedRow>,
}

impl Ingestion for Loading {
    fn write(&mut self, rows: Vec<IngestedRow>) -> Result<(), StorageError> {
        for (key, value) in rows {
            let is_behind = self.rows.last().is_none_or(|(last, _)| *last < key);
            assert!(is_behind, "the engine ends the process when keys do not ascend");
            self.rows.push((key, value));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StorageError> {
        if !self.engine.process.is_alive() {
            return Ok(());
        }
        let is_compacted = world().chance(COMPACTION_PERCENT);
        let mut disk = self.engine.disk.lock();
        let rows = Arc::make_mut(&mut disk.state.rows);
        for (key, value) in self.rows {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        if is_compacted {
            rows.retain(|key, _| self.engine.incarnations.is_kept(key));
        }
        Ok(())
    }
}
