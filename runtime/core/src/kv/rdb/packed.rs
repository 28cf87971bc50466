//! Small collections that Redis keeps in one piece of memory and writes as it is.

use bytes::Bytes;

use super::{BadDump, Read};

fn number(bytes: &Bytes, at: usize, width: usize) -> Read<i64> {
    let bytes = at.checked_add(width).and_then(|end| bytes.get(at..end)).ok_or(BadDump::Content)?;
    let unsigned = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let unused = 64 - 8 * width as u32;
    Ok((unsigned << unused) as i64 >> unused)
}

fn unsigned(bytes: &Bytes, at: usize, width: usize) -> Read<usize> {
    let signed = number(bytes, at, width)? as u64;
    Ok((signed << (64 - 8 * width as u32) >> (64 - 8 * width as u32)) as usize)
}

fn text(bytes: &Bytes, at: usize, length: usize) -> Read<Bytes> {
    let end = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(BadDump::Content)?;
    Ok(bytes.slice(at..end))
}

/// u32 width, u32 count, integers.
pub fn intset(bytes: &Bytes) -> Read<Vec<Bytes>> {
    let (width, count) = (unsigned(bytes, 0, 4)?, unsigned(bytes, 4, 4)?);
    let is_right = matches!(width, 2 | 4 | 8) && count.checked_mul(width) == bytes.len().checked_sub(8);
    if !is_right {
        return Err(BadDump::Content);
    }
    (0..count).map(|n| Ok(number(bytes, 8 + n * width, width)?.to_string().into())).collect()
}

/// u32 bytes, u16 count, entries, 0xff. Behind each entry stands its length, for reading backwards.
pub fn listpack(bytes: &Bytes) -> Read<Vec<Bytes>> {
    if unsigned(bytes, 0, 4)? != bytes.len() {
        return Err(BadDump::Content);
    }
    let (mut at, mut all) = (6, Vec::new());
    loop {
        let first = unsigned(bytes, at, 1)?;
        if first == 0xff {
            return if at + 1 == bytes.len() { Ok(all) } else { Err(BadDump::Content) };
        }
        let (entry, length) = match first {
            0..=0x7f => (first.to_string().into(), 1),
            0x80..=0xbf => (text(bytes, at + 1, first & 0x3f)?, 1 + (first & 0x3f)),
            0xc0..=0xdf => {
                let number = ((first & 0x1f) << 8 | unsigned(bytes, at + 1, 1)?) as i64;
                let number = if number >= 1 << 12 { number - (1 << 13) } else { number };
                (number.to_string().into(), 2)
            }
            0xe0..=0xef => {
                let length = (first & 0x0f) << 8 | unsigned(bytes, at + 1, 1)?;
                (text(bytes, at + 2, length)?, 2 + length)
            }
            0xf0 => {
                let length = unsigned(bytes, at + 1, 4)?;
                (text(bytes, at + 5, length)?, 5 + length)
            }
            0xf1..=0xf4 => {
                let width = [2, 3, 4, 8][first - 0xf1];
                (number(bytes, at + 1, width)?.to_string().into(), 1 + width)
            }
            _ => return Err(BadDump::Content),
        };
        all.push(entry);
        at += length + length_of_length(length);
    }
}

/// Seven bits a byte.
fn length_of_length(length: usize) -> usize {
    match length {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        2_097_152..=268_435_455 => 4,
        _ => 5,
    }
}

/// u32 bytes, u32 place of the last entry, u16 count, entries, 0xff. Before each entry stands the length of the one before.
pub fn ziplist(bytes: &Bytes) -> Read<Vec<Bytes>> {
    if unsigned(bytes, 0, 4)? != bytes.len() {
        return Err(BadDump::Content);
    }
    let (mut at, mut all) = (10, Vec::new());
    loop {
        let before = unsigned(bytes, at, 1)?;
        if before == 0xff {
            return if at + 1 == bytes.len() { Ok(all) } else { Err(BadDump::Content) };
        }
        at += if before == 0xfe { 5 } else { 1 };
        let first = unsigned(bytes, at, 1)?;
        let big_endian = |from: usize, width: usize| {
            (0..width).try_fold(0, |sum, n| Ok(sum << 8 | unsigned(bytes, from + n, 1)?))
        };
        let (entry, length) = match first {
            0..=0x3f => (text(bytes, at + 1, first)?, 1 + first),
            0x40..=0x7f => {
                let length = big_endian(at, 2)? & 0x3fff;
                (text(bytes, at + 2, length)?, 2 + length)
            }
            0x80 => {
                let length = big_endian(at + 1, 4)?;
                (text(bytes, at + 5, length)?, 5 + length)
            }
            0xc0 | 0xd0 | 0xe0 | 0xf0 | 0xfe => {
                let width = match first {
                    0xc0 => 2,
                    0xd0 => 4,
                    0xe0 => 8,
                    0xf0 => 3,
                    _ => 1,
                };
                (number(bytes, at + 1, width)?.to_string().into(), 1 + width)
            }
            0xf1..=0xfd => ((first - 0xf1).to_string().into(), 1),
            _ => return Err(BadDump::Content),
        };
        all.push(entry);
        at += length;
    }
}
