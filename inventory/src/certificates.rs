//! The certificates of a cluster as rows: its authority, its servers, its slaves. What the files on a host say, and where a
//! running node differs from them.

use dkc_core::ids::{ClusterName, NodeUuid};
use serde::Serialize;

use crate::model::{Inventory, NodeName};
use crate::observed::{CertificateView, HostView, NodeView, Observed};

const DAY_S: i64 = 86_400;

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateRow {
    /// `c0-0`, or `authority`.
    pub holder: String,
    /// `authority`, `server` or `slave`.
    pub role: &'static str,
    /// Where it lies; `None` for the authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Seconds since the Unix epoch.
    pub from_s: Option<i64>,
    /// Seconds since the Unix epoch.
    pub until_s: Option<i64>,
    /// Whole days; negative once it has ended.
    pub days_left: Option<i64>,
    /// `authority`, or the server that signed it.
    pub issuer: Option<String>,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: Option<String>,
    /// In hex.
    pub serial: Option<String>,
    /// Days until a server's own issuer expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_days_left: Option<i64>,
    /// What a slave may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// What an operator should know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// The host did not answer.
    #[serde(skip)]
    pub is_silent: bool,
}

/// The authority first, then servers and slaves in the order of the inventory.
pub fn rows(
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
    authority: Option<&CertificateView>,
    now_s: i64,
) -> Vec<CertificateRow> {
    let mut own = empty("authority".into(), "authority");
    match authority {
        Some(found) => fill(&mut own, found, now_s),
        None => own.notice = Some("not on this machine: nothing can be issued here".into()),
    }
    let nodes = inventory.nodes_of(cluster);
    let revoked = |uuid: Option<NodeUuid>| {
        let servers = nodes.iter().filter_map(|node| observed.node(node)?.meta.as_deref().cloned());
        uuid.is_some_and(|uuid| servers.into_iter().any(|meta| meta.revoked.contains_key(&uuid)))
    };
    let row_of = |node: &NodeName| {
        let mut row = row(inventory, observed, node, now_s);
        if revoked(inventory.uuid_of(node)) {
            row.notice = Some("revoked".into());
        }
        row
    };
    std::iter::once(own).chain(nodes.iter().map(row_of)).collect()
}

fn row(inventory: &Inventory, observed: &Observed, node: &NodeName, now_s: i64) -> CertificateRow {
    let mut row = empty(node.to_string(), if node.is_server() { "server" } else { "slave" });
    let host = inventory.host_of(node);
    row.host = host.as_ref().map(|host| host.to_string());
    if let Some(HostView::Silent { message, .. }) = host.and_then(|host| observed.hosts.get(&host)) {
        (row.notice, row.is_silent) = (Some(message.clone()), true);
        return row;
    }
    let Some(view) = observed.node(node).filter(|view| view.exists) else {
        row.notice = Some("not installed".into());
        return row;
    };
    row.issuer_days_left = view.issuer_days;
    match &view.certificate {
        Some(found) => {
            fill(&mut row, found, now_s);
            row.issuer = Some(issuer_name(inventory, node.cluster(), found.issuer));
            row.notice = notice(view, found);
        }
        None => row.notice = Some("no readable certificate".into()),
    }
    row
}

/// Where the running node does not agree with its files, or could not renew them.
fn notice(view: &NodeView, file: &CertificateView) -> Option<String> {
    let in_use = view.status.as_ref()?.certificate.as_ref()?;
    match &in_use.trouble {
        Some(trouble) => Some(format!("not renewed: {trouble}")),
        None if in_use.serial != file.serial => Some("the running node still uses another one".into()),
        None => None,
    }
}

fn issuer_name(inventory: &Inventory, cluster: &ClusterName, issuer: Option<NodeUuid>) -> String {
    let Some(issuer) = issuer else { return "authority".into() };
    let servers = inventory.servers_of(cluster);
    let server = servers.iter().find(|node| inventory.uuid_of(node) == Some(issuer));
    server.map_or_else(|| issuer.to_string(), |node| node.to_string())
}

fn fill(row: &mut CertificateRow, found: &CertificateView, now_s: i64) {
    (row.from_s, row.until_s) = (Some(found.from_s), Some(found.until_s));
    row.days_left = Some((found.until_s - now_s).div_euclid(DAY_S));
    row.fingerprint = Some(found.fingerprint.clone());
    row.serial = Some(found.serial.clone());
    row.namespaces = found.namespaces.iter().flatten().map(|namespace| namespace.to_string()).collect();
}

fn empty(holder: String, role: &'static str) -> CertificateRow {
    CertificateRow {
        holder,
        role,
        host: None,
        from_s: None,
        until_s: None,
        days_left: None,
        issuer: None,
        fingerprint: None,
        serial: None,
        issuer_days_left: None,
        namespaces: Vec::new(),
        notice: None,
        is_silent: false,
    }
}
