//! Load on etcd over its own gRPC interface, with as many clients and as large values as `dkc bench` has, so that
//! `runtime/benches/peers` can put the two side by side:
//! `cargo bench -p dkcd --bench etcd_load -- HOST:PORT CLIENTS PIPELINE READ% VALUE_BYTES KEYS SECONDS`.
//!
//! Each client has an HTTP/2 connection of its own with PIPELINE calls under way. The two messages that it needs are
//! written by hand: field numbers are those of etcd's `rpc.proto` (PutRequest and RangeRequest, v3). Prints one line of
//! JSON with the names that `dkc bench` uses.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use tokio::net::TcpStream;

/// A call that takes longer ends the run.
const ANSWER_MAX: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Load {
    target: String,
    clients: u64,
    pipeline: u64,
    read_percent: u64,
    value_bytes: usize,
    keys: u64,
    duration: Duration,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // Cargo adds `--bench` of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [target, numbers @ ..] = &words[..] else {
        println!(
            "etcd_load: nothing to do without HOST:PORT CLIENTS PIPELINE READ% VALUE_BYTES KEYS SECONDS"
        );
        return Ok(());
    };
    let numbers: Vec<u64> = numbers.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [clients, pipeline, read_percent, value_bytes, keys, seconds] = numbers[..] else {
        return Err("six numbers are expected behind HOST:PORT".into());
    };
    let duration = Duration::from_secs(seconds);
    let value_bytes = value_bytes as usize;
    let load = Load { target: target.clone(), clients, pipeline, read_percent, value_bytes, keys, duration };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(load))
}

async fn run(load: Load) -> Result<(), Failure> {
    let begun = Instant::now();
    let clients: Vec<_> =
        (0..load.clients).map(|number| tokio::spawn(client(load.clone(), number, begun))).collect();
    let mut latencies_us = Vec::new();
    for client in clients {
        latencies_us.extend(client.await??);
    }
    latencies_us.sort_unstable();
    let seconds = begun.elapsed().as_secs_f64();
    let count = latencies_us.len();
    let percentile = |share: f64| {
        let at = (count as f64 * share) as usize;
        latencies_us.get(at.min(count.saturating_sub(1))).copied().unwrap_or(0)
    };
    println!(
        "{{\"operations\": {count}, \"seconds\": {seconds:.3}, \"operations_per_s\": {:.1}, \"p50_us\": {}, \"p99_us\": {}}}",
        count as f64 / seconds,
        percentile(0.5),
        percentile(0.99)
    );
    Ok(())
}

/// One connection; its calls begin anew as soon as they are answered.
async fn client(load: Load, number: u64, begun: Instant) -> Result<Vec<u32>, Failure> {
    let stream = TcpStream::connect(&load.target).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .handshake::<_, Bytes>(stream)
        .await?;
    let driving = tokio::spawn(connection);
    let callers: Vec<_> = (0..load.pipeline)
        .map(|caller| {
            tokio::spawn(calls(load.clone(), sender.clone(), number * load.pipeline + caller, begun))
        })
        .collect();
    let mut latencies_us = Vec::new();
    for caller in callers {
        latencies_us.extend(caller.await??);
    }
    driving.abort();
    Ok(latencies_us)
}

async fn calls(
    load: Load,
    sender: SendRequest<Bytes>,
    number: u64,
    begun: Instant,
) -> Result<Vec<u32>, Failure> {
    let value = Bytes::from(vec![b'x'; load.value_bytes]);
    let mut latencies_us = Vec::new();
    let mut state = 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(number + 1);
    while begun.elapsed() < load.duration {
        let key = format!("bench:{}", next(&mut state) % load.keys);
        let is_read = next(&mut state) % 100 < load.read_percent;
        let (method, message) = match is_read {
            true => ("Range", range_request(&key)),
            false => ("Put", put_request(&key, &value)),
        };
        let sent = Instant::now();
        tokio::time::timeout(ANSWER_MAX, call(&load.target, sender.clone(), method, message)).await??;
        latencies_us.push(sent.elapsed().as_micros() as u32);
    }
    Ok(latencies_us)
}

/// One unary gRPC call, with its answer read to the end.
async fn call(target: &str, sender: SendRequest<Bytes>, method: &str, message: Bytes) -> Result<(), Failure> {
    let request = http::Request::post(format!("http://{target}/etcdserverpb.KV/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let mut sender = sender.ready().await?;
    let (response, mut body) = sender.send_request(request, false)?;
    body.send_data(message, true)?;
    let response = response.await?;
    let in_head = status(response.headers());
    let mut answer = response.into_body();
    while let Some(chunk) = answer.data().await {
        let length = chunk?.len();
        answer.flow_control().release_capacity(length)?;
    }
    let trailers = answer.trailers().await?;
    match in_head.or_else(|| trailers.as_ref().and_then(status)).as_deref() {
        Some("0") => Ok(()),
        other => Err(format!("{method}: gRPC status {}", other.unwrap_or("missing")).into()),
    }
}

fn status(headers: &http::HeaderMap) -> Option<String> {
    Some(headers.get("grpc-status")?.to_str().ok()?.to_owned())
}

fn put_request(key: &str, value: &[u8]) -> Bytes {
    framed(|out| {
        put_field(out, 1, key.as_bytes());
        put_field(out, 2, value);
    })
}

fn range_request(key: &str) -> Bytes {
    framed(|out| put_field(out, 1, key.as_bytes()))
}

/// gRPC's frame: not compressed, four bytes of length, the message.
fn framed(message: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::from(&[0; 5][..]);
    message(&mut out);
    let length = (out.len() - 5) as u32;
    out[1..5].copy_from_slice(&length.to_be_bytes());
    out.freeze()
}

/// A field of protobuf's wire type 2: tag, length as a varint, bytes.
fn put_field(out: &mut BytesMut, number: u8, bytes: &[u8]) {
    out.put_u8(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
    out.put_slice(bytes);
}

/// xorshift64, as in `dkc bench`.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
