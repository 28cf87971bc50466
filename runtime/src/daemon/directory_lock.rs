//! One process per directory: a file with the process's pid and an advisory lock, which the kernel releases when the
//! process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Replaces the pid on a clean release: the process may exist for a moment longer, and a
/// reader of the file must not take it for a running node.
const LET_GO: &[u8] = b"-\n";
/// Longest time without a pid in a locked file: between locking and writing it, or between clearing it and unlocking.
const LOOK: Duration = Duration::from_millis(1);
const LOOKS_MAX: u32 = 1000;

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{}: held by process {pid}; this node is already running", path.display())]
    Held { path: PathBuf, pid: u32 },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Held as long as this lives.
pub struct DirectoryLock {
    file: Flock<File>,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // If this fails the pid stays, as after a crash: readers then check whether the process exists.
        let rewound = self.file.seek(io::SeekFrom::Start(0));
        let _ = rewound
            .and_then(|_| self.file.write_all(LET_GO))
            .and_then(|()| self.file.set_len(LET_GO.len() as u64));
    }
}

impl DirectoryLock {
    /// Takes the lock and writes this process's pid into the file.
    pub fn take(path: &Path) -> Result<DirectoryLock, LockError> {
        let fail = |source| LockError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        }
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = match Flock::lock(options.map_err(fail)?, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(LockError::Held { path: path.to_owned(), pid: read_pid(path).unwrap_or(0) });
            }
            Err((_, errno)) => return Err(fail(errno.into())),
        };
        // In place: on a full disk a truncated file could not be written again.
        let line = format!("{}\n", std::process::id());
        file.write_all(line.as_bytes()).and_then(|()| file.set_len(line.len() as u64)).map_err(fail)?;
        Ok(DirectoryLock { file })
    }

    /// The process that holds the lock now.
    pub fn holder(path: &Path) -> io::Result<Option<u32>> {
        for _ in 0..LOOKS_MAX {
            match look(path) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => std::thread::sleep(LOOK),
                looked => return looked,
            }
        }
        look(path)
    }
}

fn look(path: &Path) -> io::Result<Option<u32>> {
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_) => Ok(None),
        Err((_, Errno::EWOULDBLOCK)) => read_pid(path).map(Some),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn read_pid(path: &Path) -> io::Result<u32> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "contains no pid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/lock");
        assert_eq!(DirectoryLock::holder(&path).expect("readable"), None);
        let lock = DirectoryLock::take(&path).expect("free");
        let mine = std::process::id();
        assert!(matches!(DirectoryLock::take(&path), Err(LockError::Held { pid, .. }) if pid == mine));
        assert_eq!(DirectoryLock::holder(&path).expect("readable"), Some(mine));
        drop(lock);
        assert_eq!(DirectoryLock::holder(&path).expect("readable"), None);
        assert_eq!(
            std::fs::read_to_string(&path).expect("readable"),
            "-\n",
            "who has let go is not looked for"
        );
        std::fs::write(&path, "12345678901\n").expect("written");
        let _lock = DirectoryLock::take(&path).expect("free");
        assert_eq!(DirectoryLock::holder(&path).expect("readable"), Some(mine));
    }
}
