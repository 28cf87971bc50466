//! The catalog: one small file beside the engine's directory that says which keyspace is which group's state
//! and how many commits of it were durable at least. It is replaced as a whole, by rename.
//!
//! *Invariant:* a keyspace that the catalog does not name is unfinished or given up, and is removed at opening.
//! *Invariant (D3):* a keyspace that has fewer commits than the catalog says has lost some: the engine cuts its
//! journal off silently at the first record it cannot read, and only this number notices.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dkc_core::ids::GroupId;

use super::StorageError;
use crate::durable_file;

pub const FORMAT_VERSION: u32 = 1;
const FILE: &str = "catalog";
const FILE_MODE: u32 = 0o600;
const FIRST_WORDS: &str = "dkcd state";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Counts the keyspaces that were ever made here, so that no name is used twice.
    pub incarnation: u64,
    /// Commits that were durable when the catalog was written.
    pub commits: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    pub groups: BTreeMap<GroupId, Entry>,
    /// What this node promised as a member of a group that it has left since; opaque here.
    pub vote_floors: BTreeMap<GroupId, Bytes>,
    pub incarnations: u64,
}

impl Catalog {
    pub fn keyspace_name(group: GroupId, incarnation: u64) -> String {
        format!("g{group}-{incarnation}")
    }

    pub fn read(directory: &Path) -> Result<Option<Catalog>, StorageError> {
        let path = directory.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => parse(&text, &path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("read", path)(error)),
        }
    }

    /// Durable when it returns.
    pub fn write(&self, directory: &Path) -> Result<(), StorageError> {
        let path = directory.join(FILE);
        durable_file::replace(&path, self.render().as_bytes(), FILE_MODE)
            .map_err(StorageError::io("write", path.clone()))
    }

    fn render(&self) -> String {
        let mut text = format!("{FIRST_WORDS} {FORMAT_VERSION}\nlives {}\n", self.incarnations);
        for (group, entry) in &self.groups {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "group {group} life {} commits {}", entry.incarnation, entry.commits);
        }
        for (group, vote_floor) in &self.vote_floors {
            let _ = writeln!(text, "left {group} {vote_floor:x}");
        }
        let checksum = crc32fast::hash(text.as_bytes());
        format!("{text}checksum {checksum:08x}\n")
    }
}

fn parse(text: &str, path: &Path) -> Result<Catalog, StorageError> {
    let damaged = |why: &str| StorageError::Damaged { path: PathBuf::from(path), why: why.to_owned() };
    let first_line = text.lines().next().unwrap_or_default();
    let version = first_line.strip_prefix(FIRST_WORDS).map(str::trim);
    match version {
        None => return Err(damaged("the catalog does not begin as one of ours does")),
        Some(version) if version != FORMAT_VERSION.to_string() => {
            let found = version.chars().take(20).collect();
            return Err(StorageError::Version { path: path.into(), found, known: FORMAT_VERSION });
        }
        Some(_) => {}
    }
    let (body, checksum) = text.rsplit_once("checksum ").ok_or_else(|| damaged("the catalog has no end"))?;
    if format!("{:08x}", crc32fast::hash(body.as_bytes())) != checksum.trim_end() {
        return Err(damaged("the checksum of the catalog does not agree"));
    }
    parse_lines(body).ok_or_else(|| damaged("the catalog has a line that this program does not understand"))
}

fn parse_lines(body: &str) -> Option<Catalog> {
    let mut catalog = Catalog::default();
    for line in body.lines().skip(1) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["lives", incarnations] => catalog.incarnations = incarnations.parse().ok()?,
            ["group", group, "life", incarnation, "commits", commits] => {
                let entry = Entry { incarnation: incarnation.parse().ok()?, commits: commits.parse().ok()? };
                catalog.groups.insert(group.parse().ok()?, entry);
            }
            ["left", group, vote_floor] => {
                catalog.vote_floors.insert(group.parse().ok()?, from_hex(vote_floor)?);
            }
            _ => return None,
        }
    }
    Some(catalog)
}

fn from_hex(text: &str) -> Option<Bytes> {
    let digits = text.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits
        .len()
        .is_multiple_of(2)
        .then(|| digits.chunks(2).map(pair).collect::<Option<Vec<u8>>>())?
        .map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let entry = |incarnation, commits| Entry { incarnation, commits };
        let vote_floors = [(GroupId(9), Bytes::from_static(b"\x01\xfe"))].into();
        Catalog {
            groups: [(GroupId(0), entry(1, 9)), (GroupId(7), entry(3, 0))].into(),
            vote_floors,
            incarnations: 3,
        }
    }

    #[test]
    fn format_one_has_this_text_for_ever() {
        let text = "dkcd state 1\nlives 3\ngroup 0 life 1 commits 9\ngroup 7 life 3 commits 0\nleft 9 01fe\nchecksum 00e90e70\n";
        assert_eq!(catalog().render(), text);
        assert_eq!(parse(text, Path::new("catalog")).unwrap(), catalog());
    }

    #[test]
    fn a_catalog_that_is_not_whole_is_refused() {
        let check = |text: &str, want: &str| {
            let message = parse(text, Path::new("catalog")).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        };
        let good = catalog().render();
        check("", "does not begin as one of ours does");
        check("garbage\n", "does not begin as one of ours does");
        check(&good.replace("state 1", "state 2"), "has state format 2, this program knows 1");
        check(&good.replace("commits 9", "commits 8"), "checksum of the catalog does not agree");
        check(&good[..good.len() - 3], "checksum of the catalog does not agree");
        check(&good[..good.len() - 20], "has no end");
        check("dkcd state 1\nlives 3\n", "has no end");
    }
}
