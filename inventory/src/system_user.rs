//! The system user of a cluster's nodes on a host, where root is to be had: one for each cluster, so that a node cannot read what
//! another cluster's node on the same host keeps. *Invariant:* two clusters never get the same user, because its name ends with a
//! part of the cluster's id.

use dkc_core::ids::{ClusterId, ClusterName};

use crate::model::{Inventory, NodeName};
use crate::observed::{HostFacts, SYSTEM_USER_PREFIX, ServiceManager};

/// What Linux takes as the name of a user.
const NAME_MAX_BYTES: usize = 32;
/// Hexadecimal digits of the cluster's id: 48 bits tell the clusters of one host apart.
const ID_DIGITS: usize = 12;

/// `dkc-c0-0f1e2d3c4b5a`: the name for people, the id for uniqueness. A long name is cut, and what a user's name cannot hold is
/// replaced.
pub fn system_user(name: &ClusterName, id: ClusterId) -> String {
    let id: String = id.to_string().chars().filter(char::is_ascii_hexdigit).take(ID_DIGITS).collect();
    let room = NAME_MAX_BYTES - SYSTEM_USER_PREFIX.len() - ID_DIGITS - 1;
    let name: String = name.as_str().chars().take(room).map(|c| c.to_ascii_lowercase()).collect();
    format!("{SYSTEM_USER_PREFIX}{name}-{id}")
}

/// The system user that a node runs as; `None` for the login user. Whoever owns a node's directory goes on running it: its
/// files would be closed to anybody else. A slave with a Unix socket stays with the login user, who owns the socket's directory.
pub fn runs_as(inventory: &Inventory, facts: &HostFacts, node: &NodeName) -> Option<String> {
    let view = facts.node(node);
    if view.exists {
        return view.system_owner().map(str::to_owned);
    }
    let may = facts.service == ServiceManager::SystemdSystem
        && facts.login_user_only.is_none()
        && !has_unix_socket(inventory, node);
    let id = inventory.clusters.get(node.cluster())?.id;
    may.then(|| system_user(node.cluster(), id))
}

fn has_unix_socket(inventory: &Inventory, node: &NodeName) -> bool {
    let NodeName::Slave(_, id) = node else { return false };
    let slave = inventory.slaves.get(id);
    slave.is_some_and(|slave| slave.pairs.iter().any(|pair| pair.listen.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let id = |word: &str| word.parse::<ClusterId>().unwrap();
        let one = id("0f1e2d3c-4b5a-4678-8abc-def012345678");
        let other = id("1f1e2d3c-4b5a-4678-8abc-def012345678");
        let check = |name: &str, id: ClusterId, want: &str| {
            let got = system_user(&name.parse().unwrap(), id);
            assert_eq!(got, want);
            assert!(got.len() <= NAME_MAX_BYTES, "{got}");
        };
        check("c0", one, "dkc-c0-0f1e2d3c4b5a");
        check("c0", other, "dkc-c0-1f1e2d3c4b5a");
        check("Shop_EU-1", one, "dkc-shop_eu-1-0f1e2d3c4b5a");
        check("a-cluster-with-a-long-name-1", one, "dkc-a-cluster-with--0f1e2d3c4b5a");
        check("a-cluster-with-a-long-name-2", other, "dkc-a-cluster-with--1f1e2d3c4b5a");
    }
}
