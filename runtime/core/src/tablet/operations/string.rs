//! Strings: the whole value is read and written.

use bytes::Bytes;

use super::{Ran, Stop, bit_fields, bits, common, fault};
use crate::kv::decimal::{self, NoSum};
use crate::kv::number::{self, Delta, NotCounted};
use crate::kv::operation::{Condition, SetAnswer, Span, StringAct};
use crate::kv::{Expiry, Fault, Key, Record, Value};
use crate::tablet::Rows;
use crate::tablet::apply::ApplyContext;
use crate::tablet::rows::{RecordHeader, encode_record};
use crate::tablet::view::{KeyRow, View};

/// Steps of comparing two strings, about 20 ms.
const COMPARISONS_MAX: usize = 16 * 1024 * 1024;

impl<R: Rows> View<'_, R> {
    pub(super) fn string(&self, key: &Key, act: &StringAct) -> Ran<Value, R> {
        Ok(match act {
            StringAct::Get => Value::of(self.text(key)?),
            StringAct::GetMany { others } => {
                let mut all = vec![self.text_or_nil(key)?];
                for other in others {
                    all.push(self.text_or_nil(&super::key_of(&key.namespace, other))?);
                }
                Value::Array(all)
            }
            StringAct::Length => Value::count(self.text(key)?.map_or(0, |text| text.len())),
            StringAct::GetRange { span } => {
                let text = self.text(key)?.unwrap_or_default();
                Value::Text(span.of(text.len()).map_or(Bytes::new(), |range| text.slice(range)))
            }
            StringAct::GetBit { offset } => {
                let text = self.text(key)?.unwrap_or_default();
                Value::flag(bits::get(&text, *offset))
            }
            StringAct::BitCount { span, in_bits } => {
                bits::count(&self.text(key)?.unwrap_or_default(), *span, *in_bits)
            }
            StringAct::BitPosition { bit, start, end, in_bits } => {
                bits::position(self.text(key)?.as_deref(), *bit, *start, *end, *in_bits)
            }
            StringAct::LongestCommon { other, length_only } => {
                let (one, other) = self.two_texts(key, other)?;
                let common = common::longest(&one, &other);
                if *length_only { Value::count(common.len()) } else { Value::Text(common.into()) }
            }
            StringAct::CommonRanges { other, length_min, with_length } => {
                let (one, other) = self.two_texts(key, other)?;
                common::ranges(&one, &other, *length_min, *with_length)
            }
            StringAct::BitFields { acts } => {
                let mut text = self.text(key)?.unwrap_or_default().to_vec();
                Value::Array(acts.iter().map(|act| bit_fields::carry_out(&mut text, act)).collect())
            }
            _ => unreachable!("an act that writes was taken for one that reads"),
        })
    }

    /// The value of a string.
    pub(super) fn text(&self, key: &Key) -> Ran<Option<Bytes>, R> {
        text_of(&self.find_row(key)?)
    }

    /// Two strings that are short enough to be compared.
    fn two_texts(&self, key: &Key, other: &Bytes) -> Ran<(Bytes, Bytes), R> {
        let other = super::key_of(&key.namespace, other);
        let (Ok(one), Ok(other)) = (self.text(key), self.text(&other)) else {
            return fault(Fault::NotStrings);
        };
        let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
        match one.len().saturating_mul(other.len()) > COMPARISONS_MAX {
            true => fault(Fault::TooManyElements),
            false => Ok((one, other)),
        }
    }

    fn text_or_nil(&self, key: &Key) -> Ran<Value, R> {
        match self.text(key) {
            Err(Stop::Fault(_)) => Ok(Value::Nil),
            text => Ok(Value::of(text?)),
        }
    }
}

fn text_of<E>(key_row: &KeyRow) -> Result<Option<Bytes>, Stop<E>> {
    if key_row.head().is_some() {
        return fault(Fault::WrongType);
    }
    Ok(key_row.live().map(|record| record.value.clone()))
}

impl<R: Rows> ApplyContext<'_, R> {
    pub(super) fn string(&mut self, key: &Key, act: &StringAct) -> Ran<Value, R> {
        match act {
            StringAct::Set { value, condition, expiry, answer } => {
                self.set_string(key, value, *condition, *expiry, *answer)
            }
            StringAct::SetMany { value, others, only_if_none } => {
                self.set_many(key, value, others, *only_if_none)
            }
            StringAct::GetAndExpire { expiry } => {
                let key_row = self.find_row(key)?;
                let Some(text) = text_of(&key_row)? else { return Ok(Value::Nil) };
                if let Some(expiry) = expiry {
                    self.expire(key_row, self.resolve(*expiry));
                }
                Ok(Value::Text(text))
            }
            StringAct::GetAndDelete => {
                let key_row = self.find_row(key)?;
                let text = text_of(&key_row)?;
                if text.is_some() {
                    self.remove(key_row);
                }
                Ok(Value::of(text))
            }
            StringAct::Append { value } => {
                let text = [&self.view().text(key)?.unwrap_or_default()[..], value].concat();
                let length = text.len();
                self.change_string(key, text.into())?;
                Ok(Value::count(length))
            }
            StringAct::SetRange { offset, value } => self.set_range(key, *offset, value),
            StringAct::Increment { by } => {
                let text = self.view().text(key)?;
                let counted = match number::count(text.as_deref().unwrap_or(b"0"), Delta::Signed { by: *by })
                {
                    Ok(counted) => counted,
                    Err(NotCounted::NotANumber) => return fault(Fault::NotAnInteger),
                    Err(NotCounted::OutOfRange) => return fault(Fault::Overflow),
                };
                let number = number::parse_exact(&counted.number).unwrap_or_default();
                self.change_string(key, counted.value.into())?;
                Ok(Value::Integer(number))
            }
            StringAct::IncrementFloat { by } => {
                let text = self.view().text(key)?;
                let sum = match decimal::sum(text.as_deref().unwrap_or(b"0"), by) {
                    Ok(sum) => Bytes::from(sum),
                    Err(NoSum::NotANumber) => return fault(Fault::NotAFloat),
                    Err(NoSum::Infinite) => return fault(Fault::Infinite),
                };
                self.change_string(key, sum.clone())?;
                Ok(Value::Text(sum))
            }
            StringAct::SetBit { offset, bit } => {
                let text = self.view().text(key)?.unwrap_or_default();
                if offset / 8 >= self.tablet.value_max_bytes as u64 {
                    return fault(Fault::TooLarge);
                }
                let (before, text) = bits::set(&text, *offset, *bit);
                self.change_string(key, text.into())?;
                Ok(Value::flag(before))
            }
            StringAct::BitFields { acts } => {
                let mut text = self.view().text(key)?.unwrap_or_default().to_vec();
                let needed = bit_fields::bytes_written(acts);
                if needed > self.tablet.value_max_bytes as u64 {
                    return fault(Fault::TooLarge);
                }
                text.resize(text.len().max(needed as usize), 0);
                let told = acts.iter().map(|act| bit_fields::carry_out(&mut text, act)).collect();
                self.change_string(key, text.into())?;
                Ok(Value::Array(told))
            }
            StringAct::BitOperation { operator, sources } => {
                let mut texts = Vec::new();
                for source in sources {
                    texts.push(self.view().text(&super::key_of(&key.namespace, source))?.unwrap_or_default());
                }
                let result = bits::operate(*operator, &texts);
                let length = result.len();
                let key_row = self.find_row(key)?;
                match length {
                    0 if key_row.live().is_some() => self.remove(key_row),
                    0 => {}
                    _ => self.put_string(key_row, result.into(), 0, None)?,
                }
                Ok(Value::count(length))
            }
            _ => unreachable!("an act that reads was taken for one that writes"),
        }
    }

    fn set_string(
        &mut self,
        key: &Key,
        value: &Bytes,
        condition: Option<Condition>,
        expiry: Option<Expiry>,
        answer: SetAnswer,
    ) -> Ran<Value, R> {
        let key_row = self.find_row(key)?;
        let old = match answer {
            SetAnswer::Old => text_of(&key_row)?,
            _ => None,
        };
        let is_met = match condition {
            None => true,
            Some(Condition::Absent) => key_row.live().is_none(),
            Some(Condition::Present) => key_row.live().is_some(),
        };
        if is_met {
            let kept_ms = key_row.live().and_then(|record| record.expires_at_ms);
            let expires_at_ms = expiry.map_or(kept_ms, |expiry| self.resolve(expiry));
            self.put_string(key_row, value.clone(), 0, expires_at_ms)?;
        }
        Ok(match answer {
            SetAnswer::Okay if is_met => Value::OKAY,
            SetAnswer::Okay => Value::Nil,
            SetAnswer::Flag => Value::flag(is_met),
            SetAnswer::Old => Value::of(old),
        })
    }

    fn set_many(
        &mut self,
        key: &Key,
        value: &Bytes,
        others: &[(Bytes, Bytes)],
        only_if_none: bool,
    ) -> Ran<Value, R> {
        let others =
            others.iter().map(|(other, value)| (super::key_of(&key.namespace, other), value.clone()));
        let all: Vec<(Key, Bytes)> = std::iter::once((key.clone(), value.clone())).chain(others).collect();
        for (key, value) in &all {
            if value.len() > self.tablet.value_max_bytes {
                return fault(Fault::TooLarge);
            }
            if only_if_none && self.find_row(key)?.live().is_some() {
                return Ok(Value::Integer(0));
            }
        }
        for (key, value) in all {
            let key_row = self.find_row(&key)?;
            self.put_string(key_row, value, 0, None)?;
        }
        Ok(if only_if_none { Value::Integer(1) } else { Value::OKAY })
    }

    fn set_range(&mut self, key: &Key, offset: u64, value: &Bytes) -> Ran<Value, R> {
        let text = self.view().text(key)?;
        let old = text.as_deref().unwrap_or_default();
        if value.is_empty() {
            return Ok(Value::count(old.len()));
        }
        let end = offset.saturating_add(value.len() as u64);
        if end > self.tablet.value_max_bytes as u64 {
            return fault(Fault::TooLarge);
        }
        let (offset, end) = (offset as usize, end as usize);
        let mut new = old.to_vec();
        new.resize(end.max(old.len()), 0);
        new[offset..end].copy_from_slice(value);
        let length = new.len();
        self.change_string(key, new.into())?;
        Ok(Value::count(length))
    }

    /// Another value for a string; flags and expiry stay.
    fn change_string(&mut self, key: &Key, value: Bytes) -> Ran<(), R> {
        let key_row = self.find_row(key)?;
        let (flags, expires_at_ms) =
            key_row.live().map_or((0, None), |record| (record.flags, record.expires_at_ms));
        self.put_string(key_row, value, flags, expires_at_ms)
    }

    pub(super) fn put_string(
        &mut self,
        key_row: KeyRow,
        value: Bytes,
        flags: u32,
        expires_at_ms: Option<u64>,
    ) -> Ran<(), R> {
        if value.len() > self.tablet.value_max_bytes {
            return fault(Fault::TooLarge);
        }
        let header = self.new_header(flags, expires_at_ms);
        self.put(key_row, &header, encode_record(&header, [&value, &[]]), value.len());
        Ok(())
    }

    /// Of something that changes now.
    pub(super) fn new_header(&mut self, flags: u32, expires_at_ms: Option<u64>) -> RecordHeader {
        let version = self.tablet.next_version();
        RecordHeader { flags, version, expires_at_ms, modified_at_ms: self.tablet.state.clock_ms }
    }

    /// Gives what is there another expiry; what is over is gone.
    pub(super) fn expire(&mut self, key_row: KeyRow, expires_at_ms: Option<u64>) {
        let Some(Record { flags, value, .. }) = key_row.live().cloned() else { return };
        let header = self.new_header(flags, expires_at_ms);
        match key_row.head() {
            Some(head) => self.put_head(key_row, &header, head),
            None => self.put(key_row, &header, encode_record(&header, [&value, &[]]), value.len()),
        }
    }
}

impl Span {
    /// The part of so many, if there is one.
    pub fn of(&self, length: usize) -> Option<std::ops::Range<usize>> {
        let length = i64::try_from(length).ok()?;
        let from_end = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
        // Redis: both are before the beginning and in the wrong order.
        if self.start < 0 && self.end < 0 && self.start > self.end {
            return None;
        }
        let (start, end) = (from_end(self.start).max(0), from_end(self.end).max(0).min(length - 1));
        (start <= end && length > 0).then(|| start as usize..end as usize + 1)
    }

    /// Likewise, where an end before the beginning is none: of lists and sorted sets.
    pub fn of_elements(&self, length: u64) -> Option<std::ops::Range<u64>> {
        let length = i64::try_from(length).ok()?;
        let from_end = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
        let (start, end) = (from_end(self.start).max(0), from_end(self.end).min(length - 1));
        (start <= end && start < length).then(|| start as u64..end as u64 + 1)
    }
}
