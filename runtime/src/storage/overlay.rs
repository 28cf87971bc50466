//! The recently applied rows of one tablet, in ordered maps that are read before the engine. A generation grows until it is frozen;
//! a frozen one stays readable here until the engine has ingested it.
//!
//! *Invariant (D5):* a frozen generation has the rows and the position of one moment between two commits.
//! *Invariant:* a removed row stays here as a tombstone, or an older value in the engine would reappear.

use std::iter::Peekable;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::SlotId;
use dkc_core::tablet::Changes;

use super::birth::Birth;
use super::home::Home;
use super::layer::{Layer, LayerRows, Row};
use super::position::Position;

/// What a row takes beside its bytes: its place in the map and the heads of two allocations.
const ROW_OVERHEAD_BYTES: usize = 128;
/// A snapshot seals what has grown so far. More seals than this in one generation are merged into one.
const SEALED_MAX: usize = 4;

/// What a generation has to carry out beside its rows.
#[derive(Default)]
pub struct SplitHere {
    pub narrowed_to: Option<RangeInclusive<SlotId>>,
    pub births: Vec<Arc<Birth>>,
}

/// The frozen generation of one tablet: nothing of it changes any more.
pub struct Frozen {
    pub group: GroupId,
    pub home: Home,
    pub position: Position,
    /// The tablet was split: it keeps these slots.
    pub narrowed_to: Option<RangeInclusive<SlotId>>,
    /// The tablets that came of it on this node.
    pub births: Vec<Arc<Birth>>,
    layers: Vec<Arc<Layer>>,
}

impl Frozen {
    /// Rows from there on, in order.
    pub fn rows_after(&self, from: Bound<&[u8]>) -> Merged<'_> {
        Merged::new(&self.layers, from)
    }
}

#[derive(Default)]
pub struct Overlay {
    growing: Layer,
    /// Older parts of the growing generation that snapshots read, the newest first.
    sealed: Vec<Arc<Layer>>,
    frozen: Option<Arc<Frozen>>,
    growing_bytes: u64,
}

/// What a commit adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Growth {
    /// Memory; a row that is written again takes none.
    pub memory_bytes: i64,
    /// What has to be applied again after a crash; a row counts each time.
    pub replay_bytes: u64,
}

impl Overlay {
    pub fn commit(&mut self, changes: Changes) -> Growth {
        let mut growth = Growth::default();
        for (row, value) in changes {
            let row_bytes = row.len() + ROW_OVERHEAD_BYTES;
            let value_bytes = size_of_value(&value);
            growth.replay_bytes += (row_bytes + value_bytes) as u64;
            growth.memory_bytes += match self.growing.insert(row, value) {
                Some(before) => value_bytes as i64 - size_of_value(&before) as i64,
                None => (row_bytes + value_bytes) as i64,
            };
        }
        self.growing_bytes = self.growing_bytes.saturating_add_signed(growth.memory_bytes);
        growth
    }

    /// `Some(None)` says that the row was removed, `None` that the engine has to be asked.
    pub fn get(&self, row: &[u8]) -> Option<Option<Bytes>> {
        let older = self.sealed.iter().chain(self.frozen.iter().flat_map(|frozen| &frozen.layers));
        let found = self.growing.get(row).or_else(|| older.into_iter().find_map(|layer| layer.get(row)));
        found.cloned()
    }

    /// All rows that are here from `from` on, in order.
    pub fn rows_from(&self, from: &[u8]) -> Merged<'_> {
        let older = self.sealed.iter().chain(self.frozen.iter().flat_map(|frozen| &frozen.layers));
        let layers = std::iter::once(&self.growing).chain(older.map(Arc::as_ref));
        Merged::of(layers, Bound::Included(from))
    }

    /// All rows that are here at this moment, as layers that never change, the newest first.
    pub fn snapshot(&mut self) -> Vec<Arc<Layer>> {
        self.seal();
        let frozen = self.frozen.iter().flat_map(|frozen| &frozen.layers);
        self.sealed.iter().chain(frozen).cloned().collect()
    }

    fn seal(&mut self) {
        if !self.growing.is_empty() {
            self.sealed.insert(0, Arc::new(std::mem::take(&mut self.growing)));
        }
        if self.sealed.len() > SEALED_MAX {
            self.sealed = vec![Arc::new(Merged::new(&self.sealed, Bound::Unbounded).collect())];
        }
    }

    /// Begins a new generation. The one before must have been thawed.
    pub fn freeze(
        &mut self,
        group: GroupId,
        home: Home,
        position: Position,
        split: SplitHere,
    ) -> Arc<Frozen> {
        debug_assert!(self.frozen.is_none(), "two frozen generations");
        self.seal();
        let mut layers = std::mem::take(&mut self.sealed);
        if mutant::is_active(Mutant::TombstoneLostAtFreezing) {
            let values = Merged::new(&layers, Bound::Unbounded).filter(|(_, value)| value.is_some());
            layers = vec![Arc::new(values.collect())];
        }
        self.growing_bytes = 0;
        let SplitHere { narrowed_to, births } = split;
        let frozen = Arc::new(Frozen { group, home, position, narrowed_to, births, layers });
        if !mutant::is_active(Mutant::FrozenNotRead) {
            self.frozen = Some(frozen.clone());
        }
        frozen
    }

    /// Drops a frozen generation that the engine has.
    pub fn thaw(&mut self, frozen: &Arc<Frozen>) {
        if self.frozen.as_ref().is_some_and(|held| Arc::ptr_eq(held, frozen)) {
            self.frozen = None;
        }
    }

    /// Memory of the growing generation.
    pub fn growing_bytes(&self) -> u64 {
        self.growing_bytes
    }
}

fn size_of_value(value: &Option<Bytes>) -> usize {
    value.as_ref().map_or(0, Bytes::len)
}

/// Layers as one: rows in order, each with the value of the newest layer that has it.
pub struct Merged<'l> {
    layers: Vec<Peekable<LayerRows<'l>>>,
}

impl<'l> Merged<'l> {
    /// The newest layer first.
    pub fn new(layers: &'l [Arc<Layer>], from: Bound<&[u8]>) -> Merged<'l> {
        Merged::of(layers.iter().map(Arc::as_ref), from)
    }

    fn of(layers: impl Iterator<Item = &'l Layer>, from: Bound<&[u8]>) -> Merged<'l> {
        Merged { layers: layers.map(|layer| layer.rows_from(from).peekable()).collect() }
    }
}

impl<'l> Iterator for Merged<'l> {
    type Item = (&'l Row, &'l Option<Bytes>);

    fn next(&mut self) -> Option<Self::Item> {
        if let [only] = &mut self.layers[..] {
            return only.next();
        }
        let smallest = self.layers.iter_mut().filter_map(|layer| layer.peek().map(|(row, _)| *row)).min()?;
        let mut newest = None;
        for layer in &mut self.layers {
            let found = layer.next_if(|(row, _)| *row == smallest);
            newest = newest.or(found);
        }
        newest
    }
}
