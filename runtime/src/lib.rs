//! The daemon `dkcd`, both roles. `dkc-core` is the logic, openraft the consensus, fjall the storage; this crate connects them to
//! sockets, disk and clock.

#![cfg_attr(feature = "simulation", allow(dead_code, reason = "certificates and files have no use there"))]

// Simulated identities are claimed, not proved. The profile `simulation` keeps assertions, which no release build does.
#[cfg(all(feature = "simulation", not(debug_assertions)))]
compile_error!("the feature `simulation` is for tests only and not allowed in a release build");

pub mod background;
pub mod certificates;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
#[cfg(not(feature = "simulation"))]
pub mod crash;
pub mod daemon;
pub mod durable_file;
pub mod fatal;
pub mod histogram;
#[cfg(not(feature = "simulation"))]
pub mod join;
#[cfg(not(feature = "simulation"))]
pub mod log;
#[cfg(feature = "simulation")]
#[path = "simulation/log.rs"]
pub mod log;
pub mod logging;
pub mod metrics_port;
pub mod net;
pub mod notify;
pub mod prometheus;
pub mod raft;
pub mod resident;
pub mod router;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod slave;
pub mod storage;
pub mod supervise;
pub mod task;
pub mod unix_socket;
pub mod versions;

/// Runs `dkcd` with the arguments after the program's name.
pub fn main_from(arguments: Vec<std::ffi::OsString>) -> std::process::ExitCode {
    #[cfg(not(feature = "simulation"))]
    crash::report_panics();
    cli::run(arguments)
}
