//! The grammar of `dkc`: the parser for the OS shell (`CommandLine`) and the one for a line of the prompt or of a batch
//! (`Line`), both around the one `enum Command`.
//!
//! *Invariant:* every verb here is implemented. The words and help of a verb are in its own file
//! under `commands/`; completions, man pages and `help` are generated from these definitions.

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::arguments::{EVERYWHERE, Settings};
use crate::commands::*;
use crate::ui::Format;

/// Admin shell for an elastic, replicated key-value ring on plain hosts.
///
/// Without a command, dkc opens a prompt on a terminal. If standard input is not a terminal, it runs commands from
/// there and stops at the first failure.
#[derive(Debug, Parser)]
#[command(name = "dkc", version = env!("DKC_VERSION"), subcommand_required = false, disable_help_subcommand = true)]
pub struct CommandLine {
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
    #[command(subcommand)]
    Diff(diff::Args),
    #[command(subcommand)]
    Apply(apply::Args),
    Deploy(deploy::Args),
    #[command(subcommand)]
    Launch(launch::Args),
    #[command(subcommand)]
    Start(start::Args),
    #[command(subcommand)]
    Stop(stop::Args),
    #[command(subcommand)]
    Restart(restart::Args),
    Upgrade(upgrade::Args),
    Grow(grow::Args),
    Shrink(shrink::Args),
    Replace(replace::Args),
    Detach(detach::Args),
    Attach(attach::Args),
    #[command(subcommand)]
    Plan(plan::Args),
    #[command(subcommand)]
    Destroy(destroy::Args),
    Status(status::Args),
    Top(top::Args),
    Metrics(metrics::Args),
    Ring(ring::Args),
    Data(data::Args),
    #[command(subcommand)]
    Backup(backup::Args),
    Restore(restore::Args),
    Recover(recover::Args),
    Bench(bench::Args),
    Playground(playground::Args),
    Exec(exec::Args),
    Logs(logs::Args),
    #[command(subcommand)]
    Trust(trust::Args),
    #[command(subcommand)]
    Tls(tls::Args),
    #[command(subcommand)]
    Token(token::Args),
    Userdata(userdata::Args),
    Join(join::Args),
    #[command(subcommand)]
    Adopt(adopt::Args),
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
    Generate(generate::Args),
}

/// The parser for the OS shell's command line, with the sections that every help page has.
pub fn program() -> clap::Command {
    help::with_sections(CommandLine::command())
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
pub fn parse_program(arguments: Vec<std::ffi::OsString>) -> Result<CommandLine, clap::Error> {
    let mut matches = program().try_get_matches_from(arguments)?;
    CommandLine::from_arg_matches_mut(&mut matches)
}

/// The output format in words that may otherwise not parse, so that their error is printed in it, too.
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

/// Parses the command in the OS shell's arguments, without the program's name.
pub fn parse_command(words: &[String]) -> Option<Command> {
    let arguments = std::iter::once("dkc").chain(words.iter().map(String::as_str));
    parse_program(arguments.map(Into::into).collect()).ok()?.command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parsers_are_consistent() {
        program().debug_assert();
        line().debug_assert();
    }

    /// Two arguments of one id are one value: that of a global argument would be read as the other's.
    #[test]
    fn no_argument_has_the_id_of_a_global_one_above_it() {
        fn walk(command: &clap::Command, above: &[clap::Id]) {
            let takes_values = |arg: &&clap::Arg| arg.get_action().takes_values();
            let mut below = above.to_vec();
            for arg in command.get_arguments().filter(takes_values) {
                assert!(!above.contains(arg.get_id()), "{} of {}", arg.get_id(), command.get_name());
                below.extend(arg.is_global_set().then(|| arg.get_id().clone()));
            }
            command.get_subcommands().for_each(|sub| walk(sub, &below));
        }
        walk(&line(), &[]);
    }

    /// `-n` names a cluster in every command that has it, under the same long name and aliases; but for commands about
    /// configuration groups, where it names one of these.
    #[test]
    fn every_command_spells_the_cluster_alike() {
        fn walk(command: &clap::Command, found: &mut usize) {
            for arg in command.get_arguments().filter(|arg| arg.get_short() == Some('n')) {
                let name = command.get_name();
                if arg.get_id() == crate::arguments::CONFIG {
                    assert_eq!((name, arg.get_long()), ("config", Some("name")));
                    continue;
                }
                assert_eq!(arg.get_id(), crate::arguments::CLUSTER, "{name}");
                assert_eq!(arg.get_long(), Some("name"), "{name}");
                assert_eq!(arg.get_all_aliases(), Some(vec!["cluster", "css"]), "{name}");
                *found += 1;
            }
            command.get_subcommands().for_each(|command| walk(command, found));
        }
        let mut found = 0;
        walk(&program(), &mut found);
        assert!(found > 20, "only {found} commands have -n");
    }
}
