//! `help`: the verbs by task with one example each, and the page of one verb. Also the closing sections of every page.

use crate::error::{CommandError, Exit, codes};
use crate::session::Session;

/// List commands by task, or show help for one
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  help\n  help deploy\n  help register cluster")]
pub struct Args {
    /// A command, optionally with its noun
    #[arg(value_name = "TOPIC")]
    pub topic: Vec<String>,
}

/// The tasks in the order an operator meets them, each verb with its most telling example.
pub(super) const TASKS: &[(&str, &[(&str, &str)])] = &[
    ("Try it", &[("playground", "playground")]),
    (
        "Describe what you want (changes nothing on hosts)",
        &[
            ("register", "register host --user dkc 10.0.0.10 10.0.0.11 10.0.0.12"),
            ("modify", "modify host --user admin 10.0.0.10"),
            ("unregister", "unregister slave --id 0"),
            ("show", "show cluster c0"),
            ("list", "list host"),
            ("history", "history"),
            ("undo", "undo"),
        ],
    ),
    (
        "Install it on the hosts",
        &[
            ("check", "check"),
            ("trust", "trust show"),
            ("deploy", "deploy --dry-run"),
            ("diff", "diff config -n prod"),
            ("apply", "apply config -n prod --dry-run"),
            ("resume", "resume"),
        ],
    ),
    (
        "Run it",
        &[
            ("launch", "launch cluster --name c1 --servers 3 --from @rack1"),
            ("start", "start cluster --name c0"),
            ("stop", "stop slave --id 0"),
            ("restart", "restart cluster --name c0 --rolling"),
            ("upgrade", "upgrade -n c0 --dry-run"),
            ("status", "status cluster --short"),
            ("top", "top -n c0"),
            ("metrics", "metrics -n c0 --no 1"),
            ("ring", "ring allstatus --name c0"),
            ("grow", "grow -n c0 10.0.0.13:8020"),
            ("shrink", "shrink -n c0 --no 3"),
            ("replace", "replace -n c0 --no 2 --address 10.0.0.14:8020"),
            ("detach", "detach -n c0 --no 3"),
            ("attach", "attach -n c0 --no 3"),
            ("plan", "plan show -n c0"),
            ("tls", "tls show -n c0"),
            ("token", "token issue -n c0 --namespace sessions"),
            ("userdata", "userdata -n c0 --token FILE"),
            ("join", "join --token FILE"),
            ("adopt", "adopt slave -n c0 --id 1000000 --host 10.0.0.20"),
            ("logs", "logs --name c0"),
            ("symbolize", "symbolize node.log"),
            ("exec", "exec @rack1 -- uptime"),
            ("destroy", "destroy slave --id 0"),
        ],
    ),
    (
        "Use the data",
        &[
            ("data", "data set -n c0 test-key test-value"),
            ("backup", "backup create -n c0 --backup before-upgrade"),
            ("restore", "restore -n c1 --backup before-upgrade"),
            ("recover", "recover -n c0 --dry-run"),
            ("bench", "bench -n c0 --clients 64"),
        ],
    ),
    (
        "This shell",
        &[
            ("use", "use cluster c0"),
            ("set", "set output json"),
            ("audit", "audit list"),
            ("lock", "lock show"),
            ("explain", "explain DKC-E0810"),
            ("completion", "completion bash"),
            ("help", "help register cluster"),
            ("quit", "quit"),
        ],
    ),
];

pub async fn run(session: &mut Session, args: Args, mut page: clap::Command) -> Result<(), CommandError> {
    if args.topic.is_empty() {
        session.ui.data(&overview(&page));
        return Ok(());
    }
    page.build();
    for word in &args.topic {
        page = page.find_subcommand(word).cloned().ok_or_else(|| unknown_topic(word, &page))?;
    }
    session.ui.data(&page.render_long_help().to_string());
    Ok(())
}

fn unknown_topic(word: &str, within: &clap::Command) -> CommandError {
    let topics: Vec<&str> =
        within.get_subcommands().filter(|s| !s.is_hide_set()).map(|s| s.get_name()).collect();
    CommandError::new(&codes::UNKNOWN_COMMAND, format!("no help for '{word}'")).next(if topics.is_empty() {
        "help".into()
    } else {
        format!("one of {}", topics.join(", "))
    })
}

/// Every verb under its task, with an example below it.
pub fn overview(page: &clap::Command) -> String {
    let about = |verb: &str| {
        let about = page.find_subcommand(verb).and_then(|sub| sub.get_about());
        about.map(|about| about.to_string()).unwrap_or_default()
    };
    let mut text = String::new();
    for (task, verbs) in TASKS {
        text.push_str(&format!("{task}\n"));
        for (verb, example) in *verbs {
            text.push_str(&format!("  {verb:<12} {}\n", about(verb)));
            if example != verb {
                text.push_str(&format!("  {:<12}   {example}\n", ""));
            }
        }
        text.push('\n');
    }
    text.push_str("`help COMMAND` shows its options, more examples and its exit statuses.\n");
    text
}

/// A verb's exit statuses besides 0, 1 and 2.
fn exits_of(verb: &str) -> &'static [Exit] {
    use Exit::*;
    match verb {
        "register" | "unregister" | "modify" | "undo" => &[Unknown, Refused, Busy],
        "show" | "list" => &[Unknown, Interrupted],
        "history" | "use" | "explain" => &[Unknown],
        "check" | "exec" | "logs" | "trust" => &[Unknown, NotConfirmed, Unreachable, Interrupted],
        "deploy" | "apply" | "launch" | "start" | "stop" | "restart" | "destroy" | "resume"
        | "playground" | "grow" | "shrink" | "replace" | "upgrade" | "detach" | "attach" | "plan"
        | "ring" | "tls" | "token" | "join" => &[
            Unknown,
            Refused,
            NotConfirmed,
            Busy,
            Unreachable,
            PartlyApplied,
            OutcomeUnknown,
            Pending,
            Interrupted,
        ],
        "diff" => &[Unknown, Unreachable, Pending, Interrupted],
        "status" => &[Unknown, Degraded, NotServing, StatusUnknown, Interrupted],
        "data" => &[Unknown, Unreachable, OutcomeUnknown, Interrupted],
        "bench" => &[Unknown, Unreachable, Interrupted],
        "userdata" => &[Unknown, Refused, Unreachable, Interrupted],
        "adopt" => &[Unknown, Refused, Busy, Unreachable],
        "lock" => &[NotConfirmed],
        "dkc" => &Exit::ALL,
        _ => &[],
    }
}

/// Adds the exit statuses after the examples, on this page and on every page below it.
pub fn with_sections(command: clap::Command) -> clap::Command {
    let verb = command.get_name().to_owned();
    let sectioned = add_sections(command, &verb);
    sectioned.mut_subcommands(|sub| {
        let verb = sub.get_name().to_owned();
        let examples = sub.get_after_help().map(|text| text.to_string()).unwrap_or_default();
        add_sections(sub, &verb).mut_subcommands(|noun| {
            let own: Vec<&str> = examples
                .lines()
                .filter(|line| line.trim_start().starts_with(&format!("{verb} {}", noun.get_name())))
                .collect();
            let noun = match own.is_empty() || noun.get_after_help().is_some() {
                true => noun,
                false => noun.after_help(format!("EXAMPLES\n{}", own.join("\n"))),
            };
            add_sections(noun, &verb)
        })
    })
}

fn add_sections(command: clap::Command, verb: &str) -> clap::Command {
    let examples = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
    command.after_help(format!("{examples}{}", exit_section(verb)))
}

/// The EXIT STATUS section of a verb's page.
pub fn exit_section(verb: &str) -> String {
    let always = [Exit::Done, Exit::Failed, Exit::Usage];
    let mut exits: Vec<Exit> = always.iter().chain(exits_of(verb)).copied().collect();
    exits.sort();
    exits.dedup();
    let lines = exits.iter().map(|exit| format!("  {:>3}  {}\n", exit.number(), exit.meaning()));
    format!("EXIT STATUS\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_overview_has_every_verb_and_no_other() {
        let told: BTreeSet<String> =
            TASKS.iter().flat_map(|(_, verbs)| verbs.iter()).map(|(verb, _)| verb.to_string()).collect();
        let there: BTreeSet<String> = crate::cli::line()
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .map(|sub| sub.get_name().to_owned())
            .collect();
        assert_eq!(told, there);
    }

    /// An example without its redirection and without the remark after it.
    fn command_of(line: &str) -> String {
        let line = line.trim().split(" > ").next().unwrap_or_default();
        line.split("     ").next().unwrap_or_default().to_owned()
    }

    /// Commands shown in help must parse.
    #[test]
    fn every_example_is_understood() {
        let overview =
            TASKS.iter().flat_map(|(_, verbs)| verbs.iter()).map(|(_, example)| example.to_string());
        let mut examples: Vec<String> = overview.collect();
        for sub in crate::cli::line().get_subcommands() {
            let page = sub.get_after_help().map(|text| text.to_string()).unwrap_or_default();
            let lines =
                page.lines().skip_while(|l| *l != "EXAMPLES").skip(1).take_while(|l| l.starts_with("  "));
            examples.extend(lines.map(command_of));
        }
        for example in examples {
            let words = shlex::split(&example).unwrap();
            assert!(
                crate::cli::parse_line(&words).is_ok(),
                "{example}: {:?}",
                crate::cli::parse_line(&words).err()
            );
        }
    }
}
