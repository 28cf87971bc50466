//! Hashes: each field in a row with its value. In the order of the fields' bytes, where Redis has none.

use bytes::Bytes;

use super::collection::{Draw, Open};
use super::{Ran, fault};
use crate::kv::decimal::{self, NoSum};
use crate::kv::number::{self, Delta, NotCounted};
use crate::kv::operation::HashAct;
use crate::kv::{Fault, Key, Value};
use crate::tablet::Rows;
use crate::tablet::apply::ApplyContext;
use crate::tablet::head::CollectionKind;
use crate::tablet::view::View;

impl<R: Rows> View<'_, R> {
    pub(super) fn hash(&self, key: &Key, act: &HashAct) -> Ran<Value, R> {
        let open = self.open(key, CollectionKind::Hash)?;
        Ok(match act {
            HashAct::Get { field } => Value::of(self.field(open.as_ref(), field)?),
            HashAct::GetMany { fields } => {
                let each = fields.iter().map(|field| self.field(open.as_ref(), field).map(Value::of));
                Value::Array(each.collect::<Result<_, _>>()?)
            }
            HashAct::All => Value::Map(pairs(self.all_fields(open)?)),
            HashAct::Fields => Value::texts(self.all_fields(open)?.into_iter().map(|(field, _)| field)),
            HashAct::Values => Value::texts(self.all_fields(open)?.into_iter().map(|(_, value)| value)),
            HashAct::Length => Value::Integer(open.map_or(0, |open| open.head.elements as i64)),
            HashAct::Exists { field } => Value::flag(self.field(open.as_ref(), field)?.is_some()),
            HashAct::ValueLength { field } => {
                Value::count(self.field(open.as_ref(), field)?.map_or(0, |value| value.len()))
            }
            HashAct::Scan { after, count } => {
                let (found, next) = match open {
                    Some(open) => self.scan_elements(&open, *after, *count)?,
                    None => (Vec::new(), Bytes::from_static(b"0")),
                };
                Value::Array(vec![Value::Text(next), Value::Array(pairs(found))])
            }
            HashAct::Random { count, with_values, seed } => {
                let all = self.all_fields(open)?;
                let mut draw = Draw::new(*seed);
                let Some(count) = count else {
                    return Ok(Value::of(draw.some(all, 1).pop().map(|(field, _)| field)));
                };
                let some = draw.some(all, *count);
                match with_values {
                    true => Value::Pairs(pairs(some)),
                    false => Value::texts(some.into_iter().map(|(field, _)| field)),
                }
            }
            _ => unreachable!("an act that writes was taken for one that reads"),
        })
    }

    fn field(&self, open: Option<&Open>, field: &[u8]) -> Result<Option<Bytes>, R::Error> {
        open.map_or(Ok(None), |open| self.element(open, field))
    }

    fn all_fields(&self, open: Option<Open>) -> Ran<Vec<(Bytes, Bytes)>, R> {
        open.map_or(Ok(Vec::new()), |open| self.elements(&open))
    }
}

/// Names and values in turn.
fn pairs(all: Vec<(Bytes, Bytes)>) -> Vec<Value> {
    all.into_iter().flat_map(|(name, value)| [Value::Text(name), Value::Text(value)]).collect()
}

impl<R: Rows> ApplyContext<'_, R> {
    pub(super) fn hash(&mut self, key: &Key, act: &HashAct) -> Ran<Value, R> {
        match act {
            HashAct::Set { pairs, says_okay } => {
                for (field, value) in pairs {
                    self.check_element(field, value)?;
                }
                let mut open = self.open_or_new(key, CollectionKind::Hash)?;
                let mut added = 0;
                for (field, value) in pairs {
                    let old = self.put_element(&mut open, field, value.clone())?;
                    added += usize::from(old.is_none());
                }
                self.close(open);
                Ok(if *says_okay { Value::OKAY } else { Value::count(added) })
            }
            HashAct::SetIfAbsent { field, value } => {
                let open = self.view().open(key, CollectionKind::Hash)?;
                if self.view().field(open.as_ref(), field)?.is_some() {
                    return Ok(Value::Integer(0));
                }
                self.set_field(key, field, value.clone())?;
                Ok(Value::Integer(1))
            }
            HashAct::Delete { fields } => {
                let Some(mut open) = self.view().open(key, CollectionKind::Hash)? else {
                    return Ok(Value::Integer(0));
                };
                let removed = self.remove_all(&mut open, fields)?;
                if removed > 0 {
                    self.close(open);
                }
                Ok(Value::count(removed))
            }
            HashAct::Increment { field, by } => {
                let open = self.view().open(key, CollectionKind::Hash)?;
                let old = self.view().field(open.as_ref(), field)?;
                let counted = match number::count(old.as_deref().unwrap_or(b"0"), Delta::Signed { by: *by }) {
                    Ok(counted) => counted,
                    Err(NotCounted::NotANumber) => return fault(Fault::HashNotAnInteger),
                    Err(NotCounted::OutOfRange) => return fault(Fault::Overflow),
                };
                let number = number::parse_exact(&counted.number).unwrap_or_default();
                self.set_field(key, field, counted.value.into())?;
                Ok(Value::Integer(number))
            }
            HashAct::IncrementFloat { field, by } => {
                let open = self.view().open(key, CollectionKind::Hash)?;
                let old = self.view().field(open.as_ref(), field)?;
                let sum = match decimal::sum(old.as_deref().unwrap_or(b"0"), by) {
                    Ok(sum) => Bytes::from(sum),
                    Err(NoSum::NotANumber) => return fault(Fault::HashNotAFloat),
                    Err(NoSum::Infinite) => return fault(Fault::Infinite),
                };
                self.set_field(key, field, sum.clone())?;
                Ok(Value::Text(sum))
            }
            _ => unreachable!("an act that reads was taken for one that writes"),
        }
    }

    fn set_field(&mut self, key: &Key, field: &Bytes, value: Bytes) -> Ran<(), R> {
        self.check_element(field, &value)?;
        let mut open = self.open_or_new(key, CollectionKind::Hash)?;
        self.put_element(&mut open, field, value)?;
        self.close(open);
        Ok(())
    }

    /// Says how many there were.
    pub(super) fn remove_all(&mut self, open: &mut Open, names: &[Bytes]) -> Ran<usize, R> {
        let mut removed = 0;
        for name in names {
            removed += usize::from(self.remove_element(open, name)?.is_some());
        }
        Ok(removed)
    }
}
