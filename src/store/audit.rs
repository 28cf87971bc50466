//! The audit log: one line of JSON per change or refusal. Each line holds the digest of the line before it, which exposes
//! modified and removed lines.
//!
//! *Invariant:* it is append-only and contains no secrets; failed commands are logged too.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Store, files, state};
use crate::error::{CommandError, codes};
use dkc_inventory::generation::Generation;

const AUDIT_FILE: &str = "audit.jsonl";
/// The digest of the last line, which protects that line too.
const HEAD_FILE: &str = "audit.head";
/// The `before` of the first line.
const CHAIN_BEGIN: &str = "begin";

/// The record of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub time: String,
    pub who: String,
    pub from: String,
    pub command: String,
    /// `done`, or the error's id.
    pub result: String,
    pub exit: u8,
    pub generation_before: Generation,
    pub generation_after: Generation,
    /// Digest of the line before.
    pub before: String,
}

impl Store {
    /// Appends a line. The command must be redacted already.
    pub fn record(
        &self,
        command: &str,
        result: &str,
        exit: u8,
        generations: (Generation, Generation),
    ) -> Result<(), CommandError> {
        files::make_private_dir(&self.dir)?;
        let _only_one = AppendLock::take(self)?;
        let head = files::read(&self.head_file())?;
        let entry = AuditEntry {
            time: state::now_text(),
            who: state::user_name(),
            from: std::env::var("SSH_CLIENT")
                .ok()
                .and_then(|client| client.split(' ').next().map(str::to_owned))
                .unwrap_or_else(state::machine_name),
            command: command.to_owned(),
            result: result.to_owned(),
            exit,
            generation_before: generations.0,
            generation_after: generations.1,
            // The digest as written, not of the current content: a modified last line breaks the chain.
            before: head.unwrap_or_else(|| CHAIN_BEGIN.to_owned()),
        };
        let line = serde_json::to_string(&entry).map_err(|e| CommandError::bug(e.to_string()))?;
        files::append_line(&self.audit_file(), &line)?;
        files::replace(&self.head_file(), &digest(&line))
    }

    /// Every entry, oldest first, after verifying the chain.
    pub fn audit(&self) -> Result<Vec<AuditEntry>, CommandError> {
        let text = files::read(&self.audit_file())?.unwrap_or_default();
        let mut before = CHAIN_BEGIN.to_owned();
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let entry: AuditEntry =
                serde_json::from_str(line).map_err(|e| self.broken(index, format!("not an entry: {e}")))?;
            if entry.before != before {
                return Err(self.broken(index, "does not match the hash of the line before it".into()));
            }
            before = digest(line);
            entries.push(entry);
        }
        match files::read(&self.head_file())? {
            Some(head) if head != before => {
                Err(self.broken(entries.len(), "is missing, or the line before it was modified".into()))
            }
            _ => Ok(entries),
        }
    }

    fn broken(&self, index: usize, cause: String) -> CommandError {
        let place = format!("{}:{}", self.audit_file().display(), index + 1);
        CommandError::new(&codes::AUDIT_BROKEN, format!("broken hash chain in the audit log at {place}"))
            .cause(format!("line {} {cause}", index + 1))
            .next("keep the file for investigation; move it away to start a new log")
    }

    pub fn audit_file(&self) -> PathBuf {
        self.dir.join(AUDIT_FILE)
    }

    fn head_file(&self) -> PathBuf {
        self.dir.join(HEAD_FILE)
    }
}

/// Serialises commands that end at the same time, so that their lines have different predecessors.
struct AppendLock(#[allow(dead_code)] nix::fcntl::Flock<std::fs::File>);

impl AppendLock {
    fn take(store: &Store) -> Result<AppendLock, CommandError> {
        let path = store.dir.join("audit.lock");
        let file = files::open_private(&path);
        let file = file.map_err(|e| files::cannot(&codes::INVENTORY_UNWRITABLE, "open", &path, &e))?;
        // Held only while one line is written, so waiting for it is short.
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive)
            .map(AppendLock)
            .map_err(|(_, errno)| files::cannot(&codes::INVENTORY_UNWRITABLE, "lock", &path, &errno.into()))
    }
}

fn digest(line: &str) -> String {
    hex::encode(Sha256::digest(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_with_three() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().to_owned());
        for (command, result) in [("register host a", "done"), ("deploy", "DKC-E0151"), ("undo", "done")] {
            store.record(command, result, 0, (Generation::new(1), Generation::new(2))).unwrap();
        }
        (dir, store)
    }

    #[test]
    fn an_untouched_log_holds() {
        let (_dir, store) = store_with_three();
        let commands: Vec<String> = store.audit().unwrap().into_iter().map(|e| e.command).collect();
        assert_eq!(commands, ["register host a", "deploy", "undo"]);
    }

    #[test]
    fn a_changed_or_removed_line_shows() {
        for damage in
            [|t: &str| t.replace("DKC-E0151", "done"), |t: &str| t.split_inclusive('\n').skip(1).collect()]
        {
            let (_dir, store) = store_with_three();
            let text = std::fs::read_to_string(store.audit_file()).unwrap();
            std::fs::write(store.audit_file(), damage(&text)).unwrap();
            assert_eq!(store.audit().unwrap_err().code.number, codes::AUDIT_BROKEN.number);
        }
    }
}
