//! The receiving side of snapshots: one connection on which another server sends snapshots of the groups that it leads.
//!
//! *Invariant (D6):* a snapshot is installed whole or not at all; a broken stream leaves the old state.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use dkc_core::ids::GroupId;
use dkc_core::wire::{Frame, Kind};

use super::codec;
use super::group::Group;
use super::snapshot::{SnapshotData, answer, rows_of, step};
use super::types::{SnapshotMeta, Vote};
use crate::net::Connection;
use crate::storage::{Install, StorageError};

/// A snapshot that is being received.
struct Incoming {
    group: Arc<Group>,
    vote: Vote,
    meta: SnapshotMeta,
    install: Box<Install>,
    chunks: u64,
}

/// Unfinished snapshots of one connection, by group: the peer may lead several groups and send their snapshots
/// concurrently. Bounded by the groups that are open here.
type Unfinished = BTreeMap<GroupId, Incoming>;

/// Serves one snapshot connection until it ends. It carries one snapshot per group at a time; a new head discards an
/// unfinished snapshot of the same group.
pub async fn receive(mut connection: Connection, group_of: impl Fn(GroupId) -> Option<Arc<Group>>) {
    let mut unfinished = Unfinished::new();
    while let Ok(batch) = connection.frames.next_batch().await {
        for frame in batch {
            let (id, group) = (frame.id, frame.group);
            let body = match take_step(&mut unfinished, frame, &group_of).await {
                Ok(None) => vec![answer::GO_ON],
                Ok(Some(vote)) => [&[answer::VOTE], &codec::encode_vote(&vote)[..]].concat(),
                Err(why) => {
                    tracing::warn!(%group, peer = %connection.peer, %why, "snapshot not received");
                    unfinished.remove(&group);
                    [&[answer::FAILED], why.as_bytes()].concat()
                }
            };
            if connection.sender.send(Kind::PeerAnswer, id, group, &body).is_err() {
                return;
            }
        }
    }
}

async fn take_step(
    unfinished: &mut Unfinished,
    frame: Frame,
    group_of: &impl Fn(GroupId) -> Option<Arc<Group>>,
) -> Result<Option<Vote>, String> {
    let (id, mut body) = (frame.group, frame.body);
    if frame.kind != Kind::RaftSnapshot {
        return Err(format!("unexpected frame on a snapshot connection: {:?}", frame.kind));
    }
    match body.try_get_u8() {
        Ok(step::HEAD) => {
            unfinished.remove(&id);
            let group = group_of(id).ok_or("the group is not open here")?;
            let (vote, meta) = codec::decode_snapshot_head(body).map_err(|error| error.to_string())?;
            let machine = group.machine.clone();
            let beginning = crate::task::spawn_blocking(move || machine.begin_install());
            let begun = beginning.await.map_err(|error| error.to_string())?;
            let install = begun.map_err(|error| error.to_string())?;
            tracing::info!(group = %id, upto = ?meta.last_log_id, "receiving snapshot");
            unfinished.insert(id, Incoming { group, vote, meta, install: Box::new(install), chunks: 0 });
            Ok(None)
        }
        Ok(step::CHUNK) => {
            let current = unfinished.remove(&id).ok_or("a chunk without a head")?;
            unfinished.insert(id, add_chunk(current, body).await?);
            Ok(None)
        }
        Ok(step::END) => {
            install(unfinished.remove(&id).ok_or("an end without a head")?, body).await.map(Some)
        }
        _ => Err("unknown step".into()),
    }
}

/// Writes a chunk; waits for the disk.
async fn add_chunk(mut incoming: Incoming, chunk: Bytes) -> Result<Incoming, String> {
    let rows = rows_of(chunk).ok_or("the chunk ends inside a row")?;
    let adding = crate::task::spawn_blocking(move || {
        incoming.install.add_chunk(rows)?;
        incoming.chunks += 1;
        Ok::<_, StorageError>(incoming)
    });
    adding.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

async fn install(incoming: Incoming, mut end: Bytes) -> Result<Vote, String> {
    let chunks = end.try_get_u64().map_err(|_| "the end does not say how many chunks there were")?;
    if chunks != incoming.chunks {
        return Err(format!("{} of {chunks} chunks arrived", incoming.chunks));
    }
    let snapshot = SnapshotData::incoming(incoming.install);
    let snapshot = openraft::storage::Snapshot { meta: incoming.meta, snapshot };
    let answer = incoming.group.raft.install_full_snapshot(incoming.vote, snapshot).await;
    answer.map(|response| response.vote).map_err(|error| error.to_string())
}
