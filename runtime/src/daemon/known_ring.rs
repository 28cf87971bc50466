//! The newest ring map that this node has received, for routing and for ring watches. Safety does not depend on it.

use std::sync::Arc;

use dkc_core::ids::{NodeId, NodeUuid, RingVersion};
use dkc_core::ring::RingMap;
use tokio::sync::watch;

use crate::raft::RingVersionSource;

pub struct KnownRing {
    map: watch::Sender<Option<Arc<RingMap>>>,
    /// The same version, for replies of groups that redirect a client.
    version: RingVersionSource,
}

impl Default for KnownRing {
    fn default() -> Self {
        KnownRing { map: watch::channel(None).0, version: RingVersionSource::default() }
    }
}

impl KnownRing {
    pub fn map(&self) -> Option<Arc<RingMap>> {
        self.map.borrow().clone()
    }

    pub fn version(&self) -> RingVersion {
        self.version.get()
    }

    pub fn version_source(&self) -> RingVersionSource {
        self.version.clone()
    }

    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<RingMap>>> {
        self.map.subscribe()
    }

    /// The member with this identity.
    pub fn member(&self, uuid: NodeUuid) -> Option<NodeId> {
        self.map()?.nodes.iter().find(|node| node.uuid == uuid).map(|node| node.node_id)
    }

    pub fn is_older_than(&self, map: &RingMap) -> bool {
        self.map.borrow().as_ref().is_none_or(|known| known.version < map.version)
    }

    pub fn replace(&self, map: &RingMap) {
        self.version.set(map.version);
        self.map.send_replace(Some(Arc::new(map.clone())));
    }
}
