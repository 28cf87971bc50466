//! The first step of an operation: observes hosts and rings. *Invariant:* it writes nothing but newly accepted host keys.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::ids::{ClusterName, HostAddress, RingVersion};
use dkc_inventory::edit;
use dkc_inventory::generation::Generation;
use dkc_inventory::model::Inventory;
use dkc_inventory::observed::Observed;
use dkc_inventory::plan::{Endpoint, Plan};
use dkc_inventory::ring_facts::RingFacts;

use super::record::save;
use crate::error::CommandError;
use crate::observe::{self, Scope};
use crate::session::Session;

/// Longer than an election with default parameters.
const LEADER_TIMEOUT: Duration = Duration::from_millis(1500);
const LEADER_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// A server that does not report its ring version within this time is ignored.
const RING_VERSION_TIMEOUT: Duration = Duration::from_secs(2);

/// Observes hosts, and pins the keys of new ones.
pub async fn observe(
    session: &mut Session,
    hosts: impl IntoIterator<Item = HostAddress>,
) -> Result<(Inventory, Observed), CommandError> {
    observe_scope(session, Scope::of(hosts, session.timeout())).await
}

pub async fn observe_scope(
    session: &mut Session,
    scope: Scope,
) -> Result<(Inventory, Observed), CommandError> {
    let inventory = session.inventory()?;
    let observed = look(session, &inventory, &supervised(session, scope)).await;
    Ok((pin_learned(session)?, observed))
}

/// Observes the hosts, and retries briefly if tablets of a cluster lack a leader: an election in progress is no reason
/// to report a failure or to refuse a change.
async fn look(session: &Session, inventory: &Inventory, scope: &Scope) -> Observed {
    let until = Instant::now() + LEADER_TIMEOUT;
    loop {
        let observed = observe::observe(&session.world, inventory, scope).await;
        let lacks_leader = |name: &ClusterName| {
            RingFacts::of(inventory, &observed, name).is_some_and(|facts| facts.lacks_leader())
        };
        if Instant::now() >= until || !inventory.clusters.keys().any(lacks_leader) {
            return observed;
        }
        tokio::time::sleep(LEADER_POLL_INTERVAL).await;
    }
}

/// The same for a planned inventory that differs from the one on disk. Returns the generation that the plan is based on
/// and the planned inventory, which gets the next generation if it differs.
pub async fn observe_planned(
    session: &mut Session,
    planned: &Inventory,
    scope: Scope,
) -> Result<(Generation, Inventory, Observed), CommandError> {
    let observed = look(session, planned, &supervised(session, scope)).await;
    let before = session.inventory()?;
    let learned = session.world.take_learned_keys();
    let (registered, new): (BTreeMap<_, _>, BTreeMap<_, _>) =
        learned.into_iter().partition(|(host, _)| before.hosts.contains_key(host));
    let is_changed = planned.generation != before.generation;
    let mut planned = planned.clone();
    for (host, fingerprint) in new {
        if let Some(entry) = planned.hosts.get_mut(&host).filter(|entry| entry.host_key.is_empty()) {
            session.ui.say(&format!("{host}: host key {fingerprint} will be pinned with this plan"));
            entry.host_key = vec![fingerprint];
        }
    }
    // New keys of registered hosts make a generation of their own, before the plan's.
    let pinned = pin(session, registered)?;
    for (address, host) in pinned.hosts {
        planned.hosts.insert(address, host);
    }
    planned.jump_hosts = pinned.jump_hosts;
    planned.generation = pinned.generation.next_if(is_changed);
    Ok((pinned.generation, planned, observed))
}

/// The newest ring version among the servers that the plan's version came from. `None` if the plan has none, or none answers.
pub async fn ring_version_now(session: &Session, inventory: &Inventory, plan: &Plan) -> Option<RingVersion> {
    plan.ring_version?;
    let asked = plan.endpoints().into_iter().map(|endpoint| async move {
        let asking = ring_version_of(session, inventory, &endpoint);
        tokio::time::timeout(RING_VERSION_TIMEOUT, asking).await.ok().flatten()
    });
    futures::future::join_all(asked).await.into_iter().flatten().max()
}

async fn ring_version_of(
    session: &Session,
    inventory: &Inventory,
    endpoint: &Endpoint,
) -> Option<RingVersion> {
    let host = observe::open(&session.world, inventory, &endpoint.host).await.ok()?;
    let mut control = host.control(&endpoint.dir).await.ok()?;
    match control.ask(&ControlRequest::Status, RING_VERSION_TIMEOUT).await.ok()? {
        ControlReply::Status(status) => Some(status.ring_version),
        _ => None,
    }
}

fn supervised(session: &Session, scope: Scope) -> Scope {
    let is_supervised = session.is_playground || session.store.is_supervised();
    Scope { is_supervised, ..scope }
}

/// Writes newly accepted host keys into the inventory and returns it.
pub fn pin_learned(session: &Session) -> Result<Inventory, CommandError> {
    pin(session, session.world.take_learned_keys())
}

fn pin(session: &Session, learned: BTreeMap<HostAddress, String>) -> Result<Inventory, CommandError> {
    let learned_of_jump_hosts = session.world.take_learned_jump_keys();
    if learned.is_empty() && learned_of_jump_hosts.is_empty() {
        return session.inventory();
    }
    let locked = session.lock()?;
    let mut inventory = locked.load()?;
    for (host, fingerprint) in learned {
        // The host may have been unregistered meanwhile.
        if inventory.hosts.get(&host).is_some_and(|entry| entry.host_key.is_empty()) {
            inventory = edit::set_pins(&inventory, &host, std::slice::from_ref(&fingerprint))?.inventory;
            session.ui.say(&format!("{host}: pinned host key {fingerprint}"));
        }
    }
    for (name, fingerprint) in learned_of_jump_hosts {
        if !inventory.jump_pins().contains_key(&name) {
            inventory = edit::set_jump_pins(&inventory, &name, std::slice::from_ref(&fingerprint))?.inventory;
            session.ui.say(&format!("jump host {name}: pinned host key {fingerprint}"));
        }
    }
    save(&locked, &inventory)?;
    Ok(inventory)
}
