//! The status of clusters, slaves and hosts as data, judged from observed facts; callers draw it. *Invariant:* states are
//! never guessed: a host that does not answer is `unknown`, never `stopped`.

mod cluster;
mod instance;
mod joined;
mod ring_report;
mod slave;

use std::fmt;

use dkc_core::control::{NodeStatus, RoleStatus};
use serde::Serialize;

use crate::check::certificate_words;
use crate::model::{Inventory, NodeName};
use crate::observed::{HostView, NodeView, Observed, RunState};
use crate::plan::CERTIFICATE_RENEW_DAYS;

pub use cluster::{ClusterReport, ServerReport};
pub use instance::InstanceReport;
pub use joined::{JoinedSlave, joined_slaves};
pub use ring_report::{OperationReport, RingReport};
pub use slave::SlaveReport;

/// The ancestor's states and the ones it lacked, ordered by severity: the largest of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Serving, with all replicas.
    Running,
    /// Serving while data moves.
    Merging,
    /// Serving, but replicas or servers are missing.
    Degraded,
    /// No answer.
    Unknown,
    /// Not running.
    Stopped,
    /// Not serving although it should.
    Error,
}

impl State {
    /// Every state, from the best to the worst.
    pub const ALL: [State; 6] =
        [State::Running, State::Merging, State::Degraded, State::Unknown, State::Stopped, State::Error];

    /// The state in words, for the reference.
    pub fn meaning(self) -> &'static str {
        match self {
            State::Running => "serving, with all replicas",
            State::Merging => "serving while data moves",
            State::Degraded => "serving, but replicas or servers are missing",
            State::Unknown => "no answer",
            State::Stopped => "not running",
            State::Error => "not serving although it should",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Running => "running",
            State::Merging => "merging",
            State::Degraded => "degraded",
            State::Unknown => "unknown",
            State::Stopped => "stopped",
            State::Error => "error",
        })
    }
}

/// One node: its state, the reason, and its daemon's status.
struct NodeCondition {
    state: State,
    why: Option<String>,
    /// What will need a hand, although everything works now.
    notice: Option<String>,
    said: Option<Box<NodeStatus>>,
    restarts: u64,
}

impl NodeCondition {
    fn new(state: State, why: Option<String>) -> NodeCondition {
        NodeCondition { state, why, notice: None, said: None, restarts: 0 }
    }

    fn of(inventory: &Inventory, observed: &Observed, node: &NodeName) -> NodeCondition {
        let view = inventory.host_of(node).and_then(|host| observed.hosts.get(&host));
        match view {
            Some(HostView::Facts(facts)) => match facts.nodes.get(node) {
                Some(view) => NodeCondition { restarts: view.restarts, ..NodeCondition::of_view(view) },
                None => NodeCondition::new(State::Stopped, Some("not installed".into())),
            },
            Some(HostView::Silent { message, .. }) => {
                NodeCondition::new(State::Unknown, Some(message.clone()))
            }
            None => NodeCondition::new(State::Unknown, Some("not queried".into())),
        }
    }

    fn of_view(view: &NodeView) -> NodeCondition {
        if let Some(words) = &view.put_back {
            return NodeCondition::new(State::Error, Some(words.clone()));
        }
        match (&view.run, &view.status) {
            (RunState::Stopped, _) if !view.exists => {
                NodeCondition::new(State::Stopped, Some("not installed".into()))
            }
            (RunState::Stopped, _) => NodeCondition::new(State::Stopped, None),
            (RunState::Failing { message }, _) => NodeCondition::new(State::Error, Some(message.clone())),
            (RunState::Orphaned { .. }, Some(status)) => NodeCondition {
                state: State::Running,
                why: Some(
                    "its supervisor has ended, so it would not be restarted: start takes it over".into(),
                ),
                notice: None,
                said: Some(status.clone()),
                restarts: 0,
            },
            (RunState::Running { pid } | RunState::Orphaned { pid }, None) => {
                NodeCondition::new(State::Unknown, Some(format!("process {pid} runs but does not answer")))
            }
            (RunState::Running { .. }, Some(status)) => {
                let (ends, ended) = certificate_end(view);
                let why = trouble(status).or(ended);
                NodeCondition {
                    state: State::Running,
                    why,
                    notice: ends,
                    said: Some(status.clone()),
                    restarts: 0,
                }
            }
        }
    }
}

/// That it ends, from 30 days before on, while there is time to renew it; or that it has ended, which is a trouble.
fn certificate_end(view: &NodeView) -> (Option<String>, Option<String>) {
    match view.certificate_days {
        Some(days) if days < 0 => (None, Some(certificate_words(Some(days)))),
        Some(days) if days < CERTIFICATE_RENEW_DAYS => (Some(certificate_words(Some(days))), None),
        _ => (None, None),
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn trouble(status: &NodeStatus) -> Option<String> {
    match &status.role {
        RoleStatus::Server(server) => server.trouble.clone(),
        RoleStatus::Slave(_) => None,
    }
}

/// A node's state from its host's view.
pub fn state_of(view: &NodeView) -> State {
    NodeCondition::of_view(view).state
}
