//! From a key to its slot, and from slots to tablets. Both are permanent: the test vectors below guarantee it.

use xxhash_rust::xxh3::xxh3_64;

use super::{SLOTS, SlotId};
use crate::ids::{Namespace, TabletId};

/// The slot is the top bits of the hash.
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// Namespace, separator and most keys fit here, so that hashing them needs no allocation.
const HASH_BUFFER_BYTES: usize = 320;

/// The slot of a key: the top 14 bits of xxh3-64 (seed 0) over namespace, a zero byte and the routing part.
pub fn slot_of(namespace: &Namespace, key: &[u8]) -> SlotId {
    let (name, routing) = (namespace.as_str().as_bytes(), routing_part(key));
    let length = name.len() + 1 + routing.len();
    if length > HASH_BUFFER_BYTES {
        return slot_of_hash(xxh3_64(&[name, &[0], routing].concat()));
    }
    let mut buffer = [0_u8; HASH_BUFFER_BYTES];
    buffer[..name.len()].copy_from_slice(name);
    buffer[name.len() + 1..length].copy_from_slice(routing);
    slot_of_hash(xxh3_64(&buffer[..length]))
}

fn slot_of_hash(hash: u64) -> SlotId {
    SlotId((hash >> (u64::BITS - SLOT_BITS)) as u16)
}

/// Redis's rule: the bytes between the first `{` and the first `}` after it, unless empty; else the whole key.
fn routing_part(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    match memchr::memchr(b'}', &key[open + 1..]) {
        Some(length) if length > 0 => &key[open + 1..open + 1 + length],
        _ => key,
    }
}

/// First and last slot of a tablet when the key space is cut evenly into `tablets` ranges.
/// Needs `tablet < tablets` and `1 ≤ tablets ≤ SLOTS`.
pub fn tablet_range(tablet: TabletId, tablets: u16) -> (SlotId, SlotId) {
    let start_of = |n: u32| n * SLOTS / u32::from(tablets);
    let n = u32::from(tablet.0);
    (SlotId(start_of(n) as u16), SlotId((start_of(n + 1) - 1) as u16))
}

/// The slots of a tablet of a cluster that was founded with so many; one that came of a split says itself which it has.
pub fn founding_slots(tablet: TabletId, founding: u16) -> std::ops::RangeInclusive<SlotId> {
    if tablet.0 >= founding {
        return super::ALL_SLOTS;
    }
    let (first, last) = tablet_range(tablet, founding);
    first..=last
}

/// Every tablet with its first and last slot, in slot order and without a gap.
pub fn tablet_ranges(tablets: u16) -> impl Iterator<Item = (TabletId, SlotId, SlotId)> {
    (0..tablets).map(TabletId).map(move |tablet| {
        let (first, last) = tablet_range(tablet, tablets);
        (tablet, first, last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(namespace: &str, key: &str, want: u16) {
        assert_eq!(
            slot_of(&namespace.parse().unwrap(), key.as_bytes()),
            SlotId(want),
            "{namespace} {key:.20}"
        );
    }

    #[test]
    fn slots_of_these_keys_never_change() {
        check("default", "", 15609);
        check("default", "a", 3647);
        check("default", "test-key", 589);
        check("other", "test-key", 1251);
        check("default", "user:1000", 15946);
        check("default", &"x".repeat(250), 5375);
        check("default", &"x".repeat(1000), 12140);
    }

    #[test]
    fn the_tag_decides_where_one_stands() {
        let slot = |key: &str| slot_of(&Namespace::default(), key.as_bytes());
        assert_eq!(slot("{user}.name"), slot("user"));
        assert_eq!(slot("a{user}b{other}"), slot("user"));
        assert_eq!(slot("a{{user}}b"), slot("{user"));
        for whole in ["a{}b{user}", "a{user", "a}user{", "{}", "}{"] {
            assert_eq!(routing_part(whole.as_bytes()), whole.as_bytes());
        }
    }

    #[test]
    fn tablets_cover_every_slot_once_and_evenly() {
        for tablets in [1, 2, 3, 6, 12, 16, 64, 100, 256, 1000, 16384] {
            let mut next = 0_u32;
            for (_, first, last) in tablet_ranges(tablets) {
                assert_eq!(u32::from(first.0), next);
                let length = u32::from(last.0) + 1 - u32::from(first.0);
                let share = SLOTS / u32::from(tablets);
                assert!(length == share || length == share + 1);
                next = u32::from(last.0) + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }
}
