//! Freezing and ingesting: recently applied rows become rows of the engine, in one ingestion for all groups of the node. It runs in
//! short steps, and a crash between any two of them is safe.
//!
//! *Invariant (D1, D5, and the rule for the log):* the rows of a group and its position and membership, as of the same commit, are in
//! one ingestion. `durable_applied` advances only once it is durable, and the Raft log is purged no further than that.
//! *Invariant:* a frozen generation is read from memory until the engine has it.
//! *Invariant (D3):* the catalog says how many commits of a group are durable at least.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::mutant::{self, Mutant};

use super::birth::Birth;
use super::engine::{IngestedRow, Ingestion};
use super::home::{SharedRows, Stretch};
use super::overlay::Frozen;
use super::row::SYSTEM_KIND;
use super::{Storage, StorageError, TabletStore, incarnation};

/// Rows of one step.
const STEP_BYTES: usize = if cfg!(feature = "simulation") { 512 } else { 1 << 20 };

/// The frozen rows of all groups, each as of one commit.
pub struct Generation {
    pub tablets: Vec<(TabletStore, Arc<Frozen>)>,
    /// What is written, in the order of keys.
    parts: Vec<GenerationPart>,
}

/// Rows that follow each other in the engine.
enum GenerationPart {
    /// Of one stretch, by several tablets where they share it.
    Rows { stretch: Stretch, tablets: Vec<usize> },
    /// The position of a tablet, behind its rows.
    Position { tablet: usize },
    /// The own rows and the position of a tablet that a split begins.
    Birth(Arc<Birth>),
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
    Rows { ingestion: Box<dyn Ingestion>, part: usize, after: Option<Vec<u8>> },
    Name(Box<dyn Ingestion>),
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
            let mut frozen: Vec<_> = generation.tablets.iter().map(|(_, frozen)| frozen).collect();
            frozen.sort_by_key(|frozen| frozen.home.number());
            frozen
                .into_iter()
                .try_for_each(|frozen| ingestion.write(frozen.home.position_rows(&frozen.position)))?;
            ingestion.finish()?;
        }
        let ingestion = self.shared.engine.begin()?;
        let stage = Stage::Rows { ingestion, part: 0, after: None };
        Ok(Some(Ingesting { _turn: turn, storage: self.clone(), generation, stage }))
    }

    fn freeze(&self) -> Option<Generation> {
        // Held, so that no tablet begins or ends meanwhile.
        let stores = self.stores.lock();
        let mut bytes = 0;
        let mut tablets = Vec::new();
        for store in stores.values().cloned() {
            let Some((frozen, frozen_bytes)) = store.freeze() else { continue };
            bytes += frozen_bytes;
            if mutant::is_active(Mutant::PurgeBeyondPersisted) {
                store.durable(&frozen);
            }
            tablets.push((store, frozen));
        }
        let parts = parts_of(&tablets);
        match tablets.is_empty() {
            true => self.shared.budget.nothing_grows(),
            false => self.shared.budget.frozen(bytes),
        }
        (!tablets.is_empty()).then_some(Generation { tablets, parts })
    }
}

impl Ingesting {
    /// Runs one step; returns whether more remain. After an error the generation stays frozen and readable, and the next ingestion
    /// starts over.
    pub fn step(&mut self) -> Result<bool, StorageError> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Rows { ingestion, part, after } => self.write_some(ingestion, part, after)?,
            Stage::Name(ingestion) => {
                self.name_births()?;
                Stage::Register(ingestion)
            }
            Stage::Register(ingestion) => {
                ingestion.finish()?;
                Stage::Catalog
            }
            Stage::Catalog => {
                self.count_in_catalog()?;
                Stage::Thaw
            }
            Stage::Thaw => {
                self.thaw()?;
                Stage::Done
            }
            Stage::Done => Stage::Done,
        };
        Ok(!matches!(self.stage, Stage::Done))
    }

    fn write_some(
        &self,
        mut ingestion: Box<dyn Ingestion>,
        number: usize,
        after: Option<Vec<u8>>,
    ) -> Result<Stage, StorageError> {
        let (rows, last) = match self.generation.parts.get(number) {
            None => return Ok(Stage::Name(ingestion)),
            Some(GenerationPart::Rows { stretch, tablets }) => {
                some_rows(&self.generation, stretch, tablets, after.as_deref())
            }
            Some(GenerationPart::Position { tablet }) => (self.position_of(*tablet), None),
            Some(GenerationPart::Birth(birth)) => (rows_of_birth(birth), None),
        };
        ingestion.write(rows)?;
        Ok(match last {
            None => Stage::Rows { ingestion, part: number + 1, after: None },
            Some(_) => Stage::Rows { ingestion, part: number, after: last },
        })
    }

    fn position_of(&self, tablet: usize) -> Vec<IngestedRow> {
        let (store, frozen) = &self.generation.tablets[tablet];
        if mutant::is_active(Mutant::AppliedOutsideBatch) {
            return Vec::new();
        }
        match mutant::is_active(Mutant::PositionNewerThanRows) {
            true => frozen.home.position_rows(&store.position()),
            false => frozen.home.position_rows(&frozen.position),
        }
    }

    /// Before the ingestion is registered: from then on nothing else would lead to the tablets that it begins.
    fn name_births(&self) -> Result<(), StorageError> {
        if mutant::is_active(Mutant::BirthNotNamed) {
            return Ok(());
        }
        self.storage.shared.change_catalog(|catalog| {
            for birth in self.births() {
                catalog.groups.entry(birth.group).or_insert_with(|| birth.catalog_entry(0));
            }
        })
    }

    fn births(&self) -> impl Iterator<Item = &Arc<Birth>> {
        self.generation.tablets.iter().flat_map(|(_, frozen)| &frozen.births)
    }

    /// A failure here (a full disk) is harmless: the catalog names a lower bound, which stays true.
    fn count_in_catalog(&self) -> Result<(), StorageError> {
        self.storage.shared.change_catalog(|catalog| {
            for (_, frozen) in &self.generation.tablets {
                // Skips groups that were replaced or dropped meanwhile.
                if let Some(entry) = catalog.groups.get_mut(&frozen.group)
                    && entry.incarnation == frozen.home.number()
                {
                    entry.commits = entry.commits.max(frozen.position.commits);
                    if let Some(slots) = frozen.narrowed_to.clone() {
                        entry.rows = Some(SharedRows { incarnation: frozen.home.slots_number(), slots });
                    }
                }
            }
            for birth in self.births().filter(|_| !mutant::is_active(Mutant::BirthNotNamed)) {
                catalog.groups.insert(birth.group, birth.catalog_entry(birth.position.commits));
            }
        })
    }

    fn thaw(&self) -> Result<(), StorageError> {
        for (store, frozen) in &self.generation.tablets {
            store.thaw(frozen);
            store.durable(frozen);
            if let Some(slots) = frozen.narrowed_to.clone() {
                store.narrow(frozen.home.number(), slots);
            }
        }
        for birth in self.births() {
            let store = birth.store()?;
            self.storage.stores.lock().insert(birth.group, store);
            self.storage.shared.being_born.lock().remove(&birth.group);
            self.storage.shared.born.send_modify(|count| *count += 1);
        }
        *self.storage.generation.lock() = None;
        self.storage.shared.budget.thawed();
        Ok(())
    }
}

/// In the order of keys: by incarnation, and within one by kind. Tablets that were one before a split have a stretch in common.
fn parts_of(tablets: &[(TabletStore, Arc<Frozen>)]) -> Vec<GenerationPart> {
    let mut ordered: BTreeMap<(u64, u8, u8), GenerationPart> = BTreeMap::new();
    for (tablet, (_, frozen)) in tablets.iter().enumerate() {
        for stretch in frozen.home.stretches() {
            let place = (stretch.incarnation, stretch.from, 0);
            let part = ordered.entry(place).or_insert(GenerationPart::Rows { stretch, tablets: Vec::new() });
            if let GenerationPart::Rows { tablets, .. } = part {
                tablets.push(tablet);
            }
        }
        ordered.insert((frozen.home.number(), SYSTEM_KIND, 0), GenerationPart::Position { tablet });
        for birth in &frozen.births {
            ordered.insert((birth.home.number(), 0, 1), GenerationPart::Birth(birth.clone()));
        }
    }
    ordered.into_values().collect()
}

/// Rows of a stretch behind `after`, as many as fill a step, and the last of them if there are more.
fn some_rows(
    generation: &Generation,
    stretch: &Stretch,
    tablets: &[usize],
    after: Option<&[u8]>,
) -> (Vec<IngestedRow>, Option<Vec<u8>>) {
    let begin = [stretch.from];
    let layers = tablets.iter().map(|tablet| match after {
        Some(after) => generation.tablets[*tablet].1.rows_after(Bound::Excluded(after)),
        None => generation.tablets[*tablet].1.rows_after(Bound::Included(&begin)),
    });
    let mut layers: Vec<_> = layers.map(Iterator::peekable).collect();
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, None);
    while bytes < STEP_BYTES {
        let smallest = layers.iter_mut().filter_map(|layer| layer.peek().map(|(row, _)| *row)).min();
        let Some(smallest) = smallest.filter(|row| stretch.holds(row)) else { return (rows, None) };
        // Two tablets have a row in common only where a parent's generation still has what it gave away: it is not newer.
        let found: Vec<_> =
            layers.iter_mut().filter_map(|layer| layer.next_if(|(row, _)| *row == smallest)).collect();
        let Some((row, value)) = found.last() else { return (rows, None) };
        let row = *row;
        bytes += row.len() + value.as_ref().map_or(0, Bytes::len);
        rows.push((stretch.key(row), (*value).clone()));
        last = Some(row);
    }
    (rows, last.map(|row| row.to_vec()))
}

fn rows_of_birth(birth: &Birth) -> Vec<IngestedRow> {
    let mut rows: Vec<IngestedRow> =
        birth.rows.iter().map(|(row, value)| (birth.home.key(row), value.clone())).collect();
    rows.extend(birth.home.position_rows(&birth.position));
    rows
}
