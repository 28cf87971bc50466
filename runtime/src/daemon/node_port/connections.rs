//! The connections at the node port: how many, their limit, and which slaves have some. Shared with the listener.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dkc_core::ids::NodeUuid;

use crate::net::{ConnectedSlaves, Listener};

pub struct PortConnections {
    count: Arc<AtomicU32>,
    max: Arc<AtomicU32>,
    slaves: ConnectedSlaves,
}

impl PortConnections {
    pub fn of(listener: &Listener) -> PortConnections {
        PortConnections {
            count: listener.connections(),
            max: listener.connections_max(),
            slaves: listener.connected_slaves(),
        }
    }

    /// Open connections.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Where each connected slave comes from.
    pub fn slaves(&self) -> BTreeMap<NodeUuid, String> {
        let sources = self.slaves.sources().into_iter();
        sources.map(|(slave, source)| (slave, source.to_string())).collect()
    }

    /// Applies to new connections.
    pub fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }
}
