//! Bytes of an application to requests, one at a time and as they come: a request is taken out of the buffer when it
//! is whole, and its keys and value are slices of what was read.
//!
//! *Invariant:* each call takes bytes out of the buffer or says that it needs more; no byte sequence makes it fail,
//! and an unfinished line cannot grow without bound. Where the bytes are cut in arriving makes no difference.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::{Action, ERROR, Parsed, Request};
use crate::ids::Namespace;
use crate::kv::{Expiry, Key, StoreMode, Write, number};

/// memcached's limit for a key.
pub const KEY_MAX_BYTES: usize = 250;
/// A line that is longer and not ended closes the connection, as in memcached, except for get and gets.
pub const LINE_MAX_BYTES: usize = 2048;
/// Longest line of get and gets: about a thousand of the longest keys.
pub const MULTIGET_LINE_MAX_BYTES: usize = 256 * 1024;
/// Spaces before the first word of an unfinished line, above which it is nobody's request.
const LEADING_SPACES_MAX: usize = 100;
/// Words of the longest command that is not a get: `cas key flags exptime bytes version noreply`.
const WORDS_MAX: usize = 7;
/// Times up to this are seconds from now, larger ones seconds since the Unix epoch.
const RELATIVE_MAX_SECONDS: i64 = 60 * 60 * 24 * 30;

const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const BAD_DELETE: &[u8] = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
const BAD_CHUNK: &[u8] = b"CLIENT_ERROR bad data chunk\r\n";
const BAD_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta argument\r\n";
const BAD_EXPTIME: &[u8] = b"CLIENT_ERROR invalid exptime argument\r\n";
const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";
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
}

/// A whole line: its words, and where it ends in the buffer.
struct Line {
    words: [Range<usize>; WORDS_MAX],
    /// Also counts words beyond `WORDS_MAX`.
    count: usize,
    noreply: bool,
    /// Where the words end: at the line's end or at its first NUL.
    text_end: usize,
    /// Behind the newline.
    end: usize,
}

/// Why a line is no request; the answer is left out when the line says noreply.
struct Refused(&'static [u8]);

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
        Parser { namespace, value_max_bytes, swallow_bytes: 0, searched_bytes: 0 }
    }

    /// Takes the next request out of the buffer.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Parsed {
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

    /// False when more of a refused value has to come first.
    fn swallow(&mut self, buffer: &mut BytesMut) -> bool {
        let bytes = self.swallow_bytes.min(buffer.len());
        buffer.advance(bytes);
        self.swallow_bytes -= bytes;
        self.swallow_bytes == 0
    }

    /// `None` when the line was taken and says nothing: an error with noreply.
    fn line(&mut self, buffer: &mut BytesMut, end: usize) -> Option<Parsed> {
        let line = split(buffer, end);
        let noreply = line.noreply;
        let parsed = self.command(buffer, &line);
        if !matches!(parsed, Ok(Parsed::NeedMore { .. })) {
            self.searched_bytes = 0;
        }
        match parsed {
            Ok(Parsed::Answer(OK)) if noreply => None,
            // A line with the wrong number of words is an error before anybody looks for noreply in it.
            Err(Refused(answer)) if noreply && answer != ERROR => None,
            Ok(parsed) => Some(parsed),
            Err(Refused(answer)) => Some(Parsed::Answer(answer)),
        }
    }

    /// Every way out but `NeedMore` has taken at least the line.
    fn command(&mut self, buffer: &mut BytesMut, line: &Line) -> Result<Parsed, Refused> {
        let mode = match &buffer[line.words[0].clone()] {
            b"get" | b"bget" => return self.get(buffer, line, false),
            b"gets" => return self.get(buffer, line, true),
            b"gat" => return self.get_and_touch(buffer, line, false),
            b"gats" => return self.get_and_touch(buffer, line, true),
            b"set" => StoreMode::Set,
            b"add" => StoreMode::Add,
            b"replace" => StoreMode::Replace,
            b"append" => StoreMode::Append,
            b"prepend" => StoreMode::Prepend,
            b"cas" => StoreMode::Cas(0),
            _ => return self.one_line(buffer.split_to(line.end).freeze(), line),
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
            return Err(Refused(TOO_LARGE));
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
            return Err(Refused(BAD_CHUNK));
        }
        let key = self.key(taken.slice(line.words[1].clone()))?;
        let StoreHead { mode, flags, expiry, .. } = head;
        let value = taken.slice(line.end..value_end);
        Ok(line.write(Write::Store { key, mode, flags, expiry, value }))
    }

    fn get(&self, buffer: &mut BytesMut, line: &Line, with_version: bool) -> Result<Parsed, Refused> {
        let taken = buffer.split_to(line.end).freeze();
        if line.end > MULTIGET_LINE_MAX_BYTES {
            return Ok(Parsed::Close);
        }
        if line.count < 2 {
            return Err(Refused(ERROR));
        }
        let keys = self.keys(&taken, line.words[0].end..line.text_end)?;
        Ok(request(Action::Get { keys, with_version }, false))
    }

    fn get_and_touch(
        &self,
        buffer: &mut BytesMut,
        line: &Line,
        with_version: bool,
    ) -> Result<Parsed, Refused> {
        let taken = buffer.split_to(line.end).freeze();
        if line.end > MULTIGET_LINE_MAX_BYTES {
            return Ok(Parsed::Close);
        }
        if line.count < 2 {
            return Err(Refused(ERROR));
        }
        let expiry = expiry(&taken[line.words[1].clone()]).ok_or(Refused(BAD_EXPTIME))?;
        let keys = self.keys(&taken, line.words[1].end..line.text_end)?;
        Ok(request(Action::GetAndTouch { keys, expiry, with_version }, false))
    }

    fn keys(&self, taken: &Bytes, range: Range<usize>) -> Result<Vec<Key>, Refused> {
        let mut keys = Vec::new();
        let mut at = range.start;
        while let Some(word) = next_word(&taken[..range.end], at) {
            at = word.end;
            keys.push(self.key(taken.slice(word))?);
        }
        Ok(keys)
    }

    fn key(&self, bytes: Bytes) -> Result<Key, Refused> {
        if bytes.len() > KEY_MAX_BYTES {
            return Err(Refused(BAD_FORMAT));
        }
        Ok(Key { namespace: self.namespace.clone(), bytes })
    }

    /// Commands that are one line, which has been taken.
    fn one_line(&self, taken: Bytes, line: &Line) -> Result<Parsed, Refused> {
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
                    return Err(Refused(BAD_DELETE));
                }
                Ok(line.write(Write::Delete { key, version: None }))
            }
            command @ (b"incr" | b"decr") => {
                line.expect(3..=4)?;
                let key = key()?;
                let by = number::parse(word(2)).ok_or(Refused(BAD_DELTA))?;
                Ok(line.write(Write::Increment { key, by, is_decrement: command == b"decr" }))
            }
            b"touch" => {
                line.expect(3..=4)?;
                let key = key()?;
                let expiry = expiry(word(2)).ok_or(Refused(BAD_EXPTIME))?;
                Ok(line.write(Write::Touch { key, expiry }))
            }
            b"flush_all" => {
                line.expect(1..=3)?;
                let has_delay = line.count > if line.noreply { 2 } else { 1 };
                let seconds = if has_delay { number::parse_signed(word(1)) } else { Some(0) };
                let seconds = seconds.ok_or(Refused(BAD_EXPTIME))?;
                let after_ms = u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
                Ok(request(Action::FlushAll { after_ms }, line.noreply))
            }
            b"verbosity" => {
                line.expect(2..=3)?;
                let is_level = number::parse(word(1)).is_some();
                if is_level { Ok(Parsed::Answer(OK)) } else { Err(Refused(BAD_FORMAT)) }
            }
            b"stats" => {
                let word = if line.count > 1 { taken.slice(line.words[1].clone()) } else { Bytes::new() };
                Ok(request(Action::Stats { word }, false))
            }
            b"version" => Ok(request(Action::Version, false)),
            b"mn" => Ok(Parsed::Answer(b"MN\r\n")),
            b"quit" => Ok(Parsed::Close),
            _ => Err(Refused(ERROR)),
        }
    }
}

impl Line {
    fn expect(&self, counts: std::ops::RangeInclusive<usize>) -> Result<(), Refused> {
        if counts.contains(&self.count) { Ok(()) } else { Err(Refused(ERROR)) }
    }

    fn write(&self, write: Write) -> Parsed {
        request(Action::Write(write), self.noreply)
    }
}

fn request(action: Action, noreply: bool) -> Parsed {
    Parsed::Request(Request { action, noreply })
}

/// What to do with a line whose end has not come.
fn unfinished(buffer: &BytesMut) -> Parsed {
    if buffer.len() > LINE_MAX_BYTES {
        let spaces = buffer.iter().take_while(|byte| **byte == b' ').count();
        let text = &buffer[spaces..];
        let is_get = text.starts_with(b"get ") || text.starts_with(b"gets ");
        if spaces > LEADING_SPACES_MAX || !is_get || buffer.len() > MULTIGET_LINE_MAX_BYTES {
            return Parsed::Close;
        }
    }
    Parsed::NeedMore { bytes_min: 1 }
}

fn split(buffer: &[u8], end: usize) -> Line {
    let mut text = &buffer[..end - 1];
    text = text.strip_suffix(b"\r").unwrap_or(text);
    // memcached's words end at a NUL, and with them the line.
    text = &text[..memchr(0, text).unwrap_or(text.len())];
    let mut words: [Range<usize>; WORDS_MAX] = Default::default();
    let (mut count, mut at, mut last) = (0, 0, 0..0);
    while let Some(word) = next_word(text, at) {
        at = word.end;
        if count < WORDS_MAX {
            words[count] = word.clone();
        }
        last = word;
        count += 1;
    }
    let can_be_quiet = match &text[words[0].clone()] {
        b"get" | b"gets" | b"gat" | b"gats" | b"bget" => false,
        b"delete" => count > 2, // `delete noreply` is about a key of that name
        _ => count > 1,
    };
    let noreply = can_be_quiet && &text[last] == b"noreply";
    let text_end = text.len();
    Line { words, count, noreply, text_end, end }
}

fn next_word(text: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].iter().position(|byte| *byte != b' ')?;
    let end = memchr(b' ', &text[start..]).map_or(text.len(), |length| start + length);
    Some(start..end)
}

fn store_head(buffer: &[u8], line: &Line, mode: StoreMode) -> Result<StoreHead, Refused> {
    let word = |n: usize| &buffer[line.words[n].clone()];
    if line.words[1].len() > KEY_MAX_BYTES {
        return Err(Refused(BAD_FORMAT));
    }
    let head = || {
        Some(StoreHead {
            flags: u32::try_from(number::parse(word(2))?).ok()?,
            expiry: expiry(word(3))?,
            // As in memcached a length is an int with room for the line's end.
            value_bytes: number::parse_signed(word(4))
                .and_then(|bytes| usize::try_from(bytes).ok())
                .filter(|bytes| *bytes <= i32::MAX as usize - 2)?,
            mode: match mode {
                StoreMode::Cas(_) => StoreMode::Cas(number::parse(word(5))?),
                other => other,
            },
        })
    };
    head().ok_or(Refused(BAD_FORMAT))
}

/// memcached's exptime: 0 = never, negative = at once, up to 30 days from now, or a Unix time.
fn expiry(word: &[u8]) -> Option<Expiry> {
    let seconds = number::parse_signed(word)?;
    let ms = u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    Some(match seconds {
        0 => Expiry::Never,
        ..=RELATIVE_MAX_SECONDS => Expiry::After(ms),
        _ => Expiry::At(ms),
    })
}
