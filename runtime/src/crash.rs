//! The report printed on a panic. The deployed program has no symbols, so the report names the program and its load address:
//! `dkc symbolize` needs both to resolve functions and lines with the program that deployed it.

use std::backtrace::Backtrace;
use std::fs;
use std::io::{Write, stderr};
use std::panic;

/// Prefix of the line that names the program and its load address.
pub const PROGRAM_LINE: &str = "program ";
/// Separates the two.
pub const LOADED_AT: &str = " loaded at ";

/// Installs the panic hook.
pub fn report_panics() {
    let release = env!("CARGO_PKG_VERSION");
    panic::set_hook(Box::new(move |info| {
        // Standard error may be a file on a full disk; the process ends all the same.
        let _ = write!(stderr(), "dkcd {release}: {info}\n{}", report());
    }));
}

/// The program's load address, and the stack, with bare addresses without symbols.
pub fn report() -> String {
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let base = load_address(&maps, &program.to_string_lossy()).unwrap_or_default();
    let stack = Backtrace::force_capture();
    format!("{PROGRAM_LINE}{}{LOADED_AT}{base:#x}\n{stack:#}\n", program.display())
}

/// The address of the first page of the program's file.
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
