//! What the hosts and daemons said when they were asked: the other half of every plan.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::control::{MetaView, NodeStatus};
use dkc_core::ids::{HostAddress, NodeUuid};
use serde::{Deserialize, Serialize};

use crate::model::NodeName;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub hosts: BTreeMap<HostAddress, HostView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HostView {
    /// Why there is no answer: unreachable, login refused, host key. In words for the operator.
    Silent {
        kind: Silence,
        message: String,
    },
    Facts(Box<HostFacts>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Silence {
    Unreachable,
    Timeout,
    Login,
    HostKeyUnknown,
    HostKeyChanged,
    Other,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// `uname -m`.
    pub architecture: String,
    /// `uname -sr`.
    pub kernel: String,
    /// First line of `ldd --version` or "unknown".
    pub libc: String,
    /// `machine-id`, to notice that two addresses are one machine.
    pub machine_id: Option<String>,
    pub user: String,
    /// Where nodes go, absolute: `--data-dir`, else `/var/lib/dkc` where the user may write, else `~/.local/share/dkc`.
    pub root: String,
    pub root_has_marker: bool,
    /// Someone else's files lie in the root (not empty, no marker).
    pub root_is_foreign: bool,
    pub root_is_writable: bool,
    pub disk_free_bytes: u64,
    /// The host's clock minus ours, half the round trip subtracted.
    pub clock_offset_ms: i64,
    pub service: ServiceManager,
    /// Digests (first 16 hex digits of SHA-256) of programs under `bin/`.
    pub programs: BTreeSet<String>,
    /// TCP ports somebody listens on, with `ADDRESS:PORT` as the host says.
    pub listening: BTreeSet<String>,
    pub nodes: BTreeMap<NodeName, NodeView>,
    /// For each `HOST:PORT` asked about: could this host open a TCP connection? (`None` = not asked.)
    #[serde(default)]
    pub reaches: BTreeMap<String, bool>,
}

/// What keeps a node running on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceManager {
    /// systemd, units in /etc/systemd/system, through `sudo -n` (or as root).
    SystemdSystem,
    /// systemd, the login user's own manager, with linger.
    SystemdUser,
    /// No usable systemd: `dkcd supervise`.
    Supervise,
}

/// The key of the unit's digest in `NodeView::files`: it lies elsewhere on the host.
pub const UNIT_FILE: &str = "unit";

/// A node's directory as it was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    pub exists: bool,
    /// The UUID in the marker file.
    pub marker: Option<NodeUuid>,
    /// The UUID in `data/identity`.
    pub identity: Option<NodeUuid>,
    /// Which program the link points at.
    pub program: Option<String>,
    /// SHA-256 of files that matter (`node.yaml`, `tls/ca.pem`, `tls/node.pem`, the unit under `UNIT_FILE`), by
    /// relative path.
    pub files: BTreeMap<String, String>,
    /// Text of the present `node.yaml`, for the diff.
    pub config_text: Option<String>,
    /// Days until the certificate ends.
    pub certificate_days: Option<i64>,
    pub run: RunState,
    /// What the daemon itself says, when it answers.
    pub status: Option<Box<NodeStatus>>,
    /// What a running server knows of the members and of a merge.
    #[serde(default)]
    pub meta: Option<Box<MetaView>>,
    pub log_tail: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    #[default]
    Stopped,
    Running {
        pid: u32,
    },
    /// The supervisor has given up or keeps restarting it.
    Failing {
        message: String,
    },
}

impl Observed {
    pub fn facts(&self, host: &HostAddress) -> Option<&HostFacts> {
        match self.hosts.get(host)? {
            HostView::Facts(facts) => Some(facts),
            HostView::Silent { .. } => None,
        }
    }

    /// A node on whichever host has it. Hosts are asked about their own nodes only.
    pub fn node(&self, node: &NodeName) -> Option<&NodeView> {
        let facts = self.hosts.keys().filter_map(|host| self.facts(host));
        facts.filter_map(|facts| facts.nodes.get(node)).find(|view| view.exists)
    }
}

impl HostFacts {
    /// The node as it was found here; one that was not looked for is one that is not there.
    pub fn node(&self, node: &NodeName) -> NodeView {
        self.nodes.get(node).cloned().unwrap_or_default()
    }

    /// Who listens on this port in a way that keeps us from listening on `address` too.
    pub fn listener_on(&self, address: &str, port: u16) -> Option<&str> {
        let hinders = |listener: &&String| {
            let Some((place, its_port)) = listener.rsplit_once(':') else { return false };
            let place = place.trim_start_matches('[').trim_end_matches(']');
            let place = place.split('%').next().unwrap_or(place);
            // Names resolve on the host: only two different literal addresses surely do not collide.
            let is_wild =
                |word: &str| word.parse::<std::net::IpAddr>().map_or(true, |ip| ip.is_unspecified());
            its_port == port.to_string() && (is_wild(place) || is_wild(address) || place == address)
        };
        self.listening.iter().find(hinders).map(String::as_str)
    }
}

impl NodeView {
    /// Nothing of a node was found in the directory.
    pub fn looks_empty(&self) -> bool {
        self.identity.is_none() && self.files.is_empty() && self.program.is_none()
    }

    pub fn is_running(&self) -> bool {
        matches!(self.run, RunState::Running { .. })
    }
}
