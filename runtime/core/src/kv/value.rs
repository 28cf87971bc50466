//! What an operation answers: a value as RESP3 has them, and the reasons why an operation cannot be carried out.
//!
//! ```text
//! value  u8 tag | u64, f64 bits, bytes, or u32 count and as many values
//! ```
//!
//! *Invariant:* decoding goes `DEPTH_MAX` deep at most and copies no bytes.

use std::cmp::Ordering;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::reader::{BadBytes, Reader};

/// Arrays inside of arrays: a transaction's answers hold those of a scan, which hold elements.
const DEPTH_MAX: u8 = 6;

/// A floating point number that has an order. Two are equal when their bits are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Score(pub f64);

impl PartialEq for Score {
    fn eq(&self, other: &Score) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl Eq for Score {}
impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Score {
    fn cmp(&self, other: &Score) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The answer of an operation. Its variants are those of RESP3; RESP2 gets the nearest that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Something that does not exist.
    Nil,
    /// RESP2 distinguishes an absent array from an absent string.
    NilArray,
    /// A word such as `OK`.
    Word(Bytes),
    /// A count, a flag (0 or 1) or a number.
    Integer(i64),
    /// A score.
    Double(Score),
    /// A value, field, element or member: any bytes.
    Text(Bytes),
    /// In the order of the command's arguments, or of the collection.
    Array(Vec<Value>),
    /// Without an order; RESP2 gets an array.
    Set(Vec<Value>),
    /// Names and values in turn.
    Map(Vec<Value>),
    /// Likewise; RESP3 has an array for each pair.
    Pairs(Vec<Value>),
    /// The remaining time to live, computed by the clock of the slave that answers the application.
    Remaining {
        /// When it expires, in milliseconds since the Unix epoch, by the tablet's clock.
        until_ms: u64,
        /// `TTL` instead of `PTTL`: rounded to seconds.
        in_seconds: bool,
    },
    /// The operation failed and changed nothing.
    Fault(Fault),
}

/// Why an operation was not carried out, in Redis's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Fault {
    /// The key holds another type than the command works on.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType = 1,
    /// For commands that take or count an integer of 64 bits.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger = 2,
    /// The sum would not fit into 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow = 3,
    /// For commands that take or count a decimal number.
    #[error("ERR value is not a valid float")]
    NotAFloat = 4,
    /// The sum would be infinite or NaN.
    #[error("ERR increment would produce NaN or Infinity")]
    Infinite = 5,
    /// The string would exceed the parameter `value_max_bytes`.
    #[error("ERR string exceeds maximum allowed size (value_max_bytes)")]
    TooLarge = 6,
    /// For commands that need an existing key.
    #[error("ERR no such key")]
    NoSuchKey = 7,
    /// For `LSET`.
    #[error("ERR index out of range")]
    IndexOutOfRange = 8,
    /// A field holds something that cannot be counted.
    #[error("ERR hash value is not an integer")]
    HashNotAnInteger = 9,
    /// A field holds something that cannot be counted.
    #[error("ERR hash value is not a float")]
    HashNotAFloat = 10,
    /// Infinities of both signs were added.
    #[error("ERR resulting score is not a number (NaN)")]
    ScoreNotANumber = 11,
    /// A field or member must fit into the key of a row.
    #[error("ERR element is too long: key and element together are limited to 64 KiB")]
    ElementTooLong = 12,
    /// Bounds the work of one entry, so that heartbeats are not held up.
    #[error("ERR the operation concerns more elements than one log entry may change")]
    TooManyElements = 13,
    /// Bounds the memory of one answer.
    #[error("ERR the answer is too large; ask for a part of it")]
    AnswerTooLarge = 14,
    /// All keys of an operation must lie in one slot, as in Redis Cluster.
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot = 15,
    /// `COPY` without `REPLACE` found the target.
    #[error("BUSYKEY Target key name already exists.")]
    BusyKey = 16,
    /// `LCS` works on two strings.
    #[error("ERR The specified keys must contain string values")]
    NotStrings = 17,
    /// `OBJECT FREQ`: no access is counted.
    #[error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between \
         policies at runtime LRU and LFU data will take some time to adjust."
    )]
    NoFrequency = 18,
}

/// All of them.
pub(crate) const FAULTS: [Fault; 18] = [
    Fault::WrongType,
    Fault::NotAnInteger,
    Fault::Overflow,
    Fault::NotAFloat,
    Fault::Infinite,
    Fault::TooLarge,
    Fault::NoSuchKey,
    Fault::IndexOutOfRange,
    Fault::HashNotAnInteger,
    Fault::HashNotAFloat,
    Fault::ScoreNotANumber,
    Fault::ElementTooLong,
    Fault::TooManyElements,
    Fault::AnswerTooLarge,
    Fault::CrossSlot,
    Fault::BusyKey,
    Fault::NotStrings,
    Fault::NoFrequency,
];

mod tag {
    pub const NIL: u8 = 0;
    pub const NIL_ARRAY: u8 = 1;
    pub const WORD: u8 = 2;
    pub const INTEGER: u8 = 3;
    pub const DOUBLE: u8 = 4;
    pub const TEXT: u8 = 5;
    pub const ARRAY: u8 = 6;
    pub const SET: u8 = 7;
    pub const MAP: u8 = 8;
    pub const REMAINING_S: u8 = 9;
    pub const REMAINING_MS: u8 = 10;
    pub const FAULT: u8 = 11;
    pub const PAIRS: u8 = 12;
}

impl Value {
    /// The word `OK`.
    pub const OKAY: Value = Value::Word(Bytes::from_static(b"OK"));

    /// 1 or 0, as RESP2 writes truth.
    pub fn flag(is: bool) -> Value {
        Value::Integer(i64::from(is))
    }

    /// A number of elements or bytes.
    pub fn count(count: usize) -> Value {
        Value::Integer(count as i64)
    }

    /// The text, or nil.
    pub fn of(text: Option<Bytes>) -> Value {
        text.map_or(Value::Nil, Value::Text)
    }

    /// An array of texts.
    pub fn texts(texts: impl IntoIterator<Item = Bytes>) -> Value {
        Value::Array(texts.into_iter().map(Value::Text).collect())
    }

    /// About what it takes in memory.
    pub fn size_bytes(&self) -> usize {
        let inside = match self {
            Value::Word(text) | Value::Text(text) => text.len(),
            Value::Array(all) | Value::Set(all) | Value::Map(all) | Value::Pairs(all) => {
                all.iter().map(Value::size_bytes).sum()
            }
            _ => 0,
        };
        size_of::<Value>() + inside
    }

    /// A copy that shares no buffer.
    pub fn detached(&self) -> Value {
        let each = |all: &[Value]| all.iter().map(Value::detached).collect();
        match self {
            Value::Word(text) => Value::Word(Bytes::copy_from_slice(text)),
            Value::Text(text) => Value::Text(Bytes::copy_from_slice(text)),
            Value::Array(all) => Value::Array(each(all)),
            Value::Set(all) => Value::Set(each(all)),
            Value::Map(all) => Value::Map(each(all)),
            Value::Pairs(all) => Value::Pairs(each(all)),
            other => other.clone(),
        }
    }

    /// u8 tag, then the content; see the module.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Value::Nil => out.put_u8(tag::NIL),
            Value::NilArray => out.put_u8(tag::NIL_ARRAY),
            Value::Word(text) => put_text(tag::WORD, text, out),
            Value::Integer(number) => put_number(tag::INTEGER, *number as u64, out),
            Value::Double(score) => put_number(tag::DOUBLE, score.0.to_bits(), out),
            Value::Text(text) => put_text(tag::TEXT, text, out),
            Value::Array(all) => put_all(tag::ARRAY, all, out),
            Value::Set(all) => put_all(tag::SET, all, out),
            Value::Map(all) => put_all(tag::MAP, all, out),
            Value::Pairs(all) => put_all(tag::PAIRS, all, out),
            Value::Remaining { until_ms, in_seconds: true } => put_number(tag::REMAINING_S, *until_ms, out),
            Value::Remaining { until_ms, in_seconds: false } => put_number(tag::REMAINING_MS, *until_ms, out),
            Value::Fault(fault) => {
                out.put_u8(tag::FAULT);
                out.put_u8(*fault as u8);
            }
        }
    }

    /// Refuses unknown tags, nesting deeper than `DEPTH_MAX` and counts that cannot follow.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Value, BadBytes> {
        decode(reader, DEPTH_MAX)
    }
}

fn put_number(tag: u8, number: u64, out: &mut BytesMut) {
    out.put_u8(tag);
    out.put_u64(number);
}

fn put_text(tag: u8, text: &[u8], out: &mut BytesMut) {
    out.reserve(5 + text.len());
    out.put_u8(tag);
    out.put_u32(text.len() as u32);
    out.put_slice(text);
}

fn put_all(tag: u8, all: &[Value], out: &mut BytesMut) {
    out.put_u8(tag);
    out.put_u32(all.len() as u32);
    all.iter().for_each(|value| value.encode(out));
}

fn decode(reader: &mut Reader<'_>, depth: u8) -> Result<Value, BadBytes> {
    Ok(match reader.u8()? {
        tag::NIL => Value::Nil,
        tag::NIL_ARRAY => Value::NilArray,
        tag::WORD => Value::Word(reader.bytes()?),
        tag::INTEGER => Value::Integer(reader.u64()? as i64),
        tag::DOUBLE => Value::Double(Score(f64::from_bits(reader.u64()?))),
        tag::TEXT => Value::Text(reader.bytes()?),
        tag::ARRAY => Value::Array(decode_all(reader, depth)?),
        tag::SET => Value::Set(decode_all(reader, depth)?),
        tag::MAP => Value::Map(decode_all(reader, depth)?),
        tag::PAIRS => Value::Pairs(decode_all(reader, depth)?),
        tag::REMAINING_S => Value::Remaining { until_ms: reader.u64()?, in_seconds: true },
        tag::REMAINING_MS => Value::Remaining { until_ms: reader.u64()?, in_seconds: false },
        tag::FAULT => {
            let number = reader.u8()?;
            let found = FAULTS.into_iter().find(|fault| *fault as u8 == number);
            Value::Fault(found.ok_or(reader.bad("no such fault"))?)
        }
        _ => return Err(reader.bad("no such value")),
    })
}

fn decode_all(reader: &mut Reader<'_>, depth: u8) -> Result<Vec<Value>, BadBytes> {
    if depth == 0 {
        return Err(reader.bad("arrays are too deep"));
    }
    let count = reader.count(1)?;
    // A value in memory is larger than the byte that says so: room is made as they come.
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(decode(reader, depth - 1)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_what_is_none_is_refused() {
        let inner = Value::Map(vec![Value::Text("a".into()), Value::Double(Score(1.5))]);
        let all = vec![
            Value::Nil,
            Value::NilArray,
            Value::OKAY,
            Value::Integer(-7),
            inner,
            Value::Set(vec![]),
            Value::Pairs(vec![Value::Nil]),
            Value::Remaining { until_ms: 5, in_seconds: true },
            Value::Remaining { until_ms: 6, in_seconds: false },
            Value::Array(FAULTS.map(Value::Fault).to_vec()),
        ];
        let value = Value::Array(all);
        let mut out = BytesMut::new();
        value.encode(&mut out);
        let bytes = out.freeze();
        assert_eq!(Value::decode(&mut Reader::new(&bytes, "value")), Ok(value.clone()));
        assert_eq!(value.detached(), value);
        for cut in 0..bytes.len() {
            assert!(Value::decode(&mut Reader::new(&bytes.slice(..cut), "value")).is_err(), "{cut}");
        }
        let deep = Bytes::from([tag::ARRAY, 0, 0, 0, 1].repeat(10_000));
        assert!(Value::decode(&mut Reader::new(&deep, "value")).is_err());
    }
}
