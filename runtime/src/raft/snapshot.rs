//! Streaming snapshots: the sender streams the rows of one applied state in chunks, a few of them in flight; the receiver
//! ingests each chunk under a new incarnation, which becomes the state once complete. Neither side holds more than a few chunks
//! in memory, and applying continues meanwhile.
//!
//! ```text
//! each request   u8 step | 0 head: vote, log id, membership (`codec`) | 1 chunk: rows | 2 end: u64 chunks
//! rows           u32 length of row | row | u32 length of value | value …
//! each answer    u8 0 = go on | u8 1, vote = installed (or refused by a higher vote) | u8 2, text = failed
//! ```
//!
//! *Invariant (D6):* a snapshot is installed whole or not at all; a broken stream leaves the old state.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dkc_core::ids::{GroupId, NodeId};
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::SlotId;
use dkc_core::tablet::rows::KIND_SESSION;
use dkc_core::wire::Kind;
use openraft::errors::{ErrorSource, NetworkError, StreamingError};
use openraft::raft::SnapshotResponse;
use openraft::type_config::alias::SnapshotOf;

use super::codec;
use super::snapshot_sends::{SnapshotSend, SnapshotSends};
use super::types::{Types, Vote};
use crate::net::{Client, NetError};
use crate::storage::{Install, StorageError, TabletSnapshot};

/// Bytes of one chunk, unless a single row is larger.
const CHUNK_BYTES: usize = if cfg!(feature = "simulation") { 1024 } else { 1024 * 1024 };
/// Chunks in flight: hides the round trip, bounds the memory of both sides.
const CHUNKS_IN_FLIGHT: usize = 4;
/// Timeout of a chunk, which waits for the receiver's disk.
const CHUNK_MAX: Duration = Duration::from_secs(30);
/// Timeout of installing, which waits for a whole tablet to be written and synced.
const INSTALL_MAX: Duration = Duration::from_secs(600);

pub(super) mod step {
    pub const HEAD: u8 = 0;
    pub const CHUNK: u8 = 1;
    pub const END: u8 = 2;
}
pub(super) mod answer {
    pub const GO_ON: u8 = 0;
    pub const VOTE: u8 = 1;
    pub const FAILED: u8 = 2;
}

/// openraft's snapshot type.
pub struct SnapshotData(Data);

enum Data {
    /// Only names a point in the log.
    None,
    /// With the approximate size of its rows, and its slots if others may lie beside them.
    Outgoing {
        state: TabletSnapshot,
        bytes: u64,
        slots: Option<RangeInclusive<SlotId>>,
    },
    Incoming(Box<Install>),
}

impl SnapshotData {
    pub fn none() -> SnapshotData {
        SnapshotData(Data::None)
    }
    pub fn outgoing(
        state: TabletSnapshot,
        bytes: u64,
        slots: Option<RangeInclusive<SlotId>>,
    ) -> SnapshotData {
        SnapshotData(Data::Outgoing { state, bytes, slots })
    }

    /// A received snapshot that is not installed yet.
    pub fn incoming(install: Box<Install>) -> SnapshotData {
        SnapshotData(Data::Incoming(install))
    }

    /// Installs a received snapshot as the state of its group. Blocks until that is durable.
    pub fn install(self, applied: Bytes, membership: Bytes) -> Result<(), StorageError> {
        let Data::Incoming(install) = self.0 else { panic!("only a received snapshot can be installed") };
        install.finish(applied, Some(membership))
    }
}

/// The next chunk after the row `after` as a request's body, and the next position. `None` without further rows.
fn chunk_after(
    state: &TabletSnapshot,
    after: Option<&[u8]>,
    slots: Option<RangeInclusive<SlotId>>,
) -> Result<Option<(Bytes, Option<Bytes>)>, StorageError> {
    let mut chunk = state.chunk(after, CHUNK_BYTES, slots)?;
    if mutant::is_active(Mutant::SnapshotWithoutSessions) {
        chunk.rows.retain(|(row, _)| row.first() != Some(&KIND_SESSION));
    }
    if chunk.rows.is_empty() {
        return Ok(None);
    }
    let bytes: usize = chunk.rows.iter().map(|(row, value)| row.len() + value.len() + 8).sum();
    let mut body = BytesMut::with_capacity(bytes + 1);
    body.put_u8(step::CHUNK);
    for part in chunk.rows.iter().flat_map(|(row, value)| [row, value]) {
        body.put_u32(part.len() as u32);
        body.put_slice(part);
    }
    Ok(Some((body.freeze(), chunk.next)))
}

/// The rows of a chunk; `None` if it ends inside one.
pub(super) fn rows_of(mut chunk: Bytes) -> Option<Vec<(Bytes, Bytes)>> {
    let mut rows = Vec::new();
    while !chunk.is_empty() {
        rows.push((take_part(&mut chunk)?, take_part(&mut chunk)?));
    }
    Some(rows)
}

fn take_part(chunk: &mut Bytes) -> Option<Bytes> {
    let count = chunk.try_get_u32().ok()? as usize;
    (chunk.len() >= count).then(|| chunk.split_to(count))
}

/// Streams a snapshot and returns the receiver's final reply.
pub async fn send(
    client: &Client,
    group: GroupId,
    vote: Vote,
    snapshot: SnapshotOf<Types, SnapshotData>,
    (sending, to): (&SnapshotSends, NodeId),
) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
    let Data::Outgoing { state, bytes, slots } = snapshot.snapshot.0 else {
        panic!("only the state of this node can be sent")
    };
    tracing::info!(%group, upto = ?snapshot.meta.last_log_id, "sending snapshot");
    let mut head = vec![step::HEAD];
    head.extend_from_slice(&codec::encode_snapshot_head(&vote, &snapshot.meta));
    if let Some(vote) = ask(client, group, head.into(), CHUNK_MAX).await? {
        return Ok(SnapshotResponse::new(vote));
    }
    let under_way = sending.begin(group, to, bytes);
    let chunks = send_chunks(client, group, (state, slots), &under_way).await?;
    let mut end = vec![step::END];
    end.extend_from_slice(&chunks.to_be_bytes());
    match ask(client, group, end.into(), INSTALL_MAX).await? {
        Some(vote) => Ok(SnapshotResponse::new(vote)),
        None => Err(broken("the receiver did not confirm the snapshot")),
    }
}

async fn send_chunks(
    client: &Client,
    group: GroupId,
    (state, slots): (TabletSnapshot, Option<RangeInclusive<SlotId>>),
    under_way: &SnapshotSend,
) -> Result<u64, StreamingError<Types>> {
    let mut in_flight = VecDeque::new();
    let mut chunks = 0_u64;
    let mut after: Option<Bytes> = None;
    loop {
        let (from, state, slots) = (after.take(), state.clone(), slots.clone());
        let reading = crate::task::spawn_blocking(move || chunk_after(&state, from.as_deref(), slots));
        let chunk = reading.await.map_err(|error| broken(&error.to_string()))?;
        let Some((body, next)) = chunk.map_err(|error| read_failed(&error))? else { break };
        under_way.chunk(body.len()).await;
        client.ready().await;
        let client = client.clone();
        in_flight.push_back(crate::task::spawn(async move { ask(&client, group, body, CHUNK_MAX).await }));
        chunks += 1;
        if in_flight.len() >= CHUNKS_IN_FLIGHT
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.await.map_err(|error| broken(&error.to_string()))??;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    for waiting in in_flight {
        waiting.await.map_err(|error| broken(&error.to_string()))??;
    }
    Ok(chunks)
}

/// One request; `Some` is the receiver's final word.
async fn ask(
    client: &Client,
    group: GroupId,
    body: Bytes,
    timeout: Duration,
) -> Result<Option<Vote>, StreamingError<Types>> {
    let answered = client.request(Kind::RaftSnapshot, group, &body, timeout).await;
    let mut body =
        answered.map_err(|error: NetError| StreamingError::Network(NetworkError::new(&error)))?.body;
    match body.try_get_u8() {
        Ok(answer::GO_ON) => Ok(None),
        Ok(answer::VOTE) => codec::decode_vote(body).map(Some).map_err(|error| broken(&error.to_string())),
        Ok(answer::FAILED) => Err(broken(&String::from_utf8_lossy(&body))),
        _ => Err(broken("invalid reply from the receiver")),
    }
}

fn broken(why: &str) -> StreamingError<Types> {
    StreamingError::Network(NetworkError::from_string(why))
}
fn read_failed(error: &StorageError) -> StreamingError<Types> {
    let source = openraft::impls::BoxedErrorSource::from_string(error);
    StreamingError::StorageError(openraft::StorageError::read_snapshot(None, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunk: &'static [u8], want: Option<&[(&'static [u8], &'static [u8])]>) {
        let rows = rows_of(Bytes::from_static(chunk));
        let want = want
            .map(|rows| rows.iter().map(|(r, v)| (Bytes::from_static(r), Bytes::from_static(v))).collect());
        assert_eq!(rows, want);
    }

    #[test]
    fn a_chunk_is_rows_one_after_the_other_or_nothing() {
        check(b"", Some(&[]));
        check(b"\0\0\0\x01a\0\0\0\x02bc", Some(&[(b"a", b"bc")]));
        check(b"\0\0\0\x01a\0\0\0\0\0\0\0\x01b\0\0\0\x01c", Some(&[(b"a", b""), (b"b", b"c")]));
        check(b"\0\0\0\x01a", None);
        check(b"\0\0\0\x01a\0\0\0\x02b", None);
        check(b"\xff\xff\xff\xffa", None);
    }
}
