//! `data`: single operations on the keys of a cluster, for an operator who wants to look or to correct.
//! A value that must not be seen in a process list is read from standard input (`-`).

use std::io::Read;
use std::time::Duration;

use dkc_core::control::{Blob, ControlReply, ControlRequest, DataMode, DataOperation, DataReply};
use dkc_core::ids::{ClusterName, Namespace};
use dkc_inventory::model::{Inventory, node_dir};
use dkc_inventory::plan::Target;
use serde::Serialize;

use crate::error::{CommandError, Exit, codes};
use crate::observe;
use crate::operation;
use crate::session::Session;
use crate::ui::{Format, Listing};
use crate::world::{ControlClient, WorldError};

/// A server tries for its request deadline; the answer of one that gave up must still arrive.
const DATA_LIMIT: Duration = Duration::from_secs(15);
/// Largest value that is read from standard input: what a cluster can be told to take at most.
const VALUE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Keys asked for at once.
const KEYS_PAGE: u32 = 1000;

/// Read and write keys of a cluster
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  data set -n c0 test-key test-value\n  data print -n c0 test-key\n  data keys -n c0 --prefix user: --limit 20\n  data incr -n c0 counter 5"
)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
    /// The cluster (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"], global = true,
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// The namespace (default: default)
    #[arg(long, value_name = "NS", global = true, default_value = "default")]
    pub namespace: Namespace,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Store a value
    Set {
        key: String,
        /// The value; - reads it from standard input
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Time until it expires, such as 60s
        #[arg(long, value_name = "TIME", value_parser = crate::cli::parse_duration)]
        expires: Option<std::time::Duration>,
        /// The number that clients keep beside a value
        #[arg(long, default_value_t = 0)]
        flags: u32,
        /// Only when the key does not exist
        #[arg(long, conflicts_with = "replace")]
        add: bool,
        /// Only when the key exists
        #[arg(long)]
        replace: bool,
        /// Only when the key still has this version (`data print --long` shows it)
        #[arg(long, value_name = "VERSION", conflicts_with_all = ["add", "replace"])]
        cas: Option<u64>,
    },
    /// Print the value of a key
    #[command(visible_alias = "get")]
    Print {
        key: String,
        /// With version, flags and expiry
        #[arg(long)]
        long: bool,
        /// Only the value, byte for byte
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
    /// Subtract from a number, not below 0
    Decr {
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
    /// Change when a key expires
    Touch {
        key: String,
        /// Time until it expires, such as 60s; without it the key never expires
        #[arg(value_name = "TIME", value_parser = crate::cli::parse_duration)]
        expires: Option<std::time::Duration>,
    },
    /// List keys
    Keys {
        /// Only keys that begin with this
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 1000)]
        limit: u32,
    },
    /// Count keys and bytes
    Count,
}

impl Args {
    pub fn is_changing(&self) -> bool {
        !matches!(self.action, Action::Print { .. } | Action::Keys { .. } | Action::Count)
    }
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let cluster = session.cluster_name(args.name.as_ref())?;
    let mut server = Server::find(session, cluster, args.namespace).await?;
    match args.action {
        Action::Keys { prefix, limit } => keys(session, &mut server, prefix, limit).await,
        Action::Rm { keys } => remove(session, &mut server, keys).await,
        Action::Print { key, long, raw } => {
            let reply = server.ask(DataOperation::Get { key: text(&key) }).await?;
            print(session, &key, reply, Face { is_long: long, is_raw: raw })
        }
        other => {
            let (words, operation) = operation(other)?;
            let reply = server.ask(operation).await?;
            said(session, &words, reply)
        }
    }
}

/// A server of the cluster that answers; it finds the leader of each key by itself.
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

    async fn ask(&mut self, operation: DataOperation) -> Result<DataReply, CommandError> {
        let request = ControlRequest::Data { namespace: self.namespace.clone(), operation };
        match self.client.ask(&request, DATA_LIMIT).await {
            Ok(ControlReply::Data(reply)) => Ok(reply),
            Ok(ControlReply::Error { message, is_outcome_unknown: true }) => {
                Err(CommandError::new(&codes::OUTCOME_UNKNOWN, message).now("it may have been done or not"))
            }
            Ok(ControlReply::Error { message, .. }) => {
                Err(CommandError::new(&codes::DATA_REFUSED, message).now("nothing changed"))
            }
            Ok(other) => Err(CommandError::bug(format!("a server answered {other:?} to a data request"))),
            // The request was sent; whether it was carried out nobody can tell.
            Err(error) => Err(CommandError::new(&codes::OUTCOME_UNKNOWN, error.to_string())
                .now("it may have been done or not")),
        }
    }
}

/// Every host was reached and none has a daemon: the cluster is stopped, and that is all there is to say. Otherwise
/// each server's own trouble is the cause.
fn no_server(cluster: &ClusterName, failures: Vec<String>, is_stopped: bool) -> CommandError {
    if is_stopped {
        let what = format!(
            "{cluster} is not running: no daemon answers on the hosts of its {} servers",
            failures.len()
        );
        let next = format!("start cluster -n {cluster}     (or, to see more: status cluster -n {cluster})");
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
    // A forwarded socket opens even when no daemon listens behind it: only an answer proves that one does.
    client.ask(&ControlRequest::Status, session.timeout()).await?;
    Ok(client)
}

fn text(word: &str) -> Blob {
    Blob::from_bytes(word.as_bytes())
}

fn milliseconds(time: Option<Duration>) -> Option<u64> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The request that an action means, and how it is spoken of.
fn operation(action: Action) -> Result<(String, DataOperation), CommandError> {
    Ok(match action {
        Action::Set { key, value, expires, flags, add, replace, cas } => {
            let mode = match (add, replace, cas) {
                (true, _, _) => DataMode::Add,
                (_, true, _) => DataMode::Replace,
                (_, _, Some(version)) => DataMode::Cas(version),
                _ => DataMode::Set,
            };
            let value = if value == "-" { Blob::from_bytes(&standard_input()?) } else { text(&value) };
            let expires_in_ms = milliseconds(expires);
            (key.clone(), DataOperation::Set { key: text(&key), value, flags, expires_in_ms, mode })
        }
        Action::Incr { key, by } => {
            (key.clone(), DataOperation::Increment { key: text(&key), by, is_decrement: false })
        }
        Action::Decr { key, by } => {
            (key.clone(), DataOperation::Increment { key: text(&key), by, is_decrement: true })
        }
        Action::Touch { key, expires } => {
            (key.clone(), DataOperation::Touch { key: text(&key), expires_in_ms: milliseconds(expires) })
        }
        Action::Count => (String::new(), DataOperation::Count),
        Action::Print { key, .. } => (key.clone(), DataOperation::Get { key: text(&key) }),
        Action::Rm { .. } | Action::Keys { .. } => return Err(CommandError::bug("handled before")),
    })
}

fn standard_input() -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(VALUE_MAX_BYTES + 1).read_to_end(&mut bytes);
    let cannot =
        |cause: String| CommandError::new(&codes::DATA_REFUSED, "cannot read the value").cause(cause);
    read.map_err(|error| cannot(error.to_string()))?;
    match bytes.len() as u64 > VALUE_MAX_BYTES {
        true => Err(cannot(format!("it is larger than {VALUE_MAX_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

/// What became of a change, in the words of the operator.
fn said(session: &Session, key: &str, reply: DataReply) -> Result<(), CommandError> {
    let refused = |what: String| Err(CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed"));
    let shown = quoted(key.as_bytes());
    match reply {
        DataReply::Stored { version } => said_of(session, key, "stored", Some(version)),
        DataReply::Touched => said_of(session, key, "touched", None),
        DataReply::Removed => said_of(session, key, "removed", None),
        DataReply::Number { value } => {
            let mut listing = Listing::new(&["key", "value"]);
            listing
                .push(vec![key.into(), value.to_string()], serde_json::json!({ "key": key, "value": value }));
            match session.settings.output {
                Some(_) => session.show(Format::Table, &listing),
                None => session.ui.data_line(&value.to_string()),
            }
            Ok(())
        }
        DataReply::Count { records, bytes } => {
            let mut listing = Listing::new(&["records", "bytes"]);
            let row = vec![records.to_string(), bytes.to_string()];
            listing.push(row, serde_json::json!({ "records": records, "bytes": bytes }));
            session.show(Format::Table, &listing);
            Ok(())
        }
        DataReply::NotFound => {
            Err(CommandError::new(&codes::NO_KEY, format!("{shown} => value is not found"))
                .now("nothing changed"))
        }
        DataReply::NotStored => refused(format!(
            "{shown}: not stored: --add needs a key that is not there, --replace one that is"
        )),
        DataReply::Exists => refused(format!("{shown} has another version by now")),
        DataReply::NotANumber => refused(format!("the value of {shown} is not a number")),
        DataReply::TooLarge => refused(format!("{shown}: the key or value is over the cluster's limit")),
        other => Err(CommandError::bug(format!("a server answered {other:?} to a change"))),
    }
}

/// A change that went well says nothing on standard output unless a format was asked for.
fn said_of(session: &Session, key: &str, what: &str, version: Option<u64>) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["key", "result", "version"]);
    let row = vec![key.into(), what.into(), version.map(|v| v.to_string()).unwrap_or_default()];
    listing.push(row, serde_json::json!({ "key": key, "result": what, "version": version }));
    match session.settings.output {
        Some(_) => session.show(Format::Table, &listing),
        None => session.ui.say(&format!("{}: {what}", quoted(key.as_bytes()))),
    }
    Ok(())
}

struct Face {
    is_long: bool,
    is_raw: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    key: &'a str,
    value: &'a Blob,
    version: u64,
    flags: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    modified_at_ms: u64,
}

/// `"key" => "value"`; a key that is not there is said the same way, and is exit 1.
fn print(session: &Session, key: &str, reply: DataReply, face: Face) -> Result<(), CommandError> {
    let DataReply::Value { value, flags, version, expires_at_ms, modified_at_ms } = reply else {
        return match reply {
            DataReply::NotFound => {
                if session.settings.output.is_none() && !face.is_raw {
                    session.ui.data_line(&format!("{} => value is not found", quoted(key.as_bytes())));
                }
                Err(CommandError::silent(Exit::Failed))
            }
            other => said(session, key, other),
        };
    };
    let bytes = value.to_bytes().map_err(|error| CommandError::bug(format!("a value: {error}")))?;
    if face.is_raw {
        session.ui.data_bytes(&bytes);
        return Ok(());
    }
    let mut listing =
        Listing::new(&["key", "value", "version", "flags", "expires at (ms)", "modified at (ms)"]);
    let record = Record { key, value: &value, version, flags, expires_at_ms, modified_at_ms };
    let expires = expires_at_ms.map(|at| at.to_string()).unwrap_or_default();
    let row = [
        key.into(),
        shown(&bytes),
        version.to_string(),
        flags.to_string(),
        expires,
        modified_at_ms.to_string(),
    ];
    listing.push(row.to_vec(), record);
    match session.settings.output {
        None if !face.is_long => {
            session.ui.data_line(&format!("{} => {}", quoted(key.as_bytes()), quoted(&bytes)));
        }
        None => session.show(Format::Yaml, &listing),
        Some(_) => session.show(Format::Table, &listing),
    }
    Ok(())
}

/// In quotes, with everything escaped that would disturb a terminal.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", shown(bytes).replace('"', "\\\""))
}

fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter.is_control() || letter == '\\' {
                true => out.extend(letter.escape_default()),
                false => out.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

async fn remove(session: &Session, server: &mut Server, keys: Vec<String>) -> Result<(), CommandError> {
    let mut missing = Vec::new();
    for key in keys {
        match server.ask(DataOperation::Remove { key: text(&key) }).await? {
            DataReply::NotFound => missing.push(quoted(key.as_bytes())),
            reply => said(session, &key, reply)?,
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
        let prefix = prefix.as_deref().map(text);
        let operation = DataOperation::Keys { prefix, cursor: cursor.take(), limit: left.min(KEYS_PAGE) };
        let DataReply::Keys { keys, next } = server.ask(operation).await? else {
            return Err(CommandError::bug("a server answered something else to a list of keys"));
        };
        left = left.saturating_sub(keys.len() as u32);
        for key in keys {
            let bytes = key.to_bytes().map_err(|error| CommandError::bug(format!("a key: {error}")))?;
            listing.push(vec![shown(&bytes)], key);
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
    fn what_is_shown_never_disturbs_the_terminal() {
        let check = |bytes: &[u8], want: &str| assert_eq!(quoted(bytes), want);
        check(b"test-value", "\"test-value\"");
        check("\u{e9}\u{65e5}".as_bytes(), "\"\u{e9}\u{65e5}\"");
        check(b"a\"b", "\"a\\\"b\"");
        check(b"a\x1b[31m\n", "\"a\\u{1b}[31m\\n\"");
        check(&[b'a', 0xff], "\"a\\xff\"");
    }
}
