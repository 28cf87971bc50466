//! Where tasks begin. Every task of the daemon begins here, so that a simulation can hold several nodes in one
//! process, pause one and end it as `kill -9` would.

#[cfg(not(feature = "simulation"))]
pub use tokio::task::{spawn, spawn_blocking};

/// What a `JoinSet` is given, so that its tasks belong to this node too.
#[cfg(not(feature = "simulation"))]
pub fn of_this_node<F: Future>(future: F) -> F {
    future
}

#[cfg(feature = "simulation")]
pub use crate::simulation::task::{of_this_node, spawn, spawn_blocking};
