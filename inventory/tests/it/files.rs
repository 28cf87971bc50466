//! The inventory file: what is accepted, every complaint with its place, the shipped examples and the schema.

use dkc_inventory::edit;
use dkc_inventory::model::Inventory;
use dkc_inventory::yaml;
use serde_json::Value;

use crate::lab::{self, three_servers};

const THREE_SERVERS: &str = include_str!("../../example/three-servers.yaml");
const PLAYGROUND: &str = include_str!("../../example/playground.yaml");
const SCHEMA: &str = include_str!("../../schema.json");

/// The complaint about a text.
fn check(text: &str, want: &str) {
    match yaml::parse(text, "inv.yaml") {
        Ok(inventory) => panic!("accepted: {inventory:?}"),
        Err(error) => assert_eq!(error.to_string(), want, "\n{text}"),
    }
}

/// The complaint about the example with one piece replaced.
fn check_changed(from: &str, to: &str, want: &str) {
    assert!(THREE_SERVERS.contains(from), "{from}");
    check(&THREE_SERVERS.replacen(from, to, 1), want);
}

#[test]
fn the_examples_are_what_the_shell_writes() {
    for (name, text) in [("three-servers", THREE_SERVERS), ("playground", PLAYGROUND)] {
        let inventory = yaml::parse(text, name).unwrap();
        let body = |text: &str| text.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert_eq!(body(&yaml::to_text(&inventory)), body(text), "{name}");
        assert_eq!(inventory.node_names().len(), 4, "{name}");
    }
    assert_eq!(yaml::parse(THREE_SERVERS, "f").unwrap(), three_servers());
}

#[test]
fn shape_is_checked_with_line_and_column() {
    check("", "inv.yaml:1:1: the file is empty");
    check("hosts: {}\n", "inv.yaml:1:1: 'version: 1' is missing");
    check("version: 2\nring: new\n", "inv.yaml:1:1: unknown format version 2; this dkc supports 1");
    check(
        "version: 1\ngeneration: 3\ncolour: red\n",
        "inv.yaml:3:1: unknown field `colour`, expected one of `version`, `generation`, `hosts`, `configs`, `clusters`, \
         `slaves`, `jump_hosts`",
    );
    check_changed(
        "    user: dkc\n",
        "    user: dkc\n    colour: red\n",
        "inv.yaml:9:5: hosts.10.77.0.11: unknown field `colour`, expected one of `user`, `port`, `group`, `host_key`, \
         `accept_new`, `data_dir`, `zone`, `local`",
    );
    check_changed(
        "  10.77.0.12:\n",
        "  10.77.0.11:\n",
        "inv.yaml:7:3: hosts: duplicate entry with key \"10.77.0.11\"",
    );
    check_changed(
        "    port: 22\n",
        "    port: many\n",
        "inv.yaml:9:11: hosts.10.77.0.11.port: invalid type: string \"many\", expected u16",
    );
    // Torn in the middle of a word, as by a full disk.
    let torn = &THREE_SERVERS[..THREE_SERVERS.find("node_uuid").unwrap() + 4];
    let error = yaml::parse(torn, "inv.yaml").unwrap_err();
    assert!(error.line > 20, "{error}");
}

#[test]
fn a_parameter_of_the_release_before_is_left_out_and_an_unknown_one_refused() {
    let with = |parameter: &str| {
        THREE_SERVERS.replacen(
            "    replicas: 3\n",
            &format!("    replicas: 3\n    parameters:\n      {parameter}\n"),
            1,
        )
    };
    assert_eq!(yaml::parse(&with("cache_bytes: 16777216"), "inv.yaml").unwrap(), three_servers());
    let error = yaml::parse(&with("cached_bytes: 16777216"), "inv.yaml").unwrap_err();
    assert!(error.message.contains("'cached_bytes' is not a parameter"), "{error}");
}

#[test]
fn sense_is_checked_with_the_line_it_is_about() {
    check_changed(
        "  10.77.0.12:\n",
        "  10.77.0.99:\n",
        "inv.yaml:39:18: cluster c0: host 10.77.0.12 is not registered",
    );
    check_changed(
        "    cluster: c0\n",
        "    cluster: c7\n",
        "inv.yaml:49:14: slave 0: cluster c7 is not registered",
    );
    check_changed(
        "    host: 10.77.0.21\n",
        "    host: 10.77.0.22\n",
        "inv.yaml:50:11: slave 0: host 10.77.0.22 is not registered",
    );
    check_changed(
        "        node_id: 3\n",
        "        node_id: 9\n",
        "inv.yaml:44:18: cluster c0: node id 9 is not unique and below 4",
    );
    check_changed(
        "      - No.: 2\n",
        "      - No.: 1\n",
        "inv.yaml:44:18: cluster c0: duplicate server No. 1",
    );
    check_changed(
        "        address: 10.77.0.12:8020\n",
        "        address: 10.77.0.11:8020\n",
        "inv.yaml:34:18: duplicate address 10.77.0.11:8020: in c0 and in c0",
    );
    check_changed(
        "replicas: 3",
        "replicas: 8",
        "inv.yaml:26:3: cluster c0: invalid replicas '8': a number from 1 to 7",
    );
    check_changed(
        "listen: 127.0.0.1:11211",
        "listen: 0.0.0.0:11211",
        "inv.yaml:48:3: slave 0: 0.0.0.0:11211 is not a loopback address: a slave's port \
         gives full access to the data, so it may only listen on loopback or a Unix socket",
    );
}

#[test]
fn names_that_readers_would_retype_are_written_quoted() {
    let mut fresh = lab::counter();
    let mut inventory = Inventory::empty();
    for name in ["no", "on", "yes", "1e3", "0x1f", "null", "123", "2024-01-31"] {
        let request = lab::cluster_request(name, &format!("{name}-host.example"));
        inventory = edit::register_cluster(&inventory, &request, &mut fresh).unwrap().inventory;
    }
    let mut request = edit::ModifyHost { hosts: lab::hosts("no-host.example"), ..Default::default() };
    request.user = edit::Change::Set("no".into());
    request.group = edit::Change::Set(vec!["12:30".into(), "~x".into()][..1].to_vec());
    inventory = edit::modify_host(&inventory, &request).unwrap().inventory;
    let text = yaml::to_text(&inventory);
    for line in [
        "  \"no\":",
        "  \"on\":",
        "  \"1e3\":",
        "  \"0x1f\":",
        "  \"null\":",
        "  \"123\":",
        "    user: \"no\"",
        "      - \"12:30\"",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert_eq!(yaml::parse(&text, "f").unwrap(), inventory);
}

/// The fields that the schema knows for a kind of object.
fn fields_of<'a>(schema: &'a Value, name: &str) -> &'a serde_json::Map<String, Value> {
    schema["$defs"][name]["properties"].as_object().unwrap_or_else(|| panic!("no {name} in the schema"))
}

/// Every field of a real object is in the schema, and every required one is there.
fn check_object(schema: &Value, name: &str, object: &Value) {
    let fields = fields_of(schema, name);
    for key in object.as_object().unwrap().keys() {
        assert!(fields.contains_key(key), "{name}.{key} is not in the schema");
    }
    for key in schema["$defs"][name]["required"].as_array().unwrap() {
        assert!(object.get(key.as_str().unwrap()).is_some(), "{name}.{key} is required");
    }
    assert_eq!(schema["$defs"][name]["additionalProperties"], Value::Bool(false), "{name}");
}

#[test]
fn the_examples_fit_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for text in [THREE_SERVERS, PLAYGROUND] {
        let file: Value = serde_yaml::from_str::<Value>(text).unwrap();
        check_object(&schema, "inventory", &file);
        for host in file["hosts"].as_object().unwrap().values() {
            check_object(&schema, "host", host);
        }
        for cluster in file["clusters"].as_object().unwrap().values() {
            check_object(&schema, "cluster", cluster);
            for server in cluster["servers"].as_array().unwrap() {
                check_object(&schema, "server", server);
            }
        }
        for slave in file["slaves"].as_object().unwrap().values() {
            check_object(&schema, "slave", slave);
            for pair in slave["pairs"].as_array().unwrap() {
                check_object(&schema, "pair", pair);
            }
        }
    }
}

/// The reader names all fields it expects when it meets one that it does not know: the schema must list the same.
#[test]
fn the_schema_lists_the_fields_that_the_reader_knows() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let server = "      - No.: 0\n";
    for (name, after) in [
        ("inventory", "generation: 4\n"),
        ("host", "  10.77.0.11:\n"),
        ("cluster", "  c0:\n"),
        ("server", server),
        ("slave", "  0:\n"),
        ("pair", "        protocol: memcache\n"),
    ] {
        let indent = match name {
            "inventory" => "",
            "server" | "pair" => "        ",
            _ => "    ",
        };
        let text = THREE_SERVERS.replacen(after, &format!("{after}{indent}colour: red\n"), 1);
        let told = yaml::parse(&text, "f").unwrap_err().message;
        let (_, expected) = told.split_once("expected one of ").unwrap_or_else(|| panic!("{name}: {told}"));
        let mut read: Vec<&str> = expected.split(", ").map(|word| word.trim_matches('`')).collect();
        read.sort_unstable();
        let mut written: Vec<&str> = fields_of(&schema, name).keys().map(String::as_str).collect();
        written.sort_unstable();
        assert_eq!(written, read, "{name}");
    }
}
