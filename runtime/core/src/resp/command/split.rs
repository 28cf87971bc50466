//! Commands on several keys that need not lie in one slot: carried out key by key, and what comes of each is put together.

use bytes::Bytes;

use crate::kv::Expiry;
use crate::kv::Value;
use crate::kv::operation::{Act, KeyAct, Operation, SetAnswer, StringAct};

/// How the answers of the keys become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gather {
    /// One element for each key, as `MGET` answers.
    Array,
    /// The sum of numbers, as `DEL` and `EXISTS` answer.
    Sum,
    /// `OK`, as `MSET` answers.
    Okay,
}

impl Operation {
    /// One operation for each key, where that is allowed.
    pub fn split(&self) -> Option<(Vec<Operation>, Gather)> {
        let each = |others: &[Bytes], act: &dyn Fn() -> Act| {
            let keys = std::iter::once(&self.key).chain(others);
            keys.map(|key| Operation { key: key.clone(), act: act() }).collect()
        };
        match &self.act {
            Act::String(StringAct::GetMany { others }) => {
                Some((each(others, &|| Act::String(StringAct::Get)), Gather::Array))
            }
            Act::Key(KeyAct::Exists { others }) => {
                Some((each(others, &|| Act::Key(KeyAct::Exists { others: Vec::new() })), Gather::Sum))
            }
            Act::Key(KeyAct::Delete { others }) => {
                Some((each(others, &|| Act::Key(KeyAct::Delete { others: Vec::new() })), Gather::Sum))
            }
            Act::String(StringAct::SetMany { value, others, only_if_none: false }) => {
                let first = std::iter::once((&self.key, value));
                let set = |(key, value): (&Bytes, &Bytes)| Operation { key: key.clone(), act: set(value) };
                let all = first.chain(others.iter().map(|(key, value)| (key, value))).map(set);
                Some((all.collect(), Gather::Okay))
            }
            _ => None,
        }
    }
}

fn set(value: &Bytes) -> Act {
    Act::String(StringAct::Set {
        value: value.clone(),
        condition: None,
        expiry: Some(Expiry::Never),
        answer: SetAnswer::Okay,
    })
}

/// The answers of all keys as one. A fault of one is that of all, but for `MGET`, where it is an absent value.
pub fn gathered(gather: Gather, answers: Vec<Value>) -> Value {
    let fault = answers.iter().find(|answer| matches!(answer, Value::Fault(_)));
    match (gather, fault) {
        (Gather::Array, _) => Value::Array(
            answers
                .into_iter()
                .map(|value| if matches!(value, Value::Fault(_)) { Value::Nil } else { value })
                .collect(),
        ),
        (_, Some(fault)) => fault.clone(),
        (Gather::Sum, None) => {
            let number = |value: &Value| if let Value::Integer(number) = value { *number } else { 0 };
            Value::Integer(answers.iter().map(number).sum())
        }
        (Gather::Okay, None) => Value::OKAY,
    }
}
