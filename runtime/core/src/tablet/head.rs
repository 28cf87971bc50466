//! Lists, hashes, sets and sorted sets as rows. The key's row holds the head; each element has its own row.
//!
//! ```text
//! head     in the data row: format 2, u32 flags, u64 version, u64 expires_at_ms, u64 modified_at_ms as a record has them,
//!          then u8 type, u64 incarnation, u64 elements, u64 bytes, u64 position of a list's first element
//! element  5 u16 slot, u64 incarnation, then by type
//!            list        'e' u64 position         → the element
//!            hash        'e' field                → the value
//!            set         'e' member               → nothing
//!            sorted set  'e' member               → the bits of the score
//!                        's' score in order, member → nothing
//! garbage  6 u16 slot, u64 incarnation            → nothing: its elements have no head any more
//! ```
//!
//! The incarnation is the version under which the collection was made. A collection that is deleted, overwritten, expired or
//! flushed loses its head in one row; its elements become garbage and are removed later, a bounded number with each empty
//! batch. A rename moves the head alone.
//!
//! *Invariant:* every element row belongs to a head or to a garbage row, never to both; `elements` counts the rows `e`.

use bytes::{BufMut, Bytes, BytesMut};

use super::rows::{FORMAT_HEAD, HEAD_BYTES, KIND_ELEMENT, KIND_GARBAGE, RecordHeader};
use crate::kv::codec::{BadBytes, Reader};
use crate::ring::SlotId;

/// Kind, slot, incarnation.
pub const PREFIX_BYTES: usize = 1 + 2 + 8;

/// Lists begin in the middle, so that they grow both ways.
pub const LIST_MIDDLE: u64 = 1 << 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectionKind {
    List = 1,
    Hash = 2,
    Set = 3,
    SortedSet = 4,
}

impl CollectionKind {
    pub fn word(self) -> &'static str {
        match self {
            CollectionKind::List => "list",
            CollectionKind::Hash => "hash",
            CollectionKind::Set => "set",
            CollectionKind::SortedSet => "zset",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub kind: CollectionKind,
    pub incarnation: u64,
    pub elements: u64,
    /// Keys and values of the rows `e`, without the prefix before the element.
    pub bytes: u64,
    pub first: u64,
}

impl Head {
    pub fn encode(&self, header: &RecordHeader) -> Bytes {
        let mut out = BytesMut::with_capacity(29 + HEAD_BYTES);
        out.put_u8(FORMAT_HEAD);
        out.put_u32(header.flags);
        out.put_u64(header.version);
        out.put_u64(header.expires_at_ms.unwrap_or(0));
        out.put_u64(header.modified_at_ms);
        out.put_u8(self.kind as u8);
        out.put_u64(self.incarnation);
        out.put_u64(self.elements);
        out.put_u64(self.bytes);
        out.put_u64(self.first);
        out.freeze()
    }

    /// The part after the header.
    pub fn decode(bytes: &Bytes) -> Result<Head, BadBytes> {
        let mut reader = Reader::new(bytes, "head row");
        let kind = match reader.u8()? {
            1 => CollectionKind::List,
            2 => CollectionKind::Hash,
            3 => CollectionKind::Set,
            4 => CollectionKind::SortedSet,
            _ => return Err(reader.bad("no such type")),
        };
        let head = Head {
            kind,
            incarnation: reader.u64()?,
            elements: reader.u64()?,
            bytes: reader.u64()?,
            first: reader.u64()?,
        };
        reader.end()?;
        Ok(head)
    }
}

/// What all element rows of a collection begin with.
pub fn element_prefix(slot: SlotId, incarnation: u64) -> Vec<u8> {
    prefix(KIND_ELEMENT, slot, incarnation)
}

pub fn garbage_row(slot: SlotId, incarnation: u64) -> Vec<u8> {
    prefix(KIND_GARBAGE, slot, incarnation)
}

fn prefix(kind: u8, slot: SlotId, incarnation: u64) -> Vec<u8> {
    let mut row = Vec::with_capacity(PREFIX_BYTES + 32);
    row.push(kind);
    row.extend_from_slice(&slot.0.to_be_bytes());
    row.extend_from_slice(&incarnation.to_be_bytes());
    row
}

/// The slot in a data row.
pub fn slot_of_row(row: &[u8]) -> SlotId {
    SlotId(row.get(1..).and_then(<[u8]>::first_chunk::<2>).map_or(0, |slot| u16::from_be_bytes(*slot)))
}

/// A score as eight bytes in whose order the scores are.
pub fn ordered(score: f64) -> [u8; 8] {
    let bits = (score + 0.0).to_bits();
    let flipped = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    flipped.to_be_bytes()
}
