//! The state of one group: its rows, what was applied last, and its membership.
//!
//! *Invariant (D5):* rows, applied position and membership change in memory under one lock, are frozen under that lock, and
//! reach the disk in one ingestion (`ingest`).
//! *Invariant:* one task commits; any number of others read, each from a snapshot, and see whole batches only.

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkc_core::ring::SlotId;
use dkc_core::tablet::{Changes, Rows};

use super::birth::{Birth, NewTablet};
use super::cache::RowCache;
use super::engine::View;
use super::home::{Home, SharedRows};
use super::incarnation::Part;
use super::overlay::{Frozen, Overlay, SplitHere};
use super::position::Position;
use super::row::{APPLIED_ROW, MEMBERSHIP_ROW, check_row, decode_applied};
use super::snapshot::{TabletSnapshot, scan_merged};
use super::{Shared, StorageError};

/// A handle to the state of one group.
#[derive(Clone)]
pub struct TabletStore {
    inner: Arc<Inner>,
}

struct Inner {
    group: GroupId,
    shared: Arc<Shared>,
    state: RwLock<State>,
    /// Of rows of the engine. Taken after `state`, if both are.
    cache: Mutex<RowCache>,
}

struct State {
    /// `None` once the group is dropped.
    home: Option<Home>,
    overlay: Overlay,
    position: Position,
    durable: Position,
    /// Of splits that were applied in this generation.
    split: SplitHere,
}

impl TabletStore {
    /// Opens what the engine has.
    pub(super) fn open(shared: Arc<Shared>, group: GroupId, home: Home) -> Result<TabletStore, StorageError> {
        let read = |row| shared.engine.get(&home.key(row));
        let (commits, applied) = match read(APPLIED_ROW)? {
            Some(value) => {
                decode_applied(&value).map(|(commits, applied)| (commits, Some(applied))).ok_or_else(
                    || shared.damaged(format!("the applied position of group {group} is not readable")),
                )?
            }
            None => (0, None),
        };
        let position = Position { commits, applied, membership: read(MEMBERSHIP_ROW)? };
        let durable = position.clone();
        let overlay = Overlay::default();
        let split = SplitHere::default();
        let state = RwLock::new(State { home: Some(home), overlay, position, durable, split });
        let cache = Mutex::new(RowCache::new(shared.row_cache_bytes));
        Ok(TabletStore { inner: Arc::new(Inner { group, shared, state, cache }) })
    }

    pub fn group(&self) -> GroupId {
        self.inner.group
    }

    /// Takes rows, applied position and (where given) membership in one step, in memory. A reader of the newest rows
    /// must be kept out meanwhile.
    pub fn commit(
        &self,
        changes: Changes,
        applied: Bytes,
        membership: Option<Bytes>,
    ) -> Result<(), StorageError> {
        changes.iter().try_for_each(|(row, value)| check_row(row, value.as_ref()))?;
        let mut state = self.write();
        self.live(&state)?;
        self.take(&mut state, changes, applied, membership);
        Ok(())
    }

    /// The same for the split of a tablet, which keeps `slots`. The new tablet, if this node gets a replica of it, is there once all
    /// this has been ingested, which happens at once.
    pub fn commit_split(
        &self,
        changes: Changes,
        applied: Bytes,
        slots: RangeInclusive<SlotId>,
        new: Option<NewTablet>,
    ) -> Result<(), StorageError> {
        let mut state = self.write();
        let home = self.live(&state)?.clone();
        if let Some(new) = new {
            let born = Birth::begin(&self.inner.shared, &home, new)?;
            state.split.births.extend(born);
        }
        state.split.narrowed_to = Some(slots);
        self.take(&mut state, changes, applied, None);
        drop(state);
        self.inner.shared.budget.hurry();
        Ok(())
    }

    fn take(&self, state: &mut State, changes: Changes, applied: Bytes, membership: Option<Bytes>) {
        self.inner.cache.lock().committed(&changes);
        let growth = state.overlay.commit(changes);
        state.position.commits += 1;
        state.position.applied = Some(applied);
        state.position.membership = membership.or(state.position.membership.take());
        self.inner.shared.budget.grow(growth);
    }

    /// Gives up the rows of all other slots, if they are kept only for this group: what a crash in the middle of a split left.
    pub fn keep_slots(&self, slots: RangeInclusive<SlotId>) -> Result<(), StorageError> {
        let is_wider = self.live(&self.read())?.shared_rows().is_none_or(|rows| rows.slots != slots);
        // An own incarnation has no rows of others; a split that is not durable is not to be anticipated.
        let is_waiting = self.read().split.narrowed_to.is_some();
        if !is_wider || is_waiting || !self.is_shared()? {
            return Ok(());
        }
        let (number, incarnation) = {
            let state = self.read();
            let home = self.live(&state)?;
            (home.number(), home.slots_number())
        };
        self.narrow(number, slots.clone());
        self.inner.shared.change_catalog(|catalog| {
            if let Some(entry) = catalog.groups.get_mut(&self.inner.group) {
                entry.rows = Some(SharedRows { incarnation, slots });
            }
        })
    }

    /// Whether tablets that came of this one lie under the same incarnation.
    fn is_shared(&self) -> Result<bool, StorageError> {
        let number = self.live(&self.read())?.slots_number();
        let catalog = self.inner.shared.catalog.lock();
        let others = catalog.groups.iter().filter(|(group, _)| **group != self.inner.group);
        Ok(others
            .into_iter()
            .any(|(_, entry)| entry.rows.as_ref().is_some_and(|rows| rows.incarnation == number)))
    }

    /// From now on these slots are what it has in its incarnation, if that is still the same.
    pub(super) fn narrow(&self, number: u64, slots: RangeInclusive<SlotId>) {
        let mut state = self.write();
        let Some(old) = state.home.take() else { return };
        if old.number() != number {
            state.home = Some(old);
            return;
        }
        let incarnations = &self.inner.shared.incarnations;
        let own = incarnations.keep_part(old.number(), Part::Own);
        let data = incarnations.keep_part(old.slots_number(), Part::Slots(slots));
        old.forget();
        state.home = Some(Home::shared(own, data));
    }

    /// Returns when more may be committed: not while two generations are full. Hold no lock meanwhile.
    pub async fn room(&self) {
        self.inner.shared.budget.wait_for_room().await;
    }

    pub fn applied(&self) -> Option<Bytes> {
        self.read().position.applied.clone()
    }

    pub fn membership(&self) -> Option<Bytes> {
        self.read().position.membership.clone()
    }

    /// The applied position that survives a power cut: the Raft log may be purged up to here.
    pub fn durable_applied(&self) -> Option<Bytes> {
        self.read().durable.applied.clone()
    }

    /// The current state, without copying it. The engine retains its rows while the snapshot exists, so do not hold one for
    /// hours.
    pub fn snapshot(&self) -> Result<TabletSnapshot, StorageError> {
        let mut state = self.write();
        let home = self.live(&state)?.clone();
        let layers = state.overlay.snapshot();
        Ok(TabletSnapshot::new(home, layers, self.inner.shared.engine.view(), state.position.clone()))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(super) fn commits(&self) -> u64 {
        self.read().position.commits
    }

    pub(super) fn position(&self) -> Position {
        self.read().position.clone()
    }

    pub(super) fn home(&self) -> Result<Home, StorageError> {
        self.live(&self.read()).cloned()
    }

    /// Begins a new generation, if anything was committed since the last one: what was frozen, and its memory.
    pub(super) fn freeze(&self) -> Option<(Arc<Frozen>, u64)> {
        let mut state = self.write();
        let home = state.home.clone().filter(|_| state.position != state.durable)?;
        let (bytes, position) = (state.overlay.growing_bytes(), state.position.clone());
        let split = std::mem::take(&mut state.split);
        Some((state.overlay.freeze(self.inner.group, home, position, split), bytes))
    }

    /// The engine has what was frozen.
    pub(super) fn thaw(&self, frozen: &Arc<Frozen>) {
        self.write().overlay.thaw(frozen);
    }

    /// The Raft log may go up to what was frozen.
    pub(super) fn durable(&self, frozen: &Frozen) {
        let mut state = self.write();
        if state.home.as_ref().is_some_and(|home| home.number() == frozen.home.number()) {
            state.durable = frozen.position.clone();
        }
    }

    /// Makes the rows of a finished install the state, in the catalog first: that is the one moment.
    pub(super) fn switch_to(&self, home: Home, position: Position) -> Result<(), StorageError> {
        let mut state = self.write();
        self.live(&state)?;
        self.inner.shared.name_in_catalog(self.inner.group, home.number(), position.commits)?;
        self.let_go(&mut state);
        state.home = Some(home);
        (state.position, state.durable) = (position.clone(), position);
        Ok(())
    }

    /// Every handle answers `Dropped` from now on. The catalog does not name the group any more.
    pub(super) fn end(&self) {
        self.let_go(&mut self.write());
    }

    fn let_go(&self, state: &mut State) {
        self.inner.shared.budget.shrink(state.overlay.growing_bytes());
        state.overlay = Overlay::default();
        self.inner.cache.lock().clear();
        std::mem::take(&mut state.split).births.into_iter().for_each(|birth| birth.give_up());
        state.home.take().into_iter().for_each(|old| old.forget());
    }

    fn live<'s>(&self, state: &'s State) -> Result<&'s Home, StorageError> {
        state.home.as_ref().ok_or_else(|| {
            StorageError::Dropped(match self.inner.group.tablet() {
                Some(tablet) => format!("tablet {tablet}"),
                None => "the meta group's state".into(),
            })
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.inner.state.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.inner.state.write()
    }
}

/// The newest rows, for the committing task and those it admits. All others read from a snapshot.
impl Rows for TabletStore {
    type Error = StorageError;

    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let (key, changes) = {
            let state = self.read();
            let home = self.live(&state)?;
            if let Some(value) = state.overlay.get(row) {
                return Ok(value);
            }
            let mut cache = self.inner.cache.lock();
            match cache.get(row) {
                Some(value) => return Ok(value),
                None => (home.key(row), cache.changes()),
            }
        };
        // Nobody commits meanwhile, so the row can only have moved from memory into the engine: then it was here.
        let value = self.inner.shared.engine.get(&key)?;
        self.inner.cache.lock().looked_up(changes, row, &value);
        Ok(value)
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StorageError> {
        let state = self.read();
        let home = self.live(&state)?;
        let engine: &dyn View = &*self.inner.shared.engine;
        scan_merged(engine, home, state.overlay.rows_from(from), from, visit)
    }
}
