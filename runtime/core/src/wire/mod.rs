//! The bytes between nodes. One TLS connection carries many requests at once:
//!
//! ```text
//! u32 length of the rest (big endian) | u8 version | u8 kind | u64 request id | u16 group | body
//! ```
//!
//! Hot bodies (client requests and answers) have a raw layout of their own; the rest is postcard. All numbers of
//! raw layouts are big endian. Golden-bytes tests pin every layout.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, ClusterName, GroupId, Namespace, NodeId, NodeUuid, RingVersion, SlaveId};
use crate::kv::{Command, Reply};
use crate::ring::Node;
use crate::token::{Secret, TokenId};

mod body;
mod frame;
#[cfg(test)]
mod tests;

pub use body::{BadBody, decode_ring, decode_ring_watch, encode_ring, encode_ring_watch};
pub use frame::{BadFrame, FrameDecoder, encode_with, header};

/// The newest version of what nodes say to each other: frames, bodies, and what a kind means.
pub const WIRE_VERSION: u8 = 1;
/// The oldest version that is still spoken: that of the release before, so that a cluster changes its program node by node.
pub const WIRE_VERSION_OLDEST: u8 = 1;
/// Bytes before the body: length, version, kind, id, group.
pub const HEADER_BYTES: usize = 4 + 1 + 1 + 8 + 2;
/// Largest frame on a connection that has said Hello. Above the largest value plus headers; snapshot chunks and
/// append batches are cut to stay below.
pub const FRAME_MAX_BYTES: usize = 80 * 1024 * 1024;
/// The largest value in a reply to a request that wants it bounded; of a larger one only the size is returned.
pub const REPLY_BOUNDED_MAX_BYTES: usize = 64 * 1024;
/// Largest frame before Hello has been accepted, so that an unauthenticated peer costs little memory.
pub const FRAME_MAX_BYTES_BEFORE_HELLO: usize = 4 * 1024;

/// What a frame's body is. Numbers are part of the protocol and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// First frame of the side that connects: a `Hello`.
    Hello = 1,
    /// First frame of the side that accepts: its own `Hello`. From here on the large frame limit counts.
    HelloAccepted = 2,
    /// The connection is refused and will be closed: the body is a `Refusal`.
    Refused = 3,
    /// A `Request` of a slave or of another server.
    Request = 10,
    /// The `Answer` to a `Request`, with its id.
    Answer = 11,
    /// Asks for the ring map once it is newer than a version.
    RingWatch = 12,
    /// The answer to `RingWatch`: a ring map.
    RingIs = 13,
    /// A slave asks for a renewed certificate: the body is a signing request (PKCS#10, DER).
    Certify = 14,
    /// The body is a `Certified`.
    CertifyAnswer = 15,
    /// First frame to a peer without a certificate: the CAs of the cluster (PEM), which it compares with its token.
    AnchorsAre = 16,
    /// All that a peer without a certificate may send: an `Enrol`.
    Enrol = 17,
    /// The body is an `EnrolAnswer`; the connection ends.
    EnrolAnswer = 18,
    /// Entries or a heartbeat.
    RaftAppend = 20,
    /// A vote or a pre-vote.
    RaftVote = 21,
    /// Asks a follower to begin an election at once.
    RaftTransfer = 22,
    /// A chunk of a tablet's state.
    RaftSnapshot = 23,
    /// A meta command from another server, to be proposed by the meta leader.
    MetaPropose = 24,
    /// The answer to any of the Raft kinds; the body's meaning follows from the request.
    PeerAnswer = 25,
    /// A structured control request carried between servers (allstatus, forwarded commands).
    PeerControl = 26,
    /// Sent on a connection from which nothing was received for a while; without an answer it is closed.
    Ping = 30,
    /// The answer to `Ping`, with its id.
    Pong = 31,
}

/// A unit on the wire. Encoded it takes `HEADER_BYTES` plus its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body is.
    pub kind: Kind,
    /// Chosen by the side that asks, unique among its open requests of the connection; an answer repeats it.
    pub id: u64,
    /// The Raft group concerned; the meta group where none is.
    pub group: GroupId,
    /// A slice of the buffer that it was read into.
    pub body: Bytes,
}

/// The first frame of each side. Both check the other's cluster and identity against its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Must equal the cluster of the receiver.
    pub cluster: ClusterId,
    /// The node's UUID, the same as in its certificate's SAN URI.
    pub node: NodeUuid,
    /// 0 for a slave.
    pub node_id: NodeId,
    /// Of the newest map the sender knows; 0 = none.
    pub ring_version: RingVersion,
    /// The release of the program, for people.
    pub release: String,
}

/// Why a connection was refused, in words for the log and for `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The peer is of another cluster.
    ForeignCluster,
    /// The UUID was removed from the cluster: permanent.
    Removed,
    /// The UUID is neither a member's nor a slave's that this node knows.
    UnknownNode,
    /// The peer speaks another version of the frame layout.
    WireVersion {
        /// The version of the node that refuses.
        ours: u8,
    },
    /// No place for another connection of this kind.
    Full {
        /// The parameter's value at the node that refuses.
        connections_max: u32,
    },
    /// In words, for people.
    Other(String),
}

/// The outcome of a slave's signing request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Certified {
    /// The certificate and its issuer's, in PEM.
    Chain(String),
    /// Why it is not signed, for people.
    Refused(String),
}

/// A machine with a token asks to be a slave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    /// Of the token.
    pub cluster: ClusterId,
    /// Of the token.
    pub token: TokenId,
    /// Of the token.
    pub secret: Secret,
    /// A signing request (PKCS#10, DER). The slave's identity comes of its key.
    pub request: Vec<u8>,
}

/// All that a new slave is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// For people and paths.
    pub cluster: ClusterName,
    /// Its identity.
    pub node: NodeUuid,
    /// The id that operators know it by.
    pub slave: SlaveId,
    /// What it may use.
    pub namespaces: Vec<Namespace>,
    /// Its certificate and the issuer's, in PEM.
    pub chain: String,
    /// Where to begin.
    pub servers: Vec<Node>,
    /// The parameters of the cluster, as in the `parameters` of `node.yaml`.
    pub parameters: String,
}

/// The outcome of an `Enrol`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolAnswer {
    /// It is a slave now.
    Enrolled(Box<Enrolment>),
    /// Why not, for people.
    Refused(String),
    /// Not by this server at this moment: another one may, or the same one later.
    NotNow(String),
}

/// A key-value command on its way to a tablet's leader. The group in the frame's header names the tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Of the map by which it was routed.
    pub ring_version: RingVersion,
    /// Of the tablet, from the ring map that routed this.
    pub epoch: u32,
    /// See `tablet::Item`; 0 for reads.
    pub session: u64,
    /// As in `tablet::Item`.
    pub sequence: u64,
    /// As in `tablet::Item`.
    pub answered_below: u64,
    /// As in `tablet::Item`.
    pub is_retry: bool,
    /// A reply larger than `REPLY_BOUNDED_MAX_BYTES` is answered with its size only. Also of a write that answers with a record, which
    /// the sender can read afterwards; servers of earlier releases send that whole.
    pub reply_is_bounded: bool,
    /// How long the sender waits, so that work without a waiting caller is not started.
    pub timeout_ms: u32,
    /// Its key decides the slot, which the server checks.
    pub command: Command,
}

/// What a server says to a request. Only `Reply` and `Refused` are final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The tablet has carried the command out, or had before.
    Reply(Reply),
    /// Not carried out, and never will be.
    Refused(String),
    /// Not carried out: ask that node, or look at a newer ring map.
    NotLeader {
        /// `None` during an election.
        leader: Option<NodeId>,
        /// Of the map of the server that answers.
        ring_version: RingVersion,
    },
    /// Not carried out: the tablet, epoch or slot is not what the sender thinks.
    NotHere {
        /// Of the map of the server that answers.
        ring_version: RingVersion,
    },
    /// Not carried out: queue full. Try later.
    Busy,
    /// It may or may not have been carried out. The sender may retry within its session.
    Unknown,
    /// The reply takes so many bytes, and the request wanted no large one.
    TooLarge {
        /// Of the value; to be asked for again with room for it.
        bytes: usize,
    },
}
