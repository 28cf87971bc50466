//! The meta commands `mg`, `ms`, `md`, `ma` and `me` as memcached 1.6.18 carries them out. A meta command is a key-value
//! command with flags; which of them come back in the answer, and with what, is `answer`'s.
//!
//! Flags that need what the replicated state does not hold are refused: when a record was used last and whether it ever
//! was (`h`, `l` of `mg`), whether it is stale (`I` of `md`, and of `ms` with `C`), and whether somebody has been told to
//! make it anew (`N` and `R` of `mg`).

mod answer;
mod parse;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use answer::write_meta;
pub(super) use parse::{MetaLine, SetHead};

/// Which meta command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `mg`
    Get,
    /// `ms`
    Set,
    /// `md`
    Delete,
    /// `ma`
    Arithmetic,
    /// `me`
    Debug,
}

impl Verb {
    pub(super) fn of(word: &[u8]) -> Option<Verb> {
        Some(match word {
            b"mg" => Verb::Get,
            b"ms" => Verb::Set,
            b"md" => Verb::Delete,
            b"ma" => Verb::Arithmetic,
            b"me" => Verb::Debug,
            _ => return None,
        })
    }
}

/// What is needed to answer a meta command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Decides which flags are returned.
    pub verb: Verb,
    /// The key as it was sent.
    key: Bytes,
    is_base64: bool,
    is_quiet: bool,
    wants_value: bool,
    /// The flags as they were sent, separated by spaces.
    flags: Bytes,
}
