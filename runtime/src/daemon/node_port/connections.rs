//! How many connections the node port has and may have; the listener goes by the same numbers.

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

    /// The open ones.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts for those that come from now on.
    pub fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }
}
