//! Compares the servers' views of each other. A server is good if it answers, has the newest ring map, and all servers
//! that answer agree that it is up. Pure.

use dkc_core::control::{NodeStatus, RoleStatus, ServerStatus};
use dkc_core::ids::{ClusterName, RingVersion};
use dkc_core::member::MemberState;
use serde::Serialize;

use crate::model::{Inventory, NodeName, Server};
use crate::observed::Observed;

/// One server and the findings about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Member number.
    #[serde(rename = "No.")]
    pub number: u32,
    /// Its node port.
    pub address: String,
    /// It answers, has the newest ring map, and nobody disagrees about it.
    pub is_good: bool,
    /// If good, the state that all agree on; else each disagreement.
    pub lines: Vec<String>,
}

struct Answer<'a> {
    number: u32,
    ring_version: RingVersion,
    server: &'a ServerStatus,
}

/// Empty if no server that knows the ring answers.
pub fn sides(inventory: &Inventory, observed: &Observed, name: &ClusterName) -> Vec<Side> {
    let servers = inventory.clusters.get(name).map(|c| c.servers.as_slice()).unwrap_or_default();
    let answers: Vec<Answer<'_>> = servers
        .iter()
        .filter_map(|server| {
            let node = NodeName::Server(name.clone(), server.number);
            answer(server.number.0, observed.node(&node)?.status.as_deref()?)
        })
        .collect();
    let Some(newest) = answers.iter().map(|answer| answer.ring_version).max() else { return Vec::new() };
    servers.iter().map(|server| side(server, &answers, newest)).collect()
}

fn answer(number: u32, status: &NodeStatus) -> Option<Answer<'_>> {
    match &status.role {
        RoleStatus::Server(server) if server.is_founded => {
            Some(Answer { number, ring_version: status.ring_version, server })
        }
        _ => None,
    }
}

fn side(server: &Server, answers: &[Answer<'_>], newest: RingVersion) -> Side {
    let mut wrong = Vec::new();
    match answers.iter().find(|answer| answer.number == server.number.0) {
        None => wrong.push("it does not answer or does not know the ring".to_owned()),
        Some(own) if own.ring_version < newest => {
            wrong.push(format!("it has ring version {}, the newest is {newest}", own.ring_version));
        }
        Some(_) => {}
    }
    let seen = |answer: &Answer<'_>| {
        let member = answer.server.members.iter().find(|member| member.node.uuid == server.node_uuid)?;
        Some(MemberState::of(&member.node, member.is_up))
    };
    let best = answers.iter().filter(|answer| answer.ring_version == newest).find_map(seen);
    for answer in answers {
        match (seen(answer), best) {
            (None, _) => wrong.push(format!("No.{} does not have it in its ring map", answer.number)),
            (Some(state), _) if !state.is_up => wrong.push(format!("No.{} sees it DOWN", answer.number)),
            (Some(state), Some(best)) if state.code() != MemberState { is_up: true, ..best }.code() => {
                wrong.push(format!("No.{} sees it as {state}", answer.number));
            }
            _ => {}
        }
    }
    let is_good = wrong.is_empty();
    let agreed = best.map(|state| format!("ring version {newest}, {state}; {} servers agree", answers.len()));
    let lines = if is_good { agreed.into_iter().collect() } else { wrong };
    Side { number: server.number.0, address: server.address.to_string(), is_good, lines }
}

/// One block per server under the cluster's name.
pub fn text(name: &ClusterName, sides: &[Side]) -> String {
    let mut out = format!("{name}: each server as the others see it\n");
    for side in sides {
        let mark = if side.is_good { "OK" } else { "NG" };
        out.push_str(&format!("  {mark}  No.{} {}\n", side.number, side.address));
        side.lines.iter().for_each(|line| out.push_str(&format!("        {line}\n")));
    }
    out
}
