//! A stream between two simulated hosts, in the place of TCP and TLS: bytes arrive late and in order, or wait while
//! the way is cut. A peer's identity is what its process claims, checked as a certificate would be.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use dkc_core::ids::NodeAddress;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use super::identity::{Identity, NodeRole, Peer};
use super::target::Target;
use super::tls::{Alpn, Caller, Tls, TlsError};
use crate::simulation::network::Found;
use crate::simulation::process::Process;
use crate::simulation::world;

/// Bytes of one direction that the systems of both sides buffer.
const PIPE_MAX_BYTES: usize = 256 * 1024;
/// How often a connection attempt polls whether the link is open.
const LOOK: Duration = Duration::from_millis(100);

/// One direction.
struct Pipe {
    from: Arc<Process>,
    to: Arc<Process>,
    state: Mutex<PipeState>,
}

#[derive(Default)]
struct PipeState {
    /// Chunks in flight and when they arrive; an empty one is the end.
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The reading side is gone.
    is_unread: bool,
}

impl Pipe {
    fn new(from: &Arc<Process>, to: &Arc<Process>) -> Arc<Pipe> {
        Arc::new(Pipe { from: from.clone(), to: to.clone(), state: Mutex::default() })
    }

    fn push(&self, chunk: Bytes) {
        let due = Instant::now() + world().network().delay(&self.from.host, &self.to.host);
        let mut state = self.state.lock();
        let due = state.chunks.back().map_or(due, |(last, _)| due.max(*last));
        state.bytes += chunk.len();
        state.chunks.push_back((due, chunk));
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    fn is_cut(&self) -> bool {
        world().network().is_cut(&self.from.host, &self.to.host)
    }

    /// The receiving host answers with a reset: it does not know this connection.
    fn is_reset(&self) -> bool {
        let is_gone = match self.to.is_alive() {
            true => self.state.lock().is_unread,
            false if self.to.is_without_power() => {
                world().network().process(&self.to.host).is_some_and(|newest| newest.is_alive())
            }
            false => true,
        };
        is_gone && !self.is_cut()
    }
}

/// A stream after the handshake.
pub(crate) struct Stream {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    until_due: Option<Pin<Box<Sleep>>>,
}

fn pair(one: &Arc<Process>, other: &Arc<Process>) -> (Stream, Stream) {
    let (there, back) = (Pipe::new(one, other), Pipe::new(other, one));
    let ours = Stream { incoming: back.clone(), outgoing: there.clone(), until_due: None };
    (ours, Stream { incoming: there, outgoing: back, until_due: None })
}

fn reset() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset by the peer")
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            if self.incoming.is_cut() {
                world().network().wait(context.waker());
                return Poll::Pending;
            }
            let due = {
                let mut state = self.incoming.state.lock();
                match state.chunks.front().map(|(due, _)| *due) {
                    None => {
                        state.reader = Some(context.waker().clone());
                        return Poll::Pending;
                    }
                    Some(due) if due <= Instant::now() => {
                        take(&mut state, buffer);
                        return Poll::Ready(Ok(()));
                    }
                    Some(due) => due,
                }
            };
            match &mut self.until_due {
                Some(sleep) if sleep.deadline() == due => {}
                Some(sleep) => sleep.as_mut().reset(due),
                none => *none = Some(Box::pin(tokio::time::sleep_until(due))),
            }
            let sleep = self.until_due.as_mut().expect("it was set a moment ago");
            ready!(sleep.as_mut().poll(context));
        }
    }
}

/// Moves as much of the first chunk as fits. The end remains, to be read again.
fn take(state: &mut PipeState, buffer: &mut ReadBuf<'_>) {
    let Some((_, chunk)) = state.chunks.front_mut() else { return };
    let count = chunk.len().min(buffer.remaining());
    if count == 0 {
        return;
    }
    buffer.put_slice(&chunk[..count]);
    chunk.advance(count);
    if chunk.is_empty() {
        state.chunks.pop_front();
    }
    state.bytes -= count;
    if let Some(writer) = state.writer.take() {
        writer.wake();
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.outgoing.is_reset() {
            return Poll::Ready(Err(reset()));
        }
        {
            let mut state = self.outgoing.state.lock();
            if state.bytes >= PIPE_MAX_BYTES {
                state.writer = Some(context.waker().clone());
                world().network().wait(context.waker());
                return Poll::Pending;
            }
        }
        if !bytes.is_empty() {
            self.outgoing.push(Bytes::copy_from_slice(bytes));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.outgoing.push(Bytes::new());
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A host without power sends nothing; after a kill the system closes the process's connections.
        if self.outgoing.from.is_without_power() {
            return;
        }
        self.outgoing.push(Bytes::new());
        let mut state = self.incoming.state.lock();
        state.is_unread = true;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}

/// An incoming stream, with its opener's claimed identity.
pub(crate) struct Incoming {
    stream: Stream,
    opener: Identity,
    alpn: Alpn,
    answer: oneshot::Sender<Identity>,
}

fn current() -> Arc<Process> {
    Process::current().expect("only processes of a world speak to each other")
}

/// Every host has one address; any well-formed one will do.
fn address_of(address: &NodeAddress) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, address.port).into()
}

pub(super) async fn open(
    tls: &Tls,
    alpn: Alpn,
    target: &Target,
) -> Result<(Stream, Identity, SocketAddr), String> {
    let (process, host) = (current(), target.address.host.as_str());
    let world = world();
    let network = world.network();
    tokio::time::sleep(network.delay(&process.host, host)).await;
    let acceptor = loop {
        let is_cut = network.is_cut(&process.host, host) || network.is_cut(host, &process.host);
        match network.find(host) {
            Found::Listening(acceptor) if !is_cut => break acceptor,
            Found::Refused if !is_cut => return Err("connection refused".into()),
            // The caller's time limit ends this.
            _ => tokio::time::sleep(LOOK).await,
        }
    };
    let listening = network.process(host).ok_or("connection refused")?;
    let (ours, theirs) = pair(&process, &listening);
    let (answer, answered) = oneshot::channel();
    let incoming = Incoming { stream: theirs, opener: tls.identity(), alpn, answer };
    let acceptor = acceptor.downcast_ref::<mpsc::UnboundedSender<Incoming>>().ok_or("connection refused")?;
    acceptor.send(incoming).map_err(|_| "connection refused")?;
    let peer = answered.await.map_err(|_| "the peer closed the connection")?;
    tokio::time::sleep(network.delay(host, &process.host)).await;
    let peer = tls.check_identity(peer, alpn, NodeRole::Server).map_err(|error| error.to_string())?;
    Ok((ours, peer, address_of(&target.address)))
}

/// What listens at an address.
pub(super) struct Socket {
    incoming: tokio::sync::Mutex<mpsc::UnboundedReceiver<Incoming>>,
    address: SocketAddr,
}

impl Socket {
    pub async fn bind(address: &NodeAddress) -> std::io::Result<Socket> {
        let (acceptor, incoming) = mpsc::unbounded_channel::<Incoming>();
        world().network().listen(address.host.as_str(), current(), Arc::new(acceptor));
        Ok(Socket { incoming: tokio::sync::Mutex::new(incoming), address: address_of(address) })
    }

    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }

    pub async fn accept(&self) -> std::io::Result<(Incoming, SocketAddr)> {
        let incoming = self.incoming.lock().await.recv().await;
        incoming.map(|incoming| (incoming, self.address)).ok_or_else(reset)
    }
}

pub(super) async fn resolve(address: &NodeAddress) -> Vec<IpAddr> {
    vec![address_of(address).ip()]
}

pub(super) async fn shake_hands(
    tls: &Tls,
    incoming: Incoming,
) -> Result<(Stream, Result<Caller, TlsError>), TlsError> {
    let Incoming { stream, opener, alpn, answer } = incoming;
    // The connecting side may have given up.
    let _ = answer.send(tls.identity());
    let checked = tls
        .check_identity(opener, alpn, alpn.role())
        .map(|identity| Caller::Node(Peer::unproved(identity), alpn));
    Ok((stream, checked))
}
