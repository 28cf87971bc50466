//! The keys of one get, made one at a time, so that a line of a hundred thousand keys costs the memory of the line.

use bytes::{Buf, Bytes};

use super::KEY_MAX_BYTES;
use super::line::next_word;
use crate::ids::Namespace;
use crate::kv::Key;

/// Iterates over the keys of a line. Every key is within memcached's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    namespace: Namespace,
    /// The words that are not taken yet.
    words: Bytes,
}

impl Keys {
    /// `None` when a key is too long.
    pub(super) fn new(namespace: &Namespace, words: Bytes) -> Option<Keys> {
        let mut at = 0;
        while let Some(word) = next_word(&words, at) {
            if word.len() > KEY_MAX_BYTES {
                return None;
            }
            at = word.end;
        }
        Some(Keys { namespace: namespace.clone(), words })
    }

    /// The key, when there is exactly one.
    pub fn single(mut self) -> Result<Key, Keys> {
        let is_single = next_word(&self.words, 0)
            .is_some_and(|word| self.words[word.end..].iter().all(|byte| *byte == b' '));
        match is_single {
            true => self.next().ok_or(self),
            false => Err(self),
        }
    }
}

impl Iterator for Keys {
    type Item = Key;

    fn next(&mut self) -> Option<Key> {
        let word = next_word(&self.words, 0)?;
        self.words.advance(word.start);
        let bytes = self.words.split_to(word.len());
        Some(Key { namespace: self.namespace.clone(), bytes })
    }
}
