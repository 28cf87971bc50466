//! From a directory to a running node: configuration, identity, disk, certificates, groups, listeners, in this order,
//! each with its own refusal; and the orderly end. A crash at any point leaves nothing that the next start minds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::{NodeConfig, Role, ServerRole, layout};
use dkc_core::ids::NodeUuid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::directory_lock::{DirectoryLock, LockError};
use super::follow_meta::{OpenError, targets};
use super::server::{Server, make_hello};
use crate::certificates::{Certificates, Signer};
use crate::config::{ConfigError, InUse};
use crate::control::{self, ControlError};
use crate::durable_file;
use crate::fatal;
use crate::log::{LogError, LogOptions, SharedLog};
use crate::net::{Alpn, Identity, Listener, NodeRole, Peers, Tls, TlsError};
use crate::notify;
use crate::raft::snapshot_sends::SnapshotSends;
use crate::raft::{GroupContext, RingVersionSource, Transport};
use crate::router::{Router, RouterOptions};
use crate::slave::SlaveError;
use crate::storage::{Storage, StorageError, StorageOptions};
use crate::task::of_this_node;

/// Entries that stay in memory for each group: a follower that is a little behind reads nothing from disk.
const GROUP_CACHE_BYTES: usize = 512 * 1024;
/// Waiting for the other groups' Raft tasks to end when the node stops.
const CLOSE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}: this directory has no data yet; `dkcd init --dir DIR --uuid UUID` makes it, once", path.display())]
    NoIdentity { path: PathBuf },
    #[error("{}: the data belongs to node {found}, the configuration is for node {wanted}; nothing was touched", path.display())]
    OtherIdentity { path: PathBuf, found: String, wanted: NodeUuid },
    #[error("{}: {words}; {}", path.display(), fatal::HOW_TO_SERVE_AGAIN)]
    Removed { path: PathBuf, words: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Slave(#[from] SlaveError),
}

impl StartError {
    pub fn exit_status(&self) -> i32 {
        use StartError::*;
        match self {
            Config(_) | NoIdentity { .. } | OtherIdentity { .. } | Removed { .. } | Tls(_) => {
                fatal::EXIT_CONFIG
            }
            Slave(SlaveError::NotASlave | SlaveError::Tls(_)) => fatal::EXIT_CONFIG,
            Lock(LockError::Io { .. }) => fatal::EXIT_DISK,
            Log(LogError::InUse { .. })
            | Lock(LockError::Held { .. })
            | Listen { .. }
            | Control(_)
            | Slave(_) => 1,
            File { .. } | Log(_) | Storage(_) | Open(_) => fatal::EXIT_DISK,
        }
    }
}

/// Makes the data directory of a new node. The same UUID again changes nothing; another one is refused.
pub fn initialise(directory: &Path, uuid: NodeUuid) -> Result<bool, StartError> {
    use std::os::unix::fs::DirBuilderExt;
    match check_identity(directory, uuid) {
        Ok(()) => return Ok(false),
        Err(StartError::NoIdentity { .. }) => {}
        Err(error) => return Err(error),
    }
    let path = directory.join(layout::IDENTITY);
    let fail = |source| StartError::File { path: path.clone(), source };
    let folder = directory.join(layout::DATA_DIR);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(fail)?;
    let write = || {
        durable_file::replace(&path, format!("{uuid}\n").as_bytes(), 0o600)?;
        durable_file::sync_directory_of(&folder)
    };
    write().map_err(fail)?;
    Ok(true)
}

/// An identity that a power cut left empty, before there was any data: a node starts only with a whole one.
fn is_torn(directory: &Path, identity: &str) -> bool {
    let has_data = [layout::RAFT_LOG_DIR, layout::STATE_DIR].iter().any(|name| directory.join(name).exists());
    identity.trim_matches(['\0', '\n', ' ']).is_empty() && !has_data
}

fn check_identity(directory: &Path, wanted: NodeUuid) -> Result<(), StartError> {
    let path = directory.join(layout::IDENTITY);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == wanted.to_string() => Ok(()),
        Ok(text) if is_torn(directory, &text) => Err(StartError::NoIdentity { path }),
        Ok(text) => {
            let found = text.trim().chars().take(80).collect();
            Err(StartError::OtherIdentity { path, found, wanted })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StartError::NoIdentity { path }),
        Err(source) => Err(StartError::File { path, source }),
    }
}

/// Before the port is taken: the node that has this one's place may need it.
fn check_not_removed(directory: &Path) -> Result<(), StartError> {
    let path = directory.join(layout::REMOVED);
    match std::fs::read_to_string(&path) {
        Ok(text) => Err(StartError::Removed { path, words: text.trim().into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StartError::File { path, source }),
    }
}

/// Runs the node until it is told to stop. Returns after an orderly end.
pub async fn run(directory: PathBuf, config: NodeConfig) -> Result<(), StartError> {
    let _lock = DirectoryLock::take(&directory.join(layout::DAEMON_LOCK))?;
    check_identity(&directory, config.node_uuid)?;
    check_not_removed(&directory)?;
    let (stop, stopped) = watch::channel(false);
    crate::task::spawn(watch_signals(stop.clone()));
    crate::task::spawn(keep_watchdog());
    match config.role.clone() {
        Role::Server(role) => {
            fatal::set_node(format!("{}-{}", config.cluster, role.number), directory.clone());
            run_server(directory, config, role, stop, stopped).await
        }
        Role::Slave(_) => {
            fatal::set_node(format!("{}-slave", config.cluster), directory.clone());
            Ok(crate::slave::run(&directory, config, || notify::notify(notify::READY), stopped).await?)
        }
    }
}

/// SIGTERM and SIGINT ask for an orderly stop.
async fn watch_signals(stop: watch::Sender<bool>) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received; only the control socket can stop this node");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(true);
}

async fn keep_watchdog() {
    let Some(interval) = notify::watchdog_interval() else { return };
    loop {
        notify::notify(notify::WATCHDOG);
        tokio::time::sleep(interval).await;
    }
}

async fn run_server(
    directory: PathBuf,
    config: NodeConfig,
    role: ServerRole,
    stop: watch::Sender<bool>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), StartError> {
    let identity = Identity { cluster: config.cluster_id, role: NodeRole::Server, node: config.node_uuid };
    let tls = Tls::load(&directory, identity)?;
    // Before the disk is touched, so that a port in use is told at once.
    let parameters = &config.parameters;
    let listening = Listener::bind(&role.listen, tls.clone(), parameters.connections_max).await;
    let listener =
        listening.map_err(|source| StartError::Listen { address: role.listen.to_string(), source })?;
    let socket = directory.join(layout::CONTROL_SOCKET);
    let control = control::open(&socket)?;
    let (log, store) = open_disk(&directory, &config, &role).await?;
    let parts = Parts { directory, config, role, tls, listener, log, store, stop };
    let Running { server, router, mut tasks } = Running::start(parts).await?;
    tasks.spawn(server.certificates.clone().keep(Signer::Own));
    tasks.spawn(control::serve(
        control,
        Arc::new(super::control::ServerControl { server: server.clone(), router }),
    ));
    tracing::info!(node = %server.node, address = %server.role.listen, release = env!("CARGO_PKG_VERSION"), "serving");
    notify::notify(notify::READY);

    // An error only means that nobody can ask for a stop any more.
    let _ = stopped.wait_for(|stop| *stop).await;
    notify::notify(notify::STOPPING);
    close(server, tasks, &socket).await
}

pub async fn open_disk(
    directory: &Path,
    config: &NodeConfig,
    role: &ServerRole,
) -> Result<(SharedLog, Storage), StartError> {
    let log_options = LogOptions {
        segment_bytes: config.parameters.log_segment_bytes,
        group_cache_bytes: GROUP_CACHE_BYTES,
        ..LogOptions::default()
    };
    let storage_options = StorageOptions {
        cache_bytes: config.parameters.cache_bytes,
        tablets: role.tablets,
        ..StorageOptions::default()
    };
    let (log_directory, state_directory) =
        (directory.join(layout::RAFT_LOG_DIR), directory.join(layout::STATE_DIR));
    let opening = crate::task::spawn_blocking(move || -> Result<_, StartError> {
        let log = SharedLog::open(&log_directory, log_options)?;
        Ok((log, Storage::open(&state_directory, storage_options)?))
    });
    opening.await.unwrap_or_else(|error| panic!("opening the disk ended without a result: {error}"))
}

/// What a server is made of once its disk, its certificates and its port are open.
pub struct Parts {
    pub directory: PathBuf,
    pub config: NodeConfig,
    pub role: ServerRole,
    pub tls: Arc<Tls>,
    pub listener: Listener,
    pub log: SharedLog,
    pub store: Storage,
    pub stop: watch::Sender<bool>,
}

/// A server at work: it ends when the tasks do.
pub struct Running {
    pub server: Arc<Server>,
    pub router: Router,
    pub tasks: JoinSet<()>,
}

impl Running {
    /// Opens the groups and begins everything that a server does by itself.
    pub async fn start(parts: Parts) -> Result<Running, StartError> {
        let Parts { directory, config, role, tls, listener, log, store, stop } = parts;
        let server = open_server(directory, config, role, tls.clone(), &listener, log, store, stop).await?;
        let router = make_router(&server, &tls);
        let mut tasks = JoinSet::new();
        let serving = server.clone();
        let serve = move |connection| super::node_port::serve(serving.clone(), connection);
        tasks.spawn(of_this_node(super::node_port::learn_member_sources(server.clone(), listener.members())));
        tasks.spawn(of_this_node(listener.run(server.clone(), serve)));
        tasks.spawn(of_this_node(server.clone().follow_meta()));
        tasks.spawn(of_this_node(server.clone().drive_merges()));
        tasks.spawn(of_this_node(server.clone().keep_connected()));
        tasks.spawn(of_this_node(server.clone().keep_balanced()));
        tasks.spawn(of_this_node(server.clone().keep_beating()));
        tasks.spawn(of_this_node(server.clone().keep_hibernating()));
        tasks.spawn(of_this_node(server.clone().keep_persisted()));
        tasks.spawn(of_this_node(server.clone().watch_disk()));
        tasks.spawn(of_this_node(super::control::feed_router(server.clone(), router.clone())));
        Ok(Running { server, router, tasks })
    }
}

#[allow(clippy::too_many_arguments, reason = "what a server is made of, handed over once")]
async fn open_server(
    directory: PathBuf,
    config: NodeConfig,
    role: ServerRole,
    tls: Arc<Tls>,
    listener: &Listener,
    log: SharedLog,
    store: Storage,
    stop: watch::Sender<bool>,
) -> Result<Arc<Server>, StartError> {
    let node = role.node_id;
    let ring_version = RingVersionSource::default();
    let hello = {
        let (config, ring_version) = (config.clone(), ring_version.clone());
        Arc::new(move || make_hello(&config, node, ring_version.get()))
    };
    let certificates = Certificates::new(tls.clone(), directory.clone());
    let messages = Peers::new(tls.clone(), Alpn::Peer, hello.clone());
    let sending = SnapshotSends::new(config.parameters.merge_bytes_per_s);
    let transport = Arc::new(Transport::new(messages, Peers::new(tls, Alpn::Snapshot, hello), sending));
    transport.set_targets(targets(&config, None, node));
    let context = GroupContext {
        node,
        transport: transport.clone(),
        parameters: config.parameters.clone(),
        ring_version,
    };
    let meta_group = Server::open_meta(&context, &store, &log).await?;
    let server = Arc::new(Server {
        in_use: InUse::new(&directory, config.clone()),
        certificates,
        connections_max: listener.connections_max(),
        directory,
        role,
        node,
        started: Instant::now(),
        log,
        store,
        transport,
        context,
        meta_group,
        groups: Default::default(),
        ring: watch::channel(None).0,
        counters: Default::default(),
        connections: listener.connections(),
        beats: Default::default(),
        draining: Default::default(),
        is_stopping: Default::default(),
        is_disk_short: Default::default(),
        stop,
        config,
    });
    let state = server.meta();
    server.adopt_ring_map(&state).await;
    Ok(server)
}

fn make_router(server: &Server, tls: &Arc<Tls>) -> Router {
    Router::new(RouterOptions {
        tls: tls.clone(),
        alpn: Alpn::Peer,
        node_id: server.node,
        servers: server.config.servers.clone(),
        ring: server.ring().map(|ring| (*ring).clone()),
        deadline: Duration::from_millis(server.parameters().request_deadline_ms),
        is_following: false,
    })
}

/// Leadership away, groups closed, everything durable, socket gone.
async fn close(server: Arc<Server>, mut tasks: JoinSet<()>, socket: &Path) -> Result<(), StartError> {
    server.transfer_all_leadership().await;
    tasks.shutdown().await;
    let groups = server.all_groups();
    let closing = futures::future::join_all(groups.iter().map(|group| group.close()));
    if tokio::time::timeout(CLOSE_MAX, closing).await.is_err() {
        tracing::warn!("some groups did not stop in time");
    }
    let (log, store) = (server.log.clone(), server.store.clone());
    let flushing = crate::task::spawn_blocking(move || {
        let persisted = store.persist();
        log.close();
        persisted
    });
    flushing.await.unwrap_or_else(|error| panic!("closing the disk ended without a result: {error}"))?;
    if let Err(error) = std::fs::remove_file(socket) {
        tracing::warn!(%error, "the control socket stays behind");
    }
    tracing::info!("stopped");
    Ok(())
}
