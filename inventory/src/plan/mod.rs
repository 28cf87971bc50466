//! A plan: numbered steps that can be printed, compared and tested before anything is changed. One file per verb
//! holds every reason to refuse and the order of the steps.

mod action;
mod authority;
mod deploy;
mod destroy;
mod diff;
mod grow;
mod header;
mod membership;
mod refusal;
mod replace;
mod restart;
mod resume;
mod ring;
mod scope;
mod shrink;
mod standing;
mod start;
mod steps;
mod stop;
mod text;

use dkc_core::ids::{HostAddress, RingVersion};
use serde::{Deserialize, Serialize};

pub use action::{Action, Endpoint, HostAction, RingAction};
pub use authority::CERTIFICATE_RENEW_DAYS;
pub(crate) use deploy::ownership_refusal;
pub use deploy::{CLOCK_OFFSET_MAX_MS, DeployRequest, Program, deploy};
pub use destroy::{DestroyRequest, DestroyTarget, destroy};
pub use diff::unified;
pub use header::Operation;
pub use membership::{Lock, MembersRequest, change_members};
pub use refusal::{Refusal, Refused};
pub use replace::check_replacement;
pub use restart::{RestartRequest, restart};
pub use ring::{RingRequest, RingWord, ring};
pub use scope::{Selection, Target};
pub use start::{StartRequest, start};
pub use stop::{StopRequest, stop};

use crate::generation::Generation;
use crate::model::NodeName;

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
    /// The inventory that this plan was made from.
    #[serde(rename = "generation")]
    pub base: Generation,
    /// The one while its steps are carried out: members are written down before they are known to the ring.
    #[serde(rename = "generation_running")]
    pub running: Generation,
    /// The one once its results are recorded; the same when there is nothing to record.
    #[serde(rename = "generation_after")]
    pub target: Generation,
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
