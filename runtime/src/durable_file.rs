//! Atomic, durable file writes: to a temporary file in the same directory, synced, renamed, and the
//! directory synced. Used for the shell's files and the daemon's small ones.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Replaces a file. After success the new content survives a power cut; on failure the old content remains.
/// The file is created with its final mode, so that a secret is never readable by others.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let unfinished = beside(path);
    let written = write_new(&unfinished, content, mode).and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = written {
        // Best-effort cleanup: the next writer removes it too.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    sync_directory_of(path)
}

/// Syncs the directory of a file: without it a power cut may undo what was created or renamed there.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if directory.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Removes the unfinished file of an earlier writer first, which may have another mode.
fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(beside(&path), "left over, readable by all").unwrap();
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("place");
        fs::create_dir_all(path.join("inside")).unwrap();
        replace(&path, b"a file over a directory", 0o600).unwrap_err();
        assert!(path.join("inside").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
