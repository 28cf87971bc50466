//! The listener for applications: a port on loopback or a Unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::serve;
use super::protocol::{Protocol, Service};
use super::statistics::add;
use super::timeouts::Noted;
use crate::unix_socket;

/// The pause after `accept` failed (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub(super) struct Listener<P: Protocol> {
    socket: Socket,
    service: Arc<Service<P>>,
    connections_max: Arc<AtomicU32>,
}

impl<P: Protocol> Listener<P> {
    pub async fn open(
        listen: &str,
        service: Arc<Service<P>>,
        connections_max: Arc<AtomicU32>,
    ) -> io::Result<Listener<P>> {
        let socket = match listen.starts_with('/') {
            true => open_unix(Path::new(listen))?,
            false => Socket::Tcp(TcpListener::bind(listen).await?),
        };
        Ok(Listener { socket, service, connections_max })
    }

    /// Accepts until asked to stop; open connections last until this is dropped.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = told_to_stop(&mut stop) => break,
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok(accepted) => {
                        let noted = Arc::new(Noted::default());
                        let task = connections.spawn(self.connection(accepted, noted.clone()));
                        self.service.timeouts.watch(noted, task);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "client accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        if let Socket::Unix(_, path) = &self.socket {
            // It may have been removed already.
            let _ = std::fs::remove_file(path);
        }
        drop(self.socket);
        while connections.join_next().await.is_some() {}
    }

    /// Serves one connection, or refuses it when there are too many.
    fn connection(&self, accepted: Accepted, noted: Arc<Noted>) -> impl Future<Output = ()> + Send + use<P> {
        let (service, connections_max) = (self.service.clone(), self.connections_max.load(Ordering::Relaxed));
        async move {
            let ended = match accepted {
                Accepted::Tcp(stream) => match stream.set_nodelay(true) {
                    Ok(()) => enter(stream, &service, connections_max, noted).await,
                    Err(error) => Err(error),
                },
                Accepted::Unix(stream) => enter(stream, &service, connections_max, noted).await,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "client connection ended");
            }
        }
    }
}

/// An error means that the sender was dropped: stop.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn enter<P: Protocol, S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    service: &Arc<Service<P>>,
    connections_max: u32,
    noted: Arc<Noted>,
) -> io::Result<()> {
    let has_room = service.traffic.connections() < connections_max;
    let Some(share) = service.memory.connection().filter(|_| has_room) else {
        add(&service.traffic.counters.rejected_connections, 1);
        stream.write_all(P::TOO_MANY_CONNECTIONS).await?;
        return stream.shutdown().await;
    };
    serve(stream, service, share, noted).await
}

impl Socket {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Socket::Tcp(listener) => Ok(Accepted::Tcp(listener.accept().await?.0)),
            Socket::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

/// Open to every user of the host, like a port on loopback; the directory's mode restricts it.
const SOCKET_MODE: u32 = 0o666;

fn open_unix(path: &Path) -> io::Result<Socket> {
    Ok(Socket::Unix(unix_socket::bind(path, SOCKET_MODE)?, path.to_owned()))
}
