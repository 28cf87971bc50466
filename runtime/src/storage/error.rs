//! Errors of the state store. After an error of the engine none of its answers can be trusted: the daemon exits (`is_fatal`), and a
//! restart reads what is really on disk.

use std::io;
use std::path::PathBuf;

use dkc_core::kv::codec::BadBytes;

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot {step} {}: {source}", path.display())]
    Io { step: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {step} in the state store: {source}")]
    Engine { step: &'static str, source: fjall::Error },
    #[error(
        "{} has state format {found}, this program knows {known}: start the program version that wrote it, or a newer one",
        path.display()
    )]
    Version { path: PathBuf, found: String, known: u32 },
    #[error(
        "the state in {} is damaged: {why}. Nothing was changed and this node does not start. Replace this member \
         (its data comes back from the other replicas) or put the directory back from an image taken after the last stop",
        path.display()
    )]
    Damaged { path: PathBuf, why: String },
    #[error("{0} is not on this node any more")]
    Dropped(String),
    #[error("a row cannot be stored: {0}")]
    BadRow(&'static str),
    #[error("a row of the state store cannot be read: {0}")]
    BadBytes(#[from] BadBytes),
    #[error("taking over a snapshot was given up: {0}")]
    InstallFailed(String),
}

impl StorageError {
    /// Whether the process must end (exit status 74): the engine takes no more writes after such an error.
    pub fn is_fatal(&self) -> bool {
        matches!(self, StorageError::Io { .. } | StorageError::Engine { .. } | StorageError::BadBytes(_))
    }

    /// The disk is full. Nothing was changed; the operation can be retried once there is space.
    /// (The engine differs: after a full disk it takes no more writes.)
    pub fn is_disk_full(&self) -> bool {
        matches!(self, StorageError::Io { source, .. } if crate::log::is_disk_full(source))
    }

    pub(super) fn io(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StorageError {
        let path = path.into();
        move |source| StorageError::Io { step, path, source }
    }

    pub(super) fn engine(step: &'static str) -> impl FnOnce(fjall::Error) -> StorageError {
        move |source| StorageError::Engine { step, source }
    }
}
