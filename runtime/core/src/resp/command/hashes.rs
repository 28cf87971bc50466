//! Commands on hashes.

use bytes::Bytes;

use super::words::Words;
use super::{Refused, Request, SYNTAX, keys, on, wrong_number};
use crate::kv::decimal::parse_float;
use crate::kv::operation::{Act, HashAct};

pub fn request(words: &mut Words<'_>) -> Result<Request, Refused> {
    let key = words.next()?;
    if words.name == "hscan" {
        let after = keys::cursor(words)?;
        let options = keys::scan_options(words)?;
        let act = Act::Hash(HashAct::Scan { after, count: options.count });
        return Ok(scanned(key, act, options.pattern, true));
    }
    Ok(Request::Operation(on(key, Act::Hash(act(words)?))))
}

/// A scan of a collection, with or without a pattern.
pub fn scanned(key: Bytes, act: Act, pattern: Option<Bytes>, in_pairs: bool) -> Request {
    match pattern {
        Some(pattern) => Request::Matching { operation: on(key, act), pattern, in_pairs },
        None => Request::Operation(on(key, act)),
    }
}

fn act(words: &mut Words<'_>) -> Result<HashAct, Refused> {
    Ok(match words.name {
        "hset" | "hmset" => HashAct::Set { pairs: words.pairs()?, says_okay: words.name == "hmset" },
        "hsetnx" => {
            let field = words.next()?;
            HashAct::SetIfAbsent { field, value: words.next()? }
        }
        "hget" => HashAct::Get { field: words.next()? },
        "hmget" => HashAct::GetMany { fields: words.rest() },
        "hgetall" => HashAct::All,
        "hkeys" => HashAct::Fields,
        "hvals" => HashAct::Values,
        "hlen" => HashAct::Length,
        "hdel" => HashAct::Delete { fields: words.rest() },
        "hexists" => HashAct::Exists { field: words.next()? },
        "hstrlen" => HashAct::ValueLength { field: words.next()? },
        "hincrby" => {
            let field = words.next()?;
            HashAct::Increment { field, by: words.integer()? }
        }
        "hincrbyfloat" => {
            let (field, by) = (words.next()?, words.next()?);
            match parse_float(&by) {
                None => return Err("ERR value is not a valid float".into()),
                Some(number) if !number.is_finite() => return Err("ERR value is NaN or Infinity".into()),
                Some(_) => HashAct::IncrementFloat { field, by },
            }
        }
        _ => {
            let (count, with_values) = drawn(words, "withvalues")?;
            HashAct::Random { count, with_values, seed: words.seed }
        }
    })
}

/// How many are drawn by chance, and whether with what belongs to them.
pub fn drawn(words: &mut Words<'_>, with: &str) -> Result<(Option<i64>, bool), Refused> {
    if words.left() == 0 {
        return Ok((None, false));
    }
    let count = words.integer()?;
    let is_with = words.left() > 0;
    if is_with && !words.takes(with) || words.left() > 0 {
        return Err(if words.name == "srandmember" { wrong_number(words.name) } else { SYNTAX });
    }
    if !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err("ERR value is out of range".into());
    }
    Ok((Some(count), is_with))
}
