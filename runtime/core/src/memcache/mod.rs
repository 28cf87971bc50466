//! The text protocol of memcached 1.6, the server's side: bytes of an application become requests (`Parser`), and
//! replies become bytes (`answer`). Words, limits and odd cases are memcached's own, taken from a running 1.6.18 by
//! comparing answers byte for byte (the tables in the tests).
//!
//! Where we differ on purpose:
//! - A `set` that is too large leaves the old value; memcached drops it, being a cache. Here a definite error means
//!   that nothing happened.
//! - Numbers that do not fit their type (flags above 32 bits, lengths and times above the ranges) are refused or
//!   taken as they are; memcached cuts off their upper bits.
//! - A multi-get line is bounded by `MULTIGET_LINE_MAX_BYTES`, for `gat` and `gats` too; memcached has no bound for
//!   `get` and closes on a long `gat`.
//! - A connection whose first byte is that of the binary protocol or of TLS, and a request line of HTTP, end the
//!   connection (`Foreign`). memcached answers an HTTP request line without `HTTP/` with `ERROR`.
//! - Flags of meta commands that need state which is not there are refused (`meta`). Whether a key was sent as base64 is
//!   not stored with it: it comes back as it was sent this time. `me` does not report when a record was used.
//! - A `ms` whose length cannot be read ends the connection, and one that is refused swallows its data block always.
//! - An unknown command that looks as if a data block followed ends the connection, because the block would be
//!   read as commands.
//! - A refused get answers its error only; memcached also drops the answer before it when both came in one piece.

mod answer;
mod expiry;
mod foreign;
mod keys;
mod line;
mod meta;
mod parse;

use bytes::Bytes;

use crate::kv::{Command, Expiry, Write};

pub use answer::{
    WRONG_TYPE, write_end, write_reply, write_server_error, write_stat, write_unknown, write_value_head,
    write_version,
};
pub use foreign::Foreign;
pub use keys::Keys;
pub use meta::{Meta, Verb, write_meta};
pub use parse::{LINE_MAX_BYTES, MULTIGET_LINE_MAX_BYTES, Parser};

/// What the parser found at the beginning of the buffer. Everything but `NeedMore` has been taken out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Nothing whole yet; at least so many bytes are missing (a hint for reserving room).
    NeedMore {
        /// At least 1.
        bytes_min: usize,
    },
    /// To be carried out; its answer keeps its place among the others.
    Request(Request),
    /// To be sent in its place among the answers; nothing else is to be done.
    Answer(&'static [u8]),
    /// Close the connection once the answers before are sent. Returned again by every later call.
    Close,
    /// Likewise, because the client sent another protocol.
    Foreign(Foreign),
}

/// A request of an application, in the words of the key-value commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub kind: RequestKind,
    /// Carry it out and answer nothing, not even an error.
    pub noreply: bool,
}

/// What a request asks for, and how it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestKind {
    /// Answered with `write_value_head`, the value and a line's end for each record found, in the order of the keys,
    /// then `write_end`.
    Get {
        /// At least one, in the order of the answers.
        keys: Keys,
        /// `gets`: the version goes into each answer.
        with_version: bool,
    },
    /// Likewise; every key is a `Write::GetAndTouch` with this expiry.
    GetAndTouch {
        /// At least one, in the order of the answers.
        keys: Keys,
        /// From now on, for every key that is found.
        expiry: Expiry,
        /// `gats`: the version goes into each answer.
        with_version: bool,
    },
    /// Answered with `write_reply`.
    Write(Write),
    /// Answered with `write_meta`.
    Meta {
        /// What the tablet carries out.
        command: Command,
        /// How the reply becomes an answer.
        meta: Meta,
    },
    /// A `Write::Flush` for every tablet, then `write_reply` of `Reply::Done`. `when` is never `Never`.
    FlushAll {
        /// `After(0)` without a delay.
        when: Expiry,
    },
    /// Answered with `write_version`.
    Version,
    /// Empty for the general statistics: `write_stat` for each, then `write_end`. The listener knows what it has and
    /// answers `ERROR` for words that it does not.
    Stats {
        /// The word behind `stats`.
        word: Bytes,
    },
}

/// memcached's limit for a key.
pub const KEY_MAX_BYTES: usize = 250;

/// The answer to unknown commands.
pub const ERROR: &[u8] = b"ERROR\r\n";
const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";

#[cfg(test)]
mod tests;
