//! The first step of an operation: what hosts and rings are like now. *Invariant:* only newly accepted host keys are written down.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::ids::{ClusterName, HostAddress, RingVersion};
use dkc_inventory::edit;
use dkc_inventory::generation::Generation;
use dkc_inventory::model::Inventory;
use dkc_inventory::observed::Observed;
use dkc_inventory::plan::{Endpoint, Plan};
use dkc_inventory::ring::RingFacts;

use super::record::save;
use crate::error::CommandError;
use crate::observe::{self, Scope};
use crate::session::Session;

/// Longer than an election takes by default.
const LEADER_TIMEOUT: Duration = Duration::from_millis(1500);
const LEADER_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// A server that does not say its ring version within this time does not count: the others decide.
const RING_VERSION_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks hosts, and pins the keys of those that were met for the first time.
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

/// Asks the hosts; once more, for a moment, where a cluster has tablets without a leader. A leader that hands over, or an
/// election, is no state to report or to refuse a change for.
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

/// The same for an inventory that is only planned: what it has more than the one on disk. Answers the generation that the plan
/// is based on, and the planned inventory, which is the next one if it differs at all.
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
            session.ui.say(&format!("{host}: host key {fingerprint} is pinned with the plan"));
            entry.host_key = vec![fingerprint];
        }
    }
    // What was learned of hosts that are registered already is a generation of its own, and the plan comes after it.
    let pinned = pin(session, registered)?;
    for (address, host) in pinned.hosts {
        planned.hosts.insert(address, host);
    }
    planned.generation = pinned.generation.next_if(is_changed);
    Ok((pinned.generation, planned, observed))
}

/// The newest ring version that the servers know which the plan's own came from. `None` when it has none, or none answers.
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

/// Writes newly accepted host keys into the inventory; returns it as it stands now.
pub fn pin_learned(session: &Session) -> Result<Inventory, CommandError> {
    pin(session, session.world.take_learned_keys())
}

fn pin(session: &Session, learned: BTreeMap<HostAddress, String>) -> Result<Inventory, CommandError> {
    if learned.is_empty() {
        return session.inventory();
    }
    let locked = session.lock()?;
    let mut inventory = locked.load()?;
    for (host, fingerprint) in learned {
        // The host may have been unregistered meanwhile; then there is nothing to pin.
        if inventory.hosts.get(&host).is_some_and(|entry| entry.host_key.is_empty()) {
            inventory = edit::set_pins(&inventory, &host, std::slice::from_ref(&fingerprint))?.inventory;
            session.ui.say(&format!("{host}: pinned host key {fingerprint}"));
        }
    }
    save(&locked, &inventory)?;
    Ok(inventory)
}
