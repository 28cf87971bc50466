//! One connection of an application: everything received in one read is parsed, sent together, and
//! answered in order with one write. One task per connection, none per command.

pub(super) mod scarce;
mod window;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::batch::PipelineBatch;
use super::memory::Share;
use super::output::Output;
use super::protocol::{Flow, Outcome, Parsed, Protocol, Request, Service};
use super::statistics::add;
use super::timeouts::{Noted, WaitsFor};
use crate::router::{AdmitValue, Call};
use scarce::{Taken, is_missing};
use window::Window;

/// Buffer for one read of small requests; an idle connection keeps no more.
const READ_BYTES: usize = 4 * 1024;
/// Most bytes allocated at once for an incoming value, so that an announced length alone costs no memory.
const READ_AHEAD_MAX_BYTES: usize = 256 * 1024;
/// A larger buffer is released once it is empty.
const BUFFER_KEEP_BYTES: usize = 16 * 1024;
/// How long a connection waits for memory before it replies that there is none.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
/// Input is in memory twice while it is executed: here and in the queue to the server.
const COPIES: usize = 2;

/// Serves one application until it closes, quits, or breaks the protocol.
pub(super) async fn serve<P: Protocol, S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    service: &Arc<Service<P>>,
    share: Arc<Share>,
    noted: Arc<Noted>,
) -> io::Result<()> {
    let _counted = service.traffic.connection();
    let mut connection = Connection {
        stream,
        service,
        share,
        noted,
        protocol: P::new(service.clone()),
        input: BytesMut::new(),
        output: Output::default(),
        held: None,
        window: Window::default(),
    };
    while connection.step().await? {}
    connection.write().await?;
    connection.stream.shutdown().await
}

/// Waits until the client disconnects. Keeps a bounded amount of input meanwhile.
async fn closed<S: AsyncRead + Unpin>(stream: &mut S, input: &mut BytesMut) {
    while input.len() < READ_BYTES {
        input.reserve(1);
        if !matches!(stream.read_buf(input).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending().await
}

pub(super) struct Connection<'a, P: Protocol, S> {
    stream: S,
    pub service: &'a Service<P>,
    pub share: Arc<Share>,
    noted: Arc<Noted>,
    pub protocol: P,
    input: BytesMut,
    pub output: Output,
    /// A parsed request, or the rest of one, that waits for the batch before it.
    held: Option<Request<P>>,
    window: Window,
}

/// The next action after a batch.
enum Next<P: Protocol> {
    /// The input has no further complete request; at least this many bytes are missing.
    Read(usize),
    /// Continue at once.
    GoOn,
    Alone(P::Alone),
    Close,
}

impl<P: Protocol, S: AsyncRead + AsyncWrite + Unpin> Connection<'_, P, S> {
    /// Executes the input, or reads more. False at the end.
    async fn step(&mut self) -> io::Result<bool> {
        let mut batch = PipelineBatch::new(self.window.calls_max());
        let next = self.fill(&mut batch);
        self.carry_out(batch).await?;
        // Also before a request that runs alone: it may wait for a long time.
        self.write().await?;
        match next {
            Next::Read(bytes_min) => self.read(bytes_min).await,
            Next::GoOn => Ok(true),
            Next::Alone(request) => {
                self.note(WaitsFor::Nothing);
                if !P::waits_for_others(&request) {
                    self.protocol.alone(request, &self.share, &mut self.output).await;
                    return self.write().await.map(|()| true);
                }
                let is_closed = tokio::select! {
                    () = self.protocol.alone(request, &self.share, &mut self.output) => false,
                    () = closed(&mut self.stream, &mut self.input) => true,
                };
                if is_closed {
                    return Ok(false);
                }
                self.write().await.map(|()| true)
            }
            Next::Close => Ok(false),
        }
    }

    /// Adds requests to a batch until the next one does not fit.
    fn fill(&mut self, batch: &mut PipelineBatch<P>) -> Next<P> {
        loop {
            if batch.is_full() {
                return Next::GoOn;
            }
            let request = match self.held.take() {
                Some(request) => request,
                None => match self.protocol.parse(&mut self.input) {
                    Parsed::Request(request) => request,
                    Parsed::NeedMore { bytes_min } => return Next::Read(bytes_min),
                    Parsed::Alone(request) => return Next::Alone(request),
                    Parsed::Close => return Next::Close,
                },
            };
            self.held = batch.offer(request);
            if self.held.is_some() {
                return Next::GoOn;
            }
        }
    }

    async fn carry_out(&mut self, mut batch: PipelineBatch<P>) -> io::Result<()> {
        if batch.answers().is_empty() {
            return Ok(());
        }
        self.note(WaitsFor::Nothing);
        let calls = batch.take_calls();
        let outcomes = if calls.is_empty() {
            Vec::new()
        } else {
            let (_in_flight, began) = (self.service.traffic.batch(), Instant::now());
            let outcomes = self.execute(calls).await;
            self.service.traffic.latency.record(began.elapsed(), 1);
            outcomes
        };
        self.window.learn(&outcomes);
        let flow = match outcomes.iter().any(is_missing) {
            false => self.answer(&batch, outcomes),
            true => scarce::answer(self, &batch, outcomes).await?,
        };
        if flow == Flow::Stop {
            self.held = None;
        }
        Ok(())
    }

    /// Values are requested without a size bound only if memory is free now for their expected size.
    async fn execute(&self, mut calls: Vec<Call>) -> Vec<Outcome> {
        let (router, share) = (&self.service.router, &self.share);
        if let Some(bytes) = self.window.expected_bytes(&calls)
            && let Some(_turn) = self.service.memory.try_turn(bytes)
            && share.try_take(bytes)
        {
            calls.iter_mut().for_each(|call| call.reply_is_bounded = false);
            return router.execute_admitted(calls, Some(Taken::new(share.clone(), bytes))).await;
        }
        let admit: Arc<dyn AdmitValue> = share.clone();
        router.execute_admitted(calls, Some(admit)).await
    }

    /// Appends the replies. `Stop` if the request that continues in the next batch is answered already.
    fn answer(&mut self, batch: &PipelineBatch<P>, mut outcomes: Vec<Outcome>) -> Flow {
        let mut flow = Flow::GoOn;
        for pending in batch.answers() {
            let part = batch.part(pending, pending.places.clone(), &mut outcomes);
            let of_this = self.protocol.answer(&pending.answer, part, &mut self.output);
            if !pending.is_last {
                flow = of_this;
            }
        }
        flow
    }

    /// Reads until there may be a further complete request. False at the end of the stream.
    async fn read(&mut self, bytes_min: usize) -> io::Result<bool> {
        if self.input.is_empty() && self.input.capacity() > BUFFER_KEEP_BYTES {
            self.input = BytesMut::new();
        }
        let room = self.input.capacity() - self.input.len();
        let wanted = bytes_min.clamp(READ_BYTES / 4, READ_AHEAD_MAX_BYTES);
        if room < wanted {
            let wanted = wanted.max(READ_BYTES);
            if !self.has_room_for(self.input.len() + wanted).await {
                let flow = self.protocol.refuse_unfinished(&mut self.input, &mut self.output);
                self.share.settle(0);
                self.write().await?;
                return Ok(flow == Flow::GoOn);
            }
            self.input.reserve(wanted);
        }
        let is_begun = !self.input.is_empty() || bytes_min > 1;
        self.note(if is_begun { WaitsFor::Rest } else { WaitsFor::Request });
        let count = self.stream.read_buf(&mut self.input).await?;
        add(&self.service.traffic.counters.bytes_read, count as u64);
        Ok(count > 0)
    }

    /// Reserves memory for an input of this many bytes.
    async fn has_room_for(&self, bytes: usize) -> bool {
        if bytes <= READ_BYTES {
            return true;
        }
        self.note(WaitsFor::Nothing);
        let before = self.share.used_bytes();
        self.share.take((bytes * COPIES).saturating_sub(before), ROOM_TIMEOUT).await
    }

    /// Sends the replies and releases them.
    pub async fn write(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.note(WaitsFor::Taking);
            let count = self.output.write_to(&mut self.stream).await?;
            add(&self.service.traffic.counters.bytes_written, count as u64);
        }
        let input_bytes = self.input.capacity().max(self.input.len());
        let is_large = input_bytes > BUFFER_KEEP_BYTES;
        self.share.settle(if is_large { input_bytes * COPIES } else { 0 });
        Ok(())
    }

    fn note(&self, waiting: WaitsFor) {
        self.service.timeouts.note(&self.noted, waiting);
    }
}
