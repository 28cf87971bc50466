//! The catalog: a small text file that names each group's incarnation and the least number of its commits that are durable. It is
//! replaced as a whole.
//!
//! *Invariant:* rows of an incarnation that the catalog does not name are unfinished or abandoned, and never read.
//! *Invariant (D3):* a group that has fewer commits than the catalog says has lost some, whatever the engine reports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkc_core::ring::SlotId;

use super::StorageError;
use super::home::SharedRows;

/// 1 had a keyspace for each group (`takeover`), 2 has one keyspace and incarnations in front of rows.
pub const FORMAT_VERSION: u32 = 2;
/// Since the first split of a tablet that shares rows; what lies in the engine is as in 2.
pub const FORMAT_WITH_SHARED_ROWS: u32 = dkc_core::versions::STATE_FORMAT_NEWEST;
/// Of a word that stands in the place of a format's number, in an error.
const FORMAT_SHOWN_MAX: usize = 20;
const FIRST_WORDS: &str = "dkcd state";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    pub incarnation: u64,
    /// Commits that were durable when the catalog was written.
    pub commits: u64,
    /// Where the rows of its slots are, if it shares them with tablets that it was one with.
    pub rows: Option<SharedRows>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    pub groups: BTreeMap<GroupId, CatalogEntry>,
    /// The vote floors of groups that this node has left; opaque here.
    pub vote_floors: BTreeMap<GroupId, Bytes>,
    /// The last number that was given to an incarnation here.
    pub incarnations: u64,
}

impl Catalog {
    /// The lowest format that holds all there is, so that a release before can read it as long as possible.
    pub fn format_version(&self) -> u32 {
        let is_shared = self.groups.values().any(|entry| entry.rows.is_some());
        if is_shared { FORMAT_WITH_SHARED_ROWS } else { FORMAT_VERSION }
    }

    pub fn render(&self) -> String {
        let version = self.format_version();
        let mut text = format!("{FIRST_WORDS} {version}\nincarnations {}\n", self.incarnations);
        for (group, entry) in &self.groups {
            // Writing into a string cannot fail.
            let _ = write!(text, "group {group} incarnation {} commits {}", entry.incarnation, entry.commits);
            if let Some(SharedRows { incarnation, slots }) = &entry.rows {
                let _ = write!(text, " rows {incarnation} slots {} {}", slots.start().0, slots.end().0);
            }
            text.push('\n');
        }
        for (group, vote_floor) in &self.vote_floors {
            let _ = writeln!(text, "left {group} {vote_floor:x}");
        }
        let checksum = crc32fast::hash(text.as_bytes());
        format!("{text}checksum {checksum:08x}\n")
    }

    /// Reads the text of this format version; `path` is for the error.
    pub fn parse(text: &str, path: &Path) -> Result<Catalog, StorageError> {
        match version_of(text, path)? {
            version
                if [FORMAT_VERSION, FORMAT_WITH_SHARED_ROWS]
                    .map(|known| known.to_string())
                    .contains(&version.into()) =>
            {
                Catalog::parse_any(text, path)
            }
            version => Err(unknown_version(version, path)),
        }
    }

    /// Reads this format or the one before, which only has other words.
    pub(super) fn parse_any(text: &str, path: &Path) -> Result<Catalog, StorageError> {
        let damaged = |why: &str| StorageError::Damaged { path: PathBuf::from(path), why: why.to_owned() };
        let (body, checksum) =
            text.rsplit_once("checksum ").ok_or_else(|| damaged("the catalog has no end"))?;
        if format!("{:08x}", crc32fast::hash(body.as_bytes())) != checksum.trim_end() {
            return Err(damaged("the checksum of the catalog does not agree"));
        }
        parse_lines(body)
            .ok_or_else(|| damaged("the catalog has a line that this program does not understand"))
    }
}

pub(super) fn unknown_version(found: &str, path: &Path) -> StorageError {
    let found = found.chars().take(FORMAT_SHOWN_MAX).collect();
    StorageError::Version { path: path.into(), found, known: FORMAT_WITH_SHARED_ROWS }
}

/// The format version that a catalog names.
pub(super) fn version_of<'t>(text: &'t str, path: &Path) -> Result<&'t str, StorageError> {
    let first_line = text.lines().next().unwrap_or_default();
    first_line.strip_prefix(FIRST_WORDS).map(str::trim).ok_or_else(|| StorageError::Damaged {
        path: path.into(),
        why: "the catalog does not begin as one of ours does".into(),
    })
}

fn parse_lines(body: &str) -> Option<Catalog> {
    let mut catalog = Catalog::default();
    for line in body.lines().skip(1) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["incarnations" | "lives", incarnations] => catalog.incarnations = incarnations.parse().ok()?,
            ["group", group, "incarnation" | "life", incarnation, "commits", commits, ref rest @ ..] => {
                let (incarnation, commits) = (incarnation.parse().ok()?, commits.parse().ok()?);
                let entry = CatalogEntry { incarnation, commits, rows: shared_rows(rest)? };
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

/// `None`: not a line of ours.
fn shared_rows(words: &[&str]) -> Option<Option<SharedRows>> {
    match *words {
        [] => Some(None),
        ["rows", incarnation, "slots", first, last] => {
            let slots = SlotId(first.parse().ok()?)..=SlotId(last.parse().ok()?);
            Some(Some(SharedRows { incarnation: incarnation.parse().ok()?, slots }))
        }
        _ => None,
    }
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
        let entry = |incarnation, commits| CatalogEntry { incarnation, commits, rows: None };
        let vote_floors = [(GroupId(9), Bytes::from_static(b"\x01\xfe"))].into();
        let groups = [(GroupId(0), entry(1, 9)), (GroupId(7), entry(3, 0))].into();
        Catalog { groups, vote_floors, incarnations: 3 }
    }

    #[test]
    fn a_format_has_its_text_for_ever() {
        let check = |text: &str| {
            assert_eq!(Catalog::parse_any(text, Path::new("catalog")).unwrap(), catalog());
        };
        check(
            "dkcd state 1\nlives 3\ngroup 0 life 1 commits 9\ngroup 7 life 3 commits 0\nleft 9 01fe\n\
             checksum 00e90e70\n",
        );
        let text = "dkcd state 2\nincarnations 3\ngroup 0 incarnation 1 commits 9\n\
                    group 7 incarnation 3 commits 0\nleft 9 01fe\nchecksum 7beb6e52\n";
        check(text);
        assert_eq!(catalog().render(), text);
    }

    #[test]
    fn tablets_that_share_rows_say_where_they_are() {
        let mut catalog = catalog();
        let entry = catalog.groups.get_mut(&GroupId(7)).unwrap();
        entry.rows = Some(SharedRows { incarnation: 2, slots: SlotId(8192)..=SlotId(16383) });
        let text = catalog.render();
        assert!(text.starts_with("dkcd state 3\n"), "an earlier release must not misread it: {text}");
        assert!(text.contains("\ngroup 7 incarnation 3 commits 0 rows 2 slots 8192 16383\n"), "{text}");
        assert_eq!(Catalog::parse(&text, Path::new("catalog")).unwrap(), catalog);
    }

    #[test]
    fn a_catalog_that_is_not_whole_is_refused() {
        let check = |text: &str, want: &str| {
            let message = Catalog::parse(text, Path::new("catalog")).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        };
        let good = catalog().render();
        check("", "does not begin as one of ours does");
        check("garbage\n", "does not begin as one of ours does");
        check(&good.replace("state 2", "state 4"), "has state format 4, this program knows 3");
        check(&good.replace("state 2", "state 1"), "has state format 1, this program knows 3");
        check(&good.replace("commits 9", "commits 8"), "checksum of the catalog does not agree");
        check(&good[..good.len() - 3], "checksum of the catalog does not agree");
        check(&good[..good.len() - 20], "has no end");
        check("dkcd state 2\nincarnations 3\n", "has no end");
    }
}
