//! fjall as the engine: one keyspace, filled by ingestion only, so that its journal stays empty. Beside its directory lies
//! the catalog, a small file that is replaced by rename.
//!
//! Relied on, and verified in fjall 3.1.13 and lsm-tree 3.1.10: an ingestion writes tables and blob files, syncs
//! each, and registers all of them in one new version of the manifest, which is synced too before `finish` returns; what
//! was not registered is removed when the tree is opened. Rows of an ingestion have one sequence number, so that the later
//! ingestion wins and a snapshot sees all of it or nothing. Keys must ascend, or the process ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{AbstractTree, Database, Keyspace, PersistMode, Readable};

use super::database::{
    ENGINE_DIRECTORY, ROWS_KEYSPACE, open_database, read_catalog, rows_keyspace, write_catalog,
};
use super::engine::{Engine, IngestedRow, Ingestion, View, Visit};
use super::incarnation::Incarnations;
use super::{StorageError, StorageOptions, takeover};

/// The engine's directory of separated values, inside that of a keyspace.
const BLOBS_DIRECTORY: &str = "blobs";
/// From here on a value read keeps the engine's memory instead of being copied.
const COPY_BELOW_BYTES: usize = 4096;
/// An ingestion waits while this many runs await compaction: each makes every read slower.
const WAITING_RUNS_MAX: usize = 20;
/// Then it proceeds regardless.
const COMPACTION_WAIT_MAX: Duration = Duration::from_secs(20);
const COMPACTION_LOOK: Duration = Duration::from_millis(10);
/// Queue of pieces for the loader: one written, one waiting, to bound memory.
const PIECES_WAITING: usize = 1;

/// Brings the directory to this release's format; returns the catalog's text.
pub fn prepare(directory: &Path, options: &StorageOptions) -> Result<String, StorageError> {
    fs::create_dir_all(directory).map_err(StorageError::io("make", directory))?;
    if let Some(text) = read_catalog(directory)? {
        return takeover::take_over(directory, text, options);
    }
    if directory.join(ENGINE_DIRECTORY).exists() {
        let why = "there are rows but no catalog that says whose they are".to_owned();
        return Err(StorageError::Damaged { path: directory.into(), why });
    }
    // Before the engine's directory is made, so that a crash here is not taken for damage.
    let text = super::Catalog::default().render();
    write_catalog(directory, &text)?;
    Ok(text)
}

pub fn open(
    directory: &Path,
    options: &StorageOptions,
    incarnations: Arc<Incarnations>,
) -> Result<Arc<dyn Engine>, StorageError> {
    let database = open_database(directory, options, Some(incarnations))?;
    // The release before had some; a crash may have kept them.
    takeover::remove_keyspaces(&database, |name| name != ROWS_KEYSPACE)?;
    Ok(Arc::new(Fjall { rows: rows_keyspace(&database)?, database, directory: directory.into() }))
}

struct Fjall {
    database: Database,
    rows: Keyspace,
    directory: PathBuf,
}

impl View for Fjall {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.rows.get(key).map_err(StorageError::engine("read a row"))?.map(to_bytes))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StorageError> {
        visit_all(self.rows.range(from..to), visit)
    }
}

struct Moment {
    snapshot: fjall::Snapshot,
    rows: Keyspace,
}

impl View for Moment {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.snapshot.get(&self.rows, key).map_err(StorageError::engine("read a row"))?.map(to_bytes))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StorageError> {
        visit_all(self.snapshot.range(&self.rows, from..to), visit)
    }
}

fn visit_all(rows: fjall::Iter, visit: Visit<'_>) -> Result<(), StorageError> {
    for pair in rows {
        let (key, value) = pair.into_inner().map_err(StorageError::engine("read a row"))?;
        if !visit(&key, &value) {
            break;
        }
    }
    Ok(())
}

/// A small value is a part of a larger block: a copy lets the block go.
fn to_bytes(value: fjall::Slice) -> Bytes {
    match value.len() < COPY_BELOW_BYTES {
        true => Bytes::copy_from_slice(&value),
        false => Bytes::from_owner(value),
    }
}

impl Engine for Fjall {
    fn view(&self) -> Box<dyn View> {
        Box::new(Moment { snapshot: self.database.snapshot(), rows: self.rows.clone() })
    }

    fn begin(&self) -> Result<Box<dyn Ingestion>, StorageError> {
        self.wait_for_compaction()?;
        Ok(Box::new(Loading::begin(self.rows.clone())?))
    }

    fn forget(&self, from: &[u8], to: &[u8]) -> Result<(), StorageError> {
        let forgotten = self.rows.tree.drop_range::<&[u8], _>(from..to);
        forgotten.map_err(|source| StorageError::engine("forget rows")(source.into()))
    }

    fn write_catalog(&self, text: &str) -> Result<(), StorageError> {
        write_catalog(&self.directory, text)
    }

    fn free_bytes(&self) -> Result<u64, StorageError> {
        let disk = nix::sys::statvfs::statvfs(&self.directory)
            .map_err(|errno| StorageError::io("look at the disk of", &self.directory)(errno.into()))?;
        Ok(disk.blocks_available() as u64 * disk.fragment_size() as u64)
    }

    fn disk_bytes(&self) -> u64 {
        self.rows.disk_space()
    }
}

impl Fjall {
    fn wait_for_compaction(&self) -> Result<(), StorageError> {
        let until = Instant::now() + COMPACTION_WAIT_MAX;
        loop {
            // Its journal is empty: this only says whether a compaction has failed.
            self.database.persist(PersistMode::Buffer).map_err(StorageError::engine("compact"))?;
            if self.rows.tree.l0_run_count() < WAITING_RUNS_MAX || Instant::now() >= until {
                return Ok(());
            }
            std::thread::sleep(COMPACTION_LOOK);
        }
    }
}

/// Messages for the loader. Without `End` nothing is registered: the unfinished tables have no owner and are removed when the
/// engine is next opened.
enum Piece {
    Rows(Vec<IngestedRow>),
    End,
}

/// The engine's ingestion borrows the keyspace, so it lives on a thread of its own.
struct Loading {
    pieces: Option<SyncSender<Piece>>,
    loader: Option<JoinHandle<Result<(), StorageError>>>,
}

impl Loading {
    fn begin(rows: Keyspace) -> Result<Loading, StorageError> {
        let (pieces, receiver) = sync_channel(PIECES_WAITING);
        let loader = std::thread::Builder::new()
            .name("state-ingest".into())
            .spawn(move || load(&rows, &receiver))
            .map_err(StorageError::io("start a thread for", "the state store"))?;
        Ok(Loading { pieces: Some(pieces), loader: Some(loader) })
    }

    fn tell(&mut self, piece: Piece) -> Result<(), StorageError> {
        let is_taken = self.pieces.as_ref().is_some_and(|pieces| pieces.send(piece).is_ok());
        // The loader ends before its time only with an error.
        if is_taken { Ok(()) } else { self.join().and(Err(gave_up())) }
    }

    fn join(&mut self) -> Result<(), StorageError> {
        self.pieces = None;
        self.loader.take().map_or(Ok(()), |loader| loader.join().unwrap_or_else(|_| Err(gave_up())))
    }
}

fn gave_up() -> StorageError {
    StorageError::InstallFailed("the loader has ended".into())
}

fn load(rows: &Keyspace, pieces: &Receiver<Piece>) -> Result<(), StorageError> {
    let error = || StorageError::engine("ingest rows");
    let mut ingestion = rows.start_ingestion().map_err(error())?;
    loop {
        match pieces.recv() {
            Ok(Piece::Rows(piece)) => {
                for (key, value) in piece {
                    match value {
                        Some(value) => ingestion.write(key, value.as_ref()).map_err(error())?,
                        None => ingestion.write_tombstone(key).map_err(error())?,
                    }
                }
            }
            Ok(Piece::End) => break,
            Err(_) => return Ok(()),
        }
    }
    // The engine syncs blob files, but not the directory that names them: done before the manifest names the files.
    let blobs = rows.path().join(BLOBS_DIRECTORY);
    let synced = File::open(&blobs).and_then(|directory| directory.sync_all());
    synced.map_err(StorageError::io("sync", blobs))?;
    ingestion.finish().map_err(error())?;
    Ok(())
}

impl Ingestion for Loading {
    fn write(&mut self, rows: Vec<IngestedRow>) -> Result<(), StorageError> {
        self.tell(Piece::Rows(rows))
    }

    fn finish(mut self: Box<Self>) -> Result<(), StorageError> {
        self.tell(Piece::End)?;
        self.join()
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::warn!(%error, "an ingestion that was given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::incarnation::{Incarnation, number_of, prefix};
    use super::*;

    const ROWS: u32 = 500;

    struct Place {
        _directory: tempfile::TempDir,
        incarnations: Arc<Incarnations>,
        engine: Fjall,
    }

    fn open_new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let (options, incarnations) = (StorageOptions::default(), Arc::new(Incarnations::default()));
        prepare(directory.path(), &options).unwrap();
        let database = open_database(directory.path(), &options, Some(incarnations.clone())).unwrap();
        let rows = rows_keyspace(&database).unwrap();
        let engine = Fjall { rows, database, directory: directory.path().into() };
        Place { _directory: directory, incarnations, engine }
    }

    impl Place {
        /// One ingestion of all of them; every tenth value is large.
        fn ingest(&self, incarnations: &[Arc<Incarnation>]) {
            let mut ingestion = self.engine.begin().unwrap();
            for incarnation in incarnations {
                let length = |row: u32| if row.is_multiple_of(10) { 8_000 } else { 50 };
                let row = |row: u32| {
                    (incarnation.key(&row.to_be_bytes()), Some(Bytes::from(vec![row as u8; length(row)])))
                };
                ingestion.write((0..ROWS).map(row).collect()).unwrap();
            }
            ingestion.finish().unwrap();
        }

        fn forget_ended(&self) {
            for (first, last) in self.incarnations.take_ended() {
                self.engine.forget(&prefix(first), &prefix(last + 1)).unwrap();
            }
        }
    }

    /// How many rows each incarnation has.
    fn counted(view: &dyn View) -> Vec<(u64, u32)> {
        let mut counts = BTreeMap::new();
        view.scan(&[0], &[0xFF], &mut |key, value| {
            let row = u32::from_be_bytes(*key[8..].first_chunk().unwrap());
            assert!(value.iter().all(|byte| *byte == row as u8));
            *counts.entry(number_of(key).unwrap()).or_default() += 1;
            true
        })
        .unwrap();
        counts.into_iter().collect()
    }

    #[test]
    fn compaction_removes_rows_that_nobody_keeps_and_no_others() {
        let place = open_new();
        let mut held: Vec<_> = (1..=3).map(|number| place.incarnations.keep(number)).collect();
        place.ingest(&held);
        let before = place.engine.view();
        held.remove(1).forget();
        place.forget_ended();
        place.engine.rows.major_compact().unwrap();
        assert_eq!(counted(&place.engine), [(1, ROWS), (3, ROWS)]);
        assert_eq!(counted(&*before), [(1, ROWS), (2, ROWS), (3, ROWS)], "a view is of its moment");
    }

    #[test]
    fn tables_that_nobody_keeps_go_without_a_compaction() {
        let place = open_new();
        let (first, second) = (place.incarnations.keep(1), place.incarnations.keep(2));
        place.ingest(std::slice::from_ref(&first));
        place.ingest(std::slice::from_ref(&second));
        second.forget();
        drop(second);
        place.forget_ended();
        assert_eq!(counted(&place.engine), [(1, ROWS)]);
    }

    #[test]
    fn an_ingestion_that_is_given_up_leaves_nothing() {
        let place = open_new();
        let first = place.incarnations.keep(1);
        let mut ingestion = place.engine.begin().unwrap();
        ingestion.write(vec![(first.key(b"row"), Some(Bytes::from_static(b"value")))]).unwrap();
        drop(ingestion);
        assert_eq!(counted(&place.engine), []);
        place.ingest(&[first]);
        assert_eq!(counted(&place.engine), [(1, ROWS)]);
    }
}
