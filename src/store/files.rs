//! File access for the store: read as text, replaced atomically and durably, readable by their owner only.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use dkcd::durable_file;

use crate::error::{Code, CommandError, codes};

/// Mode of all files: hosts, users and pins are private.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// An inventory of ten thousand hosts has a few megabytes; anything larger is not an inventory.
const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The text of a file; `None` when there is no such file.
pub fn read(path: &Path) -> Result<Option<String>, CommandError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot(&codes::INVENTORY_UNREADABLE, "read", path, &e)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| cannot(&codes::INVENTORY_UNREADABLE, "read", path, &e))?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(broken(path, format!("larger than {FILE_MAX_BYTES} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        broken(path, format!("line {line}: not UTF-8 text"))
    })
}

fn broken(path: &Path, cause: String) -> CommandError {
    CommandError::new(&codes::INVENTORY_BROKEN, format!("{}: not a valid inventory", path.display()))
        .cause(cause)
}

/// Replaces a file atomically. After success the new text survives a power cut; on failure the old text remains.
pub fn replace(path: &Path, text: &str) -> Result<(), CommandError> {
    durable_file::replace(path, text.as_bytes(), FILE_MODE)
        .map_err(|e| cannot(&codes::INVENTORY_UNWRITABLE, "write", path, &e))
}

/// Appends one line to a file, durably.
pub fn append_line(path: &Path, line: &str) -> Result<(), CommandError> {
    let append = || -> std::io::Result<()> {
        let is_new = !path.exists();
        let mut file = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()?;
        if is_new { durable_file::sync_directory_of(path) } else { Ok(()) }
    };
    append().map_err(|e| cannot(&codes::INVENTORY_UNWRITABLE, "write", path, &e))
}

/// Opens a file to lock or write, creating it if missing.
pub fn open_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

/// Creates a directory that only its owner can enter, with its parents.
pub fn make_private_dir(dir: &Path) -> Result<(), CommandError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(dir)
        .map_err(|e| cannot(&codes::INVENTORY_UNWRITABLE, "create the directory", dir, &e))
}

pub fn cannot(code: &'static Code, verb: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(code, format!("cannot {verb} {}", path.display())).cause(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_private_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.yaml");
        replace(&path, "one\n").unwrap();
        replace(&path, "two\n").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two\n"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_not_text_names_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.yaml");
        std::fs::write(&path, b"version: 1\ngeneration: \xff\n").unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.cause, ["line 2: not UTF-8 text"]);
    }
}
