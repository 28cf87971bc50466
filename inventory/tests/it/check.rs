//! The preflight as people read it.

use dkc_inventory::check::{self, Grade};
use dkc_inventory::edit;
use dkc_inventory::model::Inventory;
use dkc_inventory::observed::{NodeView, Observed, RunState, ServiceManager};
use dkc_inventory::status::{ClusterReport, State};

use crate::lab::{self, three_servers};

fn text_of(observed: &Observed, words: &str) -> String {
    let hosts = lab::hosts(words).into_iter().collect();
    check::text(&check::check(&three_servers(), observed, &hosts, "x86_64"))
}

fn check(observed: &Observed, words: &str, want: &str) {
    let text = text_of(observed, words);
    assert_eq!(text, want, "\n{text}");
}

#[test]
fn a_fit_host_gets_one_line_a_topic() {
    let mut observed = lab::bare_hosts(&three_servers());
    let facts = lab::facts_mut(&mut observed, "10.77.0.11");
    facts.service = ServiceManager::SystemdSystem;
    facts.reaches = [("10.77.0.12:8020".into(), true), ("10.77.0.13:8020".into(), true)].into();
    check(
        &observed,
        "10.77.0.11",
        "\
10.77.0.11
  ok   login        as dkc, over SSH
  warn host key     not pinned
                    → trust update 10.77.0.11
  ok   architecture x86_64, Linux 6.1.0
  ok   clock        +3 ms from ours
  ok   directory    /var/lib/dkc
  ok   disk         50.0 GB free below /var/lib/dkc
  ok   service      systemd
  ok   port         8020: free for c0-0
  ok   mesh         can reach all 2 servers
8 ok, 1 warn, 0 fail
",
    );
}

#[test]
fn whatever_hinders_is_told_with_what_to_do() {
    let mut observed = lab::bare_hosts(&three_servers());
    lab::silence(&mut observed, "10.77.0.13");
    let facts = lab::facts_mut(&mut observed, "10.77.0.12");
    facts.machine_id = Some("abc".into());
    let facts = lab::facts_mut(&mut observed, "10.77.0.21");
    facts.machine_id = Some("abc".into());
    facts.architecture = "riscv64".into();
    facts.clock_offset_ms = 900;
    facts.root_is_writable = false;
    facts.disk_free_bytes = 1_000_000_000;
    facts.listening = ["*:11211".into()].into();
    facts.reaches = [("10.77.0.11:8020".into(), false), ("10.77.0.12:8020".into(), true)].into();
    check(
        &observed,
        "10.77.0.13 10.77.0.21",
        "\
10.77.0.13
  FAIL login        no reply within 5 s
                    → check host 10.77.0.13
10.77.0.21
  ok   login        as dkc, over SSH
  warn host key     not pinned
                    → trust update 10.77.0.21
  FAIL architecture 10.77.0.21 is riscv64, but this program was built for x86_64
                    → deploy with a dkc built for riscv64
  warn clock        +900 ms from ours
                    → synchronise the clock of 10.77.0.21 (chrony or systemd-timesyncd)
  FAIL directory    dkc cannot write to /var/lib/dkc
                    → on 10.77.0.21: mkdir -p /var/lib/dkc && chown dkc /var/lib/dkc
  warn disk         1.0 GB free below /var/lib/dkc
                    → free space below /var/lib/dkc on 10.77.0.21
  warn service      no usable systemd: dkcd runs its own supervisor
                    → nodes do not restart after a reboot; run start cluster
  FAIL port         port 11211 is in use by another program (listening on *:11211)
                    → on 10.77.0.21: ss -ltnp 'sport = :11211' shows the program
  FAIL mesh         cannot reach 10.77.0.11:8020
                    → allow connections from 10.77.0.21 to 10.77.0.11:8020, where nothing listens yet (firewall, routing)
  warn machine      same machine as 10.77.0.12
                    → servers on one machine fail together (or the hosts were cloned with the same machine-id)
1 ok, 5 warn, 5 fail
",
    );
}

#[test]
fn a_node_that_runs_may_listen_on_its_own_port() {
    let (inventory, mut observed) = crate::plans::running();
    lab::facts_mut(&mut observed, "10.77.0.11").listening = ["10.77.0.11:8020".into()].into();
    let hosts = lab::hosts("10.77.0.11").into_iter().collect();
    let findings = check::check(&inventory, &observed, &hosts, "x86_64");
    let port = findings.iter().find(|finding| finding.topic == "port").unwrap();
    assert_eq!((port.grade, port.what.as_str()), (Grade::Ok, "8020: c0-0 is listening"));
    assert_eq!(check::worst(&findings), Grade::Warn);
}

#[test]
fn a_certificate_is_told_from_thirty_days_before_its_end_on() {
    let (inventory, mut observed) = crate::plans::running();
    let (cluster, node) = ("c0".parse().unwrap(), "c0-0".to_owned());
    let mut check = |days: Option<i64>, grade: Grade, what: &str, status: (State, Option<&str>)| {
        let facts = lab::facts_mut(&mut observed, "10.77.0.11");
        let view = facts.nodes.iter_mut().find(|(name, _)| name.to_string() == node).unwrap().1;
        view.certificate_days = days;
        let hosts = lab::hosts("10.77.0.11").into_iter().collect();
        let findings = check::check(&inventory, &observed, &hosts, "x86_64");
        let found = findings.iter().find(|finding| finding.topic == "certificate").unwrap();
        assert_eq!((found.grade, found.what.as_str()), (grade, format!("c0-0: {what}").as_str()));
        let report = ClusterReport::of(&inventory, &observed, &cluster).unwrap();
        assert_eq!((report.status, report.server[0].notice.as_deref()), status);
    };
    check(Some(30), Grade::Ok, "its certificate expires in 30 days", (State::Running, None));
    let soon = "its certificate expires in 29 days";
    check(Some(29), Grade::Warn, soon, (State::Running, Some(soon)));
    let today = "its certificate expires within a day";
    check(Some(0), Grade::Warn, today, (State::Running, Some(today)));
    let ended = "its certificate has expired: new connections fail";
    check(Some(-1), Grade::Fail, ended, (State::Degraded, None));
    check(None, Grade::Fail, "has no readable certificate", (State::Running, None));
}

#[test]
fn an_older_copy_of_a_servers_data_is_told_with_the_way_out() {
    let (inventory, mut observed) = crate::plans::running();
    let facts = lab::facts_mut(&mut observed, "10.77.0.11");
    let view = facts.nodes.iter_mut().find(|(name, _)| name.to_string() == "c0-0").unwrap().1;
    view.put_back = Some("an older copy".into());
    (view.run, view.status) = (RunState::Failing { message: "systemd gave up (exit-code)".into() }, None);
    let hosts = lab::hosts("10.77.0.11").into_iter().collect();
    let findings = check::check(&inventory, &observed, &hosts, "x86_64");
    let found = findings.iter().find(|finding| finding.grade == Grade::Fail).unwrap();
    assert_eq!((found.topic, found.what.as_str()), ("directory", "an older copy"));
    assert_eq!(found.advice.as_deref(), Some("replace -n c0 --no 0 --address HOST:PORT"));
    let report = ClusterReport::of(&inventory, &observed, &"c0".parse().unwrap()).unwrap();
    assert_eq!(
        (report.server[0].status, report.server[0].why.as_deref()),
        (State::Error, Some("an older copy"))
    );
    assert_eq!(report.status, State::Degraded);
}

#[test]
fn a_server_that_could_not_renew_its_certificate_is_told() {
    let (inventory, mut observed) = crate::plans::running();
    let mut check = |issuer_days: Option<i64>, want: Option<&str>| {
        let facts = lab::facts_mut(&mut observed, "10.77.0.11");
        facts.nodes.values_mut().for_each(|view| view.issuer_days = issuer_days);
        let hosts = lab::hosts("10.77.0.11").into_iter().collect();
        let findings = check::check(&inventory, &observed, &hosts, "x86_64");
        let found =
            findings.iter().find(|finding| finding.advice.is_some() && finding.topic == "certificate");
        assert_eq!(
            found.map(|found| (found.grade, found.what.as_str())),
            want.map(|want| (Grade::Warn, want))
        );
    };
    check(Some(180), None);
    check(Some(179), Some("c0-0: its issuer expires in 179 days; certificates cannot be renewed after that"));
    check(None, Some("c0-0: it has no issuer, so only deploy renews certificates"));
}

#[test]
fn a_root_that_others_may_write_to_is_no_place_for_a_program() {
    let mut observed = lab::bare_hosts(&three_servers());
    let facts = lab::facts_mut(&mut observed, "10.77.0.11");
    facts.root_exposure = Some("others may write there (drwxrwxrwt)".into());
    let text = text_of(&observed, "10.77.0.11");
    assert!(text.contains("FAIL directory    /var/lib/dkc is not safe: others may write there"), "{text}");
    assert!(text.contains("chmod go-w /var/lib/dkc"), "{text}");
}

#[test]
fn clusters_that_share_a_host_share_its_login_user() {
    let inventory = three_servers();
    let observed = lab::bare_hosts(&inventory);
    let isolation = |inventory: &Inventory| {
        let hosts = lab::hosts("10.77.0.11").into_iter().collect();
        let findings = check::check(inventory, &observed, &hosts, "x86_64");
        findings.into_iter().find(|finding| finding.topic == "isolation")
    };
    assert_eq!(isolation(&inventory), None);
    let mut fresh = lab::counter();
    let request = lab::cluster_request("c1", "10.77.0.11:8021");
    let inventory = edit::register_cluster(&inventory, &request, &mut fresh).unwrap().inventory;
    let found = isolation(&inventory).expect("a finding");
    assert_eq!(found.grade, Grade::Warn);
    assert!(found.what.starts_with("nodes of c0 and c1 all run as dkc"), "{}", found.what);
}

#[test]
fn only_nodes_of_the_login_user_are_told_apart_from_others() {
    let mut fresh = lab::counter();
    let request = lab::cluster_request("c1", "10.77.0.11:8021");
    let inventory = edit::register_cluster(&three_servers(), &request, &mut fresh).unwrap().inventory;
    let mut observed = lab::bare_hosts(&inventory);
    let check = |observed: &Observed, want: Option<(&str, &str)>| {
        let hosts = lab::hosts("10.77.0.11").into_iter().collect();
        let findings = check::check(&inventory, observed, &hosts, "x86_64");
        let found = findings.into_iter().find(|finding| finding.topic == "isolation");
        let found = found.map(|found| (found.what, found.advice.unwrap_or_default()));
        match (&found, want) {
            (None, None) => {}
            (Some((what, advice)), Some((in_what, in_advice))) => {
                assert!(what.contains(in_what) && advice.contains(in_advice), "{found:?}");
            }
            _ => panic!("{found:?}"),
        }
    };
    let facts = lab::facts_mut(&mut observed, "10.77.0.11");
    facts.service = ServiceManager::SystemdSystem;
    check(&observed, None);
    let facts = lab::facts_mut(&mut observed, "10.77.0.11");
    facts.login_user_only = Some("the login user's group users is not its own".into());
    check(&observed, Some(("nodes of c0 and c1 all run as dkc", "group users is not its own")));
    let facts = lab::facts_mut(&mut observed, "10.77.0.11");
    facts.login_user_only = None;
    let node =
        inventory.nodes_on(&lab::host("10.77.0.11")).into_iter().find(|node| node.cluster().as_str() == "c0");
    let view = NodeView { exists: true, owner: Some("dkc".into()), ..NodeView::default() };
    facts.nodes.insert(node.expect("c0-0"), view);
    check(&observed, Some(("nodes of c0 run as the login user dkc", "replace these servers one by one")));
}
