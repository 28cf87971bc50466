//! `symbolize`: resolves the addresses in a node's crash report to functions and lines. The deployed program is stripped;
//! the dkc that deployed it has the symbols.

use std::io::Read;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use dkcd::crash::{LOADED_AT, PROGRAM_LINE};

use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::world::program::Program;

/// Bytes read from a log at most: a crash report is a few kilobytes long.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// How the daemon prints a frame without a symbol.
const UNKNOWN_FRAME: &str = " - <unknown>";

/// Resolve the addresses in a node's crash report to functions and lines
///
/// Nodes run without debug information, so their crash reports contain bare addresses. Run this with the dkc that
/// deployed the node: it prints its input with function, file and line for each address.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  symbolize node.log\n  symbolize     (reads standard input, as in: dkc logs -n c0 | dkc symbolize)"
)]
pub struct Args {
    /// Log file or excerpt (default: standard input)
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Resolve the addresses although another build wrote the report
    #[arg(long)]
    pub allow_other_program: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let text = read(args.file.as_deref()).map_err(|error| {
        let name = args.file.as_deref().map_or("standard input".into(), |file| file.display().to_string());
        CommandError::new(&codes::FILE_UNREADABLE, format!("{name}: {error}"))
    })?;
    let loader = Loader::new("/proc/self/exe")
        .map_err(|error| CommandError::bug(format!("cannot load this program's symbols: {error}")))?;
    let own = Program::own().map_err(crate::operation::world_error)?.short_digest();
    let is_known = |program: &str| args.allow_other_program || program.contains(own);
    let text = symbolized(&text, is_known, |address| frames(&loader, address)).map_err(|program| {
        CommandError::new(
            &codes::OTHER_PROGRAM,
            format!("the report was written by {program}; this program is {own}"),
        )
        .next("use the dkc that deployed the node, or --allow-other-program")
    })?;
    session.ui.data(&text);
    Ok(())
}

fn read(file: Option<&Path>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    match file {
        Some(file) => std::fs::File::open(file)?.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?,
        None => std::io::stdin().take(LOG_BYTES_MAX).read_to_end(&mut bytes)?,
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text with resolved addresses; or, as an error, the unknown program that the report names.
fn symbolized(
    text: &str,
    is_known: impl Fn(&str) -> bool,
    frames: impl Fn(u64) -> Vec<String>,
) -> Result<String, &str> {
    let mut base = 0;
    let mut out = String::new();
    for line in text.lines() {
        if let Some((program, address)) = program_line(line) {
            if !is_known(program) {
                return Err(program);
            }
            base = address;
        }
        match frame_address(line).filter(|address| *address > base) {
            // This is the return address; the call is just before it.
            Some(address) => {
                let number = line.split(':').next().unwrap_or_default();
                let found = frames(address - base - 1);
                let found = if found.is_empty() { vec!["<unknown>".into()] } else { found };
                found.iter().for_each(|frame| out.push_str(&format!("{number}: {frame}\n")));
            }
            None => out.push_str(&format!("{line}\n")),
        }
    }
    Ok(out)
}

fn program_line(line: &str) -> Option<(&str, u64)> {
    let (program, address) = line.split_once(PROGRAM_LINE)?.1.split_once(LOADED_AT)?;
    Some((program, hexadecimal(address)?))
}

fn frame_address(line: &str) -> Option<u64> {
    hexadecimal(line.strip_suffix(UNKNOWN_FRAME)?.split_once(": ")?.1)
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// Innermost first; inlined calls are frames of their own. Only the symbol table has the outermost function's full name.
fn frames(loader: &Loader, address: u64) -> Vec<String> {
    let Ok(mut found) = loader.find_frames(address) else { return Vec::new() };
    let (mut names, mut places) = (Vec::new(), Vec::new());
    while let Ok(Some(frame)) = found.next() {
        let name = frame.function.as_ref().and_then(|function| Some(function.demangle().ok()?.into_owned()));
        names.push(name.unwrap_or_else(|| "<unknown>".into()));
        let place = frame.location.and_then(|place| Some(format!(" at {}:{}", place.file?, place.line?)));
        places.push(place.unwrap_or_default());
    }
    if let Some(symbol) = loader.find_symbol(address) {
        names.pop();
        names.push(addr2line::demangle_auto(symbol.into(), None).into_owned());
        places.resize(names.len(), String::new());
    }
    names.into_iter().zip(places).map(|(name, place)| name + &place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "dkcd 0.1.0: panicked at runtime/src/x.rs:1:2:\noh\nprogram /r/bin/abcd/dkc loaded at 0x1000\n   \
                          0:             0x1235 - <unknown>\n   1:             0x2001 - <unknown>\nend\n";

    #[test]
    fn addresses_become_frames_and_everything_else_stays() {
        let frames = |address| match address {
            0x234 => vec!["inner at a.rs:1".to_owned(), "outer at b.rs:2".to_owned()],
            _ => Vec::new(),
        };
        let got = symbolized(REPORT, |program| program == "/r/bin/abcd/dkc", frames).unwrap();
        let want = "dkcd 0.1.0: panicked at runtime/src/x.rs:1:2:\noh\nprogram /r/bin/abcd/dkc loaded at 0x1000\n   \
                    0: inner at a.rs:1\n   0: outer at b.rs:2\n   1: <unknown>\nend\n";
        assert_eq!(got, want);
    }

    #[test]
    fn a_report_of_another_program_is_refused_by_name() {
        let refused = symbolized(REPORT, |_| false, |_| Vec::new());
        assert_eq!(refused, Err("/r/bin/abcd/dkc"));
    }

    /// Runs itself as it would be deployed, and reads what that prints of a crash.
    #[test]
    fn a_report_of_a_stripped_program_names_functions_and_lines() {
        const CHILD: &str = "DKC_TEST_PRINTS_A_REPORT";
        if std::env::var_os(CHILD).is_some() {
            return println!("{}", dkcd::crash::report());
        }
        let own = std::env::current_exe().unwrap();
        let stripped =
            tempfile::Builder::new().make(|path| std::fs::write(path, Program::read(&own).unwrap().bytes));
        let path = stripped.unwrap().into_temp_path();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let name = "a_report_of_a_stripped_program_names_functions_and_lines";
        let output =
            std::process::Command::new(&path).args([name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let bare = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(bare.contains(UNKNOWN_FRAME) && !bare.contains("symbolize.rs"), "{bare}");

        let loader = Loader::new(&own).unwrap();
        let found = symbolized(&bare, |_| true, |address| frames(&loader, address)).unwrap();
        assert!(found.contains("dkcd::crash::report at"), "{found}");
        assert!(found.contains("src/commands/symbolize.rs:"), "{found}");
    }
}
