//! Resuming a plan: whether it is still valid, and which steps count as done. Steps are idempotent, so repeating one is
//! always safe; skipping a needed one is not.

use std::collections::BTreeSet;

use dkc_core::meta::MemberChange;

use super::{Action, ClusterAction, HostAction, Plan, Refusal, Refused};
use crate::generation::Generation;
use crate::model::NodeName;

impl Plan {
    /// The plan's files were rendered from one generation of the inventory. After any other change, related or not, the
    /// command has to be run again to make a new plan.
    pub fn check_resumable(&self, now: Generation) -> Result<(), Refused> {
        if now == self.running {
            return Ok(());
        }
        Err(Refusal::StaleGeneration { planned: self.running, now }.into())
    }

    /// The completed steps that need not be repeated.
    pub fn still_done(&self, mut done: BTreeSet<u32>) -> BTreeSet<u32> {
        let again: Vec<u32> = self.starts_in_vain(&done).chain(self.ring_changes_to_repeat(&done)).collect();
        done.retain(|number| !again.contains(number));
        done
    }

    fn is_left(&self, done: &BTreeSet<u32>, wanted: fn(&Action) -> bool) -> bool {
        self.steps.iter().any(|step| wanted(&step.action) && !done.contains(&step.number))
    }

    /// A started node that never became ready may have ended meanwhile.
    fn starts_in_vain(&self, done: &BTreeSet<u32>) -> impl Iterator<Item = u32> {
        let is_wait = |action: &Action| {
            matches!(action.on_host(), Some(HostAction::WaitReady { .. } | HostAction::WaitJoined { .. }))
        };
        let is_ready = move |node: &Option<NodeName>| {
            let mut waits = self.steps.iter().filter(|step| step.node == *node && is_wait(&step.action));
            waits.all(|step| done.contains(&step.number))
        };
        let starts = self
            .steps
            .iter()
            .filter(|step| matches!(step.action.on_host(), Some(HostAction::StartNode { .. })));
        starts.filter(move |step| !is_ready(&step.node)).map(|step| step.number)
    }

    /// Repeats acquiring the ring's lock unless it was released, and the changes of the ring until data has moved: another
    /// operator may have ended or aborted the operation.
    fn ring_changes_to_repeat(&self, done: &BTreeSet<u32>) -> impl Iterator<Item = u32> {
        let holds_lock = self
            .is_left(done, |action| matches!(action.on_cluster(), Some(ClusterAction::EndOperation { .. })));
        let must_merge =
            self.is_left(done, |action| matches!(action.on_cluster(), Some(ClusterAction::Merge { .. })));
        let is_repeated = move |action: &Action| match action.on_cluster() {
            Some(ClusterAction::BeginOperation { .. }) => holds_lock,
            Some(ClusterAction::ChangeMembers { change, .. }) => {
                must_merge && !matches!(change, MemberChange::RegisterNode { .. })
            }
            _ => false,
        };
        self.steps.iter().filter(move |step| is_repeated(&step.action)).map(|step| step.number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Danger, Step};
    use super::*;
    use crate::observed::ServiceManager;
    use dkc_core::ids::{MemberNo, NodeId};
    use dkc_core::meta::OperationId;

    fn plan(actions: Vec<Action>) -> Plan {
        let node = NodeName::Server("c0".parse().unwrap(), MemberNo(0));
        let step = |(index, action)| Step {
            number: index as u32 + 1,
            phase: 1,
            host: "h".parse().unwrap(),
            node: Some(node.clone()),
            action,
        };
        Plan {
            operation: "op-00000001".into(),
            command: "test".into(),
            danger: Danger::Disruptive,
            base: Generation::new(4),
            running: Generation::new(5),
            target: Generation::new(6),
            ring_version: None,
            confirm: None,
            impact: Vec::new(),
            undo: String::new(),
            steps: actions.into_iter().enumerate().map(step).collect(),
            leaves: Vec::new(),
        }
    }

    /// The steps that a resume skips if the first `done` of these actions are done.
    fn check(actions: Vec<Action>, done: u32, want: &[u32]) {
        let still = plan(actions).still_done((1..=done).collect());
        assert_eq!(Vec::from_iter(still), want);
    }

    #[test]
    fn a_plan_goes_on_only_with_the_inventory_that_its_files_were_rendered_from() {
        let plan = plan(Vec::new());
        let check = |now| plan.check_resumable(Generation::new(now)).is_ok();
        assert_eq!([3, 4, 5, 6, 7].map(check), [false, false, true, false, false]);
    }

    #[test]
    fn a_start_that_never_became_ready_is_done_again() {
        let dir = || "/r/c0-0".to_owned();
        let actions = || {
            vec![
                HostAction::StartNode { dir: dir(), manager: ServiceManager::Supervise }.into(),
                HostAction::WaitReady { dir: dir() }.into(),
            ]
        };
        check(actions(), 1, &[]);
        check(actions(), 2, &[1, 2]);
    }

    #[test]
    fn an_operation_on_the_ring_takes_its_lock_again_and_asks_again_until_data_has_moved() {
        let id = OperationId(uuid::Uuid::from_u128(1));
        let ring = |action| Action::Cluster { endpoints: Vec::new(), action };
        let change =
            |change| ring(ClusterAction::ChangeMembers { operation: Some(id), change, about: String::new() });
        let actions = || {
            let (cluster, holder, what) = ("c0".parse().unwrap(), String::new(), String::new());
            vec![
                ring(ClusterAction::BeginOperation { cluster, id, holder, what }),
                change(MemberChange::ServiceOut { node: NodeId(3) }),
                ring(ClusterAction::Merge { operation: id, come: Vec::new(), leave: vec![NodeId(3)] }),
                change(MemberChange::RemoveNode { node: NodeId(3) }),
                ring(ClusterAction::EndOperation { id }),
            ]
        };
        check(actions(), 2, &[]);
        check(actions(), 3, &[2, 3]);
        check(actions(), 4, &[2, 3, 4]);
        check(actions(), 5, &[1, 2, 3, 4, 5]);
    }
}
