//! What the daemon prints when it panics. What is deployed carries no symbols, so the report names the program and where it
//! was loaded: with these `dkc symbolize` finds functions and lines in the program that deployed it.

use std::backtrace::Backtrace;
use std::fs;
use std::io::{Write, stderr};
use std::panic;

/// Begins the line that names the program and its load address.
pub const PROGRAM_LINE: &str = "program ";
/// Stands between the two.
pub const LOADED_AT: &str = " loaded at ";

/// From now on a panic of this process is reported in full.
pub fn report_panics() {
    let release = env!("CARGO_PKG_VERSION");
    panic::set_hook(Box::new(move |info| {
        // Standard error may be a file on a full disk; the process ends all the same.
        let _ = write!(stderr(), "dkcd {release}: {info}\n{}", report());
    }));
}

/// The place of the program in memory, and the stack with bare addresses where no symbols are.
pub fn report() -> String {
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let base = load_address(&maps, &program.to_string_lossy()).unwrap_or_default();
    let stack = Backtrace::force_capture();
    format!("{PROGRAM_LINE}{}{LOADED_AT}{base:#x}\n{stack:#}\n", program.display())
}

/// Where the first page of the program's file lies.
fn load_address(maps: &str, program: &str) -> Option<u64> {
    let line = maps.lines().find(|line| line.ends_with(program) && line.contains(" 00000000 "))?;
    u64::from_str_radix(line.split('-').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_address_is_that_of_the_first_page_of_the_program() {
        let maps = "55d0c0000000-55d0c0001000 rw-p 00000000 00:00 0                          [heap]\n\
                    7f8000000000-7f8000200000 r--p 00000000 08:01 42                         /r/bin/ab/dkc\n\
                    7f8000200000-7f8000900000 r-xp 00200000 08:01 42                         /r/bin/ab/dkc\n";
        assert_eq!(load_address(maps, "/r/bin/ab/dkc"), Some(0x7f80_0000_0000));
        assert_eq!(load_address(maps, "/r/bin/cd/dkc"), None);
    }

    #[test]
    fn a_report_names_the_program() {
        let own = std::env::current_exe().unwrap();
        assert!(report().starts_with(&format!("{PROGRAM_LINE}{}{LOADED_AT}0x", own.display())));
    }
}
