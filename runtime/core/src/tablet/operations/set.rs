//! Sets: each member in a row of its own, in the order of its bytes.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::collection::{Draw, check_count};
use super::{Ran, key_of};
use crate::kv::operation::{Combination, SetAct};
use crate::kv::{Key, Value};
use crate::tablet::Rows;
use crate::tablet::apply::ApplyContext;
use crate::tablet::head::CollectionKind;
use crate::tablet::view::View;

impl<R: Rows> View<'_, R> {
    pub(super) fn set(&self, key: &Key, act: &SetAct) -> Ran<Value, R> {
        // All of them are looked at before anything else: one of another type is an error whatever the others are.
        match act {
            SetAct::Combine { combination, others } => {
                let keys = std::iter::once(&key.bytes).chain(others);
                let members = self.combine(*combination, key, keys)?;
                return Ok(Value::Set(members.into_iter().map(Value::Text).collect()));
            }
            SetAct::IntersectionLength { others, limit } => {
                let keys = std::iter::once(&key.bytes).chain(others);
                let count = self.combine(Combination::Intersection, key, keys)?.len() as u64;
                let limit = if *limit == 0 { u64::MAX } else { *limit };
                return Ok(Value::Integer(count.min(limit) as i64));
            }
            _ => {}
        }
        let open = self.open(key, CollectionKind::Set)?;
        let contains = |member: &Bytes| -> Ran<Value, R> {
            let Some(open) = &open else { return Ok(Value::flag(false)) };
            Ok(Value::flag(self.element(open, member)?.is_some()))
        };
        Ok(match act {
            SetAct::Contains { member } => contains(member)?,
            SetAct::ContainsMany { members } => {
                Value::Array(members.iter().map(contains).collect::<Result<_, _>>()?)
            }
            SetAct::Members => Value::Set(self.names(open.as_ref())?.into_iter().map(Value::Text).collect()),
            SetAct::Length => Value::Integer(open.map_or(0, |open| open.head.elements as i64)),
            SetAct::Random { count, seed } => {
                let all = self.names(open.as_ref())?;
                let mut draw = Draw::new(*seed);
                match count {
                    None => Value::of(draw.some(all, 1).pop()),
                    Some(count) => Value::texts(draw.some(all, *count)),
                }
            }
            SetAct::Scan { after, count } => {
                let (found, next) = match open {
                    Some(open) => self.scan_elements(&open, *after, *count)?,
                    None => (Vec::new(), Bytes::from_static(b"0")),
                };
                let members = Value::texts(found.into_iter().map(|(member, _)| member));
                Value::Array(vec![Value::Text(next), members])
            }
            _ => unreachable!("an act that writes was taken for one that reads"),
        })
    }

    fn combine<'k>(
        &self,
        combination: Combination,
        beside: &Key,
        keys: impl Iterator<Item = &'k Bytes>,
    ) -> Ran<BTreeSet<Bytes>, R> {
        let mut opens = Vec::new();
        for key in keys {
            opens.push(self.open(&key_of(&beside.namespace, key), CollectionKind::Set)?);
        }
        check_count(opens.iter().flatten().map(|open| open.head.elements).sum())?;
        let mut result: Option<BTreeSet<Bytes>> = None;
        for open in &opens {
            let members = self.names(open.as_ref())?.into_iter().collect();
            result = Some(match (result, combination) {
                (None, _) => members,
                (Some(result), Combination::Union) => &result | &members,
                (Some(result), Combination::Intersection) => &result & &members,
                (Some(result), Combination::Difference) => &result - &members,
            });
        }
        Ok(result.unwrap_or_default())
    }
}

impl<R: Rows> ApplyContext<'_, R> {
    pub(super) fn set(&mut self, key: &Key, act: &SetAct) -> Ran<Value, R> {
        match act {
            SetAct::Add { members } => {
                for member in members {
                    self.check_element(member, &[])?;
                }
                let mut open = self.open_or_new(key, CollectionKind::Set)?;
                let before = open.head.elements;
                for member in members {
                    self.put_element(&mut open, member, Bytes::new())?;
                }
                let added = open.head.elements - before;
                if added > 0 {
                    self.close(open);
                }
                Ok(Value::Integer(added as i64))
            }
            SetAct::Remove { members } => {
                let Some(mut open) = self.view().open(key, CollectionKind::Set)? else {
                    return Ok(Value::Integer(0));
                };
                let removed = self.remove_all(&mut open, members)?;
                if removed > 0 {
                    self.close(open);
                }
                Ok(Value::count(removed))
            }
            SetAct::Pop { count, seed } => {
                let Some(mut open) = self.view().open(key, CollectionKind::Set)? else {
                    return Ok(if count.is_some() { Value::Set(Vec::new()) } else { Value::Nil });
                };
                let all = self.view().names(Some(&open))?;
                let wanted = i64::try_from(count.unwrap_or(1)).unwrap_or(i64::MAX);
                let mut taken = Draw::new(*seed).some(all, wanted);
                if self.remove_all(&mut open, &taken)? > 0 {
                    self.close(open);
                }
                Ok(match count {
                    Some(_) => Value::Set(taken.into_iter().map(Value::Text).collect()),
                    None => Value::of(taken.pop()),
                })
            }
            SetAct::Move { to, member } => self.move_member(key, &key_of(&key.namespace, to), member),
            SetAct::CombineInto { combination, sources } => {
                let members = self.view().combine(*combination, key, sources.iter())?;
                let mut open = self.open_anew(key, CollectionKind::Set)?;
                for member in &members {
                    self.put_element(&mut open, member, Bytes::new())?;
                }
                self.close(open);
                Ok(Value::count(members.len()))
            }
            _ => unreachable!("an act that reads was taken for one that writes"),
        }
    }

    fn move_member(&mut self, from: &Key, to: &Key, member: &Bytes) -> Ran<Value, R> {
        let Some(mut source) = self.view().open(from, CollectionKind::Set)? else {
            return Ok(Value::Integer(0));
        };
        self.view().open(to, CollectionKind::Set)?;
        if from == to {
            return Ok(Value::flag(self.view().element(&source, member)?.is_some()));
        }
        if self.remove_element(&mut source, member)?.is_none() {
            return Ok(Value::Integer(0));
        }
        self.close(source);
        let mut target = self.open_or_new(to, CollectionKind::Set)?;
        self.put_element(&mut target, member, Bytes::new())?;
        self.close(target);
        Ok(Value::Integer(1))
    }
}
