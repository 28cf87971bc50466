//! `dkcd` alone, for the tests of this crate. Hosts get `dkc`, which contains the same daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    dkcd::main_from(std::env::args_os().skip(1).collect())
}
