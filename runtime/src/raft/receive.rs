//! The receiving side of Raft's messages: passes a frame of another server to its group, and returns the reply.
//! Messages of one connection are passed to each group in the order in which they arrived.

use bytes::Bytes;
use dkc_core::wire::Kind;
use openraft::EntryPayload;
use openraft::raft::TransferLeaderError;

use super::codec;
use super::group::Group;
use super::types::{Entry, LogId, Types};

/// Why a message got no reply. The sender notices by its own timeout.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
    #[error("this node is short of disk space")]
    ShortOfSpace,
    #[error("the candidate lacks what this node acknowledged before it left the group")]
    Behind,
    #[error("the group hibernated; it is awake now")]
    Hibernated,
    #[error("the group has stopped: {0}")]
    Stopped(String),
}

/// What this node accepts now.
#[derive(Debug, Clone, Copy)]
pub struct Accepts {
    pub data: bool,
    pub leadership: bool,
}

fn stopped(error: impl std::fmt::Display) -> ReceiveError {
    ReceiveError::Stopped(error.to_string())
}

/// True for the kinds that `answer` understands.
pub fn is_raft_message(kind: Kind) -> bool {
    matches!(kind, Kind::RaftAppend | Kind::RaftVote | Kind::RaftTransfer)
}

/// Gives a message to the group and returns the body of its answer. The message is in the group's queue once the
/// future has been polled for the first time; that is what keeps the order.
pub async fn answer(group: &Group, kind: Kind, body: Bytes, accepts: Accepts) -> Result<Bytes, ReceiveError> {
    let has_rested = group.hibernation.keeper().is_some();
    group.hibernation.wake();
    match kind {
        Kind::RaftAppend => append(group, body, accepts).await,
        Kind::RaftVote => vote(group, body, has_rested).await,
        Kind::RaftTransfer => transfer(group, body, accepts).await,
        other => Err(ReceiveError::Stopped(format!("not a message for a group: {other:?}"))),
    }
}

/// A node that is short of disk space keeps voting and confirming the leader, and accepts the empty entry that a new
/// leader begins with: so a cluster whose disks are all full can still be read. It accepts no data and applies
/// nothing.
async fn append(group: &Group, body: Bytes, accepts: Accepts) -> Result<Bytes, ReceiveError> {
    let mut request = codec::decode_append(body)?;
    if !accepts.data {
        // To find our log end, a new leader starts with entries that we may already have.
        let last_index = group.progress().last_index;
        let is_data =
            |entry: &Entry| entry.log_id.index > last_index && !matches!(entry.payload, EntryPayload::Blank);
        if request.entries.iter().any(is_data) {
            return Err(ReceiveError::ShortOfSpace);
        }
        request.leader_commit = None;
    }
    let answer = group.raft.append_entries(request).await.map_err(stopped)?;
    Ok(codec::encode_append_answer(&answer))
}

/// A candidate in a hibernating group has just started, or has lost the leader. The leader receives the request too: if it is up,
/// its heartbeat is already in flight and no election is needed; if not, this node campaigns on its own.
async fn vote(group: &Group, body: Bytes, has_rested: bool) -> Result<Bytes, ReceiveError> {
    let (request, is_pre_vote) = codec::decode_vote_request(body)?;
    if is_pre_vote && has_rested {
        return Err(ReceiveError::Hibernated);
    }
    if !group.may_vote_for(request.last_log_id) {
        return Err(ReceiveError::Behind);
    }
    let answer = match is_pre_vote {
        true => group.raft.pre_vote(request).await,
        false => group.raft.vote(request).await,
    };
    Ok(codec::encode_vote_answer(&answer.map_err(stopped)?))
}

/// A node that is about to stop, or short of disk space, accepts no leadership: it would only have to transfer it again.
async fn transfer(group: &Group, body: Bytes, accepts: Accepts) -> Result<Bytes, ReceiveError> {
    let request = codec::decode_transfer(body)?;
    let answer = if !accepts.leadership {
        let expected: Option<LogId> = request.last_log_id().copied();
        Err(TransferLeaderError::<Types>::LogNotFlushed { expected, actual: None })
    } else {
        group.raft.handle_transfer_leader(request).await.map_err(stopped)?
    };
    Ok(codec::encode_transfer_answer(&answer))
}
