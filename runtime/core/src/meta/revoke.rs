//! An identity that is taken back. The ring version rises with it, because that is what every server looks at its connections for.

use super::apply::Outcome;
use super::{MetaReply, MetaState, Refused, RevokedSlave};
use crate::ids::{NodeUuid, SlaveId};

/// Revoked identities that are remembered: far more than slaves are lost, and few enough for every snapshot.
pub const REVOKED_MAX: usize = 16_384;

impl MetaState {
    /// Idempotent. An identity is never given back: the slave gets another one.
    pub(super) fn revoke_slave(&mut self, uuid: NodeUuid, id: SlaveId, by: &str) -> Outcome {
        let ring = self.founded_ring()?;
        if let Some(node) = ring.nodes.iter().find(|node| node.uuid == uuid) {
            return Err(Refused::Illegal {
                word: "revoking".into(),
                state: format!("{uuid} is No.{}, a server", node.number),
                next: "shrink or replace takes a server out".into(),
            });
        }
        if self.revoked.contains_key(&uuid) {
            return Ok(MetaReply::Done);
        }
        if self.revoked.len() >= REVOKED_MAX {
            return Err(Refused::Illegal {
                word: "revoking".into(),
                state: format!("{REVOKED_MAX} identities are revoked, as many as are remembered"),
                next: "tls rotate --ca, which ends all certificates there are".into(),
            });
        }
        self.revoked.insert(uuid, RevokedSlave { id, by: by.to_owned() });
        self.founded_ring_mut()?.version.0 += 1;
        Ok(MetaReply::Done)
    }
}
