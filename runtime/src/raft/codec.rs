//! Our own encoding of openraft's data: votes, log ids, memberships, entries and the Raft messages.
//! The library's serde layout is never written, because it changes between its releases. All numbers are
//! big endian; every stored or sent body begins with a version byte; golden-bytes tests pin each layout.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::impls::EmptyNode;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use openraft::vote::RaftLeaderId;

use super::types::{
    Entry, LogId, Membership, Payload, Proposal, SnapshotMeta, StoredMembership, Types, Vote, log_id,
};

/// The version of every layout in this file.
const VERSION: u8 = 1;
/// More members than any group can have; bounds what a damaged count can make us allocate.
const MEMBERS_MAX: usize = 1024;
/// The smallest entry in an append request: index, length, version, kind, term.
const ENTRY_MIN_BYTES: usize = 8 + 4 + 1 + 1 + 8;
/// A membership in transition has two configurations; the rest is reserve.
const CONFIGURATIONS_MAX: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("{what}: the bytes end too early")]
    Short { what: &'static str },
    #[error("{what}: version {found} is not supported, this program supports {VERSION}")]
    Version { what: &'static str, found: u8 },
    #[error("{what}: unknown kind {found}")]
    Kind { what: &'static str, found: u8 },
    #[error("{what}: {count} exceeds the maximum of {max}")]
    Count { what: &'static str, count: usize, max: usize },
    #[error("{what}: {left} trailing bytes")]
    Left { what: &'static str, left: usize },
    #[error("membership: {0}")]
    Membership(String),
}

type Decoded<T> = Result<T, CodecError>;

/// Reads from `bytes`, naming what it reads in errors.
struct Reader {
    what: &'static str,
    bytes: Bytes,
}

impl Reader {
    /// Begins a versioned body.
    fn versioned(what: &'static str, bytes: Bytes) -> Decoded<Reader> {
        let mut reader = Reader { what, bytes };
        match reader.u8()? {
            VERSION => Ok(reader),
            found => Err(CodecError::Version { what, found }),
        }
    }

    fn need(&self, count: usize) -> Decoded<()> {
        if self.bytes.remaining() < count { Err(CodecError::Short { what: self.what }) } else { Ok(()) }
    }
    fn u8(&mut self) -> Decoded<u8> {
        self.need(1)?;
        Ok(self.bytes.get_u8())
    }
    fn u16(&mut self) -> Decoded<u16> {
        self.need(2)?;
        Ok(self.bytes.get_u16())
    }
    fn u32(&mut self) -> Decoded<u32> {
        self.need(4)?;
        Ok(self.bytes.get_u32())
    }
    fn u64(&mut self) -> Decoded<u64> {
        self.need(8)?;
        Ok(self.bytes.get_u64())
    }
    fn bool(&mut self) -> Decoded<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(CodecError::Kind { what: self.what, found }),
        }
    }
    fn slice(&mut self, count: usize) -> Decoded<Bytes> {
        self.need(count)?;
        Ok(self.bytes.split_to(count))
    }
    fn count(&mut self, max: usize) -> Decoded<usize> {
        let count = self.u16()? as usize;
        if count > max { Err(CodecError::Count { what: self.what, count, max }) } else { Ok(count) }
    }
    fn end(self) -> Decoded<()> {
        match self.bytes.remaining() {
            0 => Ok(()),
            left => Err(CodecError::Left { what: self.what, left }),
        }
    }

    fn vote(&mut self) -> Decoded<Vote> {
        let (term, node) = (self.u64()?, self.u64()?);
        Ok(Vote { leader_id: RaftLeaderId::new(term, node), committed: self.bool()? })
    }
    fn log_id(&mut self) -> Decoded<Option<LogId>> {
        if !self.bool()? {
            return Ok(None);
        }
        let (term, index) = (self.u64()?, self.u64()?);
        Ok(Some(log_id(term, index)))
    }
    fn membership(&mut self) -> Decoded<Membership> {
        let mut configurations = Vec::new();
        for _ in 0..self.count(CONFIGURATIONS_MAX)? {
            configurations.push(self.node_ids()?);
        }
        let nodes: BTreeMap<u64, EmptyNode> =
            self.node_ids()?.into_iter().map(|id| (id, EmptyNode {})).collect();
        if configurations.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(configurations, nodes).map_err(|e| CodecError::Membership(e.to_string()))
    }
    fn node_ids(&mut self) -> Decoded<BTreeSet<u64>> {
        (0..self.count(MEMBERS_MAX)?).map(|_| self.u64()).collect()
    }
    fn stored_membership(&mut self) -> Decoded<StoredMembership> {
        let at = self.log_id()?;
        Ok(StoredMembership::new(at, self.membership()?))
    }
}

fn versioned(capacity: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(capacity + 1);
    out.put_u8(VERSION);
    out
}
fn put_vote(out: &mut BytesMut, vote: &Vote) {
    out.put_u64(vote.leader_id.term);
    out.put_u64(vote.leader_id.voted_for);
    out.put_u8(u8::from(vote.committed));
}
fn put_log_id(out: &mut BytesMut, id: Option<&LogId>) {
    out.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        out.put_u64(id.leader_id.term);
        out.put_u64(id.index);
    }
}
fn put_node_ids(out: &mut BytesMut, ids: impl ExactSizeIterator<Item = u64>) {
    out.put_u16(ids.len() as u16);
    ids.for_each(|id| out.put_u64(id));
}
fn put_membership(out: &mut BytesMut, membership: &Membership) {
    let configurations = membership.get_joint_config();
    out.put_u16(configurations.len() as u16);
    for voters in configurations {
        put_node_ids(out, voters.iter().copied());
    }
    let nodes: Vec<u64> = membership.nodes().map(|(id, _)| *id).collect();
    put_node_ids(out, nodes.into_iter());
}
fn put_stored_membership(out: &mut BytesMut, stored: &StoredMembership) {
    put_log_id(out, stored.log_id().as_ref());
    put_membership(out, stored.membership());
}

pub fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = versioned(17);
    put_vote(&mut out, vote);
    out.freeze()
}
pub fn decode_vote(bytes: Bytes) -> Decoded<Vote> {
    let mut reader = Reader::versioned("vote", bytes)?;
    let vote = reader.vote()?;
    reader.end()?;
    Ok(vote)
}

pub fn encode_log_id(id: Option<&LogId>) -> Bytes {
    let mut out = versioned(17);
    put_log_id(&mut out, id);
    out.freeze()
}
pub fn decode_log_id(bytes: Bytes) -> Decoded<Option<LogId>> {
    let mut reader = Reader::versioned("log id", bytes)?;
    let id = reader.log_id()?;
    reader.end()?;
    Ok(id)
}

pub fn encode_stored_membership(stored: &StoredMembership) -> Bytes {
    let mut out = versioned(64);
    put_stored_membership(&mut out, stored);
    out.freeze()
}
pub fn decode_stored_membership(bytes: Bytes) -> Decoded<StoredMembership> {
    let mut reader = Reader::versioned("membership", bytes)?;
    let stored = reader.stored_membership()?;
    reader.end()?;
    Ok(stored)
}

/// An entry as stored in the log and sent; its index is kept outside.
pub fn encode_entry(entry: &Entry) -> Bytes {
    let body_bytes = if let Payload::Normal(Proposal(body)) = &entry.payload { body.len() } else { 64 };
    let mut out = versioned(9 + body_bytes);
    put_entry(&mut out, entry);
    out.freeze()
}
fn put_entry(out: &mut BytesMut, entry: &Entry) {
    let kind = match &entry.payload {
        Payload::Blank => 0,
        Payload::Normal(_) => 1,
        Payload::Membership(_) => 2,
    };
    out.put_u8(kind);
    out.put_u64(entry.log_id.leader_id.term);
    match &entry.payload {
        Payload::Blank => {}
        Payload::Normal(Proposal(body)) => out.put_slice(body),
        Payload::Membership(membership) => put_membership(out, membership),
    }
}
pub fn decode_entry(index: u64, bytes: Bytes) -> Decoded<Entry> {
    let mut reader = Reader::versioned("log entry", bytes)?;
    let (kind, term) = (reader.u8()?, reader.u64()?);
    let payload = match kind {
        0 => Payload::Blank,
        1 => {
            let body = reader.slice(reader.bytes.remaining())?;
            Payload::Normal(Proposal(body))
        }
        2 => Payload::Membership(reader.membership()?),
        found => return Err(CodecError::Kind { what: "log entry", found }),
    };
    reader.end()?;
    Ok(Entry { log_id: log_id(term, index), payload })
}

pub fn encode_append(request: &AppendEntriesRequest<Types>) -> Bytes {
    let body_bytes: usize = request
        .entries
        .iter()
        .map(|entry| match &entry.payload {
            Payload::Normal(Proposal(body)) => body.len() + ENTRY_MIN_BYTES,
            _ => 128,
        })
        .sum();
    let mut out = versioned(17 + 34 + 4 + body_bytes);
    put_vote(&mut out, &request.vote);
    put_log_id(&mut out, request.prev_log_id.as_ref());
    put_log_id(&mut out, request.leader_commit.as_ref());
    out.put_u32(request.entries.len() as u32);
    for entry in &request.entries {
        out.put_u64(entry.log_id.index);
        let length_at = out.len();
        out.put_u32(0);
        out.put_u8(VERSION);
        put_entry(&mut out, entry);
        let length = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }
    out.freeze()
}
pub fn decode_append(bytes: Bytes) -> Decoded<AppendEntriesRequest<Types>> {
    let mut reader = Reader::versioned("append request", bytes)?;
    let vote = reader.vote()?;
    let prev_log_id = reader.log_id()?;
    let leader_commit = reader.log_id()?;
    let count = reader.u32()? as usize;
    // A damaged count cannot allocate more than the frame's size.
    let mut entries = Vec::with_capacity(count.min(reader.bytes.remaining() / ENTRY_MIN_BYTES + 1));
    for _ in 0..count {
        let (index, length) = (reader.u64()?, reader.u32()? as usize);
        entries.push(decode_entry(index, reader.slice(length)?)?);
    }
    reader.end()?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

pub fn encode_append_answer(answer: &AppendEntriesResponse<Types>) -> Bytes {
    let mut out = versioned(19);
    match answer {
        AppendEntriesResponse::Success => out.put_u8(0),
        AppendEntriesResponse::PartialSuccess(id) => {
            out.put_u8(1);
            put_log_id(&mut out, id.as_ref());
        }
        AppendEntriesResponse::Conflict => out.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(3);
            put_vote(&mut out, vote);
        }
    }
    out.freeze()
}
pub fn decode_append_answer(bytes: Bytes) -> Decoded<AppendEntriesResponse<Types>> {
    let mut reader = Reader::versioned("append answer", bytes)?;
    let answer = match reader.u8()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(reader.log_id()?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(reader.vote()?),
        found => return Err(CodecError::Kind { what: "append answer", found }),
    };
    reader.end()?;
    Ok(answer)
}

/// A vote request; `is_pre_vote` asks without changing anybody's term.
pub fn encode_vote_request(request: &VoteRequest<Types>, is_pre_vote: bool) -> Bytes {
    let mut out = versioned(36);
    out.put_u8(u8::from(is_pre_vote));
    out.put_u8(u8::from(request.leadership_transfer));
    put_vote(&mut out, &request.vote);
    put_log_id(&mut out, request.last_log_id.as_ref());
    out.freeze()
}
pub fn decode_vote_request(bytes: Bytes) -> Decoded<(VoteRequest<Types>, bool)> {
    let mut reader = Reader::versioned("vote request", bytes)?;
    let (is_pre_vote, leadership_transfer) = (reader.bool()?, reader.bool()?);
    let vote = reader.vote()?;
    let mut request = VoteRequest::new(vote, reader.log_id()?);
    request.leadership_transfer = leadership_transfer;
    reader.end()?;
    Ok((request, is_pre_vote))
}

pub fn encode_vote_answer(answer: &VoteResponse<Types>) -> Bytes {
    let mut out = versioned(36);
    put_vote(&mut out, &answer.vote);
    out.put_u8(u8::from(answer.vote_granted));
    put_log_id(&mut out, answer.last_log_id.as_ref());
    out.freeze()
}
pub fn decode_vote_answer(bytes: Bytes) -> Decoded<VoteResponse<Types>> {
    let mut reader = Reader::versioned("vote answer", bytes)?;
    let vote = reader.vote()?;
    let is_granted = reader.bool()?;
    let answer = VoteResponse::new(vote, reader.log_id()?, is_granted);
    reader.end()?;
    Ok(answer)
}

pub fn encode_transfer(request: &TransferLeaderRequest<Types>) -> Bytes {
    let mut out = versioned(43);
    put_vote(&mut out, request.from_leader());
    out.put_u64(*request.to_node_id());
    put_log_id(&mut out, request.last_log_id());
    out.freeze()
}
pub fn decode_transfer(bytes: Bytes) -> Decoded<TransferLeaderRequest<Types>> {
    let mut reader = Reader::versioned("transfer request", bytes)?;
    let (from, to) = (reader.vote()?, reader.u64()?);
    let request = TransferLeaderRequest::new(from, to, reader.log_id()?);
    reader.end()?;
    Ok(request)
}

pub fn encode_transfer_answer(answer: &Result<(), TransferLeaderError<Types>>) -> Bytes {
    let mut out = versioned(36);
    match answer {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            put_vote(&mut out, expected);
            put_vote(&mut out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            put_log_id(&mut out, expected.as_ref());
            put_log_id(&mut out, actual.as_ref());
        }
    }
    out.freeze()
}
pub fn decode_transfer_answer(bytes: Bytes) -> Decoded<Result<(), TransferLeaderError<Types>>> {
    let mut reader = Reader::versioned("transfer answer", bytes)?;
    let answer = match reader.u8()? {
        0 => Ok(()),
        1 => Err(TransferLeaderError::VoteChanged { expected: reader.vote()?, actual: reader.vote()? }),
        2 => Err(TransferLeaderError::LogNotFlushed { expected: reader.log_id()?, actual: reader.log_id()? }),
        found => return Err(CodecError::Kind { what: "transfer answer", found }),
    };
    reader.end()?;
    Ok(answer)
}

/// The head of a snapshot stream: the sender's vote and the last log id that the snapshot covers.
pub fn encode_snapshot_head(vote: &Vote, meta: &SnapshotMeta) -> Bytes {
    let mut out = versioned(128);
    put_vote(&mut out, vote);
    put_log_id(&mut out, meta.last_log_id.as_ref());
    put_stored_membership(&mut out, &meta.last_membership);
    out.freeze()
}
pub fn decode_snapshot_head(bytes: Bytes) -> Decoded<(Vote, SnapshotMeta)> {
    let mut reader = Reader::versioned("snapshot head", bytes)?;
    let vote = reader.vote()?;
    let meta = SnapshotMeta { last_log_id: reader.log_id()?, last_membership: reader.stored_membership()? };
    reader.end()?;
    Ok((vote, meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote() -> Vote {
        Vote { leader_id: RaftLeaderId::new(7, 2), committed: true }
    }
    fn membership() -> Membership {
        Membership::new(
            vec![BTreeSet::from([1, 2])],
            BTreeMap::from([(1, EmptyNode {}), (2, EmptyNode {}), (3, EmptyNode {})]),
        )
        .expect("a valid membership")
    }
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The bytes are what they always were, and read back as what was written.
    fn check<T: PartialEq + std::fmt::Debug>(
        value: T,
        bytes: Bytes,
        decode: impl Fn(Bytes) -> Decoded<T>,
        golden: &str,
    ) {
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
        assert_eq!(decode(bytes.clone()), Ok(value));
        for cut in 0..bytes.len() {
            assert!(decode(bytes.slice(..cut)).is_err() || cut == bytes.len(), "cut at {cut} was accepted");
        }
    }

    #[test]
    fn votes_and_log_ids_keep_their_bytes() {
        check(vote(), encode_vote(&vote()), decode_vote, "01 0000000000000007 0000000000000002 01");
        let id = Some(log_id(7, 9));
        check(id, encode_log_id(id.as_ref()), decode_log_id, "01 01 0000000000000007 0000000000000009");
        check(None, encode_log_id(None), decode_log_id, "01 00");
    }

    #[test]
    fn memberships_keep_their_bytes() {
        let stored = StoredMembership::new(Some(log_id(7, 9)), membership());
        check(
            stored.clone(),
            encode_stored_membership(&stored),
            decode_stored_membership,
            "01 01 0000000000000007 0000000000000009 0001 0002 0000000000000001 0000000000000002 \
             0003 0000000000000001 0000000000000002 0000000000000003",
        );
        let none = StoredMembership::default();
        check(none.clone(), encode_stored_membership(&none), decode_stored_membership, "01 00 0000 0000");
    }

    fn entry(payload: Payload) -> Entry {
        Entry { log_id: log_id(7, 9), payload }
    }

    #[test]
    fn entries_keep_their_bytes() {
        let decode = |bytes| decode_entry(9, bytes);
        let blank = entry(Payload::Blank);
        check(blank.clone(), encode_entry(&blank), decode, "01 00 0000000000000007");
        let normal = entry(Payload::Normal(Proposal(Bytes::from_static(b"ab"))));
        assert_eq!(hex(&encode_entry(&normal)), "010100000000000000076162");
        assert_eq!(decode(encode_entry(&normal)), Ok(normal));
        let membership = entry(Payload::Membership(membership()));
        assert_eq!(decode(encode_entry(&membership)), Ok(membership));
        let unknown = Bytes::from_static(&[1, 9, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(decode(unknown), Err(CodecError::Kind { what: "log entry", found: 9 }));
        let newer = Bytes::from_static(&[2, 0]);
        assert_eq!(decode(newer), Err(CodecError::Version { what: "log entry", found: 2 }));
    }

    #[test]
    fn append_requests_keep_their_bytes() {
        let request = AppendEntriesRequest::<Types> {
            vote: vote(),
            prev_log_id: Some(log_id(6, 8)),
            entries: vec![Entry {
                log_id: log_id(7, 9),
                payload: Payload::Normal(Proposal(Bytes::from_static(b"x"))),
            }],
            leader_commit: None,
        };
        let bytes = encode_append(&request);
        let golden = "01 0000000000000007 0000000000000002 01 01 0000000000000006 0000000000000008 00 00000001 \
                      0000000000000009 0000000b 01 01 0000000000000007 78";
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
        let back = decode_append(bytes).expect("what was written is read");
        assert_eq!((back.vote, back.prev_log_id, back.leader_commit), (vote(), Some(log_id(6, 8)), None));
        assert_eq!(back.entries, request.entries);
    }

    #[test]
    fn a_damaged_count_of_entries_is_refused_without_a_large_allocation() {
        let request = AppendEntriesRequest::<Types> {
            vote: vote(),
            prev_log_id: None,
            entries: vec![],
            leader_commit: None,
        };
        let mut bytes = BytesMut::from(&encode_append(&request)[..]);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(decode_append(bytes.freeze()).err(), Some(CodecError::Short { what: "append request" }));
    }

    #[test]
    fn answers_read_back_as_written() {
        for answer in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(Some(log_id(1, 2))),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote()),
        ] {
            assert_eq!(decode_append_answer(encode_append_answer(&answer)), Ok(answer));
        }
        let answer = VoteResponse::<Types>::new(vote(), Some(log_id(1, 2)), true);
        assert_eq!(decode_vote_answer(encode_vote_answer(&answer)), Ok(answer));
        let request = VoteRequest::<Types>::new(vote(), None);
        assert_eq!(decode_vote_request(encode_vote_request(&request, true)), Ok((request, true)));
        let transfer = TransferLeaderRequest::<Types>::new(vote(), 3, Some(log_id(1, 2)));
        assert_eq!(decode_transfer(encode_transfer(&transfer)), Ok(transfer));
        for answer in [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: vote(), actual: vote() }),
            Err(TransferLeaderError::LogNotFlushed { expected: None, actual: Some(log_id(1, 2)) }),
        ] {
            assert_eq!(decode_transfer_answer(encode_transfer_answer(&answer)), Ok(answer));
        }
        let meta = SnapshotMeta {
            last_log_id: Some(log_id(1, 2)),
            last_membership: StoredMembership::new(None, membership()),
        };
        assert_eq!(decode_snapshot_head(encode_snapshot_head(&vote(), &meta)), Ok((vote(), meta)));
    }
}
