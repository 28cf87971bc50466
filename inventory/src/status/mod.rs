//! How clusters, slaves and hosts are, as data: judged here from what hosts and daemons said, drawn by whoever draws it.
//! *Invariant:* a state is only ever claimed from what was seen: silence is `unknown`, never `stopped`.

mod cluster;
mod ring;
mod slave;

use std::fmt;

use dkc_core::control::{NodeStatus, RoleStatus};
use serde::Serialize;

use crate::check::certificate_words;
use crate::model::{Inventory, NodeName};
use crate::observed::{HostView, NodeView, Observed, RunState};
use crate::plan::CERTIFICATE_RENEW_DAYS;

pub use cluster::{ClusterReport, ServerReport};
pub use ring::{OperationReport, RingReport};
pub use slave::SlaveReport;

/// The words of the ancestor, and those that it lacked. The largest of several decides about all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It serves, and everything is there.
    Running,
    /// It serves, and data moves.
    Merging,
    /// It serves, and something is missing.
    Degraded,
    /// Nobody answers who knows.
    Unknown,
    /// It does not run.
    Stopped,
    /// It does not serve, although it should.
    Error,
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

/// One node: its state, the reason for it, and what its daemon said.
struct NodeCondition {
    state: State,
    why: Option<String>,
    /// What will need a hand, although everything works now.
    notice: Option<String>,
    said: Option<Box<NodeStatus>>,
}

impl NodeCondition {
    fn new(state: State, why: Option<String>) -> NodeCondition {
        NodeCondition { state, why, notice: None, said: None }
    }

    fn of(inventory: &Inventory, observed: &Observed, node: &NodeName) -> NodeCondition {
        let view = inventory.host_of(node).and_then(|host| observed.hosts.get(&host));
        match view {
            Some(HostView::Facts(facts)) => match facts.nodes.get(node) {
                Some(view) => NodeCondition::of_view(view),
                None => NodeCondition::new(State::Stopped, Some("not installed".into())),
            },
            Some(HostView::Silent { message, .. }) => {
                NodeCondition::new(State::Unknown, Some(message.clone()))
            }
            None => NodeCondition::new(State::Unknown, Some("not asked".into())),
        }
    }

    fn of_view(view: &NodeView) -> NodeCondition {
        match (&view.run, &view.status) {
            (RunState::Stopped, _) if !view.exists => {
                NodeCondition::new(State::Stopped, Some("not installed".into()))
            }
            (RunState::Stopped, _) => NodeCondition::new(State::Stopped, None),
            (RunState::Failing { message }, _) => NodeCondition::new(State::Error, Some(message.clone())),
            (RunState::Running { pid }, None) => {
                NodeCondition::new(State::Unknown, Some(format!("process {pid} runs but does not answer")))
            }
            (RunState::Running { .. }, Some(status)) => {
                let (ends, ended) = certificate_end(view);
                let why = trouble(status).or(ended);
                NodeCondition { state: State::Running, why, notice: ends, said: Some(status.clone()) }
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

fn trouble(status: &NodeStatus) -> Option<String> {
    match &status.role {
        RoleStatus::Server(server) => server.trouble.clone(),
        RoleStatus::Slave(_) => None,
    }
}

/// The state of a node as its host sees it.
pub fn state_of(view: &NodeView) -> State {
    NodeCondition::of_view(view).state
}
