//! Operations on sorted sets, and which of them write. *Invariant:* variants and fields are only ever added at the end of their
//! lists.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Combination, Condition, Span};
use crate::kv::value::Score;

/// An end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreBound {
    /// May be infinite; never NaN.
    pub score: Score,
    /// The score itself is outside (`(1.5`).
    pub is_exclusive: bool,
}

/// An end of a range of members, which compare by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LexBound {
    /// `-`
    Lowest,
    /// `+`
    Highest,
    /// `[member`
    Including(Bytes),
    /// `(member`
    Excluding(Bytes),
}

/// Which elements of a sorted set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// By position, from the lowest score; negative from the end.
    Ranks(Span),
    /// By score.
    Scores {
        /// The lower end.
        min: ScoreBound,
        /// The upper end.
        max: ScoreBound,
    },
    /// By member, where all scores are equal.
    Lex {
        /// The lower end.
        min: LexBound,
        /// The upper end.
        max: LexBound,
    },
}

/// `LIMIT`: a part of the range that was selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Elements skipped.
    pub offset: u64,
    /// None: all of them.
    pub count: Option<u64>,
}

/// The options of `ZADD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddHow {
    /// `NX` or `XX`, for each element.
    pub condition: Option<Condition>,
    /// `GT`: an existing score only rises.
    pub only_greater: bool,
    /// `LT`: an existing score only falls.
    pub only_less: bool,
    /// `CH`: answers how many were added or changed, not only how many are new.
    pub counts_changed: bool,
    /// `INCR`: adds to the score of the one element and answers it, or nil.
    pub increments: bool,
}

/// How the scores of an element that several sets have become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregate {
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// How sorted sets become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// What is computed.
    pub combination: Combination,
    /// Keys of sorted sets and sets; a set's members have score 1.
    pub sources: Vec<Bytes>,
    /// One for each source, or none.
    pub weights: Vec<Score>,
    /// Applied after the weights.
    pub aggregate: Aggregate,
}

/// On sorted sets, ordered by score, then by the member's bytes. One that becomes empty ceases to exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortedSetAct {
    /// `ZADD`
    Add {
        /// Its options.
        how: AddHow,
        /// At least one.
        elements: Vec<(Score, Bytes)>,
    },
    /// `ZINCRBY`
    IncrementBy {
        /// A result that is NaN is a fault.
        by: Score,
        /// Counts from 0 if absent.
        member: Bytes,
    },
    /// `ZREM`; answers how many existed.
    Remove {
        /// At least one.
        members: Vec<Bytes>,
    },
    /// `ZSCORE`
    Score {
        /// Nil if absent.
        member: Bytes,
    },
    /// `ZMSCORE`
    Scores {
        /// Answered in this order.
        members: Vec<Bytes>,
    },
    /// `ZCARD`
    Length,
    /// `ZCOUNT` and `ZLEXCOUNT`
    Count {
        /// What is counted.
        which: Which,
    },
    /// `ZRANK` and `ZREVRANK`
    Rank {
        /// Nil if absent.
        member: Bytes,
        /// `ZREVRANK`: from the highest.
        is_reverse: bool,
    },
    /// `ZRANGE` and its relatives
    Range {
        /// What is selected.
        which: Which,
        /// `REV`: from the highest; ranks count from there.
        is_reverse: bool,
        /// Applied to the selection, in its direction.
        part: Part,
        /// `WITHSCORES`
        with_scores: bool,
    },
    /// What `Range` would give of another key, into this one.
    RangeInto {
        /// The sorted set that is read, in the same slot.
        source: Bytes,
        /// What is selected.
        which: Which,
        /// `REV`: from the highest; ranks count from there.
        is_reverse: bool,
        /// Applied to the selection, in its direction.
        part: Part,
    },
    /// `ZREMRANGEBYRANK`, `ZREMRANGEBYSCORE`, `ZREMRANGEBYLEX`
    RemoveRange {
        /// What is removed.
        which: Which,
    },
    /// `ZPOPMIN` and `ZPOPMAX`
    Pop {
        /// `ZPOPMAX`
        is_highest: bool,
        /// `None`: one.
        count: Option<u64>,
    },
    /// From the first of this key and others that has one: key, member and score.
    PopOne {
        /// Looked at in this order, after the first key.
        others: Vec<Bytes>,
        /// From the highest instead of the lowest.
        is_highest: bool,
    },
    /// `ZMPOP`: from the first of this key and others that has one.
    PopFirst {
        /// Looked at in this order, after the first key.
        others: Vec<Bytes>,
        /// `MAX`, otherwise `MIN`.
        is_highest: bool,
        /// Elements at most.
        count: u64,
    },
    /// `ZUNION`, `ZINTER`, `ZDIFF`
    Merged {
        /// What is computed.
        merge: Merge,
        /// `WITHSCORES`
        with_scores: bool,
    },
    /// `ZUNIONSTORE`, `ZINTERSTORE`, `ZDIFFSTORE`: into this key.
    MergeInto {
        /// What is computed.
        merge: Merge,
    },
    /// `ZINTERCARD`
    IntersectionLength {
        /// The sets after the first.
        others: Vec<Bytes>,
        /// Counting ends here; 0: no limit.
        limit: u64,
    },
    /// `ZRANDMEMBER`
    Random {
        /// Negative: with repetitions; `None`: one, as text.
        count: Option<i64>,
        /// `WITHSCORES`
        with_scores: bool,
        /// Decides the choice. Drawn by the slave, so that all replicas choose the same.
        seed: u64,
    },
    /// `ZSCAN`
    Scan {
        /// The cursor of the element before; 0 = from the beginning.
        after: u64,
        /// Elements at most in one answer.
        count: u32,
    },
}

impl SortedSetAct {
    pub(super) fn is_write(&self) -> bool {
        use SortedSetAct::*;
        matches!(
            self,
            Add { .. }
                | IncrementBy { .. }
                | Remove { .. }
                | RangeInto { .. }
                | RemoveRange { .. }
                | Pop { .. }
                | PopOne { .. }
                | PopFirst { .. }
                | MergeInto { .. }
        )
    }
}
