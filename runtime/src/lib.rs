//! The daemon `dkcd`, both roles. `dkc-core` thinks, openraft agrees, fjall keeps; this crate joins them to
//! sockets, disk and clock.

pub mod cli;
pub mod control;
pub mod daemon;
pub mod log;
pub mod net;
pub mod notify;
pub mod raft;
pub mod router;
pub mod slave;
pub mod storage;
pub mod supervise;

/// Runs `dkcd` with the arguments after the program's name.
pub fn main_from(arguments: Vec<std::ffi::OsString>) -> std::process::ExitCode {
    cli::run(arguments)
}
