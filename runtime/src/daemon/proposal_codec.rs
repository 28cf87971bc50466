//! Encodes the meta group leader's reply to a command that another server forwarded to it.

use bytes::Bytes;
use dkc_core::ids::NodeId;
use dkc_core::meta::MetaReply;

use crate::raft::NotProposed;

/// The answer to a forwarded meta command: `0`, an index by which it was applied, and the reply; `1` and the leader (0 =
/// unknown); or `2`, unknown.
pub fn encode_proposed(result: &Result<(MetaReply, u64), NotProposed>) -> Bytes {
    let mut out = Vec::new();
    match result {
        Ok((reply, applied)) => {
            out.push(0);
            out.extend_from_slice(&applied.to_be_bytes());
            out.extend_from_slice(&reply.encode());
        }
        Err(NotProposed::NotLeader(leader)) => {
            out.push(1);
            out.extend_from_slice(&leader.map_or(0, |node| node.0).to_be_bytes());
        }
        Err(NotProposed::Unknown) => out.push(2),
    }
    out.into()
}

/// An invalid reply is an unknown outcome.
pub fn decode_proposed(body: &[u8]) -> Result<(MetaReply, u64), NotProposed> {
    match body.split_first() {
        Some((0, rest)) => {
            let (applied, reply) = rest.split_first_chunk().ok_or(NotProposed::Unknown)?;
            let reply = MetaReply::decode(reply).map_err(|_| NotProposed::Unknown)?;
            Ok((reply, u64::from_be_bytes(*applied)))
        }
        Some((1, leader)) => {
            let leader = leader.try_into().map_or(0, u64::from_be_bytes);
            Err(NotProposed::NotLeader((leader != 0).then_some(NodeId(leader))))
        }
        _ => Err(NotProposed::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: Result<(MetaReply, u64), NotProposed>) {
        assert_eq!(decode_proposed(&encode_proposed(&result)), result);
    }

    #[test]
    fn answers_to_forwarded_commands_read_back_as_written() {
        check(Ok((MetaReply::Done, 0x0102_0304_0506_0708)));
        check(Err(NotProposed::NotLeader(Some(NodeId(3)))));
        check(Err(NotProposed::NotLeader(None)));
        check(Err(NotProposed::Unknown));
        for torn in [&b""[..], &[0, 0, 0], &[0; 9], &[3]] {
            assert_eq!(decode_proposed(torn), Err(NotProposed::Unknown));
        }
    }
}
