//! The side that accepts. Before a stranger has shown a certificate and said Hello it can hold one of a bounded
//! number of places for a bounded time, and cannot make the node set aside more than a small frame.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dkc_core::ids::{GroupId, NodeAddress};
use dkc_core::wire::{BadFrame, Hello, Kind, Refusal, WIRE_VERSION};
use tokio::sync::Semaphore;

use super::connection::{self, Connection, FrameReader, HelloError, Sender};
use super::stream::{self, Incoming, Socket};
use super::tls::{Alpn, Identity, Tls, TlsError};
use super::{NetError, refusal_words};

/// TLS handshake and Hello together.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Handshakes under way at once; more are closed unheard.
const HANDSHAKES_MAX: usize = 256;
/// A connection on which nothing came for this long is closed: clients send a Ping when they are idle.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// The pause after `accept` failed (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Decides on a peer whose certificate is good and whose Hello agrees with it.
pub trait Admit: Send + Sync + 'static {
    /// Our own Hello to answer with, or why not.
    fn admit(&self, peer: &Identity, alpn: Alpn, hello: &Hello) -> Result<Hello, Refusal>;
}

pub struct Listener {
    socket: Socket,
    tls: Arc<Tls>,
    connections_max: Arc<AtomicU32>,
    connections: Arc<AtomicU32>,
}

impl Listener {
    pub async fn bind(
        address: &NodeAddress,
        tls: Arc<Tls>,
        connections_max: u32,
    ) -> std::io::Result<Listener> {
        let socket = Socket::bind(address).await?;
        let connections_max = Arc::new(AtomicU32::new(connections_max));
        Ok(Listener { socket, tls, connections_max, connections: Arc::default() })
    }

    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_address()
    }

    /// Connections that stand at the moment; stays valid while the listener serves.
    pub fn connections(&self) -> Arc<AtomicU32> {
        self.connections.clone()
    }

    /// Most connections at once; another number counts for those that come after it was set.
    pub fn connections_max(&self) -> Arc<AtomicU32> {
        self.connections_max.clone()
    }

    /// Accepts until dropped. `serve` gets each admitted connection, in a task of its own; the connection ends
    /// when its future does.
    pub async fn run<A, S, F>(self, admit: Arc<A>, serve: S)
    where
        A: Admit,
        S: Fn(Connection) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let (stream, address) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = handshakes.clone().try_acquire_owned() else { continue };
            let handshake = Handshake {
                tls: self.tls.clone(),
                connections: self.connections.clone(),
                connections_max: self.connections_max.load(Ordering::Relaxed),
            };
            let (admit, serve) = (admit.clone(), serve.clone());
            crate::task::spawn(async move {
                let outcome =
                    tokio::time::timeout(HANDSHAKE_MAX, handshake.run(stream, address, &*admit)).await;
                drop(permit);
                match outcome.unwrap_or_else(|_| Err(TlsError::Slow(HANDSHAKE_MAX.as_millis() as u64))) {
                    Ok((connection, _counted)) => serve_until_idle(connection, serve).await,
                    Err(error) => tracing::info!(%address, %error, "connection refused"),
                }
            });
        }
    }
}

/// Serves, and closes the connection once nothing has come for `IDLE_MAX`.
async fn serve_until_idle<S, F>(connection: Connection, serve: S)
where
    S: Fn(Connection) -> F,
    F: Future<Output = ()>,
{
    let sender = connection.sender.clone();
    let serving = serve(connection);
    tokio::pin!(serving);
    let mut seen_count = sender.received_count();
    loop {
        tokio::select! {
            biased;
            () = &mut serving => break,
            () = tokio::time::sleep(IDLE_MAX) => {
                let count = sender.received_count();
                if count == seen_count {
                    sender.close("nothing came for too long");
                }
                seen_count = count;
            }
        }
    }
    sender.close("closed by this side");
}

/// A place among the counted connections, given back when dropped.
struct Counted(Arc<AtomicU32>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Handshake {
    tls: Arc<Tls>,
    connections: Arc<AtomicU32>,
    connections_max: u32,
}

impl Handshake {
    async fn run(
        &self,
        stream: Incoming,
        address: SocketAddr,
        admit: &impl Admit,
    ) -> Result<(Connection, Counted), TlsError> {
        let (stream, checked) = stream::shake_hands(&self.tls, stream).await?;
        let (mut frames, sender) = connection::open(stream);
        let (peer, alpn) = checked.inspect_err(|error| refuse(&sender, refusal_of(error)))?;
        let counted = self.hello(&mut frames, &sender, peer, alpn, admit).await?;
        frames.allow_large_frames();
        Ok((Connection { peer, alpn, address, frames, sender }, counted))
    }

    async fn hello(
        &self,
        frames: &mut FrameReader,
        sender: &Sender,
        peer: Identity,
        alpn: Alpn,
        admit: &impl Admit,
    ) -> Result<Counted, TlsError> {
        let refused = |refusal: Refusal| {
            let words = refusal_words(&refusal);
            refuse(sender, refusal);
            TlsError::Handshake(format!("{peer}: {words}"))
        };
        let hello = read_hello(frames).await.map_err(refused)?;
        if hello.cluster != peer.cluster || hello.node != peer.node {
            return Err(refused(Refusal::Other("Hello names another node than the certificate".into())));
        }
        let counted = Counted(self.connections.clone());
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.connections_max {
            return Err(refused(Refusal::Full { connections_max: self.connections_max }));
        }
        let ours = admit.admit(&peer, alpn, &hello).map_err(refused)?;
        let sent = sender.send(Kind::HelloAccepted, 0, GroupId::META, &ours.encode());
        sent.map_err(|error: NetError| TlsError::Handshake(error.to_string()))?;
        Ok(counted)
    }
}

async fn read_hello(frames: &mut FrameReader) -> Result<Hello, Refusal> {
    let frame = match frames.next_frame().await {
        Ok(frame) => frame,
        Err(HelloError::Frame(BadFrame::Version { .. })) => {
            return Err(Refusal::WireVersion { ours: WIRE_VERSION });
        }
        Err(error) => return Err(Refusal::Other(error.to_string())),
    };
    if frame.kind != Kind::Hello {
        return Err(Refusal::Other(format!("the first frame was {:?}, not Hello", frame.kind)));
    }
    Hello::decode(&frame.body).map_err(|_| Refusal::Other("its Hello cannot be read".into()))
}

fn refusal_of(error: &TlsError) -> Refusal {
    match error {
        TlsError::ForeignCluster { .. } => Refusal::ForeignCluster,
        other => Refusal::Other(other.to_string()),
    }
}

fn refuse(sender: &Sender, refusal: Refusal) {
    // The other side may be gone already.
    let _ = sender.send(Kind::Refused, 0, GroupId::META, &refusal.encode());
    sender.close("refused");
}
