//! One seed's world, for builds with the feature `simulation` only: several nodes run their real code on one thread
//! under tokio's paused clock. What is replaced is what this folder holds: where tasks begin (`task`), the stream
//! below the frames (`stream`), the log's and the state store's disk (`log`, `storage`), time of day and chance.
//!
//! *Invariant:* everything that happens follows from the seed: no other clock, thread or random number is asked.
//! *Invariant:* a process that was ended does nothing any more: no task of it is polled, no byte of it is sent or
//! stored.

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

/// All that there is.
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
    // Tasks that still stand end now, while their world is still there.
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

    /// The disk of a host: it stays when the processes on it end.
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

    /// True so many times in a hundred.
    pub fn chance(&self, percent: u64) -> bool {
        self.draw(100) < percent
    }

    /// Remembers the first thing that must never happen.
    pub fn fail(&self, what: String) {
        self.failure.lock().get_or_insert(what);
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }
}

/// The time of day on the host whose code asks.
pub fn now_ms() -> u64 {
    let offset_ms = Process::current().map_or(0, |process| process.clock_offset_ms());
    let true_ms = BEGINNING_MS + world().elapsed().as_millis() as u64;
    true_ms.saturating_add_signed(offset_ms)
}

pub fn unique_u64() -> u64 {
    world().chance.lock().next()
}
