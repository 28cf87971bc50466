//! What a step does: on one host, or to the ring as a whole. *Invariant:* each action is idempotent; done twice it changes
//! nothing the second time. A new action is defined here, with its words, and carried out by the one interpreter of its kind.

use dkc_core::ids::{ClusterName, HostAddress, NodeId, NodeUuid};
use dkc_core::meta::{MemberChange, OperationId};
use serde::{Deserialize, Serialize};

use super::standing::failures;
use crate::observed::ServiceManager;

/// What a step does, by what carries it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// On the step's host, by scripts and its daemon.
    Host(HostAction),
    /// To the ring, through the first of these endpoints that answers.
    Ring {
        /// Servers that answered when the plan was made, in the order in which they are tried.
        endpoints: Vec<Endpoint>,
        /// What the ring is asked.
        action: RingAction,
    },
}

/// The control socket of a server, through which the whole ring can be asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The server's host.
    pub host: HostAddress,
    /// The server's directory there.
    pub dir: String,
}

/// What is done on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostAction {
    /// The root directory with its marker and `bin/`.
    MakeRoot {
        /// The directory.
        root: String,
    },
    /// `<root>/bin/<digest>/dkc`; skipped when present.
    UploadProgram {
        /// The host's root directory.
        root: String,
        /// Names the program.
        digest: String,
        /// Its size.
        bytes: u64,
    },
    /// The node's directory with marker and subdirectories. One that is there without the marker must be empty.
    MakeNode {
        /// The node's directory.
        dir: String,
        /// The node that the marker names.
        uuid: NodeUuid,
    },
    /// A text file, complete.
    WriteFile {
        /// The file.
        path: String,
        /// All of it.
        text: String,
        /// Its permissions.
        mode: u32,
        /// The SHA-256 of what must be there now; `None` = nothing.
        replaces: Option<String>,
        /// What the operator is shown of the change, secrets masked.
        diff: String,
    },
    /// The certificate authority of a cluster that was never founded, beside the inventory on the operator's machine.
    MakeAuthority {
        /// The root directory of the host that the step is listed under.
        root: String,
        /// Whose authority.
        cluster: ClusterName,
    },
    /// A fresh key and certificate signed by the cluster's authority, and the trust anchors.
    IssueCertificate {
        /// The node's directory.
        dir: String,
        /// The node that the certificate names.
        uuid: NodeUuid,
        /// A server's certificate, or a slave's.
        is_server: bool,
    },
    /// `<dir>/dkcd` points to the program.
    LinkProgram {
        /// The node's directory.
        dir: String,
        /// Names the program.
        digest: String,
    },
    /// `dkcd init`: makes the data directory with its identity; refused when there is one already.
    InitialiseData {
        /// The node's directory.
        dir: String,
        /// The identity.
        uuid: NodeUuid,
    },
    /// `dkcd check-config`: the daemon itself reads the file.
    CheckConfiguration {
        /// The node's directory.
        dir: String,
    },
    /// Only for hosts with systemd.
    InstallService {
        /// The node's directory.
        dir: String,
        /// Whose systemd.
        manager: ServiceManager,
        /// The unit's file name.
        unit: String,
        /// The unit's content.
        text: String,
    },
    /// Starts the node's daemon.
    StartNode {
        /// The node's directory.
        dir: String,
        /// What keeps it running.
        manager: ServiceManager,
    },
    /// Until the control socket answers and, for a server of a founded cluster, its tablets have leaders.
    WaitReady {
        /// The node's directory.
        dir: String,
    },
    /// Forms the ring from the founders; asked of one server.
    FoundCluster {
        /// That server's directory.
        dir: String,
    },
    /// Leadership moves away before the node stops.
    PrepareStop {
        /// The node's directory.
        dir: String,
    },
    /// Stops the node's daemon.
    StopNode {
        /// The node's directory.
        dir: String,
        /// What keeps it running.
        manager: ServiceManager,
    },
    /// Removes service and directory, only when the marker carries this UUID.
    RemoveNode {
        /// The node's directory.
        dir: String,
        /// What the marker must say.
        uuid: NodeUuid,
        /// What keeps it running.
        manager: ServiceManager,
    },
    /// The root with its programs, only when it carries our marker and no node is left in it.
    RemoveRoot {
        /// The directory.
        root: String,
    },
    /// Until a new server has the ring map and finds itself in it.
    WaitJoined {
        /// The server's directory.
        dir: String,
        /// Its id in the ring.
        node_id: NodeId,
    },
    /// Notes in the directory of a node that it has left for ever. Its data stays.
    MarkRemoved {
        /// The node's directory.
        dir: String,
        /// What the marker must say.
        uuid: NodeUuid,
    },
}

/// What the ring as a whole is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RingAction {
    /// Takes the cluster's own lock for membership operations.
    BeginOperation {
        /// The cluster.
        cluster: ClusterName,
        /// The operation that holds the lock.
        id: OperationId,
        /// Who, for a second operator to read.
        holder: String,
        /// What, for a second operator to read.
        what: String,
    },
    /// Gives the lock back.
    EndOperation {
        /// The operation that holds it.
        id: OperationId,
    },
    /// One change of members.
    ChangeMembers {
        /// The operation that it is part of.
        operation: Option<OperationId>,
        /// The change.
        change: MemberChange,
        /// Which member, in the operator's words.
        about: String,
    },
    /// Refuses to go on when the cluster has become weaker than planned for.
    RequireTolerance {
        /// Failures that must still be tolerated.
        failures: u32,
    },
    /// Until these have come and those have left; gives MERGE and COMPMERGE itself where automerge does not.
    Merge {
        /// The operation that it is part of.
        operation: OperationId,
        /// Who joins.
        come: Vec<NodeId>,
        /// Who leaves.
        leave: Vec<NodeId>,
    },
    /// Until no merge runs, every replica is complete and at least so many failures are tolerated.
    WaitHealthy {
        /// Failures that must be tolerated then.
        failures: u32,
    },
}

impl From<HostAction> for Action {
    fn from(action: HostAction) -> Action {
        Action::Host(action)
    }
}

impl Action {
    /// The step in a few words, for the plan and for progress.
    pub fn words(&self) -> String {
        match self {
            Action::Host(action) => action.words(),
            Action::Ring { endpoints, action } => action.words(endpoints),
        }
    }

    /// What is done on the host, if that is what it is.
    pub fn on_host(&self) -> Option<&HostAction> {
        match self {
            Action::Host(action) => Some(action),
            Action::Ring { .. } => None,
        }
    }

    /// What the ring is asked, if that is what it is.
    pub fn on_ring(&self) -> Option<&RingAction> {
        match self {
            Action::Host(_) => None,
            Action::Ring { action, .. } => Some(action),
        }
    }
}

/// The directory that an action is about.
enum Directory<'a> {
    Root(&'a str),
    Node(&'a str),
}

impl HostAction {
    fn directory(&self) -> Directory<'_> {
        use HostAction::*;
        match self {
            MakeRoot { root }
            | UploadProgram { root, .. }
            | RemoveRoot { root }
            | MakeAuthority { root, .. } => Directory::Root(root),
            WriteFile { path, .. } => Directory::Node(parent(path)),
            MakeNode { dir, .. }
            | IssueCertificate { dir, .. }
            | LinkProgram { dir, .. }
            | InitialiseData { dir, .. }
            | CheckConfiguration { dir }
            | InstallService { dir, .. }
            | StartNode { dir, .. }
            | WaitReady { dir }
            | WaitJoined { dir, .. }
            | MarkRemoved { dir, .. }
            | FoundCluster { dir }
            | PrepareStop { dir }
            | StopNode { dir, .. }
            | RemoveNode { dir, .. } => Directory::Node(dir),
        }
    }

    /// The host's root directory, which everything of a host lies in.
    pub fn root(&self) -> &str {
        match self.directory() {
            Directory::Root(root) => root,
            Directory::Node(dir) => parent(dir),
        }
    }

    /// The directory of the node that it is about.
    pub fn node_dir(&self) -> Option<&str> {
        match self.directory() {
            Directory::Root(_) => None,
            Directory::Node(dir) => Some(dir),
        }
    }

    fn words(&self) -> String {
        use HostAction::*;
        match self {
            MakeRoot { root } => format!("make {root}"),
            UploadProgram { root, digest, bytes } => {
                format!("upload dkcd {digest} to {root}/bin ({:.1} MB)", *bytes as f64 / 1e6)
            }
            MakeNode { dir, .. } => format!("make {dir}"),
            WriteFile { path, replaces: Some(_), .. } => format!("replace {path}"),
            WriteFile { path, replaces: None, .. } => format!("write {path}"),
            MakeAuthority { cluster, .. } => {
                format!("make the certificate authority of {cluster}, on this machine beside the inventory")
            }
            IssueCertificate { dir, is_server, .. } => {
                format!("issue a {} certificate into {dir}/tls", if *is_server { "server" } else { "slave" })
            }
            LinkProgram { dir, digest } => format!("link {dir}/dkcd to {digest}"),
            InitialiseData { dir, .. } => format!("initialise {dir}/data"),
            CheckConfiguration { dir } => format!("check the configuration in {dir}"),
            InstallService { unit, manager, .. } => format!("install {unit} ({})", manager.words()),
            StartNode { dir, manager } => format!("start {} ({})", last(dir), manager.words()),
            WaitReady { dir } => format!("wait until {} is ready", last(dir)),
            FoundCluster { dir } => format!("found the ring, through {}", last(dir)),
            PrepareStop { dir } => format!("hand leadership away from {}", last(dir)),
            StopNode { dir, manager } => format!("stop {} ({})", last(dir), manager.words()),
            RemoveNode { dir, .. } => format!("remove the service and {dir} with all data in it"),
            RemoveRoot { root } => format!("remove {root} with its programs"),
            WaitJoined { dir, .. } => format!("wait until {} has joined the ring", last(dir)),
            MarkRemoved { dir, .. } => format!("mark {dir} as removed; its data stays"),
        }
    }
}

impl RingAction {
    fn words(&self, endpoints: &[Endpoint]) -> String {
        let first = endpoints.first().map_or("nobody", |endpoint| last(&endpoint.dir));
        match self {
            RingAction::BeginOperation { .. } => format!("take the ring's lock, through {first}"),
            RingAction::EndOperation { .. } => "give the ring's lock back".into(),
            RingAction::ChangeMembers { about, .. } => about.clone(),
            RingAction::RequireTolerance { failures: 0 } => {
                "make sure that every tablet still has its quorum".into()
            }
            RingAction::RequireTolerance { failures } => {
                format!("make sure that {} still tolerated", are(*failures))
            }
            RingAction::Merge { .. } => "merge: data moves to its new places".into(),
            RingAction::WaitHealthy { failures: 0 } => "wait until every replica is complete".into(),
            RingAction::WaitHealthy { failures } => {
                format!("wait until every replica is complete and {} tolerated", are(*failures))
            }
        }
    }
}

/// `1 failure is`, `2 failures are`.
fn are(count: u32) -> String {
    format!("{} {}", failures(count as usize), if count == 1 { "is" } else { "are" })
}

/// The node's name is its directory's.
fn last(dir: &str) -> &str {
    dir.rsplit('/').next().unwrap_or(dir)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
