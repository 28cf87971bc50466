//! The connecting side. Many requests are in flight at once, distinguished by their id; a reply goes to its
//! `Receive` on the reader's task, without a task or a timer per request. A silent peer is detected within
//! `SILENCE_MAX`, and every request in flight then fails.
//!
//! *Invariant:* every receiver is called exactly once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dkc_core::ids::GroupId;
use dkc_core::wire::{Frame, Hello, Kind, Refusal};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::NetError;
use super::connection::{self, FrameReader, HelloError, Sender};
use super::identity::Identity;
use super::stream;
use super::target::Target;
use super::tls::{Alpn, Tls, TlsError};

/// Timeout of connect, handshake and Hello together.
pub const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Requests in flight on one connection; far above the sum of the callers' bounds.
pub const PENDING_MAX: usize = 65_536;
/// Interval of checks for silence and deadlines, which is the precision of deadlines.
const TICK: Duration = Duration::from_millis(250);
/// Ticks without a frame after which a Ping is sent.
const QUIET_TICKS_BEFORE_PING: u32 = 2;
/// Ticks without a frame after which the peer counts as dead: 1.75 s.
const SILENCE_TICKS_MAX: u32 = 7;

/// The half of an id that is a slot's number.
const SLOT_MASK: u64 = 0xffff_ffff;

/// Receives the reply to one request. Runs on the task that reads the connection, so it must not block.
pub trait Receive: Send {
    fn receive(self: Box<Self>, answer: Result<Frame, NetError>);
}

impl Receive for oneshot::Sender<Result<Frame, NetError>> {
    fn receive(self: Box<Self>, answer: Result<Frame, NetError>) {
        // The caller may have timed out.
        let _ = (*self).send(answer);
    }
}

struct Waiting {
    receiver: Box<dyn Receive>,
    since: Instant,
    deadline: Instant,
}

/// Requests in flight, one slot each: the slot's number is the low half of the id, its use count the high half.
#[derive(Default)]
struct Pending {
    slots: Vec<(u32, Option<Waiting>)>,
    free: Vec<u32>,
    is_over: bool,
}

impl Pending {
    /// Allocates an id; its slot is still empty.
    fn reserve(&mut self) -> u64 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let uses = &mut self.slots[slot as usize].0;
        *uses = uses.wrapping_add(1);
        (u64::from(*uses) << 32) | u64::from(slot)
    }

    fn fill(&mut self, id: u64, waiting: Waiting) {
        self.slots[(id & SLOT_MASK) as usize].1 = Some(waiting);
    }

    fn release(&mut self, id: u64) {
        self.free.push((id & SLOT_MASK) as u32);
    }

    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let slot = (id & SLOT_MASK) as usize;
        let entry = self.slots.get_mut(slot).filter(|entry| u64::from(entry.0) == id >> 32)?;
        let waiting = entry.1.take()?;
        self.free.push(slot as u32);
        Some(waiting)
    }

    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn remove_overdue(&mut self, now: Instant) -> Vec<Waiting> {
        let is_overdue = |waiting: &Waiting| waiting.deadline <= now;
        let slots = self.slots.iter().enumerate();
        let overdue: Vec<u64> = slots
            .filter(|(_, (_, waiting))| waiting.as_ref().is_some_and(is_overdue))
            .map(|(slot, (uses, _))| (u64::from(*uses) << 32) | slot as u64)
            .collect();
        overdue.into_iter().filter_map(|id| self.remove(id)).collect()
    }
}

struct Shared {
    sender: Sender,
    pending: Mutex<Pending>,
    peer: Identity,
    hello: Hello,
    address: SocketAddr,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock()
    }
}

/// A connection to one server. Cloned freely; it ends when the last clone is dropped or either side closes.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _guard: Arc<CloseOnDrop>,
}

struct CloseOnDrop(Sender);
impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close("no longer needed");
    }
}

impl Client {
    /// Connects, authenticates the peer and exchanges Hello.
    pub async fn connect(tls: &Tls, alpn: Alpn, target: &Target, hello: &Hello) -> Result<Client, NetError> {
        let connecting = connect(tls, alpn, target, hello);
        match tokio::time::timeout(CONNECT_MAX, connecting).await {
            Ok(result) => result,
            Err(_) => Err(NetError::not_sent(format_args!(
                "no connection to {} within {} ms",
                target.address,
                CONNECT_MAX.as_millis()
            ))),
        }
    }

    /// Sends a request and passes the reply to `receiver`, also when it fails at once.
    pub fn submit<R: Receive + 'static>(
        &self,
        kind: Kind,
        group: GroupId,
        deadline: Instant,
        receiver: Box<R>,
        body: impl FnOnce(&mut BytesMut),
    ) {
        self.submit_held(kind, group, deadline, receiver, |_, out| body(out));
    }

    /// Like `submit`, for a receiver that holds the body to encode.
    pub fn submit_held<R: Receive + 'static>(
        &self,
        kind: Kind,
        group: GroupId,
        deadline: Instant,
        receiver: Box<R>,
        body: impl FnOnce(&R, &mut BytesMut),
    ) {
        let mut pending = self.shared.pending();
        if pending.is_over || pending.len() >= PENDING_MAX {
            let why =
                if pending.is_over { "the connection has ended" } else { "too many requests in flight" };
            drop(pending);
            return receiver.receive(Err(NetError::not_sent(why)));
        }
        // The lock is held until the receiver is in its slot, so that no reply can arrive before.
        let id = pending.reserve();
        match self.shared.sender.send_with(kind, id, group, |out| body(&receiver, out)) {
            Ok(()) => pending.fill(id, Waiting { receiver, since: Instant::now(), deadline }),
            Err(error) => {
                pending.release(id);
                drop(pending);
                receiver.receive(Err(error));
            }
        }
    }

    /// Sends a request and waits for its reply, for about `timeout`.
    pub async fn request(
        &self,
        kind: Kind,
        group: GroupId,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Frame, NetError> {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + timeout;
        self.submit(kind, group, deadline, Box::new(answer), |out| out.extend_from_slice(body));
        answered.await.unwrap_or_else(|_| Err(NetError::Lost("the connection has ended".into())))
    }

    /// Sends a frame without a reply.
    pub fn notify(&self, kind: Kind, group: GroupId, body: &[u8]) -> Result<(), NetError> {
        self.shared.sender.send(kind, 0, group, body)
    }

    /// Waits while too many bytes are queued. For bulk data: snapshots, large batches.
    pub async fn ready(&self) {
        self.shared.sender.ready().await;
    }

    pub fn is_open(&self) -> bool {
        self.shared.sender.closed().is_none()
    }

    /// Why the connection is closed, when it is.
    pub fn closed(&self) -> Option<Arc<str>> {
        self.shared.sender.closed()
    }

    pub fn close(&self, why: &str) {
        self.shared.sender.close(why);
    }

    pub fn peer(&self) -> Identity {
        self.shared.peer
    }

    /// The server's Hello.
    pub fn hello(&self) -> &Hello {
        &self.shared.hello
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }
}

async fn connect(tls: &Tls, alpn: Alpn, target: &Target, hello: &Hello) -> Result<Client, NetError> {
    let at = |why: String| NetError::not_sent(format_args!("{}: {why}", target.address));
    let (stream, peer, address) = stream::open(tls, alpn, target).await.map_err(at)?;
    let (mut frames, sender) = connection::open(stream);
    let greeted = exchange_hello(&mut frames, &sender, hello, peer).await;
    if let Some(wanted) = target.node.filter(|wanted| *wanted != peer.node) {
        sender.close("another node was expected");
        // Another member may have taken over the address. It may know that this node was removed, and after a long absence
        // no other node may be left to report it.
        return Err(match greeted {
            Err(NetError::Refused(Refusal::Removed)) => NetError::Refused(Refusal::Removed),
            _ => at(format!("node {} answered, expected node {wanted}", peer.node)),
        });
    }
    let theirs = greeted.map_err(|error| match error {
        NetError::Refused(refusal) => NetError::Refused(refusal),
        other => at(other.to_string()),
    })?;
    frames.allow_large_frames();
    let shared = Arc::new(Shared {
        sender: sender.clone(),
        pending: Default::default(),
        peer,
        hello: theirs,
        address,
    });
    crate::task::spawn(read_answers(frames, shared.clone()));
    Ok(Client { shared, _guard: Arc::new(CloseOnDrop(sender)) })
}

async fn exchange_hello(
    frames: &mut FrameReader,
    sender: &Sender,
    hello: &Hello,
    peer: Identity,
) -> Result<Hello, NetError> {
    sender.send(Kind::Hello, 0, GroupId::META, &hello.encode())?;
    let answer = match frames.next_frame().await {
        Ok(frame) => frame,
        Err(HelloError::Net(error)) => return Err(error),
        Err(HelloError::Frame(error)) => return Err(NetError::not_sent(error)),
    };
    match answer.kind {
        Kind::HelloAccepted => accepted(&answer.body, peer),
        Kind::Refused => {
            let refusal = Refusal::decode(&answer.body);
            Err(NetError::Refused(
                refusal.unwrap_or_else(|_| Refusal::Other("without a valid reason".into())),
            ))
        }
        other => Err(NetError::not_sent(format_args!("unexpected reply to Hello: {other:?}"))),
    }
}

fn accepted(body: &Bytes, peer: Identity) -> Result<Hello, NetError> {
    let hello = Hello::decode(body).map_err(|_| NetError::not_sent("invalid Hello"))?;
    if hello.node != peer.node || hello.cluster != peer.cluster {
        return Err(NetError::not_sent(TlsError::OtherInHello(hello.node)));
    }
    Ok(hello)
}

/// Delivers replies until the connection ends, then fails every request still in flight.
async fn read_answers(mut frames: FrameReader, shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut silence = IdleWatch::default();
    let end = loop {
        tokio::select! {
            biased;
            batch = frames.next_batch() => match batch {
                Ok(batch) => dispatch(&shared, batch),
                Err(error) => break error,
            },
            _ = tick.tick() => {
                silence.look(&shared.sender);
                expire_overdue(&shared);
            }
        }
    };
    let everybody = {
        let mut pending = shared.pending();
        pending.is_over = true;
        std::mem::take(&mut pending.slots)
    };
    for waiting in everybody.into_iter().filter_map(|(_, waiting)| waiting) {
        waiting.receiver.receive(Err(end.clone()));
    }
}

fn dispatch(shared: &Shared, batch: Vec<Frame>) {
    let answered: Vec<(Waiting, Frame)> = {
        let mut pending = shared.pending();
        batch.into_iter().filter_map(|frame| Some((pending.remove(frame.id)?, frame))).collect()
    };
    for (waiting, frame) in answered {
        waiting.receiver.receive(Ok(frame));
    }
}

fn expire_overdue(shared: &Shared) {
    let now = Instant::now();
    let overdue = shared.pending().remove_overdue(now);
    for waiting in overdue {
        let after_ms = now.duration_since(waiting.since).as_millis() as u64;
        waiting.receiver.receive(Err(NetError::NoAnswer { after_ms }));
    }
}

/// Counts ticks without a received frame.
#[derive(Default)]
struct IdleWatch {
    seen_count: u64,
    ticks: u32,
}

impl IdleWatch {
    fn look(&mut self, sender: &Sender) {
        let count = sender.received_count();
        self.ticks = if count == self.seen_count { self.ticks + 1 } else { 0 };
        self.seen_count = count;
        if self.ticks >= SILENCE_TICKS_MAX {
            let silent_ms = (TICK * SILENCE_TICKS_MAX).as_millis();
            sender.close(&format!("nothing received from the peer for {silent_ms} ms"));
        } else if self.ticks == QUIET_TICKS_BEFORE_PING {
            // A failed send is noticed at the next read.
            let _ = sender.send(Kind::Ping, 0, GroupId::META, &[]);
        }
    }
}
