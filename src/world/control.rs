//! Client of one daemon's control socket: one JSON line per request and reply. How the socket of a host is reached is in
//! [`super::ssh`] and [`super::local`].

use std::sync::Arc;
use std::time::Duration;

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::ids::HostAddress;
use tokio::io::BufReader;
use tokio::net::UnixStream;

use super::WorldError;
use super::control_line::{decode, encode, exchange, no_daemon};
use super::local::LocalHost;
use super::ssh::SshHost;

pub struct ControlClient {
    host: HostAddress,
    dir: String,
    transport: Transport,
}

enum Transport {
    Stream(BufReader<UnixStream>),
    /// Through a program on the host, one run per request: where sshd forbids forwarding.
    Program(Arc<SshHost>),
}

impl ControlClient {
    /// The daemon in `dir` of a host, through a forwarded socket if sshd lets it.
    pub async fn over_ssh(host: &Arc<SshHost>, dir: &str) -> Result<Self, WorldError> {
        match host.control_stream(dir).await? {
            Some(stream) => Ok(Self::on_stream(host.address.clone(), dir, stream)),
            None => {
                let transport = Transport::Program(host.clone());
                Ok(ControlClient { host: host.address.clone(), dir: dir.into(), transport })
            }
        }
    }

    /// The daemon in `dir` of this machine.
    pub async fn local(host: &LocalHost, dir: &str) -> Result<Self, WorldError> {
        match host.control_stream(dir).await {
            Ok(stream) => Ok(Self::on_stream(host.address.clone(), dir, stream)),
            Err(error) => Err(no_daemon(&host.address, dir, &error.to_string())),
        }
    }

    fn on_stream(host: HostAddress, dir: &str, stream: UnixStream) -> Self {
        ControlClient { host, dir: dir.into(), transport: Transport::Stream(BufReader::new(stream)) }
    }

    /// Sends a request and waits for the reply. Do not reuse the client after an error.
    pub async fn ask(
        &mut self,
        request: &ControlRequest,
        limit: Duration,
    ) -> Result<ControlReply, WorldError> {
        let line = encode(request).map_err(|reason| self.failed(&reason))?;
        let answer = match &mut self.transport {
            Transport::Program(host) => host.ask_there(&self.dir, &line, limit).await?,
            Transport::Stream(stream) => {
                exchange(stream, &line, limit).await.map_err(|reason| self.failed(&reason))?
            }
        };
        decode(&answer).map_err(|reason| self.failed(&reason))
    }

    fn failed(&self, reason: &str) -> WorldError {
        no_daemon(&self.host, &self.dir, reason)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

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
        let mut client = ControlClient::on_stream("h".parse().unwrap(), "/d", near);
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
