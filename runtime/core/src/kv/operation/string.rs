//! Operations on strings, and which of them write. *Invariant:* variants and fields are only ever added at the end of their lists.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Condition, Span};
use crate::kv::Expiry;

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
    /// `LCS` with `IDX`
    CommonRanges {
        /// The key of the second string.
        other: Bytes,
        /// `MINMATCHLEN`: shorter matches are left out.
        length_min: u64,
        /// `WITHMATCHLEN`: the length of each match is told.
        with_length: bool,
    },
    /// `BITFIELD` and `BITFIELD_RO`
    BitFields {
        /// In the order of the command; each is answered.
        acts: Vec<BitFieldAct>,
    },
}

/// Bits of a string as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BitField {
    /// `i` instead of `u`.
    pub is_signed: bool,
    /// 1 to 64; 63 at most for unsigned ones.
    pub bits: u8,
    /// In bits, from the most significant bit of the first byte.
    pub offset: u64,
}

/// One step of `BITFIELD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitFieldAct {
    /// `GET`
    Get(BitField),
    /// `SET`; answers the old number.
    Set(BitField, i64, Overflow),
    /// `INCRBY`; answers the new number.
    Increment(BitField, i64, Overflow),
}

/// What becomes of a number that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// `WRAP`: the bits that fit.
    Wrap,
    /// `SAT`: the nearest that fits.
    Saturate,
    /// `FAIL`: nothing is written, nil is answered.
    Fail,
}

impl BitFieldAct {
    /// Whether it writes, and the bits it is about.
    pub fn field(&self) -> (bool, BitField) {
        match self {
            BitFieldAct::Get(field) => (false, *field),
            BitFieldAct::Set(field, ..) | BitFieldAct::Increment(field, ..) => (true, *field),
        }
    }
}

impl StringAct {
    pub(super) fn is_write(&self) -> bool {
        use StringAct::*;
        if let BitFields { acts } = self {
            return acts.iter().any(|act| act.field().0);
        }
        !matches!(
            self,
            Get | GetMany { .. }
                | Length
                | GetRange { .. }
                | GetBit { .. }
                | BitCount { .. }
                | BitPosition { .. }
                | LongestCommon { .. }
                | CommonRanges { .. }
        )
    }
}
