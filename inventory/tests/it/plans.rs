//! Plans as people read them. The wanted side is what stands on the screen.

use dkc_core::ids::{MemberNo, SlaveId};
use dkc_inventory::edit::{self, ModifyCluster};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{Observed, ServiceManager};
use dkc_inventory::plan::{
    self, DeployRequest, DestroyRequest, DestroyTarget, Detail, Plan, RestartRequest, Selection,
    StartRequest, StopRequest, Target,
};

use crate::lab::{self, deploy_request, operation, servers, slave, three_servers};
use crate::symbolic::{apply, record};

fn check(plan: &Plan, want: &str) {
    assert_eq!(plan.text(), want, "\n{}", plan.text());
}

fn start_request(target: Target, command: &str) -> StartRequest {
    StartRequest { operation: operation(command), target }
}

pub fn stop_request(target: Target, command: &str) -> StopRequest {
    StopRequest { operation: operation(command), target, allow_silent: false, allow_no_quorum: false }
}

/// Everything deployed, nothing started.
pub fn deployed() -> (Inventory, Observed) {
    let inventory = three_servers();
    let bare = lab::bare_hosts(&inventory);
    let plan = plan::deploy(&inventory, &bare, &deploy_request()).unwrap();
    (record(&inventory, &plan), apply(&bare, &plan))
}

/// Everything deployed, founded and running.
pub fn running() -> (Inventory, Observed) {
    let (inventory, mut observed) = deployed();
    let inventory = edit::record_founded(&inventory, &"c0".parse().unwrap()).inventory;
    for node in inventory.node_names() {
        lab::run(&inventory, &mut observed, &node);
    }
    (inventory, observed)
}

/// New nodes get a user of their cluster where root is to be had; nodes of the login user keep it, and so does a slave with a
/// Unix socket. A directory that the login user may not look into is left alone.
#[test]
fn a_node_runs_as_a_user_of_its_cluster_from_its_first_deploy_or_not_at_all() {
    let inventory = three_servers();
    let mut observed = lab::bare_hosts(&inventory);
    for host in ["10.77.0.11", "10.77.0.12", "10.77.0.13", "10.77.0.21"] {
        lab::facts_mut(&mut observed, host).service = ServiceManager::SystemdSystem;
    }
    lab::facts_mut(&mut observed, "10.77.0.12").login_user_only = Some("there is no useradd".into());
    let plan = plan::deploy(&inventory, &observed, &deploy_request()).unwrap();
    let user = dkc_inventory::system_user::system_user(
        &"c0".parse().unwrap(),
        inventory.clusters[&"c0".parse().unwrap()].id,
    );
    let (long, short) = (plan.text_in(Detail::Full), user.as_str());
    assert!(long.contains(&format!("create /var/lib/dkc/c0-0 for {short}\n")), "{long}");
    assert!(long.contains("create /var/lib/dkc/c0-1\n"), "{long}");
    assert_eq!(long.matches(&format!("create the system user {short}")).count(), 3, "{long}");
    let units = |plan: &Plan| -> Vec<String> {
        let text = |step: &plan::Step| match step.action.on_host() {
            Some(plan::HostAction::InstallService { text, .. }) => {
                text.lines().find_map(|line| line.strip_prefix("User=")).map(str::to_owned)
            }
            _ => None,
        };
        plan.steps.iter().filter_map(text).collect()
    };
    assert_eq!(units(&plan), [short, "dkc", short, short]);

    let after = apply(&observed, &plan);
    let again = plan::deploy(&record(&inventory, &plan), &after, &deploy_request()).unwrap();
    assert!(again.is_empty(), "{}", again.text());

    let first = NodeName::Server("c0".parse().unwrap(), MemberNo(0));
    let mut of_login_user = after.clone();
    lab::facts_mut(&mut of_login_user, "10.77.0.11").nodes.get_mut(&first).unwrap().owner =
        Some("dkc".into());
    let kept = plan::deploy(&record(&inventory, &plan), &of_login_user, &deploy_request()).unwrap();
    assert_eq!(units(&kept), ["dkc"]);
    assert!(!kept.text().contains("system user"), "{}", kept.text());

    let view = lab::facts_mut(&mut of_login_user, "10.77.0.11").nodes.get_mut(&first).unwrap();
    (view.is_closed, view.marker, view.owner) = (true, None, Some(user.clone()));
    let refused = plan::deploy(&record(&inventory, &plan), &of_login_user, &deploy_request()).unwrap_err();
    let text = refused.reasons[0].to_string();
    assert!(text.contains("the login user may not look into /var/lib/dkc/c0-0"), "{text}");
}

#[test]
fn a_first_deploy_installs_everything_everywhere() {
    let inventory = three_servers();
    let mut observed = lab::bare_hosts(&inventory);
    lab::facts_mut(&mut observed, "10.77.0.21").service = ServiceManager::SystemdUser;
    let request = DeployRequest {
        selection: Selection { hosts: lab::hosts("10.77.0.11 10.77.0.21"), ..Selection::default() },
        ..deploy_request()
    };
    check(
        &plan::deploy(&inventory, &observed, &request).unwrap(),
        "\
plan op-0000002a: deploy
  inventory: generation 4 → 5
  ring:      not founded or not running
  class:     reversible

  phase 1 of 2
    10.77.0.11
       1. create /var/lib/dkc
       2. upload dkcd 0123456789abcdef to /var/lib/dkc/bin (30.0 MB)
    10.77.0.21
       3. create /var/lib/dkc
       4. upload dkcd 0123456789abcdef to /var/lib/dkc/bin (30.0 MB)

  phase 2 of 2
    10.77.0.11
       5. create /var/lib/dkc/c0-0
       6. issue a server certificate into /var/lib/dkc/c0-0/tls
       7. write /var/lib/dkc/c0-0/node.yaml
            (new, 50 lines)
       8. link /var/lib/dkc/c0-0/dkcd to 0123456789abcdef
       9. initialise /var/lib/dkc/c0-0/data
      10. check the configuration in /var/lib/dkc/c0-0
    10.77.0.21
      11. create /var/lib/dkc/c0-slave0
      12. issue a slave certificate into /var/lib/dkc/c0-slave0/tls
      13. write /var/lib/dkc/c0-slave0/node.yaml
            (new, 49 lines)
      14. link /var/lib/dkc/c0-slave0/dkcd to 0123456789abcdef
      15. initialise /var/lib/dkc/c0-slave0/data
      16. check the configuration in /var/lib/dkc/c0-slave0
      17. install dkcd@c0-slave0.service (user systemd)

  impact: running nodes are not touched
  undo:   destroy slave --id 0; destroy cluster -n c0
",
    );
}

#[test]
fn what_is_the_same_on_many_hosts_is_said_once() {
    let (mut fresh, empty) = (lab::counter(), Inventory::empty());
    let servers: Vec<String> = (11..=60).map(|last| format!("10.77.0.{last}")).collect();
    let request = lab::cluster_request("c0", &servers.join(" "));
    let inventory = edit::register_cluster(&empty, &request, &mut fresh).unwrap().inventory;
    let mut observed = lab::bare_hosts(&inventory);
    lab::facts_mut(&mut observed, "10.77.0.12").root_has_marker = true;
    let plan = plan::deploy(&inventory, &observed, &deploy_request()).unwrap();
    let text = plan.text_in(Detail::Grouped);
    let want = "\
  phase 1 of 2
    10.77.0.11, 10.77.0.13, 10.77.0.14 … 10.77.0.60     (each step: --long)
          on 49 hosts: create /var/lib/dkc
          on 49 hosts: upload dkcd 0123456789abcdef to /var/lib/dkc/bin (30.0 MB)
    10.77.0.12
       3. upload dkcd 0123456789abcdef to /var/lib/dkc/bin (30.0 MB)

  phase 2 of 2
    10.77.0.11, 10.77.0.12, 10.77.0.13 … 10.77.0.60     (each step: --long)
          on 50 hosts: create /var/lib/dkc/<node>
          on 50 hosts: issue a server certificate into /var/lib/dkc/<node>/tls
          on 50 hosts: write /var/lib/dkc/<node>/node.yaml
            (new, 238 lines)
";
    assert!(text.contains(want), "{text}");
    assert!(text.lines().count() < 30 && plan.text().lines().count() > 400, "{text}");
    // Where hosts are few each has its own lines.
    let (inventory, observed) = (three_servers(), lab::bare_hosts(&three_servers()));
    let few = plan::deploy(&inventory, &observed, &deploy_request()).unwrap();
    assert_eq!(few.text_in(Detail::Grouped), few.text());
}

#[test]
fn a_deploy_of_what_is_deployed_does_nothing() {
    let (inventory, observed) = deployed();
    check(&plan::deploy(&inventory, &observed, &deploy_request()).unwrap(), "deploy: nothing to do\n");
}

#[test]
fn a_changed_parameter_is_shown_as_a_diff_and_restarts_nothing() {
    let (inventory, observed) = running();
    let change = ModifyCluster {
        name: "c0".parse().unwrap(),
        replicas: None,
        tablets: None,
        config: edit::Change::Keep,
        set: [("heartbeat_ms".to_owned(), 50_u64.into())].into(),
        unset: Vec::new(),
    };
    let inventory = edit::modify_cluster(&inventory, &change).unwrap().inventory;
    assert_eq!(inventory.undeployed().len(), 4);
    let request = DeployRequest {
        selection: Selection { hosts: lab::hosts("10.77.0.12"), ..Selection::default() },
        ..deploy_request()
    };
    check(
        &plan::deploy(&inventory, &observed, &request).unwrap(),
        "\
plan op-0000002a: deploy
  inventory: generation 7 → 8
  ring:      version 7
  class:     reversible
    10.77.0.12
       1. replace /var/lib/dkc/c0-1/node.yaml
                 address: 10.77.0.13:8020
             parameters:
            -  heartbeat_ms: 75
            +  heartbeat_ms: 50
               election_timeout_min_ms: 250
               election_timeout_max_ms: 450
       2. check the configuration in /var/lib/dkc/c0-1

  impact: restart needed (restart cluster -n c0 --rolling); until then the old version is used by c0-1
  undo:   undo the inventory change, then deploy
",
    );
}

/// What every running node says that it goes by.
pub fn all_go_by_their_files(inventory: &Inventory, observed: &mut Observed) {
    for node in inventory.node_names() {
        let host = inventory.host_of(&node).unwrap();
        let view = lab::facts_mut(observed, host.as_str()).nodes.get_mut(&node).unwrap();
        let text = view.config_text.clone();
        if let Some(status) = &mut view.status {
            status.config_in_use = text;
        }
    }
}

#[test]
fn what_can_change_in_a_running_node_is_reloaded_and_what_cannot_needs_a_restart() {
    let (deployed, mut observed) = running();
    all_go_by_their_files(&deployed, &mut observed);
    let check = |set: &[(&str, u64)], want: &[&str]| {
        let change = ModifyCluster {
            name: "c0".parse().unwrap(),
            replicas: None,
            tablets: None,
            config: edit::Change::Keep,
            set: set.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
            unset: Vec::new(),
        };
        let inventory = edit::modify_cluster(&deployed, &change).unwrap().inventory;
        let request = DeployRequest {
            selection: Selection { hosts: lab::hosts("10.77.0.12 10.77.0.13"), ..Selection::default() },
            config_only: true,
            ..deploy_request()
        };
        let plan = plan::deploy(&inventory, &observed, &request).unwrap();
        let reload = |step: &plan::Step| {
            let words = step.action.words();
            words.starts_with("reload").then(|| format!("phase {}: {words}", step.phase))
        };
        let said: Vec<String> =
            plan.impact.iter().cloned().chain(plan.steps.iter().filter_map(reload)).collect();
        assert_eq!(said, want, "{set:?}");
    };
    let old_in_use =
        "restart needed (restart cluster -n c0 --rolling); until then the old version is used by c0-1, c0-2";
    let reloads = ["phase 2: reload the configuration of c0-1", "phase 2: reload the configuration of c0-2"];
    check(
        &[("merge_incoming_max", 3), ("merge_bytes_per_s", 1 << 20)],
        &["reload, no restart: merge_bytes_per_s, merge_incoming_max on c0-1, c0-2", reloads[0], reloads[1]],
    );
    check(&[("heartbeat_ms", 50)], &[old_in_use]);
    check(&[("heartbeat_ms", 50), ("merge_incoming_max", 3)], &[old_in_use]);
}

#[test]
fn a_reload_that_an_earlier_deploy_did_not_come_to_is_made_up_for() {
    let (inventory, mut observed) = running();
    all_go_by_their_files(&inventory, &mut observed);
    let node = NodeName::Server("c0".parse().unwrap(), MemberNo(1));
    let view = lab::facts_mut(&mut observed, "10.77.0.12").nodes.get_mut(&node).unwrap();
    let in_use = |view: &dkc_inventory::observed::NodeView| {
        view.status.as_ref().and_then(|status| status.config_in_use.clone()).unwrap()
    };
    let older = in_use(view).replace("merge_incoming_max: 2", "merge_incoming_max: 1");
    view.status.as_mut().unwrap().config_in_use = Some(older.clone());
    let words = |observed: &Observed| -> Vec<String> {
        let plan = plan::deploy(&inventory, observed, &deploy_request()).unwrap();
        plan.steps.iter().map(|step| step.action.words()).collect()
    };
    assert_eq!(words(&observed), ["reload the configuration of c0-1"]);
    // A daemon of another release: nobody knows what it would make of the file.
    let view = lab::facts_mut(&mut observed, "10.77.0.12").nodes.get_mut(&node).unwrap();
    view.status.as_mut().unwrap().config_in_use = Some(format!("{older}  unheard_of: 1\n"));
    assert_eq!(words(&observed), Vec::<String>::new());
}

#[test]
fn a_certificate_that_ends_soon_is_issued_anew() {
    let (inventory, mut observed) = deployed();
    let node = NodeName::Server("c0".parse().unwrap(), MemberNo(2));
    lab::facts_mut(&mut observed, "10.77.0.13").nodes.get_mut(&node).unwrap().certificate_days = Some(29);
    let plan = plan::deploy(&inventory, &observed, &deploy_request()).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|step| step.action.words()).collect();
    assert_eq!(
        words,
        [
            "issue a server certificate into /var/lib/dkc/c0-2/tls",
            "check the configuration in /var/lib/dkc/c0-2"
        ]
    );
}

#[test]
fn a_missing_authority_is_made_by_a_step_before_anything_is_signed() {
    let inventory = three_servers();
    let bare = lab::bare_hosts(&inventory);
    let request = DeployRequest { authorities: Default::default(), ..deploy_request() };
    let plan = plan::deploy(&inventory, &bare, &request).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|step| step.action.words()).collect();
    let made = "create the certificate authority of c0, on this machine next to the inventory";
    assert_eq!(words.iter().filter(|word| *word == made).count(), 1, "{words:?}");
    let phase = |part: &str| plan.steps.iter().find(|s| s.action.words().contains(part)).unwrap().phase;
    assert!(phase(made) < phase("issue a server certificate"));
    // Deployed, but never founded: whatever the lost one has signed is signed anew.
    let (inventory, observed) = deployed();
    let plan = plan::deploy(&inventory, &observed, &request).unwrap();
    let issued = plan.steps.iter().filter(|step| step.action.words().starts_with("issue")).count();
    assert_eq!(issued, inventory.node_names().len());
}

#[test]
fn the_authority_of_a_founded_cluster_is_never_made_again() {
    let (inventory, mut observed) = running();
    let request = DeployRequest { authorities: Default::default(), ..deploy_request() };
    check(&plan::deploy(&inventory, &observed, &request).unwrap(), "deploy: nothing to do\n");
    let node = NodeName::Server("c0".parse().unwrap(), MemberNo(2));
    lab::facts_mut(&mut observed, "10.77.0.13").nodes.get_mut(&node).unwrap().certificate_days = Some(29);
    let refused =
        "Refused: cannot issue certificates: the certificate authority of c0 is not on this machine";
    assert_eq!(lab::refused(plan::deploy(&inventory, &observed, &request)), refused);
    // An inventory that does not know yet that its cluster is founded: the servers say so.
    let older = three_servers();
    assert_eq!(lab::refused(plan::deploy(&older, &observed, &request)), refused);
}

#[test]
fn a_deploy_of_configuration_renews_certificates_and_leaves_the_program() {
    let (inventory, mut observed) = deployed();
    let node = NodeName::Server("c0".parse().unwrap(), MemberNo(2));
    let facts = lab::facts_mut(&mut observed, "10.77.0.13");
    let view = facts.nodes.get_mut(&node).unwrap();
    (view.certificate_days, view.program) = (Some(29), Some("older".into()));
    let request = DeployRequest { config_only: true, ..deploy_request() };
    let plan = plan::deploy(&inventory, &observed, &request).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|step| step.action.words()).collect();
    let want = [
        "issue a server certificate into /var/lib/dkc/c0-2/tls",
        "check the configuration in /var/lib/dkc/c0-2",
    ];
    assert_eq!(words, want);
}

#[test]
fn a_first_start_founds_the_ring() {
    let (inventory, observed) = deployed();
    check(
        &plan::start(&inventory, &observed, &start_request(servers(&[]), "start cluster -n c0")).unwrap(),
        "\
plan op-0000002a: start cluster -n c0
  inventory: generation 5 → 6
  ring:      not founded or not running
  class:     disruptive

  phase 1 of 3
    10.77.0.11
       1. start c0-0 (dkcd's own supervisor)
    10.77.0.12
       2. start c0-1 (dkcd's own supervisor)
    10.77.0.13
       3. start c0-2 (dkcd's own supervisor)

  phase 2 of 3
    10.77.0.11
       4. wait until c0-0 is ready
    10.77.0.12
       5. wait until c0-1 is ready
    10.77.0.13
       6. wait until c0-2 is ready

  phase 3 of 3
    10.77.0.11
       7. found the ring through c0-0

  impact: founds c0: 3 servers, 3 tablets, 3 replicas each; tolerates 1 failure
  undo:   stop cluster -n c0
",
    );
}

#[test]
fn a_start_of_what_runs_does_nothing() {
    let (inventory, observed) = running();
    let plan =
        plan::start(&inventory, &observed, &start_request(servers(&[]), "start cluster -n c0")).unwrap();
    check(&plan, "start cluster -n c0: nothing to do\n");
}

#[test]
fn a_slave_stops_and_the_cluster_after_it() {
    let (inventory, mut observed) = running();
    let stop = plan::stop(&inventory, &observed, &stop_request(slave(0), "stop slave --id 0")).unwrap();
    check(
        &stop,
        "\
plan op-0000002a: stop slave --id 0
  inventory: generation 6 (stays)
  ring:      not involved
  class:     disruptive
    10.77.0.21
       1. stop c0-slave0 (dkcd's own supervisor)

  impact: applications on these hosts lose their listener
  undo:   start slave --id 0
",
    );
    observed = apply(&observed, &stop);
    check(
        &plan::stop(&inventory, &observed, &stop_request(servers(&[]), "stop cluster -n c0")).unwrap(),
        "\
plan op-0000002a: stop cluster -n c0
  inventory: generation 6 (stays)
  ring:      version 7
  class:     disruptive
    10.77.0.11
       1. stop c0-0 (dkcd's own supervisor)
    10.77.0.12
       2. stop c0-1 (dkcd's own supervisor)
    10.77.0.13
       3. stop c0-2 (dkcd's own supervisor)

  impact: c0 becomes unavailable; its data stays on disk
  undo:   start cluster -n c0
",
    );
}

#[test]
fn one_server_hands_its_leadership_away_before_it_stops() {
    let (inventory, observed) = running();
    check(
        &plan::stop(&inventory, &observed, &stop_request(servers(&[1]), "stop cluster -n c0 --no 1"))
            .unwrap(),
        "\
plan op-0000002a: stop cluster -n c0 --no 1
  inventory: generation 6 (stays)
  ring:      version 7
  class:     disruptive

  phase 1 of 2
    10.77.0.12
       1. transfer leaderships away from c0-1

  phase 2 of 2
    10.77.0.12
       2. stop c0-1 (dkcd's own supervisor)

  impact: c0 keeps serving; it tolerates 0 failures more until the servers are started
  undo:   start cluster -n c0
",
    );
}

#[test]
fn a_rolling_restart_goes_node_by_node_with_the_meta_leader_last() {
    let (inventory, observed) = running();
    let request = RestartRequest {
        operation: operation("restart cluster -n c0 --rolling"),
        target: servers(&[0, 1]),
        rolling: true,
        allow_no_quorum: false,
    };
    check(
        &plan::restart(&inventory, &observed, &request).unwrap(),
        "\
plan op-0000002a: restart cluster -n c0 --rolling
  inventory: generation 6 (stays)
  ring:      version 7
  class:     disruptive

  phase 1 of 2
    10.77.0.12
       1. transfer leaderships away from c0-1
       2. stop c0-1 (dkcd's own supervisor)
       3. start c0-1 (dkcd's own supervisor)
       4. wait until c0-1 is ready

  phase 2 of 2
    10.77.0.11
       5. transfer leaderships away from c0-0
       6. stop c0-0 (dkcd's own supervisor)
       7. start c0-0 (dkcd's own supervisor)
       8. wait until c0-0 is ready

  impact: c0 keeps serving; it tolerates 0 failures while a server restarts
  undo:   not needed: a restart changes no data and no configuration
",
    );
}

#[test]
fn a_slave_restarts_in_place() {
    let (inventory, observed) = running();
    let request = RestartRequest {
        operation: operation("restart slave --id 0"),
        target: Target::Slaves { ids: vec![SlaveId(0)] },
        rolling: false,
        allow_no_quorum: false,
    };
    let plan = plan::restart(&inventory, &observed, &request).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|step| step.action.words()).collect();
    assert_eq!(
        words,
        [
            "stop c0-slave0 (dkcd's own supervisor)",
            "start c0-slave0 (dkcd's own supervisor)",
            "wait until c0-slave0 is ready"
        ]
    );
}

#[test]
fn destroy_asks_for_the_name_and_removes_slaves_first() {
    let (inventory, observed) = running();
    let request = DestroyRequest {
        operation: operation("destroy cluster -n c0"),
        target: DestroyTarget::Cluster { name: "c0".parse().unwrap(), with_slaves: true },
        with_roots: true,
    };
    let plan = plan::destroy(&inventory, &observed, &request).unwrap();
    let text = plan.text();
    let lines: Vec<&str> =
        text.lines().filter(|l| !l.contains("10.77.0.12") && !l.contains("c0-1")).collect();
    assert_eq!(
        lines.join("\n"),
        "\
plan op-0000002a: destroy cluster -n c0
  inventory: generation 6 → 7
  ring:      version 7
  class:     loses data or redundancy

  phase 1 of 5
    10.77.0.21
       1. stop c0-slave0 (dkcd's own supervisor)

  phase 2 of 5
    10.77.0.21
       2. remove the service and /var/lib/dkc/c0-slave0 with all its data

  phase 3 of 5
    10.77.0.11
       3. stop c0-0 (dkcd's own supervisor)
    10.77.0.13
       5. stop c0-2 (dkcd's own supervisor)

  phase 4 of 5
    10.77.0.11
       6. remove the service and /var/lib/dkc/c0-0 with all its data
    10.77.0.13
       8. remove the service and /var/lib/dkc/c0-2 with all its data

  phase 5 of 5
    10.77.0.11
       9. remove /var/lib/dkc with its programs
      10. remove /var/lib/dkc with its programs
    10.77.0.13
      11. remove /var/lib/dkc with its programs
    10.77.0.21
      12. remove /var/lib/dkc with its programs

  impact: all data in c0 is lost
  impact: c0 stays registered; deploy and start create it again, unregister cluster -n c0 removes the entry
  undo:   none
  to confirm: c0@g6"
    );
}

#[test]
fn a_plan_is_bound_to_what_it_was_made_for() {
    let (inventory, observed) = running();
    let plan = plan::stop(&inventory, &observed, &stop_request(servers(&[1]), "stop")).unwrap();
    let ring = plan.ring_version;
    assert!(plan.check_fresh(inventory.generation, ring).is_ok());
    let stale = plan.check_fresh(inventory.generation.next(), ring);
    assert_eq!(lab::refused(stale), "Stale: the inventory is at generation 7, the plan was made at 6");
    let stale = plan.check_fresh(inventory.generation, Some(dkc_core::ids::RingVersion(9)));
    assert_eq!(lab::refused(stale), "Stale: the ring is at version 9, the plan was made at 7");
    let other = plan::stop(&inventory, &observed, &stop_request(servers(&[2]), "stop")).unwrap();
    assert_ne!(plan.digest(), other.digest());
}
