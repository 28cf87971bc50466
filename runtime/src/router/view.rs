//! One ring map prepared for routing: links and tablet states are looked up once instead of per request.

use std::collections::HashMap;
use std::sync::Arc;

use dkc_core::ids::{NodeId, RingVersion, TabletId};
use dkc_core::kv::Key;
use dkc_core::ring::{Node, RingMap, TabletPlace, slot_of};

use super::session::TabletState;
use crate::net::{Link, Peers, Target};

/// The states of all tablets ever seen.
pub(super) type Tablets = HashMap<TabletId, Arc<TabletState>>;

pub(super) struct View {
    pub ring: Arc<RingMap>,
    /// In the order of `ring.tablets`.
    states: Vec<Arc<TabletState>>,
    /// A handful, so searched linearly.
    links: Vec<(NodeId, Arc<Link>)>,
}

/// The route of a command.
pub(super) struct Route<'a> {
    pub place: &'a TabletPlace,
    pub state: &'a Arc<TabletState>,
    pub version: RingVersion,
}

pub(super) fn target_of(node: &Node) -> Target {
    Target { address: node.address.clone(), node: Some(node.uuid) }
}

impl View {
    /// `before`: the ring map until now.
    pub fn new(ring: Arc<RingMap>, before: Option<&RingMap>, peers: &Peers, tablets: &mut Tablets) -> View {
        let states = ring.tablets.iter().map(|place| state_of(place, before, tablets)).collect();
        let links = ring.nodes.iter().map(|node| (node.node_id, peers.link(&target_of(node)))).collect();
        View { ring, states, links }
    }

    /// Starts connecting to every server.
    pub fn connect(&self) {
        // Errors are noticed when the link is used.
        self.links.iter().for_each(|(_, link)| drop(link.current()));
    }

    pub fn of_key(&self, key: &Key) -> Route<'_> {
        let slot = slot_of(&key.namespace, &key.bytes);
        let after = self.ring.tablets.partition_point(|place| place.first_slot <= slot);
        self.route(after.saturating_sub(1))
    }

    pub fn of_tablet(&self, tablet: TabletId) -> Option<Route<'_>> {
        let at = self.ring.tablets.iter().position(|place| place.tablet == tablet)?;
        Some(self.route(at))
    }

    fn route(&self, at: usize) -> Route<'_> {
        Route { place: &self.ring.tablets[at], state: &self.states[at], version: self.ring.version }
    }

    pub fn link(&self, node: NodeId) -> Option<&Arc<Link>> {
        self.links.iter().find(|(id, _)| *id == node).map(|(_, link)| link)
    }
}

/// Forgets a leader that is no longer a replica. A tablet that was split off another goes on with its session: what that one has
/// applied is answered again by this one.
fn state_of(place: &TabletPlace, before: Option<&RingMap>, tablets: &mut Tablets) -> Arc<TabletState> {
    let parent = before.map(|ring| ring.tablet_of_slot(place.first_slot));
    let parent = parent.and_then(|parent| tablets.get(&parent).cloned());
    let fresh = || {
        Arc::new(match parent {
            Some(parent) => TabletState::split_off(&parent, place.tablet, place.preferred_leader),
            None => TabletState::new(place.tablet, place.preferred_leader),
        })
    };
    let state = tablets.entry(place.tablet).or_insert_with(fresh).clone();
    if !place.voters.contains(&state.leader()) {
        state.set_leader(place.preferred_leader);
    }
    state
}
