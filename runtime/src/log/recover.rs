//! Opens a log: reads every segment from the oldest to the newest, replays the records, and refuses
//! any damage that a power cut in the last round cannot explain.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use nix::fcntl::{Flock, FlockArg};
use parking_lot::{Condvar, Mutex};

use super::format::{self, Ending, HEADER_BYTES, LogRecord, RecordKind, SegmentHeader};
use super::group::{RecordIndex, RecordPosition, Tail};
use super::segment::{SegmentFile, SegmentPool, corrupt};
use super::writer::{Writer, new_salt};
use super::{LiveSegment, Locations, LogError, LogOptions, Queue, Shared, end_of};

const LOCK_FILE: &str = "lock";
/// Size of the first segment of a new log, and of the one after an interrupted segment change: small, because the caller waits
/// while it is created.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;

/// A group's state after the records read so far.
#[derive(Default)]
struct Replay {
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
    /// The index of the first live entry, once a record has given it.
    first: Option<u64>,
    entries: BTreeMap<u64, RecordPosition>,
}

impl Replay {
    fn replay_record(&mut self, record: &LogRecord<'_>, position: RecordPosition) {
        let payload = || Bytes::copy_from_slice(record.payload);
        match record.kind {
            RecordKind::Entry => {
                self.entries.split_off(&record.index);
                self.first = Some(self.first.map_or(record.index, |first| first.min(record.index)));
                self.entries.insert(record.index, position);
            }
            RecordKind::Rewritten => drop(self.entries.insert(record.index, position)),
            RecordKind::Vote => self.vote = Some(payload()),
            RecordKind::Committed => self.committed = Some(payload()),
            RecordKind::Truncate => {
                self.entries.split_off(&record.index);
                self.first = self.first.filter(|first| *first < record.index);
            }
            RecordKind::Purge => {
                self.entries = self.entries.split_off(&record.index.saturating_add(1));
                self.first = self.first.map(|first| first.max(record.index.saturating_add(1)));
                self.purged = Some((record.index, payload()));
            }
            RecordKind::First => self.first = Some(record.index),
            RecordKind::Drop => *self = Replay::default(),
            RecordKind::Mark | RecordKind::Seal => {}
        }
    }

    /// The first gap between the first index and the last, if any.
    fn gap(&self) -> Option<u64> {
        let (last, _) = self.entries.last_key_value()?;
        let first = self.purged.as_ref().map(|(purged, _)| purged + 1).or(self.first).unwrap_or(0);
        (first..=*last).zip(self.entries.keys()).find(|(want, have)| want != *have).map(|(want, _)| want)
    }
}

/// Opens the directory: returns the shared state, and the writer to run on it.
pub(super) fn open(directory: &Path, options: LogOptions) -> Result<(Arc<Shared>, Writer), LogError> {
    fs::create_dir_all(directory).map_err(LogError::io("make", directory))?;
    let directory_lock = lock_directory(directory)?;
    let (pool, paths) = SegmentPool::open(directory, options.segment_bytes)?;
    let (mut locations, replays, last) = read_segments(&paths)?;
    let (file, at) = match last {
        Some((file, Some(at))) => (file, at),
        last => {
            let generation = last.map_or(0, |(file, _)| file.header.generation) + 1;
            let bytes = FIRST_SEGMENT_BYTES.min(pool.segment_bytes());
            (first_segment(&pool, directory, generation, bytes)?, HEADER_BYTES as u32)
        }
    };
    let segment = || LiveSegment { file: Arc::clone(&file), live_bytes: 0 };
    locations.segments.entry(file.header.generation).or_insert_with(segment);
    let tails = finish_replay(replays, &mut locations, directory)?;
    let shared = Arc::new(Shared {
        options,
        pool: Arc::new(pool),
        queue: Mutex::new(Queue::default()),
        has_work: Condvar::new(),
        has_room: tokio::sync::Notify::new(),
        tails: Mutex::new(tails),
        locations: Mutex::new(locations),
        synced_end: AtomicU64::new(end_of(file.header.generation, at)),
        rounds: AtomicU64::new(0),
        entries: AtomicU64::new(0),
    });
    let writer = Writer::new(Arc::clone(&shared), file, at, directory_lock);
    Ok((shared, writer))
}

fn lock_directory(directory: &Path) -> Result<Flock<File>, LogError> {
    let path = directory.join(LOCK_FILE);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(LogError::io("open", &path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| LogError::InUse { dir: directory.into() })
}

fn first_segment(
    pool: &SegmentPool,
    directory: &Path,
    generation: u64,
    bytes: u64,
) -> Result<Arc<SegmentFile>, LogError> {
    let header = SegmentHeader { generation, salt: new_salt(), segment_bytes: bytes };
    let made = pool.new_segment(header).map_err(LogError::io("create a log segment in", directory))?;
    Ok(Arc::new(made))
}

type Replays = BTreeMap<GroupId, Replay>;
/// The newest segment and where writing continues; `None` if it is sealed.
type Last = Option<(Arc<SegmentFile>, Option<u32>)>;

fn read_segments(paths: &[(u64, PathBuf)]) -> Result<(Locations, Replays, Last), LogError> {
    let (mut locations, mut replays, mut last) = (Locations::default(), Replays::new(), None);
    for (place_in_order, (generation, path)) in paths.iter().enumerate() {
        let is_newest = place_in_order + 1 == paths.len();
        let file = Arc::new(SegmentFile::open(path)?);
        check_generation(&file, *generation, paths, place_in_order)?;
        let end = read_segment(&file, &mut replays, is_newest)?;
        let segment = LiveSegment { file: Arc::clone(&file), live_bytes: 0 };
        locations.segments.insert(*generation, segment);
        last = Some((file, end));
    }
    Ok((locations, replays, last))
}

fn check_generation(
    file: &SegmentFile,
    named: u64,
    paths: &[(u64, PathBuf)],
    at: usize,
) -> Result<(), LogError> {
    if file.header.generation != named {
        let why = format!("its header says generation {}, its name {named}", file.header.generation);
        return Err(corrupt(&file.path, 0, why));
    }
    match at.checked_sub(1).map(|before| paths[before].0) {
        Some(before) if before + 1 != named => {
            Err(corrupt(&file.path, 0, format!("the previous segment, generation {}, is missing", named - 1)))
        }
        _ => Ok(()),
    }
}

/// Replays a segment; returns where writing continues, or `None` if it is sealed.
fn read_segment(file: &SegmentFile, replays: &mut Replays, is_newest: bool) -> Result<Option<u32>, LogError> {
    let bytes = file.read_all().map_err(LogError::io("read", &file.path))?;
    let generation = file.header.generation;
    let ending = format::scan(&bytes, &file.header, |offset, record| {
        let position = RecordPosition { generation, offset, payload_length: record.payload.len() as u32 };
        replays.entry(GroupId(record.group)).or_default().replay_record(&record, position);
        Ok(())
    })?;
    match ending {
        Ending::Sealed if is_newest => {
            sync(file)?;
            Ok(None)
        }
        Ending::Sealed => Ok(None),
        Ending::Damaged { at, witness } => {
            let why = format!(
                "the record there is damaged, but the one at byte {witness} was written after it was durable"
            );
            Err(corrupt(&file.path, u64::from(at), why))
        }
        Ending::Open { at, .. } if !is_newest => {
            let why = "the records end without a seal although a later segment exists";
            Err(corrupt(&file.path, u64::from(at), why))
        }
        Ending::Open { at, has_leftovers } => {
            if has_leftovers {
                tracing::warn!(path = %file.path.display(), offset = at, "torn last round discarded; it was not acknowledged");
                file.clear_from(at).map_err(LogError::io("clear the torn end of", &file.path))?;
            }
            sync(file)?;
            Ok(Some(at))
        }
    }
}

/// A process that was killed may have written the last records and not synced them. From now on they count as durable.
fn sync(file: &SegmentFile) -> Result<(), LogError> {
    file.sync().map_err(LogError::io("sync", &file.path))
}

/// Converts the replayed state into the one that callers and the writer continue with.
fn finish_replay(
    replays: Replays,
    locations: &mut Locations,
    directory: &Path,
) -> Result<BTreeMap<GroupId, Arc<Mutex<Tail>>>, LogError> {
    let mut tails = BTreeMap::new();
    for (group, replay) in replays {
        if let Some(index) = replay.gap() {
            let why = format!("entry {index} of group {group} is missing, although later ones exist");
            return Err(corrupt(directory, 0, why));
        }
        let first = replay.entries.first_key_value().map_or(0, |(first, _)| *first);
        replay.entries.values().for_each(|position| locations.add_live(*position));
        let mut group_index = RecordIndex::new(first, replay.entries.into_values().collect());
        (group_index.vote, group_index.committed, group_index.purged) =
            (replay.vote, replay.committed, replay.purged);
        let tail = Tail::recovered(&group_index);
        locations.indexes.insert(group, group_index);
        tails.insert(group, Arc::new(Mutex::new(tail)));
    }
    Ok(tails)
}
