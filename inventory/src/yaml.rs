//! The inventory file: from text to a checked inventory and back. Unknown fields, dangling names and invalid values are
//! refused with file, line and column; nothing is repaired silently. Parameters that the release before had and this one has
//! not are left out.

use dkc_core::config::Retired;
use dkc_core::ids::{ClusterName, MemberNo, NodeAddress, SlaveId};
use std::collections::{BTreeMap, BTreeSet};

use crate::document::Document;
use crate::edit::{self, EditError};
use crate::model::{Cluster, INVENTORY_VERSION, Inventory};
use crate::problem::{Problem, ProblemKind};

/// Why a file is not a valid inventory. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct YamlError {
    /// As it was given to `parse`.
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts from 1.
    pub column: usize,
    /// The rule that was broken.
    pub message: String,
}

impl YamlError {
    /// The error as the shell prints it.
    pub fn problem(&self) -> Problem {
        Problem {
            code: "DKC-E0310",
            kind: ProblemKind::UnknownName,
            what: format!("{}:{}:{}: invalid inventory", self.file, self.line, self.column),
            cause: vec![self.message.clone()],
            advice: vec!["correct that line".into(), "history   (lists kept generations)".into()],
        }
    }
}

/// The first line of every file.
const HEAD: &str = "# dkc inventory. dkc rewrites this file; edit it by hand only while no dkc runs.\n";

/// The text of a file: the same inventory gives the same bytes.
pub fn to_text(inventory: &Inventory) -> String {
    let value = serde_yaml::to_value(inventory).expect("an inventory is plain data");
    format!("{HEAD}{}", Document::from(value).file_text())
}

/// Reads and checks a whole file; `file_name` is only for errors.
pub fn parse(text: &str, file_name: &str) -> Result<Inventory, YamlError> {
    let at = Source { text, file: file_name };
    if text.trim().is_empty() {
        return Err(at.error((1, 1), "the file is empty".into()));
    }
    // Parsed twice: only parsing into a plain value detects duplicate keys.
    let value: serde_yaml::Value = serde_yaml::from_str(text).map_err(|e| at.yaml_error(&e))?;
    check_version(&at, &value)?;
    let mut inventory: Inventory = serde_yaml::from_str(text).map_err(|e| at.yaml_error(&e))?;
    // They have no effect, and an upgrade of dkc alone must not make its inventory unreadable.
    let of_clusters = inventory.clusters.values_mut().map(|cluster| &mut cluster.parameters);
    for set in of_clusters.chain(inventory.configs.values_mut()) {
        set.retain(|name, _| Retired::named(name).is_none());
    }
    match find_fault(&inventory) {
        Some(fault) => Err(at.error(at.find(&fault.near), fault.message)),
        None => Ok(inventory),
    }
}

/// Checks the version first: a newer format has fields that would look like mistakes.
fn check_version(at: &Source, value: &serde_yaml::Value) -> Result<(), YamlError> {
    match value.get("version").map(|v| v.as_u64()) {
        Some(Some(version)) if version == u64::from(INVENTORY_VERSION) => Ok(()),
        Some(Some(version)) => {
            let message = format!("unknown format version {version}; this dkc supports {INVENTORY_VERSION}");
            Err(at.error(at.find(&["version:"]), message))
        }
        _ => Err(at.error((1, 1), format!("'version: {INVENTORY_VERSION}' is missing"))),
    }
}

struct Source<'a> {
    text: &'a str,
    file: &'a str,
}

impl Source<'_> {
    fn error(&self, (line, column): (usize, usize), message: String) -> YamlError {
        YamlError { file: self.file.into(), line, column, message }
    }

    fn yaml_error(&self, error: &serde_yaml::Error) -> YamlError {
        let place = error.location().map_or((1, 1), |l| (l.line(), l.column()));
        let whole = error.to_string();
        // The position is printed once, in front.
        let message = whole.split(" at line ").next().unwrap_or(&whole);
        self.error(place, message.to_owned())
    }

    /// The line of these words, each after the one before: section, then name, then value.
    fn find(&self, words: &[impl AsRef<str>]) -> (usize, usize) {
        let mut found = (1, 1);
        let mut lines = self.text.lines().enumerate();
        for word in words {
            let word = word.as_ref();
            let Some((index, column)) = lines.find_map(|(i, line)| line.find(word).map(|c| (i, c))) else {
                return found;
            };
            found = (index + 1, column + 1);
        }
        found
    }
}

/// A fault of the inventory, and the words that locate its line.
pub(crate) struct Fault {
    near: Vec<String>,
    message: String,
}

fn fault<const N: usize>(near: [String; N], message: impl Into<String>) -> Fault {
    Fault { near: near.into(), message: message.into() }
}

/// The first inconsistency. Every edit keeps this `None`.
pub(crate) fn find_fault(inventory: &Inventory) -> Option<Fault> {
    host_fault(inventory)
        .or_else(|| config_fault(inventory))
        .or_else(|| {
            inventory.clusters.iter().find_map(|(name, cluster)| cluster_fault(inventory, name, cluster))
        })
        .or_else(|| address_fault(inventory))
        .or_else(|| inventory.slaves.keys().find_map(|id| slave_fault(inventory, *id)))
        .or_else(|| uuid_fault(inventory))
}

fn said(error: &EditError) -> String {
    let problem = error.problem();
    match problem.cause.first() {
        Some(cause) => format!("{}: {cause}", problem.what),
        None => problem.what,
    }
}

fn host_fault(inventory: &Inventory) -> Option<Fault> {
    inventory.hosts.iter().find_map(|(address, host)| {
        let error = edit::check_host(host).err()?;
        Some(fault(["hosts:".into(), address.to_string()], format!("host {address}: {}", said(&error))))
    })
}

fn config_fault(inventory: &Inventory) -> Option<Fault> {
    inventory.configs.iter().find_map(|(name, set)| {
        let error = edit::check_parameters(set).err()?;
        let message = format!("configuration group {name}: {}", said(&error));
        Some(fault(["configs:".into(), name.to_string()], message))
    })
}

fn cluster_fault(inventory: &Inventory, name: &ClusterName, cluster: &Cluster) -> Option<Fault> {
    let near = || ["clusters:".to_owned(), name.to_string()];
    if let Err(error) = edit::check_shape(cluster.replicas, cluster.tablets) {
        return Some(fault(near(), format!("cluster {name}: {}", said(&error))));
    }
    if let Some(config) = cluster.config.as_ref().filter(|config| !inventory.configs.contains_key(config)) {
        let message = format!("cluster {name}: configuration group {config} is not registered");
        return Some(fault(["clusters:".into(), name.to_string(), format!("config: {config}")], message));
    }
    if let Err(error) = edit::check_parameters(&inventory.overrides_of(cluster)) {
        return Some(fault(near(), format!("cluster {name}: {}", said(&error))));
    }
    let mut numbers: BTreeSet<MemberNo> = BTreeSet::new();
    let mut node_ids = BTreeSet::new();
    for server in &cluster.servers {
        let near = ["clusters:".into(), name.to_string(), server.address.to_string()];
        if !inventory.hosts.contains_key(&server.address.host) {
            let message = format!("cluster {name}: host {} is not registered", server.address.host);
            return Some(fault(near, message));
        }
        if !numbers.insert(server.number) {
            return Some(fault(near, format!("cluster {name}: duplicate server No. {}", server.number)));
        }
        if !node_ids.insert(server.node_id) || server.node_id >= cluster.next_node_id || server.node_id.0 == 0
        {
            let message = format!(
                "cluster {name}: node id {} is not unique and below {}",
                server.node_id, cluster.next_node_id
            );
            return Some(fault(near, message));
        }
    }
    None
}

fn address_fault(inventory: &Inventory) -> Option<Fault> {
    let mut owners: BTreeMap<&NodeAddress, &ClusterName> = BTreeMap::new();
    for (name, cluster) in &inventory.clusters {
        for server in &cluster.servers {
            if let Some(other) = owners.insert(&server.address, name) {
                let near = ["clusters:".into(), name.to_string(), server.address.to_string()];
                let message = format!("duplicate address {}: in {other} and in {name}", server.address);
                return Some(fault(near, message));
            }
        }
    }
    None
}

fn slave_fault(inventory: &Inventory, id: SlaveId) -> Option<Fault> {
    let slave = inventory.slaves.get(&id)?;
    let near = || ["slaves:".to_owned(), format!("{id}:")];
    if !inventory.clusters.contains_key(&slave.cluster) {
        let near = ["slaves:".into(), format!("{id}:"), slave.cluster.to_string()];
        return Some(fault(near, format!("slave {id}: cluster {} is not registered", slave.cluster)));
    }
    if let Some(host) = slave.host.as_ref().filter(|host| inventory.host(host).is_none()) {
        let near = ["slaves:".into(), format!("{id}:"), host.to_string()];
        return Some(fault(near, format!("slave {id}: host {host} is not registered")));
    }
    let listeners = slave.pairs.iter().map(|pair| {
        edit::check_listen(&pair.listen).and_then(|()| edit::check_free(inventory, id, &pair.listen))
    });
    let error = listeners.chain([edit::check_own(slave, id)]).find_map(Result::err)?;
    Some(fault(near(), format!("slave {id}: {}", said(&error))))
}

/// A UUID identifies one data directory permanently: two nodes with the same one could start on each other's data.
fn uuid_fault(inventory: &Inventory) -> Option<Fault> {
    let mut seen = BTreeSet::new();
    let mut nodes = inventory.node_names().into_iter();
    let twice = nodes.find(|node| inventory.uuid_of(node).is_some_and(|uuid| !seen.insert(uuid)))?;
    let uuid = inventory.uuid_of(&twice)?;
    Some(fault([uuid.to_string()], format!("{}: duplicate node_uuid {uuid}", twice.spoken())))
}
