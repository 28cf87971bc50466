//! Lists: each element in a row with its position, so that both ends are reached at once. What changes the middle
//! (`LINSERT`, `LREM`) rewrites the elements behind it.

use bytes::Bytes;

use super::collection::{ELEMENT, Open, check_count};
use super::{Ran, fault, key_of};
use crate::kv::operation::{End, ListAct, Span};
use crate::kv::{Fault, Key, Value};
use crate::tablet::Rows;
use crate::tablet::apply::ApplyContext;
use crate::tablet::head::CollectionKind;
use crate::tablet::view::View;

impl Open {
    /// The name of the row of an element by its index.
    fn position(&self, index: u64) -> [u8; 8] {
        self.head.first.wrapping_add(index).to_be_bytes()
    }

    /// Counted from the end if negative.
    fn index(&self, index: i64) -> Option<u64> {
        let length = i64::try_from(self.head.elements).ok()?;
        let index = if index < 0 { index.checked_add(length)? } else { index };
        (0..length).contains(&index).then_some(index as u64)
    }
}

impl<R: Rows> View<'_, R> {
    pub(super) fn list(&self, key: &Key, act: &ListAct) -> Ran<Value, R> {
        let open = self.open(key, CollectionKind::List)?;
        Ok(match act {
            ListAct::Length => Value::Integer(open.map_or(0, |open| open.head.elements as i64)),
            ListAct::Index { index } => {
                let Some(open) = open else { return Ok(Value::Nil) };
                let Some(index) = open.index(*index) else { return Ok(Value::Nil) };
                Value::of(self.element(&open, &open.position(index))?)
            }
            ListAct::Range { span } => match open {
                Some(open) => Value::texts(self.list_elements(&open, *span)?),
                None => Value::Array(Vec::new()),
            },
            ListAct::Position { element, rank, count, look_at_max } => {
                let all = match open {
                    Some(open) => self.list_elements(&open, Span { start: 0, end: -1 })?,
                    None => Vec::new(),
                };
                positions(&all, element, *rank, *count, *look_at_max)
            }
            _ => unreachable!("an act that writes was taken for one that reads"),
        })
    }

    fn list_elements(&self, open: &Open, span: Span) -> Ran<Vec<Bytes>, R> {
        let Some(range) = span.of_elements(open.head.elements) else { return Ok(Vec::new()) };
        let wanted = range.end - range.start;
        check_count(wanted)?;
        let mut all = Vec::new();
        self.each(open, ELEMENT, &open.position(range.start), &mut |_, element| {
            all.push(Bytes::copy_from_slice(element));
            (all.len() as u64) < wanted
        })?;
        Ok(all)
    }
}

fn positions(all: &[Bytes], element: &Bytes, rank: i64, count: Option<u64>, look_at_max: u64) -> Value {
    let limit =
        if look_at_max == 0 { usize::MAX } else { usize::try_from(look_at_max).unwrap_or(usize::MAX) };
    let skipped = (rank.unsigned_abs() as usize).saturating_sub(1);
    let wanted = match count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
    };
    let is_it = |index: &usize| all[*index] == element;
    let found: Vec<Value> = if rank >= 0 {
        (0..all.len()).take(limit).filter(is_it).skip(skipped).take(wanted).map(Value::count).collect()
    } else {
        (0..all.len()).rev().take(limit).filter(is_it).skip(skipped).take(wanted).map(Value::count).collect()
    };
    match count {
        Some(_) => Value::Array(found),
        None => found.into_iter().next().unwrap_or(Value::Nil),
    }
}

impl<R: Rows> ApplyContext<'_, R> {
    pub(super) fn list(&mut self, key: &Key, act: &ListAct) -> Ran<Value, R> {
        match act {
            ListAct::Push { end, elements, only_if_present } => {
                self.push(key, *end, elements, *only_if_present)
            }
            ListAct::Pop { end, count } => self.pop(key, *end, *count),
            ListAct::Set { index, element } => self.set_element(key, *index, element),
            ListAct::Trim { span } => self.trim(key, *span),
            ListAct::Remove { count, element } => self.remove_from_list(key, *count, element),
            ListAct::Insert { is_before, pivot, element } => self.insert(key, *is_before, pivot, element),
            ListAct::Move { to, from_end, to_end } => {
                self.move_element(key, &key_of(&key.namespace, to), *from_end, *to_end)
            }
            ListAct::PopFirst { others, end, count } => {
                let Some((key, mut open)) = self.first_with_elements(key, others, CollectionKind::List)?
                else {
                    return Ok(Value::NilArray);
                };
                let elements = self.take_elements(&mut open, *end, *count)?;
                self.close(open);
                Ok(Value::Array(vec![Value::Text(key), Value::texts(elements)]))
            }
            ListAct::PopOne { others, end } => {
                let Some((key, mut open)) = self.first_with_elements(key, others, CollectionKind::List)?
                else {
                    return Ok(Value::NilArray);
                };
                let mut elements = self.take_elements(&mut open, *end, 1)?;
                self.close(open);
                Ok(Value::Array(vec![Value::Text(key), Value::of(elements.pop())]))
            }
            _ => unreachable!("an act that reads was taken for one that writes"),
        }
    }

    /// The first of several keys that has a collection of this type.
    pub(super) fn first_with_elements(
        &mut self,
        key: &Key,
        others: &[Bytes],
        kind: CollectionKind,
    ) -> Ran<Option<(Bytes, Open)>, R> {
        for bytes in std::iter::once(&key.bytes).chain(others) {
            if let Some(open) = self.view().open(&key_of(&key.namespace, bytes), kind)? {
                return Ok(Some((bytes.clone(), open)));
            }
        }
        Ok(None)
    }

    fn push(&mut self, key: &Key, end: End, elements: &[Bytes], only_if_present: bool) -> Ran<Value, R> {
        if only_if_present && self.view().open(key, CollectionKind::List)?.is_none() {
            return Ok(Value::Integer(0));
        }
        for element in elements {
            self.check_element(&[], element)?;
        }
        let mut open = self.open_or_new(key, CollectionKind::List)?;
        for element in elements {
            self.push_one(&mut open, end, element.clone())?;
        }
        let length = open.head.elements as i64;
        self.close(open);
        Ok(Value::Integer(length))
    }

    fn push_one(&mut self, open: &mut Open, end: End, element: Bytes) -> Ran<(), R> {
        let index = match end {
            End::Left => {
                open.head.first = open.head.first.wrapping_sub(1);
                0
            }
            End::Right => open.head.elements,
        };
        let name = open.position(index);
        self.put_element(open, &name, element)?;
        Ok(())
    }

    fn take_elements(&mut self, open: &mut Open, end: End, count: u64) -> Ran<Vec<Bytes>, R> {
        let wanted = count.min(open.head.elements);
        check_count(wanted)?;
        let mut taken = Vec::with_capacity(wanted as usize);
        for _ in 0..wanted {
            let index = if end == End::Left { 0 } else { open.head.elements - 1 };
            let name = open.position(index);
            taken.extend(self.remove_element(open, &name)?);
            if end == End::Left {
                open.head.first = open.head.first.wrapping_add(1);
            }
        }
        Ok(taken)
    }

    fn pop(&mut self, key: &Key, end: End, count: Option<u64>) -> Ran<Value, R> {
        let Some(mut open) = self.view().open(key, CollectionKind::List)? else {
            return Ok(if count.is_some() { Value::NilArray } else { Value::Nil });
        };
        let mut elements = self.take_elements(&mut open, end, count.unwrap_or(1))?;
        if count != Some(0) {
            self.close(open);
        }
        Ok(match count {
            Some(_) => Value::texts(elements),
            None => Value::of(elements.pop()),
        })
    }

    fn set_element(&mut self, key: &Key, index: i64, element: &Bytes) -> Ran<Value, R> {
        let Some(mut open) = self.view().open(key, CollectionKind::List)? else {
            return fault(Fault::NoSuchKey);
        };
        let Some(index) = open.index(index) else { return fault(Fault::IndexOutOfRange) };
        self.check_element(&[], element)?;
        let name = open.position(index);
        self.put_element(&mut open, &name, element.clone())?;
        self.close(open);
        Ok(Value::OKAY)
    }

    fn trim(&mut self, key: &Key, span: Span) -> Ran<Value, R> {
        let Some(mut open) = self.view().open(key, CollectionKind::List)? else { return Ok(Value::OKAY) };
        let Some(range) = span.of_elements(open.head.elements) else {
            self.remove(open.key_row);
            return Ok(Value::OKAY);
        };
        let behind = open.head.elements - range.end;
        check_count::<R::Error>(range.start + behind)?;
        self.take_elements(&mut open, End::Left, range.start)?;
        self.take_elements(&mut open, End::Right, behind)?;
        self.close(open);
        Ok(Value::OKAY)
    }

    fn remove_from_list(&mut self, key: &Key, count: i64, element: &Bytes) -> Ran<Value, R> {
        let Some(open) = self.view().open(key, CollectionKind::List)? else { return Ok(Value::Integer(0)) };
        let all = self.view().list_elements(&open, Span { start: 0, end: -1 })?;
        let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
        let is_it = |index: &usize| all[*index] == element;
        let removed: std::collections::BTreeSet<usize> = if count >= 0 {
            (0..all.len()).filter(is_it).take(limit).collect()
        } else {
            (0..all.len()).rev().filter(is_it).take(limit).collect()
        };
        if removed.is_empty() {
            return Ok(Value::Integer(0));
        }
        let kept = all.iter().enumerate().filter(|(index, _)| !removed.contains(index));
        let kept = kept.map(|(_, element)| element.clone()).collect::<Vec<_>>();
        self.rewrite(open, &all, &kept)?;
        Ok(Value::count(removed.len()))
    }

    fn insert(&mut self, key: &Key, is_before: bool, pivot: &Bytes, element: &Bytes) -> Ran<Value, R> {
        let Some(open) = self.view().open(key, CollectionKind::List)? else { return Ok(Value::Integer(0)) };
        self.check_element(&[], element)?;
        let all = self.view().list_elements(&open, Span { start: 0, end: -1 })?;
        let Some(at) = all.iter().position(|present| present == pivot) else { return Ok(Value::Integer(-1)) };
        let mut new = all.clone();
        new.insert(if is_before { at } else { at + 1 }, element.clone());
        self.rewrite(open, &all, &new)?;
        Ok(Value::count(new.len()))
    }

    /// Other elements for a list; those that stay in their place are not written.
    fn rewrite(&mut self, mut open: Open, old: &[Bytes], new: &[Bytes]) -> Ran<(), R> {
        for (index, element) in
            new.iter().enumerate().filter(|(index, element)| old.get(*index) != Some(*element))
        {
            let name = open.position(index as u64);
            self.put_element(&mut open, &name, element.clone())?;
        }
        for index in new.len()..old.len() {
            let name = open.position(index as u64);
            self.remove_element(&mut open, &name)?;
        }
        self.close(open);
        Ok(())
    }

    fn move_element(&mut self, from: &Key, to: &Key, from_end: End, to_end: End) -> Ran<Value, R> {
        let Some(mut source) = self.view().open(from, CollectionKind::List)? else { return Ok(Value::Nil) };
        // Looked at before anything is changed.
        self.view().open(to, CollectionKind::List)?;
        let Some(element) = self.take_elements(&mut source, from_end, 1)?.pop() else {
            return Ok(Value::Nil);
        };
        if from == to {
            self.push_one(&mut source, to_end, element.clone())?;
            self.close(source);
            return Ok(Value::Text(element));
        }
        self.close(source);
        let mut target = self.open_or_new(to, CollectionKind::List)?;
        self.push_one(&mut target, to_end, element.clone())?;
        self.close(target);
        Ok(Value::Text(element))
    }
}
