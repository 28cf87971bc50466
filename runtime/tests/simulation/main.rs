//! Whole servers in one process, under a simulated network, disk and clock, from seeds. A seed that fails reproduces
//! with `tests/simulate SEED=n`; `tests/simulate SEEDS=n` runs more than the gate does.

mod checkers;
mod clients;
mod cluster;
mod faults;
mod healing;
mod keyless;
mod mutants;
mod operators;
mod put_back;
mod queues;
mod record;
mod scenario;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use scenario::Run;

/// Seeds of the gate.
const SEEDS: u64 = 2_000;
/// A run that found something is named; so many are enough to begin with.
const FAILURES_MAX: usize = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs seeds side by side, each in a thread of its own, and gives each result to `take` until it has enough.
pub fn run_all(
    seeds: std::ops::Range<u64>,
    mutant: Option<dkcd::simulation::Mutant>,
    take: impl Fn(Run) -> bool + Sync,
) {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || !take(scenario::run(seed, mutant)) {
                        next.store(seeds.end, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}

/// With `LOG=debug` (or any filter) beside `SEED`, what the servers say goes to stderr, with simulated time and host.
fn show_log() {
    let Ok(filter) = std::env::var("LOG") else { return };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_timer(SimulatedTime)
        .with_writer(std::io::stderr);
    // A second test of this process finds it set.
    let _ = subscriber.try_init();
}

struct SimulatedTime;

impl tracing_subscriber::fmt::time::FormatTime for SimulatedTime {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        let process = dkcd::simulation::process::Process::current();
        let host = process.as_ref().map_or("-", |process| process.host.as_str());
        write!(writer, "{:.3} {host}", dkcd::simulation::world().elapsed().as_secs_f64())
    }
}

#[derive(Default)]
struct Totals {
    runs: u64,
    counts: BTreeMap<&'static str, u64>,
    failures: Vec<Run>,
}

#[test]
fn every_seed_keeps_every_property() {
    let seeds = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => {
            let first = number("FIRST").unwrap_or(1);
            first..first + seeds.unwrap_or(SEEDS)
        }
    };
    show_log();
    let began = Instant::now();
    let totals = Arc::new(Mutex::new(Totals::default()));
    run_all(seeds, None, |run| {
        let mut totals = totals.lock();
        totals.runs += 1;
        for (what, count) in &run.counts {
            *totals.counts.entry(what).or_default() += count;
        }
        if !run.violations.is_empty() {
            println!("seed {}: {}", run.seed, run.violations.join("\n    "));
            totals.failures.push(run);
        }
        totals.failures.len() < FAILURES_MAX
    });
    let totals = totals.lock();
    println!("{} seeds in {:.1} s: {:?}", totals.runs, began.elapsed().as_secs_f64(), totals.counts);
    let failed: Vec<u64> = totals.failures.iter().map(|run| run.seed).collect();
    assert!(
        failed.is_empty(),
        "seeds {failed:?} violate a property; reproduce one with tests/simulate SEED=n"
    );
}

#[test]
fn a_seed_runs_the_same_each_time() {
    for seed in [1, 7, 11] {
        assert_eq!(scenario::run(seed, None).digest, scenario::run(seed, None).digest, "seed {seed}");
    }
}
