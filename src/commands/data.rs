//! `data`: single operations on the keys of a cluster, for an operator who inspects or corrects them.
//! `-` reads the value from standard input, which keeps it out of the process list.

mod attributes;
mod cas;
mod companion;
mod export;
mod forms;
mod import;
mod keys;
mod outcome;
mod prompt;
mod queue;
mod sealed;
mod server;
mod sub;
mod values;

use std::time::Duration;

use bytes::Bytes;
use dkc_core::control::DataRequest;
use dkc_core::ids::Namespace;
use dkc_core::kv::{Command, Expiry, Key, StoreMode, Value, Write};

use crate::arguments::{CLUSTER, OfCluster};
use crate::error::CommandError;
use crate::session::Session;
use crate::ui::in_one_line;
pub use attributes::HISTORY_MAX;
use outcome::{print, print_done, print_number, print_outcome};
pub use prompt::keys_with_prefix;
use sealed::{Decrypt, Encrypt};
use server::Server;
pub use sub::TREE_KEYS_MAX;
use values::{Given, Style};

/// Keys per request.
const KEYS_PAGE: u32 = 1000;

/// Read and write keys of a cluster
#[derive(Debug, clap::Args)]
#[command(
    mut_arg(CLUSTER, |arg| arg.global(true)),
    after_help = "Without an operation, `data` opens a prompt for the keys of one cluster, in which Tab completes keys.\n\n\
                  EXAMPLES\n  data set -n c0 test-key test-value\n  data print -n c0 test-key\n  data keys -n c0 --prefix user: --limit 20\n  \
                  data incr -n c0 counter 5\n  data sub set -n c0 user:1 user:1/mail ann@example.org\n  data queue push -n c0 jobs first\n  \
                  data export -n c0 --to c0.jsonl\n  data import -n c1 c0.jsonl"
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<DataCommand>,
    #[command(flatten)]
    pub of: OfCluster,
    /// Namespace
    #[arg(long, value_name = "NS", global = true, default_value = "default")]
    pub namespace: Namespace,
}

#[derive(Debug, clap::Subcommand)]
pub enum DataCommand {
    /// Store a value
    #[command(
        after_help = "EXAMPLES\n  data set -n c0 k v --expires 60s\n  data set -n c0 photo --file photo.jpg\n  \
                            data set -n c0 k v --history 10\n  data set -n c0 secret --file letter.txt --encrypt"
    )]
    Set {
        #[arg(add = crate::complete::keys())]
        key: String,
        #[command(flatten)]
        given: Given,
        /// Time to live, such as 60s
        #[arg(long, value_name = "TIME", value_parser = crate::arguments::parse_duration)]
        expires: Option<std::time::Duration>,
        /// Client flags stored with the value
        #[arg(long, default_value_t = 0)]
        flags: u32,
        /// Only if the key does not exist
        #[arg(long, conflicts_with = "replace")]
        add: bool,
        /// Only if the key exists
        #[arg(long)]
        replace: bool,
        /// Only if the key still has this version (`data print --long` shows it)
        #[arg(long, value_name = "VERSION", conflicts_with_all = ["add", "replace"])]
        cas: Option<u64>,
        /// Keep the value that is replaced, and so many earlier ones at most (`data history` prints them)
        #[arg(long, value_name = "COUNT", conflicts_with_all = ["add", "replace", "cas", "flags"],
            value_parser = clap::value_parser!(u64).range(1..=attributes::HISTORY_MAX))]
        history: Option<u64>,
        #[command(flatten)]
        encrypt: Encrypt,
    },
    /// Print a key's value
    #[command(
        visible_alias = "get",
        after_help = "EXAMPLES\n  data print -n c0 k\n  data print -n c0 k --hex\n  data print -n c0 photo --raw > photo.jpg\n  \
                      data print -n c0 user:1 --all\n  data print -n c0 secret --decrypt"
    )]
    Print {
        #[arg(add = crate::complete::keys())]
        key: String,
        /// Include version, flags and expiry
        #[arg(long, conflicts_with_all = ["raw", "hex"])]
        long: bool,
        /// Also print its sub-keys, and theirs
        #[arg(long, conflicts_with_all = ["long", "raw"])]
        all: bool,
        #[command(flatten)]
        style: Style,
        #[command(flatten)]
        decrypt: Decrypt,
    },
    /// Remove keys
    Rm {
        #[arg(required = true, value_name = "KEY", add = crate::complete::keys())]
        keys: Vec<String>,
        /// Also remove their sub-keys, and theirs
        #[arg(long)]
        all: bool,
    },
    /// Rename a key; its sub-keys and earlier values go with it
    #[command(after_help = "Both names must lie in one slot: give them the same {tag}.\n\n\
                            EXAMPLES\n  data rename -n c0 {u1}old {u1}new\n  data rename -n c0 {u1}old {u1}new --parent users")]
    Rename {
        #[arg(add = crate::complete::keys())]
        old: String,
        new: String,
        /// Only if no key has the new name
        #[arg(long)]
        keep_existing: bool,
        /// Also change the name in this key's list of sub-keys
        #[arg(long, value_name = "KEY", add = crate::complete::keys())]
        parent: Option<String>,
    },
    /// Show a key's attributes: type, size, version, times, cipher, number of sub-keys and earlier values
    #[command(
        visible_alias = "attributes",
        after_help = "EXAMPLES\n  data attr -n c0 k\n  data attr -n c0 jobs -o json"
    )]
    Attr {
        #[arg(add = crate::complete::keys())]
        key: String,
    },
    /// Print the values that `data set --history` replaced, the latest first
    #[command(after_help = "EXAMPLES\n  data set -n c0 k v2 --history 10\n  data history -n c0 k")]
    History {
        #[arg(add = crate::complete::keys())]
        key: String,
        #[command(flatten)]
        style: Style,
        #[command(flatten)]
        decrypt: Decrypt,
    },
    #[command(subcommand)]
    Sub(sub::SubCommand),
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    #[command(subcommand, visible_alias = "kqueue")]
    Keyqueue(queue::KeyQueueCommand),
    Cas(cas::Args),
    /// Add to a number
    Incr {
        #[arg(add = crate::complete::keys())]
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
    /// Subtract from a number; the result is never below 0
    Decr {
        #[arg(add = crate::complete::keys())]
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
    /// Change when a key expires
    Touch {
        #[arg(add = crate::complete::keys())]
        key: String,
        /// Time to live, such as 60s; omit it to keep the key
        #[arg(value_name = "TIME", value_parser = crate::arguments::parse_duration)]
        expires: Option<std::time::Duration>,
    },
    /// List keys
    Keys {
        /// Only keys with this prefix
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
        /// Maximum number of keys
        #[arg(long, default_value_t = 1000)]
        limit: u32,
    },
    /// Count keys and bytes
    Count,
    /// Write all keys with what they hold, as lines of JSON
    Export(export::Args),
    /// Store the keys of an export
    Import(import::Args),
}

impl Args {
    pub fn is_changing(&self) -> bool {
        match &self.command {
            None => false,
            Some(DataCommand::Sub(command)) => command.is_changing(),
            Some(DataCommand::Queue(command)) => command.is_changing(),
            Some(DataCommand::Keyqueue(command)) => command.is_changing(),
            Some(DataCommand::Cas(args)) => args.command.is_changing(),
            Some(
                DataCommand::Print { .. }
                | DataCommand::Keys { .. }
                | DataCommand::Attr { .. }
                | DataCommand::History { .. }
                | DataCommand::Count
                | DataCommand::Export { .. },
            ) => false,
            Some(_) => true,
        }
    }

    /// Words that are values, which no log may hold.
    pub fn values(&self) -> Vec<&str> {
        match &self.command {
            Some(DataCommand::Set { given, .. }) => given.value.as_deref().into_iter().collect(),
            Some(DataCommand::Sub(command)) => command.values(),
            Some(DataCommand::Queue(command)) => command.values(),
            Some(DataCommand::Keyqueue(command)) => command.values(),
            _ => Vec::new(),
        }
    }
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let cluster = session.cluster_name(args.of.name.as_ref())?;
    let Some(command) = args.command else { return prompt::open(session, cluster, args.namespace).await };
    let mut server = Server::find(session, cluster.clone(), args.namespace).await?;
    match command {
        DataCommand::Export(args) => export::run(session, &mut server, &cluster, args).await,
        DataCommand::Import(args) => import::run(session, &mut server, args).await,
        DataCommand::Keys { prefix, limit } => keys::list(session, &mut server, prefix, limit).await,
        DataCommand::Sub(command) => sub::run(session, &mut server, command).await,
        DataCommand::Queue(command) => queue::run(session, &mut server, command).await,
        DataCommand::Keyqueue(command) => queue::run_keys(session, &mut server, command).await,
        DataCommand::Cas(args) => cas::run(session, &mut server, args).await,
        DataCommand::Attr { key } => attributes::print(session, &mut server, &key).await,
        DataCommand::History { key, style, decrypt } => {
            attributes::print_history(session, &mut server, &key, style, decrypt).await
        }
        DataCommand::Count => {
            let namespace = server.namespace.clone();
            let reply = server.ask(DataRequest::Count { namespace }).await?;
            print_outcome(session, "", reply)
        }
        DataCommand::Rm { keys, all: true } => sub::remove_all(session, &mut server, &keys).await,
        DataCommand::Rm { keys, all: false } => keys::remove(session, &mut server, keys).await,
        DataCommand::Rename { old, new, keep_existing, parent } => {
            keys::rename(session, &mut server, (&old, &new), keep_existing, parent.as_deref()).await
        }
        DataCommand::Print { key, all: true, style, decrypt, .. } => {
            let mut opener = decrypt.opener(session)?;
            sub::print_tree(session, &mut server, &key, style, &mut opener).await
        }
        DataCommand::Print { key, long, style, decrypt, .. } => {
            let opener = decrypt.opener(session)?;
            let record = server.record(&key).await?;
            print(session, &key, record, long, style, opener)
        }
        DataCommand::Set { key, given, expires, history: Some(kept), encrypt, .. } => {
            let value = encrypt.sealed(session, vec![given.bytes()?])?.remove(0);
            attributes::set_with_history(&mut server, &key, value, expires, kept).await?;
            print_done(session, &key, "stored", None)
        }
        other => {
            let (words, command) = key_command(session, &server.namespace, other)?;
            let reply = server.ask(DataRequest::Command(command)).await?;
            print_outcome(session, &words, reply)
        }
    }
}

/// Words of a command of RESP.
fn words(all: &[&str]) -> Vec<Bytes> {
    all.iter().map(|word| Bytes::from((*word).to_owned())).collect()
}

/// An answer that is a number.
fn answer(key: &str, value: Value) -> Result<i64, CommandError> {
    match value {
        Value::Integer(number) => Ok(number),
        other => Err(CommandError::bug(format!("unexpected answer for {key}: {other:?}"))),
    }
}

/// An answer that is a text or an array of texts; nil is none.
fn texts(value: Value) -> Vec<Vec<u8>> {
    match value {
        Value::Text(text) => vec![text.to_vec()],
        Value::Array(all) | Value::Set(all) => all.into_iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn expiry(time: Option<Duration>) -> Expiry {
    time.map_or(Expiry::Never, |time| Expiry::After(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// The key-value command, and the key to name in messages.
fn key_command(
    session: &Session,
    namespace: &Namespace,
    command: DataCommand,
) -> Result<(String, Command), CommandError> {
    let named = |key: &str| Key { namespace: namespace.clone(), bytes: key.to_owned().into() };
    Ok(match command {
        DataCommand::Set { key, given, expires, flags, add, replace, cas, encrypt, history: None } => {
            let mode = match (add, replace, cas) {
                (true, _, _) => StoreMode::Add,
                (_, true, _) => StoreMode::Replace,
                (_, _, Some(version)) => StoreMode::Cas(version),
                _ => StoreMode::Set,
            };
            let value = encrypt.sealed(session, vec![given.bytes()?])?.remove(0).into();
            let write = Write::Store { key: named(&key), mode, flags, expiry: expiry(expires), value };
            (key, Command::Write(write))
        }
        DataCommand::Incr { key, by } => {
            let write = Write::Increment { key: named(&key), by, is_decrement: false };
            (key, Command::Write(write))
        }
        DataCommand::Decr { key, by } => {
            let write = Write::Increment { key: named(&key), by, is_decrement: true };
            (key, Command::Write(write))
        }
        DataCommand::Touch { key, expires } => {
            let write = Write::Touch { key: named(&key), expiry: expiry(expires) };
            (key, Command::Write(write))
        }
        _ => return Err(CommandError::bug("handled before")),
    })
}

/// In quotes, with control characters escaped.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", in_one_line(bytes).replace('"', "\\\""))
}
