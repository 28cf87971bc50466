//! From a token to a slave: the machine makes a key, enrols it at one of the token's servers and gets all that a slave's directory
//! holds. Which directory, and who runs it, is the caller's: `dkcd slave --join` writes one itself, `dkc join` installs it as a deploy
//! does.
//!
//! *Invariant:* the key is on the disk before it is shown to a server, so that a machine that is killed at any moment enrols the same
//! slave when it tries again, and takes no second use of the token.
//! *Invariant:* the key never leaves the machine, and neither key nor token is ever an argument, logged or in an error.

mod directory;
mod enrolment;
mod key;

use std::io::Read;
use std::path::{Path, PathBuf};

use dkc_core::config::{
    BadConfig, NODE_CONFIG_VERSION, NodeConfig, Pair, Parameters, Protocol, Role, SlaveRole,
};
use dkc_core::ids::Namespace;
use dkc_core::token::{BadToken, JoinToken, TOKEN_TEXT_MAX_BYTES};
use dkc_core::wire::Enrolment;

use crate::daemon::{LockError, StartError};
use crate::fatal;
use crate::net::TlsError;
use crate::net::enrol::{EnrolError, Enrolled};
pub use directory::join_directory;
pub use enrolment::enrol_somewhere;
pub use key::StagedKey;

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the token in {place}: {source}")]
    Token { place: String, source: BadToken },
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: not empty, and not the directory of a node; nothing was changed", path.display())]
    Occupied { path: PathBuf },
    #[error("the key in {}: {why}; remove the file to join with another one, which takes a use of the token", path.display())]
    Key { path: PathBuf, why: String },
    /// Of one server; the others said the same or less.
    #[error("{0}")]
    Refused(EnrolError),
    #[error("no server of the token enrols: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotNow(Vec<EnrolError>),
    #[error("the token is for namespace {}, not {wanted}", words(allowed))]
    Namespace { wanted: Namespace, allowed: Vec<Namespace> },
    #[error("the cluster's parameters: {0}; is this program as new as the cluster's?")]
    Parameters(String),
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error(transparent)]
    Certificate(#[from] TlsError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Initialise(#[from] StartError),
}

impl JoinError {
    /// For `map_err` of what is done with a file.
    pub fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> JoinError {
        let path = path.to_owned();
        move |source| JoinError::File { what, path, source }
    }

    /// Trying again helps only where something may change by itself.
    pub fn exit_status(&self) -> i32 {
        match self {
            JoinError::NotNow(_) | JoinError::Lock(_) => 1,
            JoinError::File { .. } => fatal::EXIT_DISK,
            JoinError::Initialise(error) => error.exit_status(),
            _ => fatal::EXIT_CONFIG,
        }
    }
}

fn words(namespaces: &[Namespace]) -> String {
    namespaces.iter().map(Namespace::to_string).collect::<Vec<_>>().join(" or ")
}

/// Where a new slave listens for applications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPair {
    /// None = where clients of the protocol look by default.
    pub listen: Option<String>,
    pub protocol: Protocol,
    /// None = the first of the token.
    pub namespace: Option<Namespace>,
}

impl WantedPair {
    /// What was asked for, or where clients of the protocol look by default.
    pub fn listen(&self) -> String {
        self.listen.clone().unwrap_or_else(|| self.protocol.default_listen().to_owned())
    }
}

/// All that the directory of a new slave holds.
#[derive(Debug)]
pub struct NewSlave {
    pub config: NodeConfig,
    /// Key and chain: secret.
    pub node_pem: String,
    pub anchors_pem: String,
}

impl NewSlave {
    pub fn of(
        token: &JoinToken,
        key: &StagedKey,
        enrolled: Enrolled,
        wanted: &WantedPair,
    ) -> Result<NewSlave, JoinError> {
        let Enrolled { anchors_pem, enrolment } = enrolled;
        let node_pem = key.pem() + &enrolment.chain;
        let config = config_of(token, enrolment, wanted)?;
        let anchors_pem = String::from_utf8_lossy(&anchors_pem).into_owned();
        Ok(NewSlave { config, node_pem, anchors_pem })
    }
}

fn config_of(token: &JoinToken, enrolment: Enrolment, wanted: &WantedPair) -> Result<NodeConfig, JoinError> {
    let allowed = enrolment.namespaces;
    let namespace = match &wanted.namespace {
        Some(wanted) if !allowed.contains(wanted) => {
            return Err(JoinError::Namespace { wanted: wanted.clone(), allowed });
        }
        Some(wanted) => wanted.clone(),
        None => allowed.into_iter().next().unwrap_or_default(),
    };
    let parameters: Parameters = serde_yaml::from_str(&enrolment.parameters)
        .map_err(|error| JoinError::Parameters(error.to_string()))?;
    let pair = Pair { listen: wanted.listen(), protocol: wanted.protocol, namespace };
    let config = NodeConfig {
        version: NODE_CONFIG_VERSION,
        cluster: enrolment.cluster,
        cluster_id: token.cluster,
        node_uuid: enrolment.node,
        role: Role::Slave(SlaveRole { id: enrolment.slave, pairs: vec![pair] }),
        servers: enrolment.servers.iter().map(Into::into).collect(),
        parameters,
    };
    // The same checks as of a file that somebody wrote.
    Ok(NodeConfig::parse(&config.to_yaml(), dkc_core::config::layout::CONFIG)?)
}

/// Reads a token from a file, or from standard input for `-`. Never more than a token can have.
pub fn read_token(from: &Path) -> Result<JoinToken, JoinError> {
    let is_input = from.as_os_str() == "-";
    let place = if is_input { "standard input".to_owned() } else { from.display().to_string() };
    let mut text = Vec::new();
    let limit = TOKEN_TEXT_MAX_BYTES as u64 + 2;
    let read = match is_input {
        true => std::io::stdin().lock().take(limit).read_to_end(&mut text),
        false => std::fs::File::open(from).and_then(|file| file.take(limit).read_to_end(&mut text)),
    };
    read.map_err(JoinError::file("read", Path::new(&place)))?;
    JoinToken::decode(&String::from_utf8_lossy(&text)).map_err(|source| JoinError::Token { place, source })
}
