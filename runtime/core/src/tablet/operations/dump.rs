//! All that a key holds, out of and into rows: `DUMP` and `RESTORE`.

use super::collection::check_count;
use super::{Ran, fault};
use crate::kv::operation::{AddHow, Content, End, HashAct, ListAct, SetAct, SortedSetAct};
use crate::kv::{Expiry, Fault, Key, Score, Value, rdb};
use crate::tablet::Rows;
use crate::tablet::apply::ApplyContext;
use crate::tablet::head::CollectionKind;
use crate::tablet::view::View;

impl<R: Rows> View<'_, R> {
    pub(super) fn dump(&self, key: &Key) -> Ran<Value, R> {
        let key_row = self.find_row(key)?;
        let content = match (key_row.head(), key_row.live()) {
            (None, None) => return Ok(Value::Nil),
            (None, Some(record)) => Content::String(record.value.clone()),
            (Some(head), _) => {
                let Some(open) = self.open(key, head.kind)? else { return Ok(Value::Nil) };
                let elements = self.elements(&open)?.into_iter();
                match head.kind {
                    CollectionKind::List => Content::List(elements.map(|(_, element)| element).collect()),
                    CollectionKind::Hash => Content::Hash(elements.collect()),
                    CollectionKind::Set => Content::Set(elements.map(|(member, _)| member).collect()),
                    CollectionKind::SortedSet => {
                        let bits =
                            |value: &[u8]| value.first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
                        let each =
                            elements.map(|(member, value)| (Score(f64::from_bits(bits(&value))), member));
                        Content::SortedSet(each.collect())
                    }
                }
            }
        };
        Ok(Value::Text(rdb::encode(&content)))
    }
}

impl<R: Rows> ApplyContext<'_, R> {
    pub(super) fn restore(
        &mut self,
        key: &Key,
        content: &Content,
        expiry: Expiry,
        replaces: bool,
    ) -> Ran<Value, R> {
        let key_row = self.find_row(key)?;
        if key_row.live().is_some() && !replaces {
            return fault(Fault::BusyKey);
        }
        self.check_content(content)?;
        self.remove(key_row);
        let until_ms = self.resolve(expiry);
        match content {
            Content::String(text) => {
                let key_row = self.find_row(key)?;
                self.put_string(key_row, text.clone(), 0, None)?;
            }
            Content::List(all) => {
                let act = ListAct::Push { end: End::Right, elements: all.clone(), only_if_present: false };
                self.list(key, &act)?;
            }
            Content::Hash(pairs) => {
                self.hash(key, &HashAct::Set { pairs: pairs.clone(), says_okay: true })?;
            }
            Content::Set(all) => {
                self.set(key, &SetAct::Add { members: all.clone() })?;
            }
            Content::SortedSet(all) => {
                let how = AddHow {
                    condition: None,
                    only_greater: false,
                    only_less: false,
                    counts_changed: false,
                    increments: false,
                };
                self.sorted_set(key, &SortedSetAct::Add { how, elements: all.clone() })?;
            }
        }
        if until_ms.is_some() {
            let key_row = self.find_row(key)?;
            self.expire(key_row, until_ms);
        }
        Ok(Value::OKAY)
    }

    /// Nothing of it is refused once the key was removed.
    fn check_content(&self, content: &Content) -> Ran<(), R> {
        match content {
            Content::String(text) => self.check_element(&[], text),
            Content::List(all) => {
                check_count(all.len() as u64)?;
                all.iter().try_for_each(|element| self.check_element(&[], element))
            }
            Content::Set(all) => {
                check_count(all.len() as u64)?;
                all.iter().try_for_each(|member| self.check_element(member, &[]))
            }
            Content::Hash(pairs) => {
                check_count(pairs.len() as u64)?;
                pairs.iter().try_for_each(|(field, value)| self.check_element(field, value))
            }
            Content::SortedSet(all) => {
                check_count(all.len() as u64)?;
                all.iter().try_for_each(|(_, member)| self.check_element(member, &[]))
            }
        }
    }
}
