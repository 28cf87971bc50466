//! Preflight: judges the facts of hosts before anything changes on them. A reason for deploy or start to refuse is a
//! `fail`; a weakness that does not prevent them is a `warn`. Both come with advice.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::certificate::ISSUER_RENEW_DAYS;
use dkc_core::ids::{HostAddress, NodeAddress};
use serde::Serialize;

use crate::document::Document;
use crate::listeners::listeners;
use crate::model::{Host, Inventory, NodeName, node_dir};
use crate::observed::{HostFacts, HostView, NodeView, Observed, ServiceManager, Silence};
use crate::plan::{CERTIFICATE_RENEW_DAYS, CLOCK_OFFSET_MAX_MS, Refusal, exposures};
use crate::render;
use crate::system_user::runs_as;

/// A larger clock offset gets a warning, although everything works.
const CLOCK_OFFSET_WARN_MS: i64 = 500;
/// Below this a busy cluster may fill the disk before an operator notices.
const DISK_FREE_WARN_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Below this a server cannot create its log.
const DISK_FREE_FAIL_BYTES: u64 = 300 * 1024 * 1024;

/// How serious a finding is; the worst one decides the exit status of `check host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Nothing to do.
    Ok,
    /// A weakness: deploy and start still work.
    Warn,
    /// Deploy or start would refuse.
    Fail,
}

/// The judgement of one topic on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it was found.
    pub host: HostAddress,
    /// How serious it is.
    pub grade: Grade,
    /// `login`, `host key`, `architecture`, `disk`, `clock`, `directory`, `port`, `mesh`, `machine`, `service`,
    /// `certificate`, `isolation`.
    pub topic: &'static str,
    /// The fact, without advice.
    pub what: String,
    /// A command or a task for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

fn finding(host: &HostAddress, grade: Grade, topic: &'static str, what: impl Into<String>) -> Finding {
    Finding { host: host.clone(), grade, topic, what: what.into(), advice: None }
}

impl Finding {
    fn advise(mut self, advice: impl Into<String>) -> Finding {
        self.advice = Some(advice.into());
        self
    }

    /// A finding in the words of a refusal.
    fn of(host: &HostAddress, topic: &'static str, refusal: &Refusal) -> Finding {
        let what = refusal.to_string();
        let what = what.strip_prefix(&format!("{host}: ")).unwrap_or(&what).to_owned();
        Finding { advice: refusal.advice().into_iter().next(), ..finding(host, Grade::Fail, topic, what) }
    }
}

/// All findings about these hosts, host by host. `architecture` is that of the program to deploy.
pub fn check(
    inventory: &Inventory,
    observed: &Observed,
    hosts: &BTreeSet<HostAddress>,
    architecture: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in hosts {
        match observed.hosts.get(address) {
            None => findings.push(finding(address, Grade::Fail, "login", "not queried")),
            Some(HostView::Silent { kind, message }) => findings.push(silence(address, *kind, message)),
            Some(HostView::Facts(facts)) => {
                let host = inventory.host(address);
                findings.extend(login(address, facts, host.as_deref()));
                findings.push(architecture_of(address, facts, architecture));
                findings.push(clock(address, facts));
                findings.extend(directory(inventory, address, facts));
                findings.push(disk(address, facts));
                findings.push(service(address, facts));
                findings.extend(ports(inventory, address, facts));
                findings.extend(certificates(inventory, address, facts));
                findings.extend(mesh(inventory, observed, address, facts));
                findings.extend(isolation(inventory, address, facts));
                findings.extend(same_machine(observed, address, facts));
            }
        }
    }
    findings
}

/// The worst grade; `Ok` without findings.
pub fn worst(findings: &[Finding]) -> Grade {
    findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Ok)
}

fn silence(address: &HostAddress, kind: Silence, message: &str) -> Finding {
    let topic = match kind {
        Silence::HostKeyUnknown | Silence::HostKeyChanged => "host key",
        _ => "login",
    };
    Finding::of(address, topic, &Refusal::Silent { host: address.clone(), kind, message: message.into() })
}

fn login(address: &HostAddress, facts: &HostFacts, host: Option<&Host>) -> Vec<Finding> {
    let is_local = host.is_some_and(|host| host.local);
    let way = if is_local { "this machine" } else { "over SSH" };
    let mut findings = vec![finding(address, Grade::Ok, "login", format!("as {}, {way}", facts.user))];
    if let Some(host) = host.filter(|_| !is_local) {
        findings.push(match host.host_key.is_empty() {
            false => finding(address, Grade::Ok, "host key", "pinned"),
            true => finding(address, Grade::Warn, "host key", "not pinned")
                .advise(format!("trust update {address}")),
        });
    }
    findings
}

fn architecture_of(address: &HostAddress, facts: &HostFacts, wanted: &str) -> Finding {
    if facts.architecture == wanted {
        // The program is statically linked, so the host's C library does not matter.
        return finding(
            address,
            Grade::Ok,
            "architecture",
            format!("{}, {}", facts.architecture, facts.kernel),
        );
    }
    let (host, is) = (address.clone(), facts.architecture.clone());
    Finding::of(address, "architecture", &Refusal::Architecture { host, is, wanted: wanted.into() })
}

fn clock(address: &HostAddress, facts: &HostFacts) -> Finding {
    let offset_ms = facts.clock_offset_ms;
    match offset_ms.abs() {
        n if n > CLOCK_OFFSET_MAX_MS => {
            Finding::of(address, "clock", &Refusal::Clock { host: address.clone(), offset_ms })
        }
        n if n > CLOCK_OFFSET_WARN_MS => {
            finding(address, Grade::Warn, "clock", format!("{offset_ms:+} ms from ours"))
                .advise(format!("synchronise the clock of {address} (chrony or systemd-timesyncd)"))
        }
        _ => finding(address, Grade::Ok, "clock", format!("{offset_ms:+} ms from ours")),
    }
}

fn directory(inventory: &Inventory, address: &HostAddress, facts: &HostFacts) -> Vec<Finding> {
    let (host, root) = (address.clone(), facts.root.clone());
    if facts.root_is_foreign {
        return vec![Finding::of(address, "directory", &Refusal::ForeignRoot { host, root })];
    }
    if !facts.root_is_writable {
        let user = facts.user.clone();
        return vec![Finding::of(address, "directory", &Refusal::RootNotWritable { host, root, user })];
    }
    let exposures = exposures(address, facts);
    let mut findings: Vec<Finding> =
        exposures.iter().map(|exposed| Finding::of(address, "directory", exposed)).collect();
    if findings.is_empty() {
        findings.push(finding(address, Grade::Ok, "directory", root));
    }
    for node in inventory.nodes_on(address) {
        let dir = node_dir(&facts.root, &node);
        let path = format!("{dir}/{}", dkc_core::config::layout::CONTROL_SOCKET);
        if path.len() > render::SOCKET_PATH_MAX_BYTES {
            let host = address.clone();
            findings.push(Finding::of(address, "directory", &Refusal::SocketPath { host, path }));
        }
        let uuid = inventory.uuid_of(&node).expect("a node of this inventory");
        let refusal = crate::plan::ownership_refusal(address, &dir, &facts.node(&node), uuid);
        findings.extend(refusal.map(|refusal| Finding::of(address, "directory", &refusal)));
        let put_back = Refusal::put_back(address, &node, &facts.node(&node));
        findings.extend(put_back.map(|refusal| Finding::of(address, "directory", &refusal)));
    }
    findings
}

/// Nodes that run as the login user can read each other's keys, and may ask those with a user of their own anything: that user's
/// group is the login user's.
fn isolation(inventory: &Inventory, address: &HostAddress, facts: &HostFacts) -> Option<Finding> {
    let nodes = inventory.nodes_on(address);
    let (own, shared): (Vec<&NodeName>, Vec<&NodeName>) =
        nodes.iter().partition(|node| runs_as(inventory, facts, node).is_some());
    let names = |nodes: &[&NodeName]| -> Vec<String> {
        let names: BTreeSet<&str> = nodes.iter().map(|node| node.cluster().as_str()).collect();
        names.into_iter().map(str::to_owned).collect()
    };
    let (own, shared, user) = (names(&own), names(&shared), &facts.user);
    let others: Vec<&str> = own.iter().filter(|name| !shared.contains(name)).map(String::as_str).collect();
    let what = match (shared.len(), others.is_empty()) {
        (0, _) | (1, true) => return None,
        (1, false) => format!(
            "nodes of {} run as the login user {user}: whoever takes over one may ask the nodes of {} anything",
            shared[0],
            others.join(" and ")
        ),
        _ => format!(
            "nodes of {} all run as {user}: whoever takes over one can read the keys of the others",
            shared.join(" and ")
        ),
    };
    let advice = match &facts.login_user_only {
        Some(why) => format!("put clusters that must not trust each other on different hosts; here {why}"),
        None if facts.service == ServiceManager::SystemdSystem => {
            "replace these servers one by one: a node that is installed anew gets a user of its own".into()
        }
        None => "put clusters that must not trust each other on different hosts".into(),
    };
    Some(finding(address, Grade::Warn, "isolation", what).advise(advice))
}

fn disk(address: &HostAddress, facts: &HostFacts) -> Finding {
    let free = facts.disk_free_bytes;
    let what = format!("{:.1} GB free below {}", free as f64 / 1e9, facts.root);
    let grade = match free {
        n if n < DISK_FREE_FAIL_BYTES => Grade::Fail,
        n if n < DISK_FREE_WARN_BYTES => Grade::Warn,
        _ => Grade::Ok,
    };
    let found = finding(address, grade, "disk", what);
    match grade {
        Grade::Ok => found,
        _ => found.advise(format!("free space below {} on {address}", facts.root)),
    }
}

fn service(address: &HostAddress, facts: &HostFacts) -> Finding {
    let ok = |what: &str| finding(address, Grade::Ok, "service", what);
    match facts.service {
        ServiceManager::SystemdSystem => ok("systemd"),
        ServiceManager::SystemdUser => ok("user systemd, with linger"),
        ServiceManager::Cron => {
            ok("no usable systemd: dkcd runs its own supervisor, which cron starts after a reboot")
        }
        ServiceManager::Supervise => {
            finding(address, Grade::Warn, "service", "no usable systemd: dkcd runs its own supervisor")
                .advise("nodes do not restart after a reboot; run start cluster")
        }
    }
}

/// Each port is free, or used by the right node.
fn ports(inventory: &Inventory, address: &HostAddress, facts: &HostFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in inventory.nodes_on(address) {
        for (place, port) in listeners(inventory, &node) {
            let runs = facts.node(&node).is_running();
            findings.push(match facts.listener_on(&place, port) {
                _ if runs => finding(address, Grade::Ok, "port", format!("{port}: {node} is listening")),
                None => finding(address, Grade::Ok, "port", format!("{port}: free for {node}")),
                Some(by) => {
                    let (host, by, node) = (address.clone(), by.to_owned(), node.clone());
                    Finding::of(address, "port", &Refusal::PortTaken { host, node, port, by })
                }
            });
        }
    }
    findings
}

/// When each installed node's certificate ends. From then on it gets no new connection.
fn certificates(inventory: &Inventory, address: &HostAddress, facts: &HostFacts) -> Vec<Finding> {
    let installed: Vec<NodeName> =
        inventory.nodes_on(address).into_iter().filter(|node| facts.node(node).exists).collect();
    let renewals: Vec<Finding> =
        installed.iter().filter_map(|node| renewal(address, node, &facts.node(node))).collect();
    let found = |node: NodeName| {
        let grade = match facts.node(&node).certificate_days {
            Some(days) if days >= CERTIFICATE_RENEW_DAYS => Grade::Ok,
            Some(days) if days >= 0 => Grade::Warn,
            _ => Grade::Fail,
        };
        let words = certificate_words(facts.node(&node).certificate_days);
        let finding = finding(address, grade, "certificate", format!("{node}: {words}"));
        match grade {
            Grade::Ok => finding,
            _ => finding.advise(format!("deploy -n {} --config-only", node.cluster())),
        }
    };
    installed.into_iter().map(found).chain(renewals).collect()
}

/// Why the certificate would not be renewed by itself.
fn renewal(address: &HostAddress, node: &NodeName, view: &NodeView) -> Option<Finding> {
    let trouble = view.status.as_ref().and_then(|status| status.certificate.as_ref()?.trouble.clone());
    let why = match (trouble, node.is_server(), view.issuer_days) {
        (Some(trouble), ..) => format!("its certificate was not renewed: {trouble}"),
        (None, true, None) => "it has no issuer, so only deploy renews certificates".into(),
        (None, true, Some(days)) if days < ISSUER_RENEW_DAYS => {
            format!("its issuer expires in {days} days; certificates cannot be renewed after that")
        }
        _ => return None,
    };
    let name = node.cluster();
    let advice = format!(
        "deploy -n {name} --config-only; if the authority is of an earlier release: tls rotate -n {name} --ca"
    );
    Some(finding(address, Grade::Warn, "certificate", format!("{node}: {why}")).advise(advice))
}

/// When a certificate ends, as people say it.
pub fn certificate_words(days: Option<i64>) -> String {
    match days {
        None => "has no readable certificate".into(),
        Some(..0) => "its certificate has expired: new connections fail".into(),
        Some(0) => "its certificate expires within a day".into(),
        Some(1) => "its certificate expires in 1 day".into(),
        Some(days) => format!("its certificate expires in {days} days"),
    }
}

/// Every host of a cluster's nodes must reach each of its servers.
pub fn wanted_reaches(inventory: &Inventory, host: &HostAddress) -> BTreeSet<NodeAddress> {
    let clusters: BTreeSet<_> = inventory.nodes_on(host).iter().map(|node| node.cluster().clone()).collect();
    let servers = clusters.iter().filter_map(|name| inventory.clusters.get(name)).flat_map(|c| &c.servers);
    servers.map(|server| server.address.clone()).filter(|address| address.host != *host).collect()
}

/// Whether this host can connect to every server it needs.
fn mesh(
    inventory: &Inventory,
    observed: &Observed,
    address: &HostAddress,
    facts: &HostFacts,
) -> Vec<Finding> {
    let wanted = wanted_reaches(inventory, address);
    let asked: BTreeMap<&NodeAddress, bool> =
        wanted.iter().filter_map(|to| Some((to, *facts.reaches.get(&to.to_string())?))).collect();
    let is_running = |to: &NodeAddress| {
        let nodes = inventory.nodes_on(&to.host);
        let node =
            nodes.iter().find(|node| listeners(inventory, node).contains(&(to.host.to_string(), to.port)));
        node.and_then(|node| observed.node(node)).is_some_and(|view| view.is_running())
    };
    let mut findings: Vec<Finding> = asked
        .iter()
        .filter(|(_, reaches)| !**reaches)
        .map(|(to, _)| {
            let told = finding(address, Grade::Fail, "mesh", format!("cannot reach {to}"));
            let running = if is_running(to) { "which is listening" } else { "where nothing listens yet" };
            told.advise(format!("allow connections from {address} to {to}, {running} (firewall, routing)"))
        })
        .collect();
    if findings.is_empty() && !asked.is_empty() {
        findings.push(finding(address, Grade::Ok, "mesh", format!("can reach all {} servers", asked.len())));
    }
    findings
}

/// Two addresses of one machine look like independent hosts but fail together.
fn same_machine(observed: &Observed, address: &HostAddress, facts: &HostFacts) -> Option<Finding> {
    let id = facts.machine_id.as_ref().filter(|id| !id.is_empty())?;
    let is_same = |other: &&HostAddress| {
        *other != address && observed.facts(other).is_some_and(|facts| facts.machine_id.as_ref() == Some(id))
    };
    let others: Vec<String> = observed.hosts.keys().filter(is_same).map(|other| other.to_string()).collect();
    (!others.is_empty()).then(|| {
        finding(address, Grade::Warn, "machine", format!("same machine as {}", others.join(", "))).advise(
            "servers on one machine fail together (or the hosts were cloned with the same machine-id)",
        )
    })
}

/// One line per finding, grouped by host, with totals at the end.
pub fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    let mut host = None;
    for found in findings {
        if host != Some(&found.host) {
            out.push_str(&format!("{}\n", found.host));
            host = Some(&found.host);
        }
        let grade = match found.grade {
            Grade::Ok => "ok  ",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        out.push_str(&format!("  {grade} {:<12} {}\n", found.topic, found.what));
        if let Some(advice) = &found.advice {
            out.push_str(&format!("       {:<12} → {advice}\n", ""));
        }
    }
    let count = |grade| findings.iter().filter(|finding| finding.grade == grade).count();
    out.push_str(&format!(
        "{} ok, {} warn, {} fail\n",
        count(Grade::Ok),
        count(Grade::Warn),
        count(Grade::Fail)
    ));
    out
}

/// Header and rows for a table.
pub fn table(findings: &[Finding]) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let grade = |grade| match grade {
        Grade::Ok => "ok",
        Grade::Warn => "warn",
        Grade::Fail => "fail",
    };
    let row = |found: &Finding| {
        let advice = found.advice.clone().unwrap_or_default();
        vec![
            found.host.to_string(),
            grade(found.grade).into(),
            found.topic.into(),
            found.what.clone(),
            advice,
        ]
    };
    (vec!["HOST", "GRADE", "TOPIC", "WHAT", "ADVICE"], findings.iter().map(row).collect())
}

/// One document per finding.
pub fn documents(findings: &[Finding]) -> Vec<Document> {
    let document =
        |found: &Finding| serde_yaml::to_value(found).map(Document::from).unwrap_or(Document::Nothing);
    findings.iter().map(document).collect()
}
