//! Commands on lists.

use super::words::Words;
use super::{Blocking, NOT_AN_INTEGER, Refused, Request, SYNTAX, on};
use crate::kv::Value;
use crate::kv::decimal::parse_float;
use crate::kv::number::parse_exact;
use crate::kv::operation::{Act, End, ListAct, Operation};

pub fn request(words: &mut Words<'_>) -> Result<Request, Refused> {
    match words.name {
        "blpop" => return pop_from_any(words, End::Left),
        "brpop" => return pop_from_any(words, End::Right),
        "blmpop" => {
            let timeout_ms = timeout_ms(words)?;
            let operation = pop_first(words)?;
            return Ok(Request::Blocking(Blocking { operation, timeout_ms, nothing: Value::NilArray }));
        }
        "lmpop" => return pop_first(words).map(Request::Operation),
        _ => {}
    }
    let key = words.next()?;
    let operation = on(key, Act::List(act(words)?));
    if !matches!(words.name, "blmove" | "brpoplpush") {
        return Ok(Request::Operation(operation));
    }
    let timeout_ms = timeout_ms(words)?;
    Ok(Request::Blocking(Blocking { operation, timeout_ms, nothing: Value::NilArray }))
}

fn act(words: &mut Words<'_>) -> Result<ListAct, Refused> {
    Ok(match words.name {
        "lpush" | "rpush" | "lpushx" | "rpushx" => ListAct::Push {
            end: if words.name.starts_with('l') { End::Left } else { End::Right },
            elements: words.rest(),
            only_if_present: words.name.ends_with('x'),
        },
        "lpop" | "rpop" => {
            if words.left() > 1 {
                return Err(super::wrong_number(words.name));
            }
            let count = if words.left() > 0 { Some(words.positive()?) } else { None };
            ListAct::Pop { end: if words.name == "lpop" { End::Left } else { End::Right }, count }
        }
        "llen" => ListAct::Length,
        "lrange" => ListAct::Range { span: words.span()? },
        "lindex" => ListAct::Index { index: words.integer()? },
        "lset" => {
            let index = words.integer()?;
            ListAct::Set { index, element: words.next()? }
        }
        "ltrim" => ListAct::Trim { span: words.span()? },
        "lrem" => {
            let count = words.integer()?;
            ListAct::Remove { count, element: words.next()? }
        }
        "linsert" => {
            let is_before = words.takes("before");
            if !is_before && !words.takes("after") {
                return Err(SYNTAX);
            }
            let pivot = words.next()?;
            ListAct::Insert { is_before, pivot, element: words.next()? }
        }
        "lpos" => position(words)?,
        "rpoplpush" | "brpoplpush" => {
            ListAct::Move { to: words.next()?, from_end: End::Right, to_end: End::Left }
        }
        _ => {
            let to = words.next()?;
            ListAct::Move { to, from_end: end(words)?, to_end: end(words)? }
        }
    })
}

fn end(words: &mut Words<'_>) -> Result<End, Refused> {
    if words.takes("left") {
        return Ok(End::Left);
    }
    if words.takes("right") { Ok(End::Right) } else { Err(SYNTAX) }
}

fn position(words: &mut Words<'_>) -> Result<ListAct, Refused> {
    let element = words.next()?;
    let (mut rank, mut count, mut look_at_max) = (1, None, 0);
    while words.left() > 0 {
        let option = ["rank", "count", "maxlen"].into_iter().find(|word| words.takes(word)).ok_or(SYNTAX)?;
        if words.left() == 0 {
            return Err(SYNTAX);
        }
        let number = parse_exact(&words.next()?).ok_or(NOT_AN_INTEGER)?;
        match (option, u64::try_from(number)) {
            ("rank", _) if number == 0 => {
                return Err(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                    or use negative to start from the end of the list"
                        .into(),
                );
            }
            ("rank", _) => rank = number,
            ("count", Ok(number)) => count = Some(number),
            ("count", Err(_)) => return Err("ERR COUNT can't be negative".into()),
            (_, Ok(number)) => look_at_max = number,
            (_, Err(_)) => return Err("ERR MAXLEN can't be negative".into()),
        }
    }
    Ok(ListAct::Position { element, rank, count, look_at_max })
}

/// 0: no timeout.
pub fn timeout_ms(words: &mut Words<'_>) -> Result<Option<u64>, Refused> {
    let seconds = parse_float(&words.next()?).ok_or("ERR timeout is not a float or out of range")?;
    if seconds < 0.0 {
        return Err("ERR timeout is negative".into());
    }
    if seconds > (i64::MAX / 1000) as f64 {
        return Err("ERR timeout is out of range".into());
    }
    Ok((seconds > 0.0).then_some((seconds * 1000.0).ceil() as u64))
}

fn pop_from_any(words: &mut Words<'_>, end: End) -> Result<Request, Refused> {
    let last = words.all.len() - 1;
    let mut behind = Words { name: words.name, all: words.all, at: last, seed: 0 };
    let timeout_ms = timeout_ms(&mut behind)?;
    let key = words.next()?;
    let others = words.all[words.at..last].to_vec();
    let operation = on(key, Act::List(ListAct::PopOne { others, end }));
    Ok(Request::Blocking(Blocking { operation, timeout_ms, nothing: Value::NilArray }))
}

fn pop_first(words: &mut Words<'_>) -> Result<Operation, Refused> {
    let mut keys = words.counted_keys()?;
    let end = end(words)?;
    let count = count(words)?;
    let key = keys.remove(0);
    Ok(on(key, Act::List(ListAct::PopFirst { others: keys, end, count })))
}

/// `COUNT n` or nothing, and then the end.
pub fn count(words: &mut Words<'_>) -> Result<u64, Refused> {
    let mut count = 1;
    if words.left() > 0 {
        if !words.takes("count") || words.left() != 1 {
            return Err(SYNTAX);
        }
        let number = parse_exact(&words.next()?).filter(|count| *count > 0);
        count = number.ok_or("ERR count should be greater than 0")? as u64;
    }
    Ok(count)
}
