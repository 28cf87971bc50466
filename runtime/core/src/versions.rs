//! What a program speaks and reads: the versions of its wire and of everything that it keeps on disk. An upgrade compares them
//! before anything is changed.
//!
//! *Invariant:* a program says them in a text inside of its file (`told_by`), so that they can be read without running it, also
//! where it was built for another machine.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::meta::META_STATE_NEWEST;
use crate::wire::{WIRE_VERSION, WIRE_VERSION_OLDEST};

/// The format of the Raft log's segments.
pub const LOG_FORMAT: u32 = 1;
/// The oldest format of the state store that is taken over.
pub const STATE_FORMAT_OLDEST: u32 = 1;
/// The newest format of the state store.
pub const STATE_FORMAT_NEWEST: u32 = 3;

/// What stands in a program's file before the JSON of its `ProgramVersions`, backwards: spelled forwards here, a program's own
/// search for it would be found.
const MARK_BACKWARDS: &[u8] = b" :snoisrev-margorp-ckd";
/// A text behind a mark that is longer is not one of ours.
const TOLD_MAX_BYTES: usize = 1024;

/// From the oldest to the newest version that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 2]", into = "[u32; 2]")]
pub struct VersionRange {
    /// Still understood.
    pub oldest: u32,
    /// Spoken or written where nothing speaks against it.
    pub newest: u32,
}

impl VersionRange {
    /// Both ends included.
    pub const fn new(oldest: u32, newest: u32) -> VersionRange {
        VersionRange { oldest, newest }
    }

    /// Whether it is understood.
    pub fn contains(self, version: u32) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The newest version that both understand.
    pub fn common(self, other: VersionRange) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl From<[u32; 2]> for VersionRange {
    fn from([oldest, newest]: [u32; 2]) -> VersionRange {
        VersionRange { oldest, newest }
    }
}

impl From<VersionRange> for [u32; 2] {
    fn from(range: VersionRange) -> [u32; 2] {
        [range.oldest, range.newest]
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest == self.newest {
            true => write!(f, "{}", self.newest),
            false => write!(f, "{} to {}", self.oldest, self.newest),
        }
    }
}

/// What a program says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramVersions {
    /// As in `dkc --version`, for people.
    pub release: String,
    /// Between nodes.
    pub wire: VersionRange,
    /// Of the state store.
    pub state: VersionRange,
    /// Of the Raft log.
    pub log: VersionRange,
    /// Of the meta group's state.
    pub meta: VersionRange,
}

/// The formats in a server's directory at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFormats {
    /// Of the state store.
    pub state: u32,
    /// Of the Raft log.
    pub log: u32,
    /// Of the meta group's state.
    pub meta: u32,
}

impl ProgramVersions {
    /// Of the program that this crate is built into.
    pub fn own(release: &str) -> ProgramVersions {
        ProgramVersions {
            release: release.to_owned(),
            wire: VersionRange::new(WIRE_VERSION_OLDEST.into(), WIRE_VERSION.into()),
            state: VersionRange::new(STATE_FORMAT_OLDEST, STATE_FORMAT_NEWEST),
            log: VersionRange::new(LOG_FORMAT, LOG_FORMAT),
            meta: VersionRange::new(1, META_STATE_NEWEST.into()),
        }
    }

    /// Why this program cannot open such a directory.
    pub fn cannot_read(&self, disk: &DiskFormats) -> Option<String> {
        let kinds = [
            ("state", self.state, disk.state),
            ("Raft log", self.log, disk.log),
            ("meta state", self.meta, disk.meta),
        ];
        let unreadable = kinds.into_iter().find(|(_, reads, found)| !reads.contains(*found));
        unreadable.map(|(what, reads, found)| {
            format!("the {what} on disk has format {found}, and {} reads {reads}", self.release)
        })
    }

    /// Why nodes of these two programs cannot speak with each other.
    pub fn cannot_speak_with(&self, other: &ProgramVersions) -> Option<String> {
        let none = self.wire.common(other.wire).is_none();
        none.then(|| {
            format!(
                "{} speaks wire version {}, and {} speaks {}",
                self.release, self.wire, other.release, other.wire
            )
        })
    }

    /// What the bytes of a program say; `None` for one that says nothing: another program, or an earlier release.
    pub fn told_by(program: &[u8]) -> Option<ProgramVersions> {
        let mark: Vec<u8> = MARK_BACKWARDS.iter().rev().copied().collect();
        memchr::memmem::find_iter(program, &mark).find_map(|at| {
            let told = &program[at + mark.len()..];
            let end = told.iter().take(TOLD_MAX_BYTES).position(|byte| *byte == b'}')?;
            serde_json::from_slice(&told[..=end]).ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Vec<u8> {
        let mark: Vec<u8> = MARK_BACKWARDS.iter().rev().copied().collect();
        [b"\x7fELF..", &mark[..], b"not JSON", &mark, json.as_bytes(), b"\0more"].concat()
    }

    #[test]
    fn what_a_program_says_is_found_in_its_bytes() {
        let own = ProgramVersions::own("0.9.0");
        let json = serde_json::to_string(&own).unwrap();
        assert_eq!(ProgramVersions::told_by(&told(&json)), Some(own));
        assert_eq!(json, r#"{"release":"0.9.0","wire":[1,1],"state":[1,3],"log":[1,1],"meta":[1,4]}"#);
        for silent in [&b""[..], b"#!/bin/sh\n", MARK_BACKWARDS, &told("{}"), &told("{\"release\":\"1\"")] {
            assert_eq!(ProgramVersions::told_by(silent), None);
        }
    }

    #[test]
    fn two_programs_speak_the_newest_version_that_both_know() {
        let check = |one: [u32; 2], other: [u32; 2], want| {
            let (one, other) = (VersionRange::from(one), VersionRange::from(other));
            assert_eq!((one.common(other), other.common(one)), (want, want));
        };
        check([1, 1], [1, 1], Some(1));
        check([1, 2], [1, 1], Some(1));
        check([1, 2], [2, 3], Some(2));
        check([2, 3], [2, 3], Some(3));
        check([1, 1], [2, 3], None);
    }

    #[test]
    fn a_directory_that_is_too_new_or_too_old_names_what_it_is() {
        let program = ProgramVersions::own("0.9.0");
        let check = |state, log, meta, want: Option<&str>| {
            let found = program.cannot_read(&DiskFormats { state, log, meta });
            assert_eq!(found.as_deref(), want);
        };
        check(1, 1, 1, None);
        check(3, 1, 4, None);
        check(4, 1, 1, Some("the state on disk has format 4, and 0.9.0 reads 1 to 3"));
        check(0, 1, 1, Some("the state on disk has format 0, and 0.9.0 reads 1 to 3"));
        check(2, 2, 1, Some("the Raft log on disk has format 2, and 0.9.0 reads 1"));
        check(2, 1, 5, Some("the meta state on disk has format 5, and 0.9.0 reads 1 to 4"));
    }
}
