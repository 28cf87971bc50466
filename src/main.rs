//! `dkc`, and `dkcd`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dkc::main()
}
