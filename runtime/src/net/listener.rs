//! The accepting side. Until a peer has presented a certificate and its Hello, it holds one of a bounded number of
//! handshake slots for a bounded time (`handshakes`), and cannot make the node allocate more than a small frame.
//! Afterwards it is limited by identity and source address (`places`).

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use dkc_core::ids::{GroupId, NodeAddress};
use dkc_core::wire::{BadFrame, Enrol, EnrolAnswer, Hello, Kind, Refusal, WIRE_VERSION};
use futures::future::BoxFuture;

use super::connection::{self, Connection, FrameReader, HelloError, Sender};
use super::download::{self, Download, Downloads};
use super::handshakes::{Handshakes, MemberSources};
use super::identity::{NodeRole, Peer};
use super::places::{ConnectedSlaves, ConnectionPlace, Places};
use super::stream::{self, Incoming, Socket, Stream};
use super::tls::{Alpn, Caller, Tls, TlsError};
use super::{NetError, newcomer, refusal_words};

/// Timeout of TLS handshake and Hello together.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Idle timeout of a connection: idle clients send pings.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// The pause after `accept` failed (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Admits or refuses a peer whose certificate is valid and whose Hello agrees with it.
pub trait Admit: Send + Sync + 'static {
    /// Our own Hello as the reply, or the refusal.
    fn admit(&self, peer: &Peer, alpn: Alpn, hello: &Hello) -> Result<Hello, Refusal>;

    /// Answers a peer that has no certificate yet.
    fn enrol(&self, _: Enrol) -> BoxFuture<'_, EnrolAnswer> {
        Box::pin(async { EnrolAnswer::Refused("this node enrols nobody".into()) })
    }

    /// The file that a path names, for a peer that has no program yet.
    fn download(&self, _path: String) -> BoxFuture<'_, Option<Download>> {
        Box::pin(async { None })
    }
}

pub struct Listener {
    socket: Socket,
    tls: Arc<Tls>,
    places: Places,
    members: MemberSources,
}

impl Listener {
    pub async fn bind(
        address: &NodeAddress,
        tls: Arc<Tls>,
        connections_max: u32,
    ) -> std::io::Result<Listener> {
        let socket = Socket::bind(address).await?;
        Ok(Listener { socket, tls, places: Places::new(connections_max), members: MemberSources::default() })
    }

    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_address()
    }

    /// Open connections; stays valid while the listener serves.
    pub fn connections(&self) -> Arc<AtomicU32> {
        self.places.count()
    }

    /// Slaves with a connection; stays valid while the listener serves.
    pub fn connected_slaves(&self) -> ConnectedSlaves {
        ConnectedSlaves(self.places.clone())
    }

    /// Source addresses of members, to be updated from the ring map; stays valid while the listener serves.
    pub fn members(&self) -> MemberSources {
        self.members.clone()
    }

    /// Limit of concurrent connections; a change applies to new ones.
    pub fn connections_max(&self) -> Arc<AtomicU32> {
        self.places.connections_max()
    }

    /// Accepts until dropped. `serve` gets each admitted connection, in a task of its own; the connection ends
    /// when its future does.
    pub async fn run<A, S, F>(self, admit: Arc<A>, serve: S)
    where
        A: Admit,
        S: Fn(Connection) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (handshakes, downloads) = (Handshakes::default(), Downloads::default());
        loop {
            let (stream, address) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let mut place = handshakes.begin(address.ip(), self.members.contains(address.ip()));
            let (tls, places, members) = (self.tls.clone(), self.places.clone(), self.members.clone());
            let handshake = Handshake { tls, places, members };
            let (admit, serve, downloads) = (admit.clone(), serve.clone(), downloads.clone());
            crate::task::spawn(async move {
                let outcome = tokio::select! {
                    biased;
                    outcome = tokio::time::timeout(HANDSHAKE_MAX, handshake.run(stream, address, &*admit)) => outcome,
                    // Not logged: there can be thousands.
                    () = place.lost() => return,
                };
                drop(place);
                match outcome.unwrap_or_else(|_| Err(TlsError::Slow(HANDSHAKE_MAX.as_millis() as u64))) {
                    Ok(Shaken::Node(connection, _counted_until_it_ends)) => {
                        serve_until_idle(connection, serve).await
                    }
                    Ok(Shaken::Downloader(stream, path)) => {
                        if let Err(error) = downloads.serve(stream, admit.download(path)).await {
                            tracing::info!(%address, %error, "download ended early");
                        }
                    }
                    Ok(Shaken::Done) => {}
                    Err(error) => tracing::info!(%address, %error, "connection refused"),
                }
            });
        }
    }
}

/// Serves, and closes the connection once nothing has arrived for `IDLE_MAX`.
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
                    sender.close("idle for too long");
                }
                seen_count = count;
            }
        }
    }
    sender.close("closed by this side");
}

/// How a handshake ended.
#[expect(clippy::large_enum_variant, reason = "there is one for each handshake, and it is moved once")]
enum Shaken {
    Node(Connection, ConnectionPlace),
    /// Asks for a path.
    Downloader(Stream, String),
    /// All was said in the handshake's time.
    Done,
}

struct Handshake {
    tls: Arc<Tls>,
    places: Places,
    members: MemberSources,
}

impl Handshake {
    async fn run(
        &self,
        stream: Incoming,
        address: SocketAddr,
        admit: &impl Admit,
    ) -> Result<Shaken, TlsError> {
        let (mut stream, checked) = stream::shake_hands(&self.tls, stream).await?;
        if let Ok(Caller::Downloader) = checked {
            let path = download::read_path(&mut stream).await?;
            return Ok(Shaken::Downloader(stream, path));
        }
        let (mut frames, sender) = connection::open(stream);
        let caller = checked.inspect_err(|error| refuse(&sender, refusal_of(error)))?;
        let Caller::Node(peer, alpn) = caller else {
            newcomer::serve(&self.tls, &mut frames, &sender, |request| admit.enrol(request)).await?;
            return Ok(Shaken::Done);
        };
        if peer.identity.role == NodeRole::Server {
            self.members.learn(address.ip());
        }
        let place = self.hello(&mut frames, &sender, (&peer, alpn, address), admit).await?;
        frames.allow_large_frames();
        Ok(Shaken::Node(Connection { peer, alpn, address, frames, sender }, place))
    }

    async fn hello(
        &self,
        frames: &mut FrameReader,
        sender: &Sender,
        (peer, alpn, address): (&Peer, Alpn, SocketAddr),
        admit: &impl Admit,
    ) -> Result<ConnectionPlace, TlsError> {
        let refused = |refusal: Refusal| {
            let words = refusal_words(&refusal);
            refuse(sender, refusal);
            TlsError::Handshake(format!("{peer}: {words}"))
        };
        let hello = read_hello(frames).await.map_err(refused)?;
        let identity = peer.identity;
        if hello.cluster != identity.cluster || hello.node != identity.node {
            return Err(refused(Refusal::Other("Hello names another node than the certificate".into())));
        }
        let place = self.places.take(identity, alpn, address.ip(), sender).map_err(refused)?;
        let ours = admit.admit(peer, alpn, &hello).map_err(refused)?;
        let sent = sender.send(Kind::HelloAccepted, 0, GroupId::META, &ours.encode());
        sent.map_err(|error: NetError| TlsError::Handshake(error.to_string()))?;
        Ok(place)
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
        return Err(Refusal::Other(format!("expected Hello, received {:?}", frame.kind)));
    }
    Hello::decode(&frame.body).map_err(|_| Refusal::Other("invalid Hello".into()))
}

fn refusal_of(error: &TlsError) -> Refusal {
    match error {
        TlsError::ForeignCluster { .. } => Refusal::ForeignCluster,
        other => Refusal::Other(other.to_string()),
    }
}

fn refuse(sender: &Sender, refusal: Refusal) {
    // The peer may be gone already.
    let _ = sender.send(Kind::Refused, 0, GroupId::META, &refusal.encode());
    sender.close("refused");
}
