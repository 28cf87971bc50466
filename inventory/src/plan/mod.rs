//! A plan: numbered steps that can be printed, compared and tested before anything is changed. One file per verb
//! holds every reason to refuse and the order of the steps.

mod deploy;
mod destroy;
mod diff;
mod header;
mod members;
mod refusal;
mod restart;
mod ring;
mod scope;
mod start;
mod steps;
mod stop;
mod text;

use dkc_core::ids::{ClusterName, HostAddress, NodeId, NodeUuid, RingVersion};
use dkc_core::meta::{MemberChange, OperationId};
use serde::{Deserialize, Serialize};

pub(crate) use deploy::ownership_refusal;
pub use deploy::{CERTIFICATE_RENEW_DAYS, CLOCK_OFFSET_MAX_MS, DeployRequest, Program, deploy};
pub use destroy::{DestroyRequest, DestroyTarget, destroy};
pub use diff::unified;
pub use header::Operation;
pub use members::{Lock, MembersRequest, change_members};
pub use refusal::{Refusal, Refused};
pub use restart::{RestartRequest, restart};
pub use ring::{RingRequest, RingWord, ring};
pub use scope::{Selection, Target};
pub use start::{StartRequest, start};
pub use stop::{StopRequest, stop};

use crate::model::NodeName;
use crate::observed::ServiceManager;

/// How much a command can hurt, which decides what it asks before it is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Danger {
    Read,
    Reversible,
    Disruptive,
    LosesData,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `op-` and 8 hex digits.
    pub operation: String,
    /// The command in one line, as the operator would type it again.
    pub command: String,
    pub danger: Danger,
    /// The inventory generation this plan was made from.
    pub generation: u64,
    /// What it will be once the plan's results are recorded; the same when there is nothing to record.
    pub generation_after: u64,
    pub ring_version: Option<RingVersion>,
    /// What the operator must type for a plan that loses data: `c0@g42`.
    pub confirm: Option<String>,
    /// What will be felt, in whole sentences; the worst moment is one of them.
    pub impact: Vec<String>,
    pub undo: String,
    pub steps: Vec<Step>,
    /// Members that the inventory drops once every step is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<NodeName>,
}

/// The control socket of a server, through which the ring as a whole is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    pub host: HostAddress,
    pub dir: String,
}

/// Steps of one phase run in parallel over hosts, in order within a host; the next phase begins when all are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Counts from 1.
    pub number: u32,
    pub phase: u32,
    pub host: HostAddress,
    pub node: Option<NodeName>,
    pub action: Action,
}

/// What a step does. Each is idempotent: done twice it changes nothing the second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The root directory with its marker and `bin/`.
    MakeRoot {
        root: String,
    },
    /// `<root>/bin/<digest>/dkc`; skipped when present.
    UploadProgram {
        root: String,
        digest: String,
        bytes: u64,
    },
    /// The node's directory with marker and subdirectories. One that is there without the marker must be empty.
    MakeNode {
        dir: String,
        uuid: NodeUuid,
    },
    /// A text file, complete. `replaces` is the SHA-256 of what must be there now (`None` = nothing).
    /// `diff` is what the operator is shown of it, secrets masked.
    WriteFile {
        path: String,
        text: String,
        mode: u32,
        replaces: Option<String>,
        diff: String,
    },
    /// A fresh key and certificate signed by the cluster's CA, and the trust anchors.
    IssueCertificate {
        dir: String,
        uuid: NodeUuid,
        is_server: bool,
    },
    LinkProgram {
        dir: String,
        digest: String,
    },
    /// `dkcd init`: makes the data directory with its identity; refused when there is one already.
    InitialiseData {
        dir: String,
        uuid: NodeUuid,
    },
    /// `dkcd check-config`: the daemon itself reads the file.
    CheckConfiguration {
        dir: String,
    },
    /// `unit` is its file name, `text` its content; only for hosts with systemd.
    InstallService {
        dir: String,
        manager: ServiceManager,
        unit: String,
        text: String,
    },
    StartNode {
        dir: String,
        manager: ServiceManager,
    },
    /// Until the control socket answers and, for a server of a founded cluster, its tablets have leaders.
    WaitReady {
        dir: String,
    },
    /// Forms the ring from the founders; asked of one server.
    FoundCluster {
        dir: String,
    },
    PrepareStop {
        dir: String,
    },
    StopNode {
        dir: String,
        manager: ServiceManager,
    },
    /// Removes service and directory, only when the marker carries this UUID.
    RemoveNode {
        dir: String,
        uuid: NodeUuid,
        manager: ServiceManager,
    },
    /// The root with its programs, only when it carries our marker and no node is left in it.
    RemoveRoot {
        root: String,
    },
    /// Takes the cluster's own lock for membership operations. The doors are tried in their order.
    BeginOperation {
        cluster: ClusterName,
        doors: Vec<Door>,
        id: OperationId,
        holder: String,
        what: String,
    },
    EndOperation {
        doors: Vec<Door>,
        id: OperationId,
    },
    /// One change of members; `about` says which member in the operator's words.
    ChangeMembers {
        doors: Vec<Door>,
        operation: Option<OperationId>,
        change: MemberChange,
        about: String,
    },
    /// Until a new server has the ring map and finds itself in it.
    WaitJoined {
        dir: String,
        node_id: NodeId,
    },
    /// Refuses to go on when the cluster has become weaker than planned for.
    RequireTolerance {
        doors: Vec<Door>,
        failures: u32,
    },
    /// Until these have come and those have left; gives MERGE and COMPMERGE itself where automerge does not.
    Merge {
        doors: Vec<Door>,
        operation: OperationId,
        come: Vec<NodeId>,
        leave: Vec<NodeId>,
    },
    /// Until no merge runs, every replica is complete and at least so many failures are tolerated.
    WaitHealthy {
        doors: Vec<Door>,
        failures: u32,
    },
    /// Notes in the directory of a node that it has left for ever. Its data stays.
    MarkRemoved {
        dir: String,
        uuid: NodeUuid,
    },
}
