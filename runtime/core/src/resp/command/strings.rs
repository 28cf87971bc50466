//! Commands on strings and their bits.

use bytes::Bytes;

use super::words::Words;
use super::{NOT_AN_INTEGER, Refused, SYNTAX, on};
use crate::kv::Expiry;
use crate::kv::number::parse_exact;
use crate::kv::operation::{
    Act, BitField, BitFieldAct, BitOperator, Condition, Operation, Overflow, SetAnswer, StringAct,
};

/// Bits are addressed up to here, as in Redis.
const BIT_OFFSET_MAX: i64 = (1 << 32) - 1;

pub fn operation(words: &mut Words<'_>) -> Result<Operation, Refused> {
    if words.name == "bitop" {
        return bit_operation(words);
    }
    let key = words.next()?;
    Ok(on(key, Act::String(act(words)?)))
}

fn act(words: &mut Words<'_>) -> Result<StringAct, Refused> {
    let plain = |value| StringAct::Set {
        value,
        condition: None,
        expiry: Some(Expiry::Never),
        answer: SetAnswer::Okay,
    };
    Ok(match words.name {
        "get" => StringAct::Get,
        "mget" => StringAct::GetMany { others: words.rest() },
        "set" => set(words)?,
        "setnx" => StringAct::Set {
            value: words.next()?,
            condition: Some(Condition::Absent),
            expiry: Some(Expiry::Never),
            answer: SetAnswer::Flag,
        },
        "setex" | "psetex" => {
            let unit_ms = if words.name == "setex" { 1000 } else { 1 };
            let expiry = words.expiry(unit_ms, false)?;
            StringAct::Set {
                value: words.next()?,
                condition: None,
                expiry: Some(expiry),
                answer: SetAnswer::Okay,
            }
        }
        "getset" => match plain(words.next()?) {
            StringAct::Set { value, condition, expiry, .. } => {
                StringAct::Set { value, condition, expiry, answer: SetAnswer::Old }
            }
            other => other,
        },
        "mset" | "msetnx" => {
            let value = words.next()?;
            let others = words.pairs()?;
            StringAct::SetMany { value, others, only_if_none: words.name == "msetnx" }
        }
        "getex" => get_and_expire(words)?,
        "getdel" => StringAct::GetAndDelete,
        "strlen" => StringAct::Length,
        "append" => StringAct::Append { value: words.next()? },
        "getrange" | "substr" => StringAct::GetRange { span: words.span()? },
        "setrange" => {
            let offset = u64::try_from(words.integer()?).map_err(|_| "ERR offset is out of range")?;
            StringAct::SetRange { offset, value: words.next()? }
        }
        "incr" => StringAct::Increment { by: 1 },
        "decr" => StringAct::Increment { by: -1 },
        "incrby" => StringAct::Increment { by: words.integer()? },
        "decrby" => {
            let by = words.integer()?.checked_neg().ok_or("ERR decrement would overflow")?;
            StringAct::Increment { by }
        }
        "incrbyfloat" => StringAct::IncrementFloat { by: words.next()? },
        "lcs" => longest_common(words)?,
        "setbit" => {
            let offset = bit_offset(words)?;
            StringAct::SetBit {
                offset,
                bit: bit(&words.next()?, "ERR bit is not an integer or out of range")?,
            }
        }
        "getbit" => StringAct::GetBit { offset: bit_offset(words)? },
        "bitcount" => bit_count(words)?,
        "bitfield" | "bitfield_ro" => bit_fields(words)?,
        _ => bit_position(words)?,
    })
}

fn set(words: &mut Words<'_>) -> Result<StringAct, Refused> {
    let value = words.next()?;
    let (mut condition, mut expiry, mut answer) = (None, None, SetAnswer::Okay);
    while words.left() > 0 {
        if condition != Some(Condition::Present) && words.takes("nx") {
            condition = Some(Condition::Absent);
        } else if condition != Some(Condition::Absent) && words.takes("xx") {
            condition = Some(Condition::Present);
        } else if words.takes("get") {
            answer = SetAnswer::Old;
        } else if expiry.is_none() && words.takes("keepttl") {
            expiry = Some(None);
        } else {
            let (unit_ms, is_absolute) = expiry_option(words).filter(|_| expiry.is_none()).ok_or(SYNTAX)?;
            if words.left() == 0 {
                return Err(SYNTAX);
            }
            expiry = Some(Some((unit_ms, is_absolute, words.next()?)));
        }
    }
    // Redis looks at the whole line before it looks at the number.
    let expiry = match expiry {
        None => Some(Expiry::Never),
        Some(None) => None,
        Some(Some((unit_ms, is_absolute, number))) => {
            let all = [number];
            let mut number = Words { name: "set", all: &all, at: 0, seed: 0 };
            Some(number.expiry(unit_ms, is_absolute)?)
        }
    };
    Ok(StringAct::Set { value, condition, expiry, answer })
}

/// Unit in milliseconds, and whether it is a time of day.
fn expiry_option(words: &mut Words<'_>) -> Option<(i64, bool)> {
    let all = [("ex", (1000, false)), ("px", (1, false)), ("exat", (1000, true)), ("pxat", (1, true))];
    all.into_iter().find(|(word, _)| words.takes(word)).map(|(_, option)| option)
}

fn get_and_expire(words: &mut Words<'_>) -> Result<StringAct, Refused> {
    if words.left() == 0 {
        return Ok(StringAct::GetAndExpire { expiry: None });
    }
    let expiry = if words.takes("persist") {
        Expiry::Never
    } else {
        let (unit_ms, is_absolute) = expiry_option(words).ok_or(SYNTAX)?;
        if words.left() != 1 {
            return Err(SYNTAX);
        }
        words.expiry(unit_ms, is_absolute)?
    };
    words.end()?;
    Ok(StringAct::GetAndExpire { expiry: Some(expiry) })
}

fn longest_common(words: &mut Words<'_>) -> Result<StringAct, Refused> {
    let other = words.next()?;
    let (mut length_only, mut with_ranges, mut with_length, mut length_min) = (false, false, false, 0);
    while words.left() > 0 {
        if words.takes("len") {
            length_only = true;
        } else if words.takes("idx") {
            with_ranges = true;
        } else if words.takes("withmatchlen") {
            with_length = true;
        } else if words.left() > 1 && words.takes("minmatchlen") {
            length_min = words.integer()?.max(0).unsigned_abs();
        } else {
            return Err(SYNTAX);
        }
    }
    match (length_only, with_ranges) {
        (true, true) => Err("ERR If you want both the length and indexes, please just use IDX.".into()),
        (_, true) => Ok(StringAct::CommonRanges { other, length_min, with_length }),
        (_, false) => Ok(StringAct::LongestCommon { other, length_only }),
    }
}

fn bit_offset(words: &mut Words<'_>) -> Result<u64, Refused> {
    let offset = parse_exact(&words.next()?).filter(|offset| (0..=BIT_OFFSET_MAX).contains(offset));
    offset.map(|offset| offset as u64).ok_or("ERR bit offset is not an integer or out of range".into())
}

fn bit_fields(words: &mut Words<'_>) -> Result<StringAct, Refused> {
    let is_read_only = words.name == "bitfield_ro";
    let (mut acts, mut overflow) = (Vec::new(), Overflow::Wrap);
    while words.left() > 0 {
        if words.left() > 2 && words.takes("get") {
            acts.push(BitFieldAct::Get(bit_field(words)?));
        } else if words.left() > 1 && words.takes("overflow") {
            overflow = overflow_of(words)?;
        } else {
            let has_room = words.left() > 3;
            let is_set = has_room && words.takes("set");
            let is_known = is_set || has_room && words.takes("incrby");
            if !is_known {
                return Err(SYNTAX);
            }
            let (field, number) = (bit_field(words)?, words.integer()?);
            acts.push(match is_set {
                true => BitFieldAct::Set(field, number, overflow),
                false => BitFieldAct::Increment(field, number, overflow),
            });
        }
    }
    if is_read_only && acts.iter().any(|act| act.field().0) {
        return Err("ERR BITFIELD_RO only supports the GET subcommand".into());
    }
    Ok(StringAct::BitFields { acts })
}

fn overflow_of(words: &mut Words<'_>) -> Result<Overflow, Refused> {
    let all = [("wrap", Overflow::Wrap), ("sat", Overflow::Saturate), ("fail", Overflow::Fail)];
    let found = all.into_iter().find(|(word, _)| words.takes(word)).map(|(_, overflow)| overflow);
    found.ok_or("ERR Invalid OVERFLOW type specified".into())
}

/// A type such as `u8` and an offset: in bits, or with `#` in numbers of that type.
fn bit_field(words: &mut Words<'_>) -> Result<BitField, Refused> {
    let (kind, place) = (words.next()?, words.next()?);
    let is_signed = kind.first() == Some(&b'i');
    let is_known = is_signed || kind.first() == Some(&b'u');
    let bits_max = if is_signed { 64 } else { 63 };
    let bits = kind.get(1..).and_then(parse_exact).filter(|bits| is_known && (1..=bits_max).contains(bits));
    let bits = bits.ok_or(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    )?;
    let (number, unit) = match place.strip_prefix(b"#") {
        Some(number) => (number, bits),
        None => (&place[..], 1),
    };
    let offset = parse_exact(number).and_then(|number| number.checked_mul(unit));
    let offset = offset.filter(|offset| (0..=BIT_OFFSET_MAX).contains(offset));
    let offset = offset.ok_or("ERR bit offset is not an integer or out of range")?;
    Ok(BitField { is_signed, bits: bits as u8, offset: offset as u64 })
}

fn bit(word: &Bytes, otherwise: &'static str) -> Result<bool, Refused> {
    match &word[..] {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(otherwise.into()),
    }
}

/// `BYTE`, `BIT` or nothing: true for bits.
fn unit(words: &mut Words<'_>) -> Result<bool, Refused> {
    let in_bits = words.takes("bit");
    if !in_bits {
        words.takes("byte");
    }
    words.end()?;
    Ok(in_bits)
}

fn bit_count(words: &mut Words<'_>) -> Result<StringAct, Refused> {
    match words.left() {
        0 => Ok(StringAct::BitCount { span: None, in_bits: false }),
        2 | 3 => {
            let span = words.span()?;
            Ok(StringAct::BitCount { span: Some(span), in_bits: unit(words)? })
        }
        _ => Err(SYNTAX),
    }
}

fn bit_position(words: &mut Words<'_>) -> Result<StringAct, Refused> {
    let wanted = parse_exact(&words.next()?).ok_or(NOT_AN_INTEGER)?;
    if !(0..=1).contains(&wanted) {
        return Err("ERR The bit argument must be 1 or 0.".into());
    }
    let start = if words.left() > 0 { Some(words.integer()?) } else { None };
    let end = if words.left() > 0 { Some(words.integer()?) } else { None };
    Ok(StringAct::BitPosition { bit: wanted == 1, start, end, in_bits: unit(words)? })
}

fn bit_operation(words: &mut Words<'_>) -> Result<Operation, Refused> {
    let all = [
        ("and", BitOperator::And),
        ("or", BitOperator::Or),
        ("xor", BitOperator::Xor),
        ("not", BitOperator::Not),
    ];
    let operator = all.into_iter().find(|(word, _)| words.takes(word)).ok_or(SYNTAX)?.1;
    let key = words.next()?;
    let sources = words.rest();
    if operator == BitOperator::Not && sources.len() != 1 {
        return Err("ERR BITOP NOT must be called with a single source key.".into());
    }
    Ok(on(key, Act::String(StringAct::BitOperation { operator, sources })))
}
