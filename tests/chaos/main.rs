//! The chaos run: servers and slaves deployed by the shell on lab hosts, applications that write through the slaves,
//! faults drawn by a seed, membership operations throughout; then everything is healed and read, and every answer that
//! any application got is checked against linearizability. Started by `tests/chaos/run`; a plain `cargo test` only
//! builds it.

mod application;
mod chance;
mod cluster;
mod faults;
mod keys;
mod load;
mod nemesis;
mod operator;
mod options;
mod report;
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::Cluster;
use options::{Options, Wanted};

/// The first word of the command line that makes this binary do anything at all.
const WORD: &str = "chaos";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().map(String::as_str) != Some(WORD) {
        println!("chaos: not asked for; tests/chaos/run runs it");
        return ExitCode::SUCCESS;
    }
    match Options::parse(&words[1..]) {
        Ok(Wanted::Run(options)) => run(&options),
        Ok(Wanted::Check(file)) => report::check_kept(&file),
        Err(why) => {
            eprintln!("chaos: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    println!("seed {}, {:.1} minutes of faults", options.seed, options.duration.as_secs_f64() / 60.0);
    let is_interrupted = Arc::new(AtomicBool::new(false));
    watch_signals(is_interrupted.clone());
    let cluster = Cluster::deploy();
    let epoch = Instant::now();
    let load = load::Load::start(&cluster, options.seed, epoch);
    let until = epoch + options.duration;
    let keep_on = || Instant::now() < until && !is_interrupted.load(Ordering::Relaxed);
    let (faults, operations) = std::thread::scope(|scope| {
        let operator = scope.spawn(|| operator::operate(&cluster, options, epoch, &keep_on));
        let faults = nemesis::run(&cluster, options, epoch, &keep_on);
        (faults, operator.join().expect("the operator's thread"))
    });
    let healing = Instant::now();
    let healed = cluster.wait_for_health();
    let heal_time = healing.elapsed();
    let mut history = load.stop();
    let read = match &healed {
        Ok(()) => load::read_everything(&cluster, &mut history, epoch),
        Err(_) => Err("nothing was read at the end: the cluster was not whole".to_owned()),
    };
    let run = report::Run {
        seed: options.seed,
        duration: options.duration,
        history,
        faults,
        operations,
        heal_time,
        troubles: [healed.err(), read.err()].into_iter().flatten().collect(),
        is_interrupted: is_interrupted.load(Ordering::Relaxed),
    };
    report::conclude(&cluster, run)
}

/// An orderly end at Ctrl-C: the faults stop, and what there is so far is checked.
fn watch_signals(is_interrupted: Arc<AtomicBool>) {
    use tokio::signal::unix::{SignalKind, signal};
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).expect("the signal can be watched");
            let mut terminate = signal(SignalKind::terminate()).expect("the signal can be watched");
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            is_interrupted.store(true, Ordering::Relaxed);
        });
    });
}

/// Microseconds since the run began, the time of histories.
fn since(epoch: Instant) -> u64 {
    epoch.elapsed().as_micros() as u64
}

/// Waits in small steps, so that an end is noticed.
fn pause(time: Duration, keep_on: &dyn Fn() -> bool) {
    const STEP: Duration = Duration::from_millis(50);
    let until = Instant::now() + time;
    while Instant::now() < until && keep_on() {
        std::thread::sleep(STEP.min(until.saturating_duration_since(Instant::now())));
    }
}
