//! The lock of an inventory, and the writing that only its holder may do.
//!
//! *Invariant:* the kernel holds the lock (`flock`), so it ends with its process and is never stale. The file's text names
//! the owner for people only. `lock break` replaces the file; a holder whose file is no longer the one in the directory
//! has lost the lock and cannot write.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use dkc_inventory::model::Inventory;
use dkc_inventory::yaml;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::{Store, files};
use crate::error::{CommandError, codes};

const LOCK_FILE: &str = "lock";

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub who: String,
    pub from: String,
    pub process: u32,
    pub what: String,
    pub since: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} on {} (process {}) since {}: {}",
            self.who, self.from, self.process, self.since, self.what
        )
    }
}

/// The locked inventory, until dropped.
pub struct Locked {
    store: Store,
    file: Flock<File>,
}

impl Locked {
    pub(super) fn take(store: Store, what: &str) -> Result<Locked, CommandError> {
        let path = lock_path(&store);
        let file = files::open_private(&path)
            .map_err(|e| files::cannot(&codes::INVENTORY_UNWRITABLE, "open", &path, &e))?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => return Err(held(&store)),
            Err((_, errno)) => {
                return Err(files::cannot(&codes::INVENTORY_UNWRITABLE, "lock", &path, &errno.into()));
            }
        };
        write_owner(&mut file, what)
            .map_err(|e| files::cannot(&codes::INVENTORY_UNWRITABLE, "write", &path, &e))?;
        let locked = Locked { store, file };
        // Another operator may have broken the lock since the file was opened.
        locked.still_held()?;
        Ok(locked)
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The inventory under the lock.
    pub fn load(&self) -> Result<Inventory, CommandError> {
        self.store.load()
    }

    /// Saves the inventory and keeps the previous generation.
    pub fn save(&self, inventory: &Inventory) -> Result<(), CommandError> {
        self.still_held()?;
        let path = self.store.inventory_file();
        if let Some(text) = files::read(&path)? {
            self.store.keep(&text)?;
        }
        files::replace(&path, &yaml::to_text(inventory))
    }

    /// Saves the inventory over an unreadable file, which is kept under another name.
    pub fn save_over_broken(&self, inventory: &Inventory) -> Result<PathBuf, CommandError> {
        self.still_held()?;
        let path = self.store.inventory_file();
        let aside = path.with_extension(format!("broken-{}", inventory.generation));
        std::fs::rename(&path, &aside)
            .map_err(|e| files::cannot(&codes::INVENTORY_UNWRITABLE, "rename", &path, &e))?;
        files::replace(&path, &yaml::to_text(inventory))?;
        Ok(aside)
    }

    fn still_held(&self) -> Result<(), CommandError> {
        let path = lock_path(&self.store);
        let same = |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        match (std::fs::metadata(&path), self.file.metadata()) {
            (Ok(in_dir), Ok(ours)) if same(&in_dir, &ours) => Ok(()),
            _ => Err(CommandError::new(&codes::LOCK_LOST, "another operator broke this operation's lock")
                .now("the inventory was not written")
                .next("check the inventory with show, then run the command again")),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // The owner's line is for people; an empty file means free. The kernel releases the lock itself.
        let _ = self.file.set_len(0);
    }
}

impl Store {
    /// The lock's current holder.
    pub fn lock_owner(&self) -> Result<Option<Owner>, CommandError> {
        let path = lock_path(self);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(files::cannot(&codes::INVENTORY_UNREADABLE, "read", &path, &e)),
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_free) => Ok(None),
            Err((mut file, _)) => Ok(Some(read_owner(&mut file))),
        }
    }

    /// Breaks the lock: its holder can no longer write the inventory.
    pub fn break_lock(&self) -> Result<(), CommandError> {
        files::replace(&lock_path(self), "")
    }
}

fn lock_path(store: &Store) -> PathBuf {
    store.dir().join(LOCK_FILE)
}

fn held(store: &Store) -> CommandError {
    let error = CommandError::new(&codes::LOCK_HELD, "another process is changing the inventory")
        .now("nothing changed")
        .next("wait until it finishes, then run the command again     (details: lock show)");
    match store.lock_owner() {
        Ok(Some(owner)) => error.cause(owner.to_string()),
        _ => error,
    }
}

fn write_owner(file: &mut File, what: &str) -> std::io::Result<()> {
    let owner = Owner {
        who: super::state::user_name(),
        from: super::state::machine_name(),
        process: std::process::id(),
        what: what.to_owned(),
        since: super::state::now_text(),
    };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(&owner).unwrap_or_default().as_bytes())
}

/// The owner may still be writing its line; then its name is unknown.
fn read_owner(file: &mut File) -> Owner {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    serde_json::from_str(&text).unwrap_or_else(|_| Owner {
        who: "unknown user".into(),
        from: "an unknown machine".into(),
        process: 0,
        what: "an operation that has just started".into(),
        since: super::state::now_text(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("inventory"));
        (dir, store)
    }

    #[test]
    fn a_second_operator_is_told_who_holds_the_lock() {
        let (_dir, store) = store();
        let first = store.lock("deploy c0").unwrap();
        let error = store.lock("register host a").err().unwrap();
        assert_eq!(error.exit, crate::error::Exit::Busy);
        assert!(error.cause[0].ends_with(": deploy c0"), "{error}");
        drop(first);
        assert_eq!(store.lock_owner().unwrap(), None);
        store.lock("register host a").unwrap();
    }

    #[test]
    fn whoever_lost_the_lock_cannot_write() {
        let (_dir, store) = store();
        let first = store.lock("deploy c0").unwrap();
        store.break_lock().unwrap();
        let second = store.lock("register host a").unwrap();
        let inventory = store.load().unwrap();
        assert_eq!(first.save(&inventory).unwrap_err().code.number, codes::LOCK_LOST.number);
        second.save(&inventory).unwrap();
    }
}
