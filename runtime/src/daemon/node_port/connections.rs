//! The number of connections at the node port and its limit, shared with the listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::net::Listener;

pub struct PortConnections {
    count: Arc<AtomicU32>,
    max: Arc<AtomicU32>,
}

impl PortConnections {
    pub fn of(listener: &Listener) -> PortConnections {
        PortConnections { count: listener.connections(), max: listener.connections_max() }
    }

    /// Open connections.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Applies to new connections.
    pub fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }
}
