//! What an operation on a string, a key, a list, a hash, a set or a sorted set is. The words are those of Redis's command
//! reference; one command of an application is one operation, and one log entry carries it out.
//!
//! Written with postcard: variants and fields are only ever added at the end of their lists.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::reader::{BadBytes, Reader};
use super::value::Score;
use super::{Expiry, KEY_MAX_BYTES, Key, OverLimit};

/// Operations of one command or of one transaction.
pub const OPERATIONS_MAX: usize = 65_536;

/// What one log entry carries out, or one read answers: all of it or nothing, and nothing comes between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operations {
    /// Decides the slot. All other keys are of the same slot.
    pub key: Key,
    /// A transaction is carried out only if these keys have these versions (0: there is none), and answers with an array.
    pub watched: Option<Vec<(Bytes, u64)>>,
    /// In the order of the command or transaction, at most `OPERATIONS_MAX`.
    pub all: Vec<Operation>,
}

/// One command on one key, or on several keys of the same slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The first key of the command, in the namespace of `Operations::key`.
    pub key: Bytes,
    /// What is done to it.
    pub act: Act,
}

/// The type that the operation works on. A key that holds another type answers `Fault::WrongType`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Strings, which are memcached's records too.
    String(StringAct),
    /// Any type.
    Key(KeyAct),
    /// Lists.
    List(ListAct),
    /// Hashes.
    Hash(HashAct),
    /// Sets.
    Set(SetAct),
    /// Sorted sets.
    SortedSet(SortedSetAct),
}

/// Where a key must be or must not be for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// `NX`
    Absent,
    /// `XX`
    Present,
}

/// What `SET` and its relatives answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetAnswer {
    /// `OK`, or nil when the condition was not met.
    Okay,
    /// 1 or 0.
    Flag,
    /// The value before.
    Old,
}

/// From and to, counted from the end if negative, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First index; 0 is the beginning, -1 the last element.
    pub start: i64,
    /// Last index, included.
    pub end: i64,
}

/// The operator of `BITOP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitOperator {
    /// Bit by bit; a shorter source is padded with zeros.
    And,
    /// Bit by bit; a shorter source is padded with zeros.
    Or,
    /// Bit by bit; a shorter source is padded with zeros.
    Xor,
    /// Exactly one source.
    Not,
}

/// On strings: values of at most `value_max_bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StringAct {
    /// `GET`
    Get,
    /// The values of this key and others.
    GetMany {
        /// `MGET`, in this order, after the first key.
        others: Vec<Bytes>,
    },
    /// `SET`, `SETNX`, `SETEX`, `PSETEX` and `GETSET`
    Set {
        /// The new value.
        value: Bytes,
        /// `NX` or `XX`.
        condition: Option<Condition>,
        /// None keeps the one there is.
        expiry: Option<Expiry>,
        /// What the command answers.
        answer: SetAnswer,
    },
    /// `MSET` and `MSETNX`
    SetMany {
        /// Of the first key.
        value: Bytes,
        /// Further keys and their values.
        others: Vec<(Bytes, Bytes)>,
        /// `MSETNX`: nothing is written if any of the keys exists.
        only_if_none: bool,
    },
    /// `GETEX`
    GetAndExpire {
        /// `None` leaves the expiry; `PERSIST` is `Expiry::Never`.
        expiry: Option<Expiry>,
    },
    /// `GETDEL`
    GetAndDelete,
    /// `STRLEN`
    Length,
    /// `APPEND`
    Append {
        /// What is added at the end.
        value: Bytes,
    },
    /// `GETRANGE`
    GetRange {
        /// In bytes.
        span: Span,
    },
    /// `SETRANGE`; a gap is filled with zeros.
    SetRange {
        /// In bytes.
        offset: u64,
        /// Overwrites from `offset` on.
        value: Bytes,
    },
    /// `INCR`, `DECR`, `INCRBY`, `DECRBY`
    Increment {
        /// Negative to count down; an overflow is a fault.
        by: i64,
    },
    /// `INCRBYFLOAT`
    IncrementFloat {
        /// A decimal number as text, so that the sum keeps its digits.
        by: Bytes,
    },
    /// `SETBIT`
    SetBit {
        /// In bits, from the most significant bit of the first byte.
        offset: u64,
        /// The new bit; the old one is answered.
        bit: bool,
    },
    /// `GETBIT`
    GetBit {
        /// In bits, from the most significant bit of the first byte.
        offset: u64,
    },
    /// `BITCOUNT`
    BitCount {
        /// `None`: the whole value.
        span: Option<Span>,
        /// `BIT`: the span counts bits instead of bytes.
        in_bits: bool,
    },
    /// `BITPOS`
    BitPosition {
        /// The bit that is searched for.
        bit: bool,
        /// `None`: from the beginning.
        start: Option<i64>,
        /// `None`: to the end, behind which zeros are thought.
        end: Option<i64>,
        /// `BIT`: start and end count bits instead of bytes.
        in_bits: bool,
    },
    /// Into this key.
    BitOperation {
        /// `AND`, `OR`, `XOR` or `NOT`.
        operator: BitOperator,
        /// Keys that are read; absent ones count as empty.
        sources: Vec<Bytes>,
    },
    /// `LCS`
    LongestCommon {
        /// The key of the second string.
        other: Bytes,
        /// `LEN`: the length alone.
        length_only: bool,
    },
}

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
}

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

/// How several sets become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Combination {
    /// Elements of any.
    Union,
    /// Elements of all.
    Intersection,
    /// Elements of the first that are in no other.
    Difference,
}

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

impl Act {
    /// Goes through the log; the others are answered by a read.
    pub fn is_write(&self) -> bool {
        match self {
            Act::String(act) => act.is_write(),
            Act::Key(act) => act.is_write(),
            Act::List(act) => act.is_write(),
            Act::Hash(act) => act.is_write(),
            Act::Set(act) => act.is_write(),
            Act::SortedSet(act) => act.is_write(),
        }
    }
}

impl StringAct {
    fn is_write(&self) -> bool {
        use StringAct::*;
        !matches!(
            self,
            Get | GetMany { .. }
                | Length
                | GetRange { .. }
                | GetBit { .. }
                | BitCount { .. }
                | BitPosition { .. }
                | LongestCommon { .. }
        )
    }
}

impl KeyAct {
    fn is_write(&self) -> bool {
        use KeyAct::*;
        matches!(self, Delete { .. } | Expire { .. } | Persist | Rename { .. } | Copy { .. })
    }
}

impl ListAct {
    fn is_write(&self) -> bool {
        use ListAct::*;
        !matches!(self, Length | Range { .. } | Index { .. } | Position { .. })
    }
}

impl HashAct {
    fn is_write(&self) -> bool {
        use HashAct::*;
        matches!(
            self,
            Set { .. } | SetIfAbsent { .. } | Delete { .. } | Increment { .. } | IncrementFloat { .. }
        )
    }
}

impl SetAct {
    fn is_write(&self) -> bool {
        use SetAct::*;
        matches!(self, Add { .. } | Remove { .. } | Pop { .. } | Move { .. } | CombineInto { .. })
    }
}

impl SortedSetAct {
    fn is_write(&self) -> bool {
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

impl Operation {
    /// Every key that it reads or writes.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        let (one, many, pairs): (Option<&Bytes>, &[Bytes], &[(Bytes, Bytes)]) = match &self.act {
            Act::String(StringAct::GetMany { others })
            | Act::Key(KeyAct::Exists { others } | KeyAct::Delete { others })
            | Act::List(ListAct::PopFirst { others, .. } | ListAct::PopOne { others, .. })
            | Act::Set(SetAct::Combine { others, .. } | SetAct::IntersectionLength { others, .. })
            | Act::SortedSet(
                SortedSetAct::PopOne { others, .. }
                | SortedSetAct::PopFirst { others, .. }
                | SortedSetAct::IntersectionLength { others, .. },
            ) => (None, others, &[]),
            Act::String(StringAct::BitOperation { sources, .. })
            | Act::Set(SetAct::CombineInto { sources, .. })
            | Act::SortedSet(
                SortedSetAct::Merged { merge: Merge { sources, .. }, .. }
                | SortedSetAct::MergeInto { merge: Merge { sources, .. } },
            ) => (None, sources, &[]),
            Act::String(StringAct::SetMany { others, .. }) => (None, &[], others),
            Act::String(StringAct::LongestCommon { other, .. }) => (Some(other), &[], &[]),
            Act::Key(KeyAct::Rename { to, .. } | KeyAct::Copy { to, .. })
            | Act::List(ListAct::Move { to, .. })
            | Act::Set(SetAct::Move { to, .. }) => (Some(to), &[], &[]),
            Act::SortedSet(SortedSetAct::RangeInto { source, .. }) => (Some(source), &[], &[]),
            _ => (None, &[], &[]),
        };
        std::iter::once(&self.key).chain(one).chain(many).chain(pairs.iter().map(|(key, _)| key))
    }
}

impl Operations {
    /// One operation of one command.
    pub fn one(namespace: crate::ids::Namespace, operation: Operation) -> Operations {
        let key = Key { namespace, bytes: operation.key.clone() };
        Operations { key, watched: None, all: vec![operation] }
    }

    /// One write makes all of it a log entry.
    pub fn is_write(&self) -> bool {
        self.all.iter().any(|operation| operation.act.is_write())
    }

    /// About as many bytes as it takes in a log entry.
    pub fn payload_bytes(&self) -> usize {
        // What is counted here is what would be written.
        postcard::experimental::serialized_size(self).unwrap_or(0)
    }

    /// Every key within `KEY_MAX_BYTES`. What the values become is known to the tablet only.
    pub fn check_limits(&self) -> Result<(), OverLimit> {
        self.key.check_limit()?;
        let lengths = self.all.iter().flat_map(Operation::keys).map(Bytes::len);
        let too_long = lengths.max().filter(|bytes| *bytes > KEY_MAX_BYTES);
        too_long.map_or(Ok(()), |bytes| Err(OverLimit::Key { bytes }))
    }

    /// u32 length, then postcard.
    pub fn encode(&self, out: &mut BytesMut) {
        // Cannot fail: it is written to memory and has no type that postcard lacks.
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        out.put_u32(bytes.len() as u32);
        out.put_slice(&bytes);
    }

    /// Refuses more than `OPERATIONS_MAX`, and variants of a later release.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Operations, BadBytes> {
        let bytes = reader.bytes()?;
        let operations: Operations =
            postcard::from_bytes(&bytes).map_err(|_| reader.bad("not operations of this release"))?;
        if operations.all.len() > OPERATIONS_MAX {
            return Err(reader.bad("too many operations"));
        }
        Ok(operations)
    }
}
