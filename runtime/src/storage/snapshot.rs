//! The state of a group at one moment, read while commits, freezing and ingestions go on; and how rows in memory and rows
//! of the engine become one.

use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ring::SlotId;
use dkc_core::tablet::{OwnRows, Rows};

use super::StorageError;
use super::engine::View;
use super::home::Home;
use super::incarnation::PREFIX_BYTES;
use super::layer::Layer;
use super::overlay::Merged;
use super::position::Position;
use super::row::SYSTEM_KIND;

/// The state of a group at one applied position. Cheap to clone.
#[derive(Clone)]
pub struct TabletSnapshot {
    inner: Arc<Inner>,
}

struct Inner {
    /// While it is held its rows stay, whatever becomes of the group.
    home: Home,
    layers: Vec<Arc<Layer>>,
    view: Box<dyn View>,
    position: Position,
}

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    pub rows: Vec<(Bytes, Bytes)>,
    /// Give this to `TabletSnapshot::chunk` for the next piece; `None` after the last one.
    pub next: Option<Bytes>,
}

impl TabletSnapshot {
    pub(super) fn new(
        home: Home,
        layers: Vec<Arc<Layer>>,
        view: Box<dyn View>,
        position: Position,
    ) -> TabletSnapshot {
        TabletSnapshot { inner: Arc::new(Inner { home, layers, view, position }) }
    }

    pub fn applied(&self) -> Option<Bytes> {
        self.inner.position.applied.clone()
    }

    pub fn membership(&self) -> Option<Bytes> {
        self.inner.position.membership.clone()
    }

    /// The rows behind `after` (from the beginning with `None`): as many as reach `bytes_max`, at least one. With `slots`, no
    /// rows of other slots. The storage's own rows are not among them.
    pub fn chunk(
        &self,
        after: Option<&[u8]>,
        bytes_max: usize,
        slots: Option<RangeInclusive<SlotId>>,
    ) -> Result<Chunk, StorageError> {
        let (mut chunk, mut bytes) = (Chunk::default(), 0);
        // The smallest row behind `after` is `after` with a zero byte.
        let from = after.map_or_else(Vec::new, |after| [after, &[0]].concat());
        OwnRows::new(self, slots).scan(&from, &mut |row, value| {
            if bytes >= bytes_max {
                chunk.next = chunk.rows.last().map(|(row, _): &(Bytes, Bytes)| row.clone());
                return false;
            }
            bytes += row.len() + value.len();
            chunk.rows.push((Bytes::copy_from_slice(row), Bytes::copy_from_slice(value)));
            true
        })?;
        Ok(chunk)
    }
}

impl Rows for TabletSnapshot {
    type Error = StorageError;

    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match self.inner.layers.iter().find_map(|layer| layer.get(row)) {
            Some(value) => Ok(value.clone()),
            None => self.inner.view.get(&self.inner.home.key(row)),
        }
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StorageError> {
        let rows = Merged::new(&self.inner.layers, Bound::Included(from));
        scan_merged(&*self.inner.view, &self.inner.home, rows, from, visit)
    }
}

/// Visits the rows of a group from `from` on: those of the engine, and over them `newer` ones. The storage's own
/// rows are none.
pub(super) fn scan_merged(
    engine: &dyn View,
    home: &Home,
    newer: Merged<'_>,
    from: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StorageError> {
    if from.first() == Some(&SYSTEM_KIND) {
        return Ok(());
    }
    let mut newer = newer.peekable();
    let mut goes_on = true;
    home.scan(engine, from, &mut |key, value| {
        let row = &key[PREFIX_BYTES..];
        while goes_on && let Some((row, value)) = newer.next_if(|(newer, _)| newer[..] < *row) {
            goes_on = value.as_ref().is_none_or(|value| visit(row, value));
        }
        if goes_on {
            goes_on = match newer.next_if(|(newer, _)| newer[..] == *row) {
                Some((_, newer)) => newer.as_ref().is_none_or(|value| visit(row, value)),
                None => visit(row, value),
            };
        }
        goes_on
    })?;
    while goes_on && let Some((row, value)) = newer.next() {
        goes_on = value.as_ref().is_none_or(|value| visit(row, value));
    }
    Ok(())
}
