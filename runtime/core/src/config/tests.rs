use std::collections::BTreeMap;

use super::*;

const SERVER: &str = "\
version: 1
cluster: c0
cluster_id: 11111111-1111-4111-8111-111111111111
node_uuid: 22222222-2222-4222-8222-222222222221
role:
  server:
    number: 1
    node_id: 1
    listen: 10.77.0.11:8020
    zone: east
    tablets: 12
    replicas: 3
    is_founder: true
servers:
- number: 1
  node_id: 1
  node_uuid: 22222222-2222-4222-8222-222222222221
  address: 10.77.0.11:8020
  zone: east
- number: 2
  node_id: 2
  node_uuid: 22222222-2222-4222-8222-222222222222
  address: 10.77.0.12:8020
- number: 3
  node_id: 3
  node_uuid: 22222222-2222-4222-8222-222222222223
  address: 10.77.0.13:8020
parameters:
  heartbeat_ms: 75
  election_timeout_min_ms: 250
  election_timeout_max_ms: 450
  read: lease
  request_deadline_ms: 10000
  value_max_bytes: 1048576
  connections_max: 4096
  slave_memory_bytes: 268435456
  client_idle_timeout_ms: 86400000
  client_stall_timeout_ms: 60000
  tablet_queue_max: 16384
  log_segment_bytes: 67108864
  memory_bytes: 268435456
  persist_interval_ms: 60000
  automerge: on
  merge_bytes_per_s: 33554432
  merge_incoming_max: 2
  split_operations_per_s: 2000
  split_after_ms: 60000
  metrics_port: 0
  slave_metrics_port: 0
  log_level: info
  log_format: text
";

const SLAVE: &str = "\
version: 1
cluster: c0
cluster_id: 11111111-1111-4111-8111-111111111111
node_uuid: 33333333-3333-4333-8333-333333333331
role:
  slave:
    id: 0
    pairs:
    - listen: 127.0.0.1:11211
      protocol: memcache
      namespace: default
    - listen: /run/dkc/app.sock
      protocol: memcache
      namespace: app
servers:
- number: 1
  node_id: 1
  node_uuid: 22222222-2222-4222-8222-222222222221
  address: 10.77.0.11:8020
parameters: {}
";

fn parse(text: &str) -> Result<NodeConfig, String> {
    NodeConfig::parse(text, "node.yaml").map_err(|error| error.to_string())
}

/// `good` with `old` replaced by `new` once must be refused with these words.
fn refused(good: &str, old: &str, new: &str, want: &str) {
    assert!(good.contains(old), "{old}");
    let got = parse(&good.replacen(old, new, 1)).expect_err(new);
    assert_eq!(got, want, "{old} → {new}");
}

#[test]
fn a_rendered_file_is_read_back_as_it_was() {
    for text in [SERVER, SLAVE] {
        let config = parse(text).unwrap();
        assert_eq!(parse(&config.to_yaml()).unwrap(), config);
        assert_eq!(config.warnings(), Vec::<String>::new());
    }
    assert_eq!(parse(SERVER).unwrap().to_yaml(), SERVER);
}

/// A node whose program alone was upgraded reads the file of the release before.
#[test]
fn a_parameter_of_the_release_before_is_read_warned_about_and_not_written() {
    let before = SERVER.replacen("  memory_bytes: 268435456", "  cache_bytes: 16777216", 1);
    let config = parse(&before).unwrap();
    assert_eq!(config.parameters.memory_bytes, Parameters::default().memory_bytes);
    let [warning] = &config.warnings()[..] else { panic!("{:?}", config.warnings()) };
    assert!(warning.contains("cache_bytes") && warning.contains("memory_bytes"), "{warning}");
    assert_eq!(config.to_yaml(), SERVER);
    for retired in &RETIRED {
        assert!(Parameter::named(retired.name).is_none() && Parameter::named(retired.instead).is_some());
        let typed = BTreeMap::from([(retired.name.to_owned(), Setting::Number(16_777_216))]);
        let why = Parameters::with_overrides(&typed).unwrap_err();
        assert!(why.contains("not a parameter any more") && why.contains(retired.instead), "{why}");
    }
}

#[test]
fn a_file_of_another_shape_is_refused_with_its_place() {
    refused(SERVER, "version: 1", "version: 2", "node.yaml:1:1: version 2 is unknown; this program reads 1");
    refused(
        SERVER,
        "    replicas: 3",
        "    replicas: many",
        "node.yaml:12:15: role.server.replicas: invalid type: string \"many\", expected u32",
    );
    refused(
        SERVER,
        "read: lease",
        "read: guess",
        "node.yaml:32:9: parameters.read: unknown variant `guess`, expected `lease` or `index`",
    );
    refused(
        SERVER,
        "is_founder: true",
        "founder: true",
        "node.yaml:13:5: role.server: unknown field `founder`, expected one of `number`, `node_id`, `listen`, \
         `zone`, `tablets`, `replicas`, `is_founder`",
    );
    refused(
        SERVER,
        "cluster: c0",
        "cluster: c 0",
        "node.yaml:1:1: 'c 0' is not a cluster name: letters, digits, '_' and '-', beginning with a letter or digit",
    );
    refused(
        SERVER,
        "parameters:",
        "parameters: [",
        "node.yaml:28:13: parameters: invalid type: sequence, expected struct Parameters",
    );
    assert_eq!(parse("").unwrap_err(), "node.yaml:1:1: missing field `version`");
    assert_eq!(parse("\u{0}\u{1}").unwrap_err(), "node.yaml:1:1: control characters are not allowed");
}

#[test]
fn a_file_without_sense_is_refused_with_its_place() {
    refused(
        SERVER,
        "node_id: 2",
        "node_id: 1",
        "node.yaml:21:3: node_id 1 is that of server 1 in this list already",
    );
    refused(
        SERVER,
        "address: 10.77.0.13:8020",
        "address: 10.77.0.12:8020",
        "node.yaml:27:3: address 10.77.0.12:8020 is that of server 2 in this list already",
    );
    refused(SERVER, "    number: 1", "    number: 2", "node.yaml:7:5: number is 2, but servers says 1");
    refused(SERVER, "tablets: 12", "tablets: 0", "node.yaml:11:5: tablets is 0: 1 to 16384 are possible");
    refused(SERVER, "replicas: 3", "replicas: 9", "node.yaml:12:5: replicas is 9: 1 to 7 are possible");
    refused(
        SERVER,
        "222222222221\nrole",
        "222222222229\nrole",
        "node.yaml:13:5: a founder stands in servers, but node_uuid is not there",
    );
    refused(
        SERVER,
        "heartbeat_ms: 75",
        "heartbeat_ms: 200",
        "node.yaml:30:3: election_timeout_min_ms is 250, but must be at least 3 heartbeats (600 ms), or one late \
         packet replaces a leader",
    );
    refused(
        SERVER,
        "election_timeout_max_ms: 450",
        "election_timeout_max_ms: 200",
        "node.yaml:31:3: election_timeout_max_ms is 200, but must be more than election_timeout_min_ms (250), or \
         elections collide",
    );
    refused(
        SERVER,
        "value_max_bytes: 1048576",
        "value_max_bytes: 99999999",
        "node.yaml:34:3: value_max_bytes is a number from 1024 to 67108864, not 99999999",
    );
}

#[test]
fn a_slave_listens_where_only_its_own_host_reaches_it() {
    let at = |listen: &str, want: &str| {
        refused(SLAVE, "127.0.0.1:11211", listen, &format!("node.yaml:9:7: {want}"))
    };
    let allowed = "ADDRESS:PORT on loopback (as in 127.0.0.1:11211), or the absolute path of a Unix socket";
    at("0.0.0.0:11211", &format!("0.0.0.0:11211 can be reached from other hosts; allowed is {allowed}"));
    at(
        "10.77.0.21:11211",
        &format!("10.77.0.21:11211 can be reached from other hosts; allowed is {allowed}"),
    );
    at("localhost", &format!("localhost is not {allowed}"));
    at("app.sock", &format!("app.sock is not {allowed}"));
    at("127.0.0.1:0", "127.0.0.1:0 has port 0, which no application can know");
    refused(
        SLAVE,
        "listen: /run/dkc/app.sock",
        "listen: 127.0.0.1:11211",
        "node.yaml:12:7: 127.0.0.1:11211 is where pair 1 of this list listens already",
    );
    for good in ["127.0.0.2:1", "'[::1]:11211'", "/x"] {
        parse(&SLAVE.replacen("127.0.0.1:11211", good, 1)).expect(good);
    }
}

#[test]
fn more_replicas_than_servers_is_only_a_warning() {
    let config = parse(&SERVER.replacen("replicas: 3", "replicas: 5", 1)).unwrap();
    let want = "replicas is 5, but there are only 3 servers: every server holds everything";
    assert_eq!(config.warnings(), [want]);
}

#[test]
fn overrides_are_checked_by_name_and_value() {
    let check = |name: &str, value: &str, want: &str| {
        let value: Setting = value.parse().unwrap();
        let got = Parameters::with_overrides(&BTreeMap::from([(name.to_owned(), value)]));
        assert_eq!(got.map(|_| "good".to_owned()).unwrap_or_else(|why| why), want, "{name}");
    };
    check("heartbeat_ms", "50", "good");
    check("read", "index", "good");
    check("log_level", "info,dkcd=debug", "good");
    check("heartbeat_ms", "5", "heartbeat_ms is a number from 10 to 5000, not 5");
    check("heartbeat_ms", "-5", "heartbeat_ms is a number from 10 to 5000, not -5");
    check("heartbeat_ms", "fast", "heartbeat_ms is a number from 10 to 5000, not fast");
    check("read", "guess", "read is lease or index, not guess");
    check("log_level", "", "log_level is a line of 1 to 200 bytes, not ''");
    check("log_level", "a\tb", "log_level is a line of 1 to 200 bytes, not a\\tb");
    check("log_level", "5", "log_level is a line of 1 to 200 bytes, not 5");
    check("automerge", "1", "automerge is on or off, not 1");
    check("connections_max", "4294967297", "connections_max is a number from 16 to 1000000, not 4294967297");
    check("value_max_bytes", "[1, 2]", "value_max_bytes is a number from 1024 to 67108864, not [1, 2]");
    let long = "x".repeat(61);
    let cut = format!("read is lease or index, not {}…", &long[..60]);
    check("read", &long, &cut);
    check(
        "heartbeat",
        "5",
        "'heartbeat' is not a parameter; there are: heartbeat_ms, election_timeout_min_ms, \
         election_timeout_max_ms, read, request_deadline_ms, value_max_bytes, connections_max, slave_memory_bytes, client_idle_timeout_ms, client_stall_timeout_ms, tablet_queue_max, \
         log_segment_bytes, memory_bytes, persist_interval_ms, automerge, merge_bytes_per_s, merge_incoming_max, split_operations_per_s, split_after_ms, metrics_port, slave_metrics_port, log_level, log_format",
    );
    let value_and_log = "log_segment_bytes is 67108864, but must be at least 68157440 to hold a value of \
                         value_max_bytes (67108864)";
    check("value_max_bytes", "67108864", value_and_log);
}

#[test]
fn the_table_names_every_parameter_and_its_default_is_allowed() {
    let in_table: Vec<&str> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
    let yaml = serde_yaml::to_string(&Parameters::default()).unwrap();
    let in_struct: Vec<&str> = yaml.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(in_table, in_struct);
    assert_eq!(Parameters::default().check(), Ok(()));
    for parameter in PARAMETERS {
        assert_eq!(parameter.check(&parameter.default_value()), Ok(()));
        assert!(parameter.name.ends_with(parameter.unit) || !["ms", "bytes"].contains(&parameter.unit));
        assert!(parameter.explanation.ends_with('.'));
    }
}

#[test]
fn a_setting_is_a_number_or_a_word_and_is_read_back_as_it_was() {
    let check = |yaml: &str, want: Result<Setting, &str>| {
        let got: Result<Setting, String> = serde_yaml::from_str(yaml).map_err(|error| error.to_string());
        assert_eq!(got, want.map_err(str::to_owned), "{yaml}");
        if let Ok(setting) = got {
            assert_eq!(
                serde_yaml::from_str::<Setting>(&serde_yaml::to_string(&setting).unwrap()).unwrap(),
                setting
            );
        }
    };
    check("75", Ok(Setting::Number(75)));
    check("'75'", Ok(Setting::Text("75".into())));
    check("on", Ok(Setting::Text("on".into())));
    check("-5", Err("invalid type: integer `-5`, expected a number or a word"));
    check("true", Err("invalid type: boolean `true`, expected a number or a word"));
    check("[1]", Err("invalid type: sequence, expected a number or a word"));
    for parameter in PARAMETERS {
        let default = BTreeMap::from([(parameter.name.to_owned(), parameter.default_value())]);
        assert_eq!(Parameters::with_overrides(&default), Ok(Parameters::default()), "{}", parameter.name);
    }
}

#[test]
fn a_changed_configuration_says_what_a_reload_takes_over_and_what_needs_a_restart() {
    let check = |old: &str, new: &str, dynamic: &[&str], restart_needed: &[&str]| {
        let change = parse(SERVER).unwrap().change_to(&parse(&SERVER.replacen(old, new, 1)).unwrap());
        assert_eq!(
            (change.dynamic.as_slice(), change.restart_needed.as_slice()),
            (dynamic, restart_needed),
            "{new}"
        );
        assert_eq!(change.is_reload(), restart_needed.is_empty() && !dynamic.is_empty());
    };
    check("cluster: c0", "cluster: c0", &[], &[]);
    check("automerge: on", "automerge: off", &["automerge"], &[]);
    check(
        "split_after_ms: 60000\n  metrics_port: 0\n  slave_metrics_port: 0\n  log_level: info",
        "split_after_ms: 5000\n  metrics_port: 0\n  slave_metrics_port: 0\n  log_level: debug",
        &["split_after_ms", "log_level"],
        &[],
    );
    check("heartbeat_ms: 75", "heartbeat_ms: 70", &[], &["heartbeat_ms"]);
    check("zone: east", "zone: west", &[], &["role"]);
    check("address: 10.77.0.12:8020", "address: 10.77.0.12:8021", &[], &["servers"]);
    check(
        "memory_bytes: 268435456\n  persist_interval_ms: 60000",
        "memory_bytes: 368435456\n  persist_interval_ms: 500",
        &["persist_interval_ms"],
        &["memory_bytes"],
    );
    // What a node of the release before goes by: it cannot reload a file of this one.
    check("heartbeat_ms: 75", "heartbeat_ms: 75\n  cache_bytes: 16777216", &[], &["cache_bytes"]);
}

/// Its list of servers is where a slave begins; while it runs it follows the ring, which other servers may have joined.
#[test]
fn a_slave_reloads_although_its_cluster_has_other_servers_now() {
    let slave = parse(SLAVE).unwrap();
    let grown = SLAVE.replace("10.77.0.11:8020", "10.77.0.19:8020").replace("{}", "\n  log_level: debug");
    let change = slave.change_to(&parse(&grown).unwrap());
    assert_eq!((change.dynamic.as_slice(), change.restart_needed.as_slice()), (&["log_level"][..], &[][..]));
}

#[test]
fn servers_whose_timeouts_would_break_each_others_leases_are_not_put_side_by_side() {
    let check = |(min, max): (u64, u64), is_good: bool| {
        let (election_timeout_min_ms, election_timeout_max_ms) = (min, max);
        let other = Parameters { election_timeout_min_ms, election_timeout_max_ms, ..Parameters::default() };
        for (one, two) in [(Parameters::default(), other.clone()), (other, Parameters::default())] {
            assert_eq!(one.check_beside(&two).is_ok(), is_good, "{min} {max}");
        }
    };
    check((250, 450), true);
    check((500, 900), true);
    check((502, 900), false);
    check((250, 2_000), true);
    check((50, 225), true);
    check((50, 224), false);
}
