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
    pub all: Vec<Operation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub key: Bytes,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    String(StringAct),
    Key(KeyAct),
    List(ListAct),
    Hash(HashAct),
    Set(SetAct),
    SortedSet(SortedSetAct),
}

/// Where a key must be or must not be for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Absent,
    Present,
}

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
    pub start: i64,
    pub end: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitOperator {
    And,
    Or,
    Xor,
    Not,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StringAct {
    Get,
    /// The values of this key and others.
    GetMany {
        others: Vec<Bytes>,
    },
    Set {
        value: Bytes,
        condition: Option<Condition>,
        /// None keeps the one there is.
        expiry: Option<Expiry>,
        answer: SetAnswer,
    },
    SetMany {
        value: Bytes,
        others: Vec<(Bytes, Bytes)>,
        only_if_none: bool,
    },
    GetAndExpire {
        expiry: Option<Expiry>,
    },
    GetAndDelete,
    Length,
    Append {
        value: Bytes,
    },
    GetRange {
        span: Span,
    },
    SetRange {
        offset: u64,
        value: Bytes,
    },
    Increment {
        by: i64,
    },
    IncrementFloat {
        by: Bytes,
    },
    SetBit {
        offset: u64,
        bit: bool,
    },
    GetBit {
        offset: u64,
    },
    BitCount {
        span: Option<Span>,
        in_bits: bool,
    },
    BitPosition {
        bit: bool,
        start: Option<i64>,
        end: Option<i64>,
        in_bits: bool,
    },
    /// Into this key.
    BitOperation {
        operator: BitOperator,
        sources: Vec<Bytes>,
    },
    LongestCommon {
        other: Bytes,
        length_only: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpireCondition {
    Never,
    Expires,
    Later,
    Sooner,
    SoonerIfExpires,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAct {
    /// How many of this key and others there are.
    Exists {
        others: Vec<Bytes>,
    },
    Delete {
        others: Vec<Bytes>,
    },
    Expire {
        expiry: Expiry,
        condition: Option<ExpireCondition>,
    },
    Persist,
    Remaining {
        in_seconds: bool,
    },
    ExpiresAt {
        in_seconds: bool,
    },
    Type,
    Encoding,
    /// For a transaction that watches it; 0 if there is none.
    Version,
    Rename {
        to: Bytes,
        only_if_absent: bool,
    },
    Copy {
        to: Bytes,
        replaces: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Left,
    Right,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListAct {
    Push {
        end: End,
        elements: Vec<Bytes>,
        only_if_present: bool,
    },
    /// Without a count: one element, as text.
    Pop {
        end: End,
        count: Option<u64>,
    },
    Length,
    Range {
        span: Span,
    },
    Index {
        index: i64,
    },
    Set {
        index: i64,
        element: Bytes,
    },
    Trim {
        span: Span,
    },
    Remove {
        count: i64,
        element: Bytes,
    },
    Insert {
        is_before: bool,
        pivot: Bytes,
        element: Bytes,
    },
    Position {
        element: Bytes,
        rank: i64,
        count: Option<u64>,
        look_at_max: u64,
    },
    Move {
        to: Bytes,
        from_end: End,
        to_end: End,
    },
    /// From the first of this key and others that has one: key and elements.
    PopFirst {
        others: Vec<Bytes>,
        end: End,
        count: u64,
    },
    /// Likewise one element, as key and element: what a blocking pop does.
    PopOne {
        others: Vec<Bytes>,
        end: End,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashAct {
    Set {
        pairs: Vec<(Bytes, Bytes)>,
        says_okay: bool,
    },
    SetIfAbsent {
        field: Bytes,
        value: Bytes,
    },
    Get {
        field: Bytes,
    },
    GetMany {
        fields: Vec<Bytes>,
    },
    All,
    Fields,
    Values,
    Length,
    Delete {
        fields: Vec<Bytes>,
    },
    Exists {
        field: Bytes,
    },
    ValueLength {
        field: Bytes,
    },
    Increment {
        field: Bytes,
        by: i64,
    },
    IncrementFloat {
        field: Bytes,
        by: Bytes,
    },
    Scan {
        /// The cursor of the element before; 0 = from the beginning.
        after: u64,
        count: u32,
    },
    Random {
        count: Option<i64>,
        with_values: bool,
        seed: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Combination {
    Union,
    Intersection,
    Difference,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetAct {
    Add {
        members: Vec<Bytes>,
    },
    Remove {
        members: Vec<Bytes>,
    },
    Contains {
        member: Bytes,
    },
    ContainsMany {
        members: Vec<Bytes>,
    },
    Members,
    Length,
    Pop {
        count: Option<u64>,
        seed: u64,
    },
    Random {
        count: Option<i64>,
        seed: u64,
    },
    Move {
        to: Bytes,
        member: Bytes,
    },
    Combine {
        combination: Combination,
        others: Vec<Bytes>,
    },
    /// Into this key.
    CombineInto {
        combination: Combination,
        sources: Vec<Bytes>,
    },
    IntersectionLength {
        others: Vec<Bytes>,
        limit: u64,
    },
    Scan {
        /// The cursor of the element before; 0 = from the beginning.
        after: u64,
        count: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreBound {
    pub score: Score,
    pub is_exclusive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LexBound {
    Lowest,
    Highest,
    Including(Bytes),
    Excluding(Bytes),
}

/// Which elements of a sorted set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    Ranks(Span),
    Scores { min: ScoreBound, max: ScoreBound },
    Lex { min: LexBound, max: LexBound },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub offset: u64,
    /// None: all of them.
    pub count: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddHow {
    pub condition: Option<Condition>,
    pub only_greater: bool,
    pub only_less: bool,
    pub counts_changed: bool,
    pub increments: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregate {
    Sum,
    Min,
    Max,
}

/// How sorted sets become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    pub combination: Combination,
    pub sources: Vec<Bytes>,
    /// One for each source, or none.
    pub weights: Vec<Score>,
    pub aggregate: Aggregate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortedSetAct {
    Add {
        how: AddHow,
        elements: Vec<(Score, Bytes)>,
    },
    IncrementBy {
        by: Score,
        member: Bytes,
    },
    Remove {
        members: Vec<Bytes>,
    },
    Score {
        member: Bytes,
    },
    Scores {
        members: Vec<Bytes>,
    },
    Length,
    Count {
        which: Which,
    },
    Rank {
        member: Bytes,
        is_reverse: bool,
    },
    Range {
        which: Which,
        is_reverse: bool,
        part: Part,
        with_scores: bool,
    },
    /// What `Range` would give of another key, into this one.
    RangeInto {
        source: Bytes,
        which: Which,
        is_reverse: bool,
        part: Part,
    },
    RemoveRange {
        which: Which,
    },
    Pop {
        is_highest: bool,
        count: Option<u64>,
    },
    /// From the first of this key and others that has one: key, member and score.
    PopOne {
        others: Vec<Bytes>,
        is_highest: bool,
    },
    PopFirst {
        others: Vec<Bytes>,
        is_highest: bool,
        count: u64,
    },
    Merged {
        merge: Merge,
        with_scores: bool,
    },
    MergeInto {
        merge: Merge,
    },
    IntersectionLength {
        others: Vec<Bytes>,
        limit: u64,
    },
    Random {
        count: Option<i64>,
        with_scores: bool,
        seed: u64,
    },
    Scan {
        /// The cursor of the element before; 0 = from the beginning.
        after: u64,
        count: u32,
    },
}

impl Act {
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

    pub fn is_write(&self) -> bool {
        self.all.iter().any(|operation| operation.act.is_write())
    }

    /// About as many bytes as it takes in a log entry.
    pub fn payload_bytes(&self) -> usize {
        // What is counted here is what would be written.
        postcard::experimental::serialized_size(self).unwrap_or(0)
    }

    pub fn check_limits(&self) -> Result<(), OverLimit> {
        self.key.check_limit()?;
        let lengths = self.all.iter().flat_map(Operation::keys).map(Bytes::len);
        let too_long = lengths.max().filter(|bytes| *bytes > KEY_MAX_BYTES);
        too_long.map_or(Ok(()), |bytes| Err(OverLimit::Key { bytes }))
    }

    pub fn encode(&self, out: &mut BytesMut) {
        // Cannot fail: it is written to memory and has no type that postcard lacks.
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        out.put_u32(bytes.len() as u32);
        out.put_slice(&bytes);
    }

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
