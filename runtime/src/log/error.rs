//! Errors of opening the log. Every message says what is wrong, where, and what to do next. Damage is
//! never repaired by guessing, because a log that lost records must not vote.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "the Raft log is damaged: {} at byte {offset}: {why}. Nothing was changed and this node does not start, \
         because records that it acknowledged may be gone. Replace this member (its data comes back from the \
         other replicas) or restore the file from an image taken after the last stop",
        segment.display()
    )]
    Corrupt { segment: PathBuf, offset: u64, why: String },
    #[error(
        "{} has log format {found}, this program knows {known}: run the version that wrote it, or a newer one",
        segment.display()
    )]
    Version { segment: PathBuf, found: u16, known: u16 },
    #[error("the Raft log in {} is in use by another process: stop it first", dir.display())]
    InUse { dir: PathBuf },
    #[error("cannot {step} {}: {source}", path.display())]
    Io { step: &'static str, path: PathBuf, source: io::Error },
}

impl LogError {
    pub(super) fn io(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LogError {
        let path = path.into();
        move |source| LogError::Io { step, path, source }
    }
}
