//! After the safety phase everything is repaired, and then the cluster has to come to rest by itself: one ring map, no
//! merge, every tablet with all its replicas, all replicas alike. What it looks like then goes into the record.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::{NodeId, TabletId};
use dkc_core::meta::{MemberChange, Merge};
use dkc_core::ring::{ActionProgress, InRing, MemberAction, RingMap};
use dkcd::daemon::server::Server;
use dkcd::simulation::world;
use tokio::time::Instant;

use crate::cluster::{Cluster, Fate, Member, pick};
use crate::operators::{newest_ring, notice_removals};
use crate::record::{Comeback, Last, Record, Replica};

const LOOK: Duration = Duration::from_millis(100);
/// What an operator does by hand is looked at this often.
const OPERATE: Duration = Duration::from_millis(1_000);
/// Longer than a straggler is waited for, elections and catching up together.
pub const REST_MAX: Duration = Duration::from_secs(120);
/// A removed node has had time to be heard of by everybody.
const ZOMBIE_MAX: Duration = Duration::from_secs(4);

/// Ends every fault and starts every member that has a disk.
pub async fn repair(cluster: &Cluster) {
    world().network().heal();
    for member in cluster.all() {
        if let Some(process) = member.process() {
            process.resume();
        }
        world().disk(member.host()).set_slowness_ms(0);
    }
    for member in cluster.of_fate(Fate::Member) {
        member.start().await;
    }
}

/// Waits until the cluster is at rest. An operator lets merges go on, sends lost nodes away and nothing else.
pub async fn come_to_rest(cluster: &Cluster, record: &Record) -> Result<(), String> {
    let until = Instant::now() + REST_MAX;
    let mut next_operation = Instant::now();
    loop {
        if let Some(failure) = world().failure() {
            return Err(failure);
        }
        notice_removals(cluster);
        let why = match unrest(cluster) {
            None => return Ok(()),
            Some(why) => why,
        };
        if Instant::now() >= until {
            return Err(format!("not at rest {} s after all faults ended: {why}", REST_MAX.as_secs()));
        }
        if Instant::now() >= next_operation {
            operate(cluster, record).await;
            next_operation = Instant::now() + OPERATE;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn operate(cluster: &Cluster, record: &Record) {
    let Some(member) = cluster.any_running() else { return };
    let Some(server) = member.server() else { return };
    let (meta, lost) = (server.meta().state(), cluster.of_fate(Fate::Lost));
    let waits_for =
        |merge: &Merge, lost: &Rc<Member>| merge.moves.iter().any(|one| one.add.contains(&lost.id()));
    let is_stuck = |merge: &Merge| !merge.is_completing() && lost.iter().any(|lost| waits_for(merge, lost));
    let is_staying = |lost: &Rc<Member>| {
        let node = meta.node(lost.id());
        node.is_some_and(|node| node.in_ring == InRing::ServiceIn && node.action != MemberAction::Delete)
    };
    if meta.merge().is_some_and(is_stuck) {
        member.change(None, MemberChange::AbortMerge).await;
    }
    if let Some(operation) = meta.operation() {
        member.end_operation(operation.id).await;
    }
    // Before the next merge begins who is lost has to be sent out.
    let may_merge = meta.merge().is_some() || !lost.iter().any(is_staying);
    if may_merge && (meta.is_merge_suspended() || meta.is_automerge_held()) {
        member.change(None, MemberChange::NoSuspendMerge).await;
    }
    for lost in cluster.of_fate(Fate::Lost) {
        let Some(ring) = newest_ring(cluster) else { return };
        match ring.node(lost.id()).map(|node| node.in_ring) {
            Some(InRing::ServiceIn) => {
                drop(member.change(None, MemberChange::ServiceOut { node: lost.id() }).await)
            }
            Some(InRing::ServiceOut) => {
                drop(member.change(None, MemberChange::RemoveNode { node: lost.id() }).await);
            }
            None => {}
        }
    }
    record.count("looks of the operator after healing");
}

/// Why the cluster is not at rest.
fn unrest(cluster: &Cluster) -> Option<String> {
    let members = cluster.of_fate(Fate::Member);
    let mut servers: Vec<(Rc<Member>, Arc<Server>)> = Vec::new();
    for member in members {
        let Some(server) = member.server() else { return Some(format!("node {} does not run", member.id())) };
        servers.push((member, server));
    }
    let newest = newest_ring(cluster)?;
    for (member, server) in &servers {
        let meta = server.meta().state();
        let is_known = meta.node(member.id()).is_some();
        if server.ring().version() != newest.version && is_known {
            return Some(format!(
                "node {} has ring {}, not {}",
                member.id(),
                server.ring().version(),
                newest.version
            ));
        }
        if let Some(merge) = meta.merge() {
            return Some(format!("node {} sees: {}", member.id(), merge.describe()));
        }
        if let Some(split) = meta.splits().first() {
            return Some(format!("node {} sees tablet {} being split", member.id(), split.tablet));
        }
        if let Some(lost) = cluster.of_fate(Fate::Lost).iter().find(|lost| meta.node(lost.id()).is_some()) {
            return Some(format!("lost node {} is still registered", lost.id()));
        }
    }
    if let Some(node) = newest.nodes.iter().find(|node| node.operate != ActionProgress::Nothing) {
        return Some(format!("node {} is {} {} {}", node.node_id, node.in_ring, node.action, node.operate));
    }
    let last = look(cluster, &newest);
    if let Some(why) = unlike("the meta group", &last.meta) {
        return Some(why);
    }
    newest.tablets.iter().find_map(|place| {
        let replicas = last.tablets.get(&place.tablet)?;
        let holders: BTreeSet<NodeId> = replicas.iter().map(|replica| replica.node).collect();
        let listed: BTreeSet<NodeId> = place.voters.iter().copied().collect();
        if holders != listed || listed.len() != last.replicas_wanted {
            return Some(format!(
                "tablet {} is on {holders:?}, the ring map says {listed:?}, {} are wanted",
                place.tablet, last.replicas_wanted
            ));
        }
        unlike(&format!("tablet {}", place.tablet), replicas)
            .or_else(|| leaderless(cluster, place.tablet, &listed))
    })
}

/// Only the applied index is compared: that those with the same index are the same is another's to check (D5).
fn unlike(name: &str, replicas: &[Replica]) -> Option<String> {
    let applied: BTreeMap<NodeId, u64> =
        replicas.iter().map(|replica| (replica.node, replica.applied)).collect();
    let is_same = applied.values().collect::<BTreeSet<_>>().len() <= 1;
    (!is_same).then(|| format!("{name} has applied {applied:?}"))
}

fn leaderless(cluster: &Cluster, tablet: TabletId, listed: &BTreeSet<NodeId>) -> Option<String> {
    let mut leaders = BTreeSet::new();
    for member in cluster.running() {
        let Some(group) = member.server().and_then(|server| server.replicas().get(tablet.group())) else {
            continue;
        };
        if group.voters() != *listed {
            return Some(format!("tablet {tablet} has voters {:?} on node {}", group.voters(), member.id()));
        }
        leaders.insert(group.leader());
    }
    let is_one = leaders.len() == 1 && !leaders.contains(&None);
    (!is_one).then(|| format!("tablet {tablet} is led by {leaders:?}"))
}

/// How everything stands at this moment.
pub fn look(cluster: &Cluster, ring: &RingMap) -> Last {
    let mut last = Last::default();
    let in_service = ring.nodes.iter().filter(|node| node.in_ring == InRing::ServiceIn).count();
    last.replicas_wanted = in_service.min(ring.replicas as usize);
    for member in cluster.running() {
        let Some(server) = member.server() else { continue };
        if ring.node(member.id()).is_some() {
            let (applied, state_hash) = server.meta().group().machine.fingerprint();
            last.meta.push(Replica { node: member.id(), applied, state_hash, is_listed: true });
        }
        for group in server.replicas().tablets() {
            let Some(tablet) = group.id.tablet() else { continue };
            let (applied, state_hash) = group.machine.fingerprint();
            let is_listed = ring.place_of(tablet).is_some_and(|place| place.voters.contains(&member.id()));
            let replica = Replica { node: member.id(), applied, state_hash, is_listed };
            last.tablets.entry(tablet).or_default().push(replica);
        }
    }
    for place in &ring.tablets {
        last.tablets.entry(place.tablet).or_default();
    }
    last
}

/// Removed nodes start with their old disks in the middle of a healthy cluster.
pub async fn let_zombies_rise(cluster: &Cluster, record: &Record) {
    let Some(zombie) = pick(&cluster.of_fate(Fate::Removed)) else { return };
    zombie.start().await;
    tokio::time::sleep(ZOMBIE_MAX).await;
    if let Some(server) = zombie.server() {
        for member in cluster.running().into_iter().filter(|member| server.liveness().is_up(member.id())) {
            let knows =
                member.server().is_some_and(|s| s.meta().state().removed(zombie.entry.node_uuid).is_some());
            if knows && member.id() != zombie.id() {
                record.comebacks.borrow_mut().push(Comeback::Connected { to: member.id() });
            }
        }
    }
    for member in cluster.running() {
        for group in member.server().iter().flat_map(|server| server.replicas().tablets()) {
            if let (Some(tablet), true) = (group.id.tablet(), group.leader() == Some(zombie.id())) {
                let in_the_eyes_of = member.id();
                record.comebacks.borrow_mut().push(Comeback::Leads { tablet, in_the_eyes_of });
            }
        }
    }
}
