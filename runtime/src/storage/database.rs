//! Opening fjall's database and its one keyspace, the compaction filter that goes with it, and the catalog's file beside it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};
use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use super::incarnation::{Incarnations, number_of};
use super::{StorageError, StorageOptions};

pub const ENGINE_DIRECTORY: &str = "fjall";
pub const ROWS_KEYSPACE: &str = "rows";
const CATALOG_FILE: &str = "catalog";
const CATALOG_MODE: u32 = 0o600;
/// Compaction. Two, so that a large one does not hold up all small ones.
const WORKER_THREADS: usize = 2;
/// Open table files.
const OPEN_FILES_MAX: usize = 256;
/// Larger values lie in files of their own, which a compaction of their keys does not copy.
const SEPARATE_FROM_BYTES: u32 = 4096;

pub fn open_database(
    directory: &Path,
    options: &StorageOptions,
    incarnations: Option<Arc<Incarnations>>,
) -> Result<Database, StorageError> {
    let factory = incarnations.map(|incarnations| Arc::new(KeepIncarnations(incarnations)));
    let factory_of = move |name: &str| {
        let factory = factory.clone().filter(|_| name == ROWS_KEYSPACE);
        factory.map(|factory| factory as Arc<dyn Factory>)
    };
    Database::builder(directory.join(ENGINE_DIRECTORY))
        .cache_size(options.cache_bytes)
        .worker_threads(WORKER_THREADS)
        .max_cached_files(Some(OPEN_FILES_MAX))
        .with_compaction_filter_factories(Arc::new(factory_of))
        .open()
        .map_err(StorageError::engine("recover"))
}

pub fn rows_keyspace(database: &Database) -> Result<Keyspace, StorageError> {
    let separation = KvSeparationOptions::default().separation_threshold(SEPARATE_FROM_BYTES);
    let options = || KeyspaceCreateOptions::default().with_kv_separation(Some(separation.clone()));
    database.keyspace(ROWS_KEYSPACE, options).map_err(StorageError::engine("open a keyspace"))
}

pub fn read_catalog(directory: &Path) -> Result<Option<String>, StorageError> {
    let path = directory.join(CATALOG_FILE);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("read", path)(error)),
    }
}

/// Durable when it returns.
pub fn write_catalog(directory: &Path, text: &str) -> Result<(), StorageError> {
    let path = directory.join(CATALOG_FILE);
    crate::durable_file::replace(&path, text.as_bytes(), CATALOG_MODE)
        .map_err(StorageError::io("write", path.clone()))
}

/// Drops rows of incarnations that are not kept, during compaction.
struct KeepIncarnations(Arc<Incarnations>);

impl std::panic::RefUnwindSafe for KeepIncarnations {}

impl Factory for KeepIncarnations {
    fn name(&self) -> &str {
        "incarnations"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Filter { incarnations: self.0.clone(), last: None })
    }
}

struct Filter {
    incarnations: Arc<Incarnations>,
    /// Rows come in order, so that an incarnation that is not shared is asked for once or twice.
    last: Option<(u64, bool)>,
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        let key = item.key();
        let Some(number) = number_of(key) else { return Ok(Verdict::Keep) };
        let is_kept = match self.last {
            Some((last, is_kept)) if last == number => is_kept,
            _ => match self.incarnations.keeps_all(number) {
                Some(is_kept) => {
                    self.last = Some((number, is_kept));
                    is_kept
                }
                None => self.incarnations.is_kept(key),
            },
        };
        // Without a tombstone: older rows of the same incarnation, and of the same slots in it, go the same way; no number
        // and no slot of it is given twice.
        Ok(if is_kept { Verdict::Keep } else { Verdict::Destroy })
    }
}
