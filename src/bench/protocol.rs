//! The two client protocols as a loader needs them: writing requests and finding the end of each reply.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Memcache,
    Redis,
}

/// The kind of a reply, as far as a loader cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Answered,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyKind {
    pub length: usize,
    pub seen: Seen,
    /// Hits of a read; its other keys were misses.
    pub is_read: bool,
    pub values: u64,
}

/// A read of one key, or of several in one request.
pub fn write_get(protocol: Protocol, out: &mut Vec<u8>, keys: &[String]) {
    match protocol {
        Protocol::Memcache => {
            out.extend_from_slice(b"get");
            keys.iter().for_each(|key| push(out, &[" ", key]));
            out.extend_from_slice(b"\r\n");
        }
        Protocol::Redis => {
            let word = if keys.len() == 1 { "GET" } else { "MGET" };
            let mut head = String::new();
            let _ = write!(head, "*{}\r\n${}\r\n{word}\r\n", keys.len() + 1, word.len());
            out.extend_from_slice(head.as_bytes());
            for key in keys {
                head.clear();
                let _ = write!(head, "${}\r\n{key}\r\n", key.len());
                out.extend_from_slice(head.as_bytes());
            }
        }
    }
}

pub fn write_set(protocol: Protocol, out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let mut head = String::new();
    match protocol {
        Protocol::Memcache => {
            let _ = write!(head, "set {key} 0 0 {}\r\n", value.len());
        }
        Protocol::Redis => {
            let _ = write!(head, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len());
        }
    }
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// The first complete reply in `bytes`; `None` = incomplete.
pub fn next_answer(protocol: Protocol, bytes: &[u8]) -> Option<ReplyKind> {
    match protocol {
        Protocol::Memcache => next_of_memcache(bytes),
        Protocol::Redis => next_of_redis(bytes),
    }
}

fn next_of_memcache(bytes: &[u8]) -> Option<ReplyKind> {
    let (mut at, mut values) = (0, 0);
    loop {
        let length = at + line(bytes.get(at..)?)?;
        let first = &bytes[at..length - 2];
        if first.starts_with(b"VALUE ") {
            let value_bytes: usize = number(first.rsplit(|b| *b == b' ').next()?)?;
            at = length + value_bytes + 2;
            values += 1;
            continue;
        }
        let (seen, is_read) = match first {
            b"END" => (Seen::Answered, true),
            b"STORED" => (Seen::Answered, false),
            _ => (Seen::Error, false),
        };
        return Some(ReplyKind { length, seen, is_read, values });
    }
}

fn next_of_redis(bytes: &[u8]) -> Option<ReplyKind> {
    let length = line(bytes)?;
    let first = &bytes[..length - 2];
    match first.first()? {
        b'+' => Some(ReplyKind { length, seen: Seen::Answered, is_read: false, values: 0 }),
        b'$' => {
            let (length, values) = bulk(bytes)?;
            Some(ReplyKind { length, seen: Seen::Answered, is_read: true, values })
        }
        b'*' => {
            let (mut length, mut values) = (length, 0);
            for _ in 0..number(&first[1..])? {
                let (bytes, value) = bulk(bytes.get(length..)?)?;
                length += bytes;
                values += value;
            }
            Some(ReplyKind { length, seen: Seen::Answered, is_read: true, values })
        }
        _ => Some(ReplyKind { length, seen: Seen::Error, is_read: false, values: 0 }),
    }
}

/// A RESP bulk string: its length including framing, and whether it is a value (1) or nil (0).
fn bulk(bytes: &[u8]) -> Option<(usize, u64)> {
    let line_end = line(bytes)?;
    match bytes.get(1..line_end - 2)? {
        b"-1" => Some((line_end, 0)),
        length => {
            let end = line_end + number(length)? + 2;
            (bytes.len() >= end).then_some((end, 1))
        }
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The length of the first line including its line end.
fn line(bytes: &[u8]) -> Option<usize> {
    let at = bytes.iter().position(|b| *b == b'\n')?;
    (at >= 1).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_where_they_end() {
        // Length, whether it is an error, and the values of a read.
        let check = |protocol, bytes: &str, want: Option<(usize, bool, Option<u64>)>| {
            let found = next_answer(protocol, bytes.as_bytes()).map(|found| {
                (found.length, found.seen == Seen::Error, found.is_read.then_some(found.values))
            });
            assert_eq!(found, want, "{bytes:?}");
        };
        use Protocol::{Memcache, Redis};
        check(Memcache, "STORED\r\nSTORED\r\n", Some((8, false, None)));
        check(Memcache, "VALUE k 0 3\r\nabc\r\nEND\r\n+", Some((23, false, Some(1))));
        check(Memcache, "VALUE k 0 3\r\nabc\r\nVALUE l 0 1\r\na\r\nEND\r\n", Some((39, false, Some(2))));
        check(Memcache, "VALUE k 0 3\r\nabc\r\nVALUE l 0 1\r\na\r\n", None);
        check(Memcache, "VALUE k 0 3\r\nabc\r\nEN", None);
        check(Memcache, "VALUE k 0 3\r\nab", None);
        check(Memcache, "END\r\n", Some((5, false, Some(0))));
        check(Memcache, "SERVER_ERROR out of luck\r\n", Some((26, true, None)));
        check(Redis, "+OK\r\n", Some((5, false, None)));
        check(Redis, "$3\r\nabc\r\n$", Some((9, false, Some(1))));
        check(Redis, "$3\r\nabc", None);
        check(Redis, "$-1\r\n", Some((5, false, Some(0))));
        check(Redis, "*2\r\n$1\r\na\r\n$-1\r\n+", Some((16, false, Some(1))));
        check(Redis, "*2\r\n$1\r\na\r\n$-1\r", None);
        check(Redis, "-ERR no\r\n", Some((9, true, None)));
        check(Redis, "", None);
    }

    #[test]
    fn reads_of_several_keys_are_one_request() {
        let check = |protocol, keys: &[&str], want: &str| {
            let keys: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
            let mut out = Vec::new();
            write_get(protocol, &mut out, &keys);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        };
        check(Protocol::Memcache, &["a"], "get a\r\n");
        check(Protocol::Memcache, &["a", "bc"], "get a bc\r\n");
        check(Protocol::Redis, &["a"], "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
        check(Protocol::Redis, &["a", "bc"], "*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$2\r\nbc\r\n");
    }
}
