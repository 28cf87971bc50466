//! The leaving members of `shrink` and `replace`. No node stops before its data has moved; removed members never return.

use super::change_members::Membership;
use super::standing::is_up;
use super::steps::{ObservedNode, Phase, Steps};
use super::{Danger, HostAction, Plan};
use crate::edit::plural;
use crate::model::Server;
use crate::observed::HostView;
use dkc_core::ring::InRing;

impl<'a> Membership<'a> {
    pub(super) fn shrink_words(&self) -> String {
        format!("shrink {} by {}", self.request.cluster, self.leaving_numbers())
    }

    pub(super) fn leaving_numbers(&self) -> String {
        let numbers: Vec<String> =
            self.leaving.iter().map(|server| format!("No.{}", server.number)).collect();
        numbers.join(" ")
    }

    pub(super) fn shrink_undo(&self) -> String {
        format!("grow -n {} HOST:PORT (removed servers never return)", self.request.cluster)
    }

    pub(super) fn to_take_out(&self) -> Vec<&'a Server> {
        let is_in = |server: &&&Server| {
            let node = self.facts.view.ring.node(server.node_id);
            node.is_some_and(|node| node.in_ring == InRing::ServiceIn)
        };
        self.leaving.iter().filter(is_in).copied().collect()
    }

    /// On hosts that answer; the plan lists the others.
    pub(super) fn stop_steps(&self, steps: &mut Steps) {
        for server in &self.leaving {
            let node = self.node_name(server.number);
            let host = server.address.host.clone();
            let Some(facts) = self.observed.facts(&host) else { continue };
            let view = facts.node(&node);
            let place = ObservedNode { node, host, facts };
            if is_up(&view) {
                steps.node(
                    Phase::Depart,
                    &place,
                    HostAction::StopNode { dir: place.dir(), manager: facts.service },
                );
            }
            if view.marker == Some(server.node_uuid) {
                steps.node(
                    Phase::Depart,
                    &place,
                    HostAction::MarkRemoved { dir: place.dir(), uuid: server.node_uuid },
                );
            }
        }
    }

    /// Fewer servers than replicas lose redundancy, which the operator must confirm.
    pub(super) fn judge_danger(&self, plan: &mut Plan) {
        let ring = &self.facts.view.ring;
        let after = self.in_service_after();
        if self.moves() && !self.leaving.is_empty() && after < self.facts.copies_wanted() {
            plan.danger = Danger::LosesData;
            plan.confirm = Some(format!("{}@g{}", self.request.cluster, plan.base));
            plan.impact.push(format!(
                "{after} {} for {} replicas: every tablet loses a replica",
                plural(after, "server"),
                ring.replicas
            ));
        }
    }

    /// The fate of each leaving member.
    pub(super) fn departure_words(&self) -> Vec<String> {
        let words = |server: &&Server| {
            let (node, host) = (self.node_name(server.number), &server.address.host);
            match self.observed.hosts.get(host) {
                Some(HostView::Facts(_)) => {
                    format!("{node} never returns; its directory on {host} stays, marked as removed")
                }
                _ => format!(
                    "{host} does not answer: {node} is not stopped there; if it comes back, the ring refuses it"
                ),
            }
        };
        self.leaving.iter().map(words).collect()
    }
}
