//! What is left of a cluster that lost its quorum: stopped servers say what they have of each tablet, and this chooses what a recovery
//! reads, and says what may be missing.
//!
//! *Invariant:* the replica whose log ends last, in Raft's order, is chosen. By the completeness of leaders it has every committed entry
//! that any survivor has. It may have more: the tail of a log that nobody acknowledged is kept, because nobody can tell it from
//! an acknowledged one.
//! *Invariant:* a tablet is called complete only if the survivors are in every majority of its voters.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, NodeId, NodeUuid, TabletId};
use crate::ring::{SLOTS, SlotId};

/// The end of a log; the later one has more of what was committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPosition {
    /// Of the last entry's leader.
    pub term: u64,
    /// Of the last entry.
    pub index: u64,
}

impl std::fmt::Display for LogPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "term {}, entry {}", self.term, self.index)
    }
}

/// Slots in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SlotRange {
    /// The lowest.
    pub first: SlotId,
    /// The highest, included.
    pub last: SlotId,
}

impl SlotRange {
    /// Whether the slot is one of them.
    pub fn contains(&self, slot: SlotId) -> bool {
        (self.first..=self.last).contains(&slot)
    }
}

impl std::fmt::Display for SlotRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first.0, self.last.0)
    }
}

/// A replica of a group as it lies on the disk of a stopped server, with every entry of its log applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalvagedReplica {
    /// Of its log.
    pub end: LogPosition,
    /// The voters; two sets while they were changing.
    pub voters: Vec<BTreeSet<NodeId>>,
}

/// A replica of a tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalvagedTablet {
    /// Which one.
    pub tablet: TabletId,
    /// The slots that it answers for.
    pub slots: SlotRange,
    /// Log and voters.
    pub replica: SalvagedReplica,
    /// The time of its newest write; milliseconds since the Unix epoch.
    pub clock_ms: u64,
    /// In all namespaces.
    pub records: u64,
    /// Not a replica of its own: this server's log of that tablet has the split that begins it, and that is all it has.
    pub split_from: Option<TabletId>,
}

/// What a stopped server has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalvagedServer {
    /// The server's cluster.
    pub cluster_id: ClusterId,
    /// Its id in the ring.
    pub node_id: NodeId,
    /// The identity of its data.
    pub node_uuid: NodeUuid,
    /// Its data was put back from an older copy: it has forgotten what it acknowledged.
    pub is_put_back: bool,
    /// Of the cluster itself; `None` if it has none.
    pub meta: Option<SalvagedReplica>,
    /// Those that have a state.
    pub tablets: Vec<SalvagedTablet>,
}

/// What is read from one server's replica of a tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalvagePart {
    /// Whose replica.
    pub node: NodeId,
    /// Of which tablet.
    pub tablet: TabletId,
    /// The slots that are taken from it.
    pub slots: Vec<SlotRange>,
    /// Of its log. Another one when it is read: somebody has changed it since.
    pub end: LogPosition,
    /// The time of its newest write.
    pub clock_ms: u64,
    /// About as many records as this.
    pub records: u64,
    /// Every acknowledged write of the tablet is in it.
    pub is_complete: bool,
}

/// What a recovery reads, and what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// In the order of the tablets; every slot at most once.
    pub parts: Vec<SalvagePart>,
    /// Nobody has them.
    pub lost: Vec<SlotRange>,
    /// These servers are a majority of every group: the cluster needs no recovery.
    pub has_quorum: bool,
}

/// Chooses from what the survivors have.
pub fn choose(servers: &[SalvagedServer]) -> Salvage {
    let trusted: BTreeSet<NodeId> =
        servers.iter().filter(|server| !server.is_put_back).map(|server| server.node_id).collect();
    let best = best_replicas(servers);
    let mut is_free = vec![true; SLOTS as usize];
    let mut parts = Vec::new();
    // A tablet that came of another has a higher id, and the newer state of its slots.
    for (node, best) in best.values().rev() {
        let slots = take(&mut is_free, best.slots);
        if !slots.is_empty() {
            parts.push(SalvagePart {
                node: *node,
                tablet: best.tablet,
                slots,
                end: best.replica.end,
                clock_ms: best.clock_ms,
                records: best.records,
                is_complete: best.replica.voters.iter().all(|voters| meets_every_majority(voters, &trusted)),
            });
        }
    }
    parts.reverse();
    let lost = runs(SlotRange { first: SlotId(0), last: SlotId((SLOTS - 1) as u16) }, |slot| is_free[slot]);
    let meta = servers.iter().filter_map(|server| server.meta.as_ref()).max_by_key(|replica| replica.end);
    let groups = best.values().map(|(_, best)| &best.replica).chain(meta);
    let has_majorities =
        groups.flat_map(|replica| &replica.voters).all(|voters| is_majority(voters, &trusted));
    Salvage { parts, has_quorum: lost.is_empty() && meta.is_some() && has_majorities, lost }
}

/// The replica of each tablet whose log ends last. What a split begins counts only where its entry does.
fn best_replicas(servers: &[SalvagedServer]) -> BTreeMap<TabletId, (NodeId, &SalvagedTablet)> {
    let mut all: Vec<(NodeId, &SalvagedTablet)> = servers
        .iter()
        .flat_map(|server| server.tablets.iter().map(|tablet| (server.node_id, tablet)))
        .collect();
    all.sort_by_key(|(node, tablet)| (tablet.tablet, std::cmp::Reverse(tablet.replica.end), *node));
    let mut best: BTreeMap<TabletId, (NodeId, &SalvagedTablet)> = BTreeMap::new();
    for (node, tablet) in all {
        let counts = tablet
            .split_from
            .is_none_or(|parent| best.get(&parent).is_some_and(|(of_parent, _)| *of_parent == node));
        if counts {
            best.entry(tablet.tablet).or_insert((node, tablet));
        }
    }
    best
}

/// The free ones of these slots, which are taken from now on.
fn take(is_free: &mut [bool], slots: SlotRange) -> Vec<SlotRange> {
    let taken = runs(slots, |slot| is_free[slot]);
    for range in &taken {
        is_free[usize::from(range.first.0)..=usize::from(range.last.0)].fill(false);
    }
    taken
}

/// The longest ranges of wanted slots.
fn runs(within: SlotRange, is_wanted: impl Fn(usize) -> bool) -> Vec<SlotRange> {
    let mut ranges: Vec<SlotRange> = Vec::new();
    for slot in within.first.0..=within.last.0.min((SLOTS - 1) as u16) {
        if !is_wanted(usize::from(slot)) {
            continue;
        }
        match ranges.last_mut() {
            Some(range) if range.last.0 + 1 == slot => range.last = SlotId(slot),
            _ => ranges.push(SlotRange { first: SlotId(slot), last: SlotId(slot) }),
        }
    }
    ranges
}

fn present(voters: &BTreeSet<NodeId>, trusted: &BTreeSet<NodeId>) -> usize {
    voters.intersection(trusted).count()
}

fn is_majority(voters: &BTreeSet<NodeId>, trusted: &BTreeSet<NodeId>) -> bool {
    present(voters, trusted) > voters.len() / 2
}

/// No majority could acknowledge anything without one of these servers.
fn meets_every_majority(voters: &BTreeSet<NodeId>, trusted: &BTreeSet<NodeId>) -> bool {
    let absent = voters.len() - present(voters, trusted);
    absent <= voters.len() / 2
}
