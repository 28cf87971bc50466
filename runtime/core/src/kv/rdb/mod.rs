//! The payload of `DUMP` and `RESTORE`: a value as Redis's database file holds it, with a version and a checksum behind it. What we
//! write has the plainest form that every Redis reads; what Redis writes is read in all forms of its releases up to 7.0.
//!
//! ```text
//! payload  u8 type, the value, u16 version, u64 CRC of all before it; both little endian
//! ```
//!
//! *Invariant:* no bytes make reading panic, and what is made of them is at most `EXPANSION_MAX` times as large.

mod packed;
mod read;
mod write;

pub use read::decode;
pub use write::encode;

/// Of Redis 7.0. Redis refuses a later one, and so do we.
const VERSION: u16 = 10;
const FOOTER_BYTES: usize = 2 + 8;

/// Types of values in the file.
mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const SORTED_SET_TEXT: u8 = 3;
    pub const HASH: u8 = 4;
    pub const SORTED_SET: u8 = 5;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const SORTED_SET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const QUICKLIST: u8 = 14;
    pub const HASH_LISTPACK: u8 = 16;
    pub const SORTED_SET_LISTPACK: u8 = 17;
    pub const QUICKLIST_2: u8 = 18;
}

/// Why bytes are no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDump {
    /// Of a later release, or changed on its way.
    #[error("ERR DUMP payload version or checksum are wrong")]
    Footer,
    /// The value itself.
    #[error("ERR Bad data format")]
    Content,
}

type Read<T> = Result<T, BadDump>;

/// CRC-64 of Jones, as Redis computes it.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
    bytes.iter().fold(0, |crc, byte| {
        let mixed = crc ^ u64::from(*byte);
        (0..8).fold(mixed, |crc, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::kv::Score;
    use crate::kv::operation::Content;

    #[test]
    fn the_checksum_is_that_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    fn text() -> impl Strategy<Value = Bytes> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80).prop_map(Bytes::from),
            any::<i64>().prop_map(|number| number.to_string().into()),
            (0..20_000_usize).prop_map(|length| vec![b'x'; length].into()),
        ]
    }

    fn content() -> impl Strategy<Value = Content> {
        let texts = || prop::collection::vec(text(), 1..20);
        let pairs = prop::collection::vec((text(), text()), 1..20);
        let scored = prop::collection::vec((any::<f64>(), text()), 1..20);
        prop_oneof![
            text().prop_map(Content::String),
            texts().prop_map(Content::List),
            texts().prop_map(Content::Set),
            pairs.prop_map(Content::Hash),
            scored.prop_map(|all| {
                let each = all.into_iter().map(|(score, member)| (Score(score), member));
                Content::SortedSet(each.filter(|(score, _)| !score.0.is_nan()).collect())
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_value_comes_back_and_no_changed_byte_goes_unnoticed(content in content(), at in any::<prop::sample::Index>()) {
            prop_assume!(!matches!(&content, Content::SortedSet(all) if all.is_empty()));
            let payload = encode(&content);
            prop_assert_eq!(decode(&payload), Ok(content));
            let mut changed = payload.to_vec();
            let at = at.index(changed.len());
            changed[at] ^= 1;
            prop_assert_eq!(decode(&changed.into()), Err(BadDump::Footer));
        }

        #[test]
        fn no_bytes_make_reading_panic(kind in 0..22_u8, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut payload = [&[kind], &body[..], &VERSION.to_le_bytes()].concat();
            payload.extend(crc64(&payload).to_le_bytes());
            let _ = decode(&payload.into());
        }
    }
}
