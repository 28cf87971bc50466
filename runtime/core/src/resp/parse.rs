//! Commands out of what has been read: arrays of strings, and lines that people type. What has been found of a command is
//! remembered, so that one that comes in many pieces is looked at once.
//!
//! *Invariant:* a length alone costs no memory, and no more than the limits is ever kept. A string that is too long is
//! swallowed as it comes, and its command is refused.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::inline;

/// Strings of one command.
pub const ARGUMENTS_MAX: usize = 1024 * 1024;
/// A line of a person, and the line before a string.
const LINE_MAX_BYTES: usize = 64 * 1024;
/// A command in all: less than what fits into a frame to a server.
pub const COMMAND_MAX_BYTES: usize = 64 * 1024 * 1024;

/// What `Parser::next` found at the beginning of the input. Everything but `NeedMore` has been taken out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// At least so many bytes are missing.
    NeedMore {
        /// At least 1; a hint for reserving room.
        bytes_min: usize,
    },
    /// Never empty.
    Command(Vec<Bytes>),
    /// The command was swallowed: a string of it is too long.
    TooLarge,
    /// It was swallowed, because there was no room for the rest of it.
    NoRoom,
    /// The error to send before the connection is closed.
    Broken(String),
    /// The client sent HTTP: closed without an answer.
    Foreign,
}

/// Takes commands out of one connection's input.
#[derive(Debug)]
pub struct Parser {
    value_max_bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    /// In the middle of a command; what has been found of it lies at the beginning of the input.
    Strings {
        found: Vec<Range<usize>>,
        missing: usize,
        at: usize,
    },
    /// What is left of a command that is refused.
    Swallowing {
        missing: usize,
        bytes: usize,
        why: Parsed,
    },
    Broken,
}

/// A line's end was not found.
enum Line {
    Missing,
    TooLong,
}

impl Parser {
    /// Longer strings are refused; `value_max_bytes` is the cluster's parameter.
    pub fn new(value_max_bytes: usize) -> Parser {
        Parser { value_max_bytes, state: State::Start }
    }

    /// Takes the next command out of the input.
    pub fn next(&mut self, input: &mut BytesMut) -> Parsed {
        loop {
            let step = match &mut self.state {
                State::Broken => Some(Parsed::Foreign),
                State::Start => self.start(input),
                State::Strings { .. } => self.strings(input),
                State::Swallowing { .. } => self.swallow(input),
            };
            if let Some(parsed) = step {
                if matches!(parsed, Parsed::Broken(_) | Parsed::Foreign) {
                    self.state = State::Broken;
                }
                return parsed;
            }
        }
    }

    /// There is no room for the rest of the command that has begun: it is swallowed. False if there is no telling where it
    /// ends.
    pub fn refuse(&mut self, input: &mut BytesMut) -> bool {
        let State::Strings { missing, at, .. } = &self.state else { return false };
        let (missing, at) = (*missing, *at);
        input.advance(at.min(input.len()));
        self.state = State::Swallowing { missing, bytes: 0, why: Parsed::NoRoom };
        true
    }

    fn start(&mut self, input: &mut BytesMut) -> Option<Parsed> {
        match input.first() {
            None => Some(Parsed::NeedMore { bytes_min: 1 }),
            Some(b'*') => self.array(input),
            Some(_) => self.inline(input),
        }
    }

    fn inline(&mut self, input: &mut BytesMut) -> Option<Parsed> {
        let Some(end) = memchr::memchr(b'\n', &input[..input.len().min(LINE_MAX_BYTES)]) else {
            return Some(match input.len() < LINE_MAX_BYTES {
                true => Parsed::NeedMore { bytes_min: 1 },
                false => broken("too big inline request"),
            });
        };
        let line = input.split_to(end + 1).freeze();
        let line = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]);
        let Some(words) = inline::words(line) else { return Some(broken("unbalanced quotes in request")) };
        let first = words.first()?;
        let is_http = first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:");
        Some(if is_http { Parsed::Foreign } else { Parsed::Command(words) })
    }

    fn array(&mut self, input: &mut BytesMut) -> Option<Parsed> {
        let (count, end) = match number(input, 1) {
            Err(Line::Missing) => return Some(Parsed::NeedMore { bytes_min: 1 }),
            Err(Line::TooLong) => return Some(broken("too big mbulk count string")),
            Ok(found) => found,
        };
        let Some(count) = count.filter(|count| *count <= ARGUMENTS_MAX as i64) else {
            return Some(broken("invalid multibulk length"));
        };
        input.advance(end);
        if count > 0 {
            self.state = State::Strings { found: Vec::new(), missing: count as usize, at: 0 };
        }
        None
    }

    fn strings(&mut self, input: &mut BytesMut) -> Option<Parsed> {
        let State::Strings { found, missing, at } = &mut self.state else { return None };
        while *missing > 0 {
            let (length, begin) = match string_head(input, *at) {
                Ok(head) => head,
                Err(parsed) => return Some(parsed),
            };
            let is_too_large = length > self.value_max_bytes || begin + length > COMMAND_MAX_BYTES;
            if is_too_large {
                input.advance(begin);
                self.state =
                    State::Swallowing { missing: *missing - 1, bytes: length + 2, why: Parsed::TooLarge };
                return None;
            }
            let end = begin + length + 2;
            if input.len() < end {
                return Some(Parsed::NeedMore { bytes_min: end - input.len() });
            }
            found.push(begin..begin + length);
            *missing -= 1;
            *at = end;
        }
        let whole = input.split_to(*at).freeze();
        let words = found.iter().map(|range| whole.slice(range.clone())).collect();
        self.state = State::Start;
        Some(Parsed::Command(words))
    }

    fn swallow(&mut self, input: &mut BytesMut) -> Option<Parsed> {
        let State::Swallowing { missing, bytes, why } = &mut self.state else { return None };
        loop {
            let now = (*bytes).min(input.len());
            input.advance(now);
            *bytes -= now;
            if *bytes > 0 {
                return Some(Parsed::NeedMore { bytes_min: 1 });
            }
            if *missing == 0 {
                let why = why.clone();
                self.state = State::Start;
                return Some(why);
            }
            let (length, begin) = match string_head(input, 0) {
                Ok(head) => head,
                Err(parsed) => return Some(parsed),
            };
            input.advance(begin);
            *missing -= 1;
            *bytes = length + 2;
        }
    }
}

fn broken(why: &str) -> Parsed {
    Parsed::Broken(format!("ERR Protocol error: {why}"))
}

/// Length of a string and where it begins.
fn string_head(input: &BytesMut, at: usize) -> Result<(usize, usize), Parsed> {
    match input.get(at) {
        None => return Err(Parsed::NeedMore { bytes_min: 1 }),
        Some(b'$') => {}
        Some(other) => return Err(broken(&format!("expected '$', got '{}'", other.escape_ascii()))),
    }
    match number(input, at + 1) {
        Err(Line::Missing) => Err(Parsed::NeedMore { bytes_min: 1 }),
        Err(Line::TooLong) => Err(broken("too big bulk count string")),
        Ok((Some(length), end)) if (0..=BULK_MAX_BYTES).contains(&length) => Ok((length as usize, end)),
        Ok(_) => Err(broken("invalid bulk length")),
    }
}

/// Redis's own limit of a string.
const BULK_MAX_BYTES: i64 = 512 * 1024 * 1024;

/// The number from `at` to the end of its line, if it is one, and where the next line begins.
fn number(input: &BytesMut, at: usize) -> Result<(Option<i64>, usize), Line> {
    let rest = &input[at..];
    let Some(end) = memchr::memchr(b'\r', &rest[..rest.len().min(LINE_MAX_BYTES)]) else {
        return Err(if rest.len() < LINE_MAX_BYTES { Line::Missing } else { Line::TooLong });
    };
    if rest.len() < end + 2 {
        return Err(Line::Missing);
    }
    Ok((crate::kv::number::parse_exact(&rest[..end]), at + end + 2))
}
