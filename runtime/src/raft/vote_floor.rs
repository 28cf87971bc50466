//! The vote and log end that a node keeps when it drops its replica of a tablet: entries were acknowledged because of that log.
//! If the node gets a replica of the same tablet again, it starts with an empty log. Until that log is as long as the old one
//! was, the node votes only for candidates with at least the old log end, and does not campaign.
//!
//! *Invariant (D4):* a log that lost its tail does not help to elect a leader without that tail.

use bytes::Bytes;

use super::codec::{self, CodecError};
use super::types::{LogId, Vote};
use crate::log::GroupLog;

/// Bytes of the encoded vote at the beginning.
const VOTE_LENGTH_BYTES: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteFloor {
    pub vote: Option<Vote>,
    /// The last entry of the dropped log.
    pub last: Option<LogId>,
}

impl VoteFloor {
    /// The log end of a group that is about to be dropped, combined with earlier vote floors.
    pub fn of(log: &GroupLog, before: Option<&VoteFloor>) -> Result<VoteFloor, VoteFloorError> {
        let state = log.state();
        let vote = state.vote.map(codec::decode_vote).transpose()?;
        let purged = match state.purged {
            Some((_, marker)) => codec::decode_log_id(marker)?,
            None => None,
        };
        let last = match state.last_index {
            Some(index) => log.read(index..index + 1)?.pop(),
            None => None,
        };
        let last = last.map(|(index, bytes)| codec::decode_entry(index, bytes)).transpose()?;
        let last = last.map(|entry| entry.log_id).or(purged);
        Ok(VoteFloor {
            vote: later(vote, before.and_then(|vote_floor| vote_floor.vote)),
            last: last.max(before.and_then(|vote_floor| vote_floor.last)),
        })
    }

    pub fn encode(&self) -> Bytes {
        let vote = self.vote.as_ref().map(codec::encode_vote).unwrap_or_default();
        let length = (vote.len() as u16).to_be_bytes();
        [&length[..], &vote, &codec::encode_log_id(self.last.as_ref())].concat().into()
    }

    pub fn decode(bytes: &Bytes) -> Result<VoteFloor, VoteFloorError> {
        let length = bytes.first_chunk::<VOTE_LENGTH_BYTES>().ok_or(VoteFloorError::Short)?;
        let end = VOTE_LENGTH_BYTES + usize::from(u16::from_be_bytes(*length));
        if bytes.len() < end {
            return Err(VoteFloorError::Short);
        }
        let vote = bytes.slice(VOTE_LENGTH_BYTES..end);
        let vote = if vote.is_empty() { None } else { Some(codec::decode_vote(vote)?) };
        Ok(VoteFloor { vote, last: codec::decode_log_id(bytes.slice(end..))? })
    }
}

/// The later vote. Incomparable votes are of the same term; then the first one holds.
pub fn later(one: Option<Vote>, other: Option<Vote>) -> Option<Vote> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other > one { other } else { one }),
        (one, other) => one.or(other),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum VoteFloorError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the log cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("the stored vote floor is truncated")]
    Short,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::log_id;

    #[test]
    fn a_promise_reads_back_as_written_and_nothing_shorter_is_one() {
        for vote_floor in [
            VoteFloor { vote: None, last: None },
            VoteFloor { vote: Some(Vote::new(3, 2)), last: Some(log_id(3, 99)) },
        ] {
            let bytes = vote_floor.encode();
            assert_eq!(VoteFloor::decode(&bytes).unwrap(), vote_floor);
            for cut in 0..bytes.len() {
                assert!(VoteFloor::decode(&bytes.slice(..cut)).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_later_vote_holds() {
        let (two, three) = (Some(Vote::new(2, 9)), Some(Vote::new(3, 1)));
        assert_eq!(
            [later(two, three), later(three, two), later(None, two), later(two, None)],
            [three, three, two, two]
        );
    }
}
