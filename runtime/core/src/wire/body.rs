//! The content of the bodies. Client requests and answers, the hot ones, have a raw layout (big endian):
//!
//! ```text
//! request    u64 ring version | u32 epoch | u64 session | u64 sequence | u64 answered below
//!            | u8 bit 0 = is a retry, bit 1 = a large reply is not wanted | u32 timeout in ms | command (`kv::codec`)
//! answer     u8 tag | 1 Reply: reply (`kv::codec`)    2 Refused: text
//!                   | 3 NotLeader: u64 leader, 0 = unknown | u64 ring version
//!                   | 4 NotHere: u64 ring version     5 Busy     6 Unknown
//!                   | 7 TooLarge: u64 bytes
//! RingWatch  u64 ring version: asks for the map once it is newer than this
//! ```
//!
//! Hello, Refusal, Certified, Enrol, EnrolAnswer and RingIs are a format version byte and postcard.
//!
//! *Invariant:* decoding takes every byte or fails, and values stay slices of the frame they came in.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Answer, Certified, Enrol, EnrolAnswer, Hello, Refusal, Request};
use crate::ids::{NodeId, RingVersion};
use crate::kv::codec;
use crate::meta::codec::{decode_versioned, encode_versioned};
use crate::ring::RingMap;

const REQUEST_HEAD_BYTES: usize = 8 + 4 + 8 + 8 + 8 + 1 + 4;
const IS_RETRY: u8 = 1;
const REPLY_IS_BOUNDED: u8 = 2;

mod tag {
    pub const REPLY: u8 = 1;
    pub const REFUSED: u8 = 2;
    pub const NOT_LEADER: u8 = 3;
    pub const NOT_HERE: u8 = 4;
    pub const BUSY: u8 = 5;
    pub const UNKNOWN: u8 = 6;
    pub const TOO_LARGE: u8 = 7;
}

/// A body that is not what its kind says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// A raw layout is broken.
    #[error("bad {what}: {rule}")]
    Layout {
        /// The kind of body.
        what: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A command or a reply inside the body.
    #[error(transparent)]
    Codec(#[from] codec::BadBytes),
    /// A body of format version and postcard.
    #[error(transparent)]
    Versioned(#[from] crate::meta::BadBytes),
}

fn need(body: &Bytes, bytes: usize, what: &'static str) -> Result<(), BadBody> {
    if body.len() < bytes { Err(BadBody::Layout { what, rule: "ends too early" }) } else { Ok(()) }
}

fn end(body: &Bytes, what: &'static str) -> Result<(), BadBody> {
    if body.is_empty() { Ok(()) } else { Err(BadBody::Layout { what, rule: "nothing may follow" }) }
}

impl Request {
    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(REQUEST_HEAD_BYTES);
        out.put_u64(self.ring_version.0);
        out.put_u32(self.epoch);
        out.put_u64(self.session);
        out.put_u64(self.sequence);
        out.put_u64(self.answered_below);
        let is_retry = if self.is_retry { IS_RETRY } else { 0 };
        out.put_u8(is_retry | if self.reply_is_bounded { REPLY_IS_BOUNDED } else { 0 });
        out.put_u32(self.timeout_ms);
        codec::encode_command(&self.command, out);
    }

    /// Keys and values stay slices of `body`.
    pub fn decode(mut body: Bytes) -> Result<Request, BadBody> {
        need(&body, REQUEST_HEAD_BYTES, "request")?;
        let (ring_version, epoch) = (RingVersion(body.get_u64()), body.get_u32());
        let (session, sequence, answered_below) = (body.get_u64(), body.get_u64(), body.get_u64());
        let flags = body.get_u8();
        if flags & !(IS_RETRY | REPLY_IS_BOUNDED) != 0 {
            return Err(BadBody::Layout {
                what: "request",
                rule: "a flag is set that this release does not know",
            });
        }
        let timeout_ms = body.get_u32();
        let command = codec::decode_command(&body)?;
        let (is_retry, reply_is_bounded) = (flags & IS_RETRY != 0, flags & REPLY_IS_BOUNDED != 0);
        Ok(Request {
            ring_version,
            epoch,
            session,
            sequence,
            answered_below,
            is_retry,
            reply_is_bounded,
            timeout_ms,
            command,
        })
    }
}

impl Answer {
    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Answer::Reply(reply) => {
                out.put_u8(tag::REPLY);
                codec::encode_reply(reply, out);
            }
            Answer::Refused(why) => {
                out.put_u8(tag::REFUSED);
                out.put_slice(why.as_bytes());
            }
            Answer::NotLeader { leader, ring_version } => {
                out.put_u8(tag::NOT_LEADER);
                out.put_u64(leader.map_or(0, |node| node.0));
                out.put_u64(ring_version.0);
            }
            Answer::NotHere { ring_version } => {
                out.put_u8(tag::NOT_HERE);
                out.put_u64(ring_version.0);
            }
            Answer::Busy => out.put_u8(tag::BUSY),
            Answer::Unknown => out.put_u8(tag::UNKNOWN),
            Answer::TooLarge { bytes } => {
                out.put_u8(tag::TOO_LARGE);
                out.put_u64(*bytes as u64);
            }
        }
    }

    /// Values stay slices of `body`.
    pub fn decode(mut body: Bytes) -> Result<Answer, BadBody> {
        let what = "answer";
        need(&body, 1, what)?;
        let answer = match body.get_u8() {
            tag::REPLY => return Ok(Answer::Reply(codec::decode_reply(&body)?)),
            tag::REFUSED => return Ok(Answer::Refused(text(&body)?)),
            tag::NOT_LEADER => {
                need(&body, 16, what)?;
                let leader = Some(NodeId(body.get_u64())).filter(|node| node.0 != 0);
                Answer::NotLeader { leader, ring_version: RingVersion(body.get_u64()) }
            }
            tag::NOT_HERE => {
                need(&body, 8, what)?;
                Answer::NotHere { ring_version: RingVersion(body.get_u64()) }
            }
            tag::BUSY => Answer::Busy,
            tag::UNKNOWN => Answer::Unknown,
            tag::TOO_LARGE => {
                need(&body, 8, what)?;
                Answer::TooLarge { bytes: usize::try_from(body.get_u64()).unwrap_or(usize::MAX) }
            }
            _ => return Err(BadBody::Layout { what, rule: "the tag is unknown" }),
        };
        end(&body, what)?;
        Ok(answer)
    }
}

fn text(body: &Bytes) -> Result<String, BadBody> {
    let text =
        std::str::from_utf8(body).map_err(|_| BadBody::Layout { what: "answer", rule: "text is UTF-8" })?;
    Ok(text.to_owned())
}

macro_rules! versioned {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The whole body.
            pub fn encode(&self) -> Bytes {
                encode_versioned(self).into()
            }
            /// Refuses another format version and bytes behind the value.
            pub fn decode(body: &[u8]) -> Result<$name, BadBody> {
                Ok(decode_versioned($what, body)?)
            }
        }
    };
}
versioned!(Hello, "hello");
versioned!(Refusal, "refusal");
versioned!(Certified, "answer to a signing request");
versioned!(Enrol, "request to enrol");
versioned!(EnrolAnswer, "answer to a request to enrol");

/// The body of `RingWatch`.
pub fn encode_ring_watch(newer_than: RingVersion) -> Bytes {
    Bytes::copy_from_slice(&newer_than.0.to_be_bytes())
}

/// The version that the asking side knows.
pub fn decode_ring_watch(mut body: Bytes) -> Result<RingVersion, BadBody> {
    need(&body, 8, "ring watch")?;
    let newer_than = RingVersion(body.get_u64());
    end(&body, "ring watch")?;
    Ok(newer_than)
}

/// The body of `RingIs`.
pub fn encode_ring(ring: &RingMap) -> Bytes {
    encode_versioned(ring).into()
}

/// Only a map that every key can be routed by.
pub fn decode_ring(body: &[u8]) -> Result<RingMap, BadBody> {
    let ring: RingMap = decode_versioned("ring map", body)?;
    if !ring.covers_every_slot_once() {
        return Err(BadBody::Layout { what: "ring map", rule: "the tablets do not cover every slot once" });
    }
    Ok(ring)
}
