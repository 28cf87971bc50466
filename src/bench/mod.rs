//! The load generator behind `dkc bench`: many connections, each with a fixed number of requests in flight, over the
//! memcached text protocol or RESP, so that one loader measures this system and its peers alike.

pub mod elsewhere;
mod histogram;
mod protocol;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use elsewhere::Ran;
pub use histogram::Histogram;
pub use protocol::Protocol;
use protocol::{Seen, next_answer, write_get, write_set};

/// Most connections of one run.
pub const CLIENTS_MAX: u32 = 4096;
/// Most requests in flight on one connection.
pub const PIPELINE_MAX: u32 = 1024;
/// Most keys in one read.
pub const KEYS_PER_READ_MAX: u32 = 1000;
/// Timeout per reply, after which the loader closes the connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// `HOST:PORT`.
    pub target: String,
    pub protocol: Protocol,
    pub clients: u32,
    pub pipeline: u32,
    pub value_bytes: usize,
    /// Keys are `bench:0` to `bench:<keys - 1>`.
    pub keys: u64,
    /// Share of reads, 0 to 100.
    pub read_percent: u32,
    /// Keys in one read; each counts as one operation.
    pub keys_per_read: u32,
    /// Write every key once, in order, instead of random keys for a time.
    pub is_fill: bool,
    pub duration: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    pub operations: u64,
    pub errors: u64,
    pub misses: u64,
    pub seconds: f64,
    pub operations_per_s: f64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p99_9_us: u64,
    pub max_us: u64,
    /// The longest time in which no request of the whole run was answered: the outage an application sees during a failover.
    pub longest_silence_ms: u64,
}

#[derive(Default)]
struct Tally {
    latencies: Histogram,
    errors: u64,
    misses: u64,
    first_error: Option<String>,
}

/// Time of the latest reply to any client and the longest gap so far, in µs since the start.
#[derive(Default)]
struct Silence {
    last_us: AtomicU64,
    longest_us: AtomicU64,
}

impl Silence {
    fn answered(&self, now_us: u64) {
        let before = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        self.longest_us.fetch_max(now_us.saturating_sub(before), Ordering::Relaxed);
    }
}

/// Runs the load and returns its figures, with the first error if there were any.
pub async fn run(load: &Load) -> std::io::Result<Ran> {
    // One connection first: a wrong address is an error, not a run of errors.
    TcpStream::connect(&load.target).await?;
    let begun = Instant::now();
    let silence = Arc::new(Silence::default());
    let clients: Vec<_> =
        (0..load.clients).map(|n| tokio::spawn(client(load.clone(), n, begun, silence.clone()))).collect();
    let mut sum = Tally::default();
    for client in clients {
        let tally = client.await.map_err(std::io::Error::other)?;
        sum.latencies.merge(&tally.latencies);
        sum.errors += tally.errors;
        sum.misses += tally.misses;
        sum.first_error = sum.first_error.or(tally.first_error);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let operations = sum.latencies.total();
    let figures = Figures {
        operations,
        errors: sum.errors,
        misses: sum.misses,
        seconds,
        operations_per_s: operations as f64 / seconds,
        p50_us: sum.latencies.percentile_us(0.5),
        p99_us: sum.latencies.percentile_us(0.99),
        p99_9_us: sum.latencies.percentile_us(0.999),
        max_us: sum.latencies.max_us(),
        longest_silence_ms: silence.longest_us.load(Ordering::Relaxed) / 1000,
    };
    Ok(Ran { figures, first_error: sum.first_error })
}

async fn client(load: Load, number: u32, begun: Instant, silence: Arc<Silence>) -> Tally {
    let mut tally = Tally::default();
    let mut keys = Keys::new(&load, number);
    while keys.are_left(begun) {
        if let Err(error) = connection(&load, begun, &mut keys, &mut tally, &silence).await {
            tally.errors += 1;
            tally.first_error.get_or_insert_with(|| error.to_string());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tally
}

async fn connection(
    load: &Load,
    begun: Instant,
    keys: &mut Keys,
    tally: &mut Tally,
    silence: &Silence,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(&load.target).await?;
    stream.set_nodelay(true)?;
    let value = vec![b'x'; load.value_bytes];
    let (mut out, mut input) = (Vec::new(), Vec::with_capacity(64 * 1024));
    while keys.are_left(begun) {
        out.clear();
        let mut open = 0;
        while open < load.pipeline && keys.are_left(begun) {
            keys.write_request(load, &mut out, &value);
            open += 1;
        }
        let sent = Instant::now();
        stream.write_all(&out).await?;
        while open > 0 {
            let read = tokio::time::timeout(ANSWER_LIMIT, stream.read_buf(&mut input)).await;
            if read.map_err(|_| std::io::Error::other("no reply within 30 s"))?? == 0 {
                return Err(std::io::Error::other("the connection was closed"));
            }
            let answered = take_answers(load, &mut input, &mut open, tally);
            if answered > 0 {
                tally.latencies.add(sent.elapsed().as_micros() as u64, answered);
                silence.answered(begun.elapsed().as_micros() as u64);
            }
        }
    }
    Ok(())
}

/// The keys of one client: random ones for a time, or each of its share once (fill).
struct Keys {
    /// A small generator is enough: keys need to be spread, not unpredictable.
    random: u64,
    fill: Option<std::iter::StepBy<std::ops::Range<u64>>>,
    next_fill: Option<u64>,
    keys: u64,
    duration: Duration,
}

impl Keys {
    fn new(load: &Load, client: u32) -> Keys {
        let mut fill =
            load.is_fill.then(|| (u64::from(client)..load.keys).step_by(load.clients.max(1) as usize));
        Keys {
            random: 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(u64::from(client) + 1),
            next_fill: fill.as_mut().and_then(Iterator::next),
            fill,
            keys: load.keys,
            duration: load.duration,
        }
    }

    fn are_left(&self, begun: Instant) -> bool {
        match self.fill {
            Some(_) => self.next_fill.is_some(),
            None => begun.elapsed() < self.duration,
        }
    }

    fn write_request(&mut self, load: &Load, out: &mut Vec<u8>, value: &[u8]) {
        if let (Some(fill), Some(key)) = (&mut self.fill, self.next_fill) {
            self.next_fill = fill.next();
            return write_set(load.protocol, out, &format!("bench:{key}"), value);
        }
        if next(&mut self.random) % 100 < u64::from(load.read_percent) {
            let keys: Vec<String> = (0..load.keys_per_read).map(|_| self.draw()).collect();
            write_get(load.protocol, out, &keys);
        } else {
            let key = self.draw();
            write_set(load.protocol, out, &key, value);
        }
    }

    fn draw(&mut self) -> String {
        format!("bench:{}", next(&mut self.random) % self.keys)
    }
}

/// Removes all complete replies from the input; returns the number of keys that they answered, hits and misses.
fn take_answers(load: &Load, input: &mut Vec<u8>, open: &mut u32, tally: &mut Tally) -> u64 {
    let (mut used, mut answered) = (0, 0);
    while let Some(answer) = next_answer(load.protocol, &input[used..]) {
        let asked = if answer.is_read { u64::from(load.keys_per_read) } else { 1 };
        match answer.seen {
            Seen::Error => {
                tally.errors += 1;
                let text = String::from_utf8_lossy(&input[used..used + answer.length]).trim().to_owned();
                tally.first_error.get_or_insert(text);
            }
            Seen::Answered => {
                tally.misses += if answer.is_read { asked.saturating_sub(answer.values) } else { 0 };
                answered += asked;
            }
        }
        used += answer.length;
        *open = open.saturating_sub(1);
    }
    input.drain(..used);
    answered
}

/// xorshift64.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
