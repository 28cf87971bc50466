//! Values as bytes. RESP2 has no doubles, sets and maps: they are strings and arrays there.

use bytes::{BufMut, BytesMut};

use crate::kv::Value;
use crate::kv::decimal::score_text;

/// The protocol version of a connection; it begins with the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// RESP2
    #[default]
    Two,
    /// RESP3, after `HELLO 3`
    Three,
}

/// Longest text of an error that goes to an application.
const ERROR_MAX_BYTES: usize = 400;

/// `now_ms` is the time of day, for the remaining time to live.
pub fn write_value(out: &mut BytesMut, value: &Value, version: Version, now_ms: u64) {
    match value {
        Value::Nil if version == Version::Three => out.put_slice(b"_\r\n"),
        Value::Nil => out.put_slice(b"$-1\r\n"),
        Value::NilArray if version == Version::Three => out.put_slice(b"_\r\n"),
        Value::NilArray => out.put_slice(b"*-1\r\n"),
        Value::Word(word) => {
            out.put_u8(b'+');
            out.put_slice(word);
            out.put_slice(b"\r\n");
        }
        Value::Integer(number) => write_number(out, b':', *number),
        Value::Double(score) if version == Version::Three => {
            out.put_u8(b',');
            out.put_slice(score_text(score.0).as_bytes());
            out.put_slice(b"\r\n");
        }
        Value::Double(score) => write_bulk(out, score_text(score.0).as_bytes()),
        Value::Text(text) => write_bulk(out, text),
        Value::Array(all) => write_all(out, b'*', all.len(), all, version, now_ms),
        Value::Set(all) => {
            let mark = if version == Version::Three { b'~' } else { b'*' };
            write_all(out, mark, all.len(), all, version, now_ms);
        }
        Value::Map(all) if version == Version::Three => {
            write_all(out, b'%', all.len() / 2, all, version, now_ms);
        }
        Value::Pairs(all) if version == Version::Three => {
            write_number(out, b'*', (all.len() / 2) as i64);
            all.chunks(2).for_each(|pair| write_all(out, b'*', pair.len(), pair, version, now_ms));
        }
        Value::Map(all) | Value::Pairs(all) => write_all(out, b'*', all.len(), all, version, now_ms),
        Value::Remaining { until_ms, in_seconds } => {
            let left_ms = until_ms.saturating_sub(now_ms);
            let left = if *in_seconds { left_ms.saturating_add(500) / 1000 } else { left_ms };
            write_number(out, b':', left as i64);
        }
        Value::Fault(fault) => write_error(out, &fault.to_string()),
    }
}

/// What would end the line is left out of the text.
pub fn write_error(out: &mut BytesMut, text: &str) {
    out.put_u8(b'-');
    let mut end = text.len().min(ERROR_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend(text[..end].bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.put_slice(b"\r\n");
}

/// The header of a string of so many bytes; the string and a line's end follow.
pub fn write_bulk_head(out: &mut BytesMut, length: usize) {
    write_number(out, b'$', length as i64);
}

/// A command as clients send it: an array of its words.
pub fn command(words: &[&[u8]]) -> BytesMut {
    let mut out = BytesMut::new();
    write_array_head(&mut out, words.len());
    words.iter().for_each(|word| write_bulk(&mut out, word));
    out
}

/// The head of an array; so many values have to follow.
pub fn write_array_head(out: &mut BytesMut, count: usize) {
    write_number(out, b'*', count as i64);
}

fn write_bulk(out: &mut BytesMut, text: &[u8]) {
    out.reserve(text.len() + 24);
    write_bulk_head(out, text.len());
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn write_number(out: &mut BytesMut, mark: u8, number: i64) {
    out.put_u8(mark);
    if number < 0 {
        out.put_u8(b'-');
    }
    let (digits, start) = crate::kv::number::decimal(number.unsigned_abs());
    out.put_slice(&digits[start..]);
    out.put_slice(b"\r\n");
}

fn write_all(out: &mut BytesMut, mark: u8, count: usize, all: &[Value], version: Version, now_ms: u64) {
    write_number(out, mark, count as i64);
    all.iter().for_each(|value| write_value(out, value, version, now_ms));
}
