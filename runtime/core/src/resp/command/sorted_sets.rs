//! Commands on sorted sets.

use bytes::Bytes;

use super::words::Words;
use super::{Blocking, Refused, Request, SYNTAX, hashes, keys, lists, on, score, sets};
use crate::kv::Value;
use crate::kv::decimal::parse_float;
use crate::kv::operation::{
    Act, AddHow, Aggregate, Combination, Condition, LexBound, Merge, Operation, Part, ScoreBound,
    SortedSetAct, Which,
};

pub fn request(words: &mut Words<'_>) -> Result<Request, Refused> {
    let act = match words.name {
        "bzpopmin" | "bzpopmax" => return blocking_pop(words),
        "bzmpop" => {
            let timeout_ms = lists::timeout_ms(words)?;
            let operation = pop_first(words)?;
            return Ok(Request::Blocking(Blocking { operation, timeout_ms, nothing: Value::NilArray }));
        }
        "zmpop" => return pop_first(words).map(Request::Operation),
        "zunion" | "zinter" | "zdiff" => {
            let (merge, with_scores) = merge(words, true)?;
            let key = merge.sources[0].clone();
            return Ok(operation(key, SortedSetAct::Merged { merge, with_scores }));
        }
        "zintercard" => {
            let mut keys = words.counted_keys()?;
            let limit = sets::limit(words)?;
            let key = keys.remove(0);
            return Ok(operation(key, SortedSetAct::IntersectionLength { others: keys, limit }));
        }
        "zscan" => {
            let key = words.next()?;
            let after = keys::cursor(words)?;
            let options = keys::scan_options(words)?;
            let act = Act::SortedSet(SortedSetAct::Scan { after, count: options.count });
            return Ok(hashes::scanned(key, act, options.pattern, true));
        }
        _ => act,
    };
    let key = words.next()?;
    Ok(operation(key, act(words)?))
}

fn operation(key: Bytes, act: SortedSetAct) -> Request {
    Request::Operation(on(key, Act::SortedSet(act)))
}

fn act(words: &mut Words<'_>) -> Result<SortedSetAct, Refused> {
    Ok(match words.name {
        "zadd" => add(words)?,
        "zincrby" => {
            let by = words.float()?;
            SortedSetAct::IncrementBy { by: score(by), member: words.next()? }
        }
        "zrem" => SortedSetAct::Remove { members: words.rest() },
        "zscore" => SortedSetAct::Score { member: words.next()? },
        "zmscore" => SortedSetAct::Scores { members: words.rest() },
        "zcard" => SortedSetAct::Length,
        "zcount" => SortedSetAct::Count { which: scores(words, false)? },
        "zlexcount" => SortedSetAct::Count { which: lex(words, false)? },
        "zrank" => SortedSetAct::Rank { member: words.next()?, is_reverse: false },
        "zrevrank" => SortedSetAct::Rank { member: words.next()?, is_reverse: true },
        "zremrangebyrank" => SortedSetAct::RemoveRange { which: Which::Ranks(words.span()?) },
        "zremrangebyscore" => SortedSetAct::RemoveRange { which: scores(words, false)? },
        "zremrangebylex" => SortedSetAct::RemoveRange { which: lex(words, false)? },
        "zpopmin" | "zpopmax" => {
            if words.left() > 1 {
                return Err(SYNTAX);
            }
            let count = if words.left() > 0 { Some(words.positive()?) } else { None };
            SortedSetAct::Pop { is_highest: words.name == "zpopmax", count }
        }
        "zrandmember" => {
            let (count, with_scores) = hashes::drawn(words, "withscores")?;
            SortedSetAct::Random { count, with_scores, seed: words.seed }
        }
        "zrangestore" => {
            let source = words.next()?;
            let Range { which, is_reverse, part, .. } = range(words)?;
            SortedSetAct::RangeInto { source, which, is_reverse, part }
        }
        "zunionstore" | "zinterstore" | "zdiffstore" => {
            SortedSetAct::MergeInto { merge: merge(words, false)?.0 }
        }
        _ => {
            let Range { which, is_reverse, part, with_scores } = range(words)?;
            SortedSetAct::Range { which, is_reverse, part, with_scores }
        }
    })
}

fn add(words: &mut Words<'_>) -> Result<SortedSetAct, Refused> {
    let mut how = AddHow::default();
    let (mut nx, mut xx) = (false, false);
    loop {
        let all = [
            ("nx", &mut nx),
            ("xx", &mut xx),
            ("gt", &mut how.only_greater),
            ("lt", &mut how.only_less),
            ("ch", &mut how.counts_changed),
            ("incr", &mut how.increments),
        ];
        let Some((_, flag)) = all.into_iter().find(|(word, _)| words.takes(word)) else { break };
        *flag = true;
    }
    if words.left() == 0 || !words.left().is_multiple_of(2) {
        return Err(SYNTAX);
    }
    if nx && xx {
        return Err("ERR XX and NX options at the same time are not compatible".into());
    }
    if nx && (how.only_greater || how.only_less) || how.only_greater && how.only_less {
        return Err("ERR GT, LT, and/or NX options at the same time are not compatible".into());
    }
    if how.increments && words.left() > 2 {
        return Err("ERR INCR option supports a single increment-element pair".into());
    }
    how.condition = if nx { Some(Condition::Absent) } else { xx.then_some(Condition::Present) };
    let mut elements = Vec::new();
    while words.left() > 0 {
        elements.push((score(words.float()?), words.next()?));
    }
    Ok(SortedSetAct::Add { how, elements })
}

struct Range {
    which: Which,
    is_reverse: bool,
    part: Part,
    with_scores: bool,
}

/// Of `ZRANGE` and all its older relatives.
fn range(words: &mut Words<'_>) -> Result<Range, Refused> {
    let (first, second) = (words.next()?, words.next()?);
    let mut by_score = words.name.ends_with("byscore");
    let mut by_lex = words.name.ends_with("bylex");
    let mut is_reverse = words.name.starts_with("zrev");
    let is_general = matches!(words.name, "zrange" | "zrangestore");
    let (mut with_scores, mut limit) = (false, None);
    while words.left() > 0 {
        if words.name != "zrangestore" && words.takes("withscores") {
            with_scores = true;
        } else if words.takes("limit") && words.left() >= 2 {
            limit = Some((words.integer()?, words.integer()?));
        } else if is_general && words.takes("byscore") {
            by_score = true;
        } else if is_general && words.takes("bylex") {
            by_lex = true;
        } else if is_general && words.takes("rev") {
            is_reverse = true;
        } else {
            return Err(SYNTAX);
        }
    }
    if limit.is_some() && !by_score && !by_lex {
        return Err(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX".into()
        );
    }
    if with_scores && by_lex {
        return Err("ERR syntax error, WITHSCORES not supported in combination with BYLEX".into());
    }
    let all = [first, second];
    let mut bounds = Words { name: words.name, all: &all, at: 0, seed: 0 };
    let which = match (by_score, by_lex) {
        (true, _) => scores(&mut bounds, is_reverse)?,
        (_, true) => lex(&mut bounds, is_reverse)?,
        _ => Which::Ranks(bounds.span()?),
    };
    // A negative offset leads to nothing, a negative count to everything.
    let (offset, count) = limit.unwrap_or((0, -1));
    let part = Part { offset: u64::try_from(offset).unwrap_or(u64::MAX), count: u64::try_from(count).ok() };
    Ok(Range { which, is_reverse, part, with_scores })
}

fn scores(words: &mut Words<'_>, is_reverse: bool) -> Result<Which, Refused> {
    let (first, second) = (score_bound(&words.next()?)?, score_bound(&words.next()?)?);
    let (min, max) = if is_reverse { (second, first) } else { (first, second) };
    Ok(Which::Scores { min, max })
}

fn score_bound(word: &Bytes) -> Result<ScoreBound, Refused> {
    let (is_exclusive, number) = match word.strip_prefix(b"(") {
        Some(number) => (true, number),
        None => (false, &word[..]),
    };
    let number = parse_float(number).ok_or("ERR min or max is not a float")?;
    Ok(ScoreBound { score: score(number), is_exclusive })
}

fn lex(words: &mut Words<'_>, is_reverse: bool) -> Result<Which, Refused> {
    let (first, second) = (lex_bound(&words.next()?)?, lex_bound(&words.next()?)?);
    let (min, max) = if is_reverse { (second, first) } else { (first, second) };
    Ok(Which::Lex { min, max })
}

fn lex_bound(word: &Bytes) -> Result<LexBound, Refused> {
    match word.first() {
        Some(b'-') if word.len() == 1 => Ok(LexBound::Lowest),
        Some(b'+') if word.len() == 1 => Ok(LexBound::Highest),
        Some(b'[') => Ok(LexBound::Including(word.slice(1..))),
        Some(b'(') => Ok(LexBound::Excluding(word.slice(1..))),
        _ => Err("ERR min or max not valid string range item".into()),
    }
}

fn merge(words: &mut Words<'_>, may_have_scores: bool) -> Result<(Merge, bool), Refused> {
    let count = words.integer()?;
    if count < 1 {
        return Err(format!("ERR at least 1 input key is needed for '{}' command", words.name).into());
    }
    words.at -= 1;
    let sources = words.counted_keys()?;
    let combination = sets::combination(words.name);
    let (mut weights, mut aggregate, mut with_scores) = (Vec::new(), Aggregate::Sum, false);
    let is_difference = combination == Combination::Difference;
    while words.left() > 0 {
        if !is_difference && words.left() > sources.len() && words.takes("weights") {
            for _ in &sources {
                let weight = parse_float(&words.next()?).ok_or("ERR weight value is not a float")?;
                weights.push(score(weight));
            }
        } else if !is_difference && words.left() >= 2 && words.takes("aggregate") {
            let all = [("sum", Aggregate::Sum), ("min", Aggregate::Min), ("max", Aggregate::Max)];
            aggregate = all.into_iter().find(|(word, _)| words.takes(word)).ok_or(SYNTAX)?.1;
        } else if may_have_scores && words.takes("withscores") {
            with_scores = true;
        } else {
            return Err(SYNTAX);
        }
    }
    Ok((Merge { combination, sources, weights, aggregate }, with_scores))
}

fn blocking_pop(words: &mut Words<'_>) -> Result<Request, Refused> {
    let last = words.all.len() - 1;
    let mut behind = Words { name: words.name, all: words.all, at: last, seed: 0 };
    let timeout_ms = lists::timeout_ms(&mut behind)?;
    let key = words.next()?;
    let others = words.all[words.at..last].to_vec();
    let act = SortedSetAct::PopOne { others, is_highest: words.name == "bzpopmax" };
    let operation = on(key, Act::SortedSet(act));
    Ok(Request::Blocking(Blocking { operation, timeout_ms, nothing: Value::NilArray }))
}

fn pop_first(words: &mut Words<'_>) -> Result<Operation, Refused> {
    let mut keys = words.counted_keys()?;
    let is_highest = words.takes("max");
    if !is_highest && !words.takes("min") {
        return Err(SYNTAX);
    }
    let count = lists::count(words)?;
    let key = keys.remove(0);
    Ok(on(key, Act::SortedSet(SortedSetAct::PopFirst { others: keys, is_highest, count })))
}
