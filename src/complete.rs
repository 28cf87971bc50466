//! Completion: one engine for the OS shells and for the prompt. Everything that knows `clap_complete` is here.
//!
//! *Invariant:* completing only reads the local inventory file; it connects to nothing, takes no lock, and a file
//! that cannot be read completes nothing rather than disturbing the line that is being typed. Only keys, and only in a data
//! prompt, are asked of the cluster, for a short time.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use dkc_inventory::model::Inventory;

use crate::store::Store;

/// The variable by which a shell's script asks `dkc` for completions.
pub const COMPLETE_VARIABLE: &str = "DKC_COMPLETE";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

thread_local! {
    /// The inventory of the session that completes on this thread; the OS shells' completion has none and chooses
    /// as a command would.
    static DIRECTORY: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Finds keys that begin with a text.
type KeySource = Box<dyn Fn(&str) -> Vec<String>>;

thread_local! {
    /// Set while a data prompt asks for a line.
    static KEYS: RefCell<Option<KeySource>> = const { RefCell::new(None) };
}

/// Completions on this thread find keys so.
pub fn use_keys(source: impl Fn(&str) -> Vec<String> + 'static) {
    KEYS.with(|slot| *slot.borrow_mut() = Some(Box::new(source)));
}

/// Keys of the cluster, in a data prompt.
pub fn keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &std::ffi::OsStr| {
        let typed = typed.to_string_lossy();
        let found = KEYS.with(|slot| slot.borrow().as_ref().map(|find| find(&typed)).unwrap_or_default());
        found.into_iter().map(CompletionCandidate::new).collect::<Vec<_>>()
    })
}

/// Completions on this thread read this inventory.
pub fn use_directory(dir: PathBuf) {
    DIRECTORY.with(|slot| *slot.borrow_mut() = Some(dir));
}

fn inventory() -> Option<Inventory> {
    let given = DIRECTORY.with(|slot| slot.borrow().clone());
    let given = given.or_else(|| std::env::var_os("DKC_INVENTORY").map(PathBuf::from));
    Store::choose(given).ok()?.load().ok()
}

/// A completer for an argument: the candidates that `list` finds in the inventory, each with a description.
fn from_inventory(list: fn(&Inventory) -> Vec<(String, String)>) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let found = inventory().map(|inventory| list(&inventory)).unwrap_or_default();
        found
            .into_iter()
            .map(|(value, help)| CompletionCandidate::new(value).help(Some(help.into())))
            .collect()
    })
}

pub fn hosts() -> ArgValueCandidates {
    from_inventory(list_hosts)
}

pub fn clusters() -> ArgValueCandidates {
    from_inventory(list_clusters)
}

pub fn configs() -> ArgValueCandidates {
    from_inventory(list_configs)
}

/// What `--config` of a cluster takes: a group, or `KEY=` of a parameter.
pub fn configs_and_parameters() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let configs = inventory().map(|inventory| list_configs(&inventory)).unwrap_or_default();
        let configs =
            configs.into_iter().map(|(name, help)| CompletionCandidate::new(name).help(Some(help.into())));
        configs.chain(parameter_candidates()).collect()
    })
}

pub fn slaves() -> ArgValueCandidates {
    from_inventory(|inventory| {
        let about = |s: &dkc_inventory::model::Slave| {
            let host = s.host.as_ref().map_or_else(|| "this machine".to_owned(), |host| host.to_string());
            format!("slave of {} on {host}", s.cluster)
        };
        inventory.slaves.iter().map(|(id, slave)| (id.to_string(), about(slave))).collect()
    })
}

pub fn groups() -> ArgValueCandidates {
    from_inventory(list_groups)
}

/// `HOST`, `@GROUP`, `CLUSTER`, `CLUSTER/NO`.
pub fn selectors() -> ArgValueCandidates {
    from_inventory(|inventory| {
        let groups = list_groups(inventory).into_iter().map(|(group, help)| (format!("@{group}"), help));
        let members = inventory.clusters.iter().flat_map(|(name, cluster)| {
            cluster
                .servers
                .iter()
                .map(move |server| (format!("{name}/{}", server.number), server.address.to_string()))
        });
        let mut all = list_hosts(inventory);
        all.extend(groups);
        all.extend(list_clusters(inventory));
        all.extend(members);
        all
    })
}

/// `KEY=` of every parameter of a cluster.
pub fn parameters() -> ArgValueCandidates {
    ArgValueCandidates::new(|| parameter_candidates().collect())
}

fn parameter_candidates() -> impl Iterator<Item = CompletionCandidate> {
    let all = dkc_core::config::PARAMETERS.iter();
    all.map(|p| CompletionCandidate::new(format!("{}=", p.name)).help(Some(p.explanation.into())))
}

/// The ids of errors.
pub fn codes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = crate::error::codes::ALL.iter();
        all.map(|code| CompletionCandidate::new(code.to_string())).collect()
    })
}

fn list_hosts(inventory: &Inventory) -> Vec<(String, String)> {
    inventory
        .hosts
        .iter()
        .map(|(address, host)| (address.to_string(), format!("user {}", host.user)))
        .collect()
}

fn list_clusters(inventory: &Inventory) -> Vec<(String, String)> {
    let about = |c: &dkc_inventory::model::Cluster| {
        let state = if c.founded { "founded" } else { "not started yet" };
        format!("{} servers, {state}", c.servers.len())
    };
    inventory.clusters.iter().map(|(name, cluster)| (name.to_string(), about(cluster))).collect()
}

fn list_configs(inventory: &Inventory) -> Vec<(String, String)> {
    let about = |name: &dkc_core::ids::ConfigName, set: &dkc_inventory::model::Overrides| {
        format!("{} parameters set, {} clusters", set.len(), inventory.attached_to(name).len())
    };
    inventory.configs.iter().map(|(name, set)| (name.to_string(), about(name, set))).collect()
}

fn list_groups(inventory: &Inventory) -> Vec<(String, String)> {
    let mut count = std::collections::BTreeMap::<&String, usize>::new();
    for group in inventory.hosts.values().flat_map(|host| &host.group) {
        *count.entry(group).or_default() += 1;
    }
    count.into_iter().map(|(group, hosts)| (group.clone(), format!("{hosts} hosts"))).collect()
}

/// The script that a shell reads to complete `dkc`.
pub fn completion_script(shell: Shell) -> std::io::Result<String> {
    let mut script = Vec::new();
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    completer.write_registration(COMPLETE_VARIABLE, "dkc", "dkc", "dkc", &mut script)?;
    String::from_utf8(script).map_err(std::io::Error::other)
}

/// Answers a shell that asks for completions; false when this run is an ordinary one.
pub fn answer_os_shell(program: fn() -> clap::Command) -> bool {
    let completing = clap_complete::CompleteEnv::with_factory(program).var(COMPLETE_VARIABLE);
    let here = std::env::current_dir().ok();
    completing.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

/// A candidate for the last word of a line, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    pub word: String,
    pub help: String,
}

/// Candidates for the last word of a line. `words` are the ones before it; `last` is the one being typed.
pub fn line(mut grammar: clap::Command, words: &[String], last: &str) -> Vec<Suggestion> {
    let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    arguments.push(last.into());
    let index = arguments.len() - 1;
    let found = clap_complete::engine::complete(&mut grammar, arguments, index, None);
    let mut suggestions: Vec<Suggestion> = found
        .unwrap_or_default()
        .into_iter()
        .filter(|candidate| !candidate.is_hide_set())
        .map(|candidate| Suggestion {
            word: candidate.get_value().to_string_lossy().into_owned(),
            help: candidate.get_help().map(|help| help.to_string()).unwrap_or_default(),
        })
        .collect();
    // Flags only once a dash is typed: operators usually look for names.
    if !last.starts_with('-') && suggestions.iter().any(|s| !s.word.starts_with('-')) {
        suggestions.retain(|s| !s.word.starts_with('-'));
    }
    suggestions
}
