//! Starting a node from its directory: configuration, identity, disk, certificates, groups, listeners, in this order, each with its
//! own refusal; and the clean shutdown. A crash at any point does not affect the next start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::{NodeConfig, Role, ServerRole, layout};
use dkc_core::ids::NodeUuid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::directory_lock::{DirectoryLock, LockError};
use super::disk::{Disk, DiskError};
use super::replica_error::ReplicaError;
use super::server::{Parts, Server};
use crate::certificates::Signer;
use crate::config::ConfigError;
use crate::control::{self, ControlError};
use crate::durable_file;
use crate::fatal;
use crate::log::LogError;
use crate::metrics_port;
use crate::net::{Alpn, Identity, Listener, NodeRole, Tls, TlsError};
use crate::notify;
use crate::router::{Router, RouterOptions};
use crate::slave::SlaveError;
use crate::task::of_this_node;

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
    #[error("{}: {words}", path.display())]
    PutBack { path: PathBuf, words: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Open(#[from] ReplicaError),
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
            Config(_)
            | NoIdentity { .. }
            | OtherIdentity { .. }
            | Removed { .. }
            | PutBack { .. }
            | Tls(_) => fatal::EXIT_CONFIG,
            Slave(SlaveError::NotASlave | SlaveError::Tls(_)) => fatal::EXIT_CONFIG,
            Lock(LockError::Io { .. }) => fatal::EXIT_DISK,
            Disk(DiskError::Log(LogError::InUse { .. }))
            | Lock(LockError::Held { .. })
            | Listen { .. }
            | Control(_)
            | Slave(_) => 1,
            File { .. } | Disk(_) | Open(_) => fatal::EXIT_DISK,
        }
    }
}

/// It is no secret, and the directories above decide who may see it.
const IDENTITY_MODE: u32 = 0o644;

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
        durable_file::replace(&path, format!("{uuid}\n").as_bytes(), IDENTITY_MODE)?;
        durable_file::sync_directory_of(&folder)
    };
    write().map_err(fail)?;
    Ok(true)
}

/// Replaces an identity that a power cut left empty before there was any data: a node starts only with a whole one.
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
    let removed = |path, words| StartError::Removed { path, words };
    let put_back = |path, words| StartError::PutBack { path, words };
    check_no_mark(directory.join(layout::REMOVED), removed)?;
    check_no_mark(directory.join(layout::PUT_BACK), put_back)
}

fn check_no_mark(path: PathBuf, refused: impl Fn(PathBuf, String) -> StartError) -> Result<(), StartError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Err(refused(path, text.trim().into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StartError::File { path, source }),
    }
}

/// Runs the node until it is asked to stop. Returns after a clean shutdown.
pub async fn run(directory: PathBuf, config: NodeConfig) -> Result<(), StartError> {
    let _lock = DirectoryLock::take(&directory.join(layout::DAEMON_LOCK))?;
    check_identity(&directory, config.node_uuid)?;
    check_not_removed(&directory)?;
    let (stop, stopped) = watch::channel(false);
    let warnings = config.warnings();
    // Not logged for a refused start: a refusal is one clear line.
    let ready = move || {
        warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", layout::CONFIG));
        notify::notify(notify::READY);
    };
    crate::task::spawn(watch_signals(stop.clone()));
    crate::task::spawn(keep_watchdog());
    match config.role.clone() {
        Role::Server(role) => {
            fatal::set_node(format!("{}-{}", config.cluster, role.number), directory.clone());
            run_server(directory, config, role, ready, stopped).await
        }
        Role::Slave(_) => {
            fatal::set_node(format!("{}-slave", config.cluster), directory.clone());
            Ok(crate::slave::run(&directory, config, ready, stopped).await?)
        }
    }
}

/// SIGTERM and SIGINT request a clean shutdown.
async fn watch_signals(stop: watch::Sender<bool>) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signal handlers not installed; stop this node through its control socket");
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
    ready: impl FnOnce(),
    mut stopped: watch::Receiver<bool>,
) -> Result<(), StartError> {
    let identity = Identity { cluster: config.cluster_id, role: NodeRole::Server, node: config.node_uuid };
    let tls = Tls::load(&directory, identity)?;
    // Before the disk is touched, so that a port in use is reported at once.
    let parameters = &config.parameters;
    let listening = Listener::bind(&role.listen, tls.clone(), parameters.connections_max).await;
    let listener =
        listening.map_err(|source| StartError::Listen { address: role.listen.to_string(), source })?;
    let socket = directory.join(layout::CONTROL_SOCKET);
    let control = control::open(&socket)?;
    let disk = Disk::open(&directory, &config, &role).await?;
    let parts = Parts { directory, config, role, tls, listener, disk, stopped: stopped.clone() };
    let Running { server, router, mut tasks } = Running::start(parts).await?;
    tasks.spawn(server.certificates().clone().keep(Signer::Own));
    let handler = Arc::new(super::control::ServerControl { server: server.clone(), router });
    tasks.spawn(control::serve(control, handler.clone()));
    tasks.spawn(metrics_port::serve(server.local().parameters().metrics_port, handler));
    tracing::info!(node = %server.local().id(), address = %server.local().role().listen, release = env!("CARGO_PKG_VERSION"), "serving");
    ready();

    // An error only means that a stop can no longer be requested.
    let _ = stopped.wait_for(|stop| *stop).await;
    notify::notify(notify::STOPPING);
    close(server, tasks, &socket).await
}

/// A running server; it ends when its tasks do.
pub struct Running {
    pub server: Arc<Server>,
    pub router: Router,
    pub tasks: JoinSet<()>,
}

impl Running {
    /// Opens the groups and starts all background tasks of a server.
    pub async fn start(parts: Parts) -> Result<Running, StartError> {
        let (tls, mut tasks) = (parts.tls.clone(), JoinSet::new());
        let server = Server::start(parts, &mut tasks).await?;
        let router = make_router(&server, &tls);
        tasks.spawn(of_this_node(super::control::feed_router(server.clone(), router.clone())));
        Ok(Running { server, router, tasks })
    }
}

fn make_router(server: &Server, tls: &Arc<Tls>) -> Router {
    Router::new(RouterOptions {
        tls: tls.clone(),
        alpn: Alpn::Peer,
        node_id: server.local().id(),
        servers: server.local().config().servers.clone(),
        ring: server.ring().map().map(|ring| (*ring).clone()),
        deadline: Duration::from_millis(server.local().parameters().request_deadline_ms),
        is_following: false,
    })
}

/// Hands leadership away, closes the groups, makes everything durable and removes the socket.
async fn close(server: Arc<Server>, mut tasks: JoinSet<()>, socket: &Path) -> Result<(), StartError> {
    server.leadership().transfer_all().await;
    tasks.shutdown().await;
    server.close().await.map_err(DiskError::from)?;
    if let Err(error) = std::fs::remove_file(socket) {
        tracing::warn!(%error, "control socket not removed");
    }
    tracing::info!("stopped");
    Ok(())
}
