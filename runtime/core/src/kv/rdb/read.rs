//! Payloads to values.

use bytes::Bytes;

use super::packed::{intset, listpack, ziplist};
use super::{BadDump, FOOTER_BYTES, Read, VERSION, crc64, kind};
use crate::kv::Score;
use crate::kv::decimal::parse_float;
use crate::kv::operation::Content;

/// Compressed texts may become so many times as long.
const EXPANSION_MAX: usize = 512;

/// The value of a payload.
pub fn decode(payload: &Bytes) -> Read<Content> {
    let length =
        payload.len().checked_sub(FOOTER_BYTES).filter(|length| *length > 0).ok_or(BadDump::Footer)?;
    let (body, footer) = (payload.slice(..length), &payload[length..]);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let crc = footer[2..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    // As Redis: a checksum of 0 is none.
    if version > VERSION || crc != 0 && crc != crc64(&payload[..length + 2]) {
        return Err(BadDump::Footer);
    }
    let mut from = Source { bytes: body, at: 0 };
    let kind = from.byte()?;
    let content = content(kind, &mut from)?;
    let is_empty = match &content {
        Content::String(_) => false,
        Content::List(all) | Content::Set(all) => all.is_empty(),
        Content::Hash(all) => all.is_empty(),
        Content::SortedSet(all) => all.is_empty(),
    };
    if is_empty || from.at != from.bytes.len() { Err(BadDump::Content) } else { Ok(content) }
}

fn content(kind: u8, from: &mut Source) -> Read<Content> {
    Ok(match kind {
        kind::STRING => Content::String(from.text()?),
        kind::LIST => Content::List(from.texts(1)?),
        kind::SET => Content::Set(from.texts(1)?),
        kind::HASH => Content::Hash(pairs(from.texts(2)?)?),
        kind::SORTED_SET | kind::SORTED_SET_TEXT => {
            let count = from.length()?;
            let mut all = Vec::new();
            for _ in 0..count {
                let member = from.text()?;
                all.push((from.score(kind == kind::SORTED_SET)?, member));
            }
            Content::SortedSet(all)
        }
        kind::SET_INTSET => Content::Set(intset(&from.text()?)?),
        kind::LIST_ZIPLIST => Content::List(ziplist(&from.text()?)?),
        kind::HASH_ZIPLIST => Content::Hash(pairs(ziplist(&from.text()?)?)?),
        kind::HASH_LISTPACK => Content::Hash(pairs(listpack(&from.text()?)?)?),
        kind::SORTED_SET_ZIPLIST => scored(ziplist(&from.text()?)?)?,
        kind::SORTED_SET_LISTPACK => scored(listpack(&from.text()?)?)?,
        kind::QUICKLIST | kind::QUICKLIST_2 => {
            let count = from.length()?;
            let mut all = Vec::new();
            for _ in 0..count {
                let container = if kind == kind::QUICKLIST_2 { from.length()? } else { 0 };
                let node = from.text()?;
                match (kind, container) {
                    (kind::QUICKLIST, _) => all.extend(ziplist(&node)?),
                    (_, 1) => all.push(node),
                    (_, 2) => all.extend(listpack(&node)?),
                    _ => return Err(BadDump::Content),
                }
            }
            Content::List(all)
        }
        _ => return Err(BadDump::Content),
    })
}

fn pairs(all: Vec<Bytes>) -> Read<Vec<(Bytes, Bytes)>> {
    match all.len().is_multiple_of(2) {
        true => Ok(all.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()),
        false => Err(BadDump::Content),
    }
}

/// Members and scores in turn.
fn scored(all: Vec<Bytes>) -> Read<Content> {
    let score = |text: &Bytes| parse_float(text).map(Score).ok_or(BadDump::Content);
    let all = pairs(all)?.into_iter().map(|(member, text)| Ok((score(&text)?, member)));
    all.collect::<Read<_>>().map(Content::SortedSet)
}

/// The bytes that are left.
struct Source {
    bytes: Bytes,
    at: usize,
}

/// A length, or how a text is written instead.
enum Length {
    Plain(u64),
    Special(u8),
}

impl Source {
    fn take(&mut self, count: usize) -> Read<Bytes> {
        let end =
            self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or(BadDump::Content)?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.first_chunk::<N>().copied().ok_or(BadDump::Content)
    }

    fn any_length(&mut self) -> Read<Length> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(first)),
            1 => Length::Plain(u64::from(u16::from_be_bytes([first & 0x3f, self.byte()?]))),
            3 => Length::Special(first & 0x3f),
            _ if first == 0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            _ if first == 0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ => return Err(BadDump::Content),
        })
    }

    fn length(&mut self) -> Read<usize> {
        match self.any_length()? {
            Length::Plain(length) => usize::try_from(length).map_err(|_| BadDump::Content),
            Length::Special(_) => Err(BadDump::Content),
        }
    }

    fn text(&mut self) -> Read<Bytes> {
        let number = match self.any_length()? {
            Length::Plain(length) => {
                return self.take(usize::try_from(length).map_err(|_| BadDump::Content)?);
            }
            Length::Special(0) => i64::from(i8::from_le_bytes(self.array()?)),
            Length::Special(1) => i64::from(i16::from_le_bytes(self.array()?)),
            Length::Special(2) => i64::from(i32::from_le_bytes(self.array()?)),
            Length::Special(3) => {
                let (packed, length) = (self.length()?, self.length()?);
                let packed = self.take(packed)?;
                return if length <= packed.len().saturating_mul(EXPANSION_MAX) {
                    decompress(&packed, length)
                } else {
                    Err(BadDump::Content)
                };
            }
            Length::Special(_) => return Err(BadDump::Content),
        };
        Ok(number.to_string().into())
    }

    /// A count, and so many texts or groups of them.
    fn texts(&mut self, width: usize) -> Read<Vec<Bytes>> {
        let count = self.length()?.checked_mul(width).ok_or(BadDump::Content)?;
        // Room is made as they come: each takes a byte at least.
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.text()?);
        }
        Ok(all)
    }

    fn score(&mut self, is_binary: bool) -> Read<Score> {
        let score = match is_binary {
            true => f64::from_le_bytes(self.array()?),
            false => match self.byte()? {
                253 => f64::NAN,
                254 => f64::INFINITY,
                255 => f64::NEG_INFINITY,
                length => parse_float(&self.take(usize::from(length))?).ok_or(BadDump::Content)?,
            },
        };
        if score.is_nan() { Err(BadDump::Content) } else { Ok(Score(score)) }
    }
}

/// LZF: texts as they are, and repetitions of what came before.
fn decompress(packed: &[u8], length: usize) -> Read<Bytes> {
    let mut out: Vec<u8> = Vec::new();
    let mut at = 0;
    let byte = |at: &mut usize| {
        *at += 1;
        packed.get(*at - 1).copied().map(usize::from).ok_or(BadDump::Content)
    };
    while at < packed.len() && out.len() <= length {
        let control = byte(&mut at)?;
        if control < 0x20 {
            let text = packed.get(at..at + control + 1).ok_or(BadDump::Content)?;
            out.extend_from_slice(text);
            at += control + 1;
            continue;
        }
        let mut count = control >> 5;
        if count == 7 {
            count += byte(&mut at)?;
        }
        let back = ((control & 0x1f) << 8) + byte(&mut at)? + 1;
        let begin = out.len().checked_sub(back).ok_or(BadDump::Content)?;
        // What is repeated may reach into the repetition.
        (begin..begin + count + 2).for_each(|at| out.push(out[at]));
    }
    if out.len() == length && at == packed.len() { Ok(out.into()) } else { Err(BadDump::Content) }
}
