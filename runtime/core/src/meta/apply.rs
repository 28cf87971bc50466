//! Which command goes where, and the two rules that precede them: the cluster is founded, and the
//! operation that runs is the one that asks.

use super::{
    Leaving, MemberChange, MembershipOperation, MetaCommand, MetaReply, MetaState, OperationId, Refused,
};
use crate::ring::RingMap;

pub(super) type Outcome = Result<MetaReply, Refused>;

impl MetaState {
    /// Carries out one command of the log.
    pub fn apply(&mut self, command: &MetaCommand) -> MetaReply {
        let before = self.marks();
        let reply = self.try_apply(command).unwrap_or_else(MetaReply::Refused);
        let after = self.marks();
        debug_assert!(
            before.0 <= after.0 && before.1 <= after.1 && before.2 <= after.2,
            "{command:?} took ring version, next id and removed nodes from {before:?} to {after:?}"
        );
        debug_assert_eq!(self.ring().and_then(RingMap::flaw), None, "after {command:?}");
        reply
    }

    /// What only grows: the ring version, the next node id, the number of nodes removed.
    fn marks(&self) -> (u64, u64, usize) {
        (self.ring().map_or(0, |ring| ring.version.0), self.next_node_id.0, self.removed.len())
    }

    fn try_apply(&mut self, command: &MetaCommand) -> Outcome {
        match command {
            MetaCommand::Found { cluster, nodes, tablets, replicas } => {
                self.found(*cluster, nodes, *tablets, *replicas)
            }
            MetaCommand::TabletFounded { tablet } => self.tablet_founded(*tablet),
            MetaCommand::BeginOperation { id, holder, what } => self.begin_operation(*id, holder, what),
            MetaCommand::EndOperation { id } => self.end_operation(*id),
            MetaCommand::Change { operation, change } => {
                self.check_operation(*operation)?;
                self.change(change)
            }
            MetaCommand::MoveStarted { merge, tablet } => self.move_started(*merge, *tablet),
            MetaCommand::CaughtUp { merge, tablet } => self.caught_up(*merge, *tablet),
            MetaCommand::MoveDone { merge, tablet } => self.move_done(*merge, *tablet),
            MetaCommand::ConfirmMove { merge, tablet } => self.confirm_move(*merge, *tablet),
            MetaCommand::LeaveReplica { tablet, node } => self.leave_replica(*tablet, *node),
            MetaCommand::ReplicaDropped { tablet, node, since } => {
                let leaving = Leaving { tablet: *tablet, node: *node, since: *since };
                self.leaving.retain(|one| *one != leaving);
                Ok(MetaReply::Done)
            }
            MetaCommand::TabletSplit { child } => self.tablet_split(*child),
            MetaCommand::RevokeSlave { uuid, id, by } => self.revoke_slave(*uuid, *id, by),
            MetaCommand::IssueToken { token, now_ms } => self.issue_token(token, *now_ms),
            MetaCommand::RevokeToken { id, by } => self.revoke_token(*id, by),
            MetaCommand::ExpireTokens { now_ms } => self.expire_tokens(*now_ms),
            MetaCommand::RedeemToken { id, hash, slave, now_ms } => {
                self.redeem_token(*id, hash, *slave, *now_ms)
            }
            MetaCommand::SetAutomerge { is_on } => {
                self.is_automerge = *is_on;
                Ok(MetaReply::Done)
            }
        }
    }

    fn change(&mut self, change: &MemberChange) -> Outcome {
        match change {
            MemberChange::RegisterNode { node_id, uuid, number, address, zone } => {
                self.register_node(*node_id, *uuid, *number, address, zone.as_deref())
            }
            MemberChange::ServiceIn { node } => self.service_in(*node),
            MemberChange::ServiceOut { node } => self.service_out(*node),
            MemberChange::Merge => self.start_merge(),
            MemberChange::CompleteMerge => self.complete_merge(),
            MemberChange::AbortMerge => self.abort_merge(),
            MemberChange::SuspendMerge => {
                self.is_merge_suspended = true;
                Ok(MetaReply::Done)
            }
            MemberChange::NoSuspendMerge => {
                self.is_merge_suspended = false;
                self.is_automerge_held = false;
                Ok(MetaReply::Done)
            }
            MemberChange::RemoveNode { node } => self.remove_node(*node),
            MemberChange::SplitTablet { tablet, child } => self.split_tablet(*tablet, *child),
        }
    }

    fn begin_operation(&mut self, id: OperationId, holder: &str, what: &str) -> Outcome {
        self.founded_ring()?;
        match &self.operation {
            Some(running) if running.id != id => Err(held_by(running)),
            Some(_) => Ok(MetaReply::Done),
            None => {
                self.operation =
                    Some(MembershipOperation { id, holder: holder.to_owned(), what: what.to_owned() });
                Ok(MetaReply::Done)
            }
        }
    }

    fn end_operation(&mut self, id: OperationId) -> Outcome {
        if self.operation.as_ref().is_some_and(|running| running.id == id) {
            self.operation = None;
        }
        Ok(MetaReply::Done)
    }

    fn check_operation(&self, asked: Option<OperationId>) -> Result<(), Refused> {
        match (&self.operation, asked) {
            (None, None) => Ok(()),
            (Some(running), Some(id)) if running.id == id => Ok(()),
            (Some(running), _) => Err(held_by(running)),
            (None, Some(id)) => Err(Refused::NoSuchOperation(id)),
        }
    }

    pub(super) fn founded_ring(&self) -> Result<&RingMap, Refused> {
        self.ring.as_ref().ok_or(Refused::NotFounded)
    }

    pub(super) fn founded_ring_mut(&mut self) -> Result<&mut RingMap, Refused> {
        self.ring.as_mut().ok_or(Refused::NotFounded)
    }
}

fn held_by(running: &MembershipOperation) -> Refused {
    Refused::Held { id: running.id, holder: running.holder.clone(), what: running.what.clone() }
}
