//! What an application protocol is to the rest of a slave. A protocol turns bytes into requests and outcomes into bytes,
//! and keeps what it has to remember of one connection. Reading, writing, routing, and what may be carried out side by
//! side are decided here for all of them.
//!
//! Adding a protocol: a folder beside this file with an implementation of `Protocol`, and its line in `endpoints`.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use dkc_core::ids::Namespace;
use dkc_core::kv::{Command, Key, Reply};

use super::memory::Memory;
use super::output::Output;
use super::statistics::{Counters, Traffic};
use super::timeouts::Timeouts;
use crate::router::{RouteError, Router};

/// What became of one command.
pub(crate) type Outcome = Result<Reply, RouteError>;

/// One connection's side of a protocol.
pub(crate) trait Protocol: Sized + Send + Sync + 'static {
    /// What is counted for `stats` and metrics, for all connections of a pair.
    type Statistics: Counters;
    /// The commands of a request that has many.
    type Many: Iterator<Item = Command> + Clone + Send + Sync;
    /// What has to be known of a request to answer it: its form, and its flags (quiet, opaque, ...). Cloned for a
    /// request whose commands do not fit into one batch.
    type Answer: Clone + Send + Sync;
    /// A request that is carried out by itself, after everything before it and before everything behind it.
    type Alone: Send;

    /// The answer to a connection above the limit.
    const TOO_MANY_CONNECTIONS: &'static [u8];

    /// The state of a new connection.
    fn new(service: Arc<Service<Self>>) -> Self;

    /// Takes the next request out of what has been read.
    fn parse(&mut self, input: &mut BytesMut) -> Parsed<Self>;

    /// Appends the answer to a request, or to a part of it. Called in the order of the requests.
    fn answer(&mut self, answer: &Self::Answer, part: Part<'_>, output: &mut Output) -> Flow;

    /// Carries out a request by itself and appends its answer. May wait for as long as the protocol allows.
    fn alone(&mut self, request: Self::Alone, output: &mut Output) -> impl Future<Output = ()> + Send;

    /// There is no memory for the rest of the request at the beginning of the input: refuses it, and swallows what
    /// comes of it. `Stop` ends the connection.
    fn refuse_unfinished(&mut self, input: &mut BytesMut, output: &mut Output) -> Flow;

    /// The request waits for what other applications do. It ends when the client closes the connection.
    fn waits_for_others(_request: &Self::Alone) -> bool {
        false
    }
}

/// What a protocol found at the beginning of the input.
pub(crate) enum Parsed<P: Protocol> {
    /// No whole request yet; at least so many bytes are missing.
    NeedMore {
        bytes_min: usize,
    },
    Request(Request<P>),
    Alone(P::Alone),
    /// Close the connection once everything before is answered.
    Close,
}

/// A request whose commands may be carried out beside those of others.
pub(crate) struct Request<P: Protocol> {
    pub commands: Commands<P::Many>,
    pub answer: P::Answer,
}

/// What a request has carried out. All of it may happen side by side.
pub(crate) enum Commands<M> {
    /// Nothing: its answer is known.
    None,
    One(Command),
    Many(M),
}

impl<M: Iterator<Item = Command> + Clone> Commands<M> {
    pub fn is_empty(&self) -> bool {
        match self {
            Commands::None => true,
            Commands::One(_) => false,
            Commands::Many(many) => many.clone().next().is_none(),
        }
    }
}

impl<M: Iterator<Item = Command>> Iterator for Commands<M> {
    type Item = Command;

    fn next(&mut self) -> Option<Command> {
        if let Commands::Many(many) = self {
            return many.next();
        }
        match std::mem::replace(self, Commands::None) {
            Commands::One(command) => Some(command),
            _ => None,
        }
    }
}

/// The key of a command, and what the command does to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touched {
    pub key: Option<Key>,
    pub is_write: bool,
    /// Its answer is the record, which can be read once more.
    pub is_record: bool,
}

impl Touched {
    /// Empty for a command without a key.
    pub fn name(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| &key.bytes)
    }
}

/// Outcomes of one request's commands, in their order.
pub(crate) struct Part<'a> {
    pub touched: &'a [Touched],
    pub outcomes: &'a mut [Outcome],
    /// No further commands of this request follow.
    pub is_last: bool,
}

/// Whether what is left of a request is still to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    GoOn,
    /// The answer is finished: an error, say.
    Stop,
}

/// What the connections of one pair share.
pub(crate) struct Service<P: Protocol> {
    pub router: Router,
    pub namespace: Namespace,
    pub value_max_bytes: usize,
    pub traffic: Arc<Traffic>,
    pub memory: Arc<Memory>,
    pub timeouts: Arc<Timeouts>,
    pub statistics: Arc<P::Statistics>,
    /// From which `uptime` counts.
    pub started: Instant,
}
