//! One connection of an application: everything that one read brought is parsed, sent on its way together, and
//! answered in order with one write. One task for each connection, none for a command.

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use dkc_core::ids::Namespace;
use dkc_core::kv::{Command, Read, Reply};
use dkc_core::memcache::{
    Action, ERROR, Parsed, Parser, Request, write_end, write_reply, write_stat, write_version,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::statistics::Statistics;
use super::wave::{Offered, Wave, answer_error, flush};
use crate::router::{RouteError, Router};

/// What `version` says.
pub(super) const VERSION: &str = concat!("dkcd ", env!("CARGO_PKG_VERSION"));
/// Room for one read of small requests; an idle connection keeps no more.
const READ_BYTES: usize = 4 * 1024;
/// Most that is set aside at once for a value on its way, so that its length alone costs no memory.
const READ_AHEAD_MAX_BYTES: usize = 256 * 1024;
/// Buffers that grew beyond this are given back once they are empty.
const BUFFER_KEEP_BYTES: usize = 64 * 1024;

/// How long `stats` waits for the cluster.
const COUNT_MAX: Duration = Duration::from_secs(1);

/// What the connections of one pair share.
#[derive(Clone)]
pub(crate) struct Service {
    pub router: Router,
    pub namespace: Namespace,
    pub value_max_bytes: usize,
    pub statistics: Arc<Statistics>,
    /// From which `uptime` counts.
    pub started: Instant,
}

/// Serves one application until it closes, says `quit`, or breaks the protocol beyond repair.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, service: &Service) -> io::Result<()> {
    let _counted = service.statistics.connection();
    let parser = Parser::new(service.namespace.clone(), service.value_max_bytes);
    let mut connection =
        Connection { stream, service, parser, input: BytesMut::new(), output: BytesMut::new(), held: None };
    while connection.step().await? {}
    connection.write().await?;
    connection.stream.shutdown().await
}

struct Connection<'a, S> {
    stream: S,
    service: &'a Service,
    parser: Parser,
    input: BytesMut,
    output: BytesMut,
    /// A request that was parsed and has to wait for the wave before it.
    held: Option<Request>,
}

/// Why a wave takes no more requests.
enum Full {
    /// The buffer holds no further whole request; so many bytes are missing at least.
    NeedMore(usize),
    /// There is more to do after this wave.
    NotYet,
    /// This one is next, by itself.
    Alone(Request),
    Close,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// Carries out what is in the buffer, or reads more. False at the end.
    async fn step(&mut self) -> io::Result<bool> {
        let mut wave = Wave::new(self.service.value_max_bytes);
        let full = self.gather(&mut wave);
        if !wave.is_empty() {
            self.carry_out(wave).await;
        }
        if let Full::Alone(request) = full {
            self.alone(request).await;
            return self.write().await.map(|()| true);
        }
        self.write().await?;
        match full {
            Full::NeedMore(bytes_min) => self.read(bytes_min).await,
            Full::Close => Ok(false),
            _ => Ok(true),
        }
    }

    fn gather(&mut self, wave: &mut Wave) -> Full {
        loop {
            if wave.is_full() {
                return Full::NotYet;
            }
            let request = match self.held.take() {
                Some(request) => request,
                None => match self.parser.next(&mut self.input) {
                    Parsed::Request(request) => request,
                    Parsed::Answer(text) => {
                        wave.text(text);
                        continue;
                    }
                    Parsed::NeedMore { bytes_min } => return Full::NeedMore(bytes_min),
                    Parsed::Close => return Full::Close,
                },
            };
            match wave.offer(request) {
                Offered::Taken => {}
                Offered::NotNow(request) => {
                    self.held = Some(request);
                    return Full::NotYet;
                }
                Offered::Alone(request) => return Full::Alone(request),
            }
        }
    }

    async fn carry_out(&mut self, mut wave: Wave) {
        let statistics = &*self.service.statistics;
        let calls = wave.take_calls();
        let outcomes = if calls.is_empty() {
            Vec::new()
        } else {
            let _under_way = statistics.wave();
            self.service.router.execute_all(calls).await
        };
        if !wave.answer(outcomes, statistics, &mut self.output) {
            self.held = None;
        }
    }

    async fn alone(&mut self, request: Request) {
        let before = self.output.len();
        match request.action {
            Action::Version => write_version(&mut self.output, VERSION),
            Action::FlushAll { after_ms } => self.flush_all(after_ms).await,
            Action::Stats { word } => self.stats(&word).await,
            // Everything else goes in waves.
            _ => self.output.extend_from_slice(ERROR),
        }
        if request.noreply {
            self.output.truncate(before);
        }
    }

    async fn flush_all(&mut self, after_ms: u64) {
        let service = self.service;
        let _under_way = service.statistics.wave();
        service.statistics.cmd_flush.fetch_add(1, Ordering::Relaxed);
        let outcomes = service.router.execute_everywhere(flush(&service.namespace, after_ms)).await;
        match outcomes
            .and_then(|outcomes| outcomes.into_iter().find(Result::is_err).unwrap_or(Ok(Reply::Done)))
        {
            Ok(_) => write_reply(&mut self.output, &Reply::Done),
            Err(error) => answer_error(&partly_done(error), &service.statistics, &mut self.output),
        }
    }

    async fn stats(&mut self, word: &Bytes) {
        let statistics = &*self.service.statistics;
        match &word[..] {
            b"" => self.general_stats().await,
            b"reset" => {
                statistics.reset();
                return self.output.extend_from_slice(b"RESET\r\n");
            }
            b"settings" => {
                write_stat(&mut self.output, "item_size_max", &self.service.value_max_bytes);
                write_stat(&mut self.output, "cas_enabled", &"yes");
                write_stat(&mut self.output, "flush_enabled", &"yes");
            }
            // What they are about is not here: data lies on the servers.
            b"items" | b"slabs" | b"sizes" | b"conns" => {}
            _ => return self.output.extend_from_slice(ERROR),
        }
        write_end(&mut self.output);
    }

    async fn general_stats(&mut self) {
        write_facts(self.service, &mut self.output);
        // A cluster that cannot be asked just now must not keep anybody from the rest.
        if let Some((records, bytes)) = count(self.service).await {
            write_stat(&mut self.output, "curr_items", &records);
            write_stat(&mut self.output, "bytes", &bytes);
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
        self.service.statistics.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count > 0)
    }

    async fn write(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.stream.write_all(&self.output).await?;
        self.service.statistics.bytes_written.fetch_add(self.output.len() as u64, Ordering::Relaxed);
        if self.output.capacity() > BUFFER_KEEP_BYTES {
            self.output = BytesMut::new();
        }
        self.output.clear();
        Ok(())
    }
}

/// The statistics of this process.
fn write_facts(service: &Service, out: &mut BytesMut) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let facts: [(&str, &dyn Display); 6] = [
        ("pid", &std::process::id()),
        ("uptime", &service.started.elapsed().as_secs()),
        ("time", &now),
        ("version", &VERSION),
        ("pointer_size", &usize::BITS),
        ("threads", &std::thread::available_parallelism().map_or(1, usize::from)),
    ];
    service.statistics.write(out, &facts);
}

/// Some tablets may be flushed when one failed, so that a definite error would not be the truth.
fn partly_done(error: RouteError) -> RouteError {
    match error {
        RouteError::Unreachable { after_ms, why } => RouteError::Unknown { after_ms, why },
        RouteError::Refused(why) => RouteError::Unknown { after_ms: 0, why },
        unknown => unknown,
    }
}

/// Live records and bytes of the namespace, over all tablets.
async fn count(service: &Service) -> Option<(u64, u64)> {
    let command = Command::Read(Read::Count { namespace: service.namespace.clone() });
    let counting = service.router.execute_everywhere(command);
    let outcomes = tokio::time::timeout(COUNT_MAX, counting).await.ok()?.ok()?;
    outcomes.into_iter().try_fold((0, 0), |(all_records, all_bytes), outcome| match outcome {
        Ok(Reply::Count { records, bytes }) => Some((all_records + records, all_bytes + bytes)),
        _ => None,
    })
}
