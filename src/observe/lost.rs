//! Hosts not worth waiting for: the servers that answered have theirs DOWN. *Invariant:* a host is given up only if it accepted no
//! connection within its limit and every server that reported on it has it DOWN, and never while the operator is asked something:
//! a server that is partitioned from the others, but not from us, must be shown.

use std::collections::BTreeMap;
use std::time::Duration;

use dkc_core::control::RoleStatus;
use dkc_core::ids::HostAddress;
use dkc_inventory::model;
use dkc_inventory::observed::{HostFacts, HostView, Silence};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::world::{World, takes_connections};

/// The number of servers that report a host's servers UP, and DOWN.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    up: u32,
    down: u32,
}

pub struct Lost {
    limit: Duration,
    said: watch::Sender<BTreeMap<HostAddress, Said>>,
}

impl Lost {
    pub fn new(limit: Duration) -> Lost {
        Lost { limit, said: watch::Sender::new(BTreeMap::new()) }
    }

    /// Adds what the servers of a host report about others.
    pub fn learn(&self, facts: &HostFacts) {
        let statuses = facts.nodes.values().filter_map(|view| view.status.as_ref());
        self.said.send_modify(|said| {
            for status in statuses {
                let RoleStatus::Server(server) = &status.role else { continue };
                for member in &server.members {
                    let of_host = said.entry(member.node.address.host.clone()).or_default();
                    if member.is_up { of_host.up += 1 } else { of_host.down += 1 }
                }
            }
        });
    }

    /// Returns once the host's limit has passed and all servers that reported on it have it DOWN.
    pub async fn given_up(&self, world: &World, address: &HostAddress, host: &model::Host) -> HostView {
        if host.local || takes_connections(address, host.port, self.limit).await {
            std::future::pending::<()>().await;
        }
        let mut until = Instant::now();
        let mut said = self.said.subscribe();
        let is_down = |said: &BTreeMap<HostAddress, Said>| {
            said.get(address).is_some_and(|said| said.down > 0 && said.up == 0)
        };
        loop {
            tokio::time::sleep_until(until).await;
            if said.wait_for(is_down).await.is_err() {
                // No server is left that could report it.
                std::future::pending::<()>().await;
            }
            if !world.is_somebody_asked() {
                break;
            }
            until = Instant::now() + self.limit;
        }
        let message = format!("the ring has it DOWN, no reply in {} ms", self.limit.as_millis());
        HostView::Silent { kind: Silence::Timeout, message }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::world::NoAsker;

    #[tokio::test]
    async fn only_who_everybody_has_down_is_given_up() {
        let lost = Lost::new(Duration::from_millis(1));
        let world = World::new(Arc::new(NoAsker));
        // Nobody listens at this machine's port 1.
        let host: HostAddress = "127.0.0.1".parse().unwrap();
        let entry = model::Host { port: 1, ..model::Host::with_defaults() };
        let say = |up, down| {
            lost.said.send_modify(|said| *said = [(host.clone(), Said { up, down })].into());
        };
        let is_given_up_within = |limit| {
            let giving_up = lost.given_up(&world, &host, &entry);
            async move { tokio::time::timeout(limit, giving_up).await.is_ok() }
        };
        let (moment, patience) = (Duration::from_millis(50), Duration::from_secs(60));
        assert!(!is_given_up_within(moment).await, "nobody has spoken");
        say(1, 1);
        assert!(!is_given_up_within(moment).await, "one server hears it");
        say(0, 1);
        assert!(is_given_up_within(patience).await);
    }
}
