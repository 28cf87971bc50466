//! Hosts and their logins.

use std::collections::BTreeSet;

use dkc_core::ids::HostAddress;

use super::unknown::unknown_host;
use super::{Change, EditError, Edited, check_data_dir, check_group, check_pin, check_user};
use crate::model::{DEFAULT_SSH_PORT, DEFAULT_USER, Host, Inventory, NodeName};

/// `register host [-u USER] [-p PORT] [-g GROUP]… HOST…`. `None` means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterHosts {
    /// At least one; all get the same values.
    pub hosts: Vec<HostAddress>,
    /// SSH login; must be able to write the data directory.
    pub user: Option<String>,
    /// SSH port.
    pub port: Option<u16>,
    /// Names that select several hosts at once.
    pub group: Vec<String>,
    /// Fingerprints (`SHA256:…`) to pin, so that the first contact is verified.
    pub host_key: Vec<String>,
    /// Pin whatever key the host presents at first contact, without asking.
    pub accept_new: bool,
    /// The nodes' root; an absolute path.
    pub data_dir: Option<String>,
    /// Failure domain for placement.
    pub zone: Option<String>,
    /// This machine: no SSH; excludes user, port and key.
    pub local: bool,
}

/// `modify host [-u USER] [-p PORT] … HOST…`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModifyHost {
    /// All get the same changes; each must be registered.
    pub hosts: Vec<HostAddress>,
    /// SSH login.
    pub user: Change<String>,
    /// SSH port.
    pub port: Change<u16>,
    /// Replaces all groups.
    pub group: Change<Vec<String>>,
    /// Replaces all pins.
    pub host_key: Change<Vec<String>>,
    /// Trust at first contact.
    pub accept_new: Change<bool>,
    /// Installed nodes keep their directory until they are replaced.
    pub data_dir: Change<String>,
    /// Failure domain for placement.
    pub zone: Change<String>,
    /// Whether steps run without SSH.
    pub local: Change<bool>,
}

/// Adds hosts. The same values again change nothing; different ones are refused.
pub fn register_hosts(inventory: &Inventory, request: &RegisterHosts) -> Result<Edited, EditError> {
    if request.hosts.is_empty() {
        return Err(EditError::Nothing { noun: "host" });
    }
    let wanted = wanted_host(request)?;
    let mut after = inventory.clone();
    let mut lines = Vec::new();
    for address in &request.hosts {
        match after.hosts.get(address) {
            Some(present) => {
                check_same(address, present, request)?;
                lines.push(format!("host {address}: already registered"));
            }
            None => {
                after.hosts.insert(address.clone(), wanted.clone());
            }
        }
    }
    Ok(Edited::from(inventory, after, lines))
}

fn wanted_host(request: &RegisterHosts) -> Result<Host, EditError> {
    if request.local && (request.port.is_some() || request.user.is_some() || !request.host_key.is_empty()) {
        return Err(EditError::LocalWithLogin);
    }
    let host = Host {
        user: request.user.clone().unwrap_or_else(|| DEFAULT_USER.into()),
        port: request.port.unwrap_or(DEFAULT_SSH_PORT),
        group: ordered(&request.group),
        host_key: ordered(&request.host_key),
        accept_new: request.accept_new,
        data_dir: request.data_dir.clone(),
        zone: request.zone.clone(),
        local: request.local,
    };
    check_host(&host)?;
    Ok(host)
}

/// Sorted without duplicates: the order of groups and keys has no meaning.
fn ordered(words: &[String]) -> Vec<String> {
    words.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The rules of a host's fields, for the command line and the file.
pub(crate) fn check_host(host: &Host) -> Result<(), EditError> {
    check_user(&host.user)?;
    if host.port == 0 {
        return Err(EditError::BadValue { what: "port '0'".into(), rule: "a number from 1 to 65535".into() });
    }
    host.group.iter().chain(&host.zone).try_for_each(|group| check_group(group))?;
    host.host_key.iter().try_for_each(|pin| check_pin(pin))?;
    host.data_dir.iter().try_for_each(|dir| check_data_dir(dir))
}

/// Compares only the given fields: `register host A` ignores A's groups.
fn check_same(address: &HostAddress, present: &Host, request: &RegisterHosts) -> Result<(), EditError> {
    let mut differences = Vec::new();
    let mut compare = |name: &str, is: String, wanted: Option<String>| {
        if wanted.as_ref().is_some_and(|wanted| *wanted != is) {
            differences.push(format!("{name} is {is}, not {}", wanted.unwrap_or_default()));
        }
    };
    compare("user", present.user.clone(), request.user.clone());
    compare("port", present.port.to_string(), request.port.map(|p| p.to_string()));
    compare(
        "data directory",
        present.data_dir.clone().unwrap_or("the default".into()),
        request.data_dir.clone(),
    );
    compare("zone", present.zone.clone().unwrap_or("none".into()), request.zone.clone());
    let list = |words: &[String]| (!words.is_empty()).then(|| ordered(words).join(","));
    compare("group", present.group.join(","), list(&request.group));
    compare("host key", present.host_key.join(","), list(&request.host_key));
    if request.local && !present.local {
        differences.push("it uses SSH, not --local".into());
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(EditError::Different {
            what: format!("host {address}"),
            differences,
            modify: format!("modify host … {address}"),
        }),
    }
}

/// Changes hosts, all of them or none.
pub fn modify_host(inventory: &Inventory, request: &ModifyHost) -> Result<Edited, EditError> {
    if request.hosts.is_empty() {
        return Err(EditError::Nothing { noun: "host" });
    }
    let mut after = inventory.clone();
    let mut lines = Vec::new();
    for address in &request.hosts {
        let in_use = !after.nodes_on(address).is_empty();
        let Some(host) = after.hosts.get_mut(address) else {
            return Err(unknown_host(inventory, address));
        };
        let before = host.clone();
        apply(host, request);
        check_host(host)?;
        if in_use && before.data_dir != host.data_dir {
            lines.push(format!(
                "host {address}: installed nodes keep their directory until they are replaced"
            ));
        }
        if in_use && before.zone != host.zone {
            lines.push(format!("host {address}: run deploy to apply the new zone"));
        }
    }
    Ok(Edited::from(inventory, after, lines))
}

fn apply(host: &mut Host, request: &ModifyHost) {
    request.user.apply(&mut host.user, DEFAULT_USER.into());
    request.port.apply(&mut host.port, DEFAULT_SSH_PORT);
    request.group.apply(&mut host.group, Vec::new());
    request.host_key.apply(&mut host.host_key, Vec::new());
    host.group = ordered(&host.group);
    host.host_key = ordered(&host.host_key);
    request.accept_new.apply(&mut host.accept_new, false);
    request.data_dir.apply_optional(&mut host.data_dir);
    request.zone.apply_optional(&mut host.zone);
    request.local.apply(&mut host.local, false);
}

/// Removes hosts. Refused while a server or a slave is registered on one.
pub fn unregister_hosts(inventory: &Inventory, hosts: &[HostAddress]) -> Result<Edited, EditError> {
    if hosts.is_empty() {
        return Err(EditError::Nothing { noun: "host" });
    }
    let mut after = inventory.clone();
    for address in hosts {
        if !inventory.hosts.contains_key(address) {
            return Err(unknown_host(inventory, address));
        }
        let nodes = inventory.nodes_on(address);
        if !nodes.is_empty() {
            return Err(EditError::InUse {
                what: format!("host {address}"),
                by: nodes.iter().map(|node| node.spoken()).collect(),
                first: nodes.iter().map(unregister_words).collect::<BTreeSet<_>>().into_iter().collect(),
            });
        }
        after.hosts.remove(address);
    }
    Ok(Edited::from(inventory, after, Vec::new()))
}

/// Replaces a host's pinned keys by newly accepted ones.
pub fn set_pins(inventory: &Inventory, address: &HostAddress, pins: &[String]) -> Result<Edited, EditError> {
    let change = ModifyHost {
        hosts: vec![address.clone()],
        host_key: Change::Set(pins.to_vec()),
        ..ModifyHost::default()
    };
    modify_host(inventory, &change)
}

/// Pins the keys of a jump host that is not registered.
pub fn set_jump_pins(inventory: &Inventory, name: &str, pins: &[String]) -> Result<Edited, EditError> {
    pins.iter().try_for_each(|pin| check_pin(pin))?;
    let mut after = inventory.clone();
    after.jump_hosts.insert(name.to_owned(), ordered(pins));
    Ok(Edited::from(inventory, after, Vec::new()))
}

/// The command that unregisters a node.
fn unregister_words(node: &NodeName) -> String {
    match node {
        NodeName::Server(cluster, _) => format!("unregister cluster -n {cluster}"),
        NodeName::Slave(_, id) => format!("unregister slave --id {id}"),
    }
}
