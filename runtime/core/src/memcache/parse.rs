//! Bytes of an application to requests, one at a time and as they come: a request is taken out of the buffer when it
//! is whole, and its keys and value are slices of what was read.
//!
//! *Invariant:* each call takes bytes out of the buffer or says that it needs more; no byte sequence makes it fail,
//! and an unfinished line cannot grow without bound. Where the bytes are cut in arriving makes no difference.

use std::ops::RangeInclusive;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::expiry::{expiry, expiry_of};
use super::line::{Line, WORDS_MAX};
use super::meta::{MetaLine, SetHead, Verb};
use super::{BAD_FORMAT, ERROR, Foreign, KEY_MAX_BYTES, Keys, Parsed, Request, RequestKind};
use crate::ids::Namespace;
use crate::kv::{Command, Expiry, Key, StoreMode, Write, number};

/// A line that is longer and not ended closes the connection, as in memcached, except for gets of many keys.
pub const LINE_MAX_BYTES: usize = 2048;
/// Longest line of get, gets, gat and gats: more than a hundred thousand of the longest keys.
pub const MULTIGET_LINE_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Spaces before the first word of an unfinished line, above which it is no request.
const LEADING_SPACES_MAX: usize = 100;
const BAD_DELETE: &[u8] = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
const BAD_CHUNK: &[u8] = b"CLIENT_ERROR bad data chunk\r\n";
const BAD_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta argument\r\n";
const BAD_EXPTIME: &[u8] = b"CLIENT_ERROR invalid exptime argument\r\n";
const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";
const OUT_OF_MEMORY: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";
const OK: &[u8] = b"OK\r\n";

/// The state of one connection between two requests.
#[derive(Debug)]
pub struct Parser {
    namespace: Namespace,
    value_max_bytes: usize,
    /// Bytes of a refused value that are still to come.
    swallow_bytes: usize,
    /// The line in the buffer is known not to end before this.
    searched_bytes: usize,
    /// Nothing has come yet.
    is_new: bool,
    /// Nothing more is parsed: what follows cannot be distinguished from commands.
    is_over: bool,
}

/// Why a line is no request.
enum Refused {
    /// The answer is left out when the line says noreply.
    With(&'static [u8]),
    /// The first word is unknown.
    Unknown,
}

/// What is known of a store before its value has come.
struct StoreHead {
    mode: StoreMode,
    flags: u32,
    expiry: Expiry,
    value_bytes: usize,
}

impl Parser {
    /// Keys go into `namespace`; larger values than `value_max_bytes` are refused without being kept.
    pub fn new(namespace: Namespace, value_max_bytes: usize) -> Parser {
        Parser {
            namespace,
            value_max_bytes,
            swallow_bytes: 0,
            searched_bytes: 0,
            is_new: true,
            is_over: false,
        }
    }

    /// Takes the next request out of the buffer.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Parsed {
        if self.is_over {
            return Parsed::Close;
        }
        if self.is_new && !buffer.is_empty() {
            self.is_new = false;
            if let Some(foreign) = Foreign::of_first_byte(buffer[0]) {
                return self.close(buffer, Parsed::Foreign(foreign));
            }
        }
        loop {
            if !self.swallow(buffer) {
                return Parsed::NeedMore { bytes_min: self.swallow_bytes.min(LINE_MAX_BYTES) };
            }
            let Some(length) = memchr(b'\n', &buffer[self.searched_bytes..]) else {
                self.searched_bytes = buffer.len();
                return unfinished(buffer);
            };
            let end = self.searched_bytes + length + 1;
            if let Some(parsed) = self.line(buffer, end) {
                return parsed;
            }
        }
    }

    /// Refuses a value that has been announced and is still on its way, for want of memory: the answer, empty after
    /// noreply. `None` when what is unfinished is no value.
    pub fn refuse_value(&mut self, buffer: &mut BytesMut) -> Option<&'static [u8]> {
        let end = memchr(b'\n', buffer)? + 1;
        let line = Line::split(buffer, end);
        let value_bytes = match store_mode(&buffer[line.words[0].clone()]) {
            Some(mode) => store_head(buffer, &line, mode).ok()?.value_bytes,
            None => meta_value_bytes(buffer, &line)?,
        };
        buffer.advance(end);
        self.searched_bytes = 0;
        self.swallow_bytes = value_bytes + 2;
        Some(if line.noreply { b"" } else { OUT_OF_MEMORY })
    }

    /// Takes everything out of the buffer, now and from now on.
    fn close(&mut self, buffer: &mut BytesMut, last: Parsed) -> Parsed {
        buffer.clear();
        self.is_over = true;
        last
    }

    /// False when more of a refused value has to come first.
    fn swallow(&mut self, buffer: &mut BytesMut) -> bool {
        let bytes = self.swallow_bytes.min(buffer.len());
        buffer.advance(bytes);
        self.swallow_bytes -= bytes;
        self.swallow_bytes == 0
    }

    /// `None` when the line was taken and says nothing: an error with noreply.
    fn line(&mut self, buffer: &mut BytesMut, end: usize) -> Option<Parsed> {
        let line = Line::split(buffer, end);
        let noreply = line.noreply;
        let parsed = self.command(buffer, &line);
        if !matches!(parsed, Ok(Parsed::NeedMore { .. })) {
            self.searched_bytes = 0;
        }
        match parsed {
            Ok(Parsed::Answer(OK)) if noreply => None,
            // A line with the wrong number of words is an error before anybody looks for noreply in it.
            Err(Refused::With(answer)) if noreply && answer != ERROR => None,
            Ok(parsed) => Some(parsed),
            Err(Refused::With(answer)) => Some(Parsed::Answer(answer)),
            Err(Refused::Unknown) => Some(Parsed::Answer(ERROR)),
        }
    }

    /// Every way out but `NeedMore` has taken at least the line.
    fn command(&mut self, buffer: &mut BytesMut, line: &Line) -> Result<Parsed, Refused> {
        let mode = match &buffer[line.words[0].clone()] {
            b"get" | b"bget" => return self.get(buffer, line, false),
            b"gets" => return self.get(buffer, line, true),
            b"gat" => return self.get_and_touch(buffer, line, false),
            b"gats" => return self.get_and_touch(buffer, line, true),
            b"ms" => return self.meta_set(buffer, line),
            word => store_mode(word),
        };
        let mode = match mode {
            Some(mode) => mode,
            None => {
                let taken = buffer.split_to(line.end).freeze();
                return match self.one_line(&taken, line) {
                    Err(Refused::Unknown) => Ok(self.unknown(buffer, &taken, line)),
                    parsed => parsed,
                };
            }
        };
        self.store(buffer, line, mode)
    }

    fn store(&mut self, buffer: &mut BytesMut, line: &Line, mode: StoreMode) -> Result<Parsed, Refused> {
        let words_min = if matches!(mode, StoreMode::Cas(_)) { 6 } else { 5 };
        let head = line.expect(words_min..=words_min + 1).and_then(|()| store_head(buffer, line, mode));
        let head = match head {
            Ok(head) => head,
            Err(refused) => {
                buffer.advance(line.end);
                return Err(refused);
            }
        };
        let whole = head.value_bytes + 2;
        if head.value_bytes > self.value_max_bytes {
            buffer.advance(line.end);
            self.swallow_bytes = whole;
            return Err(Refused::With(TOO_LARGE));
        }
        let total = line.end + whole;
        if buffer.len() < total {
            // The line is found again at once when the value has come.
            self.searched_bytes = line.end - 1;
            return Ok(Parsed::NeedMore { bytes_min: total - buffer.len() });
        }
        let taken = buffer.split_to(total).freeze();
        let value_end = line.end + head.value_bytes;
        if &taken[value_end..] != b"\r\n" {
            return Err(Refused::With(BAD_CHUNK));
        }
        let key = self.key(taken.slice(line.words[1].clone()))?;
        let StoreHead { mode, flags, expiry, .. } = head;
        let value = taken.slice(line.end..value_end);
        Ok(line.write(Write::Store { key, mode, flags, expiry, value }))
    }

    fn meta_set(&mut self, buffer: &mut BytesMut, line: &Line) -> Result<Parsed, Refused> {
        let Some(value_bytes) = meta_value_bytes(buffer, line) else {
            let answer = if line.count < 2 { ERROR } else { BAD_FORMAT };
            buffer.advance(line.end);
            return match line.count < 3 {
                true => Err(Refused::With(answer)),
                // Where the data block ends is unknown.
                false => Ok(self.close(buffer, Parsed::Answer(answer))),
            };
        };
        if value_bytes > self.value_max_bytes {
            let taken = buffer.split_to(line.end).freeze();
            self.swallow_bytes = value_bytes + 2;
            let head = meta_line(&taken, line, Verb::Set).set(&self.namespace);
            return Err(Refused::With(head.err().unwrap_or(TOO_LARGE)));
        }
        let total = line.end + value_bytes + 2;
        if buffer.len() < total {
            self.searched_bytes = line.end - 1;
            return Ok(Parsed::NeedMore { bytes_min: total - buffer.len() });
        }
        let taken = buffer.split_to(total).freeze();
        let head = meta_line(&taken, line, Verb::Set).set(&self.namespace).map_err(Refused::With)?;
        if &taken[total - 2..] != b"\r\n" {
            return Err(Refused::With(BAD_CHUNK));
        }
        let SetHead { key, mode, flags, expiry, meta } = head;
        let value = taken.slice(line.end..total - 2);
        let command = Command::Write(Write::Store { key, mode, flags, expiry, value });
        Ok(request(RequestKind::Meta { command, meta }, false))
    }

    fn get(&self, buffer: &mut BytesMut, line: &Line, with_version: bool) -> Result<Parsed, Refused> {
        let taken = get_line(buffer, line)?;
        let keys = self.keys(taken.slice(line.words[0].end..line.text_end))?;
        Ok(request(RequestKind::Get { keys, with_version }, false))
    }

    fn get_and_touch(
        &self,
        buffer: &mut BytesMut,
        line: &Line,
        with_version: bool,
    ) -> Result<Parsed, Refused> {
        let taken = get_line(buffer, line)?;
        let expiry = expiry(&taken[line.words[1].clone()]).ok_or(Refused::With(BAD_EXPTIME))?;
        let keys = self.keys(taken.slice(line.words[1].end..line.text_end))?;
        Ok(request(RequestKind::GetAndTouch { keys, expiry, with_version }, false))
    }

    fn keys(&self, words: Bytes) -> Result<Keys, Refused> {
        Keys::new(&self.namespace, words).ok_or(Refused::With(BAD_FORMAT))
    }

    fn key(&self, bytes: Bytes) -> Result<Key, Refused> {
        if bytes.len() > KEY_MAX_BYTES {
            return Err(Refused::With(BAD_FORMAT));
        }
        Ok(Key { namespace: self.namespace.clone(), bytes })
    }

    /// Commands that are one line, which has been taken.
    fn one_line(&self, taken: &Bytes, line: &Line) -> Result<Parsed, Refused> {
        let word = |n: usize| &taken[line.words[n].clone()];
        let key = || self.key(taken.slice(line.words[1].clone()));
        match word(0) {
            b"delete" => {
                line.expect(2..=4)?;
                let key = key()?;
                let is_zero = line.count > 2 && word(2) == b"0";
                let is_right = match line.count {
                    2 => true,
                    3 => is_zero || line.noreply,
                    _ => is_zero && line.noreply,
                };
                if !is_right {
                    return Err(Refused::With(BAD_DELETE));
                }
                Ok(line.write(Write::Delete { key, version: None }))
            }
            command @ (b"incr" | b"decr") => {
                line.expect(3..=4)?;
                let key = key()?;
                let by = number::parse(word(2)).ok_or(Refused::With(BAD_DELTA))?;
                Ok(line.write(Write::Increment { key, by, is_decrement: command == b"decr" }))
            }
            b"touch" => {
                line.expect(3..=4)?;
                let key = key()?;
                let expiry = expiry(word(2)).ok_or(Refused::With(BAD_EXPTIME))?;
                Ok(line.write(Write::Touch { key, expiry }))
            }
            b"flush_all" => {
                line.expect(1..=3)?;
                let has_delay = line.count > if line.noreply { 2 } else { 1 };
                let seconds = if has_delay { number::parse_signed(word(1)) } else { Some(0) };
                let seconds = seconds.ok_or(Refused::With(BAD_EXPTIME))?;
                let when = match expiry_of(seconds) {
                    Expiry::Never => Expiry::After(0),
                    when => when,
                };
                Ok(request(RequestKind::FlushAll { when }, line.noreply))
            }
            b"verbosity" => {
                line.expect(2..=3)?;
                let is_level = number::parse(word(1)).is_some();
                if is_level { Ok(Parsed::Answer(OK)) } else { Err(Refused::With(BAD_FORMAT)) }
            }
            b"stats" => {
                let word = if line.count > 1 { taken.slice(line.words[1].clone()) } else { Bytes::new() };
                Ok(request(RequestKind::Stats { word }, false))
            }
            b"version" => Ok(request(RequestKind::Version, false)),
            b"mn" => Ok(Parsed::Answer(b"MN\r\n")),
            command @ (b"mg" | b"md" | b"ma" | b"me") => {
                let verb = Verb::of(command).ok_or(Refused::Unknown)?;
                if line.count < 2 {
                    return Err(Refused::With(if verb == Verb::Debug { BAD_FORMAT } else { ERROR }));
                }
                let read = meta_line(taken, line, verb).command(&self.namespace);
                let (command, meta) = read.map_err(Refused::With)?;
                Ok(request(RequestKind::Meta { command, meta }, false))
            }
            b"quit" => Ok(Parsed::Close),
            _ => Err(Refused::Unknown),
        }
    }

    /// What an unknown line says about those who sent it.
    fn unknown(&mut self, buffer: &mut BytesMut, taken: &[u8], line: &Line) -> Parsed {
        match Foreign::of_line(taken, line) {
            Some(foreign) => self.close(buffer, Parsed::Foreign(foreign)),
            None if announces_data(taken, line) => self.close(buffer, Parsed::Answer(ERROR)),
            None => Parsed::Answer(ERROR),
        }
    }
}

impl Line {
    fn expect(&self, counts: RangeInclusive<usize>) -> Result<(), Refused> {
        if counts.contains(&self.count) { Ok(()) } else { Err(Refused::With(ERROR)) }
    }

    fn write(&self, write: Write) -> Parsed {
        request(RequestKind::Write(write), self.noreply)
    }
}

fn request(kind: RequestKind, noreply: bool) -> Parsed {
    Parsed::Request(Request { kind, noreply })
}

/// How a storage command stores; the version of a cas is in its line.
fn store_mode(command: &[u8]) -> Option<StoreMode> {
    Some(match command {
        b"set" => StoreMode::Set,
        b"add" => StoreMode::Add,
        b"replace" => StoreMode::Replace,
        b"append" => StoreMode::Append,
        b"prepend" => StoreMode::Prepend,
        b"cas" => StoreMode::Cas(0),
        _ => return None,
    })
}

/// The length of the value of a `ms`.
fn meta_value_bytes(buffer: &[u8], line: &Line) -> Option<usize> {
    let is_set = line.count > 2 && &buffer[line.words[0].clone()] == b"ms";
    is_set.then(|| value_bytes(&buffer[line.words[2].clone()]))?
}

/// Key and flags of a meta command; those of `ms` follow the length.
fn meta_line(taken: &Bytes, line: &Line, verb: Verb) -> MetaLine {
    let first_flag = if verb == Verb::Set { 3 } else { 2 };
    let flags_start = if line.count > first_flag { line.words[first_flag].start } else { line.text_end };
    MetaLine { verb, key: taken.slice(line.words[1].clone()), flags: taken.slice(flags_start..line.text_end) }
}

/// Takes the line of a get, which has at least one word after the command.
fn get_line(buffer: &mut BytesMut, line: &Line) -> Result<Bytes, Refused> {
    let taken = buffer.split_to(line.end).freeze();
    if line.count < 2 { Err(Refused::With(ERROR)) } else { Ok(taken) }
}

/// Whether an unknown line has the shape of one that a data block follows, as `set` and `ms` have it: what
/// follows would be taken for commands.
fn announces_data(taken: &[u8], line: &Line) -> bool {
    let is_number = |n: &usize| number::parse_signed(&taken[line.words[*n].clone()]).is_some();
    let is_store = (5..=WORDS_MAX).contains(&line.count) && [2, 3, 4].iter().all(is_number);
    let is_meta = line.count > 2 && line.words[0].len() == 2 && taken[line.words[0].start] == b'm';
    is_store || (is_meta && is_number(&2))
}

/// What to do with a line whose end has not come.
fn unfinished(buffer: &BytesMut) -> Parsed {
    if buffer.len() > LINE_MAX_BYTES {
        let spaces = buffer.iter().take_while(|byte| **byte == b' ').count();
        let text = &buffer[spaces..];
        let is_get = [&b"get "[..], b"gets ", b"gat ", b"gats "].iter().any(|get| text.starts_with(get));
        if spaces > LEADING_SPACES_MAX || !is_get || buffer.len() > MULTIGET_LINE_MAX_BYTES {
            return Parsed::Close;
        }
    }
    Parsed::NeedMore { bytes_min: 1 }
}

fn store_head(buffer: &[u8], line: &Line, mode: StoreMode) -> Result<StoreHead, Refused> {
    let word = |n: usize| &buffer[line.words[n].clone()];
    if line.words[1].len() > KEY_MAX_BYTES {
        return Err(Refused::With(BAD_FORMAT));
    }
    let head = || {
        Some(StoreHead {
            flags: u32::try_from(number::parse(word(2))?).ok()?,
            expiry: expiry(word(3))?,
            value_bytes: value_bytes(word(4))?,
            mode: match mode {
                StoreMode::Cas(_) => StoreMode::Cas(number::parse(word(5))?),
                other => other,
            },
        })
    };
    head().ok_or(Refused::With(BAD_FORMAT))
}

/// As in memcached a length is an int with room for the line's end.
fn value_bytes(word: &[u8]) -> Option<usize> {
    let bytes = usize::try_from(number::parse_signed(word)?).ok()?;
    (bytes <= i32::MAX as usize - 2).then_some(bytes)
}
