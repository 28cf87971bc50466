//! How a server whose directory was put back from an older copy is noticed. Each start is a *run* with a number, a random id and
//! the end of the log when it began. A server tells the others its runs and how far its log is synced; they remember the last they
//! heard, and tell it when it comes back. It compares that with its own runs: a copy lacks what was told after it was made.
//!
//! *Invariant:* a server tells only what is synced, so no crash makes it fall behind what others remember of it.
//! *Invariant:* what does not follow from the remembered never replaces it, so nobody forgets what a copy lacks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::NodeUuid;
use crate::meta::BadBytes;
use crate::meta::codec::{decode_versioned, encode_versioned};
use crate::mutant::{self, Mutant};

#[cfg(test)]
mod tests;
mod text;

pub use text::{BadLineage, FORMAT_VERSION};

/// Runs that a server remembers of itself. Of an older one only the end of the log is compared.
pub const RUNS_MAX: usize = 32;

/// A place in a server's log, across all of its groups. It only grows, whatever is truncated or purged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogEnd(pub u64);

/// One start of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counts the starts of a directory, from 1.
    pub number: u64,
    /// Random, because two copies of a directory count alike.
    pub id: u64,
    /// The end of the log when the run began: where the run before it ended.
    pub begins: LogEnd,
}

/// What is remembered of another server: the newest run that it told, and how far its log was synced in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// As in `Run`.
    pub number: u64,
    /// As in `Run`.
    pub id: u64,
    /// The end of the synced log.
    pub end: LogEnd,
}

/// What a server tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    /// The oldest first; the last one is the present one.
    pub runs: Vec<Run>,
    /// The end of the synced log.
    pub end: LogEnd,
}

/// A directory lacks what it once had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WentBack {
    /// It does not know the run.
    #[error("start {0} of this server, which this directory knows nothing of")]
    Unknown(u64),
    /// It knows the run, with less log.
    #[error(
        "log that this server wrote in its start {number} (up to {end}), of which this directory has less (up to {here})"
    )]
    Shorter {
        /// Of the run.
        number: u64,
        /// As remembered.
        end: u64,
        /// As it is.
        here: u64,
    },
}

/// What came of something that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Known already, or older, or not a continuation of what is remembered.
    Nothing,
    /// The log of the known run has grown.
    Further,
    /// Another run: to be remembered durably before it is answered.
    NewRun,
}

/// The runs of this server, and what it remembers of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    runs: Vec<Run>,
    others: BTreeMap<NodeUuid, Mark>,
}

/// Whether what is remembered is part of these runs, of which the last one has synced up to `end`.
fn judge(runs: &[Run], end: LogEnd, mark: &Mark) -> Result<(), WentBack> {
    let Some(at) = runs.iter().position(|run| (run.number, run.id) == (mark.number, mark.id)) else {
        return match runs.first() {
            // Older than all that are kept.
            Some(oldest) if mark.number < oldest.number && mark.end <= oldest.begins => Ok(()),
            _ => Err(WentBack::Unknown(mark.number)),
        };
    };
    let here = runs.get(at + 1).map_or(end, |next| next.begins);
    match here >= mark.end || mutant::is_active(Mutant::ShorterLogAdmitted) {
        true => Ok(()),
        false => Err(WentBack::Shorter { number: mark.number, end: mark.end.0, here: here.0 }),
    }
}

impl Lineage {
    /// Begins a run, at the end of a log of which all is synced.
    pub fn begin(&mut self, id: u64, begins: LogEnd) {
        let number = self.runs.last().map_or(1, |run| run.number + 1);
        self.runs.push(Run { number, id, begins });
        let surplus = self.runs.len().saturating_sub(RUNS_MAX);
        self.runs.drain(..surplus);
    }

    /// What to tell others.
    pub fn tell(&self, end: LogEnd) -> Tell {
        Tell { runs: self.runs.clone(), end }
    }

    /// Compares what another server remembers of this one with what is here.
    pub fn check(&self, remembered: &Mark, end: LogEnd) -> Result<(), WentBack> {
        judge(&self.runs, end, remembered)
    }

    /// What is remembered of another server.
    pub fn remembered(&self, node: NodeUuid) -> Option<Mark> {
        self.others.get(&node).copied()
    }

    /// Takes what another server tells, if it continues what is remembered.
    pub fn hear(&mut self, node: NodeUuid, told: &Tell) -> Heard {
        let Some(run) = told.runs.last() else { return Heard::Nothing };
        let mark = Mark { number: run.number, id: run.id, end: told.end };
        let before = self.remembered(node);
        let follows = before.is_none_or(|before| judge(&told.runs, told.end, &before).is_ok());
        if before == Some(mark) || !follows {
            return Heard::Nothing;
        }
        self.others.insert(node, mark);
        match before.is_some_and(|before| before.id == mark.id) {
            true => Heard::Further,
            false => Heard::NewRun,
        }
    }

    /// Forgets other servers, such as those that were removed and never return.
    pub fn retain(&mut self, is_kept: impl Fn(NodeUuid) -> bool) {
        self.others.retain(|node, _| is_kept(*node));
    }
}

impl Tell {
    /// The format version, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        encode_versioned(self)
    }

    /// Refuses other versions, and bytes behind the value.
    pub fn decode(bytes: &[u8]) -> Result<Tell, BadBytes> {
        decode_versioned("runs of a server", bytes)
    }
}

impl Mark {
    /// An answer to a `Tell`: what was remembered before it.
    pub fn encode_answer(mark: Option<Mark>) -> Vec<u8> {
        encode_versioned(&mark)
    }

    /// Refuses other versions, and bytes behind the value.
    pub fn decode_answer(bytes: &[u8]) -> Result<Option<Mark>, BadBytes> {
        decode_versioned("what is remembered of a server", bytes)
    }
}
