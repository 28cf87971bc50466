//! One request and one reply on a daemon's control socket, one line of JSON each. Errors do not name the daemon; the caller
//! adds it.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
use std::time::Duration;

use dkc_core::control::{CONTROL_LINE_MAX_BYTES, ControlReply, ControlRequest};
use dkc_core::ids::HostAddress;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::WorldError;

pub fn no_daemon(host: &HostAddress, dir: &str, reason: &str) -> WorldError {
    WorldError::NoDaemon { host: host.clone(), dir: dir.into(), reason: reason.into() }
}

pub fn encode(request: &ControlRequest) -> Result<String, String> {
    serde_json::to_string(request).map(|line| line + "\n").map_err(|error| error.to_string())
}

pub fn decode(line: &str) -> Result<ControlReply, String> {
    if line.is_empty() {
        return Err("connection closed".into());
    }
    serde_json::from_str(line).map_err(|error| format!("invalid reply: {error}"))
}

/// Sends a line and waits for the reply.
pub async fn exchange(
    stream: &mut BufReader<UnixStream>,
    line: &str,
    limit: Duration,
) -> Result<String, String> {
    match tokio::time::timeout(limit, send_and_read(stream, line)).await {
        Ok(answer) => answer.map_err(|error| why_not(&error)),
        Err(_) => Err(format!("no reply within {} s", limit.as_secs())),
    }
}

async fn send_and_read(stream: &mut BufReader<UnixStream>, line: &str) -> std::io::Result<String> {
    stream.get_mut().write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(CONTROL_LINE_MAX_BYTES as u64).read_line(&mut answer).await?;
    Ok(answer)
}

/// A forwarded socket always opens; if nothing listens at its far end, writing fails.
fn why_not(error: &std::io::Error) -> String {
    match error.kind() {
        BrokenPipe | ConnectionReset => "nothing listens on its control socket".to_owned(),
        _ => error.to_string(),
    }
}
