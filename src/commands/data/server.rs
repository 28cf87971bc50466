//! A connection to one server of the cluster, and what can be asked of it. *Invariant:* a request that was sent and not answered
//! is an unknown outcome, never a failure.

use std::time::Duration;

use bytes::Bytes;
use dkc_core::control::{ControlReply, ControlRequest, DataRequest};
use dkc_core::ids::{ClusterName, Namespace};
use dkc_core::kv::{Command, Fault, Key, Read, Record, Reply, Value};
use dkc_inventory::model::{Inventory, node_dir};
use dkc_inventory::plan::Target;

use super::quoted;
use crate::error::{CommandError, codes};
use crate::observe;
use crate::operation;
use crate::session::Session;
use crate::world::{ControlClient, WorldError};

/// Longer than a server's request deadline, so that its answer arrives even when it gave up.
const DATA_TIMEOUT: Duration = Duration::from_secs(15);

/// A server of the cluster that answers; it routes each key to its leader itself.
pub struct Server {
    client: ControlClient,
    pub namespace: Namespace,
}

impl Server {
    pub async fn find(
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

    pub fn key(&self, key: &str) -> Key {
        Key { namespace: self.namespace.clone(), bytes: key.to_owned().into() }
    }

    pub async fn ask(&mut self, request: DataRequest) -> Result<Reply, CommandError> {
        match self.ask_control(&ControlRequest::Data(request), DATA_TIMEOUT).await? {
            ControlReply::Data(reply) => Ok(reply),
            other => Err(CommandError::bug(format!("unexpected reply to a data request: {other:?}"))),
        }
    }

    /// The record of a key that holds a string.
    pub async fn record(&mut self, key: &str) -> Result<Option<Record>, CommandError> {
        let get = Command::Read(Read::Get { key: self.key(key) });
        match self.ask(DataRequest::Command(get)).await? {
            Reply::Record(record) => Ok(Some(record)),
            Reply::NotFound => Ok(None),
            Reply::WrongType => Err(fault(key, Fault::WrongType)),
            other => Err(CommandError::bug(format!("unexpected reply to a get: {other:?}"))),
        }
    }

    /// Carries out one command of RESP; a fault is an error.
    pub async fn run(&mut self, words: Vec<Bytes>) -> Result<Value, CommandError> {
        let key = String::from_utf8_lossy(words.get(1).map_or(&[][..], |key| key)).into_owned();
        let namespace = self.namespace.clone();
        match self.ask(DataRequest::Run { namespace, commands: vec![words], watched: None }).await? {
            Reply::Value(Value::Fault(why)) => Err(fault(&key, why)),
            Reply::Value(value) => Ok(value),
            other => Err(CommandError::bug(format!("unexpected reply to a command: {other:?}"))),
        }
    }

    /// Carries out commands on keys of one slot together. `None`: a watched key has another version, and nothing was done.
    pub async fn run_together(
        &mut self,
        commands: Vec<Vec<Bytes>>,
        watched: Vec<(Bytes, u64)>,
    ) -> Result<Option<Vec<Value>>, CommandError> {
        let namespace = self.namespace.clone();
        match self.ask(DataRequest::Run { namespace, commands, watched: Some(watched) }).await? {
            Reply::Value(Value::Array(answers)) => Ok(Some(answers)),
            Reply::Value(Value::NilArray) => Ok(None),
            Reply::Value(Value::Fault(why)) => {
                Err(CommandError::new(&codes::DATA_REFUSED, words_of(why)).now("nothing changed"))
            }
            Reply::TooLarge => {
                Err(CommandError::new(&codes::DATA_REFUSED, "a key is too long").now("nothing changed"))
            }
            other => Err(CommandError::bug(format!("unexpected reply to a transaction: {other:?}"))),
        }
    }

    pub async fn ask_control(
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

/// Redis's words without the class in front of them.
fn words_of(why: Fault) -> String {
    let text = why.to_string();
    text.split_once(' ').map_or(text.clone(), |(_, words)| words.to_owned())
}

/// Why an operation on a key was not carried out.
pub fn fault(key: &str, why: Fault) -> CommandError {
    let shown = quoted(key.as_bytes());
    let refused = |what: String| CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed");
    match why {
        Fault::WrongType => {
            refused(format!("{shown} holds another type of value")).next(format!("data attr {key}"))
        }
        Fault::CrossSlot => refused(format!("{shown} and the other key are in different slots"))
            .next("give both names the same {tag}, such as {a}old and {a}new"),
        Fault::NoSuchKey => {
            CommandError::new(&codes::NO_KEY, format!("{shown} => value is not found")).now("nothing changed")
        }
        other => refused(format!("{shown}: {}", words_of(other))),
    }
}
