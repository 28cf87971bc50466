//! The two client protocols as a loader needs them: writing requests and finding the end of each answer.

use std::fmt::Write as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Memcache,
    Redis,
}

/// What an answer was, as far as a loader cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Good,
    Miss,
    Error,
}

pub fn write_get(protocol: Protocol, out: &mut Vec<u8>, key: &str) {
    match protocol {
        Protocol::Memcache => push(out, &["get ", key, "\r\n"]),
        Protocol::Redis => {
            let mut head = String::new();
            let _ = write!(head, "*2\r\n$3\r\nGET\r\n${}\r\n", key.len());
            push(out, &[&head, key, "\r\n"]);
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

/// The first whole answer in `bytes`: its length and what it was; `None` = not whole yet.
pub fn next_answer(protocol: Protocol, bytes: &[u8]) -> Option<(usize, Seen)> {
    let line_end = line(bytes)?;
    let first = &bytes[..line_end - 2];
    match protocol {
        Protocol::Memcache if first.starts_with(b"VALUE ") => {
            let length: usize = number(first.rsplit(|b| *b == b' ').next()?)?;
            let end = line_end + length + 2;
            let after = line(bytes.get(end..)?)?;
            Some((end + after, Seen::Good))
        }
        Protocol::Memcache => Some((line_end, judge(first))),
        Protocol::Redis => match first.first()? {
            b'+' | b':' => Some((line_end, Seen::Good)),
            b'$' if first == b"$-1" => Some((line_end, Seen::Miss)),
            b'$' => {
                let end = line_end + number(&first[1..])? + 2;
                (bytes.len() >= end).then_some((end, Seen::Good))
            }
            _ => Some((line_end, Seen::Error)),
        },
    }
}

fn judge(line: &[u8]) -> Seen {
    match line {
        b"STORED" => Seen::Good,
        b"END" => Seen::Miss,
        _ => Seen::Error,
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The length of the first line with its end.
fn line(bytes: &[u8]) -> Option<usize> {
    let at = bytes.iter().position(|b| *b == b'\n')?;
    (at >= 1).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_where_they_end() {
        let check = |protocol, bytes: &str, want| {
            assert_eq!(next_answer(protocol, bytes.as_bytes()), want, "{bytes:?}");
        };
        use Protocol::{Memcache, Redis};
        check(Memcache, "STORED\r\nSTORED\r\n", Some((8, Seen::Good)));
        check(Memcache, "VALUE k 0 3\r\nabc\r\nEND\r\n+", Some((23, Seen::Good)));
        check(Memcache, "VALUE k 0 3\r\nabc\r\nEN", None);
        check(Memcache, "VALUE k 0 3\r\nab", None);
        check(Memcache, "END\r\n", Some((5, Seen::Miss)));
        check(Memcache, "SERVER_ERROR out of luck\r\n", Some((26, Seen::Error)));
        check(Redis, "+OK\r\n", Some((5, Seen::Good)));
        check(Redis, "$3\r\nabc\r\n$", Some((9, Seen::Good)));
        check(Redis, "$3\r\nabc", None);
        check(Redis, "$-1\r\n", Some((5, Seen::Miss)));
        check(Redis, "-ERR no\r\n", Some((9, Seen::Error)));
        check(Redis, "", None);
    }
}
