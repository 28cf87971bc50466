//! Plans: numbered steps that can be printed, compared and tested before anything changes. Each verb's file holds its
//! reasons to refuse and the order of its steps.

mod action;
mod apply;
mod authority;
mod backup;
mod change_members;
mod deploy;
mod destroy;
mod diff;
mod gate;
mod grow;
mod header;
mod join;
mod launch;
mod recover;
mod refusal;
mod replace;
mod restart;
mod restore;
mod resume;
mod ring;
mod scope;
mod shrink;
mod splitting;
mod standing;
mod start;
mod steps;
mod stop;
mod text;
mod timeouts;
mod tls;
mod token;
mod upgrade;

use dkc_core::ids::{HostAddress, RingVersion};
use serde::{Deserialize, Serialize};

pub use action::{Action, AuthorityStep, ClusterAction, Endpoint, HostAction, SalvageSource};
pub use apply::{ApplyRequest, apply};
pub use authority::{AuthorityView, CERTIFICATE_RENEW_DAYS};
pub use backup::{BackupRequest, backup};
pub use change_members::{Lock, MembersRequest, change_members};
pub use deploy::{CLOCK_OFFSET_MAX_MS, DeployRequest, Program, deploy};
pub(crate) use deploy::{exposures, ownership_refusal};
pub use destroy::{DestroyRequest, DestroyTarget, destroy};
pub use diff::unified;
pub use header::Operation;
pub use join::{JoinRequest, inventory_of, join};
pub use launch::{LaunchRequest, launch};
pub use recover::{Found, RecoverRequest, check_found, recover, recoverable, salvage};
pub use refusal::{Refusal, Refused};
pub use replace::check_replacement;
pub use restart::{RestartRequest, restart};
pub use restore::{RestoreRequest, restore};
pub use ring::{RingRequest, RingWord, ring};
pub use scope::{Selection, Target};
pub use splitting::Splitting;
pub use start::{StartRequest, start};
pub use stop::{StopRequest, stop};
pub use text::Detail;
pub use tls::{RevokeRequest, RotateRequest, revoke, rotate};
pub use token::{IssueTokenRequest, RevokeTokenRequest, issue_token, revoke_token};
pub use upgrade::{PROGRAMS_KEPT, UpgradeRequest, UpgradeTo, upgrade};

use crate::generation::Generation;
use crate::model::NodeName;

/// A plan's danger, which decides the confirmation it requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Danger {
    /// Changes nothing.
    Read,
    /// Applications do not notice it, and another command takes it back.
    Reversible,
    /// Interrupts or slows down service.
    Disruptive,
    /// Cannot be undone; needs the confirmation word.
    LosesData,
}

/// Everything that a command will do. Bound to what it was made from: `check_fresh` refuses it when that has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `op-` and 8 hex digits.
    pub operation: String,
    /// The command line, for running it again.
    pub command: String,
    /// The worst of its steps.
    pub danger: Danger,
    /// The generation that this plan was made from.
    #[serde(rename = "generation")]
    pub base: Generation,
    /// The generation during the steps: members are recorded before the ring knows them.
    #[serde(rename = "generation_running")]
    pub running: Generation,
    /// The generation after its results are recorded; the same if there are none.
    #[serde(rename = "generation_after")]
    pub target: Generation,
    /// Observed when it was made; `None` for a plan that does not depend on the ring.
    pub ring_version: Option<RingVersion>,
    /// The confirmation word of a plan that loses data: `c0@g42`.
    pub confirm: Option<String>,
    /// Effects on users of the cluster, including the worst moment.
    pub impact: Vec<String>,
    /// The command that takes the effect back, or why there is none.
    pub undo: String,
    /// In the order of their numbers.
    pub steps: Vec<Step>,
    /// Members to remove from the inventory after the last step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<NodeName>,
}

/// A step. Within a phase, hosts work in parallel, each in order; phases are barriers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Counts from 1.
    pub number: u32,
    /// Counts from 1 without gaps; one begins when the one before is done on every host.
    pub phase: u32,
    /// Where the action is carried out; for a ring action, the first endpoint.
    pub host: HostAddress,
    /// The node concerned; `None` for what belongs to the host.
    pub node: Option<NodeName>,
    /// What is done; idempotent.
    pub action: Action,
}
