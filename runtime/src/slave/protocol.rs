//! The interface between an application protocol and the rest of a slave. A protocol parses bytes into requests, writes outcomes
//! as bytes, and keeps per-connection state. Reading, writing, routing, and what may run concurrently are common to all
//! protocols.
//!
//! To add a protocol: a folder next to this file with an implementation of `Protocol`, its line in `endpoints`, and its row (name,
//! default address) in `dkc_core::config`.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use dkc_core::ids::Namespace;
use dkc_core::kv::{Command, Key, Operations, Reply};

use super::memory::{Memory, Share};
use super::output::Output;
use super::statistics::{Counters, Traffic};
use super::timeouts::Timeouts;
use crate::router::{RouteError, Router};

/// The outcome of one command.
pub(crate) type Outcome = Result<Reply, RouteError>;

/// A protocol's state of one connection.
pub(crate) trait Protocol: Sized + Send + Sync + 'static {
    /// Counters for `stats` and metrics, over all connections of a pair.
    type Statistics: Counters;
    /// The commands of a request with several.
    type Many: Iterator<Item = Command> + Clone + Send + Sync;
    /// The part of a request needed to answer it: its form, and its flags (quiet, opaque, ...). Cloned for a
    /// request whose commands do not fit into one batch.
    type Answer: Clone + Send + Sync;
    /// A request that runs alone, after everything before it and before everything after it.
    type Alone: Send;

    /// The reply to a connection above the limit.
    const TOO_MANY_CONNECTIONS: &'static [u8];

    /// The state of a new connection.
    fn new(service: Arc<Service<Self>>) -> Self;

    /// Parses the next request of the input.
    fn parse(&mut self, input: &mut BytesMut) -> Parsed<Self>;

    /// Appends the reply to a request, or to a part of it. Called in request order.
    fn answer(&mut self, answer: &Self::Answer, part: Part<'_>, output: &mut Output) -> Flow;

    /// Executes a request alone and appends its reply. May wait for as long as the protocol allows. Large replies are
    /// reserved in the connection's share, which is released once the reply is sent.
    fn alone(
        &mut self,
        request: Self::Alone,
        share: &Arc<Share>,
        output: &mut Output,
    ) -> impl Future<Output = ()> + Send;

    /// There is no memory for the rest of the request at the beginning of the input: refuses it, and discards its
    /// remaining bytes. `Stop` ends the connection.
    fn refuse_unfinished(&mut self, input: &mut BytesMut, output: &mut Output) -> Flow;

    /// Whether the request waits for other applications. It then ends when the client closes the connection.
    fn waits_for_others(_request: &Self::Alone) -> bool {
        false
    }
}

/// The result of parsing the beginning of the input.
pub(crate) enum Parsed<P: Protocol> {
    /// No complete request yet; at least this many bytes are missing.
    NeedMore {
        bytes_min: usize,
    },
    Request(Request<P>),
    Alone(P::Alone),
    /// Close the connection once everything before it is answered.
    Close,
}

/// A request whose commands may run concurrently with those of others.
pub(crate) struct Request<P: Protocol> {
    pub commands: Commands<P::Many>,
    pub answer: P::Answer,
}

/// The commands of a request. All of them may run concurrently.
pub(crate) enum Commands<M> {
    /// None: the reply is known.
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

/// The key of a command, and its effect on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touched {
    pub key: Option<Key>,
    pub is_write: bool,
    /// How its reply can be read again; `None` if it cannot.
    pub again: Option<Again>,
}

/// How the reply of a command can be read again without executing the command twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Again {
    /// The reply is the record of the key.
    Record,
    /// The command changes nothing.
    Operations(Box<Operations>),
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

/// Whether the rest of a request is still to be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    GoOn,
    /// The reply is complete, for example an error.
    Stop,
}

/// Shared by the connections of one pair.
pub(crate) struct Service<P: Protocol> {
    pub router: Router,
    pub namespace: Namespace,
    pub value_max_bytes: usize,
    pub traffic: Arc<Traffic>,
    pub memory: Arc<Memory>,
    pub timeouts: Arc<Timeouts>,
    pub statistics: Arc<P::Statistics>,
    /// The start of `uptime`.
    pub started: Instant,
}
