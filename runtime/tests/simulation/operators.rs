//! What operators do meanwhile: grow, shrink, replace, remove, split, abort and complete merges, and begin operations in each
//! other's way. Also those who should stay away and come back: removed nodes with their old disk or their old name.

use std::time::Duration;

use dkc_core::control::ControlReply;
use dkc_core::ids::{NodeAddress, NodeId, NodeUuid, TabletId};
use dkc_core::meta::{MemberChange, OperationId};
use dkc_core::ring::{InRing, MemberAction, RingMap};
use dkcd::simulation::process::CrashKind;
use dkcd::simulation::world;
use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::{Cluster, Fate, pick};
use crate::record::{Comeback, Lock, Record};

const PAUSE_MAX_MS: u64 = 1_000;
/// Members at once, so that a world stays small.
const MEMBERS_MAX: usize = 6;
/// Tablets at once.
const TABLETS_MAX: usize = 8;
/// The longest that somebody holds the lock for operations.
const HOLD_MAX_MS: u64 = 600;

fn is_ok(reply: &Option<ControlReply>) -> bool {
    matches!(reply, Some(ControlReply::Ok | ControlReply::Registered { .. }))
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(50 + world().draw(PAUSE_MAX_MS))).await;
}

/// The newest ring map that anybody has.
pub fn newest_ring(cluster: &Cluster) -> Option<std::sync::Arc<RingMap>> {
    let rings = cluster.running().into_iter().filter_map(|member| member.server()?.ring().map());
    rings.max_by_key(|ring| ring.version)
}

pub async fn run(cluster: &Cluster, record: &Record, until: Instant) {
    while Instant::now() < until {
        pause().await;
        notice_removals(cluster);
        if newest_ring(cluster).is_none() {
            continue;
        }
        match world().draw(100) {
            0..=29 => grow(cluster, record).await,
            30..=49 => shrink(cluster, record).await,
            50..=64 => remove(cluster, record).await,
            65..=72 => lose(cluster, record),
            73..=79 => zombie(cluster, record).await,
            80..=83 => same_name_again(cluster, record).await,
            _ => word(cluster, record).await,
        }
    }
}

async fn ask(cluster: &Cluster, record: &Record, change: MemberChange) -> Option<ControlReply> {
    let member = cluster.any_running()?;
    record.count("changes asked for");
    let reply = member.change(None, change).await;
    if is_ok(&reply) {
        record.count("changes done");
    }
    reply
}

async fn grow(cluster: &Cluster, record: &Record) {
    if cluster.of_fate(Fate::Member).len() >= MEMBERS_MAX {
        return;
    }
    let entry = cluster.fresh();
    let register = register(entry.node_id, entry.node_uuid, &entry.address, entry.number);
    if !matches!(ask(cluster, record, register).await, Some(ControlReply::Registered { .. })) {
        return;
    }
    let node = entry.node_id;
    cluster.deploy(entry).start().await;
    record.count("nodes grown");
    ask(cluster, record, MemberChange::ServiceIn { node }).await;
}

fn register(
    node_id: NodeId,
    uuid: NodeUuid,
    address: &NodeAddress,
    number: dkc_core::ids::MemberNo,
) -> MemberChange {
    MemberChange::RegisterNode { node_id, uuid, number, address: address.clone(), zone: None }
}

async fn shrink(cluster: &Cluster, record: &Record) {
    let Some(ring) = newest_ring(cluster) else { return };
    let serving: Vec<NodeId> =
        ring.nodes.iter().filter(|node| node.in_ring == InRing::ServiceIn).map(|node| node.node_id).collect();
    if serving.len() < 2 {
        return;
    }
    // Nobody sends the living away while one is dead: the shell refuses that.
    let lost = cluster.of_fate(Fate::Lost).first().map(|lost| lost.id());
    if let Some(node) = lost.filter(|lost| serving.contains(lost)).or_else(|| pick(&serving)) {
        ask(cluster, record, MemberChange::ServiceOut { node }).await;
    }
}

/// Takes a node that is out of service off the registry. Its process finds out by itself, or is ended.
pub async fn remove(cluster: &Cluster, record: &Record) {
    let Some(ring) = newest_ring(cluster) else { return };
    let out: Vec<NodeId> = ring
        .nodes
        .iter()
        .filter(|node| node.in_ring == InRing::ServiceOut)
        .map(|node| node.node_id)
        .collect();
    let Some(node) = pick(&out) else { return };
    let removed = ask(cluster, record, MemberChange::RemoveNode { node }).await;
    let Some(member) = cluster.all().into_iter().find(|member| member.id() == node) else { return };
    if is_ok(&removed) && member.fate.get() == Fate::Member {
        record.count("nodes removed");
        member.fate.set(Fate::Removed);
        if world().chance(50) {
            member.end(CrashKind::Kill);
        }
    }
}

/// A removal whose answer was lost shows in what the servers know.
pub fn notice_removals(cluster: &Cluster) {
    let metas: Vec<_> =
        cluster.running().iter().filter_map(|member| Some(member.server()?.meta().state())).collect();
    for member in cluster.of_fate(Fate::Member) {
        if metas.iter().any(|meta| meta.removed(member.entry.node_uuid).is_some()) {
            member.fate.set(Fate::Removed);
        }
    }
}

/// Whether one host may be lost for good: one in a world, and only while every group can spare it. A cluster of two cannot.
pub fn can_spare_one(cluster: &Cluster, serving_min: usize) -> bool {
    let members = cluster.of_fate(Fate::Member);
    let servers: Vec<_> = members.iter().filter_map(|member| member.server()).collect();
    let Some(ring) = newest_ring(cluster) else { return false };
    let is_at_rest = servers.len() == members.len()
        && servers
            .iter()
            .all(|server| server.ring().version() == ring.version && server.meta().state().merge().is_none());
    let serving = ring
        .nodes
        .iter()
        .filter(|node| node.in_ring == InRing::ServiceIn && node.action == MemberAction::None);
    let can_spare = serving.count() >= serving_min
        && ring.tablets.iter().all(|place| place.voters.len() >= 3)
        && servers.iter().all(|server| server.meta().group().voters().len() >= 3);
    is_at_rest && can_spare && !cluster.has_lost.get()
}

/// A host burns down.
fn lose(cluster: &Cluster, record: &Record) {
    // One more may be on its way out.
    if !can_spare_one(cluster, 4) {
        return;
    }
    if let Some(member) = pick(&cluster.of_fate(Fate::Member)) {
        cluster.has_lost.set(true);
        record.count("hosts lost for good");
        member.end(CrashKind::PowerCut);
        member.fate.set(Fate::Lost);
    }
}

/// A removed node starts again with its old disk.
async fn zombie(cluster: &Cluster, record: &Record) {
    if let Some(member) = pick(&cluster.of_fate(Fate::Removed)) {
        record.count("removed nodes started again");
        member.start().await;
    }
}

/// The UUID of a removed node asks to be let in, and another node asks for its id (M3).
pub async fn same_name_again(cluster: &Cluster, record: &Record) {
    let Some(member) = pick(&cluster.of_fate(Fate::Removed)) else { return };
    let fresh = cluster.fresh();
    let by_uuid = register(fresh.node_id, member.entry.node_uuid, &fresh.address, fresh.number);
    let is_taken = is_ok(&ask(cluster, record, by_uuid).await);
    record.comebacks.borrow_mut().push(Comeback::Registered { is_taken });
    let by_id = register(member.id(), fresh.node_uuid, &fresh.address, fresh.number);
    let is_taken = is_ok(&ask(cluster, record, by_id).await);
    record.comebacks.borrow_mut().push(Comeback::IdAskedFor { is_taken });
}

/// Splits tablets now and then, whatever else goes on: the meta group refuses what is not to be.
pub async fn split(cluster: &Cluster, record: &Record, until: Instant) {
    while Instant::now() < until {
        pause().await;
        let Some(ring) = newest_ring(cluster).filter(|ring| ring.tablets.len() < TABLETS_MAX) else {
            continue;
        };
        let tablets: Vec<TabletId> = ring.tablets.iter().map(|place| place.tablet).collect();
        // Wide ones have more keys to part.
        let widest = ring.tablets.iter().max_by_key(|place| place.last_slot.0 - place.first_slot.0);
        let wanted = if world().chance(60) { widest.map(|place| place.tablet) } else { pick(&tablets) };
        let (Some(tablet), Some(member)) = (wanted, cluster.any_running()) else { continue };
        let change = MemberChange::SplitTablet { tablet, child: ring.next_tablet(0) };
        if is_ok(&member.change(None, change).await) {
            record.count("tablets split");
        }
    }
}

async fn word(cluster: &Cluster, record: &Record) {
    let change = match world().draw(6) {
        0 => MemberChange::Merge,
        1 => MemberChange::CompleteMerge,
        2 => MemberChange::AbortMerge,
        3 => MemberChange::SuspendMerge,
        _ => MemberChange::NoSuspendMerge,
    };
    ask(cluster, record, change).await;
}

/// An operator who takes the lock for an operation now and then, and gives it back (M2).
pub async fn operate(cluster: &Cluster, record: &Record, operator: u64, until: Instant) {
    while Instant::now() < until {
        pause().await;
        pause().await;
        let Some(member) = cluster.any_running() else { continue };
        let id = OperationId(Uuid::from_u64_pair(operator, world().draw(u64::MAX)));
        let asked = record.now();
        let begun = member.begin_operation(id).await;
        let held = record.now();
        if is_ok(&begun) {
            tokio::time::sleep(Duration::from_millis(world().draw(HOLD_MAX_MS))).await;
            let held = (held, record.now());
            record.locks.borrow_mut().push(Lock { operator, held, asked });
        }
        // Also what is not known to be held: it would stand in everybody's way. What is left over at the end of the
        // ordeal is ended by whoever heals.
        let is_refused = matches!(begun, Some(ControlReply::Error { is_outcome_unknown: false, .. }));
        while !is_refused && Instant::now() < until {
            let Some(member) = cluster.any_running() else {
                pause().await;
                continue;
            };
            if is_ok(&member.end_operation(id).await) {
                break;
            }
            pause().await;
        }
    }
}
