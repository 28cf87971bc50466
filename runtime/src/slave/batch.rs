//! Pipelined requests of one application that are executed together and answered in order. It knows which
//! keys are read and written and how much, and nothing of the protocol.
//!
//! *Invariant:* two requests of a batch that name the same key both only read it, so that an application that pipelines
//! sees its own writes, in its own order.

use std::ops::Range;

use dkc_core::kv::{Command, Read, Write};

use super::protocol::{Again, Commands, Outcome, Part, Protocol, Request, Touched};
use crate::router::Call;

/// Most requests, and commands, of a batch; a longer pipeline is executed in several.
pub(super) const BATCH_MAX: usize = 128;
/// Most bytes of values in all writes of a batch.
const WRITES_MAX_BYTES: usize = 8 * 1024 * 1024;

pub(super) struct PipelineBatch<P: Protocol> {
    calls: Vec<Call>,
    calls_max: usize,
    /// The key of each call.
    touched: Vec<Touched>,
    answers: Vec<Pending<P::Answer>>,
    has_writes: bool,
    written_bytes: usize,
}

/// A request of which all or some commands are in the batch.
pub(super) struct Pending<A> {
    pub answer: A,
    /// The positions of its commands.
    pub places: Range<usize>,
    pub is_last: bool,
}

impl<P: Protocol> PipelineBatch<P> {
    /// A batch of at most this many commands, one or more.
    pub fn new(calls_max: usize) -> PipelineBatch<P> {
        PipelineBatch {
            calls: Vec::new(),
            calls_max,
            touched: Vec::new(),
            answers: Vec::new(),
            has_writes: false,
            written_bytes: 0,
        }
    }

    pub fn is_full(&self) -> bool {
        self.answers.len() >= BATCH_MAX
            || self.calls.len() >= self.calls_max
            || self.written_bytes >= WRITES_MAX_BYTES
    }

    /// Adds a request, or as many of its commands as there is room for. Returns the rest, which has to wait until this batch
    /// is answered.
    pub fn offer(&mut self, mut request: Request<P>) -> Option<Request<P>> {
        if self.is_full() || !self.has_room_for(&request.commands) {
            return Some(request);
        }
        let first = self.calls.len();
        while self.calls.len() < self.calls_max {
            let Some(command) = request.commands.next() else { break };
            self.push(command);
        }
        let places = first..self.calls.len();
        if request.commands.is_empty() {
            self.answers.push(Pending { answer: request.answer, places, is_last: true });
            return None;
        }
        self.answers.push(Pending { answer: request.answer.clone(), places, is_last: false });
        Some(request)
    }

    fn push(&mut self, command: Command) {
        let touched = touched(&command);
        self.has_writes |= touched.is_write;
        if let Command::Write(write) = &command {
            self.written_bytes += write.payload_bytes();
        }
        let reply_is_bounded = touched.again.is_some();
        self.touched.push(touched);
        self.calls.push(Call { reply_is_bounded, ..Call::from(command) });
    }

    /// Whether no command uses a key of the batch in conflict, and all of them fit or would not even fit into an empty batch.
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
        let clashes = |used: &Touched| (is_write || used.is_write) && used.key.as_ref() == Some(key);
        self.touched.iter().any(clashes)
    }

    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    pub fn answers(&self) -> &[Pending<P::Answer>] {
        &self.answers
    }

    /// The command that reads the reply of the command at this position again, if one can.
    pub fn again(&self, place: usize) -> Option<Command> {
        let touched = &self.touched[place];
        Some(match touched.again.as_ref()? {
            Again::Record => Command::Read(Read::Get { key: touched.key.clone()? }),
            Again::Operations(operations) => Command::Read(Read::Operations(operations.clone())),
        })
    }

    /// The outcomes of a request's commands at these positions.
    pub fn part<'a>(
        &'a self,
        pending: &Pending<P::Answer>,
        places: Range<usize>,
        outcomes: &'a mut [Outcome],
    ) -> Part<'a> {
        Part {
            is_last: pending.is_last && places.end == pending.places.end,
            touched: &self.touched[places.clone()],
            outcomes: &mut outcomes[places],
        }
    }
}

fn touched(command: &Command) -> Touched {
    let again = match command {
        Command::Read(Read::Get { .. })
        | Command::Write(Write::GetAndTouch { .. } | Write::Adjust { .. }) => Some(Again::Record),
        Command::Read(Read::Operations(operations)) => Some(Again::Operations(operations.clone())),
        _ => None,
    };
    Touched { key: command.key().cloned(), is_write: matches!(command, Command::Write(_)), again }
}
