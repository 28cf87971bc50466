//! `show host` and `list host`.

use dkc_core::ids::HostAddress;

use super::{Shown, field, flow};
use crate::document::Document;
use crate::edit::{EditError, unknown_host};
use crate::model::{DEFAULT_SSH_PORT, Host, Inventory};

/// All given fields must match; names must be registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFilter {
    /// Empty: all of them.
    pub hosts: Vec<HostAddress>,
    /// SSH login.
    pub user: Option<String>,
    /// SSH port.
    pub port: Option<u16>,
    /// A host must be in all of them.
    pub group: Vec<String>,
}

/// Addresses only, in order.
pub fn list_hosts(inventory: &Inventory, filter: &HostFilter) -> Result<Vec<String>, EditError> {
    Ok(select(inventory, filter)?.into_iter().map(|(address, _)| address.to_string()).collect())
}

/// One row and one document for each host.
pub fn show_hosts(inventory: &Inventory, filter: &HostFilter) -> Result<Shown, EditError> {
    let mut shown = Shown::new(&["HOST", "USER", "PORT", "GROUP", "ZONE", "KEY", "NODES"]);
    for (address, host) in select(inventory, filter)? {
        shown.push(fields(address, host), row(inventory, address, host));
    }
    Ok(shown)
}

fn select<'a>(
    inventory: &'a Inventory,
    filter: &HostFilter,
) -> Result<Vec<(&'a HostAddress, &'a Host)>, EditError> {
    if let Some(unknown) = filter.hosts.iter().find(|host| !inventory.hosts.contains_key(host)) {
        return Err(unknown_host(inventory, unknown));
    }
    let matches = |(address, host): &(&HostAddress, &Host)| {
        (filter.hosts.is_empty() || filter.hosts.contains(address))
            && filter.user.as_ref().is_none_or(|user| *user == host.user)
            && filter.port.is_none_or(|port| port == host.port)
            && filter.group.iter().all(|group| host.group.contains(group))
    };
    Ok(inventory.hosts.iter().filter(matches).collect())
}

/// The PAXOS shell's fields, then those that differ from the default.
fn fields(address: &HostAddress, host: &Host) -> Vec<(String, Document)> {
    let mut fields = vec![
        field("hostname", Document::Quoted(address.to_string())),
        field("user", Document::Quoted(host.user.clone())),
    ];
    if host.port != DEFAULT_SSH_PORT {
        fields.push(field("port", host.port));
    }
    if !host.group.is_empty() {
        fields.push(field("group", flow(&host.group)));
    }
    if let Some(zone) = &host.zone {
        fields.push(field("zone", zone.as_str()));
    }
    if let Some(dir) = &host.data_dir {
        fields.push(field("data_dir", dir.as_str()));
    }
    if host.local {
        fields.push(field("local", true));
    }
    if !host.host_key.is_empty() {
        fields.push(field("host_key", flow(&host.host_key)));
    }
    if host.accept_new {
        fields.push(field("accept_new", true));
    }
    fields
}

fn row(inventory: &Inventory, address: &HostAddress, host: &Host) -> Vec<String> {
    let key = match (host.local, host.host_key.is_empty()) {
        (true, _) => "local",
        (false, true) => "not seen yet",
        (false, false) => "pinned",
    };
    let nodes: Vec<String> = inventory.nodes_on(address).iter().map(|node| node.to_string()).collect();
    vec![
        address.to_string(),
        host.user.clone(),
        host.port.to_string(),
        host.group.join(","),
        host.zone.clone().unwrap_or_default(),
        key.into(),
        nodes.join(","),
    ]
}
