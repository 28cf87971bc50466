//! What an operation on a string, a key, a list, a hash, a set or a sorted set is. The words are those of Redis's command
//! reference; one command of an application is one operation, and one log entry carries it out.
//!
//! Written with postcard: variants and fields are only ever added at the end of their lists.

mod hash;
mod key;
mod list;
mod set;
mod sorted_set;
mod string;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::reader::{BadBytes, Reader};
use super::{KEY_MAX_BYTES, Key, OverLimit};

pub use hash::HashAct;
pub use key::{Content, ExpireCondition, KeyAct};
pub use list::{End, ListAct};
pub use set::SetAct;
pub use sorted_set::{AddHow, Aggregate, LexBound, Merge, Part, ScoreBound, SortedSetAct, Which};
pub use string::{BitField, BitFieldAct, BitOperator, Overflow, SetAnswer, StringAct};

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

/// From and to, counted from the end if negative, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First index; 0 is the beginning, -1 the last element.
    pub start: i64,
    /// Last index, included.
    pub end: i64,
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
            Act::String(StringAct::LongestCommon { other, .. } | StringAct::CommonRanges { other, .. }) => {
                (Some(other), &[], &[])
            }
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
