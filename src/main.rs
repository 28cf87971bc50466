//! `dkc`: which mode (one command, batch, interactive) and which exit status. Invoked as `dkcd`, or as
//! `dkc daemon`, it is the daemon, so that what is deployed is what runs.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(rest) = daemon_arguments(&arguments) {
        return dkcd::main_from(rest);
    }
    ExitCode::SUCCESS
}

/// The arguments for the daemon when this invocation is meant for it.
fn daemon_arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let program = arguments.first().and_then(|a| Path::new(a).file_name()).unwrap_or_default();
    if program == "dkcd" {
        return Some(arguments[1..].to_vec());
    }
    (arguments.get(1)?.to_str()? == "daemon").then(|| arguments[2..].to_vec())
}
