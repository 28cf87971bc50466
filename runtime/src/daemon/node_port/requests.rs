//! Key-value requests at the node port: each is checked against the ring map, passed to its tablet and answered on
//! the connection it arrived on. Reads that arrived in one network read are answered together, so that they share one
//! leadership check.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dkc_core::ids::GroupId;
use dkc_core::kv::Command;
use dkc_core::meta::middle_of;
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::slot_of;
use dkc_core::tablet::Item;
use dkc_core::wire::{Answer, Frame, Request};
use tokio::time::Instant;

use crate::daemon::disk::Disk;
use crate::daemon::known_ring::KnownRing;
use crate::daemon::local_node::LocalNode;
use crate::daemon::replicas::Replicas;
use crate::net::Connection;
use crate::raft::{Group, QueuedRead, QueuedWrite, Respond};

/// Longest timeout of a request, whatever its sender asks for.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// Reads of one network read, by group.
pub type Reads = BTreeMap<GroupId, (Arc<Group>, Vec<QueuedRead>)>;

pub struct Requests {
    local: Arc<LocalNode>,
    ring: Arc<KnownRing>,
    replicas: Arc<Replicas>,
    disk: Arc<Disk>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Requests {
    pub fn new(
        local: Arc<LocalNode>,
        ring: Arc<KnownRing>,
        replicas: Arc<Replicas>,
        disk: Arc<Disk>,
    ) -> Requests {
        Requests { local, ring, replicas, disk, reads: AtomicU64::new(0), writes: AtomicU64::new(0) }
    }

    /// Taken since the start.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Taken since the start.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Takes one request: a write is queued at once, a read is added to `reads`.
    pub fn take(&self, frame: Frame, connection: &Connection, reads: &mut Reads) {
        let respond = Respond::connection(connection.sender.clone(), frame.id, frame.group);
        match Request::decode(frame.body) {
            Ok(request) if !connection.peer.may_use(request.command.namespace()) => {
                let namespace = request.command.namespace();
                let why =
                    format!("this slave's certificate is not for namespace {namespace}; deploy the slave");
                respond.send(Answer::Refused(why));
            }
            Ok(request) => self.route(frame.group, request, respond, reads),
            Err(error) => respond.send(Answer::Refused(error.to_string())),
        }
    }

    fn route(&self, id: GroupId, request: Request, respond: Respond, reads: &mut Reads) {
        let group = match self.check(id, &request) {
            Ok(group) => group,
            Err(answer) => return respond.send(answer),
        };
        let timeout = Duration::from_millis(u64::from(request.timeout_ms)).min(TIMEOUT_MAX);
        let until = Instant::now() + timeout;
        match request.command {
            Command::Read(read) => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                reads.entry(id).or_insert_with(|| (group, Vec::new())).1.push(QueuedRead {
                    read,
                    epoch: request.epoch,
                    reply_is_bounded: request.reply_is_bounded,
                    until,
                    respond,
                });
            }
            Command::Write(_) if self.disk.is_short() => respond.send(Answer::Busy),
            Command::Write(write) => {
                self.writes.fetch_add(1, Ordering::Relaxed);
                let Request { session, sequence, answered_below, is_retry, epoch, reply_is_bounded, .. } =
                    request;
                let item = Item { session, sequence, answered_below, is_retry, write };
                group.write(QueuedWrite { item, epoch, until, reply_is_bounded, respond });
            }
        }
    }

    /// The group that executes the request, or the reply if none here can.
    fn check(&self, id: GroupId, request: &Request) -> Result<Arc<Group>, Answer> {
        let ring = self.ring.map();
        let ring_version = self.ring.version();
        let not_here = Answer::NotHere { ring_version };
        let (Some(ring), Some(tablet)) = (ring, id.tablet()) else { return Err(not_here) };
        let place = ring.place_of(tablet).ok_or(not_here.clone())?;
        if place.epoch != request.epoch && !mutant::is_active(Mutant::EpochUnchecked) {
            return Err(not_here);
        }
        // Limits are checked before queueing: an oversized request costs no log write, and an entry always fits into an append.
        request
            .command
            .check_limits(self.local.config().parameters.value_max_bytes as usize)
            .map_err(|over| Answer::Refused(over.to_string()))?;
        let slot = request.command.key().map(|key| slot_of(&key.namespace, &key.bytes));
        if slot.is_some_and(|slot| !place.holds(slot)) {
            return Err(not_here);
        }
        let group = self
            .replicas
            .get(id)
            .ok_or(Answer::NotLeader { leader: Some(place.preferred_leader), ring_version })?;
        if let Some(slot) = slot {
            group.operations.count(middle_of(place).is_some_and(|middle| slot >= middle));
        }
        match group.leader() {
            // Between elections the group itself waits, for as long as the sender does.
            None => Ok(group),
            Some(leader) if leader == self.local.id() => Ok(group),
            Some(leader) => Err(Answer::NotLeader { leader: Some(leader), ring_version }),
        }
    }
}
