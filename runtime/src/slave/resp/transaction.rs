//! `MULTI`, `EXEC`, `DISCARD` and `WATCH`: commands are queued here and go to their tablet as one log entry. All keys of a
//! transaction, watched ones too, lie in one slot.
//!
//! *Invariant:* nothing of a transaction is applied before `EXEC`, and then all of it or nothing.

use std::sync::Arc;

use bytes::Bytes;
use dkc_core::kv::operation::OPERATIONS_MAX;
use dkc_core::kv::{Command, Key, Operation, Operations, Value, Write};
use dkc_core::resp;

use super::{Alone, CROSS_SLOT, Resp, as_command, known};
use crate::slave::memory::Share;
use crate::slave::output::Output;
use crate::slave::protocol::Parsed;

/// Bytes that one transaction may queue, approximately.
const QUEUE_MAX_BYTES: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Transaction {
    is_open: bool,
    is_spoiled: bool,
    queue: Vec<Queued>,
    queued_bytes: usize,
    pub watched: Vec<(Bytes, u64)>,
}

#[derive(Debug)]
enum Queued {
    Known(Value),
    Operation(Operation),
}

impl Transaction {
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    pub fn open(&mut self) {
        self.is_open = true;
    }

    pub fn spoil(&mut self) {
        self.is_spoiled |= self.is_open;
    }

    fn is_full(&self) -> bool {
        self.queue.len() >= OPERATIONS_MAX || self.queued_bytes >= QUEUE_MAX_BYTES
    }
}

impl Resp {
    pub(super) fn within_transaction(&mut self, request: resp::Request) -> Parsed<Resp> {
        let queued = match request {
            resp::Request::Multi => return self.refused_but_not_spoiled("ERR MULTI calls can not be nested"),
            resp::Request::Watch { .. } => {
                return self.refused_but_not_spoiled("ERR WATCH inside MULTI is not allowed");
            }
            resp::Request::Exec => return Parsed::Alone(Alone::Exec),
            resp::Request::Discard => {
                self.transaction = Transaction::default();
                return known(Value::OKAY);
            }
            resp::Request::Operation(operation) => Queued::Operation(operation),
            resp::Request::Blocking(blocking) => Queued::Operation(blocking.operation),
            resp::Request::Known(value) => Queued::Known(value),
            resp::Request::Unwatch => Queued::Known(Value::OKAY),
            _ => return self.refused("ERR this command is not supported inside a transaction"),
        };
        self.queue(queued)
    }

    fn refused_but_not_spoiled(&mut self, why: &'static str) -> Parsed<Resp> {
        super::error(why)
    }

    fn queue(&mut self, queued: Queued) -> Parsed<Resp> {
        if self.transaction.is_full() {
            return self.refused(format!("ERR a transaction queues at most {QUEUE_MAX_BYTES} bytes"));
        }
        if let Queued::Operation(operation) = &queued {
            let before = self.transaction.queue.iter().find_map(|queued| match queued {
                Queued::Operation(operation) => Some(&operation.key),
                Queued::Known(_) => None,
            });
            let watched = self.transaction.watched.first().map(|(key, _)| key);
            if !self.is_in_one_slot(watched.into_iter().chain(before).chain(operation.keys())) {
                return self.refused(CROSS_SLOT);
            }
            let bytes = Operations::one(self.namespace.clone(), operation.clone()).payload_bytes();
            self.transaction.queued_bytes += bytes;
        }
        self.transaction.queue.push(queued);
        known(Value::Word(Bytes::from_static(b"QUEUED")))
    }

    pub(super) async fn exec(&mut self, share: &Arc<Share>, output: &mut Output) {
        let transaction = std::mem::take(&mut self.transaction);
        if transaction.is_spoiled {
            let why = "EXECABORT Transaction discarded because of previous errors.";
            return resp::write_error(output.buffer(), why);
        }
        let operations: Vec<Operation> = transaction.queue.iter().filter_map(Queued::operation).collect();
        // A transaction without commands still checks the watched keys.
        let key = operations.first().map(|operation| &operation.key);
        let key = key.or_else(|| transaction.watched.first().map(|(key, _)| key)).cloned();
        let Some(key) = key else {
            return self.write(&answers(transaction.queue, Vec::new()), output);
        };
        let all = Operations {
            key: Key { namespace: self.namespace.clone(), bytes: key },
            watched: Some(transaction.watched),
            all: operations,
        };
        let outcome = self.carry_out_bounded(command_of(all), share).await;
        match super::answer::value_of(outcome) {
            Ok(Value::Array(values)) => self.write(&answers(transaction.queue, values), output),
            Ok(other) => self.write(&other, output),
            Err(error) => self.fail(&error, output),
        }
    }
}

/// What watches keys is checked when the entry is applied; what only reads needs no entry.
fn command_of(operations: Operations) -> Command {
    match operations.watched.as_ref().is_none_or(Vec::is_empty) {
        true => as_command(operations),
        false => Command::Write(Write::Operations(Box::new(operations))),
    }
}

impl Queued {
    fn operation(&self) -> Option<Operation> {
        match self {
            Queued::Operation(operation) => Some(operation.clone()),
            Queued::Known(_) => None,
        }
    }
}

/// Known and received replies, in command order.
fn answers(queue: Vec<Queued>, values: Vec<Value>) -> Value {
    let mut values = values.into_iter();
    let each = queue.into_iter().map(|queued| match queued {
        Queued::Known(value) => value,
        Queued::Operation(_) => values.next().unwrap_or(Value::Nil),
    });
    Value::Array(each.collect())
}
