//! `OBJECT ENCODING`: what Redis 7.0 with its defaults would say of a value that was written at once. Ours are stored otherwise; Redis
//! also remembers what a value was before.

use bytes::Bytes;

use super::Ran;
use crate::kv::Value;
use crate::kv::number::parse_exact;
use crate::tablet::Rows;
use crate::tablet::head::{CollectionKind, Head};
use crate::tablet::view::{KeyRow, View};

/// Up to this length a string is `embstr`.
const EMBEDDED_MAX_BYTES: usize = 44;
/// A hash with more fields is no `listpack`.
const HASH_LISTPACK_MAX_ELEMENTS: u64 = 512;
/// Nor is a sorted set with more members.
const SORTED_SET_LISTPACK_MAX_ELEMENTS: u64 = 128;
/// Nor is either with a longer element.
const LISTPACK_MAX_BYTES: usize = 64;
/// A set of more integers is no `intset`.
const INTSET_MAX_ELEMENTS: u64 = 512;

impl<R: Rows> View<'_, R> {
    pub(super) fn encoding(&self, key_row: &KeyRow) -> Ran<Value, R> {
        let word = match (key_row.head(), key_row.live()) {
            (None, None) => return Ok(Value::Nil),
            (None, Some(record)) if parse_exact(&record.value).is_some() => "int",
            (None, Some(record)) if record.value.len() <= EMBEDDED_MAX_BYTES => "embstr",
            (None, Some(_)) => "raw",
            (Some(head), _) => self.encoding_of_collection(key_row, &head)?,
        };
        Ok(Value::Text(Bytes::from_static(word.as_bytes())))
    }

    fn encoding_of_collection(&self, key_row: &KeyRow, head: &Head) -> Ran<&'static str, R> {
        let (elements_max, small, large) = match head.kind {
            CollectionKind::List => return Ok("quicklist"),
            CollectionKind::Hash => (HASH_LISTPACK_MAX_ELEMENTS, "listpack", "hashtable"),
            CollectionKind::SortedSet => (SORTED_SET_LISTPACK_MAX_ELEMENTS, "listpack", "skiplist"),
            CollectionKind::Set => (INTSET_MAX_ELEMENTS, "intset", "hashtable"),
        };
        if head.elements > elements_max {
            return Ok(large);
        }
        let rows = self.all_rows(key_row, head)?;
        // Behind the kind of the row stands the field or member.
        let mut elements = rows
            .iter()
            .filter(|(suffix, _)| suffix.first() == Some(&b'e'))
            .map(|(suffix, value)| (&suffix[1..], value));
        let is_small = elements.all(|(name, value)| match head.kind {
            CollectionKind::Set => parse_exact(name).is_some(),
            CollectionKind::Hash => name.len().max(value.len()) <= LISTPACK_MAX_BYTES,
            _ => name.len() <= LISTPACK_MAX_BYTES,
        });
        Ok(if is_small { small } else { large })
    }
}
