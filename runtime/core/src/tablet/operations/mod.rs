//! Carrying out operations (`kv::operation`): one file for each type of value.
//!
//! *Invariant:* an operation that ends in a fault has changed nothing: everything is checked before the first change.

mod bit_fields;
mod bits;
mod collection;
mod common;
mod dump;
mod encoding;
mod hash;
mod key;
mod list;
mod set;
mod sorted_merge;
mod sorted_range;
mod sorted_set;
mod string;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::apply::ApplyContext;
use super::view::View;
use super::{Changes, Rows, Tablet};
use crate::ids::Namespace;
use crate::kv::operation::{Act, Operation, Operations};
use crate::kv::{Fault, Key, Reply, Value};
use crate::ring::slot_of;

/// Elements that one operation reads or changes at most, so that no entry holds up its tablet for long.
pub const ELEMENTS_MAX: usize = 1_000_000;
/// Bytes in one answer.
pub const ANSWER_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Why an operation ends early.
pub enum Stop<E> {
    Fault(Fault),
    Rows(E),
}

impl<E> From<E> for Stop<E> {
    fn from(error: E) -> Stop<E> {
        Stop::Rows(error)
    }
}

pub type Ran<T, R> = Result<T, Stop<<R as Rows>::Error>>;

fn fault<T, E>(fault: Fault) -> Result<T, Stop<E>> {
    Err(Stop::Fault(fault))
}

/// A fault is an answer.
fn answer<E>(ran: Result<Value, Stop<E>>) -> Result<Value, E> {
    match ran {
        Ok(value) if value.size_bytes() > ANSWER_MAX_BYTES => Ok(Value::Fault(Fault::AnswerTooLarge)),
        Ok(value) => Ok(value),
        Err(Stop::Fault(fault)) => Ok(Value::Fault(fault)),
        Err(Stop::Rows(error)) => Err(error),
    }
}

/// Answers operations that change nothing.
pub fn read<R: Rows>(tablet: &Tablet, rows: &R, operations: &Operations) -> Result<Reply, R::Error> {
    let changes = Changes::new();
    let view = View { tablet, rows, changes: &changes };
    if !is_in_one_slot(operations) {
        return Ok(Reply::Value(Value::Fault(Fault::CrossSlot)));
    }
    let namespace = &operations.key.namespace;
    let each = operations.all.iter().map(|operation| answer(view.operation(namespace, operation)));
    Ok(reply(operations, each.collect::<Result<_, _>>()?))
}

fn reply(operations: &Operations, mut answers: Vec<Value>) -> Reply {
    Reply::Value(match operations.watched {
        Some(_) => Value::Array(answers),
        None => answers.pop().unwrap_or(Value::Nil),
    })
}

/// Servers and slaves have checked this before sending; a tablet checks again.
fn is_in_one_slot(operations: &Operations) -> bool {
    let namespace = &operations.key.namespace;
    let slot = slot_of(namespace, &operations.key.bytes);
    let watched = operations.watched.iter().flatten().map(|(key, _)| key);
    let mut keys = operations.all.iter().flat_map(Operation::keys).chain(watched);
    keys.all(|key| *key == operations.key.bytes || slot_of(namespace, key) == slot)
}

fn key_of(namespace: &Namespace, bytes: &Bytes) -> Key {
    Key { namespace: namespace.clone(), bytes: bytes.clone() }
}

impl<R: Rows> ApplyContext<'_, R> {
    pub fn operations(&mut self, operations: &Operations) -> Result<Reply, R::Error> {
        if !is_in_one_slot(operations) {
            return Ok(Reply::Value(Value::Fault(Fault::CrossSlot)));
        }
        if operations.check_limits().is_err() {
            return Ok(Reply::TooLarge);
        }
        let namespace = &operations.key.namespace;
        for (key, version) in operations.watched.iter().flatten() {
            if self.view().version(&key_of(namespace, key))? != *version {
                return Ok(Reply::Value(Value::NilArray));
            }
        }
        let mut answers = Vec::with_capacity(operations.all.len());
        for operation in &operations.all {
            let ran = match operation.act.is_write() {
                true => self.operation(namespace, operation),
                false => self.view().operation(namespace, operation),
            };
            answers.push(answer(ran)?);
        }
        Ok(reply(operations, answers))
    }

    fn operation(&mut self, namespace: &Namespace, operation: &Operation) -> Ran<Value, R> {
        let key = key_of(namespace, &operation.key);
        match &operation.act {
            Act::String(act) => self.string(&key, act),
            Act::Key(act) => self.key(&key, act),
            Act::List(act) => self.list(&key, act),
            Act::Hash(act) => self.hash(&key, act),
            Act::Set(act) => self.set(&key, act),
            Act::SortedSet(act) => self.sorted_set(&key, act),
        }
    }
}

impl<R: Rows> View<'_, R> {
    fn operation(&self, namespace: &Namespace, operation: &Operation) -> Ran<Value, R> {
        let key = key_of(namespace, &operation.key);
        match &operation.act {
            Act::String(act) => self.string(&key, act),
            Act::Key(act) => self.key(&key, act),
            Act::List(act) => self.list(&key, act),
            Act::Hash(act) => self.hash(&key, act),
            Act::Set(act) => self.set(&key, act),
            Act::SortedSet(act) => self.sorted_set(&key, act),
        }
    }
}
