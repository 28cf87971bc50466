//! Spawns tasks. Every task of the daemon starts here, so that a simulation can run several nodes in one
//! process, pause one and kill it as `kill -9` would.

#[cfg(not(feature = "simulation"))]
pub use tokio::task::{spawn, spawn_blocking};

/// Wraps a future for a `JoinSet`, so that its task belongs to this node too.
#[cfg(not(feature = "simulation"))]
pub fn of_this_node<F: Future>(future: F) -> F {
    future
}

#[cfg(feature = "simulation")]
pub use crate::simulation::task::{of_this_node, spawn, spawn_blocking};
