//! Files that hold the records of a cluster: the lines of an export, and backups, which are directories of compressed exports
//! with a manifest. A backup has its name only when it is whole and synced; until then it is `NAME.part`.

mod chunk;
pub mod lines;
mod manifest;
mod unfinished;

use std::path::{Path, PathBuf};

pub use chunk::{Chunk, ChunkReader, ChunkWriter};
pub use manifest::Manifest;
pub use unfinished::{Progress, Unfinished};

/// The manifest in the directory of a backup.
const MANIFEST: &str = "manifest.json";
/// What an unfinished backup is called.
const PART: &str = ".part";
const NAME_MAX_BYTES: usize = 64;
/// What is in a backup is as private as in the cluster.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{path} is damaged: {why}", path = .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{path} is of a newer release: format {format}, this one reads up to {}", Manifest::FORMAT, path = .path.display())]
    Newer { path: PathBuf, format: u32 },
    #[error("{path} is no backup: it has no {MANIFEST}", path = .path.display())]
    NoBackup { path: PathBuf },
    #[error("{path} exists", path = .path.display())]
    Exists { path: PathBuf },
}

impl ArchiveError {
    fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ArchiveError {
        let path = path.to_owned();
        move |source| ArchiveError::File { what, path, source }
    }
}

/// Letters, digits and `.`, `_`, `-` inside, so that it is one part of a path on any system.
pub fn check_name(name: &str) -> Result<String, String> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let begins = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    match begins && name.len() <= NAME_MAX_BYTES && name.bytes().all(is_inner) && !name.ends_with(PART) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "a backup's name has 1 to {NAME_MAX_BYTES} letters, digits, dots, underscores and dashes, begins with a letter or digit, \
             and does not end with {PART}"
        )),
    }
}

/// A directory, also as `file:///DIR`.
pub fn parse_location(word: &str) -> Result<PathBuf, String> {
    match word.split_once("://") {
        None if word.is_empty() => Err("a location is a directory".into()),
        None => Ok(PathBuf::from(word)),
        Some(("file", path)) if path.starts_with('/') => Ok(PathBuf::from(path)),
        Some((scheme, _)) => {
            Err(format!("{scheme}:// is not a place for backups here; give a directory or file:///DIR"))
        }
    }
}

/// A backup's name and what it says of itself.
pub type Found = (String, Result<Manifest, ArchiveError>);

/// The backups in a directory by name, also unreadable ones; none where there is no directory.
pub fn list(location: &Path) -> Result<Vec<Found>, ArchiveError> {
    let entries = match std::fs::read_dir(location) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ArchiveError::file("read", location)(error)),
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| check_name(name).is_ok()).collect();
    names.sort();
    let backups = names.into_iter().filter_map(|name| match Manifest::read(&location.join(&name)) {
        Err(ArchiveError::NoBackup { .. }) => None,
        read => Some((name, read)),
    });
    Ok(backups.collect())
}

/// Removes a whole backup. An interrupted removal leaves what is no backup any more.
pub fn remove(directory: &Path) -> Result<(), ArchiveError> {
    let manifest = directory.join(MANIFEST);
    std::fs::remove_file(&manifest).map_err(ArchiveError::file("remove", &manifest))?;
    std::fs::remove_dir_all(directory).map_err(ArchiveError::file("remove", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_locations_stay_where_they_are_meant() {
        for name in ["a", "nightly-2026.11_28", "0"] {
            assert_eq!(check_name(name).as_deref(), Ok(name));
        }
        for name in ["", ".", "..", "-a", "a/b", "a b", "a.part", "ä", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(parse_location("file:///b").unwrap(), Path::new("/b"));
        assert_eq!(parse_location("b/c").unwrap(), Path::new("b/c"));
        for bad in ["", "file://b", "s3://bucket/b", "http://b"] {
            assert!(parse_location(bad).is_err(), "{bad}");
        }
    }
}
