//! The driver of a merge. The meta state determines the steps (`MetaState::steps`); each server performs those of the
//! tablets that it leads, and the leader of the meta group advances automerge. The driver is stateless: after
//! a crash or a change of leaders the new leader repeats the current step.
//!
//! *Invariant (M6):* voters change only when all new ones have caught up at that moment, or when one of them has
//! been silent for long and a majority of the new voters has caught up.
//! *Invariant:* a group's members are changed only after the meta group has confirmed the move, and only if they have
//! not changed since this node read them: a node with a stale view does no harm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::Switch;
use dkc_core::ids::{NodeId, RingVersion, TabletId};
use dkc_core::meta::{MergeStep, MetaCommand, MetaReply, MetaState};
use dkc_core::mutant::{self, Mutant};

use tokio::time::Instant;

use super::leadership::Leadership;
use super::liveness::Liveness;
use super::local_node::LocalNode;
use super::meta_group::MetaGroup;
use super::replicas::Replicas;
use crate::raft::{Group, GroupError, NotProposed};

/// Poll interval while a merge runs.
const LOOK_DOING: Duration = Duration::from_millis(100);
/// Poll interval otherwise.
const LOOK_IDLE: Duration = Duration::from_millis(500);
/// Timeout of one step, after which it is retried.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Timeout of a report to the meta group.
const REPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// A learner that lags its leader by at most this many entries has caught up.
const LAG_MAX_ENTRIES: u64 = 64;
/// How long to wait for a silent new voter after COMPMERGE; the replica it replaces still serves.
const STRAGGLER_GRACE: Duration = Duration::from_secs(30);

/// Why a step was not done. It is retried soon.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error("the meta group did not accept it: {0:?}")]
    NotProposed(NotProposed),
    #[error("refused: {0}")]
    Refused(String),
    #[error("waiting for node {0}")]
    Behind(NodeId),
    #[error("not done within {} s", STEP_MAX.as_secs())]
    Slow,
}

/// When the wait for new voters after COMPMERGE began, by merge and tablet.
type Stragglers = BTreeMap<(RingVersion, TabletId), Instant>;

pub struct MergeDriver {
    local: Arc<LocalNode>,
    meta: Arc<MetaGroup>,
    replicas: Arc<Replicas>,
    liveness: Arc<Liveness>,
    leadership: Arc<Leadership>,
}

impl MergeDriver {
    pub fn new(
        local: Arc<LocalNode>,
        meta: Arc<MetaGroup>,
        replicas: Arc<Replicas>,
        liveness: Arc<Liveness>,
        leadership: Arc<Leadership>,
    ) -> MergeDriver {
        MergeDriver { local, meta, replicas, liveness, leadership }
    }

    /// Performs the steps that the meta state requires of this node, for as long as it is polled.
    pub async fn run(self) {
        let mut meta = self.meta.subscribe();
        let mut stragglers = Stragglers::new();
        loop {
            let state = meta.borrow_and_update().clone();
            let look = if state.merge().is_some() { LOOK_DOING } else { LOOK_IDLE };
            if state.is_founded() && !self.leadership.is_stopping() {
                self.keep_automerge(&state).await;
                self.do_steps(&state, &mut stragglers).await;
                self.remove_leftover_learners(&state).await;
            }
            if let Ok(Err(_)) = tokio::time::timeout(look, meta.changed()).await {
                return;
            }
        }
    }

    /// Advances merges if the configuration of this node, the leader of the meta group, has automerge on.
    async fn keep_automerge(&self, state: &MetaState) {
        let is_on = self.local.parameters().automerge == Switch::On;
        if self.meta.group().is_leader() && state.is_automerge() != is_on {
            // Retried if it failed.
            let _ = self.meta.propose_here(&MetaCommand::SetAutomerge { is_on }, REPORT_TIMEOUT).await;
        }
    }

    async fn do_steps(&self, state: &MetaState, stragglers: &mut Stragglers) {
        let merge = state.merge().map_or(RingVersion(0), |merge| merge.id);
        stragglers.retain(|(of, _), _| *of == merge);
        let mut doing = Vec::new();
        for step in state.steps(self.local.parameters().merge_incoming_max as usize) {
            let since = match &step {
                MergeStep::ChangeVoters { tablet, .. } => {
                    *stragglers.entry((merge, *tablet)).or_insert_with(Instant::now)
                }
                _ => Instant::now(),
            };
            doing.push(self.do_step(merge, step, since));
        }
        futures::future::join_all(doing).await;
    }

    async fn do_step(&self, merge: RingVersion, step: MergeStep, since: Instant) {
        let doing = async {
            match &step {
                MergeStep::Propose(command) if self.meta.group().is_leader() => self.report(command).await,
                MergeStep::Propose(_) => Ok(()),
                MergeStep::AddLearners { tablet, learners } => {
                    self.add_learners(merge, *tablet, learners).await
                }
                MergeStep::AwaitCaughtUp { tablet, learners } => {
                    self.await_learners(merge, *tablet, learners).await
                }
                MergeStep::ChangeVoters { tablet, voters } => {
                    self.change_voters(merge, *tablet, voters, since).await
                }
            }
        };
        if let Err(why) = tokio::time::timeout(STEP_MAX, doing).await.unwrap_or(Err(NotYet::Slow)) {
            tracing::debug!(?step, %why, "merge step failed; will retry");
        }
    }

    /// The tablet's group, if this node leads it. A leader that has lost its vote is about to step down; until then
    /// the consensus library forbids it to change the members.
    fn led(&self, tablet: TabletId) -> Option<Arc<Group>> {
        self.replicas
            .get(tablet.group())
            .filter(|group| group.is_leader() && group.voters().contains(&self.local.id()))
    }

    async fn report(&self, command: &MetaCommand) -> Result<(), NotYet> {
        match self.meta.propose(command, REPORT_TIMEOUT).await {
            Ok(MetaReply::Refused(why)) => Err(NotYet::Refused(why.to_string())),
            Ok(_) => Ok(()),
            Err(error) => Err(NotYet::NotProposed(error)),
        }
    }

    /// Adds new replicas as learners. An existing learner is removed first: acknowledgements of an earlier
    /// incarnation must not count.
    async fn add_learners(
        &self,
        merge: RingVersion,
        tablet: TabletId,
        learners: &[NodeId],
    ) -> Result<(), NotYet> {
        let Some(group) = self.led(tablet) else { return Ok(()) };
        let members = group.membership();
        self.report(&MetaCommand::ConfirmMove { merge, tablet }).await?;
        let stale: Vec<NodeId> = learners
            .iter()
            .copied()
            .filter(|node| members.nodes.contains(node) && !members.voters.contains(node))
            .collect();
        if !stale.is_empty() {
            return Ok(group.remove_learners(&stale, &members).await?);
        }
        group.add_learners(learners, &members).await?;
        tracing::info!(%tablet, ?learners, "learners added");
        self.report(&MetaCommand::MoveStarted { merge, tablet }).await
    }

    async fn await_learners(
        &self,
        merge: RingVersion,
        tablet: TabletId,
        learners: &[NodeId],
    ) -> Result<(), NotYet> {
        let Some(group) = self.led(tablet) else { return Ok(()) };
        self.keep_following(&group, merge, tablet, learners).await?;
        if let Some(behind) = behind(&group, learners).first() {
            return Err(NotYet::Behind(*behind));
        }
        tracing::info!(%tablet, ?learners, "learners caught up");
        self.report(&MetaCommand::CaughtUp { merge, tablet }).await
    }

    /// Adds learners again that a node with a stale view has removed.
    async fn keep_following(
        &self,
        group: &Group,
        merge: RingVersion,
        tablet: TabletId,
        learners: &[NodeId],
    ) -> Result<(), NotYet> {
        let members = group.membership();
        let missing: Vec<NodeId> =
            learners.iter().copied().filter(|node| !members.nodes.contains(node)).collect();
        if !missing.is_empty() {
            self.report(&MetaCommand::ConfirmMove { merge, tablet }).await?;
            group.add_learners(&missing, &members).await?;
        }
        Ok(())
    }

    async fn change_voters(
        &self,
        merge: RingVersion,
        tablet: TabletId,
        voters: &[NodeId],
        since: Instant,
    ) -> Result<(), NotYet> {
        let Some(group) = self.led(tablet) else { return Ok(()) };
        let members = group.membership();
        let is_changed = !members.is_joint && members.voters == voters.iter().copied().collect();
        if !is_changed {
            self.keep_following(&group, merge, tablet, voters).await?;
            let members = group.membership();
            let newcomers: Vec<NodeId> = voters
                .iter()
                .copied()
                .filter(|node| !members.voters.contains(node) || members.is_joint)
                .collect();
            // Even without new voters: a change that a majority of the new voters cannot confirm would stop the tablet.
            let is_away = |node: &&NodeId| !self.liveness.is_up(**node);
            let mut silent: Vec<NodeId> = voters.iter().filter(is_away).copied().collect();
            silent.extend(behind(&group, voters).into_iter().filter(|node| self.liveness.is_up(*node)));
            if let Some(node) =
                silent.first().filter(|_| !members.is_joint && silent.len() * 2 >= voters.len())
            {
                return Err(NotYet::Behind(*node));
            }
            let behind = behind(&group, &newcomers);
            let is_late = since.elapsed() >= STRAGGLER_GRACE;
            if let Some(node) = behind.first().filter(|_| !is_late || behind.len() * 2 >= voters.len()) {
                return Err(NotYet::Behind(*node));
            }
            self.report(&MetaCommand::ConfirmMove { merge, tablet }).await?;
            group.change_voters(voters, &members).await?;
            tracing::info!(%tablet, ?voters, "voters changed");
        }
        self.report(&MetaCommand::MoveDone { merge, tablet }).await
    }

    /// Removes learners that neither the ring map nor a move needs from the groups that this node leads: leftovers of an
    /// aborted merge.
    async fn remove_leftover_learners(&self, state: &MetaState) {
        let Some(ring) = state.ring() else { return };
        for place in &ring.tablets {
            let is_moving =
                state.merge().is_some_and(|merge| merge.moves.iter().any(|one| one.tablet == place.tablet));
            let Some(group) = self.led(place.tablet).filter(|_| !is_moving) else { continue };
            let members = group.membership();
            let leftover: Vec<NodeId> = members
                .nodes
                .iter()
                .copied()
                .filter(|node| !members.voters.contains(node) && !place.replicas().any(|one| one == *node))
                .collect();
            if leftover.is_empty() {
                continue;
            }
            match group.remove_learners(&leftover, &members).await {
                Ok(()) => tracing::info!(tablet = %place.tablet, learners = ?leftover, "learners removed"),
                Err(error) => tracing::debug!(%error, "learners not removed; will retry"),
            }
        }
    }
}

/// Those of `nodes` whose log lags the leader's. The leader itself never does.
fn behind(group: &Group, nodes: &[NodeId]) -> Vec<NodeId> {
    if mutant::is_active(Mutant::RemoveBeforeCatchUp) {
        return Vec::new();
    }
    let near = group.caught_up(LAG_MAX_ENTRIES);
    nodes.iter().copied().filter(|node| *node != group.node && !near.contains(node)).collect()
}
