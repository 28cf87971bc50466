//! Plans that bring nodes to another program and back: the order, what stands between two nodes, and what is refused.

use dkc_core::control::RunningProgram;
use dkc_core::versions::{DiskFormats, ProgramVersions, VersionRange};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{NodeView, Observed, RunState};
use dkc_inventory::plan::{self, Plan, Program, Refused, UpgradeRequest, UpgradeTo};

use crate::change_members::Stage;
use crate::lab::{self, PROGRAM, operation, refused};
use crate::plans::all_go_by_their_files;
use crate::symbolic::apply_some;

const NEW: &str = "fedcba9876543210";
const OTHER: &str = "00000000000000aa";

fn versions(release: &str) -> ProgramVersions {
    ProgramVersions::own(release)
}

fn disk() -> DiskFormats {
    DiskFormats { state: 2, log: 1, meta: 1 }
}

/// What a node says while it runs this program.
fn runs(digest: &str, release: &str, is_server: bool) -> RunningProgram {
    let disk = is_server.then(disk);
    RunningProgram { digest: Some(digest.into()), versions: versions(release), disk }
}

/// A running cluster with a slave, all on the program `PROGRAM`.
fn running() -> (Inventory, Observed) {
    let mut stage = Stage::three();
    let slave = stage.inventory.node_names().pop().unwrap();
    let status = lab::slave_status(&stage.inventory, &slave);
    view_mut(&stage.inventory, &mut stage.observed, 3).status = Some(Box::new(status));
    all_go_by_their_files(&stage.inventory, &mut stage.observed);
    for (number, node) in stage.inventory.node_names().iter().enumerate() {
        let view = view_mut(&stage.inventory, &mut stage.observed, number);
        view.status.as_mut().unwrap().program = Some(runs(PROGRAM, "0.1.0", node.is_server()));
    }
    (stage.inventory, stage.observed)
}

fn view_mut<'a>(inventory: &Inventory, observed: &'a mut Observed, number: usize) -> &'a mut NodeView {
    let node: NodeName = inventory.node_names()[number].clone();
    let host = inventory.host_of(&node).unwrap();
    lab::facts_mut(observed, host.as_str()).nodes.get_mut(&node).unwrap()
}

fn new_program() -> UpgradeTo {
    UpgradeTo::Program {
        program: Program { digest: NEW.into(), bytes: 30_000_000, architecture: "x86_64".into() },
        versions: versions("0.2.0"),
        file: Some("/tmp/dkc".into()),
    }
}

fn request(to: UpgradeTo) -> UpgradeRequest {
    UpgradeRequest {
        operation: operation("upgrade -n c0"),
        cluster: "c0".parse().unwrap(),
        to,
        without_slaves: false,
    }
}

fn planned(inventory: &Inventory, observed: &Observed, to: UpgradeTo) -> Result<Plan, Refused> {
    plan::upgrade(inventory, observed, &request(to))
}

fn words(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{}: {}", step.phase, step.action.words())).collect()
}

/// The hosts after so many steps, with what the nodes would say: who was started runs what its link names.
fn after(inventory: &Inventory, observed: &Observed, plan: &Plan, count: usize) -> Observed {
    let mut there = apply_some(observed, plan, count);
    for (number, node) in inventory.node_names().iter().enumerate() {
        let said = node_status(node);
        let view = view_mut(inventory, &mut there, number);
        if view.run == (RunState::Running { pid: 1 }) {
            let mut status = said;
            let digest = view.program.clone().unwrap();
            let release = if digest == NEW { "0.2.0" } else { "0.1.0" };
            status.program = Some(runs(&digest, release, node.is_server()));
            view.status = Some(status);
            view.run = RunState::Running { pid: 100 };
        }
    }
    for facts in there.hosts.values_mut() {
        let dkc_inventory::observed::HostView::Facts(facts) = facts else { panic!("silent") };
        facts.program_versions = [(PROGRAM, "0.1.0"), (NEW, "0.2.0"), (OTHER, "0.0.9")]
            .map(|(digest, release)| (digest.to_owned(), versions(release)))
            .into();
    }
    there
}

/// What a node says that runs.
fn node_status(node: &NodeName) -> Box<dkc_core::control::NodeStatus> {
    let (_, observed) = running();
    observed.node(node).unwrap().status.clone().unwrap()
}

#[test]
fn every_node_is_checked_before_the_first_one_changes_and_a_gate_stands_behind_each() {
    let (inventory, observed) = running();
    let plan = planned(&inventory, &observed, new_program()).unwrap();
    let upload = |_| format!("1: upload dkcd {NEW} to /var/lib/dkc/bin (30.0 MB)");
    let check = |node: &str| format!("2: check that {NEW} takes the configuration and the disk of {node}");
    let turn = |phase: usize, node: &str| {
        [
            format!("{phase}: link /var/lib/dkc/{node}/dkcd to {NEW}"),
            format!("{phase}: transfer leaderships away from {node}"),
            format!("{phase}: stop {node} (dkcd supervise)"),
            format!("{phase}: start {node} (dkcd supervise)"),
            format!("{phase}: wait until {node} is ready"),
        ]
    };
    let gate = |phase: usize, through: &str| {
        [
            format!("{phase}: wait until every replica is complete and 1 failure is tolerated"),
            format!("{phase}: write and read back a key of every tablet through {through}"),
        ]
    };
    let prune =
        |_| "8: remove programs from /var/lib/dkc/bin that no node uses, but for the newest 2".to_owned();
    let slave: Vec<String> =
        turn(6, "c0-slave0").into_iter().filter(|words| !words.contains("transfer")).collect();
    // The leader of the meta group, c0-0, comes last of the servers, and the slave after them.
    let want: Vec<String> = [
        (0..4).map(upload).collect(),
        ["c0-0", "c0-1", "c0-2", "c0-slave0"].map(check).to_vec(),
        turn(3, "c0-1").to_vec(),
        gate(3, "c0-1").to_vec(),
        turn(4, "c0-2").to_vec(),
        gate(4, "c0-2").to_vec(),
        turn(5, "c0-0").to_vec(),
        gate(5, "c0-0").to_vec(),
        slave,
        gate(7, "c0-0").to_vec(),
        (0..4).map(prune).collect(),
    ]
    .concat();
    let got: Vec<String> =
        words(&plan).iter().map(|words| words.replace(plan_manager(), "dkcd supervise")).collect();
    assert_eq!(got, want);
    assert_eq!(plan.danger, plan::Danger::Disruptive);
    assert_eq!(plan.impact[0], format!("c0-1: 0.1.0 ({PROGRAM}) -> 0.2.0 ({NEW})"));
    assert!(plan.impact.iter().any(|line| line.starts_with("c0 keeps serving")), "{:?}", plan.impact);
    assert!(plan.undo.starts_with("upgrade -n c0 --rollback"));

    let alone = UpgradeRequest { without_slaves: true, ..request(new_program()) };
    let plan = plan::upgrade(&inventory, &observed, &alone).unwrap();
    assert!(!plan.text().contains("slave0"), "{}", plan.text());
}

fn plan_manager() -> &'static str {
    dkc_inventory::observed::ServiceManager::Supervise.words()
}

#[test]
fn after_any_number_of_steps_the_rest_leads_to_the_new_program_or_back_to_the_old_one() {
    let (inventory, observed) = running();
    let plan = planned(&inventory, &observed, new_program()).unwrap();
    let programs = |observed: &Observed| -> Vec<(Option<String>, Option<String>)> {
        let views = inventory.node_names().into_iter().map(|node| observed.node(&node).unwrap().clone());
        let runs = |view: &NodeView| view.status.as_ref().and_then(|s| s.program.clone()?.digest);
        views.map(|view| (view.program.clone(), runs(&view))).collect()
    };
    let all = |digest: &str| vec![(Some(digest.to_owned()), Some(digest.to_owned())); 4];
    for count in 0..=plan.steps.len() {
        let there = after(&inventory, &observed, &plan, count);
        // A server that is stopped between two steps would be missed by the next one.
        let rest = planned(&inventory, &there, new_program());
        let rest = rest.unwrap_or_else(|refused| panic!("after {count} steps: {refused}"));
        let mut end = after(&inventory, &there, &rest, rest.steps.len());
        // A slave that is stopped with the right program stays so: only the plan knows that it ran.
        let slave = view_mut(&inventory, &mut end, 3);
        if slave.run == RunState::Stopped {
            slave.status = Some(node_status(&inventory.node_names()[3]));
            slave.status.as_mut().unwrap().program = Some(runs(NEW, "0.2.0", false));
        }
        assert_eq!(programs(&end), all(NEW), "after {count} steps\n{}", rest.text());
        match planned(&inventory, &there, UpgradeTo::Before) {
            Ok(back) => {
                let end = after(&inventory, &there, &back, back.steps.len());
                assert_eq!(programs(&end), all(PROGRAM), "after {count} steps\n{}", back.text());
                let again = refused(planned(&inventory, &end, UpgradeTo::Before));
                assert!(again.contains("no node of c0 had another program before"), "{again}");
            }
            Err(refused) => {
                let has_changed = programs(&there) != all(PROGRAM);
                assert!(!has_changed, "after {count} steps: {refused}");
            }
        }
    }
}

#[test]
fn a_roll_back_takes_back_only_the_last_change() {
    let (inventory, observed) = running();
    let mut there = after(
        &inventory,
        &observed,
        &Plan { steps: Vec::new(), ..planned(&inventory, &observed, new_program()).unwrap() },
        0,
    );
    for facts in there.hosts.values_mut() {
        let dkc_inventory::observed::HostView::Facts(facts) = facts else { panic!("silent") };
        facts.programs.extend([NEW, OTHER].map(|digest| (digest.to_owned(), 30_000_000)));
    }
    // All came from OTHER; one has gone on to NEW, and there the upgrade has paused.
    (0..4).for_each(|number| {
        view_mut(&inventory, &mut there, number).program_before = Some(OTHER.into());
    });
    let first = view_mut(&inventory, &mut there, 1);
    (first.program, first.program_before) = (Some(NEW.into()), Some(PROGRAM.into()));
    first.status.as_mut().unwrap().program = Some(runs(NEW, "0.2.0", true));
    let plan = planned(&inventory, &there, UpgradeTo::Before).unwrap();
    assert_eq!(plan.nodes(), [inventory.node_names()[1].clone()]);
    assert!(
        words(&plan).iter().any(|w| w.contains(&format!("link /var/lib/dkc/c0-1/dkcd to {PROGRAM} again")))
    );
    assert_eq!(plan.undo, format!("upgrade -n c0 --to {NEW}"));
    // The other way round for one more: nobody can say which was first.
    let second = view_mut(&inventory, &mut there, 2);
    second.program_before = Some(NEW.into());
    assert_eq!(
        refused(planned(&inventory, &there, UpgradeTo::Before)),
        format!("Refused: it is not clear which program c0 had before: one of {OTHER}, {PROGRAM}, {NEW}")
    );
    let plan = planned(&inventory, &there, UpgradeTo::Kept { digest: PROGRAM.into() }).unwrap();
    assert_eq!(plan.nodes(), [inventory.node_names()[1].clone()]);
    let unknown = refused(planned(&inventory, &there, UpgradeTo::Kept { digest: "feed".into() }));
    assert!(unknown.contains("10.77.0.11 does not keep the program feed"), "{unknown}");
}

#[test]
fn a_server_that_the_new_program_could_not_start_is_taken_back_first_and_started() {
    let (inventory, observed) = running();
    let plan = planned(&inventory, &observed, new_program()).unwrap();
    let is_start = |words: &String| words.contains("start c0-1");
    let count = words(&plan).iter().position(is_start).unwrap() + 1;
    let mut there = after(&inventory, &observed, &plan, count);
    let failing = view_mut(&inventory, &mut there, 1);
    failing.run = RunState::Failing { message: "it keeps crashing".into() };
    failing.status = None;
    let plan = planned(&inventory, &there, UpgradeTo::Before).unwrap();
    assert_eq!(plan.nodes(), [inventory.node_names()[1].clone()]);
    let text = words(&plan).join("\n");
    assert!(text.contains("stop c0-1") && text.contains("start c0-1"), "{text}");
    // A better program may come instead: the server that is down is the first to get it.
    let plan = planned(&inventory, &there, new_program());
    assert!(plan.is_ok_and(|plan| words(&plan).iter().any(|words| words.starts_with("2: stop c0-1"))));
}

#[test]
fn what_cannot_speak_or_read_is_refused_before_anything_changes() {
    let (inventory, observed) = running();
    let check = |to: UpgradeTo, observed: &Observed, want: &str| {
        let text = refused(planned(&inventory, observed, to));
        assert!(text.contains(want), "{text}");
    };
    let says = |change: fn(&mut ProgramVersions)| {
        let UpgradeTo::Program { program, mut versions, file } = new_program() else { unreachable!() };
        change(&mut versions);
        UpgradeTo::Program { program, versions, file }
    };
    check(
        says(|versions| versions.state = VersionRange::new(3, 4)),
        &observed,
        "cannot open server 0 of c0: the state on disk has format 2, and 0.2.0 reads 3 to 4",
    );
    check(
        says(|versions| versions.wire = VersionRange::new(2, 3)),
        &observed,
        "could not speak with each other: 0.2.0 speaks wire version 2 to 3, and 0.1.0 speaks 1",
    );
    let UpgradeTo::Program { program, versions, .. } = new_program() else { unreachable!() };
    let foreign = Program { architecture: "aarch64".into(), ..program };
    check(
        UpgradeTo::Program { program: foreign, versions, file: None },
        &observed,
        "10.77.0.11 is x86_64, but this program was built for aarch64",
    );
    let mut unknown = observed.clone();
    lab::silence(&mut unknown, "10.77.0.12");
    check(new_program(), &unknown, "10.77.0.12: no reply within 5 s");
    // A release that says nothing of itself.
    let mut silent = observed.clone();
    for facts in silent.hosts.values_mut() {
        let dkc_inventory::observed::HostView::Facts(facts) = facts else { panic!("silent") };
        facts.programs.insert(OTHER.into(), 1);
    }
    check(UpgradeTo::Kept { digest: OTHER.into() }, &silent, "does not say what it speaks and reads");
}

#[test]
fn a_cluster_that_runs_the_program_has_nothing_to_do_and_one_that_is_stopped_gets_links() {
    let (inventory, observed) = running();
    let plan = planned(&inventory, &observed, new_program()).unwrap();
    let there = after(&inventory, &observed, &plan, plan.steps.len());
    assert!(planned(&inventory, &there, new_program()).unwrap().is_empty());
    // A server that is down is started, whatever its program, and before another one is stopped.
    let mut down = observed.clone();
    let view = view_mut(&inventory, &mut down, 2);
    (view.run, view.status) = (RunState::Stopped, None);
    let plan = planned(&inventory, &down, new_program()).unwrap();
    let text = words(&plan).join("\n");
    assert!(text.contains("3: start c0-2") && !text.contains("stop c0-2"), "{text}");
    assert!(text.contains("3: wait until every replica is complete and 1 failure is tolerated"), "{text}");

    let mut stopped = observed;
    (0..4).for_each(|number| {
        let view = view_mut(&inventory, &mut stopped, number);
        (view.run, view.status, view.meta) = (RunState::Stopped, None, None);
    });
    let plan = planned(&inventory, &stopped, new_program()).unwrap();
    let text = words(&plan).join("\n");
    assert!(text.contains("link /var/lib/dkc/c0-2/dkcd") && !text.contains("start"), "{text}");
    assert!(plan.impact.iter().all(|line| line.ends_with("with its next start")), "{:?}", plan.impact);
}
