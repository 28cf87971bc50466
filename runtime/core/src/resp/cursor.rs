//! Cursors of `SCAN`: a number, as clients want it, from the slot where the scan continues and the hash of the last key
//! returned.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::ring::{SLOTS, SlotId};

/// Bits of a cursor below the slot.
const HASH_BITS: u32 = 48;

/// Where a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// 0 to `SLOTS`, which is the end.
    pub slot: u32,
    /// Of the last key returned; 0 = from the beginning of the slot.
    pub hash: u64,
}

impl Cursor {
    /// From the number that a client sent; any number is a place.
    pub fn of(number: u64) -> Cursor {
        match number {
            0 => Cursor { slot: 0, hash: 0 },
            number => {
                let slot = (number >> HASH_BITS).saturating_sub(1).min(u64::from(SLOTS)) as u32;
                Cursor { slot, hash: number & ((1 << HASH_BITS) - 1) }
            }
        }
    }

    /// The scan continues after this key.
    pub fn behind(slot: SlotId, key: &[u8]) -> Cursor {
        Cursor { slot: u32::from(slot.0), hash: hash(key) }
    }

    /// This is the last key returned.
    pub fn is_of(self, slot: SlotId, key: &[u8]) -> bool {
        u32::from(slot.0) == self.slot && hash(key) == self.hash
    }

    /// Never 0 for a place behind the beginning, because 0 tells a client that the scan is over.
    pub fn number(self) -> u64 {
        (u64::from(self.slot) + 1) << HASH_BITS | self.hash
    }
}

/// Never 0.
fn hash(key: &[u8]) -> u64 {
    (xxh3_64(key) >> (u64::BITS - HASH_BITS)) | 1
}

impl Cursor {
    /// The position before this slot for a tablet's scan.
    pub fn row(self) -> Bytes {
        match self.slot {
            0 => Bytes::new(),
            slot => Bytes::copy_from_slice(&(slot.min(SLOTS - 1) as u16).to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_number_that_any_client_can_hold() {
        for cursor in [Cursor { slot: 0, hash: 0 }, Cursor::behind(SlotId(16383), b"key")] {
            assert_eq!(Cursor::of(cursor.number()), cursor);
            assert!(cursor.number() <= i64::MAX as u64 && cursor.number() > 0);
        }
        assert_eq!(Cursor::of(0), Cursor { slot: 0, hash: 0 });
        assert_eq!(Cursor::of(u64::MAX).slot, SLOTS);
    }
}
