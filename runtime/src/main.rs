//! `dkcd` by itself, for the tests of this crate. What is deployed is `dkc`, which carries the same daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    dkcd::main_from(std::env::args_os().skip(1).collect())
}
