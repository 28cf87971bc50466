//! Commands on sets.

use super::words::Words;
use super::{NOT_POSITIVE, Refused, Request, SYNTAX, hashes, keys, on};
use crate::kv::number::parse_exact;
use crate::kv::operation::{Act, Combination, SetAct};

pub fn request(words: &mut Words<'_>) -> Result<Request, Refused> {
    if words.name == "sintercard" {
        let mut keys = words.counted_keys()?;
        let limit = limit(words)?;
        let key = keys.remove(0);
        let act = SetAct::IntersectionLength { others: keys, limit };
        return Ok(Request::Operation(on(key, Act::Set(act))));
    }
    let key = words.next()?;
    if words.name == "sscan" {
        let after = keys::cursor(words)?;
        let options = keys::scan_options(words)?;
        let act = Act::Set(SetAct::Scan { after, count: options.count });
        return Ok(hashes::scanned(key, act, options.pattern, false));
    }
    Ok(Request::Operation(on(key, Act::Set(act(words)?))))
}

fn act(words: &mut Words<'_>) -> Result<SetAct, Refused> {
    Ok(match words.name {
        "sadd" => SetAct::Add { members: words.rest() },
        "srem" => SetAct::Remove { members: words.rest() },
        "sismember" => SetAct::Contains { member: words.next()? },
        "smismember" => SetAct::ContainsMany { members: words.rest() },
        "smembers" => SetAct::Members,
        "scard" => SetAct::Length,
        "spop" => match words.left() {
            0 => SetAct::Pop { count: None, seed: words.seed },
            1 => {
                let count = parse_exact(&words.next()?).and_then(|count| u64::try_from(count).ok());
                SetAct::Pop { count: Some(count.ok_or(NOT_POSITIVE)?), seed: words.seed }
            }
            _ => return Err(SYNTAX),
        },
        "srandmember" => {
            if words.left() > 1 {
                return Err(SYNTAX);
            }
            let (count, _) = hashes::drawn(words, "")?;
            SetAct::Random { count, seed: words.seed }
        }
        "smove" => {
            let to = words.next()?;
            SetAct::Move { to, member: words.next()? }
        }
        "sunion" | "sinter" | "sdiff" => {
            SetAct::Combine { combination: combination(words.name), others: words.rest() }
        }
        name => SetAct::CombineInto { combination: combination(name), sources: words.rest() },
    })
}

pub fn combination(name: &str) -> Combination {
    match &name[1..2] {
        "u" => Combination::Union,
        "i" => Combination::Intersection,
        _ => Combination::Difference,
    }
}

/// `LIMIT n` or nothing; 0 is none.
pub fn limit(words: &mut Words<'_>) -> Result<u64, Refused> {
    if words.left() == 0 {
        return Ok(0);
    }
    if !words.takes("limit") || words.left() != 1 {
        return Err(SYNTAX);
    }
    let limit = parse_exact(&words.next()?).and_then(|limit| u64::try_from(limit).ok());
    limit.ok_or("ERR LIMIT can't be negative".into())
}
