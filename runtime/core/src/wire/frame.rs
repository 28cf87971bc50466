//! Frames in and out of a connection's buffers.
//!
//! *Invariant:* a length is checked against the limit before anything is allocated for it, and the body is a slice
//! of the buffer it came in, never a copy.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Frame, HEADER_BYTES, Kind, WIRE_VERSION};
use crate::ids::GroupId;

/// Bytes of the length field, which does not count itself.
const LENGTH_BYTES: usize = 4;
/// What the length counts at least: version, kind, id and group.
const REST_MIN_BYTES: usize = HEADER_BYTES - LENGTH_BYTES;
/// Room is made for a large frame in steps, so that a peer has to send bytes before it costs memory.
const RESERVE_STEP_BYTES: usize = 1024 * 1024;

/// Why bytes are not a frame. After any of these the connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Refused before any memory is taken for it.
    #[error("a frame of {length} bytes; at most {max} are allowed here")]
    TooLong {
        /// With the length field.
        length: usize,
        /// The limit at this moment: small before Hello, large after.
        max: usize,
    },
    /// The length does not even cover the header.
    #[error("a frame of {length} bytes is shorter than a frame's header")]
    TooShort {
        /// What the length field says.
        length: usize,
    },
    /// The layout behind the version is unknown.
    #[error("wire version {found}; this program speaks {WIRE_VERSION}")]
    Version {
        /// What the peer speaks.
        found: u8,
    },
    /// Unknown to this release, or not dkc at all.
    #[error("frame kind {found} is unknown")]
    Kind {
        /// The byte in the header.
        found: u8,
    },
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Kind; 21] = [
        Kind::Hello,
        Kind::HelloAccepted,
        Kind::Refused,
        Kind::Request,
        Kind::Answer,
        Kind::RingWatch,
        Kind::RingIs,
        Kind::Certify,
        Kind::CertifyAnswer,
        Kind::AnchorsAre,
        Kind::Enrol,
        Kind::EnrolAnswer,
        Kind::RaftAppend,
        Kind::RaftVote,
        Kind::RaftTransfer,
        Kind::RaftSnapshot,
        Kind::MetaPropose,
        Kind::PeerAnswer,
        Kind::PeerControl,
        Kind::Ping,
        Kind::Pong,
    ];

    /// `None` for numbers that this release does not know.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The bytes before a body of `body_bytes` bytes, for writers that send header and body as two slices.
pub fn header(kind: Kind, id: u64, group: GroupId, body_bytes: usize) -> [u8; HEADER_BYTES] {
    let length = u32::try_from(REST_MIN_BYTES + body_bytes).expect("a body is bounded far below 4 GiB");
    let mut header = [0; HEADER_BYTES];
    let mut out = &mut header[..];
    out.put_u32(length);
    out.put_u8(WIRE_VERSION);
    out.put_u8(kind as u8);
    out.put_u64(id);
    out.put_u16(group.0);
    header
}

/// Appends a frame whose body is written by `body`, without a buffer in between.
pub fn encode_with(
    kind: Kind,
    id: u64,
    group: GroupId,
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut),
) {
    let start = out.len();
    out.put_slice(&header(kind, id, group, 0));
    body(out);
    let length = out.len() - start - LENGTH_BYTES;
    let length = u32::try_from(length).expect("a body is bounded far below 4 GiB");
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

impl Frame {
    /// Copies nothing.
    pub fn new(kind: Kind, id: u64, group: GroupId, body: Bytes) -> Frame {
        Frame { kind, id, group, body }
    }

    /// Bytes that `encode` appends.
    pub fn encoded_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Header and body, appended.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(self.encoded_bytes());
        out.put_slice(&header(self.kind, self.id, self.group, self.body.len()));
        out.put_slice(&self.body);
    }
}

/// Cuts a connection's input into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    frame_max_bytes: usize,
}

impl FrameDecoder {
    /// Small for a connection that has not said Hello; `set_max` later.
    pub fn new(frame_max_bytes: usize) -> FrameDecoder {
        FrameDecoder { frame_max_bytes }
    }

    /// After Hello has been accepted, larger frames may come.
    pub fn set_max(&mut self, frame_max_bytes: usize) {
        self.frame_max_bytes = frame_max_bytes;
    }

    /// Takes the next whole frame out of `input`; `None` = more bytes are needed (and room for them was made).
    pub fn decode(&self, input: &mut BytesMut) -> Result<Option<Frame>, BadFrame> {
        let Some(length) = input.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        let max = self.frame_max_bytes.saturating_sub(LENGTH_BYTES);
        if length > max {
            return Err(BadFrame::TooLong {
                length: length.saturating_add(LENGTH_BYTES),
                max: self.frame_max_bytes,
            });
        }
        if length < REST_MIN_BYTES {
            return Err(BadFrame::TooShort { length });
        }
        check_first_bytes(input)?;
        let missing = (LENGTH_BYTES + length).saturating_sub(input.len());
        if missing > 0 {
            input.reserve(missing.min(RESERVE_STEP_BYTES));
            return Ok(None);
        }
        input.advance(LENGTH_BYTES);
        let mut rest = input.split_to(length).freeze();
        rest.advance(1);
        let kind = rest.get_u8();
        let kind = Kind::from_number(kind).ok_or(BadFrame::Kind { found: kind })?;
        let (id, group) = (rest.get_u64(), GroupId(rest.get_u16()));
        Ok(Some(Frame { kind, id, group, body: rest }))
    }
}

/// Version and kind are judged as soon as they are here, so that a foreign client is refused without waiting.
fn check_first_bytes(input: &BytesMut) -> Result<(), BadFrame> {
    match input.get(LENGTH_BYTES) {
        Some(&version) if version != WIRE_VERSION => return Err(BadFrame::Version { found: version }),
        _ => {}
    }
    match input.get(LENGTH_BYTES + 1) {
        Some(&kind) if Kind::from_number(kind).is_none() => Err(BadFrame::Kind { found: kind }),
        _ => Ok(()),
    }
}
