//! Operations on sets, and which of them write. *Invariant:* variants and fields are only ever added at the end of their lists.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Combination;

/// On sets. A set that becomes empty ceases to exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetAct {
    /// `SADD`; answers how many are new.
    Add {
        /// At least one.
        members: Vec<Bytes>,
    },
    /// `SREM`; answers how many existed.
    Remove {
        /// At least one.
        members: Vec<Bytes>,
    },
    /// `SISMEMBER`
    Contains {
        /// Answers 1 or 0.
        member: Bytes,
    },
    /// `SMISMEMBER`
    ContainsMany {
        /// Answered in this order.
        members: Vec<Bytes>,
    },
    /// `SMEMBERS`
    Members,
    /// `SCARD`
    Length,
    /// `SPOP`
    Pop {
        /// `None`: one, as text.
        count: Option<u64>,
        /// Decides the choice. Drawn by the slave, so that all replicas choose the same.
        seed: u64,
    },
    /// `SRANDMEMBER`
    Random {
        /// Negative: with repetitions; `None`: one, as text.
        count: Option<i64>,
        /// Decides the choice. Drawn by the slave, so that all replicas choose the same.
        seed: u64,
    },
    /// `SMOVE`
    Move {
        /// The set that gets the member, in the same slot.
        to: Bytes,
        /// Answers 0 if the first set lacks it.
        member: Bytes,
    },
    /// `SUNION`, `SINTER`, `SDIFF`
    Combine {
        /// What is computed.
        combination: Combination,
        /// The sets after the first.
        others: Vec<Bytes>,
    },
    /// Into this key.
    CombineInto {
        /// What is computed.
        combination: Combination,
        /// All the sets; the key itself is read only if it is among them.
        sources: Vec<Bytes>,
    },
    /// `SINTERCARD`
    IntersectionLength {
        /// The sets after the first.
        others: Vec<Bytes>,
        /// Counting ends here; 0: no limit.
        limit: u64,
    },
    /// `SSCAN`
    Scan {
        /// The cursor of the element before; 0 = from the beginning.
        after: u64,
        /// Elements at most in one answer.
        count: u32,
    },
}

impl SetAct {
    pub(super) fn is_write(&self) -> bool {
        use SetAct::*;
        matches!(self, Add { .. } | Remove { .. } | Pop { .. } | Move { .. } | CombineInto { .. })
    }
}
