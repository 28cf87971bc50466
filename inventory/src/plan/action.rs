//! The actions of steps, on one host or on the cluster. *Invariant:* actions are idempotent. A new action is defined here with
//! its text and carried out by the one interpreter of its kind.

use dkc_core::ids::{ClusterId, ClusterName, HostAddress, Namespace, NodeId, NodeUuid, SlaveId, TabletId};
use dkc_core::meta::{MemberChange, NewToken, OperationId};
use dkc_core::salvage::SalvagePart;
use dkc_core::token::TokenId;
use serde::{Deserialize, Serialize};

use super::standing::failures;
use crate::observed::ServiceManager;

/// A step's action, by its interpreter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// On the step's host, through scripts and its daemon.
    Host(HostAction),
    /// On the cluster as a whole, through the first endpoint that answers. Plans that are written down call it `Ring`.
    #[serde(rename = "Ring")]
    Cluster {
        /// Servers that answered when the plan was made, in order of preference.
        endpoints: Vec<Endpoint>,
        /// The action.
        action: ClusterAction,
    },
}

/// A server's control socket, through which the ring is changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The server's host.
    pub host: HostAddress,
    /// The server's directory on it.
    pub dir: String,
}

/// A part of a recovery, and where it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalvageSource {
    /// The directory of the stopped server.
    pub endpoint: Endpoint,
    /// What is read there.
    pub part: SalvagePart,
}

/// An action on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostAction {
    /// The root directory with its marker and `bin/`.
    MakeRoot {
        /// The directory.
        root: String,
    },
    /// The system user of a cluster's nodes, if it is not there yet.
    MakeUser {
        /// The host's root directory.
        root: String,
        /// Its name.
        user: String,
    },
    /// `<root>/bin/<digest>/dkc`; skipped when present.
    UploadProgram {
        /// The host's root directory.
        root: String,
        /// The program's digest.
        digest: String,
        /// Its size.
        bytes: u64,
        /// The file on the operator's machine; `None`: the shell's own program.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// Removes programs that no node of the host uses or remembers, but for the newest.
    PrunePrograms {
        /// The host's root directory.
        root: String,
        /// How many of these stay.
        keep: u32,
    },
    /// The node's directory with marker and subdirectories. An existing directory without the marker must be empty.
    MakeNode {
        /// The node's directory.
        dir: String,
        /// The node in the marker.
        uuid: NodeUuid,
        /// The system user that it belongs to; `None`: the login user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    /// Writes a text file atomically.
    WriteFile {
        /// The file.
        path: String,
        /// Its content.
        text: String,
        /// Its permissions.
        mode: u32,
        /// The SHA-256 of the file to replace; `None`: the file must not exist.
        replaces: Option<String>,
        /// The diff shown to the operator, with secrets masked.
        diff: String,
    },
    /// The certificate authority of a cluster that was never founded, beside the inventory on the operator's machine.
    MakeAuthority {
        /// The root directory of the host that the step is listed under.
        root: String,
        /// Whose authority.
        cluster: ClusterName,
        /// The cluster of that name before it was recovered, whose authority is kept under another name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<ClusterId>,
    },
    /// A step of the change to another certificate authority, beside the inventory on the operator's machine.
    RotateAuthority {
        /// The root directory of the host that the step is listed under.
        root: String,
        /// Whose authority.
        cluster: ClusterName,
        /// What is done.
        step: AuthorityStep,
    },
    /// The trust anchors of the cluster as they are now: during a rotation two.
    TrustAuthorities {
        /// The node's directory.
        dir: String,
    },
    /// The running daemon uses the certificates on its disk for new connections.
    ReloadCertificates {
        /// The node's directory.
        dir: String,
    },
    /// A fresh key and certificate signed by the cluster's authority, the trust anchors, and for a server its issuer.
    IssueCertificate {
        /// The node's directory.
        dir: String,
        /// The node in the certificate.
        uuid: NodeUuid,
        /// A server certificate, else a slave certificate.
        is_server: bool,
        /// What a slave may use.
        #[serde(default)]
        namespaces: Vec<Namespace>,
    },
    /// The key and certificate that this machine enrolled with, and the trust anchors.
    BringCertificate {
        /// The node's directory.
        dir: String,
        /// The directory on this machine that they are in.
        staged: String,
    },
    /// `<dir>/dkcd` points to the program, and `<dir>/dkcd.before` to the one before.
    LinkProgram {
        /// The node's directory.
        dir: String,
        /// The program's digest.
        digest: String,
    },
    /// The same for a program that is taken back: there is none before it any more.
    ReturnProgram {
        /// The node's directory.
        dir: String,
        /// The program's digest.
        digest: String,
    },
    /// The program itself says that it runs on this host, takes the node's configuration and reads what is on its disk. Changes nothing.
    CheckProgram {
        /// The node's directory.
        dir: String,
        /// The program's digest.
        digest: String,
    },
    /// `dkcd init`: creates the data directory with its identity; refused if one exists.
    InitialiseData {
        /// The node's directory.
        dir: String,
        /// Its identity.
        uuid: NodeUuid,
    },
    /// `dkcd check-config`: the daemon validates its file.
    CheckConfiguration {
        /// The node's directory.
        dir: String,
    },
    /// The running daemon reads its configuration again; what needs a restart it refuses.
    ReloadNode {
        /// The node's directory.
        dir: String,
    },
    /// Only for hosts with systemd.
    InstallService {
        /// The node's directory.
        dir: String,
        /// System or user systemd.
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
        /// Its service manager.
        manager: ServiceManager,
    },
    /// Waits until the control socket answers and, for a server of a founded cluster, its tablets have leaders.
    WaitReady {
        /// The node's directory.
        dir: String,
    },
    /// Founds the ring, through one server.
    FoundCluster {
        /// That server's directory.
        dir: String,
    },
    /// Transfers leaderships away before the node stops.
    PrepareStop {
        /// The node's directory.
        dir: String,
    },
    /// Stops the node's daemon.
    StopNode {
        /// The node's directory.
        dir: String,
        /// Its service manager.
        manager: ServiceManager,
    },
    /// Removes service and directory, only if the marker has this UUID.
    RemoveNode {
        /// The node's directory.
        dir: String,
        /// The expected marker.
        uuid: NodeUuid,
        /// Its service manager.
        manager: ServiceManager,
    },
    /// Removes the root with its programs, only if it has our marker and contains no node.
    RemoveRoot {
        /// The directory.
        root: String,
    },
    /// Waits until a new server has a ring map that contains it.
    WaitJoined {
        /// The server's directory.
        dir: String,
        /// Its id in the ring.
        node_id: NodeId,
    },
    /// Marks a node's directory as removed. Its data stays.
    MarkRemoved {
        /// The node's directory.
        dir: String,
        /// The expected marker.
        uuid: NodeUuid,
    },
}

/// The change to another certificate authority, step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorityStep {
    /// The next one is created; it is to be trusted and does not sign yet.
    Begin,
    /// The next one signs.
    Switch,
    /// The one before is no longer to be trusted.
    End,
}

/// An action on the cluster as a whole: its ring, its members, its lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterAction {
    /// Acquires the ring's lock for membership operations.
    BeginOperation {
        /// The cluster.
        cluster: ClusterName,
        /// The operation that holds the lock.
        id: OperationId,
        /// The holder, shown to other operators.
        holder: String,
        /// The command, shown to other operators.
        what: String,
    },
    /// Releases the lock.
    EndOperation {
        /// The operation that holds it.
        id: OperationId,
    },
    /// Changes a member.
    ChangeMembers {
        /// Its operation.
        operation: Option<OperationId>,
        /// The change.
        change: MemberChange,
        /// The change in words.
        about: String,
    },
    /// Waits until these tablets, which come of splits, have leaders and are in the ring map.
    WaitSplit {
        /// The new tablets.
        tablets: Vec<TabletId>,
    },
    /// Fails if the cluster tolerates fewer failures than planned.
    RequireTolerance {
        /// Failures to tolerate.
        failures: u32,
    },
    /// Waits until members have joined and left; sends MERGE and COMPMERGE if automerge is off.
    Merge {
        /// Its operation.
        operation: OperationId,
        /// Joining members.
        come: Vec<NodeId>,
        /// Leaving members.
        leave: Vec<NodeId>,
    },
    /// Takes back the identity of a slave, permanently.
    RevokeSlave {
        /// The identity.
        uuid: NodeUuid,
        /// The slave, shown to other operators.
        id: SlaveId,
        /// The operator, shown to others.
        by: String,
    },
    /// From now on slaves can enrol with this token.
    IssueToken {
        /// Without its secret.
        token: NewToken,
    },
    /// A token enrols nobody any more.
    RevokeToken {
        /// Which one.
        id: TokenId,
        /// The operator, shown to others.
        by: String,
    },
    /// Writes a backup of all records at one moment, on the operator's machine. Goes on where it was interrupted.
    BackUp {
        /// Whose records.
        cluster: ClusterName,
        /// The backup's name.
        name: String,
        /// The operator's words about it.
        description: String,
        /// The directory that it becomes.
        directory: String,
        /// The operation, which the backup names.
        operation: String,
    },
    /// Stores the records of a backup in an empty cluster and counts them. Repeated, it leads to the same records.
    Restore {
        /// The directory of the backup.
        directory: String,
        /// Of its manifest: another backup in that place is refused.
        digest: String,
        /// Records to store.
        records: u64,
        /// Only this namespace.
        namespace: Option<Namespace>,
    },
    /// Writes a backup of what stopped servers have, on the operator's machine. Goes on where it was interrupted.
    Salvage {
        /// Whose records.
        cluster: ClusterName,
        /// Before it is recovered.
        cluster_id: ClusterId,
        /// The backup's name.
        name: String,
        /// A few words about it.
        description: String,
        /// The directory that it becomes.
        directory: String,
        /// The operation, which the backup names.
        operation: String,
        /// What is read where; every slot at most once.
        sources: Vec<SalvageSource>,
        /// What may be missing, in words.
        missing: Vec<String>,
    },
    /// Stores the records of the backup that this operation wrote, and counts them.
    RestoreSalvaged {
        /// The directory of the backup.
        directory: String,
        /// The operation that it is of.
        operation: String,
    },
    /// Writes a key into every tablet, reads it back and removes it.
    Canary,
    /// Waits until no merge runs, all replicas are complete and enough failures are tolerated.
    WaitHealthy {
        /// Failures to tolerate.
        failures: u32,
    },
}

impl From<HostAction> for Action {
    fn from(action: HostAction) -> Action {
        Action::Host(action)
    }
}

impl Action {
    /// The step in a few words, for plans and progress.
    pub fn words(&self) -> String {
        match self {
            Action::Host(action) => action.words(),
            Action::Cluster { endpoints, action } => action.words(endpoints),
        }
    }

    /// The host action, if it is one.
    pub fn on_host(&self) -> Option<&HostAction> {
        match self {
            Action::Host(action) => Some(action),
            Action::Cluster { .. } => None,
        }
    }

    /// The cluster action, if it is one.
    pub fn on_cluster(&self) -> Option<&ClusterAction> {
        match self {
            Action::Host(_) => None,
            Action::Cluster { action, .. } => Some(action),
        }
    }
}

/// The directory of an action.
enum Directory<'a> {
    Root(&'a str),
    Node(&'a str),
}

impl HostAction {
    fn directory(&self) -> Directory<'_> {
        use HostAction::*;
        match self {
            MakeRoot { root }
            | MakeUser { root, .. }
            | UploadProgram { root, .. }
            | PrunePrograms { root, .. }
            | RemoveRoot { root }
            | RotateAuthority { root, .. }
            | MakeAuthority { root, .. } => Directory::Root(root),
            WriteFile { path, .. } => Directory::Node(parent(path)),
            MakeNode { dir, .. }
            | IssueCertificate { dir, .. }
            | BringCertificate { dir, .. }
            | LinkProgram { dir, .. }
            | ReturnProgram { dir, .. }
            | CheckProgram { dir, .. }
            | InitialiseData { dir, .. }
            | CheckConfiguration { dir }
            | ReloadNode { dir }
            | TrustAuthorities { dir }
            | ReloadCertificates { dir }
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

    /// The host's root directory.
    pub fn root(&self) -> &str {
        match self.directory() {
            Directory::Root(root) => root,
            Directory::Node(dir) => parent(dir),
        }
    }

    /// The node's directory.
    pub fn node_dir(&self) -> Option<&str> {
        match self.directory() {
            Directory::Root(_) => None,
            Directory::Node(dir) => Some(dir),
        }
    }

    fn words(&self) -> String {
        use HostAction::*;
        match self {
            MakeRoot { root } => format!("create {root}"),
            UploadProgram { root, digest, bytes, .. } => {
                format!("upload dkcd {digest} to {root}/bin ({:.1} MB)", *bytes as f64 / 1e6)
            }
            MakeUser { user, .. } => format!("create the system user {user}"),
            MakeNode { dir, owner: Some(owner), .. } => format!("create {dir} for {owner}"),
            MakeNode { dir, owner: None, .. } => format!("create {dir}"),
            WriteFile { path, replaces: Some(_), .. } => format!("replace {path}"),
            WriteFile { path, replaces: None, .. } => format!("write {path}"),
            MakeAuthority { cluster, instead_of: Some(old), .. } => {
                format!(
                    "create another certificate authority of {cluster}, and keep the old one as {cluster}.{old}, on this machine next to the inventory"
                )
            }
            MakeAuthority { cluster, .. } => {
                format!(
                    "create the certificate authority of {cluster}, on this machine next to the inventory"
                )
            }
            RotateAuthority { cluster, step: AuthorityStep::Begin, .. } => {
                format!(
                    "create the next certificate authority of {cluster}, on this machine next to the inventory"
                )
            }
            RotateAuthority { cluster, step: AuthorityStep::Switch, .. } => {
                format!("sign with the next certificate authority of {cluster} from now on")
            }
            RotateAuthority { cluster, step: AuthorityStep::End, .. } => {
                format!("forget the certificate authority that {cluster} had before")
            }
            TrustAuthorities { dir } => format!("write the trust anchors into {dir}/tls"),
            ReloadCertificates { dir } => {
                format!("use the certificates of {} for new connections", last(dir))
            }
            IssueCertificate { dir, is_server, .. } => {
                format!("issue a {} certificate into {dir}/tls", if *is_server { "server" } else { "slave" })
            }
            BringCertificate { dir, .. } => format!("write the enrolled key and certificate into {dir}/tls"),
            LinkProgram { dir, digest } => format!("link {dir}/dkcd to {digest}"),
            ReturnProgram { dir, digest } => format!("link {dir}/dkcd to {digest} again"),
            CheckProgram { dir, digest } => {
                format!("check that {digest} takes the configuration and the disk of {}", last(dir))
            }
            PrunePrograms { root, keep } => {
                format!("remove programs from {root}/bin that no node uses, but for the newest {keep}")
            }
            InitialiseData { dir, .. } => format!("initialise {dir}/data"),
            CheckConfiguration { dir } => format!("check the configuration in {dir}"),
            ReloadNode { dir } => format!("reload the configuration of {}", last(dir)),
            InstallService { unit, manager, .. } => format!("install {unit} ({})", manager.words()),
            StartNode { dir, manager } => format!("start {} ({})", last(dir), manager.words()),
            WaitReady { dir } => format!("wait until {} is ready", last(dir)),
            FoundCluster { dir } => format!("found the ring through {}", last(dir)),
            PrepareStop { dir } => format!("transfer leaderships away from {}", last(dir)),
            StopNode { dir, manager } => format!("stop {} ({})", last(dir), manager.words()),
            RemoveNode { dir, .. } => format!("remove the service and {dir} with all its data"),
            RemoveRoot { root } => format!("remove {root} with its programs"),
            WaitJoined { dir, .. } => format!("wait until {} has joined the ring", last(dir)),
            MarkRemoved { dir, .. } => format!("mark {dir} as removed; its data stays"),
        }
    }
}

impl ClusterAction {
    fn words(&self, endpoints: &[Endpoint]) -> String {
        let first = endpoints.first().map_or("no server", |endpoint| last(&endpoint.dir));
        match self {
            ClusterAction::BeginOperation { .. } => format!("acquire the ring's lock through {first}"),
            ClusterAction::EndOperation { .. } => "release the ring's lock".into(),
            ClusterAction::ChangeMembers { about, .. } => about.clone(),
            ClusterAction::RevokeSlave { id, uuid, .. } => {
                format!("revoke the identity of slave {id} ({uuid}) at every server")
            }
            ClusterAction::IssueToken { token } => format!("issue the token {}", token.id),
            ClusterAction::RevokeToken { id, .. } => format!("revoke the token {id}"),
            ClusterAction::WaitSplit { tablets } => {
                let names: Vec<String> = tablets.iter().map(ToString::to_string).collect();
                match tablets.len() {
                    1 => format!("wait until tablet {} has a leader", names.join("")),
                    _ => format!("wait until tablets {} have leaders", names.join(", ")),
                }
            }
            ClusterAction::RequireTolerance { failures: 0 } => {
                "check that every tablet has its quorum".into()
            }
            ClusterAction::RequireTolerance { failures } => {
                format!("check that {} still tolerated", are(*failures))
            }
            ClusterAction::BackUp { cluster, directory, .. } => {
                format!("back up all records of {cluster} at one moment to {directory}")
            }
            ClusterAction::Restore { directory, records, .. } => {
                format!("store and count the {records} records of {directory}")
            }
            ClusterAction::Salvage { cluster, directory, sources, .. } => {
                let dirs: std::collections::BTreeSet<&str> =
                    sources.iter().map(|source| last(&source.endpoint.dir)).collect();
                let dirs: Vec<&str> = dirs.into_iter().collect();
                format!(
                    "read what is left of {cluster} in {}, and back it up to {directory}",
                    dirs.join(", ")
                )
            }
            ClusterAction::RestoreSalvaged { directory, .. } => {
                format!("store and count the records of {directory}")
            }
            ClusterAction::Canary => format!("write and read back a key of every tablet through {first}"),
            ClusterAction::Merge { .. } => "merge: move data to its new replicas".into(),
            ClusterAction::WaitHealthy { failures: 0 } => "wait until every replica is complete".into(),
            ClusterAction::WaitHealthy { failures } => {
                format!("wait until every replica is complete and {} tolerated", are(*failures))
            }
        }
    }
}

/// `1 failure is`, `2 failures are`.
fn are(count: u32) -> String {
    format!("{} {}", failures(count as usize), if count == 1 { "is" } else { "are" })
}

/// The last component of a path: the node's name.
fn last(dir: &str) -> &str {
    dir.rsplit('/').next().unwrap_or(dir)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
