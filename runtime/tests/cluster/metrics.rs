//! Metrics over HTTP on loopback, and that the dashboard and the alert rules ask for what there is.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use dkc_core::control::{ControlReply, ControlRequest};

use crate::lab::{Lab, wait_for};

/// A port that nobody uses now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}

fn fetch(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}

fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().expect("a number")
}

#[test]
fn one_server_of_a_host_tells_its_metrics_over_http_and_the_other_serves_without() {
    let port = free_port();
    let lab = Lab::founded(2, 1, |parameters| parameters.metrics_port = port);
    lab.wait_for_leaders();
    assert!(crate::lab::set_at(&lab.servers[0].socket(), "k", "v"));
    let mut text = String::new();
    wait_for("a server tells its metrics", || {
        text = fetch(port, "/metrics").unwrap_or_default();
        text.starts_with("HTTP/1.1 200 OK\r\n")
    });
    assert!(text.contains("\r\nContent-Type: text/plain; version=0.0.4"), "{text}");
    assert!(value(&text, "dkc_memory_bytes ") > 0);
    assert!(fetch(port, "/").is_some_and(|said| said.starts_with("HTTP/1.1 404 ")));
    let has_no_port = |log: &str| log.contains("no metrics over HTTP: cannot listen");
    wait_for("the other says why it does not", || {
        lab.servers.iter().any(|server| has_no_port(&server.log()))
    });

    // A write is counted once, by the leader, with the time it took.
    let written = |text: &str| value(text, "dkc_write_seconds_count ");
    let all = || -> u64 { lab.servers.iter().map(|server| written(&said(server))).sum() };
    let before = all();
    assert!(crate::lab::set_at(&lab.servers[1].socket(), "k2", "v"));
    assert_eq!(all(), before + 1);
    let status: u64 = lab.servers.iter().map(|server| server.status().served.write_latency.total()).sum();
    assert_eq!(status, before + 1);
}

fn said(server: &crate::lab::Server) -> String {
    let ControlReply::Text(text) = server.ask(&ControlRequest::Metrics) else { panic!("no metrics") };
    text
}

/// Names of metrics in a file: whole words that begin with `dkc_`.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("dkc_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alert_rules_name_metrics_that_exist() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let (slave, _) = lab.slave(|_| {});
    let mut there = BTreeSet::new();
    wait_for("the slave knows its servers", || {
        there = names(&(said(&lab.servers[0]) + &said(&slave)));
        there.contains("dkc_slave_server_up")
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/monitoring");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the project");

    let dashboard: serde_json::Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let expressions: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
        .map(|target| target["expr"].as_str().expect("an expression"))
        .collect();
    assert!(panels.len() > 10 && expressions.len() > panels.len(), "{expressions:?}");

    let alerts: serde_yaml::Value = serde_yaml::from_str(&read("alerts.yml")).expect("YAML");
    let rules = alerts["groups"][0]["rules"].as_sequence().expect("rules");
    let mut alerting = Vec::new();
    for rule in rules {
        assert!(rule["alert"].as_str().is_some_and(|name| name.starts_with("Dkc")), "{rule:?}");
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{rule:?}");
        assert!(rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string());
        alerting.push(rule["expr"].as_str().expect("an expression"));
    }
    assert!(alerting.len() > 5);

    for expression in expressions.into_iter().chain(alerting) {
        for name in names(expression) {
            assert!(there.contains(&name), "{name} in `{expression}` is told by no node");
        }
    }
}
