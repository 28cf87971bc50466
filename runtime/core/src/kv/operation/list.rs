//! Operations on lists, and which of them write. *Invariant:* variants and fields are only ever added at the end of their lists.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Span;

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Index 0.
    Left,
    /// Index -1.
    Right,
}

/// On lists. A list that becomes empty ceases to exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListAct {
    /// `LPUSH`, `RPUSH`, `LPUSHX`, `RPUSHX`
    Push {
        /// Where the elements go, one after the other.
        end: End,
        /// At least one.
        elements: Vec<Bytes>,
        /// The `X` commands: does nothing without a list.
        only_if_present: bool,
    },
    /// Without a count: one element, as text.
    Pop {
        /// From which end.
        end: End,
        /// `COUNT`; answered with an array.
        count: Option<u64>,
    },
    /// `LLEN`
    Length,
    /// `LRANGE`
    Range {
        /// Indexes of elements.
        span: Span,
    },
    /// `LINDEX`
    Index {
        /// -1 is the last element.
        index: i64,
    },
    /// `LSET`; outside of the list a fault.
    Set {
        /// -1 is the last element.
        index: i64,
        /// The new element.
        element: Bytes,
    },
    /// `LTRIM`
    Trim {
        /// The indexes that are kept.
        span: Span,
    },
    /// `LREM`
    Remove {
        /// Positive: from the left, negative: from the right, 0: all of them.
        count: i64,
        /// Equal elements are removed.
        element: Bytes,
    },
    /// `LINSERT`; -1 is answered where there is no pivot.
    Insert {
        /// `BEFORE`, otherwise `AFTER`.
        is_before: bool,
        /// The first element equal to this.
        pivot: Bytes,
        /// The new element.
        element: Bytes,
    },
    /// `LPOS`
    Position {
        /// Equal elements are found.
        element: Bytes,
        /// 1 is the first match from the left, -1 the first from the right; never 0.
        rank: i64,
        /// `None`: one index or nil; 0: all matches.
        count: Option<u64>,
        /// `MAXLEN`: comparisons at most; 0: no limit.
        look_at_max: u64,
    },
    /// `LMOVE` and `RPOPLPUSH`
    Move {
        /// The key of the other list; may be the same one.
        to: Bytes,
        /// Where the element is taken.
        from_end: End,
        /// Where it is put.
        to_end: End,
    },
    /// From the first of this key and others that has one: key and elements.
    PopFirst {
        /// Looked at in this order, after the first key.
        others: Vec<Bytes>,
        /// From which end.
        end: End,
        /// Elements at most.
        count: u64,
    },
    /// Likewise one element, as key and element: what a blocking pop does.
    PopOne {
        /// Looked at in this order, after the first key.
        others: Vec<Bytes>,
        /// From which end.
        end: End,
    },
}

impl ListAct {
    pub(super) fn is_write(&self) -> bool {
        use ListAct::*;
        !matches!(self, Length | Range { .. } | Index { .. } | Position { .. })
    }
}
