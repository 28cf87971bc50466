//! The control socket of a node, for both roles: a Unix socket that only the node's user may open. A line that
//! begins with `{` is a structured request and is answered with one JSON line; any other line is a CHMPX word and
//! is answered with text, after which the connection is closed, so that `nc -U` ends by itself.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dkc_core::control::{CONTROL_LINE_MAX_BYTES, ControlReply, ControlRequest};
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::unix_socket;

/// Concurrent connections: operators and the shell need a handful; bounds the memory that callers can use.
const CONNECTIONS_MAX: usize = 32;
/// Idle timeout of a connection.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// Pause after a failed accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers control requests. Implemented by the server role and by the slave role.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: ControlRequest) -> BoxFuture<'_, ControlReply>;
}

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{0}: another process answers on this control socket; is the node already running?")]
    InUse(PathBuf),
    #[error("{path}: cannot open the control socket: {source}")]
    Open { path: PathBuf, source: io::Error },
}

/// A directory that gives what is made in it to its own group (setgid), which may look into it and not write.
const OPEN_TO_GROUP: u32 = 0o2750;
const MODE_BITS: u32 = 0o7777;

/// Opens the socket. A stale socket file is removed only if no process answers on it. It is the own user's alone, unless the
/// directory was made for a group: then that group may ask as well.
pub fn open(path: &Path) -> Result<UnixListener, ControlError> {
    let fail = |source| ControlError::Open { path: path.to_owned(), source };
    let mut mode = 0o600;
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        let present = fs::metadata(folder).map_err(fail)?.permissions().mode();
        if present & MODE_BITS == OPEN_TO_GROUP {
            mode = 0o660;
        } else {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(fail)?;
        }
    }
    unix_socket::bind(path, mode).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ControlError::InUse(path.to_owned()),
        _ => fail(error),
    })
}

/// Accepts and answers until the task is dropped.
pub async fn serve(listener: UnixListener, handler: Arc<dyn Handler>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve_connection(stream, &*handler).await {
                        tracing::debug!(%error, "control connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection: lines in, answers out, in order.
async fn serve_connection(stream: UnixStream, handler: &dyn Handler) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read);
    loop {
        let line = match tokio::time::timeout(IDLE_MAX, read_line(&mut reader)).await {
            Ok(line) => line?,
            Err(_) => return Ok(()),
        };
        let Some(line) = line else { return Ok(()) };
        if line.trim().is_empty() {
            continue;
        }
        if !line.trim_start().starts_with('{') {
            let text = answer_word(&line, handler).await;
            write.write_all(text.as_bytes()).await?;
            return write.shutdown().await;
        }
        let mut json = answer_json(&line, handler).await;
        json.push(b'\n');
        write.write_all(&json).await?;
    }
}

/// The next line without its end, or `None` at the end of the stream.
async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let count = reader.take(CONTROL_LINE_MAX_BYTES as u64 + 1).read_until(b'\n', &mut line).await?;
    if count == 0 {
        return Ok(None);
    }
    if line.len() > CONTROL_LINE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line longer than the protocol allows"));
    }
    let line = String::from_utf8(line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
}

async fn answer_word(line: &str, handler: &dyn Handler) -> String {
    let mut text = match handler.handle(ControlRequest::Word { line: line.trim().to_owned() }).await {
        ControlReply::Text(text) => text,
        ControlReply::Error { message, .. } => message,
        other => format!("ERROR: unexpected reply: {other:?}"),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

async fn answer_json(line: &str, handler: &dyn Handler) -> Vec<u8> {
    let reply = match serde_json::from_str(line) {
        Ok(request) => handler.handle(request).await,
        Err(e) => refusal(format!("invalid request: {e}")),
    };
    serde_json::to_vec(&reply)
        .unwrap_or_else(|e| format!("{{\"error\":{{\"message\":\"{e}\"}}}}").into_bytes())
}

/// A refusal that changed nothing.
pub fn refusal(message: impl Into<String>) -> ControlReply {
    ControlReply::Error { message: message.into(), is_outcome_unknown: false }
}

/// The reply to a request to reload certificates.
pub fn reloaded(outcome: Result<bool, crate::net::TlsError>) -> ControlReply {
    match outcome {
        Ok(_) => ControlReply::Ok,
        Err(error) => refusal(format!("certificates not reloaded, keeping the ones in use: {error}")),
    }
}

/// Sends one line to the control socket at `path` and returns the whole reply.
pub fn ask(path: &Path, line: &str, timeout: Duration) -> io::Result<String> {
    use std::io::{BufRead, Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    if line.trim_start().starts_with('{') {
        std::io::BufReader::new(stream).read_line(&mut answer)?;
    } else {
        stream.read_to_string(&mut answer)?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;
    impl Handler for Echo {
        fn handle(&self, request: ControlRequest) -> BoxFuture<'_, ControlReply> {
            Box::pin(async move {
                match request {
                    ControlRequest::Word { line } => ControlReply::Text(format!("said {line}")),
                    _ => ControlReply::Ok,
                }
            })
        }
    }

    async fn check(line: &str, want: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/control.sock");
        let server = tokio::spawn(serve(open(&path).expect("the socket opens"), Arc::new(Echo)));
        let asked = line.to_owned();
        let answer = tokio::task::spawn_blocking(move || ask(&path, &asked, Duration::from_secs(10))).await;
        let answer = answer.expect("no panic").expect("an answer");
        assert!(answer.starts_with(want) && answer.ends_with('\n'), "{answer}");
        server.abort();
    }

    #[tokio::test]
    async fn words_get_text_and_requests_get_one_line_of_json() {
        check("VERSION", "said VERSION\n").await;
        check(r#"{"do":"prepare_stop"}"#, "\"ok\"\n").await;
        check(r#"{"do":"dance"}"#, r#"{"error":{"message":"invalid request: unknown variant `dance`"#).await;
    }

    #[tokio::test]
    async fn a_left_over_socket_is_removed_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        drop(open(&path).expect("opens the first time"));
        assert!(path.exists(), "dropping a listener leaves the file");
        let living = open(&path).expect("the left-over is replaced");
        assert!(matches!(open(&path), Err(ControlError::InUse(_))));
        assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o600);
        drop(living);
    }

    #[tokio::test]
    async fn a_socket_is_open_to_a_group_only_where_its_directory_was_made_for_one() {
        for (mode, want) in [(0o700, 0o600), (0o750, 0o600), (0o2770, 0o600), (0o2750, 0o660)] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("is mine");
            let path = folder.path().join("control.sock");
            let _listener = open(&path).expect("opens");
            let mode_of =
                |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & MODE_BITS;
            assert_eq!(mode_of(&path), want, "{mode:o}");
            assert_eq!(mode_of(folder.path()), if want == 0o660 { OPEN_TO_GROUP } else { 0o700 }, "{mode:o}");
        }
    }
}
