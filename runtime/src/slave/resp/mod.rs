//! RESP2 and RESP3 on a pair: maps commands parsed by `dkc_core::resp` to operations, and their outcomes to
//! Redis's replies.
//!
//! *Invariant:* a command on keys of one slot is one log entry. `dkc_core::resp` defines which commands may span
//! several slots.

mod alone;
mod answer;
mod blocking;
mod connection;
mod scan;
mod statistics;
mod transaction;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dkc_core::ids::Namespace;
use dkc_core::kv::operation::{Act, KeyAct, SetAnswer, StringAct};
use dkc_core::kv::{Command, Key, Operation, Operations, Read, StoreMode, Value, Write};
use dkc_core::resp::{self, Blocking, ConnectionCommand, Gather, Parser, Scan, Version};
use dkc_core::ring::slot_of;

use super::memory::Share;
use super::output::Output;
use super::protocol::{Commands, Flow, Parsed, Part, Protocol, Request, Service};
use crate::chance;
use statistics::Statistics;
use transaction::Transaction;

/// The reported release of Redis, by which clients choose their commands.
pub(super) const REDIS_VERSION: &str = "7.0.15";

const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";
const NO_ROOM: &str = "OOM command not allowed: no memory for it in this slave (slave_memory_bytes)";

/// One connection.
pub(super) struct Resp {
    service: Arc<Service<Resp>>,
    parser: Parser,
    version: Version,
    namespace: Namespace,
    /// The selected database.
    database: u32,
    name: Bytes,
    number: u64,
    transaction: Transaction,
    /// Partial results of a multi-key command that continues in the next batch.
    gathered: Vec<Value>,
    /// The head of an array is sent, and so many of its elements are still to come.
    elements_left: usize,
    is_closing: bool,
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Known(Value),
    Error(Arc<str>),
    /// Of the one command.
    One {
        is_read: bool,
    },
    /// Of so many commands.
    Gathered(Gather, usize),
}

/// Requests that run alone.
pub(super) enum Alone {
    Operation(Operation),
    Blocking(Blocking),
    Matching { operation: Operation, pattern: Bytes, in_pairs: bool },
    Scan(Scan),
    Keys { pattern: Bytes },
    RandomKey,
    Count,
    Flush,
    Watch { keys: Vec<Bytes> },
    Exec,
    Connection(ConnectionCommand),
}

/// The commands of a request on several keys.
pub(super) type Many = std::vec::IntoIter<Command>;

impl Protocol for Resp {
    type Statistics = Statistics;
    type Many = Many;
    type Answer = Answer;
    type Alone = Alone;

    const TOO_MANY_CONNECTIONS: &'static [u8] = b"-ERR max number of clients reached\r\n";

    fn new(service: Arc<Service<Resp>>) -> Resp {
        let number = service.statistics.next_client();
        Resp {
            parser: Parser::new(service.value_max_bytes),
            version: Version::Two,
            namespace: service.namespace.clone(),
            database: 0,
            name: Bytes::new(),
            number,
            transaction: Transaction::default(),
            gathered: Vec::new(),
            elements_left: 0,
            is_closing: false,
            service,
        }
    }

    fn parse(&mut self, input: &mut BytesMut) -> Parsed<Resp> {
        if self.is_closing {
            return Parsed::Close;
        }
        match self.parser.next(input) {
            resp::Parsed::NeedMore { bytes_min } => Parsed::NeedMore { bytes_min },
            resp::Parsed::Command(words) => self.understand(&words),
            resp::Parsed::TooLarge => {
                let limit = self.service.value_max_bytes;
                self.refused(format!(
                    "ERR the value is too large; the limit is {limit} bytes (value_max_bytes)"
                ))
            }
            resp::Parsed::NoRoom => self.refused(NO_ROOM.to_owned()),
            resp::Parsed::Broken(why) => {
                self.is_closing = true;
                error(why)
            }
            resp::Parsed::Foreign => {
                tracing::warn!(protocol = "HTTP", "client connection closed: not RESP");
                Parsed::Close
            }
        }
    }

    fn answer(&mut self, answer: &Answer, part: Part<'_>, output: &mut Output) -> Flow {
        self.tell(answer, part, output)
    }

    async fn alone(&mut self, request: Alone, share: &Arc<Share>, output: &mut Output) {
        self.carry_out(request, share, output).await;
    }

    fn refuse_unfinished(&mut self, input: &mut BytesMut, output: &mut Output) -> Flow {
        if self.parser.refuse(input) {
            return Flow::GoOn;
        }
        resp::write_error(output.buffer(), NO_ROOM);
        Flow::Stop
    }

    fn waits_for_others(request: &Alone) -> bool {
        matches!(request, Alone::Blocking(_))
    }
}

fn error(why: impl Into<Arc<str>>) -> Parsed<Resp> {
    known_as(Answer::Error(why.into()))
}

fn known(value: Value) -> Parsed<Resp> {
    known_as(Answer::Known(value))
}

fn known_as(answer: Answer) -> Parsed<Resp> {
    Parsed::Request(Request { commands: Commands::None, answer })
}

impl Resp {
    /// A command refused before it is sent aborts the transaction it belongs to.
    fn refused(&mut self, why: impl Into<Arc<str>>) -> Parsed<Resp> {
        self.transaction.spoil();
        error(why)
    }

    fn understand(&mut self, words: &[Bytes]) -> Parsed<Resp> {
        self.service.statistics.count_command();
        let request = match resp::request(words, chance::unique_u64()) {
            Ok(request) => request,
            Err(why) => return self.refused(why.into_owned()),
        };
        if self.transaction.is_open() && !matches!(request, resp::Request::Quit | resp::Request::Reset) {
            return self.within_transaction(request);
        }
        match request {
            resp::Request::Operation(operation) => self.operation(operation),
            resp::Request::Blocking(blocking) => Parsed::Alone(Alone::Blocking(blocking)),
            resp::Request::Matching { operation, pattern, in_pairs } => {
                Parsed::Alone(Alone::Matching { operation, pattern, in_pairs })
            }
            resp::Request::Known(value) => known(value),
            resp::Request::Scan(scan) => Parsed::Alone(Alone::Scan(scan)),
            resp::Request::Keys { pattern } => Parsed::Alone(Alone::Keys { pattern }),
            resp::Request::RandomKey => Parsed::Alone(Alone::RandomKey),
            resp::Request::Count => Parsed::Alone(Alone::Count),
            resp::Request::Flush => Parsed::Alone(Alone::Flush),
            resp::Request::Multi => {
                self.transaction.open();
                known(Value::OKAY)
            }
            resp::Request::Exec => error("ERR EXEC without MULTI"),
            resp::Request::Discard => error("ERR DISCARD without MULTI"),
            resp::Request::Watch { keys } => Parsed::Alone(Alone::Watch { keys }),
            resp::Request::Unwatch => {
                self.transaction = Transaction::default();
                known(Value::OKAY)
            }
            resp::Request::Quit => {
                self.is_closing = true;
                known(Value::OKAY)
            }
            resp::Request::Reset => {
                self.reset();
                known(Value::Word(Bytes::from_static(b"RESET")))
            }
            resp::Request::Connection(command) => Parsed::Alone(Alone::Connection(command)),
        }
    }

    fn reset(&mut self) {
        self.transaction = Transaction::default();
        self.version = Version::Two;
        self.namespace = self.service.namespace.clone();
        self.database = 0;
        self.name = Bytes::new();
    }

    /// Whether all keys lie in the slot of the first one.
    fn is_in_one_slot<'k>(&self, mut keys: impl Iterator<Item = &'k Bytes>) -> bool {
        let Some(first) = keys.next() else { return true };
        let slot = slot_of(&self.namespace, first);
        keys.all(|key| key == first || slot_of(&self.namespace, key) == slot)
    }

    fn operation(&mut self, operation: Operation) -> Parsed<Resp> {
        let is_single = operation.keys().nth(1).is_none();
        if is_single {
            let is_read = !operation.act.is_write();
            let command = command(&self.namespace, operation);
            return Parsed::Request(Request {
                commands: Commands::One(command),
                answer: Answer::One { is_read },
            });
        }
        if self.is_in_one_slot(operation.keys()) {
            // It has more keys than a command of a batch can have.
            return Parsed::Alone(Alone::Operation(operation));
        }
        let Some((operations, gather)) = operation.split() else { return self.refused(CROSS_SLOT) };
        let commands: Vec<Command> =
            operations.into_iter().map(|operation| command(&self.namespace, operation)).collect();
        let count = commands.len();
        Parsed::Request(Request {
            commands: Commands::Many(commands.into_iter()),
            answer: Answer::Gathered(gather, count),
        })
    }
}

/// The most frequent commands use the operations common to all protocols.
fn command(namespace: &Namespace, operation: Operation) -> Command {
    let Operation { key, act } = operation;
    let whole = |key: Bytes| Key { namespace: namespace.clone(), bytes: key };
    match act {
        Act::String(StringAct::Get) => Command::Read(Read::Get { key: whole(key) }),
        Act::String(StringAct::Set {
            value,
            condition: None,
            expiry: Some(expiry),
            answer: SetAnswer::Okay,
        }) => Command::Write(Write::Store { key: whole(key), mode: StoreMode::Set, flags: 0, expiry, value }),
        Act::Key(KeyAct::Delete { others }) if others.is_empty() => {
            Command::Write(Write::Delete { key: whole(key), version: None })
        }
        act => {
            let operations = Operations::one(namespace.clone(), Operation { key, act });
            as_command(operations)
        }
    }
}

fn as_command(operations: Operations) -> Command {
    match operations.is_write() {
        true => Command::Write(Write::Operations(Box::new(operations))),
        false => Command::Read(Read::Operations(Box::new(operations))),
    }
}
