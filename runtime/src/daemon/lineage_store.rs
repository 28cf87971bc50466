//! The runs of this server and what it remembers of others, in memory and in a file of the data directory, which a copy of that
//! directory takes along.
//!
//! *Invariant:* a run is in the file before it is told to anybody, and another server's run before that is answered.
//! How far another server's log has come is written later: a power cut here forgets the last seconds of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use dkc_core::ids::NodeUuid;
use dkc_core::lineage::{BadLineage, Heard, Lineage, LogEnd, Mark, Tell, WentBack};
use dkc_core::mutant::{self, Mutant};
use parking_lot::Mutex;

use super::lineage_file;
use crate::log::{SharedLog, is_disk_full};

#[derive(Debug, thiserror::Error)]
pub enum LineageError {
    #[error("the lineage in {} cannot be used: {why}. Without it this node cannot know whether it was put back from an old copy; \
             replace this member", directory.display())]
    Bad { directory: PathBuf, why: BadLineage },
    #[error("the lineage in {}: {source}", directory.display())]
    Io { directory: PathBuf, source: std::io::Error },
}

pub struct LineageStore {
    directory: PathBuf,
    lineage: Mutex<Lineage>,
    /// What others told has changed since the file was written.
    is_behind: AtomicBool,
    /// One writes at a time, so that no older text replaces a newer one.
    turn: tokio::sync::Mutex<()>,
}

impl LineageStore {
    /// Reads the file and begins a run. Blocks. On a full disk the last run goes on: its log does, too.
    pub fn open(directory: &Path, log: &SharedLog) -> Result<LineageStore, LineageError> {
        let failed = |source| LineageError::Io { directory: directory.into(), source };
        let text = lineage_file::read(directory).map_err(failed)?;
        let parsed = text.map_or_else(|| Ok(Lineage::default()), |text| Lineage::parse(&text));
        let mut lineage = parsed.map_err(|why| LineageError::Bad { directory: directory.into(), why })?;
        let mut begun = lineage.clone();
        begun.begin(crate::chance::unique_u64(), log.synced_end());
        match lineage_file::write(directory, &begun.render()) {
            Ok(()) => lineage = begun,
            Err(error) if is_disk_full(&error) => {
                tracing::warn!(%error, "run not recorded; the last one goes on")
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(LineageStore {
            directory: directory.into(),
            lineage: Mutex::new(lineage),
            is_behind: AtomicBool::new(false),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    pub fn tell(&self, end: LogEnd) -> Tell {
        self.lineage.lock().tell(end)
    }

    /// Compares what another server remembers of this one with what is here.
    pub fn check(&self, remembered: &Mark, end: LogEnd) -> Result<(), WentBack> {
        self.lineage.lock().check(remembered, end)
    }

    /// Takes what another server tells. Returns what was remembered of it before.
    pub async fn hear(&self, node: NodeUuid, told: &Tell) -> Option<Mark> {
        let (before, heard) = {
            let mut lineage = self.lineage.lock();
            (lineage.remembered(node), lineage.hear(node, told))
        };
        self.is_behind.fetch_or(heard != Heard::Nothing, Ordering::Relaxed);
        if heard == Heard::NewRun {
            self.persist().await;
        }
        before
    }

    /// Forgets servers that are no members any more.
    pub fn retain(&self, is_kept: impl Fn(NodeUuid) -> bool) {
        self.lineage.lock().retain(is_kept);
    }

    /// Writes the file, if it is behind.
    pub async fn persist(&self) {
        let _turn = self.turn.lock().await;
        if !self.is_behind.swap(false, Ordering::Relaxed) || mutant::is_active(Mutant::OthersForgotten) {
            return;
        }
        let (directory, text) = (self.directory.clone(), self.lineage.lock().render());
        let writing = crate::task::spawn_blocking(move || lineage_file::write(&directory, &text));
        match writing.await.unwrap_or_else(|error| panic!("writing ended without a result: {error}")) {
            Ok(()) => {}
            Err(error) if is_disk_full(&error) => {
                self.is_behind.store(true, Ordering::Relaxed);
                tracing::warn!(%error, "what other servers told is not recorded; will retry");
            }
            Err(error) => crate::fatal::disk(&format_args!("the lineage cannot be written: {error}")),
        }
    }
}
