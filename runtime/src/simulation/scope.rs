//! Where openraft may draw random numbers: inside a task's own scope, so that they follow from the seed.

use std::cell::Cell;

use openraft::TokioRuntime;
use openraft_rt::deterministic_rng::DeterministicRng;

use super::unique_u64;

pub(super) type Seeded = DeterministicRng<TokioRuntime>;

/// A future inside which openraft may draw random numbers.
pub type Scoped<F> = openraft_rt::task_local::TaskLocalFuture<Cell<u64>, F>;

pub fn scope<F: Future>(seed: u64, future: F) -> Scoped<F> {
    Seeded::scope(seed, future)
}

/// A scope for a new task.
pub fn child_scope<F: Future>(future: F) -> Scoped<F> {
    scope(unique_u64(), future)
}
