//! Operations on keys of any type, and which of them write. *Invariant:* variants and fields are only ever added at the end of
//! their lists.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::kv::{Expiry, Score};

/// When `EXPIRE` takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpireCondition {
    /// `NX`: only a key without an expiry.
    Never,
    /// `XX`: only a key with one.
    Expires,
    /// `GT`: only if the new expiry is later; no expiry counts as the latest.
    Later,
    /// `LT`: only if the new expiry is sooner; no expiry counts as the latest.
    Sooner,
    /// `XX LT`: sooner than an expiry that exists.
    SoonerIfExpires,
}

/// On a key of any type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAct {
    /// How many of this key and others there are.
    Exists {
        /// Counted once for each time they are named.
        others: Vec<Bytes>,
    },
    /// `DEL` and `UNLINK`; answers how many existed.
    Delete {
        /// Further keys.
        others: Vec<Bytes>,
    },
    /// `EXPIRE`, `PEXPIRE`, `EXPIREAT`, `PEXPIREAT`
    Expire {
        /// A time in the past deletes the key.
        expiry: Expiry,
        /// Otherwise the expiry stays as it is and 0 is answered.
        condition: Option<ExpireCondition>,
    },
    /// `PERSIST`
    Persist,
    /// `TTL` and `PTTL`
    Remaining {
        /// `TTL`: seconds instead of milliseconds.
        in_seconds: bool,
    },
    /// `EXPIRETIME` and `PEXPIRETIME`
    ExpiresAt {
        /// `EXPIRETIME`: seconds instead of milliseconds.
        in_seconds: bool,
    },
    /// `TYPE`
    Type,
    /// `OBJECT ENCODING`
    Encoding,
    /// For a transaction that watches it; 0 if there is none.
    Version,
    /// `RENAME` and `RENAMENX`
    Rename {
        /// The new name, in the same slot; what it held is overwritten.
        to: Bytes,
        /// `RENAMENX`: does nothing if `to` exists.
        only_if_absent: bool,
    },
    /// `COPY`
    Copy {
        /// The copy's key, in the same slot.
        to: Bytes,
        /// `REPLACE`: overwrites `to`.
        replaces: bool,
    },
    /// `OBJECT IDLETIME`: seconds since it was written; reads leave no trace.
    IdleTime,
    /// `OBJECT REFCOUNT`: 1.
    References,
    /// `OBJECT FREQ`: a fault, since nothing counts accesses.
    Frequency,
    /// `DUMP`
    Dump,
    /// `RESTORE`
    Restore {
        /// What the payload holds.
        content: Content,
        /// From now on.
        expiry: Expiry,
        /// `REPLACE`: overwrites the key.
        replaces: bool,
    },
}

/// All that a key holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Any bytes.
    String(Bytes),
    /// From the first to the last.
    List(Vec<Bytes>),
    /// Fields and values.
    Hash(Vec<(Bytes, Bytes)>),
    /// Members.
    Set(Vec<Bytes>),
    /// Members with their scores.
    SortedSet(Vec<(Score, Bytes)>),
}

impl KeyAct {
    pub(super) fn is_write(&self) -> bool {
        use KeyAct::*;
        matches!(self, Delete { .. } | Expire { .. } | Persist | Rename { .. } | Copy { .. } | Restore { .. })
    }
}
