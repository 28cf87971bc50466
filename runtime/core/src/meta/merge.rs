//! The merge: MERGE computes where every tablet should live and lists the moves; the driver of the runtime adds
//! learners (`MoveStarted`), waits until they have caught up (`CaughtUp`); COMPMERGE lets it change the voters
//! (`MoveDone`); ABORTMERGE drops the learners.
//!
//! *Invariant (M6):* nothing is taken from the ring before every replacement has caught up; voters change only
//! after COMPMERGE.
//! *Invariant:* the driver needs no memory of its own: `steps` says from the state alone what is to be done, so a
//! new meta leader continues where the old one stopped.

use serde::{Deserialize, Serialize};

use super::apply::Outcome;
use super::service::notation;
use super::{Leaving, MemberChange, MetaCommand, MetaReply, MetaState, Refused};
use crate::ids::{NodeId, RingVersion, TabletId};
use crate::ring::{
    ActionProgress, Assigned, Assignment, InRing, MemberAction, Node, RingMap, placement_after,
};

/// A merge from MERGE until its last move is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The ring version that MERGE made: names this merge among all that ever were.
    pub id: RingVersion,
    /// The placement as it will be.
    pub target: Assignment,
    /// Only tablets whose voters change, in tablet order.
    pub moves: Vec<Move>,
    /// COMPMERGE was given: there is no way back.
    is_completing: bool,
}

/// What happens to the replicas of one tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Whose voters change.
    pub tablet: TabletId,
    /// Nodes that become voters; learners until COMPMERGE.
    pub add: Vec<NodeId>,
    /// Voters that drop their replica at the end.
    pub remove: Vec<NodeId>,
    /// How far it is; never goes back.
    pub state: MoveState,
}

/// In the order in which a move passes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MoveState {
    /// The new replicas are not learners yet.
    Waiting,
    /// Learners that receive a snapshot or the log.
    CatchingUp,
    /// Every new replica has the log but for a few entries; waits for COMPMERGE.
    CaughtUp,
    /// The group has its new voters.
    Done,
}

/// What the driver should do next. All are idempotent and end in a meta command that names
/// the merge (`Merge::id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeStep {
    /// Add these as learners to the tablet's group, then propose `MoveStarted`.
    AddLearners {
        /// Whose group.
        tablet: TabletId,
        /// `Move::add`.
        learners: Vec<NodeId>,
    },
    /// Wait until these have caught up, then propose `CaughtUp`.
    AwaitCaughtUp {
        /// Whose group.
        tablet: TabletId,
        /// `Move::add`.
        learners: Vec<NodeId>,
    },
    /// Change the tablet's voters to these, then propose `MoveDone`.
    ChangeVoters {
        /// Whose group.
        tablet: TabletId,
        /// All voters as the target has them.
        voters: Vec<NodeId>,
    },
    /// Automerge: propose this.
    Propose(MetaCommand),
}

impl Merge {
    /// COMPMERGE was given: aborting is refused from here on.
    pub fn is_completing(&self) -> bool {
        self.is_completing
    }

    /// Every move has caught up: COMPMERGE may come.
    pub fn is_caught_up(&self) -> bool {
        self.moves.iter().all(|one| one.state >= MoveState::CaughtUp)
    }

    /// How far the merge is, for refusals and status.
    pub fn describe(&self) -> String {
        let all = self.moves.len();
        let at_least = |state| self.moves.iter().filter(|one| one.state >= state).count();
        if self.is_completing {
            return format!("COMPMERGE is running ({} of {all} tablets done)", at_least(MoveState::Done));
        }
        if self.is_caught_up() {
            return format!("a merge is Done ({all} of {all} tablets have caught up)");
        }
        format!("a merge is Doing ({} of {all} tablets have caught up)", at_least(MoveState::CaughtUp))
    }

    fn move_of(&mut self, tablet: TabletId) -> Option<&mut Move> {
        self.moves.iter_mut().find(|one| one.tablet == tablet)
    }
}

impl MetaState {
    pub(super) fn start_merge(&mut self) -> Outcome {
        self.check_nothing_splits("MERGE")?;
        if let Some(merge) = &self.merge {
            let next = match (merge.is_completing, merge.is_caught_up()) {
                (true, _) => "wait until COMPMERGE has ended",
                (false, true) => "COMPMERGE",
                (false, false) => "wait until all is Done, or ABORTMERGE",
            };
            return illegal("MERGE", merge.describe(), next);
        }
        let ring = self.founded_ring_mut()?;
        if !ring.nodes.iter().any(|node| node.operate == ActionProgress::Pending) {
            return illegal("MERGE", "no member is [Pending]".into(), "SERVICEIN or SERVICEOUT");
        }
        ring.version.0 += 1;
        let merge = plan_merge(ring);
        for node in ring.nodes.iter_mut().filter(|node| node.operate == ActionProgress::Pending) {
            node.operate = ActionProgress::Doing;
        }
        self.is_automerge_held = false;
        self.merge = Some(merge);
        self.mark_done_nodes();
        Ok(MetaReply::Done)
    }

    pub(super) fn move_started(&mut self, id: RingVersion, tablet: TabletId) -> Outcome {
        let Some(merge) = self.merge_of(id) else { return no_merge("starting a move") };
        let one = merge.move_of(tablet).ok_or(Refused::NoSuchTablet(tablet))?;
        if one.state == MoveState::Waiting {
            one.state = MoveState::CatchingUp;
            let learners = one.add.clone();
            let ring = self.founded_ring_mut()?;
            ring.place_of_mut(tablet).ok_or(Refused::NoSuchTablet(tablet))?.learners = learners;
            ring.version.0 += 1;
        }
        Ok(MetaReply::Done)
    }

    pub(super) fn caught_up(&mut self, id: RingVersion, tablet: TabletId) -> Outcome {
        let Some(merge) = self.merge_of(id) else { return no_merge("catching up") };
        let one = merge.move_of(tablet).ok_or(Refused::NoSuchTablet(tablet))?;
        match one.state {
            MoveState::Waiting => {
                let state = format!("the move of tablet {tablet} has not started");
                return illegal("catching up", state, "the start of the move");
            }
            MoveState::CatchingUp => one.state = MoveState::CaughtUp,
            MoveState::CaughtUp | MoveState::Done => {}
        }
        self.mark_done_nodes();
        Ok(MetaReply::Done)
    }

    pub(super) fn complete_merge(&mut self) -> Outcome {
        let Some(merge) = self.merge.as_mut() else { return self.refuse_without_merge("COMPMERGE") };
        if !merge.is_caught_up() {
            return illegal("COMPMERGE", merge.describe(), "wait until all is Done, or ABORTMERGE");
        }
        merge.is_completing = true;
        // A merge that only passes leadership on, or adds a node that gets nothing, has no move to wait for.
        self.finish_when_all_done()
    }

    pub(super) fn move_done(&mut self, id: RingVersion, tablet: TabletId) -> Outcome {
        let Some(merge) = self.merge_of(id) else { return no_merge("ending a move") };
        if !merge.is_completing {
            return illegal("ending a move", merge.describe(), "COMPMERGE");
        }
        let one = merge.move_of(tablet).ok_or(Refused::NoSuchTablet(tablet))?;
        if one.state == MoveState::Done {
            return Ok(MetaReply::Done);
        }
        one.state = MoveState::Done;
        let given_up = one.remove.clone();
        let assigned = self.assigned(tablet).cloned().ok_or(Refused::NoSuchTablet(tablet))?;
        let ring = self.founded_ring_mut()?;
        let place = ring.place_of_mut(tablet).ok_or(Refused::NoSuchTablet(tablet))?;
        (place.voters, place.preferred_leader) = (assigned.voters, assigned.preferred_leader);
        place.learners.clear();
        place.epoch += 1;
        ring.version.0 += 1;
        let since = ring.version;
        self.leaving.extend(given_up.into_iter().map(|node| Leaving { tablet, node, since }));
        self.finish_when_all_done()
    }

    pub(super) fn confirm_move(&mut self, id: RingVersion, tablet: TabletId) -> Outcome {
        let Some(merge) = self.merge_of(id) else { return no_merge("moving a tablet") };
        let one = merge.move_of(tablet).ok_or(Refused::NoSuchTablet(tablet))?;
        match one.state {
            MoveState::Done => {
                illegal("moving a tablet", format!("tablet {tablet} has moved"), "the end of the merge")
            }
            MoveState::Waiting => {
                let add = one.add.clone();
                match add.into_iter().find(|node| self.is_leaving(tablet, *node)) {
                    Some(node) => illegal(
                        "moving a tablet",
                        format!("node {node} has not dropped its earlier replica of tablet {tablet}"),
                        "the end of that",
                    ),
                    None => Ok(MetaReply::Done),
                }
            }
            _ => Ok(MetaReply::Done),
        }
    }

    /// Between this and `ReplicaDropped` no merge gives the replica back.
    pub(super) fn leave_replica(&mut self, tablet: TabletId, node: NodeId) -> Outcome {
        let ring = self.founded_ring()?;
        let place = ring.place_of(tablet).ok_or(Refused::NoSuchTablet(tablet))?;
        let since = ring.version;
        let is_coming = self
            .merge
            .iter()
            .flat_map(|merge| &merge.moves)
            .any(|one| one.tablet == tablet && one.add.contains(&node) && one.state != MoveState::Done);
        let is_leaving = self.is_leaving(tablet, node);
        if place.replicas().any(|replica| replica == node) || (is_coming && !is_leaving) {
            let state = format!("node {node} holds a replica of tablet {tablet}, or is about to");
            return illegal("dropping a replica", state, "SERVICEOUT, then MERGE");
        }
        if !is_leaving {
            self.leaving.push(Leaving { tablet, node, since });
        }
        Ok(MetaReply::Done)
    }

    /// Where the merge that runs puts a tablet. Its target is in the order of the ring map, which does not change meanwhile.
    fn assigned(&self, tablet: TabletId) -> Option<&Assigned> {
        let at = self.ring.as_ref()?.tablets.iter().position(|place| place.tablet == tablet)?;
        self.merge.as_ref()?.target.tablets.get(at)
    }

    fn merge_of(&mut self, id: RingVersion) -> Option<&mut Merge> {
        self.merge.as_mut().filter(|merge| merge.id == id)
    }

    /// After the last move: ADD ends as [SERVICE IN], DELETE as [SERVICE OUT], and leadership is as planned.
    fn finish_when_all_done(&mut self) -> Outcome {
        if self.merge.as_ref().is_none_or(|merge| merge.moves.iter().any(|one| one.state != MoveState::Done))
        {
            return Ok(MetaReply::Done);
        }
        let Some(merge) = self.merge.take() else { return Ok(MetaReply::Done) };
        let ring = self.founded_ring_mut()?;
        for (place, assigned) in ring.tablets.iter_mut().zip(merge.target.tablets) {
            place.preferred_leader = assigned.preferred_leader;
        }
        for node in ring.nodes.iter_mut().filter(|node| node.operate == ActionProgress::Done) {
            if node.action == MemberAction::Delete {
                node.in_ring = InRing::ServiceOut;
            }
            (node.action, node.operate) = (MemberAction::None, ActionProgress::Nothing);
        }
        ring.version.0 += 1;
        Ok(MetaReply::Done)
    }

    /// ADD goes back to Pending. DELETE goes back to [n/a]: no data has left it, so nothing is pending.
    pub(super) fn abort_merge(&mut self) -> Outcome {
        if let Some(merge) = self.merge.as_ref().filter(|merge| merge.is_completing) {
            return illegal("ABORTMERGE", merge.describe(), "wait until COMPMERGE has ended");
        }
        let ring = self.founded_ring()?;
        if self.merge.is_none() && !ring.nodes.iter().any(|node| node.action == MemberAction::Delete) {
            return self.refuse_without_merge("ABORTMERGE");
        }
        self.merge = None;
        self.is_automerge_held = true;
        let ring = self.founded_ring_mut()?;
        let mut given_up = Vec::new();
        for place in &mut ring.tablets {
            given_up.extend(std::mem::take(&mut place.learners).into_iter().map(|node| (place.tablet, node)));
        }
        for node in &mut ring.nodes {
            (node.action, node.operate) = match node.action {
                MemberAction::Add => (MemberAction::Add, ActionProgress::Pending),
                MemberAction::Delete | MemberAction::None => (MemberAction::None, ActionProgress::Nothing),
            };
        }
        ring.version.0 += 1;
        let since = ring.version;
        self.leaving.extend(given_up.into_iter().map(|(tablet, node)| Leaving { tablet, node, since }));
        Ok(MetaReply::Done)
    }

    /// A node is Done when every move that gives it or takes from it a replica has caught up.
    fn mark_done_nodes(&mut self) {
        let (Some(merge), Some(ring)) = (&self.merge, &mut self.ring) else { return };
        let is_open = |node: &Node| {
            let concerns =
                |one: &&Move| one.add.contains(&node.node_id) || one.remove.contains(&node.node_id);
            merge.moves.iter().filter(concerns).any(|one| one.state < MoveState::CaughtUp)
        };
        let mut is_changed = false;
        for node in &mut ring.nodes {
            if node.operate == ActionProgress::Doing && !is_open(node) {
                node.operate = ActionProgress::Done;
                is_changed = true;
            }
        }
        ring.version.0 += u64::from(is_changed);
    }

    fn refuse_without_merge(&self, word: &str) -> Outcome {
        let nodes = &self.founded_ring()?.nodes;
        match nodes.iter().find(|node| node.operate == ActionProgress::Pending) {
            Some(node) => illegal(word, notation(node), "MERGE"),
            None => illegal(word, "nothing is merging".into(), "SERVICEIN or SERVICEOUT"),
        }
    }

    /// What the driver on the meta leader should do now. `incoming_max` bounds how many tablets catch up at once
    /// on any one node, so that snapshots do not drown the foreground.
    pub fn steps(&self, incoming_max: usize) -> Vec<MergeStep> {
        let Some(merge) = &self.merge else { return self.automerge_step().into_iter().collect() };
        if merge.is_completing {
            let open = merge.moves.iter().filter(|one| one.state != MoveState::Done);
            let change_voters = |one: &Move| {
                let voters = self.assigned(one.tablet)?.voters.clone();
                Some(MergeStep::ChangeVoters { tablet: one.tablet, voters })
            };
            return open.filter_map(change_voters).collect();
        }
        let catching_up = |one: &&Move| one.state == MoveState::CatchingUp;
        let mut incoming: Vec<NodeId> =
            merge.moves.iter().filter(catching_up).flat_map(|one| one.add.iter().copied()).collect();
        let mut steps = Vec::new();
        for one in &merge.moves {
            let (tablet, learners) = (one.tablet, one.add.clone());
            let has_room =
                |node: &NodeId| incoming.iter().filter(|busy| *busy == node).count() < incoming_max.max(1);
            match one.state {
                MoveState::CatchingUp => steps.push(MergeStep::AwaitCaughtUp { tablet, learners }),
                MoveState::Waiting
                    if learners.iter().all(|node| has_room(node) && !self.is_leaving(tablet, *node)) =>
                {
                    incoming.extend(&learners);
                    steps.push(MergeStep::AddLearners { tablet, learners });
                }
                _ => {}
            }
        }
        if merge.is_caught_up() {
            steps.extend(self.automerge_step());
        }
        steps
    }

    /// The node has not dropped an earlier replica of the tablet.
    fn is_leaving(&self, tablet: TabletId, node: NodeId) -> bool {
        self.leaving.iter().any(|one| (one.tablet, one.node) == (tablet, node))
    }

    fn automerge_step(&self) -> Option<MergeStep> {
        if !self.is_automerge || self.is_merge_suspended || self.is_automerge_held {
            return None;
        }
        let is_pending = self.ring()?.nodes.iter().any(|node| node.operate == ActionProgress::Pending);
        let change = match &self.merge {
            Some(merge) if merge.is_caught_up() && !merge.is_completing => MemberChange::CompleteMerge,
            None if is_pending && self.splits().is_empty() => MemberChange::Merge,
            _ => return None,
        };
        let operation = self.operation.as_ref().map(|operation| operation.id);
        Some(MergeStep::Propose(MetaCommand::Change { operation, change }))
    }
}

/// The placement over all members that stay or come, and what has to move for it.
fn plan_merge(ring: &RingMap) -> Merge {
    let target = placement_after(ring, &[], &[]);
    let only_in = |these: &[NodeId], others: &[NodeId]| -> Vec<NodeId> {
        these.iter().copied().filter(|node| !others.contains(node)).collect()
    };
    let mut moves = Vec::new();
    for (place, assigned) in ring.tablets.iter().zip(&target.tablets) {
        let add = only_in(&assigned.voters, &place.voters);
        let remove = only_in(&place.voters, &assigned.voters);
        if add.is_empty() && remove.is_empty() {
            continue;
        }
        // Without a newcomer there is nothing to wait for.
        let state = if add.is_empty() { MoveState::CaughtUp } else { MoveState::Waiting };
        moves.push(Move { tablet: place.tablet, add, remove, state });
    }
    Merge { id: ring.version, target, moves, is_completing: false }
}

fn illegal(word: &str, state: String, next: &str) -> Outcome {
    Err(Refused::Illegal { word: word.into(), state, next: next.into() })
}

/// A late word of a driver whose merge was aborted or has ended meanwhile.
fn no_merge(word: &str) -> Outcome {
    illegal(word, "that merge does not run (any more)".into(), "MERGE")
}
