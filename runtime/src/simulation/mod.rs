//! One seed's world, for builds with the feature `simulation` only: several nodes run their real code on one thread
//! under tokio's paused clock. This folder replaces the spawning of tasks (`task`), the stream
//! below the frames (`stream`), the disks of the log and of the state store's engine (`log`, `engine`), the time of day and chance.
//!
//! *Invariant:* a run is determined by its seed: no other clock, thread or random number is used.
//! *Invariant:* an ended process has no further effect: none of its tasks is polled, none of its bytes is sent or stored.

pub mod chance;
pub mod disk;
pub mod network;
pub mod observe;
pub mod process;
pub mod runtime;
mod scope;
pub mod task;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use chance::Chance;
use disk::Disk;
use network::Network;
use process::Process;

pub use dkc_core::mutant::{Mutant, is_active, set_active};

/// The time of day at which every world begins, in milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_800_000_000_000;

/// The whole simulated world.
pub struct World {
    chance: Mutex<Chance>,
    began: Instant,
    network: Network,
    disks: Mutex<BTreeMap<String, Arc<Disk>>>,
    failure: Mutex<Option<String>>,
}

thread_local! {
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// The world of this thread. Only code that runs inside `run` may ask for it.
pub fn world() -> Arc<World> {
    WORLD.with_borrow(|world| world.clone()).expect("nothing runs here outside a simulated world")
}

/// Runs one world from its beginning to the end of `scenario`.
pub fn run<F: Future>(seed: u64, scenario: impl FnOnce() -> F) -> F::Output {
    process::catch_panics();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    // tokio draws random numbers for `select!`; without this they would differ from run to run.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.build().expect("a runtime without input and output always starts");
    let output = runtime.block_on(scope::scope(seed, async {
        WORLD.set(Some(Arc::new(World {
            chance: Mutex::new(Chance::new(seed)),
            began: Instant::now(),
            network: Network::default(),
            disks: Mutex::default(),
            failure: Mutex::default(),
        })));
        scenario().await
    }));
    // Drops the remaining tasks while their world still exists.
    let world = world();
    world.network.end_all();
    drop(runtime);
    WORLD.set(None);
    output
}

impl World {
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The disk of a host; it outlives its processes.
    pub fn disk(&self, host: &str) -> Arc<Disk> {
        self.disks.lock().entry(host.to_owned()).or_default().clone()
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A number below `bound`.
    pub fn draw(&self, bound: u64) -> u64 {
        self.chance.lock().below(bound)
    }

    /// True with this probability, in percent.
    pub fn chance(&self, percent: u64) -> bool {
        self.draw(100) < percent
    }

    /// Records a violation; the first one counts.
    pub fn fail(&self, what: String) {
        self.failure.lock().get_or_insert(what);
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }
}

/// The time of day on the calling host.
pub fn now_ms() -> u64 {
    let offset_ms = Process::current().map_or(0, |process| process.clock_offset_ms());
    let true_ms = BEGINNING_MS + world().elapsed().as_millis() as u64;
    true_ms.saturating_add_signed(offset_ms)
}

pub fn unique_u64() -> u64 {
    world().chance.lock().next()
}
