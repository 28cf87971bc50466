//! What the servers of one cluster say of their ring, put together: who is up, how strong the ring is, what a change
//! of members would move, and how far a merge is. Pure: answers in, numbers and words out.

use std::collections::BTreeMap;

use dkc_core::control::{MetaView, NodeStatus, RoleStatus, ServerStatus};
use dkc_core::ids::{ClusterName, MemberNo, NodeId, TabletId};
use dkc_core::meta::MoveState;
use dkc_core::ring::{Assignment, InRing, Node, PlaceNode, members_after, placement_after};
use serde::Serialize;

use crate::edit::plural;
use crate::model::Inventory;
use crate::observed::Observed;

/// The answers of the servers that were reached. The newest view of the ring counts.
#[derive(Debug, Clone)]
pub struct RingFacts<'a> {
    pub view: &'a MetaView,
    pub statuses: Vec<&'a ServerStatus>,
    /// Of the server whose view it is: it knows the voters of the meta group too.
    pub speaker: &'a ServerStatus,
}

/// What a change of members comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    /// Where everything lies then.
    pub target: Assignment,
    /// Members that hold replicas then.
    pub servers_after: usize,
    /// Tablets whose replicas change.
    pub tablets: usize,
    /// Replicas that have to be copied, and their bytes.
    pub replicas: usize,
    pub bytes: u64,
    /// Failures tolerated now, and by the new placement. `None`: some tablet has too few that run.
    pub tolerates_now: Option<u32>,
    pub tolerates_after: Option<u32>,
    /// Tablets that would have too few replicas that run.
    pub weak_tablets: usize,
}

/// How far a merge is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    pub tablets_done: usize,
    pub tablets: usize,
    pub bytes_done: u64,
    pub bytes: u64,
    pub bytes_per_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// COMPMERGE was given: there is no way back.
    pub is_completing: bool,
    /// `tablet 3 to No.4: 45 %`
    pub moving: Vec<String>,
}

impl<'a> RingFacts<'a> {
    /// `None` when no server answers that knows a founded ring.
    pub fn of(inventory: &Inventory, observed: &'a Observed, cluster: &ClusterName) -> Option<RingFacts<'a>> {
        let views = inventory.servers_of(cluster).into_iter().filter_map(|node| observed.node(&node));
        let answers = views.filter_map(|view| Some((view.meta.as_deref()?, view.status.as_deref()?)));
        RingFacts::from_answers(answers)
    }

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

    pub fn node(&self, number: MemberNo) -> Option<&'a Node> {
        self.view.ring.nodes.iter().find(|node| node.number == number)
    }

    /// It answered itself, or another server hears it.
    pub fn is_up(&self, node: NodeId) -> bool {
        let hears = |status: &&ServerStatus| status.members.iter().any(|m| m.node.node_id == node && m.is_up);
        self.statuses.iter().any(|status| status.node_id == node) || self.statuses.iter().any(hears)
    }

    /// Members in service that do not answer.
    pub fn down(&self) -> Vec<&'a Node> {
        let is_down = |node: &&Node| node.in_ring == InRing::ServiceIn && !self.is_up(node.node_id);
        self.view.ring.nodes.iter().filter(is_down).collect()
    }

    /// Why the cluster cannot be changed at all: nobody leads the meta group, or tablets have no leader.
    pub fn trouble(&self) -> Option<String> {
        if self.statuses.iter().all(|status| status.meta_leader.is_none()) {
            return Some("its meta group has no leader".into());
        }
        let without = self.statuses.iter().map(|s| s.tablets_without_leader.len()).min().unwrap_or(0);
        (without > 0).then(|| leaderless(without))
    }

    /// Some server sees a part that has no leader: it may only be handing over, or electing one.
    pub fn lacks_leader(&self) -> bool {
        self.statuses
            .iter()
            .any(|status| status.meta_leader.is_none() || !status.tablets_without_leader.is_empty())
    }

    /// Keys and values of one replica, by whoever holds the most of it.
    pub fn tablet_bytes(&self, tablet: TabletId) -> u64 {
        let held = self.statuses.iter().flat_map(|status| &status.tablets);
        held.filter(|held| held.tablet == tablet).map(|held| held.bytes).max().unwrap_or(0)
    }

    /// Copies that each tablet should have: as many as are wanted, or as there are members in service.
    pub fn copies_wanted(&self) -> usize {
        let in_service = self.view.ring.nodes.iter().filter(|node| node.in_ring == InRing::ServiceIn);
        (self.view.ring.replicas as usize).min(in_service.count())
    }

    /// Tablets with fewer replicas that run than they should have.
    pub fn tablets_below_target(&self) -> usize {
        let wanted = self.copies_wanted();
        let up = |voters: &Vec<NodeId>| voters.iter().filter(|node| self.is_up(**node)).count();
        self.view.ring.tablets.iter().filter(|place| up(&place.voters) < wanted).count()
    }

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

    /// The placement with these more and those less, computed as the meta group will.
    pub fn reshape(&self, come: &[PlaceNode], leave: &[NodeId]) -> Reshape {
        let ring = &self.view.ring;
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
            reshape.bytes += added as u64 * self.tablet_bytes(place.tablet);
        }
        reshape
    }

    /// How far the merge is that runs, if one does.
    pub fn progress(&self) -> Option<Progress> {
        let merge = self.view.merge.as_ref()?;
        let transfers: Vec<_> = self.statuses.iter().flat_map(|status| &status.transfers).collect();
        let mut progress = Progress {
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

impl Progress {
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
