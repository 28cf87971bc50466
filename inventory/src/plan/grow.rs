//! The joining members of `grow` and `replace`. They are installed like any node, registered in the ring before they start,
//! and hold no data until the merge.

use dkc_core::meta::MemberChange;
use dkc_core::ring::{self, InRing};

use super::authority::Authorities;
use super::change_members::Membership;
use super::deploy::{host_refusals, node_refusal, node_steps, parameter_refusals, program_steps, user_steps};
use super::start::{is_running, port_refusals, start_action};
use super::steps::{ObservedNode, Phase, Steps, places};
use super::{DeployRequest, HostAction, Refusal, Selection};
use crate::model::{NodeName, Server};

impl<'a> Membership<'a> {
    pub(super) fn grow_words(&self) -> String {
        format!("grow {} by {}", self.request.cluster, self.new_addresses())
    }

    pub(super) fn new_addresses(&self) -> String {
        let addresses: Vec<String> = self.coming.iter().map(|server| server.address.to_string()).collect();
        addresses.join(" ")
    }

    pub(super) fn grow_undo(&self) -> String {
        let come: Vec<String> = self.coming.iter().map(|server| format!("--no {}", server.number)).collect();
        format!("shrink -n {} {}", self.request.cluster, come.join(" "))
    }

    pub(super) fn to_bring_in(&self) -> Vec<&'a Server> {
        let is_in = |server: &&&Server| {
            !self.facts.view.ring.node(server.node_id).is_some_and(|node| {
                node.in_ring == InRing::ServiceIn && node.action == ring::MemberAction::None
            })
        };
        self.coming.iter().filter(is_in).copied().collect()
    }

    /// The new members with their hosts. Refused for the same reasons as deploy and start.
    pub(super) fn new_places(&self, refusals: &mut Vec<Refusal>) -> Vec<ObservedNode<'a>> {
        let bring_in = self.to_bring_in();
        let nodes: Vec<NodeName> = bring_in.iter().map(|server| self.node_name(server.number)).collect();
        if nodes.is_empty() {
            return Vec::new();
        }
        let places = places(self.inventory, self.observed, &nodes, refusals);
        let deploy = self.deploy_request();
        refusals.extend(parameter_refusals(self.inventory, &nodes));
        refusals.extend(host_refusals(self.inventory, &deploy.program, &places));
        refusals.extend(places.iter().filter_map(|place| node_refusal(self.inventory, &deploy, place)));
        let authorities = Authorities::of(self.inventory, &deploy.authorities, &places);
        refusals.extend(authorities.refusals(&places));
        for place in places.iter().filter(|place| !is_running(place)) {
            refusals.extend(port_refusals(self.inventory, place));
        }
        places
    }

    fn deploy_request(&self) -> DeployRequest {
        DeployRequest {
            operation: self.request.operation.clone(),
            selection: Selection::default(),
            program: self.request.program.clone(),
            authorities: self.request.authorities.clone(),
            config_only: false,
        }
    }

    /// Installs new members, registers them in the ring, starts them and waits until they have joined.
    pub(super) fn join_steps(&self, steps: &mut Steps, new: &[ObservedNode<'_>]) {
        let deploy = self.deploy_request();
        let authorities = Authorities::of(self.inventory, &deploy.authorities, new);
        authorities.steps(steps, new);
        program_steps(steps, &deploy, new);
        user_steps(steps, self.inventory, new);
        for place in new {
            node_steps(steps, self.inventory, &deploy, &authorities, place);
        }
        for server in self.to_bring_in() {
            let entry = self.inventory.server_entry(server);
            if self.facts.view.ring.node(server.node_id).is_none() {
                let change = MemberChange::RegisterNode {
                    node_id: entry.node_id,
                    uuid: entry.node_uuid,
                    number: entry.number,
                    address: entry.address,
                    zone: entry.zone,
                };
                let about = format!("register No.{} ({}) in the ring", server.number, server.address);
                self.change(steps, Phase::Register, change, about);
            }
        }
        for place in new {
            if !is_running(place) {
                steps.node(Phase::Start, place, start_action(place));
            }
            if let NodeName::Server(name, number) = &place.node
                && let Some(server) = self.inventory.server(name, *number)
            {
                let node_id = server.node_id;
                steps.node(Phase::Join, place, HostAction::WaitJoined { dir: place.dir(), node_id });
            }
        }
    }
}
