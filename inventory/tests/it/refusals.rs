//! Every reason why a plan is not made, in the operator's words.

use dkc_core::config::layout;
use dkc_core::ids::{MemberNo, NodeUuid, SlaveId};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{Exposure, HostFacts, NodeView, Observed, RunState};
use dkc_inventory::plan::{
    self, DeployRequest, DestroyRequest, DestroyTarget, RestartRequest, Selection, StartRequest, Target,
};
use uuid::Uuid;

use crate::lab::{self, deploy_request, operation, refused, servers, slave, three_servers};
use crate::plans::{deployed, running, stop_request};

fn node(number: u32) -> NodeName {
    NodeName::Server("c0".parse().unwrap(), MemberNo(number))
}

/// A deploy on bare hosts of which 10.77.0.11 has been changed.
fn check_deploy(change: impl Fn(&mut HostFacts), want: &str) {
    let inventory = three_servers();
    let mut observed = lab::bare_hosts(&inventory);
    change(lab::facts_mut(&mut observed, "10.77.0.11"));
    assert_eq!(refused(plan::deploy(&inventory, &observed, &deploy_request())), want);
}

fn other_uuid() -> NodeUuid {
    NodeUuid(Uuid::from_u128(7))
}

#[test]
fn deploy_is_refused_where_the_host_is_not_fit() {
    check_deploy(
        |host| host.architecture = "aarch64".into(),
        "Refused: 10.77.0.11 is aarch64, but this program was built for x86_64",
    );
    check_deploy(
        |host| host.disk_free_bytes = 100 * 1024 * 1024,
        "Refused: 10.77.0.11: /var/lib/dkc has 100 MiB free, but needs 284 MiB",
    );
    check_deploy(|host| host.clock_offset_ms = -45_000, "Refused: 10.77.0.11: clock is 45 s behind");
    check_deploy(
        |host| host.root_is_foreign = true,
        "Refused: 10.77.0.11: /var/lib/dkc contains files that are not dkc's",
    );
    check_deploy(
        |host| host.root_is_writable = false,
        "Refused: 10.77.0.11: dkc cannot write to /var/lib/dkc",
    );
    let why = "others may write there (drwxrwxrwx)";
    check_deploy(
        |host| host.root_exposure = Some(why.into()),
        &format!("Refused: 10.77.0.11: /var/lib/dkc is not safe: {why}"),
    );
    check_deploy(
        |host| host.runtime_exposure = Some(Exposure { dir: "/run/user/1000".into(), why: why.into() }),
        &format!("Refused: 10.77.0.11: /run/user/1000 is not safe: {why}"),
    );
    check_deploy(
        |host| host.root = format!("/{}", "x".repeat(90)),
        &format!(
            "Refused: 10.77.0.11: control socket path /{}/c0-0/run/control.sock exceeds 107 bytes",
            "x".repeat(90)
        ),
    );
}

#[test]
fn deploy_never_writes_into_what_is_not_its_own() {
    let with = |view: NodeView| move |host: &mut HostFacts| drop(host.nodes.insert(node(0), view.clone()));
    check_deploy(
        with(NodeView { exists: true, marker: Some(other_uuid()), ..NodeView::default() }),
        "Refused: 10.77.0.11: /var/lib/dkc/c0-0 belongs to another node \
         (00000000-0000-0000-0000-000000000007)",
    );
    check_deploy(
        with(NodeView {
            exists: true,
            files: [("node.yaml".into(), "x".into())].into(),
            ..NodeView::default()
        }),
        "Refused: 10.77.0.11: /var/lib/dkc/c0-0 contains files but no dkc marker",
    );
    let uuid = three_servers().uuid_of(&node(0));
    check_deploy(
        with(NodeView { exists: true, marker: uuid, identity: Some(other_uuid()), ..NodeView::default() }),
        "Refused: 10.77.0.11: the data in /var/lib/dkc/c0-0 belongs to another node \
         (00000000-0000-0000-0000-000000000007)",
    );
}

#[test]
fn all_reasons_of_all_hosts_are_told_at_once() {
    let inventory = three_servers();
    let mut observed = lab::bare_hosts(&inventory);
    lab::silence(&mut observed, "10.77.0.12");
    lab::facts_mut(&mut observed, "10.77.0.13").root_is_foreign = true;
    let told = plan::deploy(&inventory, &observed, &deploy_request()).unwrap_err();
    let problem = told.problem("deploy");
    assert_eq!(problem.what, "deploy: refused for 2 reasons");
    assert_eq!(
        problem.cause,
        [
            "10.77.0.12: no reply within 5 s",
            "10.77.0.13: /var/lib/dkc contains files that are not dkc's",
            "dkc writes and removes only files under its own marker"
        ]
    );
    assert_eq!(
        problem.advice,
        ["check host 10.77.0.12", "modify host --data-dir /another/directory 10.77.0.13"]
    );
    assert_eq!(problem.code, "DKC-E0420");
}

#[test]
fn unknown_names_are_told_with_what_was_probably_meant() {
    let inventory = three_servers();
    let check = |selection: Selection, what: &str, advice: &[&str]| {
        let request = DeployRequest { selection, ..deploy_request() };
        let problem = plan::deploy(&inventory, &Observed::default(), &request).unwrap_err().problem("deploy");
        assert_eq!(
            (problem.what.as_str(), problem.advice),
            (what, advice.iter().map(|a| a.to_string()).collect())
        );
    };
    check(
        Selection { clusters: vec!["c1".parse().unwrap()], ..Selection::default() },
        "deploy: cluster c1 is not registered",
        &["did you mean c0?", "list cluster"],
    );
    check(
        Selection { groups: vec!["c9".into()], ..Selection::default() },
        "deploy: group c9 is not registered",
        &["known: c0"],
    );
    check(
        Selection { hosts: lab::hosts("10.77.0.31"), ..Selection::default() },
        "deploy: host 10.77.0.31 is not registered",
        &["did you mean 10.77.0.11, 10.77.0.21?", "list host"],
    );
    assert_eq!(refused(slave(9).nodes(&inventory).map(|_| ())), "UnknownName: slave 9 is not registered");
    assert_eq!(
        refused(servers(&[0, 7]).nodes(&inventory).map(|_| ())),
        "UnknownName: server No. 7 is not registered"
    );
}

#[test]
fn a_member_that_lost_its_data_is_neither_deployed_nor_started() {
    let (inventory, mut observed) = running();
    *lab::facts_mut(&mut observed, "10.77.0.11").nodes.get_mut(&node(0)).unwrap() = NodeView::default();
    let want = "Refused: 10.77.0.11: server 0 of c0 has lost its data";
    let told = plan::deploy(&inventory, &observed, &deploy_request());
    let advice = told.as_ref().unwrap_err().problem("deploy").advice;
    assert_eq!(refused(told), want);
    assert_eq!(
        advice,
        ["restore its newest data (is a disk not mounted on 10.77.0.11?), then run the command again"]
    );
    assert_eq!(refused(start(&inventory, &observed, servers(&[0]))), want);
}

#[test]
fn a_server_on_an_older_copy_of_its_data_is_not_started() {
    let (inventory, mut observed) = running();
    let view = lab::facts_mut(&mut observed, "10.77.0.11").nodes.get_mut(&node(0)).unwrap();
    view.put_back = Some("the data was put back, says 10.77.0.12:8020".into());
    (view.run, view.status) = (RunState::Stopped, None);
    let told = start(&inventory, &observed, servers(&[0]));
    let problem = told.as_ref().unwrap_err().problem("start");
    assert_eq!(refused(told), "Refused: 10.77.0.11: the data was put back, says 10.77.0.12:8020");
    assert_eq!(
        (problem.code, problem.advice),
        (
            "DKC-E0470",
            vec![
                "replace -n c0 --no 0 --address HOST:PORT".to_owned(),
                "if every server was put back: explain DKC-E0470".to_owned()
            ]
        )
    );
    assert!(start(&inventory, &observed, servers(&[1])).is_ok());
}

fn start(inventory: &Inventory, observed: &Observed, target: Target) -> Result<plan::Plan, plan::Refused> {
    plan::start(inventory, observed, &StartRequest { operation: operation("start"), target })
}

#[test]
fn start_is_refused_where_it_could_not_succeed() {
    let inventory = three_servers();
    let bare = lab::bare_hosts(&inventory);
    assert_eq!(
        refused(start(&inventory, &bare, servers(&[]))),
        "Refused: 10.77.0.11: server 0 of c0 is not installed\n\
         10.77.0.12: server 1 of c0 is not installed\n\
         10.77.0.13: server 2 of c0 is not installed"
    );
    let (inventory, observed) = deployed();
    assert_eq!(
        refused(start(&inventory, &observed, servers(&[0, 1]))),
        "Refused: founding c0 requires all its founders; not included: c0-2"
    );
    let mut busy = observed.clone();
    lab::facts_mut(&mut busy, "10.77.0.12").listening =
        ["0.0.0.0:8020".into(), "127.0.0.1:8020".into()].into();
    assert_eq!(
        refused(start(&inventory, &busy, servers(&[]))),
        "Refused: 10.77.0.12: port 8020 is in use by another program (listening on 0.0.0.0:8020)"
    );
    let mut drifted = observed.clone();
    let view = lab::facts_mut(&mut drifted, "10.77.0.13").nodes.get_mut(&node(2)).unwrap();
    view.files.insert(layout::CONFIG.into(), "edited by hand".into());
    assert_eq!(
        refused(start(&inventory, &drifted, servers(&[]))),
        "Refused: 10.77.0.13: the configuration of server 2 of c0 differs from the inventory"
    );
    let mut silent = observed;
    lab::silence(&mut silent, "10.77.0.11");
    assert_eq!(
        refused(start(&inventory, &silent, servers(&[]))),
        "Unreachable: 10.77.0.11: no reply within 5 s"
    );
}

#[test]
fn a_port_on_another_address_of_the_host_hinders_nobody() {
    let (inventory, mut observed) = deployed();
    lab::facts_mut(&mut observed, "10.77.0.12").listening =
        ["127.0.0.1:8020".into(), "127.0.0.53%lo:8020".into(), "[::1]:8020".into()].into();
    assert!(start(&inventory, &observed, servers(&[])).is_ok());
}

#[test]
fn a_cluster_in_use_is_not_stopped() {
    let (inventory, mut observed) = running();
    let stop = |observed: &Observed| {
        plan::stop(&inventory, observed, &stop_request(servers(&[]), "stop cluster -n c0"))
    };
    assert_eq!(refused(stop(&observed)), "Refused: slave 0 still uses c0");
    assert_eq!(stop(&observed).unwrap_err().problem("stop").advice, ["stop slave --id 0"]);
    // Nobody knows what runs on a host that does not answer.
    lab::silence(&mut observed, "10.77.0.21");
    assert_eq!(refused(stop(&observed)), "Unreachable: 10.77.0.21: no reply within 5 s");
    let request =
        plan::StopRequest { allow_silent: true, ..stop_request(servers(&[]), "stop cluster -n c0") };
    assert_eq!(plan::stop(&inventory, &observed, &request).unwrap().steps.len(), 3);
}

#[test]
fn a_partial_stop_that_costs_the_quorum_is_refused() {
    let (inventory, observed) = running();
    let request = stop_request(servers(&[0, 1]), "stop cluster -n c0 --no 0 --no 1");
    assert_eq!(
        refused(plan::stop(&inventory, &observed, &request)),
        "Refused: c0 would lose its quorum: 2 of 3 servers down, it tolerates 1"
    );
    let anyway = plan::StopRequest { allow_no_quorum: true, ..request };
    let plan = plan::stop(&inventory, &observed, &anyway).unwrap();
    assert_eq!((plan.danger, plan.confirm), (plan::Danger::LosesData, Some("c0@g6".into())));
}

#[test]
fn a_rolling_restart_with_a_server_down_is_refused() {
    let (inventory, mut observed) = running();
    let view = lab::facts_mut(&mut observed, "10.77.0.11").nodes.get_mut(&node(0)).unwrap();
    view.run = RunState::Stopped;
    let request = RestartRequest {
        operation: operation("restart cluster -n c0 --rolling"),
        target: servers(&[]),
        rolling: true,
        allow_no_quorum: false,
    };
    assert_eq!(
        refused(plan::restart(&inventory, &observed, &request)),
        "Refused: c0 would lose its quorum: 2 of 3 servers down, it tolerates 1"
    );
}

#[test]
fn only_a_directory_whose_own_marker_is_torn_is_mended() {
    let (inventory, observed) = running();
    let uuid = inventory.uuid_of(&node(0)).unwrap();
    let check = |change: &dyn Fn(&mut NodeView), want: bool| {
        let mut view =
            NodeView { exists: true, torn: [".dkc-node".to_owned()].into(), ..NodeView::default() };
        change(&mut view);
        assert_eq!(view.is_torn_directory_of(uuid), want, "{view:?}");
    };
    let other: dkc_core::ids::NodeUuid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
    check(&|_| {}, true);
    check(&|view| view.identity = Some(uuid), true);
    check(&|view| view.config_text = Some("\n".into()), true);
    check(&|view| view.config_text = Some(format!("node_uuid: {uuid}\n")), true);
    check(&|view| view.identity = Some(other), false);
    check(&|view| view.config_text = Some(format!("node_uuid: {other}\n")), false);
    check(&|view| view.torn.clear(), false);
    assert!(observed.node(&node(0)).unwrap().torn.is_empty());
}

#[test]
fn a_daemon_without_its_supervisor_is_taken_over_by_start() {
    let (inventory, mut observed) = running();
    let facts = lab::facts_mut(&mut observed, "10.77.0.11");
    facts.listening = ["*:8020".into()].into();
    facts.nodes.get_mut(&node(0)).unwrap().run = RunState::Orphaned { pid: 7 };
    let request = plan::StartRequest { operation: operation("start cluster -n c0"), target: servers(&[]) };
    let plan = plan::start(&inventory, &observed, &request).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|step| step.action.words()).collect();
    assert_eq!(words.len(), 3, "{words:?}");
    assert!(plan.steps.iter().all(|step| step.node == Some(node(0))));
}

#[test]
fn destroy_spares_what_is_used_or_not_ours() {
    let (inventory, mut observed) = running();
    let request = |with_slaves| DestroyRequest {
        operation: operation("destroy cluster -n c0"),
        target: DestroyTarget::Cluster { name: "c0".parse().unwrap(), with_slaves },
        with_roots: false,
    };
    assert_eq!(
        refused(plan::destroy(&inventory, &observed, &request(false))),
        "Refused: slave 0 of c0 is still installed"
    );
    let slave = NodeName::Slave("c0".parse().unwrap(), SlaveId(0));
    let without = dkc_inventory::edit::forget_deployed(&inventory, &[slave]).inventory;
    assert!(plan::destroy(&without, &observed, &request(false)).is_ok());
    let view = lab::facts_mut(&mut observed, "10.77.0.13").nodes.get_mut(&node(2)).unwrap();
    view.marker = Some(other_uuid());
    assert_eq!(
        refused(plan::destroy(&inventory, &observed, &request(true))),
        "Refused: 10.77.0.13: /var/lib/dkc/c0-2 belongs to another node \
         (00000000-0000-0000-0000-000000000007)"
    );
}

#[test]
fn a_slave_without_a_pair_is_not_started() {
    let (inventory, observed) = deployed();
    let request = dkc_inventory::edit::UnregisterPair { id: SlaveId(0), listen: None };
    let inventory = dkc_inventory::edit::unregister_pair(&inventory, &request).unwrap().inventory;
    assert_eq!(refused(start(&inventory, &observed, slave(0))), "Refused: slave 0 has no pair to listen on");
}

/// After a power cut with one machine dead for good, the others must be able to start.
#[test]
fn the_members_that_answer_start_without_the_silent_one() {
    let (inventory, mut observed) = deployed();
    let inventory = dkc_inventory::edit::record_founded(&inventory, &"c0".parse().unwrap()).inventory;
    lab::silence(&mut observed, "10.77.0.12");
    let problem = start(&inventory, &observed, servers(&[])).unwrap_err().problem("start cluster -n c0");
    assert_eq!(
        problem.advice,
        ["check host 10.77.0.12", "or start the reachable ones: start cluster -n c0 --no 0 --no 2"]
    );
    let words = |numbers: &[u32]| {
        let plan = start(&inventory, &observed, servers(numbers)).unwrap();
        let steps = plan.steps.iter().map(|step| step.action.words());
        steps.chain(plan.impact).collect::<Vec<_>>()
    };
    assert_eq!(
        words(&[0, 2]),
        [
            "start c0-0 (dkcd's own supervisor)",
            "start c0-2 (dkcd's own supervisor)",
            "wait until c0-0 is ready",
            "wait until c0-2 is ready"
        ]
    );
    assert_eq!(
        words(&[0]),
        ["start c0-0 (dkcd's own supervisor)", "with 1 of 3 servers, some keys of c0 remain unavailable"]
    );
}
