//! A plan: numbered steps that can be printed, compared and tested before anything is changed. One file per verb
//! holds every reason to refuse and the order of the steps.

mod deploy;
mod destroy;
mod diff;
mod header;
mod refusal;
mod restart;
mod scope;
mod start;
mod steps;
mod stop;
mod text;

use dkc_core::ids::{HostAddress, NodeUuid, RingVersion};
use serde::{Deserialize, Serialize};

pub(crate) use deploy::ownership_refusal;
pub use deploy::{CERTIFICATE_RENEW_DAYS, CLOCK_OFFSET_MAX_MS, DeployRequest, Program, deploy};
pub use destroy::{DestroyRequest, DestroyTarget, destroy};
pub use diff::unified;
pub use header::Operation;
pub use refusal::{Refusal, Refused};
pub use restart::{RestartRequest, restart};
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
}
