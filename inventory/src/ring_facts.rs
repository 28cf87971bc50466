//! The ring of one cluster from its servers' answers: which members are up, failures tolerated, the data a change of members
//! would move, and a merge's progress. Pure.

use std::collections::BTreeMap;

use dkc_core::control::{MetaView, NodeStatus, RoleStatus, ServerStatus};
use dkc_core::ids::{ClusterName, MemberNo, NodeId, TabletId};
use dkc_core::meta::MoveState;
use dkc_core::ring::{Assignment, InRing, Node, PlaceNode, RingMap, members_after, placement_after};
use serde::Serialize;

use crate::edit::plural;
use crate::model::Inventory;
use crate::observed::Observed;

/// The answers of the reachable servers. The newest view of the ring wins.
#[derive(Debug, Clone)]
pub struct RingFacts<'a> {
    /// The view with the highest ring version.
    pub view: &'a MetaView,
    /// Of every server that answered.
    pub statuses: Vec<&'a ServerStatus>,
    /// The status of the server with that view; it also knows the voters of the meta group.
    pub speaker: &'a ServerStatus,
}

/// The result and cost of a change of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    /// The placement after the change.
    pub target: Assignment,
    /// Members that hold replicas after the change.
    pub servers_after: usize,
    /// Tablets whose replicas change.
    pub tablets: usize,
    /// Replicas to copy, and their bytes.
    pub replicas: usize,
    /// By the sizes that the servers report.
    pub bytes: u64,
    /// Failures tolerated now and by the new placement. `None`: a tablet has too few running replicas.
    pub tolerates_now: Option<u32>,
    /// By the target placement, with joining members up.
    pub tolerates_after: Option<u32>,
    /// Tablets that would have too few running replicas.
    pub weak_tablets: usize,
}

/// MergeProgress of a merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergeProgress {
    /// Their voters have changed, or are ready to.
    pub tablets_done: usize,
    /// Tablets that move at all.
    pub tablets: usize,
    /// Received by the new replicas so far.
    pub bytes_done: u64,
    /// Of all copies; an estimate.
    pub bytes: u64,
    /// All transfers together.
    pub bytes_per_s: u64,
    /// At the present rate; `None` while nothing moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// COMPMERGE has started; abortmerge is no longer possible.
    pub is_completing: bool,
    /// `tablet 3 to No.4: 45 %`
    pub moving: Vec<String>,
}

impl<'a> RingFacts<'a> {
    /// `None` if no server with a founded ring answers.
    pub fn of(inventory: &Inventory, observed: &'a Observed, cluster: &ClusterName) -> Option<RingFacts<'a>> {
        let views = inventory.servers_of(cluster).into_iter().filter_map(|node| observed.node(&node));
        let answers = views.filter_map(|view| Some((view.meta.as_deref()?, view.status.as_deref()?)));
        RingFacts::from_answers(answers)
    }

    /// `None` if no server among them knows the ring.
    pub fn from_answers(
        answers: impl IntoIterator<Item = (&'a MetaView, &'a NodeStatus)>,
    ) -> Option<RingFacts<'a>> {
        let mut statuses = Vec::new();
        let mut newest: Option<(&MetaView, &ServerStatus)> = None;
        for (view, status) in answers {
            let RoleStatus::Server(server) = &status.role else { continue };
            statuses.push(server);
            if newest.is_none_or(|(known, _)| known.ring.version < view.ring.version) {
                newest = Some((view, server));
            }
        }
        let (view, speaker) = newest?;
        Some(RingFacts { view, statuses, speaker })
    }

    /// A member by the number that people use.
    pub fn node(&self, number: MemberNo) -> Option<&'a Node> {
        self.view.ring.nodes.iter().find(|node| node.number == number)
    }

    /// It answered, or another server sees it up.
    pub fn is_up(&self, node: NodeId) -> bool {
        let hears = |status: &&ServerStatus| status.members.iter().any(|m| m.node.node_id == node && m.is_up);
        self.statuses.iter().any(|status| status.node_id == node) || self.statuses.iter().any(hears)
    }

    /// Members in service that do not answer.
    pub fn down(&self) -> Vec<&'a Node> {
        let is_down = |node: &&Node| node.in_ring == InRing::ServiceIn && !self.is_up(node.node_id);
        self.view.ring.nodes.iter().filter(is_down).collect()
    }

    /// Why the cluster cannot change: the meta group or some tablets have no leader.
    pub fn trouble(&self) -> Option<String> {
        if self.statuses.iter().all(|status| status.meta_leader.is_none()) {
            return Some("the meta group has no leader".into());
        }
        let without = self.statuses.iter().map(|s| s.tablets_without_leader.len()).min().unwrap_or(0);
        (without > 0).then(|| leaderless(without))
    }

    /// Whether a server reports a group without a leader, perhaps only during an election.
    pub fn lacks_leader(&self) -> bool {
        self.statuses
            .iter()
            .any(|status| status.meta_leader.is_none() || !status.tablets_without_leader.is_empty())
    }

    /// The size of one replica, from the server that reports the most.
    pub fn tablet_bytes(&self, tablet: TabletId) -> u64 {
        let held = self.statuses.iter().flat_map(|status| &status.tablets);
        held.filter(|held| held.tablet == tablet).map(|held| held.bytes).max().unwrap_or(0)
    }

    /// Replicas that each tablet should have: the configured number, at most the number of members in service.
    pub fn copies_wanted(&self) -> usize {
        let in_service = self.view.ring.nodes.iter().filter(|node| node.in_ring == InRing::ServiceIn);
        (self.view.ring.replicas as usize).min(in_service.count())
    }

    /// Tablets with too few running replicas.
    pub fn tablets_below_target(&self) -> usize {
        let wanted = self.copies_wanted();
        let up = |voters: &Vec<NodeId>| voters.iter().filter(|node| self.is_up(**node)).count();
        self.view.ring.tablets.iter().filter(|place| up(&place.voters) < wanted).count()
    }

    /// Further server failures that every group survives; `None`: a group is below its quorum.
    pub fn tolerates(&self) -> Option<u32> {
        let places = self.view.ring.tablets.iter().map(|place| &place.voters);
        let room = places.map(|voters| self.room(voters, &[])).min().unwrap_or(Some(0))?;
        Some(room.min(self.speaker.tolerates))
    }

    /// Further failures that these voters survive; `None` below the quorum.
    fn room(&self, voters: &[NodeId], come: &[NodeId]) -> Option<u32> {
        let up = voters.iter().filter(|node| come.contains(node) || self.is_up(**node)).count();
        up.checked_sub(voters.len() / 2 + 1).map(|room| room as u32)
    }

    /// The placement of a ring after members join and leave, as the meta group will compute it; with the size of each tablet.
    pub fn reshape(
        &self,
        ring: &RingMap,
        sizes: &BTreeMap<TabletId, u64>,
        come: &[PlaceNode],
        leave: &[NodeId],
    ) -> Reshape {
        let new: Vec<NodeId> = come.iter().map(|node| node.node_id).collect();
        let target = match &self.view.merge {
            Some(merge) => merge.target.clone(),
            None => placement_after(ring, come, leave),
        };
        let mut reshape = Reshape {
            tablets: 0,
            replicas: 0,
            bytes: 0,
            tolerates_now: self.tolerates(),
            tolerates_after: target.tablets.iter().map(|t| self.room(&t.voters, &new)).min().unwrap_or(None),
            weak_tablets: target.tablets.iter().filter(|t| self.room(&t.voters, &new).is_none()).count(),
            servers_after: members_after(ring, come, leave).len(),
            target,
        };
        for (place, assigned) in ring.tablets.iter().zip(&reshape.target.tablets) {
            let added = assigned.voters.iter().filter(|node| !place.voters.contains(node)).count();
            reshape.tablets += usize::from(place.voters != assigned.voters);
            reshape.replicas += added;
            reshape.bytes += added as u64 * sizes.get(&place.tablet).copied().unwrap_or(0);
        }
        reshape
    }

    /// MergeProgress of the running merge, if any.
    pub fn progress(&self) -> Option<MergeProgress> {
        let merge = self.view.merge.as_ref()?;
        let transfers: Vec<_> = self.statuses.iter().flat_map(|status| &status.transfers).collect();
        let mut progress = MergeProgress {
            tablets_done: 0,
            tablets: merge.moves.len(),
            bytes_done: 0,
            bytes: 0,
            bytes_per_s: transfers.iter().map(|transfer| transfer.bytes_per_s).sum(),
            seconds_left: None,
            is_completing: merge.is_completing(),
            moving: Vec::new(),
        };
        let reached = if merge.is_completing() { MoveState::Done } else { MoveState::CaughtUp };
        for one in &merge.moves {
            let bytes = one.add.len() as u64 * self.tablet_bytes(one.tablet);
            let sent = transfers.iter().filter(|t| t.tablet == one.tablet).map(|t| t.bytes_sent).sum::<u64>();
            progress.tablets_done += usize::from(one.state >= reached);
            progress.bytes += bytes;
            progress.bytes_done += if one.state >= MoveState::CaughtUp { bytes } else { sent.min(bytes) };
        }
        let left = progress.bytes - progress.bytes_done;
        progress.seconds_left = left.checked_div(progress.bytes_per_s);
        let numbers: BTreeMap<NodeId, MemberNo> =
            self.view.ring.nodes.iter().map(|node| (node.node_id, node.number)).collect();
        progress.moving = transfers
            .iter()
            .map(|transfer| {
                let to = numbers.get(&transfer.to).map_or("?".into(), |number| number.to_string());
                let percent = (transfer.bytes_sent * 100).checked_div(transfer.bytes_total).unwrap_or(0);
                format!("tablet {} to No.{to}: {} %", transfer.tablet, percent.min(100))
            })
            .collect();
        Some(progress)
    }
}

impl MergeProgress {
    /// `merging 2 of 6 tablets, 3.0 of 12.0 MB, 1.5 MB/s, 6 s left; tablet 3 to No.4: 45 %`
    pub fn words(&self) -> String {
        let verb = if self.is_completing { "completing" } else { "merging" };
        let mut words = format!(
            "{verb}: {} of {} {} done, {} of {}",
            self.tablets_done,
            self.tablets,
            plural(self.tablets, "tablet"),
            amount(self.bytes_done),
            amount(self.bytes)
        );
        if self.bytes_per_s > 0 {
            words.push_str(&format!(", {}/s", amount(self.bytes_per_s)));
        }
        if let Some(seconds) = self.seconds_left {
            words.push_str(&format!(", {seconds} s left"));
        }
        if !self.moving.is_empty() {
            words.push_str(&format!("; {}", self.moving.join(", ")));
        }
        words
    }
}

/// `340 kB`, `12.5 MB`, `3.1 GB`.
pub fn amount(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// `1 tablet has no leader`, `2 tablets have no leader`
pub fn leaderless(tablets: usize) -> String {
    let have = if tablets == 1 { "has" } else { "have" };
    format!("{tablets} {} {have} no leader", plural(tablets, "tablet"))
}
