//! A peer without a certificate that speaks HTTP/1.1: it may fetch one file, which the node names by a path that cannot be guessed.
//! A bare machine has `curl` or `openssl` and nothing of ours; this is how it gets the program.
//!
//! *Invariant:* until its path has been read, such a peer has a handshake slot like any stranger; afterwards it is one of
//! `DOWNLOADS_MAX` and ends within `DOWNLOAD_MAX`.
//! *Invariant:* nothing of it reaches a caller but a path, and no answer has more than the file.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::tls::TlsError;

/// Downloads at once; whoever comes later is told to try again.
const DOWNLOADS_MAX: usize = 4;
/// Longest download.
const DOWNLOAD_MAX: Duration = Duration::from_secs(300);
/// Longest head of a request. What `curl` sends has less than 200 bytes.
const HEAD_MAX_BYTES: usize = 2048;
/// Seconds after which a refused peer should try again.
const TRY_AGAIN_S: u32 = 2;

/// A file to send.
pub struct Download {
    pub file: File,
    pub bytes: u64,
}

/// The turns of those who download.
#[derive(Clone)]
pub(super) struct Downloads(Arc<Semaphore>);

impl Default for Downloads {
    fn default() -> Downloads {
        Downloads(Arc::new(Semaphore::new(DOWNLOADS_MAX)))
    }
}

impl Downloads {
    /// Sends what a path names, or why not.
    pub async fn serve(
        &self,
        mut stream: impl AsyncWrite + Unpin,
        download: impl Future<Output = Option<Download>>,
    ) -> std::io::Result<()> {
        let Ok(_turn) = self.0.try_acquire() else {
            let head = format!("HTTP/1.1 503 Service Unavailable\r\nRetry-After: {TRY_AGAIN_S}\r\n");
            return refuse(&mut stream, &head).await;
        };
        let sending = async {
            match download.await {
                Some(download) => send(&mut stream, download).await,
                None => refuse(&mut stream, "HTTP/1.1 404 Not Found\r\n").await,
            }
        };
        let late = |_| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the peer reads too slowly"));
        tokio::time::timeout(DOWNLOAD_MAX, sending).await.unwrap_or_else(late)
    }
}

async fn refuse(stream: &mut (impl AsyncWrite + Unpin), head: &str) -> std::io::Result<()> {
    stream.write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    stream.shutdown().await
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), download: Download) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        download.bytes
    );
    stream.write_all(head.as_bytes()).await?;
    let mut file = tokio::fs::File::from_std(download.file).take(download.bytes);
    tokio::io::copy(&mut file, stream).await?;
    stream.shutdown().await
}

/// Reads a request up to the end of its head: the path that it asks for.
pub(super) async fn read_path(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, TlsError> {
    let failed = |why: &str| TlsError::Handshake(format!("newcomer: {why}"));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_MAX_BYTES {
            return Err(failed("a request without end"));
        }
        let byte = stream.read_u8().await.map_err(|error| failed(&error.to_string()))?;
        head.push(byte);
    }
    path_of(&head).ok_or_else(|| failed("not a GET of HTTP/1.1"))
}

fn path_of(head: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let mut words = line.split(' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let is_get = method == "GET" && version.starts_with("HTTP/1.") && words.next().is_none();
    is_get.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(head: &[u8], want: Option<&str>) {
        assert_eq!(path_of(head).as_deref(), want, "{}", String::from_utf8_lossy(head));
    }

    #[test]
    fn only_a_get_has_a_path() {
        check(b"GET /dkc/1/2 HTTP/1.1\r\nHost: dkc\r\n\r\n", Some("/dkc/1/2"));
        check(b"GET /dkc HTTP/1.0\r\n\r\n", Some("/dkc"));
        check(b"POST /dkc HTTP/1.1\r\n\r\n", None);
        check(b"GET /dkc HTTP/2\r\n\r\n", None);
        check(b"GET / dkc HTTP/1.1\r\n\r\n", None);
        check(b"GET\r\n\r\n", None);
        check(b"\xff\xfe /dkc HTTP/1.1\r\n\r\n", None);
        check(b"\r\n\r\n", None);
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn a_head_without_end_is_read_up_to_its_bound() {
        let long = vec![b'x'; 3 * HEAD_MAX_BYTES];
        let mut rest = long.as_slice();
        let error = run(read_path(&mut rest)).expect_err("too long");
        assert!(error.to_string().contains("without end"), "{error}");
        assert_eq!(rest.len(), long.len() - HEAD_MAX_BYTES, "no more of it is read");
        assert!(run(read_path(&mut &b"GET / HTTP/1.1\r\n"[..])).is_err(), "cut");
    }

    async fn asked(downloads: &Downloads, file: Option<&[u8]>) -> String {
        let mut answer = Vec::new();
        let download = file.map(|content| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(content).expect("written");
            std::io::Seek::rewind(&mut file).expect("rewound");
            Download { file, bytes: content.len() as u64 }
        });
        downloads.serve(&mut answer, async { download }).await.expect("sent");
        String::from_utf8(answer).expect("text")
    }

    #[test]
    fn a_file_is_sent_whole_and_whoever_comes_when_all_turns_are_taken_is_told_to_try_again() {
        run(async {
            let downloads = Downloads::default();
            let sent = asked(&downloads, Some(b"the program")).await;
            assert!(
                sent.starts_with("HTTP/1.1 200 OK\r\n") && sent.ends_with("\r\n\r\nthe program"),
                "{sent}"
            );
            assert!(sent.contains("Content-Length: 11\r\n"), "{sent}");
            assert!(asked(&downloads, None).await.starts_with("HTTP/1.1 404 "));
            let turns = downloads.0.acquire_many(DOWNLOADS_MAX as u32).await.expect("open");
            assert!(asked(&downloads, Some(b"x")).await.starts_with("HTTP/1.1 503 "));
            drop(turns);
            assert!(asked(&downloads, Some(b"x")).await.ends_with("\r\n\r\nx"));
        });
    }
}
