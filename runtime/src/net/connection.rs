//! One connection that carries frames both ways. Frames queued during a write go out together in the next one;
//! frames received in one read are delivered as one batch. Pings are answered here and never reach a
//! caller.
//!
//! *Invariant:* frames leave in the order of `send`, and arrive in that order.
//! *Invariant:* the receiver of a large frame sends keep-alives while it arrives, so that a slow link is not taken for a dead peer.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use dkc_core::ids::GroupId;
use dkc_core::wire::{
    BadFrame, FRAME_MAX_BYTES, FRAME_MAX_BYTES_BEFORE_HELLO, Frame, FrameDecoder, Kind, encode_with,
};
use futures::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::NetError;
use super::identity::Peer;
use super::stream::Stream;
use super::tls::{Alpn, explain};

/// Above this many queued bytes `ready` waits: enough to keep a link busy, little enough to hold for each of
/// thousands of connections.
pub const QUEUE_SOFT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Above this many queued bytes `send` refuses. Two of the largest frames fit.
pub const QUEUE_MAX_BYTES: usize = 2 * FRAME_MAX_BYTES;
/// Above this many queued bytes there is no room for large replies. The rest up to `QUEUE_MAX_BYTES` is reserved for small ones,
/// which belong to other requests than those that filled the queue.
const QUEUE_LARGE_MAX_BYTES: usize = QUEUE_MAX_BYTES / 2;
/// Allocated when the read buffer is used up; frames share it without copying.
const READ_BYTES: usize = 64 * 1024;
/// Minimum space for one read.
const READ_MIN_BYTES: usize = 8 * 1024;
/// Interval of keep-alives while a large frame arrives: well below the silence limit.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_millis(500);
/// Largest buffer reused for the next write.
const SPARE_MAX_BYTES: usize = 1024 * 1024;

/// A connection whose peer is authenticated and has sent its Hello.
pub struct Connection {
    pub peer: Peer,
    pub alpn: Alpn,
    pub address: SocketAddr,
    pub frames: FrameReader,
    pub sender: Sender,
}

struct Queue {
    buffer: BytesMut,
    /// Bytes that the writer has taken and not written yet.
    writing_bytes: usize,
    /// Why the connection is closed; set once.
    closed: Option<Arc<str>>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the writer.
    work: Notify,
    /// Wakes senders that wait for room.
    room: Notify,
    /// Held by a sender of more than one batch of replies; one at a time.
    bulk: Arc<tokio::sync::Mutex<()>>,
    /// Wakes the reader when this side closes the connection.
    reader: AtomicWaker,
    received_count: AtomicU64,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    fn close(&self, why: &str) {
        let mut queue = self.queue();
        if queue.closed.is_none() {
            queue.closed = Some(why.into());
        }
        drop(queue);
        self.work.notify_one();
        self.room.notify_waiters();
        self.reader.wake();
    }
}

/// The sending side. Cloned freely; the connection lasts until `close` or until the peer closes it.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Queues one frame, its body written by `body` straight into the outgoing buffer. Never waits.
    pub fn send_with(
        &self,
        kind: Kind,
        id: u64,
        group: GroupId,
        body: impl FnOnce(&mut BytesMut),
    ) -> Result<(), NetError> {
        let mut queue = self.shared.queue();
        if let Some(why) = &queue.closed {
            return Err(NetError::NotSent(why.clone()));
        }
        if queue.buffer.len() + queue.writing_bytes > QUEUE_MAX_BYTES {
            return Err(NetError::not_sent("send queue is full: the peer does not read"));
        }
        let was_empty = queue.buffer.is_empty();
        append(&mut queue.buffer, kind, id, group, body)?;
        drop(queue);
        if was_empty {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// Queues one frame.
    pub fn send(&self, kind: Kind, id: u64, group: GroupId, body: &[u8]) -> Result<(), NetError> {
        self.send_with(kind, id, group, |out| out.extend_from_slice(body))
    }

    /// Waits until there is room in the queue (or the connection is closed). A server calls this before it takes
    /// the next batch of requests, so that a peer that does not read its answers is not served further.
    pub async fn ready(&self) {
        loop {
            let room = self.shared.room.notified();
            {
                let queue = self.shared.queue();
                if queue.closed.is_some() || queue.buffer.len() + queue.writing_bytes <= QUEUE_SOFT_MAX_BYTES
                {
                    return;
                }
            }
            room.await;
        }
    }

    /// Waits for its turn among bulk senders, and for room in the queue.
    pub async fn turn_of_bulk(&self) -> TurnOfBulk {
        let turn = self.shared.bulk.clone().lock_owned().await;
        self.ready().await;
        TurnOfBulk { _turn: turn }
    }

    /// False while the queue only has room for small frames.
    pub fn has_room_for_large(&self) -> bool {
        let queue = self.shared.queue();
        queue.buffer.len() + queue.writing_bytes <= QUEUE_LARGE_MAX_BYTES
    }

    /// What is queued is still written, then both directions end.
    pub fn close(&self, why: &str) {
        self.shared.close(why);
    }

    /// Why the connection is closed, when it is.
    pub fn closed(&self) -> Option<Arc<str>> {
        self.shared.queue().closed.clone()
    }

    /// Non-empty reads so far, to detect a silent peer.
    pub fn received_count(&self) -> u64 {
        self.shared.received_count.load(Ordering::Relaxed)
    }
}

/// Other bulk senders wait until it is dropped.
pub struct TurnOfBulk {
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

/// Appends one frame, or nothing if it exceeds the peer's limit.
fn append(
    out: &mut BytesMut,
    kind: Kind,
    id: u64,
    group: GroupId,
    body: impl FnOnce(&mut BytesMut),
) -> Result<(), NetError> {
    let start = out.len();
    encode_with(kind, id, group, out, body);
    let bytes = out.len() - start;
    if bytes > FRAME_MAX_BYTES {
        out.truncate(start);
        return Err(NetError::not_sent(BadFrame::TooLong { length: bytes, max: FRAME_MAX_BYTES }));
    }
    Ok(())
}

/// The receiving side.
pub struct FrameReader {
    read: ReadHalf<Stream>,
    buffer: BytesMut,
    decoder: FrameDecoder,
    sender: Sender,
    /// When the last keep-alive was sent for a large frame.
    told_at: Instant,
}

impl Drop for FrameReader {
    fn drop(&mut self) {
        self.sender.close("closed by this side");
    }
}

impl FrameReader {
    /// All frames that one read completed, at least one. An error is the end of the connection; it says why.
    /// May be dropped while waiting without losing anything.
    pub async fn next_batch(&mut self) -> Result<Vec<Frame>, NetError> {
        loop {
            let frames = self.decode().map_err(|error| self.end(error.to_string()))?;
            if !frames.is_empty() {
                return Ok(frames);
            }
            self.tell_of_large_frame();
            self.read_more().await?;
        }
    }

    /// The peer's own pings wait behind the frame that it sends.
    fn tell_of_large_frame(&mut self) {
        if self.buffer.is_empty() {
            self.told_at = Instant::now();
        } else if self.told_at.elapsed() >= SIGN_OF_LIFE_INTERVAL {
            self.told_at = Instant::now();
            // A failed send shows at the next read.
            let _ = self.sender.send(Kind::Pong, 0, GroupId::META, &[]);
        }
    }

    /// Exactly one frame, for the exchange of Hello; further ones stay in the buffer.
    pub(crate) async fn next_frame(&mut self) -> Result<Frame, HelloError> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer)? {
                return Ok(frame);
            }
            self.read_more().await?;
        }
    }

    /// After Hello: accepts large frames from now on.
    pub(crate) fn allow_large_frames(&mut self) {
        self.decoder.set_max(FRAME_MAX_BYTES);
    }

    fn decode(&mut self) -> Result<Vec<Frame>, BadFrame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.decoder.decode(&mut self.buffer)? {
            match frame.kind {
                // A failed send shows at the next read.
                Kind::Ping => drop(self.sender.send(Kind::Pong, frame.id, frame.group, &[])),
                Kind::Pong => {}
                _ => frames.push(frame),
            }
        }
        Ok(frames)
    }

    async fn read_more(&mut self) -> Result<(), NetError> {
        // The decoder has reserved space for the rest of a large frame.
        if self.buffer.capacity() - self.buffer.len() < READ_MIN_BYTES {
            self.buffer.reserve(READ_BYTES);
        }
        match poll_fn(|context| self.poll_read(context)).await {
            Ok(0) => Err(self.end("the peer closed the connection".into())),
            Ok(_) => {
                self.sender.shared.received_count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(self.end(explain(&error))),
        }
    }

    fn poll_read(&mut self, context: &mut std::task::Context<'_>) -> Poll<std::io::Result<usize>> {
        self.sender.shared.reader.register(context.waker());
        if let Some(why) = self.sender.closed() {
            return Poll::Ready(Err(std::io::Error::other(why.to_string())));
        }
        // This future holds no state between polls, so recreating it each time loses nothing.
        pin!(self.read.read_buf(&mut self.buffer)).poll(context)
    }

    fn end(&self, why: String) -> NetError {
        self.sender.close(&why);
        NetError::Lost(self.sender.closed().unwrap_or_else(|| why.into()))
    }
}

/// Errors before Hello is accepted. A version mismatch is one of its own, because it is answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error(transparent)]
    Frame(#[from] BadFrame),
    #[error(transparent)]
    Net(#[from] NetError),
}

/// Starts the writer of a stream whose handshake is done.
pub(crate) fn open(stream: Stream) -> (FrameReader, Sender) {
    let (read, write) = tokio::io::split(stream);
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue { buffer: BytesMut::new(), writing_bytes: 0, closed: None }),
        work: Notify::new(),
        room: Notify::new(),
        bulk: Arc::default(),
        reader: AtomicWaker::new(),
        received_count: AtomicU64::new(0),
    });
    crate::task::spawn(write_all_queued(write, shared.clone()));
    let sender = Sender { shared };
    let decoder = FrameDecoder::new(FRAME_MAX_BYTES_BEFORE_HELLO);
    let told_at = Instant::now();
    (FrameReader { read, buffer: BytesMut::new(), decoder, sender: sender.clone(), told_at }, sender)
}

async fn write_all_queued(mut write: WriteHalf<Stream>, shared: Arc<Shared>) {
    let mut taken = BytesMut::new();
    loop {
        shared.work.notified().await;
        // Other ready tasks get to queue their frames too, so that they share one write.
        tokio::task::yield_now().await;
        let is_closed = take_queued(&shared, &mut taken);
        if let Err(error) = write_taken(&mut write, &taken).await {
            shared.close(&explain(&error));
            return;
        }
        shared.queue().writing_bytes = 0;
        shared.room.notify_waiters();
        if is_closed {
            // The peer may be gone already.
            let _ = write.shutdown().await;
            return;
        }
    }
}

/// Takes everything queued; true if the connection is closed and nothing remains.
fn take_queued(shared: &Shared, taken: &mut BytesMut) -> bool {
    if taken.capacity() > SPARE_MAX_BYTES {
        *taken = BytesMut::new();
    }
    taken.clear();
    let mut queue = shared.queue();
    std::mem::swap(&mut queue.buffer, taken);
    queue.writing_bytes = taken.len();
    queue.closed.is_some()
}

async fn write_taken(write: &mut WriteHalf<Stream>, taken: &BytesMut) -> std::io::Result<()> {
    if taken.is_empty() {
        return Ok(());
    }
    write.write_all(taken).await?;
    write.flush().await
}
