//! `dkcd salvage`: a process that reads the directory of a stopped server for a recovery, and answers at the server's control
//! socket: what is there, and pages of it. It holds the server's lock, so that the server does not start meanwhile.
//!
//! *Invariant:* it takes no part in its cluster, and what it applies stays in memory: the directory remains that of the stopped server, to be
//! read again or started. Log and state store are opened as a start does it, which keeps what they hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::{NodeConfig, Role, ServerRole, layout};
use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::ids::{GroupId, NodeId, TabletId};
use dkc_core::ring::{ALL_SLOTS, founding_slots};
use dkc_core::salvage::{SalvagedServer, SlotRange};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::control::page_of_salvaged;
use super::directory_lock::{DirectoryLock, LockError};
use super::disk::{Disk, DiskError};
use crate::config::ConfigError;
use crate::control::{self, ControlError, Handler, refusal};
use crate::log::SharedLog;
use crate::raft::cut::{OpenCut, TabletCut};
use crate::raft::salvage::{SalvageError, replay_meta, replay_tablet};
use crate::raft::{Machine, TabletBounds};
use crate::storage::Storage;

/// It ends when nobody has asked anything for so long: the shell was killed, or lost its connection.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// For one that ends at this moment.
const LOCK_ATTEMPTS_MAX: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// A tablet that a split begins is read here, and gets no state: nobody is the node that would have it.
const NOBODY: NodeId = NodeId(u64::MAX);

#[derive(Debug, thiserror::Error)]
pub enum SalvageFailed {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0} is the directory of a slave, which has no records")]
    Slave(String),
    #[error("{0} is missing: there is nothing to read")]
    NoData(String),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Salvage(#[from] SalvageError),
}

/// Everything that a stopped server has.
pub struct Salvager {
    found: SalvagedServer,
    cuts: BTreeMap<TabletId, TabletCut>,
    /// The tablet that is being read.
    open: Mutex<Option<(TabletId, Arc<OpenCut>)>>,
    asked: watch::Sender<Asked>,
    _lock: DirectoryLock,
    _files: (SharedLog, Storage),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// So often.
    Times(u64),
    ToEnd,
}

impl Salvager {
    /// Opens the directory and applies the rest of every log. Blocks.
    pub fn open(directory: &Path) -> Result<Salvager, SalvageFailed> {
        let config = crate::config::read(directory)?;
        let Role::Server(role) = config.role.clone() else {
            return Err(SalvageFailed::Slave(directory.display().to_string()));
        };
        for part in [layout::IDENTITY, layout::RAFT_LOG_DIR, layout::STATE_DIR] {
            // Opening would make them, empty.
            if !directory.join(part).exists() {
                return Err(SalvageFailed::NoData(directory.join(part).display().to_string()));
            }
        }
        let lock = take_lock(directory)?;
        let (log, store) = Disk::open_log_and_store(directory, &config, &role)?;
        let is_put_back = directory.join(layout::PUT_BACK).exists();
        let (found, cuts) = read(&config, &role, &log, &store, is_put_back)?;
        let (open, asked) = (Mutex::default(), watch::channel(Asked::Times(0)).0);
        Ok(Salvager { found, cuts, open, asked, _lock: lock, _files: (log, store) })
    }

    fn opened(&self, tablet: TabletId) -> Result<Arc<OpenCut>, String> {
        if let Some((open, cut)) = &*self.open.lock()
            && *open == tablet
        {
            return Ok(cut.clone());
        }
        let cut = self.cuts.get(&tablet).ok_or_else(|| format!("tablet {tablet} is not here"))?;
        let cut = Arc::new(cut.open().map_err(|error| format!("tablet {tablet} cannot be read: {error}"))?);
        *self.open.lock() = Some((tablet, cut.clone()));
        Ok(cut)
    }

    async fn page(&self, tablet: TabletId, slots: &[SlotRange], cursor: Option<&str>) -> ControlReply {
        match self.opened(tablet) {
            Ok(open) => page_of_salvaged(&open, tablet, slots, cursor).await,
            Err(why) => refusal(why),
        }
    }
}

/// One that has just been asked to end may still hold it.
fn take_lock(directory: &Path) -> Result<DirectoryLock, LockError> {
    let path = directory.join(layout::DAEMON_LOCK);
    for _ in 1..LOCK_ATTEMPTS_MAX {
        match DirectoryLock::take(&path) {
            Err(LockError::Held { .. }) => std::thread::sleep(LOCK_PAUSE),
            taken => return taken,
        }
    }
    DirectoryLock::take(&path)
}

type Read = (SalvagedServer, BTreeMap<TabletId, TabletCut>);

fn read(
    config: &NodeConfig,
    role: &ServerRole,
    log: &SharedLog,
    store: &Storage,
    is_put_back: bool,
) -> Result<Read, SalvageFailed> {
    let mut founding = role.tablets;
    let mut meta = None;
    if store.has_group(GroupId::META) {
        let bounds = TabletBounds { value_max_bytes: 0, slots: ALL_SLOTS, node: NOBODY };
        let opened = store.meta().map_err(DiskError::from)?;
        let machine = Machine::open(GroupId::META, opened, bounds).map_err(SalvageError::from)?;
        meta = replay_meta(&machine, log.group(GroupId::META))?;
        let state = machine.meta().borrow().clone();
        if state.founding_tablets() > 0 {
            founding = state.founding_tablets();
        }
    }
    let (mut tablets, mut cuts) = (Vec::new(), BTreeMap::new());
    for tablet in store.tablets() {
        let value_max_bytes = config.parameters.value_max_bytes as usize;
        let bounds = TabletBounds { value_max_bytes, slots: founding_slots(tablet, founding), node: NOBODY };
        let opened = store.tablet(tablet).map_err(DiskError::from)?;
        let machine = Machine::open(tablet.group(), opened, bounds).map_err(SalvageError::from)?;
        let has_state = |tablet| store.has_tablet(tablet);
        for found in replay_tablet(&machine, tablet, log.group(tablet.group()), has_state)? {
            cuts.insert(found.tablet.tablet, found.cut);
            tablets.push(found.tablet);
        }
    }
    let (cluster_id, node_id, node_uuid) = (config.cluster_id, role.node_id, config.node_uuid);
    Ok((SalvagedServer { cluster_id, node_id, node_uuid, is_put_back, meta, tablets }, cuts))
}

impl Handler for Salvager {
    fn handle(&self, request: ControlRequest) -> BoxFuture<'_, ControlReply> {
        Box::pin(async move {
            self.asked.send_modify(|asked| {
                if let Asked::Times(times) = asked {
                    *times += 1;
                }
            });
            match request {
                ControlRequest::Salvage => ControlReply::Salvaged(Box::new(self.found.clone())),
                ControlRequest::SalvagePage { tablet, slots, cursor } => {
                    self.page(tablet, &slots, cursor.as_deref()).await
                }
                ControlRequest::EndSalvage => {
                    self.asked.send_replace(Asked::ToEnd);
                    ControlReply::Ok
                }
                _ => refusal("this server is stopped, and its directory is being read for a recovery"),
            }
        })
    }
}

/// Answers until it is asked to end, or nobody asks any more. `ready` is called once it answers.
pub async fn run(directory: &Path, ready: impl FnOnce()) -> Result<(), SalvageFailed> {
    let place = directory.to_owned();
    let opening = crate::task::spawn_blocking(move || Salvager::open(&place));
    let salvager =
        opening.await.unwrap_or_else(|error| panic!("opening the directory ended without a result: {error}"));
    let salvager = Arc::new(salvager?);
    let socket = directory.join(layout::CONTROL_SOCKET);
    let listener = control::open(&socket)?;
    let mut asked = salvager.asked.subscribe();
    let answering = crate::task::spawn(control::serve(listener, salvager.clone()));
    ready();
    while *asked.borrow_and_update() != Asked::ToEnd {
        match tokio::time::timeout(IDLE_MAX, asked.changed()).await {
            Ok(Ok(())) => {}
            _ => break,
        }
    }
    // The answer to the last request leaves before the lock does.
    drop(std::fs::remove_file(&socket));
    answering.abort();
    Ok(())
}
