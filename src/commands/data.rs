//! `data`: single operations on the keys of a cluster, for an operator who inspects or corrects them.
//! `-` reads the value from standard input, which keeps it out of the process list.

mod export;
mod forms;
mod import;

use std::io::Read as _;
use std::time::Duration;

use dkc_core::control::{Blob, ControlReply, ControlRequest, DataRequest};
use dkc_core::ids::{ClusterName, Namespace};
use dkc_core::kv::{Command, Expiry, Key, Read, Record, Reply, StoreMode, Write};
use dkc_inventory::model::{Inventory, node_dir};
use dkc_inventory::plan::Target;
use serde::Serialize;

use crate::arguments::{CLUSTER, OfCluster};
use crate::error::{CommandError, Exit, codes};
use crate::observe;
use crate::operation;
use crate::session::Session;
use crate::ui::{Format, Listing, in_one_line};
use crate::world::{ControlClient, WorldError};

/// Longer than a server's request deadline, so that its answer arrives even when it gave up.
const DATA_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest value read from standard input: the upper bound of `value_max_bytes`.
const VALUE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Keys per request.
const KEYS_PAGE: u32 = 1000;

/// Read and write keys of a cluster
#[derive(Debug, clap::Args)]
#[command(
    mut_arg(CLUSTER, |arg| arg.global(true)),
    after_help = "EXAMPLES\n  data set -n c0 test-key test-value\n  data print -n c0 test-key\n  data keys -n c0 --prefix user: --limit 20\n  data incr -n c0 counter 5\n  data export -n c0 --to c0.jsonl\n  data import -n c1 c0.jsonl"
)]
pub struct Args {
    #[command(subcommand)]
    pub command: DataCommand,
    #[command(flatten)]
    pub of: OfCluster,
    /// Namespace
    #[arg(long, value_name = "NS", global = true, default_value = "default")]
    pub namespace: Namespace,
}

#[derive(Debug, clap::Subcommand)]
pub enum DataCommand {
    /// Store a value
    Set {
        key: String,
        /// The value; - reads it from standard input
        #[arg(allow_hyphen_values = true)]
        value: String,
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
    },
    /// Print a key's value
    #[command(visible_alias = "get")]
    Print {
        key: String,
        /// Include version, flags and expiry
        #[arg(long)]
        long: bool,
        /// Print the raw bytes of the value only (control characters are escaped on a terminal)
        #[arg(long, conflicts_with = "long")]
        raw: bool,
    },
    /// Remove keys
    Rm {
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Add to a number
    Incr {
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
    /// Subtract from a number; the result is never below 0
    Decr {
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
    /// Change when a key expires
    Touch {
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
        !matches!(
            self.command,
            DataCommand::Print { .. }
                | DataCommand::Keys { .. }
                | DataCommand::Count
                | DataCommand::Export { .. }
        )
    }
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let cluster = session.cluster_name(args.of.name.as_ref())?;
    let mut server = Server::find(session, cluster.clone(), args.namespace).await?;
    match args.command {
        DataCommand::Export(args) => export::run(session, &mut server, &cluster, args).await,
        DataCommand::Import(args) => import::run(session, &mut server, args).await,
        DataCommand::Keys { prefix, limit } => keys(session, &mut server, prefix, limit).await,
        DataCommand::Count => {
            let namespace = server.namespace.clone();
            let reply = server.ask(DataRequest::Count { namespace }).await?;
            print_outcome(session, "", reply)
        }
        DataCommand::Rm { keys } => remove(session, &mut server, keys).await,
        DataCommand::Print { key, long, raw } => {
            let get = Command::Read(Read::Get { key: server.key(&key) });
            let reply = server.ask(DataRequest::Command(get)).await?;
            print(session, &key, reply, PrintStyle { is_long: long, is_raw: raw })
        }
        other => {
            let (words, command) = key_command(&server.namespace, other)?;
            let reply = server.ask(DataRequest::Command(command)).await?;
            print_outcome(session, &words, reply)
        }
    }
}

/// A server of the cluster that answers; it routes each key to its leader itself.
struct Server {
    client: ControlClient,
    namespace: Namespace,
}

impl Server {
    async fn find(
        session: &Session,
        cluster: ClusterName,
        namespace: Namespace,
    ) -> Result<Server, CommandError> {
        let inventory = session.inventory()?;
        let target = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
        let nodes = target.nodes(&inventory).map_err(operation::refused("data"))?;
        let (mut failures, mut is_stopped) = (Vec::new(), true);
        for node in &nodes {
            let Some(address) = inventory.host_of(node) else { continue };
            let opened = open(session, &inventory, &address, &node.to_string(), node).await;
            match opened {
                Ok(client) => {
                    operation::pin_learned(session)?;
                    return Ok(Server { client, namespace });
                }
                Err(error) => {
                    is_stopped &= matches!(error, WorldError::NoDaemon { .. });
                    failures.push(format!("{node} on {address}: {error}"));
                }
            }
        }
        Err(no_server(&cluster, failures, is_stopped))
    }

    fn key(&self, key: &str) -> Key {
        Key { namespace: self.namespace.clone(), bytes: key.to_owned().into() }
    }

    async fn ask(&mut self, request: DataRequest) -> Result<Reply, CommandError> {
        match self.ask_control(&ControlRequest::Data(request), DATA_TIMEOUT).await? {
            ControlReply::Data(reply) => Ok(reply),
            other => Err(CommandError::bug(format!("unexpected reply to a data request: {other:?}"))),
        }
    }

    async fn ask_control(
        &mut self,
        request: &ControlRequest,
        timeout: Duration,
    ) -> Result<ControlReply, CommandError> {
        match self.client.ask(request, timeout).await {
            Ok(ControlReply::Error { message, is_outcome_unknown: true }) => {
                Err(CommandError::new(&codes::OUTCOME_UNKNOWN, message)
                    .now("unknown: the change may have been applied"))
            }
            Ok(ControlReply::Error { message, .. }) => {
                Err(CommandError::new(&codes::DATA_REFUSED, message).now("nothing changed"))
            }
            Ok(reply) => Ok(reply),
            // The request was sent; there is no telling whether it was carried out.
            Err(error) => Err(CommandError::new(&codes::OUTCOME_UNKNOWN, error.to_string())
                .now("unknown: the change may have been applied")),
        }
    }
}

/// The cluster is stopped if every host was reached and none runs a daemon; otherwise the causes are listed by server.
fn no_server(cluster: &ClusterName, failures: Vec<String>, is_stopped: bool) -> CommandError {
    if is_stopped {
        let what = format!("{cluster} is not running: no daemon answers on any of its hosts");
        let next = format!("start cluster -n {cluster}     (details: status cluster -n {cluster})");
        return CommandError::new(&codes::NO_SERVER, what).now("nothing changed").next(next);
    }
    let error = CommandError::new(&codes::NO_SERVER, format!("no server of {cluster} answers"));
    let error = failures.into_iter().fold(error, |error, cause| error.cause(cause));
    error.now("nothing changed").next(format!("status cluster -n {cluster}"))
}

async fn open(
    session: &Session,
    inventory: &Inventory,
    address: &dkc_core::ids::HostAddress,
    _name: &str,
    node: &dkc_inventory::model::NodeName,
) -> Result<ControlClient, WorldError> {
    let (host, root) = observe::root_of(&session.world, inventory, address).await?;
    let mut client = host.control(&node_dir(&root, node)).await?;
    // A forwarded socket opens even if no daemon listens behind it; only an answer proves that one does.
    client.ask(&ControlRequest::Status, session.timeout()).await?;
    Ok(client)
}

fn expiry(time: Option<Duration>) -> Expiry {
    time.map_or(Expiry::Never, |time| Expiry::After(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// The key-value command, and the key to name in messages.
fn key_command(namespace: &Namespace, command: DataCommand) -> Result<(String, Command), CommandError> {
    let named = |key: &str| Key { namespace: namespace.clone(), bytes: key.to_owned().into() };
    Ok(match command {
        DataCommand::Set { key, value, expires, flags, add, replace, cas } => {
            let mode = match (add, replace, cas) {
                (true, _, _) => StoreMode::Add,
                (_, true, _) => StoreMode::Replace,
                (_, _, Some(version)) => StoreMode::Cas(version),
                _ => StoreMode::Set,
            };
            let value = if value == "-" { standard_input()?.into() } else { value.into() };
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
        DataCommand::Print { .. }
        | DataCommand::Rm { .. }
        | DataCommand::Keys { .. }
        | DataCommand::Export { .. }
        | DataCommand::Import { .. }
        | DataCommand::Count => {
            return Err(CommandError::bug("handled before"));
        }
    })
}

fn standard_input() -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(VALUE_MAX_BYTES + 1).read_to_end(&mut bytes);
    let cannot =
        |cause: String| CommandError::new(&codes::DATA_REFUSED, "cannot read the value").cause(cause);
    read.map_err(|error| cannot(error.to_string()))?;
    match bytes.len() as u64 > VALUE_MAX_BYTES {
        true => Err(cannot(format!("larger than {VALUE_MAX_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

/// Reports the outcome of a change.
fn print_outcome(session: &Session, key: &str, reply: Reply) -> Result<(), CommandError> {
    let refused = |what: String| Err(CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed"));
    let shown = quoted(key.as_bytes());
    match reply {
        Reply::Stored { version } => print_done(session, key, "stored", Some(version)),
        Reply::Touched => print_done(session, key, "touched", None),
        Reply::Deleted => print_done(session, key, "removed", None),
        Reply::Number { value, .. } => {
            let mut listing = Listing::new(&["key", "value"]);
            listing
                .push(vec![key.into(), value.to_string()], serde_json::json!({ "key": key, "value": value }));
            match session.settings.output {
                Some(_) => session.show(Format::Table, &listing),
                None => session.ui.data_line(&value.to_string()),
            }
            Ok(())
        }
        Reply::Count { records, bytes } => {
            let mut listing = Listing::new(&["records", "bytes"]);
            let row = vec![records.to_string(), bytes.to_string()];
            listing.push(row, serde_json::json!({ "records": records, "bytes": bytes }));
            session.show(Format::Table, &listing);
            Ok(())
        }
        Reply::NotFound => Err(CommandError::new(&codes::NO_KEY, format!("{shown} => value is not found"))
            .now("nothing changed")),
        Reply::NotStored => {
            refused(format!("{shown}: not stored: --add requires a missing key, --replace an existing one"))
        }
        Reply::Exists => refused(format!("the version of {shown} has changed")),
        Reply::NotANumber => refused(format!("the value of {shown} is not a number")),
        Reply::WrongType => {
            refused(format!("{shown} holds a list, hash, set or sorted set; `data` reads and writes strings"))
        }
        Reply::TooLarge => refused(format!("{shown}: key or value exceeds the cluster's size limit")),
        other => Err(CommandError::bug(format!("unexpected reply to a change: {other:?}"))),
    }
}

/// A successful change prints nothing on standard output unless a format was requested.
fn print_done(session: &Session, key: &str, what: &str, version: Option<u64>) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["key", "result", "version"]);
    let row = vec![key.into(), what.into(), version.map(|v| v.to_string()).unwrap_or_default()];
    listing.push(row, serde_json::json!({ "key": key, "result": what, "version": version }));
    match session.settings.output {
        Some(_) => session.show(Format::Table, &listing),
        None => session.ui.say(&format!("{}: {what}", quoted(key.as_bytes()))),
    }
    Ok(())
}

struct PrintStyle {
    is_long: bool,
    is_raw: bool,
}

#[derive(Serialize)]
struct PrintedRecord<'a> {
    key: &'a str,
    value: &'a Blob,
    version: u64,
    flags: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    modified_at_ms: u64,
}

/// `"key" => "value"`; a missing key is printed in the same form and exits with 1.
fn print(session: &Session, key: &str, reply: Reply, style: PrintStyle) -> Result<(), CommandError> {
    let Reply::Record(Record { value: bytes, flags, version, expires_at_ms, modified_at_ms }) = reply else {
        return match reply {
            Reply::NotFound => {
                if session.settings.output.is_none() && !style.is_raw {
                    session.ui.data_line(&format!("{} => value is not found", quoted(key.as_bytes())));
                }
                Err(CommandError::silent(Exit::Failed))
            }
            other => print_outcome(session, key, other),
        };
    };
    if style.is_raw {
        session.ui.data_bytes(&bytes);
        return Ok(());
    }
    let mut listing =
        Listing::new(&["key", "value", "version", "flags", "expires at (ms)", "modified at (ms)"]);
    let value = Blob::from_bytes(&bytes);
    let record = PrintedRecord { key, value: &value, version, flags, expires_at_ms, modified_at_ms };
    let expires = expires_at_ms.map(|at| at.to_string()).unwrap_or_default();
    let row = [
        key.into(),
        in_one_line(&bytes),
        version.to_string(),
        flags.to_string(),
        expires,
        modified_at_ms.to_string(),
    ];
    listing.push(row.to_vec(), record);
    match session.settings.output {
        None if !style.is_long => {
            session.ui.data_line(&format!("{} => {}", quoted(key.as_bytes()), quoted(&bytes)));
        }
        None => session.show(Format::Yaml, &listing),
        Some(_) => session.show(Format::Table, &listing),
    }
    Ok(())
}

/// In quotes, with control characters escaped.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", in_one_line(bytes).replace('"', "\\\""))
}

async fn remove(session: &Session, server: &mut Server, keys: Vec<String>) -> Result<(), CommandError> {
    let mut missing = Vec::new();
    for key in keys {
        let delete = Write::Delete { key: server.key(&key), version: None };
        match server.ask(DataRequest::Command(Command::Write(delete))).await? {
            Reply::NotFound => missing.push(quoted(key.as_bytes())),
            reply => print_outcome(session, &key, reply)?,
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => {
            Err(CommandError::new(&codes::NO_KEY, format!("{} => value is not found", missing.join(", "))))
        }
    }
}

async fn keys(
    session: &Session,
    server: &mut Server,
    prefix: Option<String>,
    limit: u32,
) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["key"]);
    let (mut cursor, mut left) = (None, limit);
    while left > 0 {
        let (namespace, prefix) = (server.namespace.clone(), prefix.clone().unwrap_or_default().into());
        let request =
            DataRequest::Keys { namespace, prefix, cursor: cursor.take(), limit: left.min(KEYS_PAGE) };
        let Reply::Keys { keys, next } = server.ask(request).await? else {
            return Err(CommandError::bug("unexpected reply to a request for keys"));
        };
        left = left.saturating_sub(keys.len() as u32);
        for key in keys {
            listing.push(vec![in_one_line(&key)], Blob::from_bytes(&key));
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    match session.settings.output {
        Some(_) => session.show(Format::Table, &listing),
        None => listing.rows.iter().for_each(|row| session.ui.data_line(&row[0])),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let check = |bytes: &[u8], want: &str| assert_eq!(quoted(bytes), want);
        check(b"test-value", "\"test-value\"");
        check("\u{e9}\u{65e5}".as_bytes(), "\"\u{e9}\u{65e5}\"");
        check(b"a\"b", "\"a\\\"b\"");
        check(b"a\x1b[31m\n", "\"a\\u{1b}[31m\\n\"");
        check(&[b'a', 0xff], "\"a\\xff\"");
    }
}
