//! The seed's sessions and every refusal of an edit. Each line of a script is what would be typed; the wanted side is
//! what is told.

use dkc_core::ids::{MemberNo, SlaveId};
use dkc_inventory::edit::{self, Change, EditError, Edited, ModifyCluster, ModifyHost};
use dkc_inventory::model::Inventory;
use dkc_inventory::problem::ProblemKind;
use dkc_inventory::show::{self, ClusterFilter, HostFilter, PairFilter, SlaveFilter};

use crate::lab::{self, cluster_request, counter, pair_request, slave_request, three_servers};

fn check_shown(text: String, want: &str) {
    assert_eq!(text, want, "\n{text}");
}

/// What a refused edit says: kind, sentence, causes and advice, one a line.
fn told(result: Result<Edited, EditError>) -> String {
    match result {
        Ok(edited) => edited.lines.join("\n"),
        Err(error) => {
            let problem = error.problem();
            let mut lines = vec![format!("{:?} {}: {}", problem.kind, problem.code, problem.what)];
            lines.extend(problem.cause.iter().map(|cause| format!("  cause: {cause}")));
            lines.extend(problem.advice.iter().map(|advice| format!("  try: {advice}")));
            lines.join("\n")
        }
    }
}

fn check(result: Result<Edited, EditError>, want: &str) {
    assert_eq!(told(result), want);
}

#[test]
fn hosts_are_registered_and_shown_as_in_the_paxos_shell() {
    let inventory = lab::register_hosts(&Inventory::empty(), "192.168.1.10").unwrap().inventory;
    let shown = show::show_hosts(&inventory, &HostFilter::default()).unwrap();
    check_shown(shown.text(), "---\nhostname: \"192.168.1.10\"\nuser: \"dkc\"\n");
}

#[test]
fn a_clusters_unknown_hosts_are_registered_and_grouped() {
    let mut fresh = counter();
    // Twice each, as the PAXOS shell wants it for UDP and TCP.
    let request = cluster_request("c0", "h0:24111 h0:24111 h1:24111 h1:24111 h2:24111 h2:24111");
    let edited = edit::register_cluster(&Inventory::empty(), &request, &mut fresh).unwrap();
    assert_eq!(
        edited.lines,
        [
            "each server is listed twice (UDP and TCP, as in the PAXOS shell); duplicates ignored",
            "host h0: registered with user dkc",
            "host h1: registered with user dkc",
            "host h2: registered with user dkc",
        ]
    );
    let filter = HostFilter { group: vec!["c0".into()], ..HostFilter::default() };
    check_shown(
        show::show_hosts(&edited.inventory, &filter).unwrap().text(),
        "\
---
hostname: \"h0\"
user: \"dkc\"
group: [c0]
---
hostname: \"h1\"
user: \"dkc\"
group: [c0]
---
hostname: \"h2\"
user: \"dkc\"
group: [c0]
",
    );
    check_shown(
        show::show_clusters(&edited.inventory, &ClusterFilter::default()).unwrap().text(),
        "\
---
name: c0
replicas: 3
tablets: 3
server:
  -
    No.: 0
    address: h0
    port: 24111
  -
    No.: 1
    address: h1
    port: 24111
  -
    No.: 2
    address: h2
    port: 24111
",
    );
}

#[test]
fn slaves_and_pairs_are_shown_as_in_the_paxos_shell() {
    let mut fresh = counter();
    let inventory = three_servers();
    let bare = edit::register_slave(&inventory, &slave_request("c0", None), &mut fresh).unwrap();
    assert_eq!(bare.lines, ["slave 1: registered on this machine"]);
    let shown = show::show_slaves(&bare.inventory, &SlaveFilter::default()).unwrap();
    check_shown(
        shown.text(),
        "\
---
id: 0
cluster: c0
host: \"10.77.0.21\"
name space: default
pair:
  - [\"127.0.0.1\", 11211, memcache, default]
---
id: 1
cluster: c0
name space: default
pair:
",
    );
    assert_eq!(
        serde_json::to_string(&shown.documents[0]).unwrap(),
        r#"{"id":0,"cluster":"c0","host":"10.77.0.21","name space":"default","pair":[["127.0.0.1",11211,"memcache","default"]]}"#
    );
    assert_eq!(shown.rows[1], ["1", "c0", "localhost", "", "no"]);
    assert_eq!(show::list_slaves(&bare.inventory, &SlaveFilter::default()).unwrap(), ["0", "1"]);
    assert_eq!(show::list_pairs(&inventory, &PairFilter::default()).unwrap(), ["0 127.0.0.1:11211"]);
    assert_eq!(show::list_clusters(&inventory, &ClusterFilter::default()).unwrap(), ["c0"]);
}

#[test]
fn lists_follow_their_filters() {
    let inventory = three_servers();
    let check = |filter: HostFilter, want: &[&str]| {
        assert_eq!(show::list_hosts(&inventory, &filter).unwrap(), want, "{filter:?}");
    };
    let all = ["10.77.0.11", "10.77.0.12", "10.77.0.13", "10.77.0.21"];
    check(HostFilter::default(), &all);
    check(HostFilter { group: vec!["c0".into()], ..HostFilter::default() }, &all[..3]);
    check(HostFilter { hosts: lab::hosts("10.77.0.21"), ..HostFilter::default() }, &all[3..]);
    check(HostFilter { user: Some("root".into()), ..HostFilter::default() }, &[]);
    check(HostFilter { port: Some(22), ..HostFilter::default() }, &all);
    let unknown = HostFilter { hosts: lab::hosts("10.77.0.99"), ..HostFilter::default() };
    assert_eq!(show::list_hosts(&inventory, &unknown).unwrap_err().kind(), ProblemKind::UnknownName);
}

#[test]
fn the_same_again_is_no_change_and_something_else_is_refused() {
    let inventory = three_servers();
    let mut fresh = counter();
    check(lab::register_hosts(&inventory, "10.77.0.11"), "host 10.77.0.11: already registered");
    check(
        edit::register_hosts(
            &inventory,
            &edit::RegisterHosts {
                hosts: lab::hosts("10.77.0.11"),
                user: Some("root".into()),
                ..Default::default()
            },
        ),
        "Refused DKC-E0401: host 10.77.0.11 is already registered with different values\n  \
         cause: user is dkc, not root\n  try: modify host … 10.77.0.11",
    );
    let same = cluster_request("c0", "10.77.0.11:8020 10.77.0.12:8020 10.77.0.13:8020");
    check(edit::register_cluster(&inventory, &same, &mut fresh), "cluster c0: already registered");
    check(
        edit::register_cluster(&inventory, &cluster_request("c0", "10.77.0.11:8020"), &mut fresh),
        "Refused DKC-E0401: cluster c0 is already registered with different values\n  \
         cause: current servers: 10.77.0.11:8020 10.77.0.12:8020 10.77.0.13:8020\n  \
         try: modify cluster -n c0 …     (except its servers)",
    );
    check(
        edit::register_pair(&inventory, &pair_request(0)),
        "pair 127.0.0.1:11211 of slave 0: already registered",
    );
    let other = edit::RegisterPair { namespace: Some("sessions".parse().unwrap()), ..pair_request(0) };
    check(
        edit::register_pair(&inventory, &other),
        "Refused DKC-E0401: pair 127.0.0.1:11211 of slave 0 is already registered with different values\n  \
         cause: current namespace: default\n  try: modify pair --id 0 --listen 127.0.0.1:11211 …",
    );
}

#[test]
fn what_is_not_possible_is_refused() {
    let inventory = three_servers();
    let mut fresh = counter();
    let mut cluster = |name: &str, servers: &str| {
        edit::register_cluster(&inventory, &cluster_request(name, servers), &mut fresh)
    };
    check(
        cluster("c1", "10.77.0.11:8020"),
        "Refused DKC-E0403: address 10.77.0.11:8020 already belongs to server 0 of c0\n  \
         try: use another port\n  try: show cluster c0",
    );
    check(cluster("c1", "h1:1 h2:1 h1:1"), "Usage DKC-E0212: address h1:1 is given more than once");
    check(cluster("c1", ""), "Usage DKC-E0211: nothing to register: no server given");
    let mut many = cluster_request("c1", "h1 h2");
    many.replicas = Some(3);
    check(
        edit::register_cluster(&inventory, &many, &mut fresh),
        "host h1: registered with user dkc\nhost h2: registered with user dkc\n\
         3 replicas configured: until there are as many servers, every server has all data\n\
         2 replicas: losing one server loses no data, but its tablets stop until it is back",
    );
    check(
        edit::register_slave(&inventory, &slave_request("c1", None), &mut fresh),
        "UnknownName DKC-E0302: cluster c1 is not registered\n  try: did you mean c0?\n  try: list cluster",
    );
    check(
        edit::register_slave(&inventory, &slave_request("c0", Some("10.77.0.22")), &mut fresh),
        "UnknownName DKC-E0301: host 10.77.0.22 is not registered\n  \
         try: did you mean 10.77.0.12, 10.77.0.21?\n  try: list host\n  try: register host 10.77.0.22",
    );
    check(
        edit::register_pair(&inventory, &pair_request(4)),
        "UnknownName DKC-E0303: slave 4 is not registered\n  try: registered: 0",
    );
}

#[test]
fn a_pair_listens_on_loopback_only() {
    let inventory = three_servers();
    let listen = |word: &str| {
        let request = edit::RegisterPair { listen: Some(word.into()), ..pair_request(0) };
        edit::register_pair(&inventory, &request).map_err(|error| error.code())
    };
    for word in ["127.0.0.1:11212", "[::1]:11211", "/run/dkc/app.sock", "127.9.9.9:1"] {
        assert!(listen(word).is_ok(), "{word}");
    }
    for (word, code) in [
        ("0.0.0.0:11211", "DKC-E0405"),
        ("10.77.0.21:11211", "DKC-E0405"),
        ("[::]:11211", "DKC-E0405"),
        ("127.0.0.1:0", "DKC-E0210"),
        ("127.0.0.1", "DKC-E0210"),
        ("localhost:11211", "DKC-E0210"),
        ("/run/../etc/app.sock", "DKC-E0210"),
        ("", "DKC-E0210"),
    ] {
        assert_eq!(listen(word).err(), Some(code), "{word}");
    }
}

#[test]
fn two_slaves_on_one_host_do_not_share_a_listener() {
    let inventory = three_servers();
    let mut fresh = counter();
    let second =
        edit::register_slave(&inventory, &slave_request("c0", Some("10.77.0.21")), &mut fresh).unwrap();
    check(
        edit::register_pair(&second.inventory, &pair_request(1)),
        "Refused DKC-E0404: slave 0 on the same host already listens on 127.0.0.1:11211\n  \
         try: use another port\n  try: show slave --id 0",
    );
    let here = edit::register_slave(&inventory, &slave_request("c0", None), &mut fresh).unwrap();
    assert!(edit::register_pair(&here.inventory, &pair_request(1)).is_ok());
}

#[test]
fn what_is_in_use_stays() {
    let inventory = three_servers();
    check(
        edit::unregister_hosts(&inventory, &lab::hosts("10.77.0.11")),
        "Refused DKC-E0402: host 10.77.0.11 is in use\n  cause: used by server 0 of c0\n  \
         try: unregister cluster -n c0",
    );
    let cluster = |forget| edit::UnregisterCluster { name: "c0".parse().unwrap(), forget };
    check(
        edit::unregister_cluster(&inventory, &cluster(true)),
        "Refused DKC-E0402: cluster c0 is in use\n  cause: used by slave 0\n  try: unregister slave --id 0",
    );
    let slave = edit::UnregisterSlave { id: SlaveId(0), forget: false };
    let without = edit::unregister_slave(&inventory, &slave).unwrap().inventory;
    let gone = edit::unregister_cluster(&without, &cluster(false)).unwrap().inventory;
    assert!(gone.clusters.is_empty() && gone.hosts.values().all(|host| host.group.is_empty()));
    let deployed = edit::record_deployed(&without, &without.node_names()).inventory;
    check(
        edit::unregister_cluster(&deployed, &cluster(false)),
        "Refused DKC-E0408: cluster c0 is installed on its hosts\n  \
         cause: its files and running processes would stay there\n  \
         try: destroy cluster -n c0\n  try: or add --forget and clean up by hand",
    );
    assert!(edit::unregister_cluster(&deployed, &cluster(true)).is_ok());
}

#[test]
fn words_are_checked_before_they_reach_a_unit_or_a_command_line() {
    let host = |change: fn(&mut ModifyHost)| {
        let mut request = ModifyHost { hosts: lab::hosts("10.77.0.11"), ..ModifyHost::default() };
        change(&mut request);
        edit::modify_host(&three_servers(), &request).is_ok()
    };
    assert!(host(|r| r.data_dir = Change::Set("/srv/dkc".into())));
    assert!(host(|r| r.user = Change::Set("admin.x".into())));
    for change in [
        (|r| r.data_dir = Change::Set("/srv/dkc data".into())) as fn(&mut ModifyHost),
        |r| r.data_dir = Change::Set("/".into()),
        |r| r.data_dir = Change::Set("/srv/../etc".into()),
        |r| r.data_dir = Change::Set("srv".into()),
        |r| r.data_dir = Change::Set("/srv\nUser=root".into()),
        |r| r.user = Change::Set("-oProxyCommand=x".into()),
        |r| r.user = Change::Set(String::new()),
        |r| r.group = Change::Set(vec!["a b".into()]),
        |r| r.host_key = Change::Set(vec!["SHA256:short".into()]),
        |r| r.port = Change::Set(0),
    ] {
        assert!(!host(change));
    }
}

#[test]
fn a_destroyed_cluster_is_as_before_its_first_deploy_and_an_undo_does_not_forget_that() {
    let c0 = "c0".parse().unwrap();
    let fresh = three_servers();
    let installed = edit::record_deployed(&fresh, &fresh.node_names()).inventory;
    let founded = edit::record_founded(&installed, &c0).inventory;
    assert_eq!(edit::keep_recorded(fresh.clone(), &founded).clusters, founded.clusters);
    let destroyed = edit::forget_deployed(&founded, &founded.nodes_of(&c0)).inventory;
    assert_eq!((&destroyed.clusters, &destroyed.slaves), (&fresh.clusters, &fresh.slaves));
    assert_eq!(edit::keep_recorded(founded.clone(), &destroyed).clusters, fresh.clusters);
    let one_gone = edit::forget_deployed(&founded, &founded.nodes_of(&c0)[..1]).inventory;
    assert!(one_gone.clusters[&c0].founded);
}

#[test]
fn a_founded_ring_keeps_its_shape_and_takes_parameters() {
    let c0 = "c0".parse().unwrap();
    let founded = edit::record_founded(&three_servers(), &c0).inventory;
    let request = ModifyCluster {
        name: c0,
        replicas: None,
        tablets: None,
        config: Change::Keep,
        set: Default::default(),
        unset: Vec::new(),
    };
    let set = |name: &str, value: u64| ModifyCluster {
        set: [(name.to_owned(), value.into())].into(),
        ..request.clone()
    };
    check(
        edit::modify_cluster(&founded, &ModifyCluster { tablets: Some(16), ..request.clone() }),
        "Refused DKC-E0407: the number of tablets of c0 can no longer change\n  \
         cause: it is what the ring was founded with; ring split and grow split tablets",
    );
    check(
        edit::modify_cluster(&founded, &set("value_max_bytes", 2 << 20)),
        "Refused DKC-E0407: value_max_bytes of c0 can no longer change\n  cause: replicas that apply the log with different \
         limits would differ; a cluster with another limit has to be founded with it, and `data export` and `data import` move the data",
    );
    edit::modify_cluster(&three_servers(), &set("value_max_bytes", 2 << 20)).unwrap();
    edit::modify_cluster(&founded, &set("value_max_bytes", 1 << 20)).unwrap();
    let faster = edit::modify_cluster(&founded, &set("heartbeat_ms", 50)).unwrap().inventory;
    assert_eq!(faster.parameters_of(&faster.clusters[&request.name]).unwrap().heartbeat_ms, 50);
    let back = edit::modify_cluster(
        &faster,
        &ModifyCluster { unset: vec!["heartbeat_ms".into()], ..request.clone() },
    );
    assert_eq!(back.unwrap().inventory.clusters, founded.clusters);
    check(
        edit::modify_cluster(&founded, &set("heartbeat_ms", 1)),
        "Usage DKC-E0210: invalid parameter of cluster c0: heartbeat_ms is a number from 10 to 5000, not 1",
    );
    assert!(
        told(edit::modify_cluster(&founded, &set("hartbeat", 1))).contains("'hartbeat' is not a parameter")
    );
    let unknown = ModifyCluster { unset: vec!["hartbeat".into()], ..request };
    assert!(
        told(edit::modify_cluster(&founded, &unknown))
            .starts_with("Usage DKC-E0210: invalid parameter 'hartbeat'")
    );
}

#[test]
fn ids_are_the_smallest_free_and_node_ids_are_never_used_again() {
    let mut fresh = counter();
    let mut inventory = three_servers();
    for _ in 0..2 {
        inventory =
            edit::register_slave(&inventory, &slave_request("c0", None), &mut fresh).unwrap().inventory;
    }
    let drop = edit::UnregisterSlave { id: SlaveId(1), forget: false };
    inventory = edit::unregister_slave(&inventory, &drop).unwrap().inventory;
    let again = edit::register_slave(&inventory, &slave_request("c0", None), &mut fresh).unwrap();
    assert_eq!(again.lines, ["slave 1: registered on this machine"]);
    let c0 = "c0".parse().unwrap();
    let ids: Vec<u64> = inventory.clusters[&c0].servers.iter().map(|server| server.node_id.0).collect();
    assert_eq!((ids, inventory.clusters[&c0].next_node_id.0), (vec![1, 2, 3], 4));
    assert!(inventory.server(&c0, MemberNo(2)).is_some_and(|server| server.is_founder));
}
