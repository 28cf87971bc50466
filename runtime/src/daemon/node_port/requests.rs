//! Key-value requests at the node port: each is checked against the ring map, given to its tablet and answered on
//! the connection it came on. Reads that came in one network read are answered together, so that the check of
//! leadership is paid once for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::GroupId;
use dkc_core::kv::Command;
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::{RingMap, slot_of};
use dkc_core::tablet::Item;
use dkc_core::wire::{Answer, Frame, Request};
use tokio::time::Instant;

use crate::daemon::server::Server;
use crate::net::Connection;
use crate::raft::{Group, QueuedRead, QueuedWrite, Respond};

/// The longest that a request may wait here, whatever its sender says.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// Reads of one network read, by group.
pub type Reads = BTreeMap<GroupId, (Arc<Group>, Vec<QueuedRead>)>;

impl Server {
    /// Takes one request: a write is queued at once, a read is added to `reads`.
    pub fn take_request(&self, frame: Frame, connection: &Connection, reads: &mut Reads) {
        let respond = Respond::connection(connection.sender.clone(), frame.id, frame.group);
        match Request::decode(frame.body) {
            Ok(request) if !connection.peer.may_use(request.command.namespace()) => {
                let namespace = request.command.namespace();
                let why =
                    format!("this slave's certificate is not for namespace {namespace}; deploy the slave");
                respond.send(Answer::Refused(why));
            }
            Ok(request) => self.route_request(frame.group, request, respond, reads),
            Err(error) => respond.send(Answer::Refused(error.to_string())),
        }
    }

    pub fn route_request(&self, id: GroupId, request: Request, respond: Respond, reads: &mut Reads) {
        let group = match self.check_request(id, &request) {
            Ok(group) => group,
            Err(answer) => return respond.send(answer),
        };
        let timeout = Duration::from_millis(u64::from(request.timeout_ms)).min(TIMEOUT_MAX);
        let until = Instant::now() + timeout;
        match request.command {
            Command::Read(read) => {
                self.counters.reads.add(1);
                reads.entry(id).or_insert_with(|| (group, Vec::new())).1.push(QueuedRead {
                    read,
                    reply_is_bounded: request.reply_is_bounded,
                    until,
                    respond,
                });
            }
            Command::Write(_) if self.is_disk_short() => respond.send(Answer::Busy),
            Command::Write(write) => {
                self.counters.writes.add(1);
                let Request { session, sequence, answered_below, is_retry, epoch, .. } = request;
                let item = Item { session, sequence, answered_below, is_retry, write };
                group.write(QueuedWrite { item, epoch, until, respond });
            }
        }
    }

    /// The group that will carry the request out, or the answer why none here does.
    fn check_request(&self, id: GroupId, request: &Request) -> Result<Arc<Group>, Answer> {
        let ring = self.ring();
        let ring_version = self.ring_version();
        let not_here = Answer::NotHere { ring_version };
        let (Some(ring), Some(tablet)) = (ring, id.tablet()) else { return Err(not_here) };
        let place = ring.place_of(tablet).ok_or(not_here.clone())?;
        if place.epoch != request.epoch && !mutant::is_active(Mutant::EpochUnchecked) {
            return Err(not_here);
        }
        // Here, before anything is queued: what is over a limit costs no log write, and an entry always fits into an append.
        request
            .command
            .check_limits(self.parameters().value_max_bytes as usize)
            .map_err(|over| Answer::Refused(over.to_string()))?;
        if let Some(key) = request.command.key()
            && !place.holds(slot_of(&key.namespace, &key.bytes))
        {
            return Err(not_here);
        }
        let group =
            self.group(id).ok_or(Answer::NotLeader { leader: Some(place.preferred_leader), ring_version })?;
        match group.leader() {
            // Between elections the group itself waits, for as long as the sender does.
            None => Ok(group),
            Some(leader) if leader == self.node => Ok(group),
            Some(leader) => Err(Answer::NotLeader { leader: Some(leader), ring_version }),
        }
    }

    /// The ring map that this node knows.
    pub fn ring(&self) -> Option<Arc<RingMap>> {
        self.ring.borrow().clone()
    }
}
