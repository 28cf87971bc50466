//! This node's status report: its own state and its view of the cluster, without asking other nodes.

use dkc_core::control::{MemberView, NodeStatus, RoleStatus, Served, ServerStatus, TabletStatus};
use dkc_core::ids::{NodeId, TabletId};
use dkc_core::ring::{Node, RingMap};
use dkc_core::versions::{DiskFormats, LOG_FORMAT};

use super::Server;
use crate::raft::Group;
use crate::resident::resident_bytes;

impl Server {
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            release: env!("CARGO_PKG_VERSION").into(),
            cluster: self.local.config().cluster.clone(),
            cluster_id: self.local.config().cluster_id,
            node_uuid: self.local.config().node_uuid,
            pid: std::process::id(),
            uptime_s: self.local.uptime().as_secs(),
            role: RoleStatus::Server(self.server_status()),
            ring_version: self.ring.version(),
            memory_bytes: resident_bytes(),
            memory_max_bytes: self.local.parameters().memory_bytes,
            connections: self.connections.count(),
            config_in_use: self.local.in_use().text(),
            certificate: self.certificates.status(),
            program: Some(crate::versions::running(Some(self.disk_formats()))),
        }
    }

    fn disk_formats(&self) -> DiskFormats {
        DiskFormats {
            state: self.disk.store().format_version(),
            log: LOG_FORMAT,
            meta: self.meta.state().format_version().into(),
        }
    }

    fn server_status(&self) -> ServerStatus {
        let ring = self.ring.map();
        let tablets_without_leader =
            ring.as_deref().map(|ring| self.without_leader(ring)).unwrap_or_default();
        ServerStatus {
            number: self.local.role().number,
            node_id: self.local.id(),
            address: self.local.role().listen.clone(),
            is_founded: self.meta.state().is_founded(),
            meta_leader: self.meta.group().leader(),
            members: ring.as_deref().map(|ring| self.members(ring)).unwrap_or_default(),
            tablets: self.replicas.tablets().iter().filter_map(|group| tablet_status(group)).collect(),
            tablets_without_leader,
            tolerates: ring.as_deref().map_or(0, |ring| self.tolerates(ring)),
            disk_free_bytes: self.disk.free_bytes().unwrap_or(0),
            trouble: self.disk.trouble().or_else(|| self.standing.trouble()),
            merge: self.meta.state().merge().cloned(),
            operation: self.meta.state().operation().cloned(),
            transfers: self.transport.sending.transfers(),
            served: Served {
                reads: self.requests.reads(),
                writes: self.requests.writes(),
                write_latency: self.local.write_latency().counted(),
            },
        }
    }

    /// Every server of the ring map as this node sees it.
    fn members(&self, ring: &RingMap) -> Vec<MemberView> {
        let count = |is_counted: &dyn Fn(TabletId, NodeId) -> bool, node: NodeId| {
            ring.tablets.iter().filter(|place| is_counted(place.tablet, node)).count() as u32
        };
        let leads = |tablet: TabletId, node: NodeId| self.leader_of(ring, tablet) == Some(node);
        let holds = |tablet: TabletId, node: NodeId| {
            ring.place_of(tablet).is_some_and(|place| place.replicas().any(|replica| replica == node))
        };
        let view = |node: &Node| MemberView {
            node: node.clone(),
            is_up: self.liveness.is_up(node.node_id),
            leaders: count(&leads, node.node_id),
            replicas: count(&holds, node.node_id),
        };
        ring.nodes.iter().map(view).collect()
    }

    /// The leader of a tablet held here; for others the preferred leader is the best guess.
    fn leader_of(&self, ring: &RingMap, tablet: TabletId) -> Option<NodeId> {
        match self.replicas.get(tablet.group()) {
            Some(group) => group.leader(),
            None => ring
                .place_of(tablet)
                .map(|place| place.preferred_leader)
                .filter(|node| self.liveness.is_up(*node)),
        }
    }

    fn without_leader(&self, ring: &RingMap) -> Vec<TabletId> {
        let is_leaderless = |tablet: &TabletId| match self.replicas.get(tablet.group()) {
            Some(group) => group.leader().is_none(),
            None => ring.place_of(*tablet).is_some_and(|place| {
                let up = place.voters.iter().filter(|node| self.liveness.is_up(**node)).count();
                up <= place.voters.len() / 2
            }),
        };
        ring.tablets.iter().map(|place| place.tablet).filter(is_leaderless).collect()
    }

    /// The number of failures that the weakest group, tablet or meta group, still tolerates.
    fn tolerates(&self, ring: &RingMap) -> u32 {
        let room = |voters: &Vec<NodeId>| {
            let up = voters.iter().filter(|node| self.liveness.is_up(**node)).count();
            up.saturating_sub(voters.len() / 2 + 1) as u32
        };
        let meta_voters = self.meta.group().membership().voters.into_iter().collect();
        let rooms = ring.tablets.iter().map(|place| room(&place.voters));
        rooms.chain([room(&meta_voters)]).min().unwrap_or(0)
    }
}

fn tablet_status(group: &Group) -> Option<TabletStatus> {
    let progress = group.progress();
    let (records, bytes) = group.machine.counted();
    let (lower, upper) = group.operations.by_half();
    Some(TabletStatus {
        tablet: group.id.tablet()?,
        leader: group.leader(),
        term: progress.term,
        last_index: progress.last_index,
        applied_index: progress.applied_index,
        records,
        bytes,
        operations: lower.saturating_add(upper),
    })
}
