//! Carries out a plan: phases are barriers, hosts run concurrently, steps of one host in order. *Invariants:* the
//! journal is on disk before the first step and after every step; after the first failure no host begins another
//! step; every step is idempotent. It never decides which steps there are.

mod backup;
mod canary;
mod certificates;
mod cluster;
mod host;
mod salvage;
mod servers;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dkc_core::ids::HostAddress;
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::{Action, Plan, Step};
use futures::StreamExt;
use parking_lot::Mutex;

pub use certificates::{STAGED_ANCHORS, STAGED_NODE};
pub use host::StepError;
pub use service::log_anywhere as log;

use super::journal::Journal;
use crate::interrupt::Interrupt;
use crate::ui::Progress;
use crate::world::World;

/// Hosts that run steps concurrently.
const WIDTH: usize = 16;

/// The context for carrying out a plan.
pub struct Execution<'a> {
    pub plan: &'a Plan,
    pub inventory: &'a Inventory,
    pub world: &'a World,
    pub progress: &'a dyn Progress,
    pub interrupt: &'a Interrupt,
    /// Directory of the certificate authorities.
    pub authority_dir: &'a Path,
}

/// The result.
#[derive(Debug, Default)]
pub struct Report {
    /// Completed steps, including those of earlier attempts.
    pub done: BTreeSet<u32>,
    pub failures: Vec<Failure>,
    pub was_interrupted: bool,
}

#[derive(Debug)]
pub struct Failure {
    pub step: Step,
    pub error: StepError,
}

impl Report {
    pub fn is_complete(&self, plan: &Plan) -> bool {
        self.failures.is_empty() && self.done.len() == plan.steps.len()
    }
}

impl Execution<'_> {
    /// Runs the steps that the journal does not record as done, and records each.
    pub async fn run(&self, journal: Journal, done: BTreeSet<u32>) -> Report {
        let state = State {
            journal,
            report: Mutex::new(Report { done, ..Report::default() }),
            stop: AtomicBool::new(false),
        };
        let phases: BTreeSet<u32> = self.plan.steps.iter().map(|step| step.phase).collect();
        self.begin_hosts();
        for phase in phases {
            if self.must_stop(&state) {
                break;
            }
            self.run_phase(phase, &state).await;
        }
        let mut report = state.report.into_inner();
        report.was_interrupted = self.interrupt.is_requested() && !report.is_complete(self.plan);
        self.end_hosts(&report);
        state.journal.end(report.is_complete(self.plan));
        report
    }

    fn must_stop(&self, state: &State) -> bool {
        state.stop.load(Ordering::Relaxed) || self.interrupt.is_requested()
    }

    async fn run_phase(&self, phase: u32, state: &State) {
        let mut by_host: BTreeMap<&HostAddress, Vec<&Step>> = BTreeMap::new();
        let done = state.report.lock().done.clone();
        for step in self.plan.steps.iter().filter(|step| step.phase == phase && !done.contains(&step.number))
        {
            by_host.entry(&step.host).or_default().push(step);
        }
        let hosts = by_host.into_values().map(|steps| self.run_host(steps, state));
        futures::stream::iter(hosts).buffer_unordered(WIDTH).collect::<Vec<()>>().await;
    }

    async fn run_host(&self, steps: Vec<&Step>, state: &State) {
        for step in steps {
            if self.must_stop(state) {
                return;
            }
            let before = self.done_on(&step.host, state);
            self.progress.advance(step.host.as_str(), before, &step.action.words());
            let result = self.step(step, before).await;
            state.record(step, result);
        }
    }

    async fn step(&self, step: &Step, before: u64) -> Result<(), StepError> {
        let on_words = |words: &str| self.progress.advance(step.host.as_str(), before, words);
        let action = match &step.action {
            Action::Host(action) => action,
            Action::Cluster { endpoints, action } => {
                let Execution { inventory, world, interrupt, .. } = self;
                let operation = self.plan.operation.as_str();
                let cluster = servers::Servers {
                    operation,
                    endpoints,
                    inventory,
                    world,
                    interrupt,
                    on_words: &on_words,
                };
                return cluster.run(action).await;
            }
        };
        let entry = self.inventory.host(&step.host).ok_or(StepError::UnknownHost)?;
        let host = self.world.host(&step.host, &entry).await?;
        let doing = host::HostStep {
            host: &host,
            step,
            action,
            plan: self.plan,
            inventory: self.inventory,
            authority_dir: self.authority_dir,
            interrupt: self.interrupt,
            on_words: &on_words,
        };
        doing.run().await?;
        doing.leave_receipt().await
    }

    fn steps_on<'a>(&'a self, host: &'a HostAddress) -> impl Iterator<Item = &'a Step> {
        self.plan.steps.iter().filter(move |step| step.host == *host)
    }

    fn done_on(&self, host: &HostAddress, state: &State) -> u64 {
        let report = state.report.lock();
        self.steps_on(host).filter(|step| report.done.contains(&step.number)).count() as u64
    }

    fn hosts(&self) -> BTreeSet<&HostAddress> {
        self.plan.steps.iter().map(|step| &step.host).collect()
    }

    fn begin_hosts(&self) {
        for host in self.hosts() {
            self.progress.begin(host.as_str(), self.steps_on(host).count() as u64);
        }
    }

    /// One line per host: done, failed, or not started.
    fn end_hosts(&self, report: &Report) {
        for host in self.hosts() {
            let all = self.steps_on(host).count();
            let done = self.steps_on(host).filter(|step| report.done.contains(&step.number)).count();
            let failure = report.failures.iter().find(|failure| failure.step.host == *host);
            let words = match failure {
                Some(failure) => format!("step {}: {}", failure.step.number, failure.step.action.words()),
                None if done == all => format!("{done} of {all} steps"),
                None => format!("stopped after {done} of {all} steps"),
            };
            self.progress.end(host.as_str(), &words, failure.is_none() && done == all);
        }
    }
}

struct State {
    journal: Journal,
    report: Mutex<Report>,
    /// A step failed: no host starts another one.
    stop: AtomicBool,
}

impl State {
    fn record(&self, step: &Step, result: Result<(), StepError>) {
        let written = self.journal.step(step.number, result.as_ref().err().map(|error| error.to_string()));
        let mut report = self.report.lock();
        match result.and(written.map_err(StepError::Journal)) {
            Ok(()) => drop(report.done.insert(step.number)),
            Err(error) => {
                self.stop.store(true, Ordering::Relaxed);
                // Ctrl-C is not a failure of the step.
                if !matches!(error, StepError::Interrupted) {
                    report.failures.push(Failure { step: step.clone(), error });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::NoAsker;
    use dkc_core::ids::{MemberNo, NodeUuid};
    use dkc_inventory::generation::Generation;
    use dkc_inventory::model::{Host, NodeName};
    use dkc_inventory::observed::ServiceManager;
    use dkc_inventory::plan::{Danger, HostAction};
    use std::sync::Arc;

    #[derive(Default)]
    struct RecordedProgress(Mutex<Vec<String>>);
    impl Progress for RecordedProgress {
        fn begin(&self, _: &str, _: u64) {}
        fn advance(&self, _: &str, _: u64, _: &str) {}
        fn end(&self, host: &str, text: &str, is_good: bool) {
            self.0.lock().push(format!("{host} {text} {is_good}"));
        }
    }

    struct LocalFixture {
        dir: tempfile::TempDir,
        root: String,
        node: String,
        uuid: NodeUuid,
        operations: std::cell::Cell<u32>,
    }

    impl LocalFixture {
        fn new() -> LocalFixture {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("root").display().to_string();
            let node = format!("{root}/c0-0");
            let uuid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
            LocalFixture { dir, root, node, uuid, operations: std::cell::Cell::new(0) }
        }

        fn plan(&self, actions: Vec<HostAction>) -> Plan {
            self.operations.set(self.operations.get() + 1);
            let node = NodeName::Server("c0".parse().unwrap(), MemberNo(0));
            let step = |(index, action): (usize, HostAction)| Step {
                number: index as u32 + 1,
                phase: 1,
                host: "127.0.0.1".parse().unwrap(),
                node: Some(node.clone()),
                action: action.into(),
            };
            Plan {
                operation: format!("op-{:08x}", self.operations.get()),
                command: "test".into(),
                danger: Danger::Reversible,
                base: Generation::new(1),
                running: Generation::new(1),
                target: Generation::new(1),
                ring_version: None,
                confirm: None,
                impact: Vec::new(),
                undo: String::new(),
                steps: actions.into_iter().enumerate().map(step).collect(),
                leaves: Vec::new(),
            }
        }

        /// Carries the actions out on this machine: the steps that are done and what each failure says.
        async fn check(&self, actions: Vec<HostAction>, want: (usize, &[&str])) {
            let plan = self.plan(actions);
            let local = Host { local: true, ..Host::with_defaults() };
            let hosts = [("127.0.0.1".parse().unwrap(), local)].into();
            let inventory = Inventory { hosts, ..Inventory::empty() };
            let world = World::new(Arc::new(NoAsker));
            let heard = RecordedProgress::default();
            let execution = Execution {
                plan: &plan,
                inventory: &inventory,
                world: &world,
                progress: &heard,
                interrupt: &Interrupt::default(),
                authority_dir: self.dir.path(),
            };
            let journal = Journal::create(&self.dir.path().join("journal"), &plan).unwrap();
            let report = execution.run(journal, BTreeSet::new()).await;
            let failures: Vec<String> =
                report.failures.iter().map(|failure| failure.error.to_string()).collect();
            assert_eq!(
                (report.done.len(), failures),
                (want.0, want.1.iter().map(|w| w.to_string()).collect())
            );
        }

        fn make(&self) -> Vec<HostAction> {
            let path = format!("{}/node.yaml", self.node);
            vec![
                HostAction::MakeRoot { root: self.root.clone() },
                HostAction::MakeNode { dir: self.node.clone(), uuid: self.uuid, owner: None },
                HostAction::WriteFile {
                    path,
                    text: "a: 1\n".into(),
                    mode: 0o600,
                    replaces: None,
                    diff: String::new(),
                },
            ]
        }
        fn remove(&self, uuid: NodeUuid) -> HostAction {
            HostAction::RemoveNode { dir: self.node.clone(), uuid, manager: ServiceManager::Supervise }
        }
    }

    #[tokio::test]
    async fn a_node_is_made_twice_and_removed_and_nothing_is_left() {
        let here = LocalFixture::new();
        here.check(here.make(), (3, &[])).await;
        here.check(here.make(), (3, &[])).await;
        let receipts = std::fs::read_dir(format!("{}/receipts", here.root)).unwrap().count();
        assert_eq!(receipts, 6);
        let gone = vec![here.remove(here.uuid), HostAction::RemoveRoot { root: here.root.clone() }];
        here.check(gone, (2, &[])).await;
        assert!(!Path::new(&here.root).exists());
    }

    #[tokio::test]
    async fn what_carries_another_marker_or_none_is_never_touched() {
        let here = LocalFixture::new();
        std::fs::create_dir(&here.root).unwrap();
        std::fs::write(format!("{}/thesis.txt", here.root), "years of work").unwrap();
        let foreign = format!(
            "{} on 127.0.0.1 does not belong to this node: it contains files that are not dkc's",
            here.root
        );
        here.check(here.make(), (0, &[&foreign])).await;
        let unmarked =
            format!("{} on 127.0.0.1 does not belong to this node: it has no dkc marker", here.root);
        here.check(vec![HostAction::RemoveRoot { root: here.root.clone() }], (0, &[&unmarked])).await;
        assert!(Path::new(&here.root).join("thesis.txt").exists());

        let here = LocalFixture::new();
        here.check(here.make(), (3, &[])).await;
        let other = "99999999-2222-4333-8444-555555555555".parse().unwrap();
        let marked =
            format!("{} on 127.0.0.1 does not belong to this node: it has a different marker", here.node);
        here.check(vec![here.remove(other)], (0, &[&marked])).await;
        let left = format!(
            "{} on 127.0.0.1 does not belong to this node: it still contains a node: {}",
            here.root, here.node
        );
        here.check(vec![HostAction::RemoveRoot { root: here.root.clone() }], (0, &[&left])).await;
    }

    #[tokio::test]
    async fn after_a_failure_no_further_step_begins() {
        let here = LocalFixture::new();
        let mut actions = here.make();
        actions.insert(2, HostAction::LinkProgram { dir: here.node.clone(), digest: "feed".into() });
        let missing =
            format!("link program on 127.0.0.1 failed (status 1): {}/../bin/feed/dkc is missing", here.node);
        here.check(actions, (2, &[&missing])).await;
        assert!(!Path::new(&here.node).join("node.yaml").exists());
    }
}
