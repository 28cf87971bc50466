//! The observed state of hosts and daemons: the other input of every plan.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::config::layout;
use dkc_core::control::{MetaView, NodeStatus, TokensView};
use dkc_core::ids::{HostAddress, Namespace, NodeUuid};
use dkc_core::versions::ProgramVersions;
use serde::{Deserialize, Serialize};

use crate::model::NodeName;

/// What the hosts answered. Every fact may be out of date by the time it is used; steps check again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Only hosts that were asked.
    pub hosts: BTreeMap<HostAddress, HostView>,
}

/// One host's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HostView {
    /// Why there is no answer: unreachable, login refused, host key.
    Silent {
        /// Decides code and advice of the refusal.
        kind: Silence,
        /// What ssh or the host said.
        message: String,
    },
    /// It answered.
    Facts(Box<HostFacts>),
}

/// Why a host did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Silence {
    /// No connection.
    Unreachable,
    /// No answer within the limit.
    Timeout,
    /// It answered and refused the key or the user.
    Login,
    /// No pin, and accepting a new key was not allowed.
    HostKeyUnknown,
    /// The key is not the pinned one: an attack, or a reinstalled host.
    HostKeyChanged,
    /// Anything else that ssh reports.
    Other,
}

/// What a host says of itself and of the nodes registered on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// `uname -m`.
    pub architecture: String,
    /// `uname -sr`.
    pub kernel: String,
    /// First line of `ldd --version` or "unknown".
    pub libc: String,
    /// `machine-id`, to detect two addresses of one machine.
    pub machine_id: Option<String>,
    /// Who the login is on the host.
    pub user: String,
    /// The nodes' root directory: `--data-dir`, else `/var/lib/dkc` if writable, else `~/.local/share/dkc`.
    pub root: String,
    /// It contains `.dkc-root`.
    pub root_has_marker: bool,
    /// The root contains foreign files (not empty, no marker).
    pub root_is_foreign: bool,
    /// By the login user.
    pub root_is_writable: bool,
    /// Why another user could replace our files: owner or mode of the root.
    #[serde(default)]
    pub root_exposure: Option<String>,
    /// The same of the directory in which the user's systemd listens, where that keeps the nodes.
    #[serde(default)]
    pub runtime_exposure: Option<Exposure>,
    /// On the root's file system, for the login user.
    pub disk_free_bytes: u64,
    /// The host's clock minus ours, half the round trip subtracted.
    pub clock_offset_ms: i64,
    /// What starts and restarts nodes there.
    pub service: ServiceManager,
    /// Why nodes cannot have a system user of their own there although systemd keeps them. Empty where nobody asked.
    #[serde(default)]
    pub login_user_only: Option<String>,
    /// Programs under `bin/`: the first 16 hex digits of their SHA-256, and how many bytes are there.
    pub programs: BTreeMap<String, u64>,
    /// What these programs say of themselves, by the same digest. Only where somebody asked.
    #[serde(default)]
    pub program_versions: BTreeMap<String, ProgramVersions>,
    /// Listening TCP ports, as `ADDRESS:PORT`.
    pub listening: BTreeSet<String>,
    /// Only nodes that were asked about.
    pub nodes: BTreeMap<NodeName, NodeView>,
    /// For each tested `HOST:PORT`, whether this host could connect.
    #[serde(default)]
    pub reaches: BTreeMap<String, bool>,
}

/// A directory that somebody else may write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Its path.
    pub dir: String,
    /// Its owner or mode.
    pub why: String,
}

/// The service manager of a host's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceManager {
    /// System systemd: units in /etc/systemd/system, through `sudo -n` or as root.
    SystemdSystem,
    /// The login user's systemd, with linger.
    SystemdUser,
    /// No usable systemd: `dkcd supervise`, which the user's crontab restarts after a reboot.
    Cron,
    /// Neither systemd nor cron: `dkcd supervise`, until the next reboot.
    Supervise,
}

/// How the names of clusters' system users begin, and of no other user.
pub const SYSTEM_USER_PREFIX: &str = "dkc-";
/// The key of the unit's digest in `NodeView::files`; the unit is outside the node's directory.
pub const UNIT_FILE: &str = "unit";

/// A node's certificate as it lies on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// In hex.
    pub serial: String,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
    /// The server whose issuer signed it; `None` for the authority itself.
    pub issuer: Option<NodeUuid>,
    /// Of the authority's key that vouches for it, directly or through the issuer. Empty where it does not say.
    pub authority: String,
    /// Seconds since the Unix epoch.
    pub from_s: i64,
    /// Seconds since the Unix epoch.
    pub until_s: i64,
    /// What a slave may use; `None` for servers, and where an earlier release made it.
    pub namespaces: Option<BTreeSet<Namespace>>,
}

/// The observed state of a node's directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// The directory is there, whatever it contains.
    pub exists: bool,
    /// The user that it belongs to.
    #[serde(default)]
    pub owner: Option<String>,
    /// The login user may not look into it.
    #[serde(default)]
    pub is_closed: bool,
    /// The UUID in the marker file.
    pub marker: Option<NodeUuid>,
    /// The marker and the key, where a power cut has left them empty.
    #[serde(default)]
    pub torn: BTreeSet<String>,
    /// The UUID in `data/identity`.
    pub identity: Option<NodeUuid>,
    /// In its daemon's words: its data was put back from an older copy, so that it may not serve any more.
    #[serde(default)]
    pub put_back: Option<String>,
    /// The program that the link points to.
    pub program: Option<String>,
    /// The one that it pointed to before.
    #[serde(default)]
    pub program_before: Option<String>,
    /// SHA-256 of deployed files (`node.yaml`, `tls/ca.pem`, `tls/node.pem`, the unit under `UNIT_FILE`), by
    /// relative path.
    pub files: BTreeMap<String, String>,
    /// The current `node.yaml`, for the diff.
    pub config_text: Option<String>,
    /// Days until the certificate expires.
    pub certificate_days: Option<i64>,
    /// What the certificate says.
    #[serde(default)]
    pub certificate: Option<CertificateView>,
    /// Days until a server's issuer expires; `None` where it has none.
    #[serde(default)]
    pub issuer_days: Option<i64>,
    /// Whether its daemon runs.
    pub run: RunState,
    /// Restarts of the daemon by its supervisor or systemd, since it was started.
    #[serde(default)]
    pub restarts: u64,
    /// What the daemon itself says, when it answers.
    pub status: Option<Box<NodeStatus>>,
    /// A running server's view of members and merges.
    #[serde(default)]
    pub meta: Option<Box<MetaView>>,
    /// A running server's view of tokens and slaves.
    #[serde(default)]
    pub tokens: Option<Box<TokensView>>,
    /// Last lines of its log; asked for only where it helps to explain a failure.
    pub log_tail: Vec<String>,
}

/// The state of a node's daemon, from locks and processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// No daemon runs; not necessarily an error.
    #[default]
    Stopped,
    /// It runs, and is started again if it ends.
    Running {
        /// Process number of the daemon.
        pid: u32,
    },
    /// The daemon serves, but its supervisor has ended: it would not be restarted.
    Orphaned {
        /// Process number of the daemon.
        pid: u32,
    },
    /// The supervisor has given up or keeps restarting it.
    Failing {
        /// Why, in the supervisor's words.
        message: String,
    },
}

impl Observed {
    /// `None` for a host that is silent or was not asked.
    pub fn facts(&self, host: &HostAddress) -> Option<&HostFacts> {
        match self.hosts.get(host)? {
            HostView::Facts(facts) => Some(facts),
            HostView::Silent { .. } => None,
        }
    }

    /// A node on any host. Hosts are queried only about their own nodes.
    pub fn node(&self, node: &NodeName) -> Option<&NodeView> {
        let facts = self.hosts.keys().filter_map(|host| self.facts(host));
        facts.filter_map(|facts| facts.nodes.get(node)).find(|view| view.exists)
    }
}

impl HostFacts {
    /// The node's observed state; a node that was not observed counts as absent.
    pub fn node(&self, node: &NodeName) -> NodeView {
        self.nodes.get(node).cloned().unwrap_or_default()
    }

    /// The listener on this port that conflicts with `address`.
    pub fn listener_on(&self, address: &str, port: u16) -> Option<&str> {
        let hinders = |listener: &&String| {
            let Some((place, its_port)) = listener.rsplit_once(':') else { return false };
            let place = place.trim_start_matches('[').trim_end_matches(']');
            let place = place.split('%').next().unwrap_or(place);
            // Names resolve on the host, so only two different literal addresses are sure not to conflict.
            let is_wild =
                |word: &str| word.parse::<std::net::IpAddr>().map_or(true, |ip| ip.is_unspecified());
            its_port == port.to_string() && (is_wild(place) || is_wild(address) || place == address)
        };
        self.listening.iter().find(hinders).map(String::as_str)
    }
}

impl NodeView {
    /// The directory contains nothing of a node.
    pub fn looks_empty(&self) -> bool {
        self.identity.is_none() && self.files.is_empty() && self.program.is_none()
    }

    /// The directory of this node, whose marker a power cut has left empty, and nothing in it contradicts that.
    pub fn is_torn_directory_of(&self, uuid: NodeUuid) -> bool {
        let says_otherwise =
            |text: &String| !text.trim_matches(['\0', '\n']).is_empty() && !text.contains(&uuid.to_string());
        self.torn.contains(layout::NODE_MARKER)
            && self.identity.is_none_or(|identity| identity == uuid)
            && !self.config_text.as_ref().is_some_and(says_otherwise)
    }

    /// The system user of its cluster, where it has one; `None` where it belongs to the login user.
    pub fn system_owner(&self) -> Option<&str> {
        self.owner.as_deref().filter(|owner| owner.starts_with(SYSTEM_USER_PREFIX))
    }

    /// A daemon runs, supervised or not.
    pub fn is_running(&self) -> bool {
        matches!(self.run, RunState::Running { .. } | RunState::Orphaned { .. })
    }

    /// Runs, and its supervisor or systemd would restart it.
    pub fn is_kept(&self) -> bool {
        matches!(self.run, RunState::Running { .. })
    }
}
