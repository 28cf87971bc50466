//! Handshake slots for peers that are not authenticated yet: only their source address is known. None is refused: when the slots
//! are used up, a new peer evicts the oldest handshake of the source with the most.
//!
//! *Invariant:* other sources never evict a handshake from a member's source address, and never use the slots reserved for
//! members.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::NodeAddress;
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::oneshot;

use super::stream;

/// Concurrent handshakes.
pub(super) const HANDSHAKES_MAX: usize = 256;
/// Of these, reserved for member sources: some dozen servers may reconnect at the same time.
pub(super) const HANDSHAKES_RESERVED: usize = 64;
/// Concurrent handshakes from one source. A valid one takes milliseconds.
pub(super) const HANDSHAKES_PER_SOURCE_MAX: usize = 32;
/// Most member sources remembered; far more than members can have.
const MEMBER_SOURCES_MAX: usize = 4096;
/// Timeout of a name lookup, which is retried later.
const RESOLVE_MAX: Duration = Duration::from_secs(5);

/// Source addresses of members: learned from their certificates as they connect, and from their names in the ring map.
#[derive(Clone, Default)]
pub struct MemberSources(Arc<RwLock<HashSet<IpAddr>>>);

impl MemberSources {
    pub fn learn(&self, source: IpAddr) {
        let mut known = self.0.write();
        if known.len() < MEMBER_SOURCES_MAX {
            known.insert(source.to_canonical());
        }
    }

    /// Records the addresses that a host name resolves to.
    pub async fn learn_name(&self, address: &NodeAddress) {
        let found = tokio::time::timeout(RESOLVE_MAX, stream::resolve(address)).await;
        found.unwrap_or_default().into_iter().for_each(|source| self.learn(source));
    }

    pub fn contains(&self, source: IpAddr) -> bool {
        self.0.read().contains(&source.to_canonical())
    }
}

/// All handshakes of a listener.
#[derive(Clone, Default)]
pub(super) struct Handshakes(Arc<Mutex<UnderWay>>);

#[derive(Default)]
struct UnderWay {
    next: u64,
    /// In starting order.
    all: BTreeMap<u64, Begun>,
}

struct Begun {
    source: IpAddr,
    is_member: bool,
    /// Dropping it evicts the handshake.
    _place: oneshot::Sender<()>,
}

impl Handshakes {
    /// A slot for a new peer, if necessary by evicting another.
    pub fn begin(&self, source: IpAddr, is_member: bool) -> HandshakePlace {
        let (place, lost) = oneshot::channel();
        let mut under_way = self.under_way();
        under_way.make_room(source, is_member);
        let number = under_way.next;
        under_way.next += 1;
        under_way.all.insert(number, Begun { source, is_member, _place: place });
        drop(under_way);
        HandshakePlace { number, lost, all: self.clone() }
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock()
    }
}

impl UnderWay {
    fn make_room(&mut self, source: IpAddr, is_member: bool) {
        let others_max = HANDSHAKES_MAX - HANDSHAKES_RESERVED;
        let others = self.all.values().filter(|begun| !begun.is_member).count();
        let of_source = self.all.values().filter(|begun| begun.source == source).count();
        let leaves = if of_source >= HANDSHAKES_PER_SOURCE_MAX {
            self.oldest(|begun| begun.source == source)
        } else if (!is_member && others >= others_max) || self.all.len() >= HANDSHAKES_MAX {
            let among_others = others > 0;
            let most = self.most_crowded(|begun| !begun.is_member || !among_others);
            self.oldest(|begun| Some(begun.source) == most)
        } else {
            None
        };
        leaves.and_then(|number| self.all.remove(&number));
    }

    fn oldest(&self, is_meant: impl Fn(&Begun) -> bool) -> Option<u64> {
        self.all.iter().find(|(_, begun)| is_meant(begun)).map(|(number, _)| *number)
    }

    /// The source with the most handshakes; among equals, the one that started first.
    fn most_crowded(&self, is_meant: impl Fn(&Begun) -> bool) -> Option<IpAddr> {
        let mut counts: HashMap<IpAddr, (usize, u64)> = HashMap::new();
        for (number, begun) in self.all.iter().filter(|(_, begun)| is_meant(begun)) {
            counts.entry(begun.source).or_insert((0, *number)).0 += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, (count, first))| (*count, std::cmp::Reverse(*first)));
        most.map(|(source, _)| source)
    }
}

/// One slot, released on drop.
pub(super) struct HandshakePlace {
    number: u64,
    lost: oneshot::Receiver<()>,
    all: Handshakes,
}

impl HandshakePlace {
    /// Returns when the slot has been evicted.
    pub async fn lost(&mut self) {
        let _ = (&mut self.lost).await;
    }
}

impl Drop for HandshakePlace {
    fn drop(&mut self) {
        self.all.under_way().all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: usize) -> IpAddr {
        IpAddr::from([10, 0, (number / 256) as u8, (number % 256) as u8])
    }

    fn is_lost(handshake: &mut HandshakePlace) -> bool {
        !matches!(handshake.lost.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn one_source_only_ever_takes_places_from_itself() {
        let all = Handshakes::default();
        let mut other = all.begin(source(1), false);
        let mut silent: Vec<HandshakePlace> = (0..1000).map(|_| all.begin(source(2), false)).collect();
        assert!(!is_lost(&mut other));
        let standing = silent.iter_mut().filter_map(|one| (!is_lost(one)).then_some(one.number));
        assert_eq!(standing.collect::<Vec<_>>(), (969..=1000).collect::<Vec<_>>());
        drop(silent);
        assert_eq!(all.under_way().all.len(), 1);
    }

    #[test]
    fn other_sources_leave_slots_to_members_and_never_evict_theirs() {
        let all = Handshakes::default();
        let mut member = all.begin(source(0), true);
        let silent: Vec<HandshakePlace> = (1..2000).map(|number| all.begin(source(number), false)).collect();
        assert_eq!(all.under_way().all.len(), HANDSHAKES_MAX - HANDSHAKES_RESERVED + 1);
        let mut members: Vec<HandshakePlace> =
            (1..HANDSHAKES_MAX).map(|number| all.begin(source(number + 5000), true)).collect();
        assert!(!is_lost(&mut member) && !members.iter_mut().any(is_lost));
        assert_eq!(all.under_way().all.len(), HANDSHAKES_MAX);
        let mut late = all.begin(source(9999), false);
        drop(silent);
        // Every slot is a member's: the new handshake itself would be evicted first.
        let mut one_more = all.begin(source(9998), true);
        assert!(is_lost(&mut late) && !is_lost(&mut one_more));
    }

    #[test]
    fn the_most_crowded_source_makes_room() {
        let all = Handshakes::default();
        let mut greedy: Vec<HandshakePlace> =
            (0..HANDSHAKES_PER_SOURCE_MAX).map(|_| all.begin(source(1), false)).collect();
        let mut modest: Vec<HandshakePlace> = (2..)
            .take(HANDSHAKES_MAX - HANDSHAKES_RESERVED)
            .map(|number| all.begin(source(number), false))
            .collect();
        assert!(greedy.iter_mut().all(is_lost));
        assert!(!modest.iter_mut().any(is_lost));
    }

    #[tokio::test]
    async fn who_loses_the_place_is_told() {
        let all = Handshakes::default();
        let mut first = all.begin(source(1), false);
        let _others: Vec<HandshakePlace> =
            (0..HANDSHAKES_PER_SOURCE_MAX).map(|_| all.begin(source(1), false)).collect();
        first.lost().await;
    }
}
