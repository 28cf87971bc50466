//! Frames as bytes: the header that `dkc_core::wire` lays down, written in place so that a body is encoded
//! straight into the outgoing buffer, and read without copying.

use bytes::{Buf, BufMut, BytesMut};
use dkc_core::ids::GroupId;
use dkc_core::wire::{Frame, HEADER_BYTES, Kind, WIRE_VERSION};

/// Bytes of the header that the length field counts.
const COUNTED_HEADER_BYTES: usize = HEADER_BYTES - 4;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {bytes} bytes; at most {bytes_max} are allowed here")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("a frame of {0} bytes is shorter than its header")]
    TooShort(usize),
    #[error("wire version {0}, this program speaks {WIRE_VERSION}")]
    Version(u8),
    #[error("unknown kind of frame {0}")]
    Kind(u8),
}

/// Appends one frame whose body is what `body` writes. When it comes out larger than `bytes_max`, nothing is
/// appended.
pub fn append(
    out: &mut BytesMut,
    kind: Kind,
    id: u64,
    group: GroupId,
    bytes_max: usize,
    body: impl FnOnce(&mut BytesMut),
) -> Result<(), FrameError> {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(WIRE_VERSION);
    out.put_u8(kind as u8);
    out.put_u64(id);
    out.put_u16(group.0);
    body(out);
    let bytes = out.len() - start;
    if bytes > bytes_max {
        out.truncate(start);
        return Err(FrameError::TooLarge { bytes, bytes_max });
    }
    out[start..start + 4].copy_from_slice(&((bytes - 4) as u32).to_be_bytes());
    Ok(())
}

/// Takes the next whole frame off the front. `Ok(None)`: more bytes are needed.
pub fn take(input: &mut BytesMut, bytes_max: usize) -> Result<Option<Frame>, FrameError> {
    if input.len() < 4 {
        return Ok(None);
    }
    let counted = u32::from_be_bytes([input[0], input[1], input[2], input[3]]) as usize;
    if counted < COUNTED_HEADER_BYTES {
        return Err(FrameError::TooShort(counted));
    }
    if counted + 4 > bytes_max {
        return Err(FrameError::TooLarge { bytes: counted + 4, bytes_max });
    }
    if input.len() > 4 && input[4] != WIRE_VERSION {
        return Err(FrameError::Version(input[4]));
    }
    if input.len() < counted + 4 {
        return Ok(None);
    }
    let mut frame = input.split_to(counted + 4);
    frame.advance(5);
    let number = frame.get_u8();
    let kind = kind_of(number).ok_or(FrameError::Kind(number))?;
    let (id, group) = (frame.get_u64(), GroupId(frame.get_u16()));
    Ok(Some(Frame { kind, id, group, body: frame.freeze() }))
}

/// Bytes that are still missing for the frame at the front; 0 when that is not known yet.
pub fn missing_bytes(input: &BytesMut) -> usize {
    match input.first_chunk::<4>() {
        Some(length) => (u32::from_be_bytes(*length) as usize + 4).saturating_sub(input.len()),
        None => 0,
    }
}

fn kind_of(number: u8) -> Option<Kind> {
    Some(match number {
        1 => Kind::Hello,
        2 => Kind::HelloAccepted,
        3 => Kind::Refused,
        10 => Kind::Request,
        11 => Kind::Answer,
        12 => Kind::RingWatch,
        13 => Kind::RingIs,
        20 => Kind::RaftAppend,
        21 => Kind::RaftVote,
        22 => Kind::RaftTransfer,
        23 => Kind::RaftSnapshot,
        24 => Kind::MetaPropose,
        25 => Kind::PeerAnswer,
        26 => Kind::PeerControl,
        30 => Kind::Ping,
        31 => Kind::Pong,
        _ => return None,
    })
}
