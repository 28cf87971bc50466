//! The directory of a playground: `<temporary directory>/dkc-play-<uid>/<4 hex>/`, with its inventory and its data.
//! *Invariant:* a playground that is not kept leaves nothing behind, even if its command is dropped half-way. Nothing is
//! removed unless it carries the playground's marker and belongs to this user.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dkc_core::config::layout;
use nix::fcntl::{Flock, FlockArg};

/// Marks the directory as a playground; the shell inside holds a lock on it.
const MARKER: &str = ".dkc-playground";
const INVENTORY_DIR: &str = "inventory";
const DATA_DIR: &str = "data";

#[derive(Debug, thiserror::Error)]
pub enum PlaygroundDirError {
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} belongs to another user or is accessible to others", path = .path.display())]
    Foreign { path: PathBuf },
    #[error("cannot stop a node in {dir}: {reason}", dir = .dir.display())]
    NotStopped { dir: PathBuf, reason: String },
}

pub struct PlaygroundDir {
    dir: PathBuf,
    /// Held while a shell is in it.
    lock: Option<Flock<File>>,
    /// Remove it when this value is dropped.
    is_ours_to_remove: bool,
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PlaygroundDirError + 'a {
    move |source| PlaygroundDirError::File { what, path: path.to_owned(), source }
}

impl PlaygroundDir {
    pub fn make() -> Result<Self, PlaygroundDirError> {
        let dir = make_parent()?.join(&uuid::Uuid::new_v4().simple().to_string()[..4]);
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        make(&dir).map_err(failed("make", &dir))?;
        let marker = dir.join(MARKER);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&marker);
        let file = file.map_err(failed("make", &marker))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok();
        let place = PlaygroundDir { dir, lock, is_ours_to_remove: true };
        make(&place.inventory_dir()).map_err(failed("make", &place.inventory_dir()))?;
        let supervised = place.inventory_dir().join(crate::store::SUPERVISED_MARKER);
        File::create(&supervised).map_err(failed("make", &supervised))?;
        Ok(place)
    }

    /// Every playground of this user.
    pub fn all() -> Result<Vec<Self>, PlaygroundDirError> {
        let parent = parent();
        if !parent.exists() {
            return Ok(Vec::new());
        }
        check_parent(&parent)?;
        let entries = std::fs::read_dir(&parent).map_err(failed("read", &parent))?;
        let dirs = entries.flatten().map(|entry| entry.path()).filter(|dir| dir.join(MARKER).is_file());
        let mut places: Vec<Self> =
            dirs.map(|dir| PlaygroundDir { dir, lock: None, is_ours_to_remove: false }).collect();
        places.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(places)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
    pub fn inventory_dir(&self) -> PathBuf {
        self.dir.join(INVENTORY_DIR)
    }
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join(DATA_DIR)
    }

    pub fn keep(&mut self) {
        self.is_ours_to_remove = false;
    }

    /// A shell is in it, this one or another.
    pub fn is_in_use(&self) -> bool {
        let open = || OpenOptions::new().read(true).write(true).open(self.dir.join(MARKER));
        self.lock.is_some()
            || open().is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
    }

    /// Stops its nodes, slaves first, and removes the directory.
    pub fn remove_now(&mut self) -> Result<(), PlaygroundDirError> {
        self.is_ours_to_remove = false;
        if !self.dir.join(MARKER).is_file() {
            return Ok(());
        }
        for node in self.nodes() {
            stop(&node)?;
        }
        std::fs::remove_dir_all(&self.dir).map_err(failed("remove", &self.dir))?;
        // Removes the common directory if this was the last one; otherwise it fails, as it should.
        let _ = self.dir.parent().map(std::fs::remove_dir);
        Ok(())
    }

    /// The directories of its nodes, slaves first: their names sort after the servers' numbers.
    fn nodes(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.data_dir()) else { return Vec::new() };
        let mut nodes: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|dir| dir.join(layout::NODE_MARKER).is_file())
            .collect();
        nodes.sort();
        nodes.reverse();
        nodes
    }
}

impl Drop for PlaygroundDir {
    fn drop(&mut self) {
        if self.is_ours_to_remove {
            // No caller can handle the error here; `playground list` shows what is left.
            let _ = self.remove_now();
        }
    }
}

fn stop(dir: &Path) -> Result<(), PlaygroundDirError> {
    let program = dir.join(layout::PROGRAM_LINK);
    if !program.exists() || !dir.join(layout::PID_FILE).exists() {
        return Ok(());
    }
    let mut command = Command::new(&program);
    command.args(["stop", "--dir"]).arg(dir).stdin(Stdio::null());
    let output = command.output().map_err(failed("run", &program))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(PlaygroundDirError::NotStopped { dir: dir.to_owned(), reason })
        }
    }
}

fn parent() -> PathBuf {
    std::env::temp_dir().join(format!("dkc-play-{}", nix::unistd::geteuid()))
}

fn make_parent() -> Result<PathBuf, PlaygroundDirError> {
    let dir = parent();
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", &dir)(error)),
        _ => check_parent(&dir).map(|()| dir),
    }
}

/// Refuses a directory that another user made under this name, or can access.
fn check_parent(dir: &Path) -> Result<(), PlaygroundDirError> {
    let found = std::fs::symlink_metadata(dir).map_err(failed("look at", dir))?;
    let is_ours =
        found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o077 == 0;
    if is_ours { Ok(()) } else { Err(PlaygroundDirError::Foreign { path: dir.to_owned() }) }
}
