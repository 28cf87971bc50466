//! `join`: this machine becomes a slave of a cluster, with a token. It is the other end of `userdata`, and can be run by hand.
//!
//! *Invariant:* what can be refused on this machine (a port in use, no space, files of others) is refused before the token is shown.
//! *Invariant:* a command that was killed at any moment continues when it is run again with the same token, as the same slave.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dkc_core::config::{
    NODE_CONFIG_VERSION, NodeConfig, Pair, Protocol, Role, ServerEntry, SlaveRole, layout,
};
use dkc_core::ids::{MemberNo, Namespace, NodeId, NodeUuid};
use dkc_core::meta::ENROLLED_ID_FIRST;
use dkc_core::token::JoinToken;
use dkc_inventory::model::this_machine;
use dkc_inventory::plan::{self, JoinRequest, Plan, inventory_of};
use dkcd::durable_file;
use dkcd::join::{JoinError, NewSlave, StagedKey, WantedPair, enrol_somewhere, read_token};
use uuid::Uuid;

use super::deploy::own_program;
use super::register::pair::protocol;
use crate::error::{CommandError, codes};
use crate::observe::{self, Scope};
use crate::operation::{self, InventoryChanges, STAGED_ANCHORS, STAGED_NODE};
use crate::session::Session;

/// Below the inventory's directory: one directory for each token that this machine joined with.
const JOINING_DIR: &str = "joining";
/// Until the machine is a slave.
const KEY_FILE: &str = "join.key";
const PRIVATE_MODE: u32 = 0o600;

/// Make this machine a slave of a cluster, with a token
///
/// Enrols at one of the token's servers, installs this program and a service as deploy does, and starts it. The slave keeps its
/// own certificate and follows the cluster. userdata prints a script that does this on a bare machine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  join --token token.txt\n  join --token token.txt --listen 127.0.0.1:11311 --namespace sessions"
)]
pub struct Args {
    /// File with the token (- for standard input); never the token itself
    #[arg(long, value_name = "FILE")]
    pub token: PathBuf,
    #[command(flatten)]
    pub pair: PairArguments,
}

// Where a slave that joins listens for applications.
#[derive(Debug, Clone, clap::Args)]
pub struct PairArguments {
    /// Loopback ADDRESS:PORT, or the path of a Unix socket (default: 127.0.0.1:11211, for redis 127.0.0.1:6379)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Protocol for applications
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol(), default_value = "memcache")]
    pub protocol: Protocol,
    /// Namespace for applications (default: the token's first)
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let token = read_token(&args.token).map_err(not_joined)?;
    let wanted =
        WantedPair { listen: args.pair.listen, protocol: args.pair.protocol, namespace: args.pair.namespace };
    let staged = session.store.dir().join(JOINING_DIR).join(token.id.to_string());
    let config = match present(&staged)? {
        Some(config) => config,
        None => {
            let provisional = provisional(&token, &wanted);
            let checked = plan(session, &provisional, &staged).await?;
            if session.settings.dry_run {
                return operation::carry_out(session, checked, InventoryChanges::default()).await;
            }
            session.confirm(&format!(
                "This machine becomes a slave of cluster {}, which takes a use of the token. Go on?",
                token.cluster
            ))?;
            enrol(&token, &wanted, &staged).await?
        }
    };
    let plan = plan(session, &config, &staged).await?;
    // It was asked before the token was shown.
    let asked = std::mem::replace(&mut session.settings.yes, true);
    let joined = operation::carry_out(session, plan, InventoryChanges::default()).await;
    session.settings.yes = asked;
    joined?;
    if !session.settings.dry_run {
        forget_secrets(&staged);
        session.ui.say(&words(&config));
    }
    Ok(())
}

fn not_joined(error: JoinError) -> CommandError {
    CommandError::new(&codes::NOT_JOINED, error.to_string())
}

/// `this machine is slave 1000000 of c0: memcache on 127.0.0.1:11211, namespace default`
fn words(config: &NodeConfig) -> String {
    let Role::Slave(role) = &config.role else { return String::new() };
    let pairs = role
        .pairs
        .iter()
        .map(|pair| format!("{} on {}, namespace {}", pair.protocol, pair.listen, pair.namespace));
    format!(
        "this machine is slave {} of {}: {}",
        role.id,
        config.cluster,
        pairs.collect::<Vec<_>>().join("; ")
    )
}

async fn plan(session: &Session, config: &NodeConfig, staged: &Path) -> Result<Plan, CommandError> {
    let (inventory, _) = inventory_of(config).ok_or_else(|| CommandError::bug("not a slave"))?;
    let scope =
        Scope { wants_manager: true, ..Scope::of(BTreeSet::from([this_machine()]), session.timeout()) };
    let observed = observe::observe(&session.world, &inventory, &scope).await;
    let request = JoinRequest {
        operation: operation::begin(session),
        generation: session.inventory()?.generation,
        program: own_program()?,
        config: config.clone(),
        staged: super::backup::text_of(staged)?,
    };
    plan::join(&observed, &request).map_err(operation::refused("join"))
}

/// What the slave will be, as far as this machine can tell before it has asked.
fn provisional(token: &JoinToken, wanted: &WantedPair) -> NodeConfig {
    let server = |(index, address): (usize, &dkc_core::ids::NodeAddress)| ServerEntry {
        number: MemberNo(index as u32),
        node_id: NodeId(index as u64 + 1),
        node_uuid: NodeUuid(Uuid::new_v4()),
        address: address.clone(),
        zone: None,
    };
    let namespace = wanted.namespace.clone().unwrap_or_default();
    NodeConfig {
        version: NODE_CONFIG_VERSION,
        cluster: "joining".parse().expect("a name"),
        cluster_id: token.cluster,
        node_uuid: NodeUuid(Uuid::new_v4()),
        role: Role::Slave(SlaveRole {
            id: ENROLLED_ID_FIRST,
            pairs: vec![Pair { listen: wanted.listen(), protocol: wanted.protocol, namespace }],
        }),
        servers: token.servers.iter().enumerate().map(server).collect(),
        parameters: Default::default(),
    }
}

fn file_error(what: &'static str, path: &Path, source: std::io::Error) -> CommandError {
    not_joined(JoinError::file(what, path)(source))
}

/// The slave that this token made of this machine before.
fn present(staged: &Path) -> Result<Option<NodeConfig>, CommandError> {
    let path = staged.join(layout::CONFIG);
    match fs::read_to_string(&path) {
        Ok(text) => match NodeConfig::parse(&text, &path.display().to_string()) {
            Ok(config) => Ok(Some(config)),
            Err(error) => Err(not_joined(error.into())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error("read", &path, error)),
    }
}

/// The configuration is written last: whoever finds it finds all.
async fn enrol(token: &JoinToken, wanted: &WantedPair, staged: &Path) -> Result<NodeConfig, CommandError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(staged);
    made.map_err(|error| file_error("make", staged, error))?;
    let key = StagedKey::at(&staged.join(KEY_FILE)).map_err(not_joined)?;
    let enrolled = enrol_somewhere(token, &key).await.map_err(not_joined)?;
    let slave = NewSlave::of(token, &key, enrolled, wanted).map_err(not_joined)?;
    let text = slave.config.to_yaml();
    let files =
        [(STAGED_NODE, &slave.node_pem), (STAGED_ANCHORS, &slave.anchors_pem), (layout::CONFIG, &text)];
    for (name, content) in files {
        let path = staged.join(name);
        durable_file::replace(&path, content.as_bytes(), PRIVATE_MODE)
            .map_err(|error| file_error("write", &path, error))?;
    }
    Ok(slave.config)
}

/// The key is in the slave's directory now. What cannot be removed is private all the same.
fn forget_secrets(staged: &Path) {
    for name in [KEY_FILE, STAGED_NODE] {
        let _ = fs::remove_file(staged.join(name));
    }
}
