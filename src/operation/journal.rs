//! The journal of one operation: a file `operations/<operation>.jsonl` whose first line is the plan and each further
//! line a finished step. *Invariant:* every line is synced before the next step begins, so that after any kill it is
//! known which steps may have been done. Only the last line may be torn; it then counts as not written.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dkc_inventory::generation::Generation;
use dkc_inventory::plan::Plan;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Journals kept; older completed ones are deleted.
const KEPT_MAX: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {what} the journal {path}: {source}", path = .path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the journal {path} does not start with a plan", path = .path.display())]
    NoPlan { path: PathBuf },
    #[error("'{0}' is not an operation id (op- and 8 hex digits)")]
    BadName(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Plan(Box<Plan>),
    Step { number: u32, error: Option<String> },
    End { is_complete: bool },
}

pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

/// The content of a journal.
#[derive(Debug)]
pub struct Recorded {
    pub plan: Plan,
    pub done: BTreeSet<u32>,
    pub is_complete: bool,
    /// It ended, successfully or not; otherwise it was cut off.
    pub has_ended: bool,
}

impl Journal {
    /// Creates the journal of a new operation with its plan. Nothing may change before this returns.
    pub fn create(dir: &Path, plan: &Plan) -> Result<Self, JournalError> {
        let path = path_of(dir, &plan.operation)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| JournalError::File { what: "make a directory for", path: dir.into(), source })?;
        forget_old(dir);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file =
            file.map_err(|source| JournalError::File { what: "create", path: path.clone(), source })?;
        let journal = Journal { path, file: Mutex::new(file) };
        journal.write(&Line::Plan(Box::new(plan.clone())))?;
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|source| JournalError::File { what: "sync", path: dir.into(), source })?;
        Ok(journal)
    }

    /// Reopens the journal of an unfinished operation to append to it.
    pub fn reopen(dir: &Path, operation: &str) -> Result<(Self, Recorded), JournalError> {
        let recorded = read(dir, operation)?;
        let path = path_of(dir, operation)?;
        let failed = |source| JournalError::File { what: "open", path: path.clone(), source };
        let mut file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        // Terminates a torn last line.
        let text = std::fs::read(&path).map_err(failed)?;
        if !text.ends_with(b"\n") {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok((Journal { path, file: Mutex::new(file) }, recorded))
    }

    /// Records a step's success or error.
    pub fn step(&self, number: u32, error: Option<String>) -> Result<(), JournalError> {
        self.write(&Line::Step { number, error })
    }

    /// Records the end of the operation. If this line is lost, `resume` finds nothing left to do.
    pub fn end(&self, is_complete: bool) {
        let _ = self.write(&Line::End { is_complete });
    }

    fn write(&self, line: &Line) -> Result<(), JournalError> {
        let mut text = serde_json::to_string(line).expect("a line is plain data");
        text.push('\n');
        let mut file = self.file.lock();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|source| JournalError::File { what: "write", path: self.path.clone(), source })
    }
}

/// Reads the journal of an operation.
pub fn read(dir: &Path, operation: &str) -> Result<Recorded, JournalError> {
    let path = path_of(dir, operation)?;
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|source| JournalError::File { what: "read", path: path.clone(), source })?;
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let Some(Line::Plan(plan)) = lines.next() else { return Err(JournalError::NoPlan { path }) };
    let mut recorded = Recorded { plan: *plan, done: BTreeSet::new(), is_complete: false, has_ended: false };
    for line in lines {
        match line {
            Line::Step { number, error: None } => drop(recorded.done.insert(number)),
            Line::End { is_complete } => (recorded.is_complete, recorded.has_ended) = (is_complete, true),
            _ => {}
        }
    }
    Ok(recorded)
}

impl Recorded {
    /// The newest unfinished operation that can still be resumed: the inventory is unchanged since, and the operation
    /// was not refused entirely.
    pub fn last_open(dir: &Path, now: Generation) -> Option<String> {
        let is_open = |recorded: Recorded| {
            let was_refused = recorded.has_ended && recorded.done.is_empty();
            !recorded.is_complete && !was_refused && recorded.plan.check_resumable(now).is_ok()
        };
        newest_first(dir).into_iter().find(|name| read(dir, name).is_ok_and(is_open))
    }
}

fn newest_first(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(".jsonl")?.to_owned();
            Some((entry.metadata().ok()?.modified().ok()?, name))
        })
        .collect();
    names.sort();
    names.into_iter().rev().map(|(_, name)| name).collect()
}

/// Deletes surplus journals, oldest first; only completed ones.
fn forget_old(dir: &Path) {
    for name in newest_first(dir).into_iter().skip(KEPT_MAX) {
        if read(dir, &name).is_ok_and(|recorded| recorded.is_complete) {
            let _ = std::fs::remove_file(dir.join(format!("{name}.jsonl")));
        }
    }
}

/// The id becomes part of a path, here and on hosts, so only our own format is accepted.
fn path_of(dir: &Path, operation: &str) -> Result<PathBuf, JournalError> {
    let digits = operation.strip_prefix("op-").unwrap_or_default();
    let is_ours = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_ours {
        true => Ok(dir.join(format!("{operation}.jsonl"))),
        false => Err(JournalError::BadName(operation.chars().take(40).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkc_inventory::plan::{Danger, HostAction, Step};

    fn plan(operation: &str) -> Plan {
        let step = |number| Step {
            number,
            phase: 1,
            host: "h".parse().unwrap(),
            node: None,
            action: HostAction::MakeRoot { root: "/r".into() }.into(),
        };
        Plan {
            operation: operation.into(),
            command: "deploy".into(),
            danger: Danger::Reversible,
            base: Generation::new(1),
            running: Generation::new(1),
            target: Generation::new(2),
            ring_version: None,
            confirm: None,
            impact: Vec::new(),
            undo: String::new(),
            steps: vec![step(1), step(2)],
            leaves: Vec::new(),
        }
    }

    #[test]
    fn what_was_done_is_known_after_a_kill_at_any_moment() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(dir.path(), &plan("op-00000001")).unwrap();
        journal.step(1, None).unwrap();
        journal.step(2, Some("no space".into())).unwrap();
        drop(journal);
        let path = dir.path().join("op-00000001.jsonl");
        let torn = format!("{}{{\"step\":{{\"numb", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, torn).unwrap();
        let (journal, recorded) = Journal::reopen(dir.path(), "op-00000001").unwrap();
        assert_eq!((recorded.done, recorded.is_complete), (BTreeSet::from([1]), false));
        assert_eq!(Recorded::last_open(dir.path(), Generation::new(1)).as_deref(), Some("op-00000001"));
        assert_eq!(Recorded::last_open(dir.path(), Generation::new(3)), None, "the inventory has gone on");
        Journal::create(dir.path(), &plan("op-00000002")).unwrap().end(false);
        assert_eq!(
            Recorded::last_open(dir.path(), Generation::new(1)).as_deref(),
            Some("op-00000001"),
            "2 was refused"
        );
        journal.step(2, None).unwrap();
        journal.end(true);
        let recorded = read(dir.path(), "op-00000001").unwrap();
        assert_eq!((recorded.done, recorded.is_complete), (BTreeSet::from([1, 2]), true));
        assert_eq!(Recorded::last_open(dir.path(), Generation::new(1)), None);
    }

    #[test]
    fn only_our_own_names_become_paths() {
        let dir = tempfile::tempdir().unwrap();
        let check = |name: &str, want: &str| {
            let error = read(dir.path(), name).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        };
        check("../../etc/passwd", "is not an operation id");
        check("op-1", "is not an operation id");
        check("op-0000000g", "is not an operation id");
        check("op-00000002", "cannot read the journal");
        std::fs::write(dir.path().join("op-00000003.jsonl"), "garbage\n").unwrap();
        check("op-00000003", "does not start with a plan");
    }
}
