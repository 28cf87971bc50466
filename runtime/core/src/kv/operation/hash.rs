//! Operations on hashes, and which of them write. *Invariant:* variants and fields are only ever added at the end of their lists.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// On hashes. A hash that becomes empty ceases to exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashAct {
    /// `HSET` and `HMSET`
    Set {
        /// Fields and values; a field that comes twice gets the later value.
        pairs: Vec<(Bytes, Bytes)>,
        /// `HMSET` answers `OK`, `HSET` the number of new fields.
        says_okay: bool,
    },
    /// `HSETNX`
    SetIfAbsent {
        /// Does nothing if it exists.
        field: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// `HGET`
    Get {
        /// Nil if absent.
        field: Bytes,
    },
    /// `HMGET`
    GetMany {
        /// Answered in this order.
        fields: Vec<Bytes>,
    },
    /// `HGETALL`
    All,
    /// `HKEYS`
    Fields,
    /// `HVALS`
    Values,
    /// `HLEN`
    Length,
    /// `HDEL`; answers how many existed.
    Delete {
        /// At least one.
        fields: Vec<Bytes>,
    },
    /// `HEXISTS`
    Exists {
        /// Answers 1 or 0.
        field: Bytes,
    },
    /// `HSTRLEN`
    ValueLength {
        /// 0 if absent.
        field: Bytes,
    },
    /// `HINCRBY`
    Increment {
        /// Counts from 0 if absent.
        field: Bytes,
        /// Negative to count down; an overflow is a fault.
        by: i64,
    },
    /// `HINCRBYFLOAT`
    IncrementFloat {
        /// Counts from 0 if absent.
        field: Bytes,
        /// A decimal number as text, so that the sum keeps its digits.
        by: Bytes,
    },
    /// `HSCAN`
    Scan {
        /// The cursor of the element before; 0 = from the beginning.
        after: u64,
        /// Elements at most in one answer.
        count: u32,
    },
    /// `HRANDFIELD`
    Random {
        /// Negative: with repetitions; `None`: one, as text.
        count: Option<i64>,
        /// `WITHVALUES`
        with_values: bool,
        /// Decides the choice. Drawn by the slave, so that all replicas choose the same.
        seed: u64,
    },
}

impl HashAct {
    pub(super) fn is_write(&self) -> bool {
        use HashAct::*;
        matches!(
            self,
            Set { .. } | SetIfAbsent { .. } | Delete { .. } | Increment { .. } | IncrementFloat { .. }
        )
    }
}
