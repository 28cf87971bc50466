//! Answers to meta commands. Flags that were asked for come back in the order in which they were sent.

use bytes::{BufMut, BytesMut};

use super::{Meta, Verb};
use crate::kv::{Record, Reply};
use crate::memcache::answer::{put_decimal, write_reply};
use crate::memcache::line::next_word;

/// Appends the line of an answer, or nothing where `q` suppresses it. When it returns true, the record's value
/// and a line's end have to follow. `now_ms` is the time of day, for the remaining time to live.
pub fn write_meta(out: &mut BytesMut, meta: &Meta, reply: &Reply, now_ms: u64) -> bool {
    match (meta.verb, reply) {
        (Verb::Debug, Reply::Record(record)) => write_debug(out, meta, record, now_ms),
        (Verb::Get | Verb::Arithmetic, Reply::Record(record)) => {
            return write_record(out, meta, record, now_ms);
        }
        (Verb::Get, Reply::NotFound) if meta.is_quiet => {}
        (Verb::Get, Reply::NotFound) => write_short(out, meta, b"EN", None),
        (Verb::Debug, Reply::NotFound) => out.put_slice(b"EN\r\n"),
        (Verb::Set, Reply::Stored { .. }) | (Verb::Delete, Reply::Deleted) if meta.is_quiet => {}
        (Verb::Set, Reply::Stored { version }) => write_short(out, meta, b"HD", Some(*version)),
        (Verb::Delete, Reply::Deleted) => write_short(out, meta, b"HD", None),
        (verb, Reply::NotStored | Reply::Exists | Reply::NotFound) => {
            let code: &[u8; 2] = match reply {
                Reply::NotStored => b"NS",
                Reply::Exists => b"EX",
                _ => b"NF",
            };
            // A store that failed has no version.
            write_short(out, meta, code, (verb == Verb::Set).then_some(0));
        }
        _ => write_reply(out, reply),
    }
    false
}

fn write_record(out: &mut BytesMut, meta: &Meta, record: &Record, now_ms: u64) -> bool {
    if meta.verb == Verb::Arithmetic && meta.is_quiet {
        return false;
    }
    match meta.wants_value {
        true => {
            out.put_slice(b"VA ");
            put_decimal(out, record.value.len() as u64);
        }
        false => out.put_slice(b"HD"),
    }
    let is_get = meta.verb == Verb::Get;
    each_flag(meta, |letter, token| match letter {
        b't' => {
            out.put_slice(b" t");
            put_life(out, record, now_ms);
        }
        b'c' => put_number(out, b'c', record.version),
        b's' if is_get => put_number(out, b's', record.value.len() as u64),
        b'f' if is_get => put_number(out, b'f', u64::from(record.flags)),
        _ => put_echo(out, meta, letter, token),
    });
    out.put_slice(b"\r\n");
    meta.wants_value
}

/// A line without a record; `version` where `c` asks for one.
fn write_short(out: &mut BytesMut, meta: &Meta, code: &[u8; 2], version: Option<u64>) {
    out.put_slice(code);
    each_flag(meta, |letter, token| match (letter, version) {
        (b'c', Some(version)) => put_number(out, b'c', version),
        _ => put_echo(out, meta, letter, token),
    });
    out.put_slice(b"\r\n");
}

/// What is known of a record. memcached also reports when it was used (`la`, `fetch`) and its slab class.
fn write_debug(out: &mut BytesMut, meta: &Meta, record: &Record, now_ms: u64) {
    out.put_slice(b"ME ");
    out.put_slice(&meta.key);
    out.put_slice(b" exp=");
    put_life(out, record, now_ms);
    out.put_slice(b" cas=");
    put_decimal(out, record.version);
    out.put_slice(b" size=");
    put_decimal(out, record.value.len() as u64);
    out.put_slice(b"\r\n");
}

fn each_flag(meta: &Meta, mut visit: impl FnMut(u8, &[u8])) {
    let mut at = 0;
    while let Some(word) = next_word(&meta.flags, at) {
        at = word.end;
        visit(meta.flags[word.start], &meta.flags[word.start + 1..word.end]);
    }
}

/// Opaque and key, which come back from every command.
fn put_echo(out: &mut BytesMut, meta: &Meta, letter: u8, token: &[u8]) {
    match letter {
        b'O' => {
            out.put_slice(b" O");
            out.put_slice(token);
        }
        b'k' => {
            out.put_slice(b" k");
            out.put_slice(&meta.key);
            if meta.is_base64 {
                out.put_slice(b" b");
            }
        }
        _ => {}
    }
}

fn put_number(out: &mut BytesMut, letter: u8, number: u64) {
    out.put_slice(&[b' ', letter]);
    put_decimal(out, number);
}

/// Seconds until a record expires, the one that has begun counted; -1 for never.
fn put_life(out: &mut BytesMut, record: &Record, now_ms: u64) {
    match record.expires_at_ms {
        None => out.put_slice(b"-1"),
        Some(at_ms) => put_decimal(out, at_ms.saturating_sub(now_ms).div_ceil(1000)),
    }
}
