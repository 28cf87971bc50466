//! The words of `dkc`: the parser for the OS shell (`Program`) and the one for a line of the prompt or of a batch
//! (`Line`), both around the one `enum Command`.
//!
//! *Invariant:* every verb here is implemented. The words and help of a verb are in its own file
//! under `commands/`; completions, man pages and `help` are generated from these definitions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use dkc_core::ids::{ClusterName, MemberNo, SlaveId};

use crate::commands::*;
use crate::ui::Format;

/// Help heading of the flags that every command accepts.
const EVERYWHERE: &str = "Global options";

/// Flags that any command may carry, on the command line and in a line of the prompt.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// Output format: table, yaml, json or jsonl (default: depends on the command)
    #[arg(short = 'o', long = "output", global = true, value_name = "FORMAT", hide_possible_values = true,
        help_heading = EVERYWHERE)]
    pub output: Option<Format>,
    /// Apply without asking (not enough for a plan that loses data)
    #[arg(short = 'y', long, global = true, help_heading = EVERYWHERE)]
    pub yes: bool,
    /// Confirmation word for a plan that loses data, such as c0@g42
    #[arg(long, global = true, value_name = "WORD", help_heading = EVERYWHERE)]
    pub confirm: Option<String>,
    /// Run all checks and show the plan; change nothing
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub dry_run: bool,
    /// With --dry-run: exit 10 when changes are pending
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub exit_code: bool,
    /// Show everything: every step of a plan, all that is known of a node
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub long: bool,
    /// Timeout per host reply, such as 5s or 500ms
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, help_heading = EVERYWHERE)]
    pub timeout: Option<Duration>,
}

impl Settings {
    /// These settings overridden by a line's own flags. `--yes` and `--confirm` apply to one line only, unless the
    /// program was started with them.
    pub fn overlaid(&self, line: &Settings) -> Settings {
        Settings {
            output: line.output.or(self.output),
            yes: line.yes || self.yes,
            confirm: line.confirm.clone().or_else(|| self.confirm.clone()),
            dry_run: line.dry_run || self.dry_run,
            exit_code: line.exit_code || self.exit_code,
            long: line.long || self.long,
            timeout: line.timeout.or(self.timeout),
        }
    }
}

/// Admin shell for an elastic, replicated key-value ring on plain hosts.
///
/// Without a command, dkc opens a prompt on a terminal. If standard input is not a terminal, it runs commands from
/// there and stops at the first failure.
#[derive(Debug, Parser)]
#[command(name = "dkc", version, subcommand_required = false, disable_help_subcommand = true)]
pub struct Program {
    /// Inventory directory (default: dkc in your configuration directory)
    #[arg(long, value_name = "PATH", env = "DKC_INVENTORY", hide_env_values = true, global = true, help_heading = EVERYWHERE)]
    pub inventory: Option<PathBuf>,
    /// Disable colour, like NO_COLOR
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub no_color: bool,
    /// Run commands from a file (- for standard input)
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "commands")]
    pub file: Option<PathBuf>,
    /// Run these commands, separated by ';'
    #[arg(short = 'c', long = "command", value_name = "COMMANDS")]
    pub commands: Option<String>,
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// One line of the prompt or of a batch: a verb and its words, without the program's name.
#[derive(Debug, Parser)]
#[command(name = "dkc", no_binary_name = true, disable_help_subcommand = true, disable_version_flag = true)]
pub struct Line {
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Command,
}

/// Every verb.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(subcommand)]
    Register(register::Args),
    #[command(subcommand)]
    Unregister(unregister::Args),
    #[command(subcommand)]
    Modify(modify::Args),
    #[command(subcommand)]
    Show(show::Args),
    List(list::Args),
    History(history::Args),
    Undo(undo::Args),
    Check(check::Args),
    Deploy(deploy::Args),
    #[command(subcommand)]
    Start(start::Args),
    #[command(subcommand)]
    Stop(stop::Args),
    #[command(subcommand)]
    Restart(restart::Args),
    Grow(grow::Args),
    Shrink(shrink::Args),
    Replace(replace::Args),
    #[command(subcommand)]
    Plan(plan::Args),
    #[command(subcommand)]
    Destroy(destroy::Args),
    Status(status::Args),
    Ring(ring::Args),
    Data(data::Args),
    Bench(bench::Args),
    Playground(playground::Args),
    Exec(exec::Args),
    Logs(logs::Args),
    #[command(subcommand)]
    Trust(trust::Args),
    Resume(resume::Args),
    #[command(subcommand)]
    Use(r#use::Args),
    Set(set::Args),
    #[command(subcommand)]
    Audit(audit::Args),
    #[command(subcommand)]
    Lock(lock::Args),
    Symbolize(symbolize::Args),
    Explain(explain::Args),
    Completion(completion::Args),
    #[command(alias = "?")]
    Help(help::Args),
    #[command(visible_alias = "exit")]
    Quit(quit::Args),
    #[command(hide = true)]
    Generate(crate::generate::Args),
}

/// The nouns of commands about running things. `css` and `memcache` are the ancestor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Noun {
    /// Hosts
    Host,
    /// Clusters and their servers
    #[value(alias = "css")]
    Cluster,
    /// Slaves
    #[value(alias = "memcache")]
    Slave,
}

/// A cluster, or some of its servers.
#[derive(Debug, Clone, Args)]
pub struct ClusterTarget {
    /// Cluster name (default: the one chosen with use, or the only one)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// Only this member; repeatable
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
}

/// Slaves by their ids.
#[derive(Debug, Clone, Args)]
pub struct SlaveTarget {
    /// The slave's id; repeatable (default: all slaves)
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Vec<SlaveId>,
}

/// The parser for the OS shell's command line, with the sections that every help page has.
pub fn program() -> clap::Command {
    help::with_sections(Program::command())
}

/// The parser for one line.
pub fn line() -> clap::Command {
    help::with_sections(Line::command())
}

/// Parses the words of one line.
pub fn parse_line(words: &[String]) -> Result<Line, clap::Error> {
    let mut matches = line().try_get_matches_from(words)?;
    Line::from_arg_matches_mut(&mut matches)
}

/// Parses the program's arguments; the first is its name.
pub fn parse_program(arguments: Vec<std::ffi::OsString>) -> Result<Program, clap::Error> {
    let mut matches = program().try_get_matches_from(arguments)?;
    Program::from_arg_matches_mut(&mut matches)
}

/// The format that words ask for which may not be understood otherwise: a refusal of them is told in it, too.
pub fn asked_output(words: &[String]) -> Option<Format> {
    let mut words = words.iter().map(String::as_str).take_while(|word| *word != "--");
    let mut asked = None;
    while let Some(word) = words.next() {
        let named = match word {
            "-o" | "--output" => words.next(),
            word => word.strip_prefix("--output=").or(word.strip_prefix("-o")),
        };
        let format = named.map(|name| name.strip_prefix('=').unwrap_or(name));
        asked = format.and_then(|name| Format::from_str(name, false).ok()).or(asked);
    }
    asked
}

/// The command in arguments that the OS shell gave, without the program's name.
pub fn parse_command(words: &[String]) -> Option<Command> {
    let arguments = std::iter::once("dkc").chain(words.iter().map(String::as_str));
    parse_program(arguments.map(Into::into).collect()).ok()?.command
}

/// `5s`, `500ms`, `2m`, or a bare number of seconds.
pub fn parse_duration(word: &str) -> Result<Duration, String> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 =
        digits.parse().map_err(|_| "expected a number with a unit, such as 5s, 500ms or 2m".to_owned())?;
    match &word[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(|| "too long".to_owned()),
        unit => Err(format!("unknown unit '{unit}'; use s, ms or m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parsers_are_consistent() {
        program().debug_assert();
        line().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        let table = [("5", Some(5_000)), ("5s", Some(5_000)), ("500ms", Some(500)), ("2m", Some(120_000))];
        for (word, want) in table {
            assert_eq!(parse_duration(word).ok().map(|d| d.as_millis()), want, "{word}");
        }
        for word in ["", "s", "5h", "-1", "1.5s"] {
            assert!(parse_duration(word).is_err(), "{word}");
        }
    }
}
