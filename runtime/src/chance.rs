//! The only place where the daemon draws random numbers.

/// A random number, unique in practice.
#[cfg(not(feature = "simulation"))]
pub fn unique_u64() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

#[cfg(feature = "simulation")]
pub use crate::simulation::unique_u64;
