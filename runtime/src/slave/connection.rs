//! One connection of an application: everything that one read brought is parsed, sent on its way together, and
//! answered in order with one write. One task for each connection, none for a command.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::batch::PipelineBatch;
use super::output::Output;
use super::protocol::{Flow, Parsed, Protocol, Request, Service};
use super::statistics::add;

/// Room for one read of small requests; an idle connection keeps no more.
const READ_BYTES: usize = 4 * 1024;
/// Most that is set aside at once for a value on its way, so that its length alone costs no memory.
const READ_AHEAD_MAX_BYTES: usize = 256 * 1024;
/// A buffer that grew beyond this is given back once it is empty.
const BUFFER_KEEP_BYTES: usize = 64 * 1024;

/// Serves one application until it closes, takes its leave, or breaks the protocol beyond repair.
pub(super) async fn serve<P: Protocol, S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    service: &Arc<Service<P>>,
) -> io::Result<()> {
    let _counted = service.traffic.connection();
    let mut connection = Connection {
        stream,
        service,
        protocol: P::new(service.clone()),
        input: BytesMut::new(),
        output: Output::default(),
        held: None,
    };
    while connection.step().await? {}
    connection.write().await?;
    connection.stream.shutdown().await
}

struct Connection<'a, P: Protocol, S> {
    stream: S,
    service: &'a Service<P>,
    protocol: P,
    input: BytesMut,
    output: Output,
    /// A request that was parsed and has to wait for the batch before it, or what is left of one.
    held: Option<Request<P>>,
}

/// What is to be done after a batch.
enum Next<P: Protocol> {
    /// The input holds no further whole request; so many bytes are missing at least.
    Read(usize),
    /// There is more to do at once.
    GoOn,
    Alone(P::Alone),
    Close,
}

impl<P: Protocol, S: AsyncRead + AsyncWrite + Unpin> Connection<'_, P, S> {
    /// Carries out what is in the input, or reads more. False at the end.
    async fn step(&mut self) -> io::Result<bool> {
        let mut batch = PipelineBatch::new(self.service.value_max_bytes);
        let next = self.fill(&mut batch);
        self.carry_out(batch).await;
        if let Next::Alone(request) = next {
            self.protocol.alone(request, &mut self.output).await;
            return self.write().await.map(|()| true);
        }
        self.write().await?;
        match next {
            Next::Read(bytes_min) => self.read(bytes_min).await,
            Next::Close => Ok(false),
            Next::GoOn | Next::Alone(_) => Ok(true),
        }
    }

    /// Puts requests into a batch until something keeps the next one out.
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

    async fn carry_out(&mut self, mut batch: PipelineBatch<P>) {
        let calls = batch.take_calls();
        let outcomes = if calls.is_empty() {
            Vec::new()
        } else {
            let _under_way = self.service.traffic.batch();
            self.service.router.execute_all(calls).await
        };
        if batch.answer(outcomes, &mut self.protocol, &mut self.output) == Flow::Stop {
            self.held = None;
        }
    }

    /// Reads until there may be a further whole request. False at the end of the stream.
    async fn read(&mut self, bytes_min: usize) -> io::Result<bool> {
        if self.input.is_empty() && self.input.capacity() > BUFFER_KEEP_BYTES {
            self.input = BytesMut::new();
        }
        let room = self.input.capacity() - self.input.len();
        let wanted = bytes_min.clamp(READ_BYTES / 4, READ_AHEAD_MAX_BYTES);
        if room < wanted {
            self.input.reserve(wanted.max(READ_BYTES));
        }
        let count = self.stream.read_buf(&mut self.input).await?;
        add(&self.service.traffic.counters.bytes_read, count as u64);
        Ok(count > 0)
    }

    async fn write(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let count = self.output.write_to(&mut self.stream).await?;
        add(&self.service.traffic.counters.bytes_written, count as u64);
        Ok(())
    }
}
