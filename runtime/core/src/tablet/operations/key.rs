//! What can be done with a key, whatever it holds.

use bytes::Bytes;

use super::{Ran, fault, key_of};
use crate::kv::operation::{ExpireCondition, KeyAct};
use crate::kv::{Expiry, Fault, Key, Value};
use crate::tablet::Rows;
use crate::tablet::apply::ApplyContext;
use crate::tablet::rows::encode_record;
use crate::tablet::view::View;

impl<R: Rows> View<'_, R> {
    pub(super) fn key(&self, key: &Key, act: &KeyAct) -> Ran<Value, R> {
        Ok(match act {
            KeyAct::Exists { others } => {
                let mut count = usize::from(self.find_row(key)?.live().is_some());
                for other in others {
                    count += usize::from(self.find_row(&key_of(&key.namespace, other))?.live().is_some());
                }
                Value::count(count)
            }
            KeyAct::Remaining { in_seconds } => match self.find_row(key)?.live() {
                None => Value::Integer(-2),
                Some(record) => record.expires_at_ms.map_or(Value::Integer(-1), |until_ms| {
                    Value::Remaining { until_ms, in_seconds: *in_seconds }
                }),
            },
            KeyAct::ExpiresAt { in_seconds } => match self.find_row(key)?.live() {
                None => Value::Integer(-2),
                Some(record) => {
                    let rounded = |ms: u64| if *in_seconds { ms.saturating_add(500) / 1000 } else { ms };
                    Value::Integer(record.expires_at_ms.map_or(-1, |ms| rounded(ms) as i64))
                }
            },
            KeyAct::Type => {
                let key_row = self.find_row(key)?;
                let word = match (key_row.head(), key_row.live()) {
                    (Some(head), _) => head.kind.word(),
                    (None, Some(_)) => "string",
                    (None, None) => "none",
                };
                Value::Word(Bytes::from_static(word.as_bytes()))
            }
            KeyAct::Encoding => self.encoding(&self.find_row(key)?)?,
            KeyAct::Dump => self.dump(key)?,
            KeyAct::IdleTime => match self.find_row(key)?.live() {
                None => Value::Nil,
                Some(record) => {
                    let idle_ms = self.tablet.clock_ms().saturating_sub(record.modified_at_ms);
                    Value::Integer((idle_ms / 1000) as i64)
                }
            },
            KeyAct::References => match self.find_row(key)?.live() {
                None => Value::Nil,
                Some(_) => Value::Integer(1),
            },
            KeyAct::Frequency => match self.find_row(key)?.live() {
                None => Value::Nil,
                Some(_) => return fault(Fault::NoFrequency),
            },
            KeyAct::Version => Value::Integer(self.version(key)? as i64),
            _ => unreachable!("an act that writes was taken for one that reads"),
        })
    }

    /// 0 if there is none.
    pub(super) fn version(&self, key: &Key) -> Result<u64, R::Error> {
        Ok(self.find_row(key)?.live().map_or(0, |record| record.version))
    }
}

impl<R: Rows> ApplyContext<'_, R> {
    pub(super) fn key(&mut self, key: &Key, act: &KeyAct) -> Ran<Value, R> {
        match act {
            KeyAct::Delete { others } => {
                let mut count = 0;
                let others = others.iter().map(|other| key_of(&key.namespace, other));
                for key in std::iter::once(key.clone()).chain(others) {
                    let key_row = self.find_row(&key)?;
                    count += usize::from(key_row.live().is_some());
                    self.remove(key_row);
                }
                Ok(Value::count(count))
            }
            KeyAct::Expire { expiry, condition } => self.expire_if(key, *expiry, *condition),
            KeyAct::Persist => {
                let key_row = self.find_row(key)?;
                let expires = key_row.live().is_some_and(|record| record.expires_at_ms.is_some());
                if expires {
                    self.expire(key_row, None);
                }
                Ok(Value::flag(expires))
            }
            KeyAct::Rename { to, only_if_absent } => {
                self.rename(key, &key_of(&key.namespace, to), *only_if_absent)
            }
            KeyAct::Restore { content, expiry, replaces } => self.restore(key, content, *expiry, *replaces),
            KeyAct::Copy { to, replaces } => self.copy(key, &key_of(&key.namespace, to), *replaces),
            _ => unreachable!("an act that reads was taken for one that writes"),
        }
    }

    fn expire_if(&mut self, key: &Key, expiry: Expiry, condition: Option<ExpireCondition>) -> Ran<Value, R> {
        let key_row = self.find_row(key)?;
        let Some(record) = key_row.live() else { return Ok(Value::Integer(0)) };
        let (old_ms, new_ms) = (record.expires_at_ms, self.resolve(expiry));
        // Who never expires expires later than anybody.
        let is_later = old_ms.is_some_and(|old| new_ms.is_none_or(|new| new > old));
        let is_sooner = new_ms.is_some_and(|new| old_ms.is_none_or(|old| new < old));
        let is_met = match condition {
            None => true,
            Some(ExpireCondition::Never) => old_ms.is_none(),
            Some(ExpireCondition::Expires) => old_ms.is_some(),
            Some(ExpireCondition::Later) => is_later,
            Some(ExpireCondition::Sooner) => is_sooner,
            Some(ExpireCondition::SoonerIfExpires) => is_sooner && old_ms.is_some(),
        };
        if is_met {
            self.expire(key_row, new_ms);
        }
        Ok(Value::flag(is_met))
    }

    fn rename(&mut self, from: &Key, to: &Key, only_if_absent: bool) -> Ran<Value, R> {
        let key_row = self.find_row(from)?;
        let Some(record) = key_row.live().cloned() else { return fault(Fault::NoSuchKey) };
        let done = if only_if_absent { Value::Integer(1) } else { Value::OKAY };
        if from == to {
            return Ok(if only_if_absent { Value::Integer(0) } else { done });
        }
        let target = self.find_row(to)?;
        if only_if_absent && target.live().is_some() {
            return Ok(Value::Integer(0));
        }
        let header = self.new_header(record.flags, record.expires_at_ms);
        match key_row.head() {
            Some(head) => {
                self.put_head(target, &header, head);
                self.remove_row(key_row);
            }
            None => {
                let encoded = encode_record(&header, [&record.value, &[]]);
                self.put(target, &header, encoded, record.value.len());
                self.remove(key_row);
            }
        }
        Ok(done)
    }

    fn copy(&mut self, from: &Key, to: &Key, replaces: bool) -> Ran<Value, R> {
        let key_row = self.find_row(from)?;
        let target = self.find_row(to)?;
        let Some(record) = key_row.live().cloned() else { return Ok(Value::Integer(0)) };
        if !replaces && target.live().is_some() {
            return Ok(Value::Integer(0));
        }
        let Some(head) = key_row.head() else {
            self.put_string(target, record.value, record.flags, record.expires_at_ms)?;
            return Ok(Value::Integer(1));
        };
        let elements = self.view().all_rows(&key_row, &head)?;
        let header = self.new_header(record.flags, record.expires_at_ms);
        let copied = crate::tablet::head::Head { incarnation: header.version, ..head };
        let prefix = crate::tablet::head::element_prefix(
            crate::tablet::head::slot_of_row(&target.row),
            copied.incarnation,
        );
        for (suffix, value) in elements {
            self.changes.insert([&prefix, &suffix[..]].concat(), Some(value));
        }
        self.put_head(target, &header, copied);
        Ok(Value::Integer(1))
    }
}
