//! Bits of a string, numbered from the highest of the first byte, as Redis numbers them.

use bytes::Bytes;

use crate::kv::Value;
use crate::kv::operation::{BitOperator, Span};

pub fn get(text: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset / 8).ok().and_then(|at| text.get(at));
    byte.is_some_and(|byte| byte & mask(offset) != 0)
}

/// The bit before, and the new value. The caller has seen to it that the offset is within the limit of a value.
pub fn set(text: &[u8], offset: u64, bit: bool) -> (bool, Vec<u8>) {
    let at = (offset / 8) as usize;
    let mut new = text.to_vec();
    new.resize(new.len().max(at + 1), 0);
    let before = new[at] & mask(offset) != 0;
    if bit {
        new[at] |= mask(offset)
    } else {
        new[at] &= !mask(offset)
    }
    (before, new)
}

fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

pub fn count(text: &[u8], span: Option<Span>, in_bits: bool) -> Value {
    let Some(span) = span else { return Value::count(ones(text)) };
    if !in_bits {
        return Value::count(span.of(text.len()).map_or(0, |range| ones(&text[range])));
    }
    let Some(range) = span.of(text.len() * 8) else { return Value::Integer(0) };
    Value::count(range.filter(|at| get(text, *at as u64)).count())
}

fn ones(text: &[u8]) -> usize {
    text.iter().map(|byte| byte.count_ones() as usize).sum()
}

/// The first bit that is `bit`; -1 if there is none. Behind a value without an end there are zeros.
pub fn position(
    text: Option<&[u8]>,
    bit: bool,
    start: Option<i64>,
    end: Option<i64>,
    in_bits: bool,
) -> Value {
    let Some(text) = text else { return Value::Integer(if bit { -1 } else { 0 }) };
    let unit = if in_bits { 1 } else { 8 };
    let span = Span { start: start.unwrap_or(0), end: end.unwrap_or(-1) };
    let Some(range) = span_of_position(span, text.len() * 8 / unit) else { return Value::Integer(-1) };
    let mut bits = range.start * unit..range.end * unit;
    if let Some(at) = bits.find(|at| get(text, *at as u64) == bit) {
        return Value::count(at);
    }
    if !bit && end.is_none() { Value::count(range.end * unit) } else { Value::Integer(-1) }
}

/// Unlike elsewhere, an end before the start is never put right.
fn span_of_position(span: Span, length: usize) -> Option<std::ops::Range<usize>> {
    let length = i64::try_from(length).ok()?;
    let from_end = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (start, end) = (from_end(span.start), from_end(span.end).min(length - 1));
    (start <= end).then(|| start as usize..end as usize + 1)
}

/// The shorter ones are filled up with zeros.
pub fn operate(operator: BitOperator, texts: &[Bytes]) -> Vec<u8> {
    let length = texts.iter().map(Bytes::len).max().unwrap_or(0);
    let byte = |text: &Bytes, at: usize| text.get(at).copied().unwrap_or(0);
    let combine = |at: usize| {
        let mut bytes = texts.iter().map(|text| byte(text, at));
        let first = bytes.next().unwrap_or(0);
        match operator {
            BitOperator::Not => !first,
            BitOperator::And => bytes.fold(first, |all, byte| all & byte),
            BitOperator::Or => bytes.fold(first, |all, byte| all | byte),
            BitOperator::Xor => bytes.fold(first, |all, byte| all ^ byte),
        }
    };
    (0..length).map(combine).collect()
}
