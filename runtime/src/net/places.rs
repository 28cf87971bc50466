//! Connection slots for authenticated peers. Each node has a limit; slaves leave slots to
//! servers, and one host leaves slots to others.
//!
//! *Invariant:* however many connections slaves open, a member gets a slot; a node that opens too many evicts its own oldest.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dkc_core::ids::NodeUuid;
use dkc_core::wire::Refusal;
use parking_lot::{Mutex, MutexGuard};

use super::connection::Sender;
use super::identity::{Identity, NodeRole};
use super::tls::Alpn;

/// Connections per node and purpose. It needs one; dead ones may not be detected yet.
pub(super) const CONNECTIONS_PER_IDENTITY_MAX: usize = 8;
/// Of `connections_max` a quarter, at most this many, is kept for servers.
pub(super) const CONNECTIONS_RESERVED_MAX: u32 = 256;

/// All admitted connections of a listener.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    /// Can change at run time; a new value applies to later connections.
    connections_max: Arc<AtomicU32>,
    /// Shared with the status report.
    count: Arc<AtomicU32>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    slaves: u32,
    slaves_by_source: HashMap<IpAddr, u32>,
    by_identity: HashMap<(Identity, Alpn), Vec<Taker>>,
}

/// The slaves that are connected to a listener; stays valid while it serves.
pub struct ConnectedSlaves(pub(super) Places);

impl ConnectedSlaves {
    /// Where each is connected from.
    pub fn sources(&self) -> BTreeMap<NodeUuid, IpAddr> {
        self.0.slaves()
    }
}

/// Who has a slot.
struct Taker {
    number: u64,
    sender: Sender,
    source: IpAddr,
}

impl Places {
    pub fn new(connections_max: u32) -> Places {
        let connections_max = Arc::new(AtomicU32::new(connections_max));
        Places(Arc::new(Inner { connections_max, count: Arc::default(), taken: Mutex::default() }))
    }

    pub fn count(&self) -> Arc<AtomicU32> {
        self.0.count.clone()
    }

    pub fn connections_max(&self) -> Arc<AtomicU32> {
        self.0.connections_max.clone()
    }

    /// Where each slave is connected from.
    fn slaves(&self) -> BTreeMap<NodeUuid, IpAddr> {
        let taken = self.taken();
        let slaves = taken.by_identity.iter().filter(|((peer, _), _)| peer.role == NodeRole::Slave);
        slaves.filter_map(|((peer, _), takers)| Some((peer.node, takers.last()?.source))).collect()
    }

    /// The share of all slots that slaves may use together.
    fn slaves_max(all: u32) -> u32 {
        all - (all / 4).min(CONNECTIONS_RESERVED_MAX)
    }

    /// A slot for an admitted connection, or why there is none.
    pub fn take(
        &self,
        peer: Identity,
        alpn: Alpn,
        source: IpAddr,
        sender: &Sender,
    ) -> Result<ConnectionPlace, Refusal> {
        let source = source.to_canonical();
        let mut taken = self.taken();
        let connections_max = self.0.connections_max.load(Ordering::Relaxed);
        let slaves_max = Self::slaves_max(connections_max);
        let full = Refusal::Full { connections_max };
        if self.0.count.load(Ordering::Relaxed) >= connections_max {
            return Err(full);
        }
        if peer.role == NodeRole::Slave {
            let of_source = taken.slaves_by_source.get(&source).copied().unwrap_or_default();
            if taken.slaves >= slaves_max {
                return Err(full);
            }
            if of_source >= slaves_max.div_ceil(2) {
                return Err(Refusal::Other(format!(
                    "{source} has {of_source} connections, the limit per host"
                )));
            }
            taken.slaves += 1;
            *taken.slaves_by_source.entry(source).or_default() += 1;
        }
        let number = taken.next;
        taken.next += 1;
        let same = taken.by_identity.entry((peer, alpn)).or_default();
        if same.len() >= CONNECTIONS_PER_IDENTITY_MAX {
            same.remove(0).sender.close("evicted by newer connections of the same node");
        }
        same.push(Taker { number, sender: sender.clone(), source });
        self.0.count.fetch_add(1, Ordering::Relaxed);
        drop(taken);
        Ok(ConnectionPlace { number, peer, alpn, source, places: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock()
    }
}

/// One slot, released on drop.
pub(super) struct ConnectionPlace {
    number: u64,
    peer: Identity,
    alpn: Alpn,
    source: IpAddr,
    places: Places,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        self.places.0.count.fetch_sub(1, Ordering::Relaxed);
        if self.peer.role == NodeRole::Slave {
            taken.slaves -= 1;
            if let Some(count) = taken.slaves_by_source.get_mut(&self.source) {
                *count -= 1;
                if *count == 0 {
                    taken.slaves_by_source.remove(&self.source);
                }
            }
        }
        if let Some(same) = taken.by_identity.get_mut(&(self.peer, self.alpn)) {
            same.retain(|taker| taker.number != self.number);
            if same.is_empty() {
                taken.by_identity.remove(&(self.peer, self.alpn));
            }
        }
    }
}
