//! An ordered map of rows in memory. A look-up compares the first bytes of rows, which lie in the map itself, and follows a
//! pointer only where those are equal: rows begin with kind and slot, so that is where the search ends.
//!
//! *Invariant:* the order is that of the bytes, as in the engine.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

use bytes::Bytes;

/// Rows with their values; `None` says that a row was removed.
#[derive(Debug, Default)]
pub struct Layer {
    rows: BTreeMap<Row, Option<Bytes>>,
}

/// The rows of a layer from one on, in order.
pub type LayerRows<'l> = btree_map::Range<'l, Row, Option<Bytes>>;

impl Layer {
    pub fn get(&self, row: &[u8]) -> Option<&Option<Bytes>> {
        self.rows.get(&Sought::new(row) as &dyn Ordered)
    }

    /// The value that was there before.
    pub fn insert(&mut self, row: Vec<u8>, value: Option<Bytes>) -> Option<Option<Bytes>> {
        self.rows.insert(Row::from(row), value)
    }

    pub fn rows_from(&self, from: Bound<&[u8]>) -> LayerRows<'_> {
        let sought = from.map(Sought::new);
        let from = sought.as_ref().map(|sought| sought as &dyn Ordered);
        self.rows.range::<dyn Ordered, _>((from, Bound::Unbounded))
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<'r> FromIterator<(&'r Row, &'r Option<Bytes>)> for Layer {
    fn from_iter<I: IntoIterator<Item = (&'r Row, &'r Option<Bytes>)>>(rows: I) -> Layer {
        Layer { rows: rows.into_iter().map(|(row, value)| (row.clone(), value.clone())).collect() }
    }
}

/// A row as it lies in the map.
#[derive(Debug, Clone)]
pub struct Row {
    head: u64,
    bytes: Box<[u8]>,
}

impl From<Vec<u8>> for Row {
    fn from(bytes: Vec<u8>) -> Row {
        Row { head: head_of(&bytes), bytes: bytes.into_boxed_slice() }
    }
}

impl std::ops::Deref for Row {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A row to be found.
struct Sought<'r> {
    head: u64,
    bytes: &'r [u8],
}

impl Sought<'_> {
    fn new(bytes: &[u8]) -> Sought<'_> {
        Sought { head: head_of(bytes), bytes }
    }
}

/// The first eight bytes, a shorter row filled up with zeros: where two heads differ, they are in the order of their rows.
fn head_of(row: &[u8]) -> u64 {
    match row.first_chunk() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let mut head = [0; 8];
            head[..row.len()].copy_from_slice(row);
            u64::from_be_bytes(head)
        }
    }
}

/// What both are ordered by, so that a row is found without being copied.
trait Ordered {
    fn head(&self) -> u64;
    fn bytes(&self) -> &[u8];
}

impl Ordered for Row {
    fn head(&self) -> u64 {
        self.head
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Ordered for Sought<'_> {
    fn head(&self) -> u64 {
        self.head
    }

    fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

fn order(left: &(impl Ordered + ?Sized), right: &(impl Ordered + ?Sized)) -> Ordering {
    left.head().cmp(&right.head()).then_with(|| left.bytes().cmp(right.bytes()))
}

impl Ord for dyn Ordered + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self, other)
    }
}

impl PartialOrd for dyn Ordered + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Ordered + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Ordered + '_ {}

impl Ord for Row {
    fn cmp(&self, other: &Row) -> Ordering {
        order(self, other)
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Row) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Row {}

impl<'r> Borrow<dyn Ordered + 'r> for Row {
    fn borrow(&self) -> &(dyn Ordered + 'r) {
        self
    }
}

#[cfg(test)]
mod tests {
    use dkc_core::tablet::Changes;
    use proptest::prelude::*;

    use super::*;

    /// Few bytes and many lengths around that of a head, so that rows begin alike and end within and behind it.
    fn row() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..12)
    }

    proptest! {
        /// A layer holds and finds what a map of plain bytes does, in the same order.
        #[test]
        fn a_layer_is_a_map_in_the_order_of_bytes(
            rows in proptest::collection::vec((row(), proptest::option::of(any::<u8>())), 0..60),
            sought in proptest::collection::vec(row(), 10),
        ) {
            let (mut layer, mut model) = (Layer::default(), Changes::new());
            for (row, value) in rows {
                let value = value.map(|byte| Bytes::from(vec![byte]));
                prop_assert_eq!(layer.insert(row.clone(), value.clone()), model.insert(row, value));
            }
            for sought in model.keys().cloned().chain(sought) {
                prop_assert_eq!(layer.get(&sought), model.get(&sought));
                for from in [Bound::Included(&sought[..]), Bound::Excluded(&sought[..])] {
                    let found: Vec<_> = layer.rows_from(from).map(|(row, value)| (&**row, value)).collect();
                    let want = model.range::<[u8], _>((from, Bound::Unbounded));
                    prop_assert_eq!(found, want.map(|(row, value)| (&**row, value)).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(layer.rows_from(Bound::Unbounded).count(), model.len());
        }
    }
}
