//! Tells a node's metrics to Prometheus over HTTP, on 127.0.0.1 only. One request for each connection, one path.
//!
//! *Invariant:* it serves nothing but metrics, which hold no keys or values, and can use only a little memory whatever is sent to it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::control::{ControlReply, ControlRequest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::control::Handler;

/// Requests that are served at once; others wait.
const CONNECTIONS_MAX: usize = 4;
/// A longer request head is refused.
const HEAD_MAX_BYTES: usize = 8 * 1024;
/// For a whole request and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Until a port in use is retried, and after a failed accept.
const PAUSE: Duration = Duration::from_secs(10);

/// Serves on this port for as long as it is polled; on none if it is 0. A port in use is no reason to keep a node from serving.
pub async fn serve(port: u16, handler: Arc<dyn Handler>) {
    if port == 0 {
        return std::future::pending().await;
    }
    let listener = bind(port).await;
    tracing::info!(port, "metrics on 127.0.0.1");
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                crate::task::spawn(async move {
                    // Who asked and went away, or was too slow, can ask again.
                    let _ = tokio::time::timeout(TIMEOUT, answer(stream, &*handler)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "metrics port accept failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn bind(port: u16) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return listener,
            Err(error) if !is_told => {
                tracing::warn!(port, %error, "no metrics over HTTP: cannot listen; trying again");
                is_told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    handler: &dyn Handler,
) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    let (status, body) = match wanted(&head) {
        Ok(()) => match handler.handle(ControlRequest::Metrics).await {
            ControlReply::Text(text) => ("200 OK", text),
            _ => ("500 Internal Server Error", "no metrics\n".into()),
        },
        Err(status) => (status, "GET /metrics\n".into()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// Up to the empty line, the end of the stream or the limit.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    let is_whole = |head: &[u8]| head.windows(4).any(|four| four == b"\r\n\r\n");
    while !is_whole(&head) && head.len() <= HEAD_MAX_BYTES {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

/// The status with which a request is refused.
fn wanted(head: &[u8]) -> Result<(), &'static str> {
    if head.len() > HEAD_MAX_BYTES {
        return Err("431 Request Header Fields Too Large");
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    if !version.is_some_and(|version| version.starts_with(b"HTTP/1.")) {
        return Err("400 Bad Request");
    }
    if method != Some(b"GET") {
        return Err("405 Method Not Allowed");
    }
    let path = target.unwrap_or_default().split(|byte| *byte == b'?').next();
    if path == Some(b"/metrics") { Ok(()) } else { Err("404 Not Found") }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;

    struct Said;
    impl Handler for Said {
        fn handle(&self, request: ControlRequest) -> BoxFuture<'_, ControlReply> {
            assert_eq!(request, ControlRequest::Metrics);
            Box::pin(async { ControlReply::Text("dkc_uptime_seconds 7\n".into()) })
        }
    }

    async fn check(request: &[u8], want_status: &str, want_body: &str) {
        let (mut client, server) = tokio::io::duplex(HEAD_MAX_BYTES * 4);
        client.write_all(request).await.unwrap();
        // So that a request without an end is seen as one.
        client.shutdown().await.unwrap();
        answer(server, &Said).await.unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with(&format!("HTTP/1.1 {want_status}\r\n")), "{said}");
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, want_body);
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }

    #[tokio::test]
    async fn it_answers_one_path_and_refuses_the_rest() {
        let said = "dkc_uptime_seconds 7\n";
        check(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK", said).await;
        check(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK", said).await;
        let usage = "GET /metrics\n";
        check(b"GET / HTTP/1.1\r\n\r\n", "404 Not Found", usage).await;
        check(b"POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed", usage).await;
        check(b"get k\r\n\r\n", "400 Bad Request", usage).await;
        check(b"", "400 Bad Request", usage).await;
        let endless = [b"GET /metrics HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; HEAD_MAX_BYTES]].concat();
        check(&endless, "431 Request Header Fields Too Large", usage).await;
    }
}
