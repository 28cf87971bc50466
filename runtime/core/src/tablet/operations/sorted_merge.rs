//! Sorted sets from several: union, intersection and difference, with weights. A set counts as one whose scores are all 1.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::collection::{ELEMENT, check_count};
use super::sorted_set::score_of;
use super::{Ran, Stop, fault, key_of};
use crate::kv::operation::{Aggregate, Combination, Merge};
use crate::kv::{Fault, Key, Value};
use crate::tablet::Rows;
use crate::tablet::head::CollectionKind;
use crate::tablet::view::View;

type Scores = BTreeMap<Bytes, f64>;

impl<R: Rows> View<'_, R> {
    /// In the order of scores, then of members.
    pub(super) fn merged(&self, beside: &Key, merge: &Merge) -> Ran<Vec<(Bytes, f64)>, R> {
        let mut all = Vec::new();
        for (index, source) in merge.sources.iter().enumerate() {
            let weight = merge.weights.get(index).map_or(1.0, |weight| weight.0);
            let scores = self.scores(&key_of(&beside.namespace, source))?;
            all.push(scores.into_iter().map(|(member, score)| (member, weighted(score, weight))).collect());
        }
        let merged = combine(all, merge.combination, merge.aggregate);
        let mut elements: Vec<(Bytes, f64)> = merged.into_iter().collect();
        elements.sort_by(|(a, x), (b, y)| (x + 0.0).total_cmp(&(y + 0.0)).then_with(|| a.cmp(b)));
        Ok(elements)
    }

    pub(super) fn intersection_length(&self, key: &Key, others: &[Bytes], limit: u64) -> Ran<Value, R> {
        let mut all = vec![self.scores(key)?];
        for other in others {
            all.push(self.scores(&key_of(&key.namespace, other))?);
        }
        let count = combine(all, Combination::Intersection, Aggregate::Sum).len() as u64;
        Ok(Value::Integer(if limit == 0 { count } else { count.min(limit) } as i64))
    }

    fn scores(&self, key: &Key) -> Ran<Scores, R> {
        let open = match self.open(key, CollectionKind::SortedSet) {
            Err(Stop::Fault(_)) => match self.open(key, CollectionKind::Set) {
                Err(Stop::Fault(_)) => return fault(Fault::WrongType),
                open => open?,
            },
            open => open?,
        };
        let Some(open) = open else { return Ok(Scores::new()) };
        check_count(open.head.elements)?;
        let mut scores = Scores::new();
        self.each(&open, ELEMENT, &[], &mut |member, score| {
            let score = if open.head.kind == CollectionKind::Set { 1.0 } else { score_of(score) };
            scores.insert(Bytes::copy_from_slice(member), score);
            true
        })?;
        Ok(scores)
    }
}

fn weighted(score: f64, weight: f64) -> f64 {
    let product = score * weight;
    if product.is_nan() { 0.0 } else { product }
}

fn aggregated(aggregate: Aggregate, one: f64, other: f64) -> f64 {
    match aggregate {
        Aggregate::Sum if (one + other).is_nan() => 0.0,
        Aggregate::Sum => one + other,
        Aggregate::Min => one.min(other),
        Aggregate::Max => one.max(other),
    }
}

fn combine(all: Vec<Scores>, combination: Combination, aggregate: Aggregate) -> Scores {
    let mut sources = all.into_iter();
    let mut result = sources.next().unwrap_or_default();
    for source in sources {
        match combination {
            Combination::Difference => result.retain(|member, _| !source.contains_key(member)),
            Combination::Intersection => result.retain(|member, score| match source.get(member) {
                Some(other) => {
                    *score = aggregated(aggregate, *score, *other);
                    true
                }
                None => false,
            }),
            Combination::Union => {
                for (member, other) in source {
                    let merged = result.get(&member).map_or(other, |one| aggregated(aggregate, *one, other));
                    result.insert(member, merged);
                }
            }
        }
    }
    result
}
