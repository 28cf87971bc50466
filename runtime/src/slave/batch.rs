//! Pipelined requests of one application that are carried out together, and whose answers go out in order. Knows which
//! keys are read and written and how much, and nothing of the protocol.
//!
//! *Invariant:* two requests of a batch that name the same key both only read it, so that an application that pipelines
//! sees its own writes, in its own order.

use bytes::Bytes;
use dkc_core::kv::{Command, Write};

use super::output::Output;
use super::protocol::{Commands, Flow, Outcome, Part, Protocol, Request, Touched};
use crate::router::Call;

/// Requests, and commands, of a batch; a longer pipeline is carried out in several.
const BATCH_MAX: usize = 128;
/// The values that all reads of a batch may bring together, which bounds what one application can make a slave hold.
const VALUES_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The values that all writes of a batch may carry together.
const WRITES_MAX_BYTES: usize = 8 * 1024 * 1024;

pub(super) struct PipelineBatch<P: Protocol> {
    calls: Vec<Call>,
    /// The key of each call.
    touched: Vec<Touched>,
    answers: Vec<Pending<P::Answer>>,
    has_writes: bool,
    written_bytes: usize,
    calls_max: usize,
}

/// A request whose commands are in the batch, from `first` on.
struct Pending<A> {
    answer: A,
    first: usize,
    count: usize,
    is_last: bool,
}

impl<P: Protocol> PipelineBatch<P> {
    pub fn new(value_max_bytes: usize) -> PipelineBatch<P> {
        PipelineBatch {
            calls: Vec::new(),
            touched: Vec::new(),
            answers: Vec::new(),
            has_writes: false,
            written_bytes: 0,
            calls_max: (VALUES_MAX_BYTES / value_max_bytes.max(1)).clamp(1, BATCH_MAX),
        }
    }

    pub fn is_full(&self) -> bool {
        self.answers.len() >= BATCH_MAX
            || self.calls.len() >= self.calls_max
            || self.written_bytes >= WRITES_MAX_BYTES
    }

    /// Takes a request, or as many of its commands as there is room for. What is returned has to wait until this batch
    /// is answered.
    pub fn offer(&mut self, mut request: Request<P>) -> Option<Request<P>> {
        if self.is_full() || !self.has_room_for(&request.commands) {
            return Some(request);
        }
        let first = self.calls.len();
        while self.calls.len() < self.calls_max {
            let Some(command) = request.commands.next() else {
                self.pend(request.answer, first, true);
                return None;
            };
            self.push(command);
        }
        let is_last = request.commands.is_empty();
        if is_last {
            self.pend(request.answer, first, true);
            return None;
        }
        self.pend(request.answer.clone(), first, false);
        Some(request)
    }

    fn pend(&mut self, answer: P::Answer, first: usize, is_last: bool) {
        let count = self.calls.len() - first;
        self.answers.push(Pending { answer, first, count, is_last });
    }

    fn push(&mut self, command: Command) {
        let touched = touched(&command);
        self.has_writes |= touched.is_write;
        if let Command::Write(Write::Store { value, .. }) = &command {
            self.written_bytes += value.len();
        }
        self.touched.push(touched);
        self.calls.push(command.into());
    }

    /// No command concerns a key that is in use, and all of them fit, unless they could not even fit by themselves.
    fn has_room_for(&self, commands: &Commands<P::Many>) -> bool {
        match commands {
            Commands::None => true,
            Commands::One(command) => !self.is_in_use(command),
            Commands::Many(_) if self.calls.is_empty() => true,
            Commands::Many(many) => {
                let room = self.calls_max - self.calls.len();
                let mut fitting = 0;
                many.clone().take(room + 1).all(|command| {
                    fitting += 1;
                    fitting <= room && !self.is_in_use(&command)
                })
            }
        }
    }

    fn is_in_use(&self, command: &Command) -> bool {
        let is_write = matches!(command, Command::Write(_));
        if !is_write && !self.has_writes {
            return false;
        }
        let Some(key) = command.key() else { return false };
        let clashes = |used: &Touched| (is_write || used.is_write) && used.key == key.bytes;
        self.touched.iter().any(clashes)
    }

    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// Appends the answers. `Stop` when the request that goes on in the next batch is answered already.
    pub fn answer(self, mut outcomes: Vec<Outcome>, protocol: &mut P, output: &mut Output) -> Flow {
        let mut flow = Flow::GoOn;
        for Pending { answer, first, count, is_last } in &self.answers {
            let range = *first..first + count;
            let part = Part {
                touched: &self.touched[range.clone()],
                outcomes: &mut outcomes[range],
                is_last: *is_last,
            };
            let of_this = protocol.answer(answer, part, output);
            if !is_last {
                flow = of_this;
            }
        }
        flow
    }
}

fn touched(command: &Command) -> Touched {
    let key = command.key().map_or(Bytes::new(), |key| key.bytes.clone());
    Touched { key, is_write: matches!(command, Command::Write(_)) }
}
