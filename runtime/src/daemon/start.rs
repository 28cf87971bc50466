//! From a directory to a running node: configuration, identity, disk, certificates, groups, listeners, in this order,
//! each with its own refusal; and the orderly end. A crash at any point leaves nothing that the next start minds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::{BadConfig, NodeConfig, Role, ServerRole, layout};
use dkc_core::ids::NodeUuid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::directory_lock::{DirectoryLock, LockError};
use super::follow_meta::{OpenError, targets};
use super::memory::MemorySplit;
use super::server::{Server, make_hello};
use crate::control::{self, ControlError};
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

/// Waiting for the other groups' Raft tasks to end when the node stops.
const CLOSE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}: {source}; is this a node's directory?", path.display())]
    NoConfig { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Config(#[from] BadConfig),
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
            NoConfig { .. }
            | Config(_)
            | NoIdentity { .. }
            | OtherIdentity { .. }
            | Removed { .. }
            | Tls(_) => fatal::EXIT_CONFIG,
            Slave(SlaveError::NotASlave | SlaveError::Protocol { .. } | SlaveError::Tls(_)) => {
                fatal::EXIT_CONFIG
            }
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

/// Reads and checks the configuration of the node in `directory`.
pub fn check_config(directory: &Path) -> Result<NodeConfig, StartError> {
    let path = directory.join(layout::CONFIG);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| StartError::NoConfig { path: path.clone(), source })?;
    Ok(NodeConfig::parse(&text, &path.display().to_string())?)
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
    let unfinished = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        std::fs::write(&unfinished, format!("{uuid}\n"))?;
        std::fs::File::open(&unfinished)?.sync_all()?;
        std::fs::rename(&unfinished, &path)?;
        std::fs::File::open(&folder)?.sync_all()
    };
    write().map_err(fail)?;
    Ok(true)
}

fn check_identity(directory: &Path, wanted: NodeUuid) -> Result<(), StartError> {
    let path = directory.join(layout::IDENTITY);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == wanted.to_string() => Ok(()),
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
    let parts = Parts { directory, config, role, tls: tls.clone(), listener, log, store, stop };
    let Running { server, router, mut tasks } = Running::start(parts).await?;
    tasks.spawn(tls.keep_fresh());
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
    let split = MemorySplit::of(&config.parameters, role);
    let log_options = LogOptions {
        segment_bytes: config.parameters.log_segment_bytes,
        group_cache_bytes: split.group_cache_bytes as usize,
        queue_bytes_max: split.log_queue_bytes as usize,
    };
    let storage_options =
        StorageOptions { cache_bytes: split.block_cache_bytes, overlay_bytes: split.overlay_bytes };
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
        tasks.spawn(of_this_node(listener.run(server.clone(), serve)));
        tasks.spawn(of_this_node(server.clone().follow_meta()));
        tasks.spawn(of_this_node(server.clone().drive_merges()));
        tasks.spawn(of_this_node(server.clone().keep_connected()));
        tasks.spawn(of_this_node(server.clone().keep_balanced()));
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
    server.store.stop_waiting();
    let groups = server.all_groups();
    let closing = futures::future::join_all(groups.iter().map(|group| group.close()));
    if tokio::time::timeout(CLOSE_MAX, closing).await.is_err() {
        tracing::warn!("some groups did not stop in time");
    }
    // The first may be what was frozen already.
    let ingested = server.store.ingest().await.and(server.store.ingest().await);
    let log = server.log.clone();
    let closing = crate::task::spawn_blocking(move || log.close());
    closing.await.unwrap_or_else(|error| panic!("closing the disk ended without a result: {error}"));
    ingested?;
    if let Err(error) = std::fs::remove_file(socket) {
        tracing::warn!(%error, "the control socket stays behind");
    }
    tracing::info!("stopped");
    Ok(())
}
