//! Client of one daemon's control socket: one JSON line per request and reply. Absent: how to reach the socket; see
//! [`super::ssh`] and [`super::local`].

use std::time::Duration;

use dkc_core::control::{CONTROL_LINE_MAX_BYTES, ControlReply, ControlRequest};
use dkc_core::ids::HostAddress;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::WorldError;
use super::ssh::SshHost;

/// For hosts whose sshd does not forward sockets: runs `dkcd ctl` there. The request goes through standard input to keep
/// values out of the process list.
pub const ASK_THERE: &str = r#"exec "$1/dkcd" ctl --dir "$1" -"#;

pub struct ControlClient {
    host: HostAddress,
    dir: String,
    transport: Transport,
}

enum Transport {
    Stream(BufReader<UnixStream>),
    /// Through a program on the host, one run per request.
    Program(Arc<SshHost>),
}

pub fn no_daemon(host: &HostAddress, dir: &str, reason: &str) -> WorldError {
    WorldError::NoDaemon { host: host.clone(), dir: dir.into(), reason: reason.into() }
}

impl ControlClient {
    pub fn new(host: HostAddress, dir: &str, stream: UnixStream) -> Self {
        ControlClient { host, dir: dir.into(), transport: Transport::Stream(BufReader::new(stream)) }
    }

    pub fn there(host: Arc<SshHost>, dir: &str) -> Self {
        ControlClient { host: host.address.clone(), dir: dir.into(), transport: Transport::Program(host) }
    }

    /// Sends a request and waits for the reply. Do not reuse the client after an error.
    pub async fn ask(
        &mut self,
        request: &ControlRequest,
        limit: Duration,
    ) -> Result<ControlReply, WorldError> {
        let mut line = serde_json::to_string(request).map_err(|error| self.failed(&error.to_string()))?;
        line.push('\n');
        let answer = match &mut self.transport {
            Transport::Program(host) => host.ask_there(&self.dir, &line, limit).await?,
            Transport::Stream(stream) => match tokio::time::timeout(limit, exchange(stream, &line)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return Err(self.failed(&why_not(&error))),
                Err(_) => return Err(self.failed(&format!("no reply within {} s", limit.as_secs()))),
            },
        };
        if answer.is_empty() {
            return Err(self.failed("connection closed"));
        }
        serde_json::from_str(&answer).map_err(|error| self.failed(&format!("invalid reply: {error}")))
    }

    fn failed(&self, reason: &str) -> WorldError {
        no_daemon(&self.host, &self.dir, reason)
    }
}

/// A forwarded socket always opens; if nothing listens at its far end, writing fails.
fn why_not(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    match error.kind() {
        BrokenPipe | ConnectionReset => "nothing listens on its control socket".to_owned(),
        _ => error.to_string(),
    }
}

async fn exchange(stream: &mut BufReader<UnixStream>, line: &str) -> std::io::Result<String> {
    stream.get_mut().write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(CONTROL_LINE_MAX_BYTES as u64).read_line(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(answer: &'static str) -> Result<ControlReply, String> {
        let (near, far) = UnixStream::pair().unwrap();
        let daemon = tokio::spawn(async move {
            let mut far = BufReader::new(far);
            let mut line = String::new();
            far.read_line(&mut line).await.unwrap();
            far.get_mut().write_all(answer.as_bytes()).await.unwrap();
            line
        });
        let mut client = ControlClient::new("h".parse().unwrap(), "/d", near);
        let reply = client.ask(&ControlRequest::Found, Duration::from_secs(5)).await;
        assert_eq!(daemon.await.unwrap(), "{\"do\":\"found\"}\n");
        reply.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn one_line_is_asked_and_one_line_answered() {
        assert_eq!(check("\"ok\"\n").await, Ok(ControlReply::Ok));
        let error = check("{]\n").await.unwrap_err();
        assert!(error.starts_with("the daemon in /d on h does not answer: invalid reply"), "{error}");
        assert_eq!(check("").await.unwrap_err(), "the daemon in /d on h does not answer: connection closed");
    }
}
