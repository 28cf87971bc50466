//! Sorted sets: each member in a row with its score, and once more in a row whose name begins with the score, so that
//! scores and ranks are read in order. Counted from the highest, ranks are found from the lowest all the same.

use bytes::Bytes;

use super::collection::{Draw, Open};
use super::{Ran, fault};
use crate::kv::operation::{AddHow, Condition, SortedSetAct};
use crate::kv::{Fault, Key, Score, Value};
use crate::tablet::Rows;
use crate::tablet::apply::ApplyContext;
use crate::tablet::head::{CollectionKind, ordered};
use crate::tablet::view::View;

/// The mark of the rows in the order of scores.
pub const BY_SCORE: u8 = b's';

/// The name of a member's row in the order of scores.
pub fn by_score(score: f64, member: &[u8]) -> Vec<u8> {
    [&ordered(score), member].concat()
}

pub fn score_of(value: &[u8]) -> f64 {
    f64::from_be_bytes(value.first_chunk().copied().unwrap_or_default())
}

/// Members, or members and their scores in turn.
pub fn answer(elements: Vec<(Bytes, f64)>, with_scores: bool) -> Value {
    if !with_scores {
        return Value::texts(elements.into_iter().map(|(member, _)| member));
    }
    let pair = |(member, score)| [Value::Text(member), Value::Double(Score(score))];
    Value::Pairs(elements.into_iter().flat_map(pair).collect())
}

impl<R: Rows> View<'_, R> {
    pub(super) fn sorted_set(&self, key: &Key, act: &SortedSetAct) -> Ran<Value, R> {
        match act {
            SortedSetAct::Merged { merge, with_scores } => {
                return Ok(answer(self.merged(key, merge)?, *with_scores));
            }
            SortedSetAct::IntersectionLength { others, limit } => {
                return self.intersection_length(key, others, *limit);
            }
            _ => {}
        }
        let open = self.open(key, CollectionKind::SortedSet)?;
        let score = |member: &Bytes| -> Ran<Value, R> {
            let Some(open) = &open else { return Ok(Value::Nil) };
            let score = self.element(open, member)?;
            Ok(score.map_or(Value::Nil, |score| Value::Double(Score(score_of(&score)))))
        };
        Ok(match act {
            SortedSetAct::Score { member } => score(member)?,
            SortedSetAct::Scores { members } => {
                Value::Array(members.iter().map(score).collect::<Result<_, _>>()?)
            }
            SortedSetAct::Length => Value::Integer(open.map_or(0, |open| open.head.elements as i64)),
            SortedSetAct::Rank { member, is_reverse } => {
                let Some(open) = open else { return Ok(Value::Nil) };
                self.rank(&open, member, *is_reverse)?
            }
            SortedSetAct::Count { which } => match open {
                Some(open) => Value::count(self.which(&open, which)?.len()),
                None => Value::Integer(0),
            },
            SortedSetAct::Range { which, is_reverse, part, with_scores } => match open {
                Some(open) => answer(self.range(&open, which, *is_reverse, *part)?, *with_scores),
                None => Value::Array(Vec::new()),
            },
            SortedSetAct::Random { count, with_scores, seed } => {
                let all = open.map_or(Ok(Vec::new()), |open| self.elements(&open))?;
                let all = all.into_iter().map(|(member, score)| (member, score_of(&score))).collect();
                let mut draw = Draw::new(*seed);
                match count {
                    None => Value::of(draw.some(all, 1).pop().map(|(member, _)| member)),
                    Some(count) => answer(draw.some(all, *count), *with_scores),
                }
            }
            SortedSetAct::Scan { after, count } => {
                let (found, next) = match open {
                    Some(open) => self.scan_elements(&open, *after, *count)?,
                    None => (Vec::new(), Bytes::from_static(b"0")),
                };
                let text = |score: &[u8]| Value::Text(crate::kv::decimal::score_text(score_of(score)).into());
                let pairs =
                    found.iter().flat_map(|(member, score)| [Value::Text(member.clone()), text(score)]);
                Value::Array(vec![Value::Text(next), Value::Array(pairs.collect())])
            }
            _ => unreachable!("an act that writes was taken for one that reads"),
        })
    }

    fn rank(&self, open: &Open, member: &Bytes, is_reverse: bool) -> Ran<Value, R> {
        let Some(score) = self.element(open, member)? else { return Ok(Value::Nil) };
        let wanted = by_score(score_of(&score), member);
        let mut rank = 0;
        self.each(open, BY_SCORE, &[], &mut |name, _| {
            let is_before = name < wanted.as_slice();
            rank += i64::from(is_before);
            is_before
        })?;
        Ok(Value::Integer(if is_reverse { open.head.elements as i64 - 1 - rank } else { rank }))
    }
}

impl<R: Rows> ApplyContext<'_, R> {
    pub(super) fn sorted_set(&mut self, key: &Key, act: &SortedSetAct) -> Ran<Value, R> {
        match act {
            SortedSetAct::Add { how, elements } => self.add(key, *how, elements),
            SortedSetAct::IncrementBy { by, member } => {
                self.add(key, AddHow { increments: true, ..AddHow::default() }, &[(*by, member.clone())])
            }
            SortedSetAct::Remove { members } => {
                let Some(mut open) = self.view().open(key, CollectionKind::SortedSet)? else {
                    return Ok(Value::Integer(0));
                };
                let mut removed = 0;
                for member in members {
                    removed += usize::from(self.remove_member(&mut open, member)?);
                }
                if removed > 0 {
                    self.close(open);
                }
                Ok(Value::count(removed))
            }
            SortedSetAct::RemoveRange { which } => {
                let Some(mut open) = self.view().open(key, CollectionKind::SortedSet)? else {
                    return Ok(Value::Integer(0));
                };
                let gone = self.view().which(&open, which)?;
                for (member, _) in &gone {
                    self.remove_member(&mut open, member)?;
                }
                if !gone.is_empty() {
                    self.close(open);
                }
                Ok(Value::count(gone.len()))
            }
            SortedSetAct::Pop { is_highest, count } => {
                let Some(open) = self.view().open(key, CollectionKind::SortedSet)? else {
                    return Ok(Value::Array(Vec::new()));
                };
                let taken = self.take_members(open, *is_highest, count.unwrap_or(1))?;
                let Some(_) = count else {
                    let pair = taken.into_iter().next();
                    let pair =
                        pair.map(|(member, score)| vec![Value::Text(member), Value::Double(Score(score))]);
                    return Ok(Value::Array(pair.unwrap_or_default()));
                };
                Ok(answer(taken, true))
            }
            SortedSetAct::PopOne { others, is_highest } => {
                let Some((key, open)) = self.first_with_elements(key, others, CollectionKind::SortedSet)?
                else {
                    return Ok(Value::NilArray);
                };
                let taken = self.take_members(open, *is_highest, 1)?;
                let pair = taken
                    .into_iter()
                    .flat_map(|(member, score)| [Value::Text(member), Value::Double(Score(score))]);
                Ok(Value::Array(std::iter::once(Value::Text(key)).chain(pair).collect()))
            }
            SortedSetAct::PopFirst { others, is_highest, count } => {
                let Some((key, open)) = self.first_with_elements(key, others, CollectionKind::SortedSet)?
                else {
                    return Ok(Value::NilArray);
                };
                let taken = self.take_members(open, *is_highest, *count)?;
                let pair =
                    |(member, score)| Value::Array(vec![Value::Text(member), Value::Double(Score(score))]);
                Ok(Value::Array(vec![Value::Text(key), Value::Array(taken.into_iter().map(pair).collect())]))
            }
            SortedSetAct::RangeInto { source, which, is_reverse, part } => {
                let source = super::key_of(&key.namespace, source);
                let elements = match self.view().open(&source, CollectionKind::SortedSet)? {
                    Some(open) => self.view().range(&open, which, *is_reverse, *part)?,
                    None => Vec::new(),
                };
                self.write_anew(key, elements)
            }
            SortedSetAct::MergeInto { merge } => {
                let elements = self.view().merged(key, merge)?;
                self.write_anew(key, elements)
            }
            _ => unreachable!("an act that reads was taken for one that writes"),
        }
    }

    fn write_anew(&mut self, key: &Key, elements: Vec<(Bytes, f64)>) -> Ran<Value, R> {
        let mut open = self.open_anew(key, CollectionKind::SortedSet)?;
        for (member, score) in &elements {
            self.put_member(&mut open, member, *score)?;
        }
        self.close(open);
        Ok(Value::count(elements.len()))
    }

    fn add(&mut self, key: &Key, how: AddHow, elements: &[(Score, Bytes)]) -> Ran<Value, R> {
        let present = self.view().open(key, CollectionKind::SortedSet)?;
        if how.condition == Some(Condition::Present) && present.is_none() {
            return Ok(if how.increments { Value::Nil } else { Value::Integer(0) });
        }
        for (_, member) in elements {
            self.check_element(member, &[])?;
        }
        // Only a sum can fail, and only one element is counted in.
        if how.increments
            && let (Some(open), Some((by, member))) = (&present, elements.first())
        {
            let old = self.view().element(open, member)?.map(|score| score_of(&score));
            if old.is_some_and(|old| (old + by.0).is_nan()) {
                return fault(Fault::ScoreNotANumber);
            }
        }
        let mut open = self.open_or_new(key, CollectionKind::SortedSet)?;
        let (mut added, mut changed, mut last) = (0, 0, None);
        for (score, member) in elements {
            let old = self.view().element(&open, member)?.map(|score| score_of(&score));
            let wanted = if how.increments { old.unwrap_or(0.0) + score.0 } else { score.0 };
            if !how.allows(old, wanted) {
                last = None;
                continue;
            }
            last = Some(wanted);
            added += usize::from(old.is_none());
            if old.is_none_or(|old| old != wanted) {
                changed += usize::from(old.is_some());
                self.put_member(&mut open, member, wanted)?;
            }
        }
        if added + changed > 0 {
            self.close(open);
        }
        Ok(match how {
            AddHow { increments: true, .. } => last.map_or(Value::Nil, |score| Value::Double(Score(score))),
            AddHow { counts_changed: true, .. } => Value::count(added + changed),
            _ => Value::count(added),
        })
    }

    fn put_member(&mut self, open: &mut Open, member: &[u8], score: f64) -> Ran<(), R> {
        let value = Bytes::copy_from_slice(&score.to_be_bytes());
        if let Some(old) = self.put_element(open, member, value)? {
            self.changes.insert(open.row(BY_SCORE, &by_score(score_of(&old), member)), None);
        }
        self.changes.insert(open.row(BY_SCORE, &by_score(score, member)), Some(Bytes::new()));
        Ok(())
    }

    fn remove_member(&mut self, open: &mut Open, member: &[u8]) -> Ran<bool, R> {
        let Some(old) = self.remove_element(open, member)? else { return Ok(false) };
        self.changes.insert(open.row(BY_SCORE, &by_score(score_of(&old), member)), None);
        Ok(true)
    }

    fn take_members(&mut self, mut open: Open, is_highest: bool, count: u64) -> Ran<Vec<(Bytes, f64)>, R> {
        let taken = self.view().ends(&open, is_highest, count)?;
        for (member, _) in &taken {
            self.remove_member(&mut open, member)?;
        }
        if !taken.is_empty() {
            self.close(open);
        }
        Ok(taken)
    }
}

impl AddHow {
    fn allows(&self, old: Option<f64>, new: f64) -> bool {
        match (old, self.condition) {
            (Some(_), Some(Condition::Absent)) | (None, Some(Condition::Present)) => false,
            (Some(old), _) => !(self.only_greater && new <= old || self.only_less && new >= old),
            (None, _) => true,
        }
    }
}
