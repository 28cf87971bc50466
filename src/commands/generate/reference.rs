//! The reference of the book: commands from the parser, parameters, exit statuses, states, limits, metrics and error ids
//! from the tables that the programs themselves use. *Invariant:* no page here says anything that is not read from there.

use std::fmt::Write;

use clap::{Arg, Command};
use dkc_core::config::{PARAMETERS, Range};
use dkc_core::metrics;
use dkc_inventory::status::State;

use super::limits::LIMITS;
use crate::arguments::EVERYWHERE;
use crate::commands::help;
use crate::error::{Exit, Language, codes};

/// The first line of every page, for who opens its source.
const ORIGIN: &str = "<!-- Generated: UPDATE=1 cargo test -p dkc generate -->\n\n";

/// Every page: its path in the project, and its text.
pub fn pages(program: &Command) -> Vec<(String, String)> {
    let english = [
        ("commands", commands(program)),
        ("parameters", parameters()),
        ("exit-statuses", exit_statuses()),
        ("states", states()),
        ("limits", limits()),
        ("metrics", metrics()),
        ("errors", errors("Error ids", "Exit status", Language::English)),
    ];
    let japanese = errors("エラー ID", "終了ステータス", Language::Japanese);
    let paths = english.into_iter().map(|(name, text)| (format!("docs/src/reference/{name}.md"), text));
    let pages = paths.chain([("docs/ja/src/reference/errors.md".to_owned(), japanese)]);
    pages.map(|(path, text)| (path, format!("{ORIGIN}{text}"))).collect()
}

fn commands(program: &Command) -> String {
    let mut page = String::from(
        "# Commands\n\nThe same words work as arguments of `dkc`, at its prompt, in files and on standard input. \
         Any unambiguous beginning of a word will do at the prompt.\n\n## Global options\n\n",
    );
    let mut program = without_own_help(program.clone());
    program.build();
    let of_all = program.get_arguments().filter(|arg| arg.get_help_heading() == Some(EVERYWHERE));
    of_all.for_each(|arg| option(&mut page, arg));
    for (task, verbs) in help::TASKS {
        let _ = write!(page, "\n## {task}\n");
        for (verb, _) in *verbs {
            let verb = program.find_subcommand(verb).expect("the overview has verbs only");
            command(&mut page, verb, "###", "");
        }
    }
    page
}

/// The commands without the help that the parser adds to each of them.
fn without_own_help(command: Command) -> Command {
    command.disable_help_flag(true).disable_help_subcommand(true).mut_subcommands(without_own_help)
}

/// One command: its own usage, options and examples if it has no nouns, else those of each noun.
fn command(page: &mut String, of: &Command, mark: &str, before: &str) {
    let name = format!("{before}{}", of.get_name());
    let about = of.get_about().map(|about| about.to_string()).unwrap_or_default();
    let _ = write!(page, "\n{mark} {name}\n\n{}.\n", escaped(&about));
    let nouns: Vec<&Command> = of.get_subcommands().filter(|noun| !noun.is_hide_set()).collect();
    let own: Vec<&Arg> =
        of.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set()).collect();
    if nouns.is_empty() || !own.is_empty() {
        let usage = of.clone().render_usage().to_string();
        let _ = write!(page, "\n```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
        page.push_str(if own.is_empty() { "" } else { "\n" });
        own.into_iter().for_each(|arg| option(page, arg));
    }
    if nouns.is_empty() {
        examples(page, of);
    }
    nouns.into_iter().for_each(|noun| command(page, noun, "####", &format!("{name} ")));
}

fn examples(page: &mut String, of: &Command) {
    let ending = of.get_after_help().map(|text| text.to_string()).unwrap_or_default();
    if let Some(lines) = ending.split("\n\n").find_map(|section| section.strip_prefix("EXAMPLES\n")) {
        let _ = write!(page, "\n```text\n{}\n```\n", unindented(lines));
    }
}

/// Lines without the two blanks that they begin with on a help page.
fn unindented(text: &str) -> String {
    text.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// One argument as an item of a list.
fn option(page: &mut String, arg: &Arg) {
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let help = arg.get_help().map(|help| help.to_string()).unwrap_or_default();
    let _ = write!(page, "- {short}`{arg}`: {}", escaped(&help));
    let words: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && !arg.is_hide_possible_values_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let takes_value = arg.get_action().takes_values();
    if takes_value && !words.is_empty() {
        let _ = write!(page, " ({})", words.join(", "));
    }
    let default: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if takes_value && !default.is_empty() && !arg.is_hide_default_value_set() {
        let _ = write!(page, " (default: `{}`)", default.join(" "));
    }
    page.push('\n');
}

/// Text for a place where Markdown would take some of it for marks.
fn escaped(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('<', "&lt;");
    text.replace('*', "\\*")
}

fn parameters() -> String {
    let mut page = String::from(
        "# Parameters\n\nSet them for a configuration group (`modify config -n prod KEY=VALUE`) or for one cluster \
         (`modify cluster -n c0 --config KEY=VALUE`); `show config` lists the values in use with their origin. A change \
         takes effect `at once` with `apply config` or `deploy --config-only`, or with the node's next start.\n\n\
         | parameter | default | unit | allowed | takes effect | meaning |\n|---|---|---|---|---|---|\n",
    );
    for parameter in PARAMETERS {
        let default = parameter.default_value();
        let (name, unit, change) = (parameter.name, parameter.unit, parameter.change);
        let range = match parameter.range {
            Range::Words(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
            }
            range => range.to_string(),
        };
        let meaning = escaped(parameter.explanation);
        let _ = writeln!(page, "| `{name}` | `{default}` | {unit} | {range} | {change} | {meaning} |");
    }
    page
}

fn exit_statuses() -> String {
    let mut page = String::from(
        "# Exit statuses\n\nThey are a contract with scripts: a status never changes its meaning. The page of each command \
         (`man dkc-start`, `help start`) lists those that it can have.\n\n| status | meaning |\n|---|---|\n",
    );
    for exit in Exit::ALL {
        let _ = writeln!(page, "| {} | {} |", exit.number(), escaped(exit.meaning()));
    }
    page
}

fn states() -> String {
    let mut page = String::from(
        "# States\n\nOf clusters, servers and slaves, as `status` shows them, from the best to the worst; of several, the \
         worst counts. A state is never guessed: a host that does not answer is `unknown`, never `stopped`.\n\n\
         | state | meaning |\n|---|---|\n",
    );
    for state in State::ALL {
        let _ = writeln!(page, "| `{state}` | {} |", state.meaning());
    }
    page
}

fn limits() -> String {
    let mut page = String::from(
        "# Limits\n\nEvery queue, loop and wait of dkc has a bound. These are the ones that an operator or an application can \
         meet; what exceeds them is refused with an error, and loses nothing.\n\n| what | limit |\n|---|---|\n",
    );
    for limit in LIMITS {
        let _ = writeln!(page, "| {} | {} |", limit.what, limit.size);
    }
    page
}

fn metrics() -> String {
    let mut page = String::from(
        "# Metrics\n\n`metrics` prints them in Prometheus' text form, through the control socket of a node. With `metrics_port` \
         (servers) or `slave_metrics_port` (slaves) the node also tells them at `http://127.0.0.1:PORT/metrics`. \
         `packaging/monitoring` has a Grafana dashboard and alert rules for Prometheus.\n",
    );
    for (heading, table) in [
        ("Of a server", metrics::SERVER),
        ("Of each Raft group of a server, with the label `group`", metrics::GROUP),
        ("Of a slave, beside `dkc_slave_NAME_total` for each counter of `stats`", metrics::SLAVE),
    ] {
        let _ = write!(page, "\n## {heading}\n\n| metric | type | meaning |\n|---|---|---|\n");
        for metric in table {
            let _ = writeln!(page, "| `{}` | {} | {} |", metric.name, metric.kind, metric.help);
        }
    }
    page
}

/// What `explain` says of each id, in one language.
fn errors(heading: &str, exit_word: &str, language: Language) -> String {
    let mut all = codes::ALL.to_vec();
    all.sort_by_key(|code| code.number);
    let mut page = format!("# {heading}\n");
    for code in all {
        let exit = code.exit;
        let _ = write!(
            page,
            "\n## {code}\n\n{exit_word} {}: {}\n\n{}\n",
            exit.number(),
            exit.meaning_in(language),
            escaped(code.words(language))
        );
    }
    page
}
