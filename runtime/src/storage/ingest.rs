//! Freezing and ingesting: recently applied rows become rows of the engine, in one ingestion for all groups of the node. It runs in
//! short steps, and a crash between any two of them is safe.
//!
//! *Invariant (D1, D5, and the rule for the log):* the rows of a group and its position and membership, as of the same commit, are in
//! one ingestion. `durable_applied` advances only once it is durable, and the Raft log is purged no further than that.
//! *Invariant:* a frozen generation is read from memory until the engine has it.
//! *Invariant (D3):* the catalog says how many commits of a group are durable at least.

use std::sync::Arc;

use bytes::Bytes;
use dkc_core::mutant::{self, Mutant};

use super::engine::Ingestion;
use super::overlay::Frozen;
use super::row::position_rows;
use super::{Storage, StorageError, TabletStore, incarnation};

/// Rows of one step.
const STEP_BYTES: usize = if cfg!(feature = "simulation") { 512 } else { 1 << 20 };

/// The frozen rows of all groups, each as of one commit.
pub struct Generation {
    /// By incarnation, which is the order of their rows.
    pub tablets: Vec<(TabletStore, Arc<Frozen>)>,
}

/// An ingestion under way.
pub struct Ingesting {
    /// Held until every step has ended: an abandoned ingestion that registers late would put older rows over newer ones.
    _turn: Turn,
    storage: Storage,
    generation: Arc<Generation>,
    stage: Stage,
}

enum Stage {
    Rows { ingestion: Box<dyn Ingestion>, tablet: usize, after: Option<Vec<u8>> },
    Register(Box<dyn Ingestion>),
    Catalog,
    Thaw,
    Done,
}

/// The lock for ingesting; one task holds it at a time.
pub type Turn = tokio::sync::OwnedMutexGuard<()>;

impl Storage {
    /// Makes everything applied so far durable, concurrently with applying.
    pub async fn ingest(&self) -> Result<(), StorageError> {
        let turn = self.shared.turn.clone().lock_owned().await;
        let is_new = self.generation.lock().is_none();
        let storage = self.clone();
        let beginning = crate::task::spawn_blocking(move || {
            storage.forget_ended()?;
            storage.begin_ingesting(turn)
        });
        // The step did not run: the runtime is shutting down, and nothing is reported as durable.
        let Ok(begun) = beginning.await else { return Ok(()) };
        let Some(mut ingesting) = begun? else { return Ok(()) };
        if is_new && mutant::is_active(Mutant::PurgeBeyondPersisted) {
            return Ok(());
        }
        loop {
            let step =
                crate::task::spawn_blocking(move || ingesting.step().map(|goes_on| (goes_on, ingesting)));
            let Ok(stepped) = step.await else { return Ok(()) };
            let (goes_on, next) = stepped?;
            if !goes_on {
                return Ok(());
            }
            ingesting = next;
        }
    }

    /// Frees the space of released incarnations.
    pub(super) fn forget_ended(&self) -> Result<(), StorageError> {
        for (first, last) in self.shared.incarnations.take_ended() {
            self.shared.engine.forget(&incarnation::prefix(first), &incarnation::prefix(last + 1))?;
        }
        Ok(())
    }

    /// Freezes what has grown, unless an earlier generation was not ingested to its end. `None` if nothing has.
    pub fn begin_ingesting(&self, turn: Turn) -> Result<Option<Ingesting>, StorageError> {
        let generation = {
            let mut current = self.generation.lock();
            if current.is_none() {
                *current = self.freeze().map(Arc::new);
            }
            current.clone()
        };
        let Some(generation) = generation else { return Ok(None) };
        if mutant::is_active(Mutant::AppliedOutsideBatch) {
            let mut ingestion = self.shared.engine.begin()?;
            generation.tablets.iter().try_for_each(|(_, frozen)| {
                ingestion.write(position_rows(&frozen.incarnation, &frozen.position))
            })?;
            ingestion.finish()?;
        }
        let ingestion = self.shared.engine.begin()?;
        let stage = Stage::Rows { ingestion, tablet: 0, after: None };
        Ok(Some(Ingesting { _turn: turn, storage: self.clone(), generation, stage }))
    }

    fn freeze(&self) -> Option<Generation> {
        let stores: Vec<TabletStore> = self.stores.lock().values().cloned().collect();
        let mut bytes = 0;
        let mut tablets = Vec::new();
        for store in stores {
            let Some((frozen, frozen_bytes)) = store.freeze() else { continue };
            bytes += frozen_bytes;
            if mutant::is_active(Mutant::PurgeBeyondPersisted) {
                store.durable(&frozen);
            }
            tablets.push((store, frozen));
        }
        tablets.sort_by_key(|(_, frozen)| frozen.incarnation.number());
        match tablets.is_empty() {
            true => self.shared.budget.nothing_grows(),
            false => self.shared.budget.frozen(bytes),
        }
        (!tablets.is_empty()).then_some(Generation { tablets })
    }
}

impl Ingesting {
    /// Runs one step; returns whether more remain. After an error the generation stays frozen and readable, and the next ingestion
    /// starts over.
    pub fn step(&mut self) -> Result<bool, StorageError> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Rows { ingestion, tablet, after } => self.write_some(ingestion, tablet, after)?,
            Stage::Register(ingestion) => {
                ingestion.finish()?;
                Stage::Catalog
            }
            Stage::Catalog => {
                self.count_in_catalog()?;
                Stage::Thaw
            }
            Stage::Thaw => {
                self.thaw();
                Stage::Done
            }
            Stage::Done => Stage::Done,
        };
        Ok(!matches!(self.stage, Stage::Done))
    }

    fn write_some(
        &self,
        mut ingestion: Box<dyn Ingestion>,
        tablet: usize,
        after: Option<Vec<u8>>,
    ) -> Result<Stage, StorageError> {
        let Some((store, frozen)) = self.generation.tablets.get(tablet) else {
            return Ok(Stage::Register(ingestion));
        };
        let (mut rows, mut bytes, mut last) = (Vec::new(), 0, None);
        for (row, value) in frozen.rows_after(after.as_deref()) {
            if bytes >= STEP_BYTES {
                break;
            }
            bytes += row.len() + value.as_ref().map_or(0, Bytes::len);
            rows.push((frozen.incarnation.key(row), value.clone()));
            last = Some(row);
        }
        let is_at_end = bytes < STEP_BYTES;
        let last = last.cloned();
        if is_at_end && !mutant::is_active(Mutant::AppliedOutsideBatch) {
            let position = match mutant::is_active(Mutant::PositionNewerThanRows) {
                true => store.position(),
                false => frozen.position.clone(),
            };
            rows.extend(position_rows(&frozen.incarnation, &position));
        }
        ingestion.write(rows)?;
        Ok(match is_at_end {
            true => Stage::Rows { ingestion, tablet: tablet + 1, after: None },
            false => Stage::Rows { ingestion, tablet, after: last },
        })
    }

    /// A failure here (a full disk) is harmless: the catalog names a lower bound, which stays true.
    fn count_in_catalog(&self) -> Result<(), StorageError> {
        self.storage.shared.change_catalog(|catalog| {
            for (_, frozen) in &self.generation.tablets {
                // Skips groups that were replaced or dropped meanwhile.
                if let Some(entry) = catalog.groups.get_mut(&frozen.group)
                    && entry.incarnation == frozen.incarnation.number()
                {
                    entry.commits = entry.commits.max(frozen.position.commits);
                }
            }
        })
    }

    fn thaw(&self) {
        for (store, frozen) in &self.generation.tablets {
            store.thaw(frozen);
            store.durable(frozen);
        }
        *self.storage.generation.lock() = None;
        self.storage.shared.budget.thawed();
    }
}
