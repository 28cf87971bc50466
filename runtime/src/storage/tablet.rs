//! The state of one group on disk: its rows, what was applied last, and its membership.
//!
//! *Invariant (D5):* rows, applied position and membership change in one atomic batch. The batch stays in this process
//! until the engine's buffer is full, and reaches the disk with the next `Storage::persist`: whatever ends the
//! process or the power before that, the log has it.
//! *Invariant:* one task commits; any number of others read, each from a snapshot, and see whole batches only.

use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkc_core::tablet::{Changes, Rows};
use fjall::{Keyspace, Readable};
use parking_lot::{Mutex, RwLock};

use super::cache::RowCache;
use super::{Shared, StorageError};

/// Rows of the storage itself begin with this byte, which `dkc_core::tablet` does not use.
pub const SYSTEM_KIND: u8 = 0xFF;
pub(super) const APPLIED_ROW: &[u8] = &[SYSTEM_KIND, b'a'];
pub(super) const MEMBERSHIP_ROW: &[u8] = &[SYSTEM_KIND, b'm'];
/// The engine's limit on a key.
pub const ROW_MAX_BYTES: usize = u16::MAX as usize;
/// From here on a value read keeps the engine's memory instead of being copied.
const COPY_BELOW_BYTES: usize = 4096;

/// A handle to the state of one group.
#[derive(Clone)]
pub struct TabletStore {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    group: GroupId,
    shared: Arc<Shared>,
    current: RwLock<Current>,
    /// Held while committing, so that `Position` and the rows change together.
    position: Mutex<Position>,
    cache: Mutex<RowCache>,
}

struct Current {
    keyspace: Option<Keyspace>,
    incarnation: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Position {
    pub commits: u64,
    pub applied: Option<Bytes>,
    pub membership: Option<Bytes>,
    pub persisted_commits: u64,
    pub persisted_applied: Option<Bytes>,
}

impl TabletStore {
    pub(super) fn open(
        shared: Arc<Shared>,
        group: GroupId,
        incarnation: u64,
        keyspace: Keyspace,
    ) -> Result<TabletStore, StorageError> {
        let read = |row| keyspace.get(row).map_err(StorageError::engine("read the applied position"));
        let (commits, applied) = match read(APPLIED_ROW)? {
            Some(value) => decode_applied(&value)
                .map(|(commits, applied)| (commits, Some(applied)))
                .ok_or_else(|| {
                    let why = format!("the applied position of group {group} is not readable");
                    StorageError::Damaged { path: shared.directory.clone(), why }
                })?,
            None => (0, None),
        };
        let membership = read(MEMBERSHIP_ROW)?.map(|value| Bytes::copy_from_slice(&value));
        // Opening the engine synced all that it read back.
        let position = Position {
            commits,
            persisted_commits: commits,
            persisted_applied: applied.clone(),
            applied,
            membership,
        };
        let current = RwLock::new(Current { keyspace: Some(keyspace), incarnation });
        let cache = Mutex::new(RowCache::new(shared.row_cache_bytes));
        let position = Mutex::new(position);
        Ok(TabletStore { inner: Arc::new(Inner { group, shared, current, position, cache }) })
    }

    pub fn group(&self) -> GroupId {
        self.inner.group
    }

    /// Writes rows, applied position and (where given) membership in one atomic batch, without fsync. A reader of
    /// the newest rows must be kept out meanwhile.
    pub fn commit(
        &self,
        changes: Changes,
        applied: Bytes,
        membership: Option<Bytes>,
    ) -> Result<(), StorageError> {
        let mut position = self.inner.position.lock();
        let keyspace = self.keyspace()?;
        // Not even flushed to the kernel: that is a system call per batch, and the log replays what is lost.
        let mut batch = self.inner.shared.database.batch().durability(None);
        for (row, value) in &changes {
            check_row(row, value.as_ref())?;
            match value {
                Some(value) => batch.insert(&keyspace, row.as_slice(), value.as_ref()),
                None => batch.remove(&keyspace, row.as_slice()),
            }
        }
        let commits = position.commits + 1;
        batch.insert(&keyspace, APPLIED_ROW, encode_applied(commits, &applied).as_ref());
        if let Some(membership) = &membership {
            batch.insert(&keyspace, MEMBERSHIP_ROW, membership.as_ref());
        }
        batch.commit().map_err(StorageError::engine("write a batch"))?;
        self.inner.cache.lock().committed(changes);
        (position.commits, position.applied) = (commits, Some(applied));
        position.membership = membership.or(position.membership.take());
        Ok(())
    }

    pub fn applied(&self) -> Option<Bytes> {
        self.inner.position.lock().applied.clone()
    }

    pub fn membership(&self) -> Option<Bytes> {
        self.inner.position.lock().membership.clone()
    }

    /// The applied position that survives a power cut: the Raft log may be purged up to here.
    pub fn persisted_applied(&self) -> Option<Bytes> {
        self.inner.position.lock().persisted_applied.clone()
    }

    /// The state at this moment; O(1), however large the state is. The engine keeps its rows while it exists,
    /// so it should not be held for hours.
    pub fn snapshot(&self) -> Result<TabletSnapshot, StorageError> {
        let current = self.inner.current.read();
        let keyspace = current.keyspace.clone().ok_or_else(|| self.dropped())?;
        Ok(TabletSnapshot { snapshot: self.inner.shared.database.snapshot(), keyspace })
    }

    /// Bytes that the group's rows take on disk, roughly.
    pub fn disk_bytes(&self) -> u64 {
        self.keyspace().map_or(0, |keyspace| keyspace.disk_space())
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(super) fn commits(&self) -> u64 {
        self.inner.position.lock().commits
    }

    /// The incarnation of the keyspace and what has been committed to it.
    pub(super) fn position(&self) -> (u64, Position) {
        let position = self.inner.position.lock();
        let incarnation = self.inner.current.read().incarnation;
        (incarnation, position.clone())
    }

    pub(super) fn persisted(&self, commits: u64, applied: Option<Bytes>) {
        let mut position = self.inner.position.lock();
        if commits > position.persisted_commits {
            (position.persisted_commits, position.persisted_applied) = (commits, applied);
        }
    }

    /// Replaces the old keyspace with that of a finished install, in the catalog first.
    pub(super) fn switch_to(
        &self,
        keyspace: Keyspace,
        incarnation: u64,
        commits: u64,
        applied: Bytes,
        membership: Option<Bytes>,
    ) -> Result<(), StorageError> {
        let mut position = self.inner.position.lock();
        let mut current = self.inner.current.write();
        if current.keyspace.is_none() {
            self.inner.shared.remove_keyspace(keyspace);
            return Err(self.dropped());
        }
        self.inner.shared.name_in_catalog(self.inner.group, incarnation, commits)?;
        let old = current.keyspace.replace(keyspace);
        self.inner.cache.lock().clear();
        current.incarnation = incarnation;
        *position = Position {
            commits,
            persisted_commits: commits,
            persisted_applied: Some(applied.clone()),
            applied: Some(applied),
            membership,
        };
        drop((current, position));
        old.into_iter().for_each(|old| self.inner.shared.remove_keyspace(old));
        Ok(())
    }

    /// Removes the keyspace: every other handle returns `Dropped` from now on.
    pub(super) fn take_keyspace(&self) -> Option<Keyspace> {
        let keyspace = self.inner.current.write().keyspace.take();
        self.inner.cache.lock().clear();
        keyspace
    }

    pub(super) fn keyspace(&self) -> Result<Keyspace, StorageError> {
        let current = self.inner.current.read();
        current.keyspace.clone().ok_or_else(|| self.dropped())
    }

    fn dropped(&self) -> StorageError {
        StorageError::Dropped(match self.inner.group.tablet() {
            Some(tablet) => format!("tablet {tablet}"),
            None => "the meta group's state".into(),
        })
    }
}

/// The newest rows, for the committing task and those it admits. All others read from a snapshot.
impl Rows for TabletStore {
    type Error = StorageError;

    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let changes = {
            let mut cache = self.inner.cache.lock();
            if let Some(value) = cache.get(row) {
                return Ok(value);
            }
            cache.changes()
        };
        let value = self.keyspace()?.get(row).map_err(StorageError::engine("read a row"))?.map(to_bytes);
        self.inner.cache.lock().looked_up(changes, row, &value);
        Ok(value)
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StorageError> {
        self.snapshot()?.scan(from, visit)
    }
}

/// The state of a group at one applied position. `Send + Sync + 'static`, cheap to clone.
#[derive(Clone)]
pub struct TabletSnapshot {
    snapshot: fjall::Snapshot,
    keyspace: Keyspace,
}

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    pub rows: Vec<(Bytes, Bytes)>,
    /// Give this to `TabletSnapshot::chunk` for the next piece; `None` after the last one.
    pub next: Option<Bytes>,
}

impl TabletSnapshot {
    pub fn applied(&self) -> Result<Option<Bytes>, StorageError> {
        let value = Rows::get(self, APPLIED_ROW)?;
        Ok(value.and_then(|value| decode_applied(&value)).map(|(_, applied)| applied))
    }

    pub fn membership(&self) -> Result<Option<Bytes>, StorageError> {
        Rows::get(self, MEMBERSHIP_ROW)
    }

    /// The rows behind `after` (from the beginning with `None`): as many as reach `bytes_max`, at least one.
    /// The storage's own rows are not among them.
    pub fn chunk(&self, after: Option<&[u8]>, bytes_max: usize) -> Result<Chunk, StorageError> {
        let (mut chunk, mut bytes) = (Chunk::default(), 0);
        // The smallest row behind `after` is `after` with a zero byte.
        let from = after.map_or_else(Vec::new, |after| [after, &[0]].concat());
        self.walk(&from, &mut |row, value| {
            if bytes >= bytes_max {
                chunk.next = chunk.rows.last().map(|(row, _): &(Bytes, Bytes)| row.clone());
                return false;
            }
            bytes += row.len() + value.len();
            chunk.rows.push((to_bytes(row), to_bytes(value)));
            true
        })?;
        Ok(chunk)
    }

    fn walk(
        &self,
        from: &[u8],
        visit: &mut dyn FnMut(fjall::UserKey, fjall::UserValue) -> bool,
    ) -> Result<(), StorageError> {
        if from.first() == Some(&SYSTEM_KIND) {
            return Ok(());
        }
        for pair in self.snapshot.range(&self.keyspace, from..&[SYSTEM_KIND][..]) {
            let (row, value) = pair.into_inner().map_err(StorageError::engine("read a row"))?;
            if !visit(row, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Rows for TabletSnapshot {
    type Error = StorageError;

    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let value = self.snapshot.get(&self.keyspace, row).map_err(StorageError::engine("read a row"))?;
        Ok(value.map(to_bytes))
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StorageError> {
        self.walk(from, &mut |row, value| visit(&row, &value))
    }
}

/// A small value is a part of a larger block: a copy lets the block go.
fn to_bytes(value: fjall::Slice) -> Bytes {
    match value.len() < COPY_BELOW_BYTES {
        true => Bytes::copy_from_slice(&value),
        false => Bytes::from_owner(value),
    }
}

/// What the engine would end the process for.
pub(super) fn check_row(row: &[u8], value: Option<&Bytes>) -> Result<(), StorageError> {
    match row.first() {
        None => Err(StorageError::BadRow("its key is empty")),
        Some(&SYSTEM_KIND) => Err(StorageError::BadRow("its kind byte 0xFF belongs to the storage")),
        _ if row.len() > ROW_MAX_BYTES => Err(StorageError::BadRow("its key is longer than 65535 bytes")),
        _ if value.is_some_and(|value| u32::try_from(value.len()).is_err()) => {
            Err(StorageError::BadRow("its value is 4 GiB or longer"))
        }
        _ => Ok(()),
    }
}

/// The applied row: how many commits there were (8 bytes, little endian), then the caller's position.
pub(super) fn encode_applied(commits: u64, applied: &[u8]) -> Bytes {
    Bytes::from([&commits.to_le_bytes(), applied].concat())
}

fn decode_applied(value: &[u8]) -> Option<(u64, Bytes)> {
    let (commits, applied) = value.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*commits), Bytes::copy_from_slice(applied)))
}
