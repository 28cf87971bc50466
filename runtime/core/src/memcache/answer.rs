//! Answers of the memcached text protocol, appended to the output of a connection.

use bytes::{BufMut, BytesMut};

use crate::kv::{Record, Reply, number};

/// Longest text of an error that goes to an application.
const ERROR_TEXT_MAX_BYTES: usize = 400;

/// memcached has strings only; another protocol has put something else there.
pub const WRONG_TYPE: &[u8] = b"SERVER_ERROR the key holds a list, hash, set or sorted set\r\n";

/// The line before a value; with the cas unique for gets and gats. The value and a line's end follow.
pub fn write_value_head(out: &mut BytesMut, key: &[u8], record: &Record, with_version: bool) {
    out.reserve(key.len() + 64);
    out.put_slice(b"VALUE ");
    out.put_slice(key);
    out.put_u8(b' ');
    put_decimal(out, u64::from(record.flags));
    out.put_u8(b' ');
    put_decimal(out, record.value.len() as u64);
    if with_version {
        out.put_u8(b' ');
        put_decimal(out, record.version);
    }
    out.put_slice(b"\r\n");
}

/// The end of a get or of statistics.
pub fn write_end(out: &mut BytesMut) {
    out.put_slice(b"END\r\n");
}

/// The answer to a write.
pub fn write_reply(out: &mut BytesMut, reply: &Reply) {
    let word: &[u8] = match reply {
        Reply::Stored { .. } => b"STORED\r\n",
        Reply::NotStored => b"NOT_STORED\r\n",
        Reply::Exists => b"EXISTS\r\n",
        Reply::NotFound => b"NOT_FOUND\r\n",
        Reply::Deleted => b"DELETED\r\n",
        Reply::Touched => b"TOUCHED\r\n",
        Reply::Done => b"OK\r\n",
        Reply::NotANumber => b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        Reply::TooLarge => b"SERVER_ERROR object too large for cache\r\n",
        Reply::Number { value, .. } => {
            put_decimal(out, *value);
            b"\r\n"
        }
        Reply::WrongType => WRONG_TYPE,
        Reply::Record(_) | Reply::Keys { .. } | Reply::Count { .. } | Reply::OutOfRange | Reply::Value(_) => {
            b"SERVER_ERROR this command has no such answer\r\n"
        }
    };
    out.put_slice(word);
}

/// It may or may not have been carried out; that can no longer be decided.
pub fn write_unknown(out: &mut BytesMut) {
    write_server_error(out, "outcome unknown: the write may or may not have been carried out");
}

/// A definite error: it did not happen and never will. What would end the line is left out of the text.
pub fn write_server_error(out: &mut BytesMut, text: &str) {
    out.put_slice(b"SERVER_ERROR ");
    out.extend(text.bytes().filter(|byte| !byte.is_ascii_control()).take(ERROR_TEXT_MAX_BYTES));
    out.put_slice(b"\r\n");
}

/// The answer to `version`.
pub fn write_version(out: &mut BytesMut, version: &str) {
    out.put_slice(b"VERSION ");
    out.put_slice(version.as_bytes());
    out.put_slice(b"\r\n");
}

/// One line of statistics.
pub fn write_stat(out: &mut BytesMut, name: &str, value: &dyn std::fmt::Display) {
    out.put_slice(format!("STAT {name} {value}\r\n").as_bytes());
}

pub(super) fn put_decimal(out: &mut BytesMut, value: u64) {
    let (digits, start) = number::decimal(value);
    out.put_slice(&digits[start..]);
}
