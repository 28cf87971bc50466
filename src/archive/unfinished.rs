//! A backup that is being written, in `NAME.part`: its chunks, and `progress.json`, which says which tablets are whole and at which
//! moment. A shell that was killed goes on from it while the servers keep that moment.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use dkc_core::control::CutPart;
use dkc_core::ids::TabletId;
use dkcd::durable_file;
use serde::{Deserialize, Serialize};

use super::{ArchiveError, DIRECTORY_MODE, FILE_MODE, MANIFEST, Manifest, PART};

const PROGRESS: &str = "progress.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The moment that the servers keep.
    pub cut: u64,
    pub parts: Vec<CutPart>,
    /// Whose chunks are all there.
    pub done: Vec<TabletId>,
    /// With the chunks of these.
    pub manifest: Manifest,
}

/// Whether the file's name is one that a backup has, finished or not.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_start_matches('.');
    [PROGRESS, MANIFEST].iter().any(|known| name.starts_with(known)) || super::chunk::is_name_of_chunk(name)
}

pub struct Unfinished {
    /// What it will be.
    whole: PathBuf,
    part: PathBuf,
}

impl Unfinished {
    /// Begins or goes on. `None` if this operation has finished it already.
    pub fn open(whole: &Path, operation: &str) -> Result<Option<Unfinished>, ArchiveError> {
        if whole.symlink_metadata().is_ok() {
            return match Manifest::read(whole) {
                Ok(manifest) if manifest.operation == operation => Ok(None),
                _ => Err(ArchiveError::Exists { path: whole.into() }),
            };
        }
        let mut part = whole.as_os_str().to_owned();
        part.push(PART);
        let part = PathBuf::from(part);
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&part);
        made.map_err(ArchiveError::file("create", &part))?;
        let unfinished = Unfinished { whole: whole.into(), part };
        if unfinished.progress().is_none_or(|progress| progress.manifest.operation != operation) {
            unfinished.begin_again()?;
        }
        Ok(Some(unfinished))
    }

    pub fn directory(&self) -> &Path {
        &self.part
    }

    /// How far it is; what cannot be read counts as nothing.
    pub fn progress(&self) -> Option<Progress> {
        serde_json::from_slice(&fs::read(self.part.join(PROGRESS)).ok()?).ok()
    }

    /// The chunks that it names are durable once this has returned.
    pub fn save(&self, progress: &Progress) -> Result<(), ArchiveError> {
        let path = self.part.join(PROGRESS);
        durable_file::sync_directory_of(&path).map_err(ArchiveError::file("sync", &self.part))?;
        let text = serde_json::to_vec(progress).unwrap_or_default();
        durable_file::replace(&path, &text, FILE_MODE).map_err(ArchiveError::file("write", &path))
    }

    /// Forgets all that was written.
    pub fn begin_again(&self) -> Result<(), ArchiveError> {
        let failed = || ArchiveError::file("empty", &self.part);
        let entries = fs::read_dir(&self.part).map_err(failed())?;
        let paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(failed())?;
        if let Some(foreign) = paths.iter().find(|path| !is_ours(path)) {
            return Err(ArchiveError::Exists { path: foreign.clone() });
        }
        paths.iter().try_for_each(fs::remove_file).map_err(failed())
    }

    /// Gives the backup its name. It is whole and durable then.
    pub fn finish(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        manifest.write(&self.part)?;
        let progress = self.part.join(PROGRESS);
        fs::remove_file(&progress).map_err(ArchiveError::file("remove", &progress))?;
        durable_file::sync_directory_of(&progress).map_err(ArchiveError::file("sync", &self.part))?;
        if self.whole.symlink_metadata().is_ok() {
            return Err(ArchiveError::Exists { path: self.whole.clone() });
        }
        fs::rename(&self.part, &self.whole)
            .and_then(|()| durable_file::sync_directory_of(&self.whole))
            .map_err(ArchiveError::file("name", &self.whole))
    }
}

#[cfg(test)]
mod tests {
    use dkc_core::ids::RingVersion;

    use super::*;

    fn progress(operation: &str) -> Progress {
        let manifest = Manifest {
            format: 1,
            name: "n".into(),
            description: String::new(),
            cluster: "c0".parse().unwrap(),
            cluster_id: "11111111-2222-4333-8444-555555555555".parse().unwrap(),
            release: String::new(),
            operation: operation.into(),
            servers: 1,
            ring_version: RingVersion(1),
            taken_at_ms: 1,
            recovered: Vec::new(),
            chunks: Vec::new(),
        };
        Progress { cut: 7, parts: Vec::new(), done: vec![TabletId(2)], manifest }
    }

    #[test]
    fn an_operation_goes_on_with_its_own_work_and_touches_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let whole = directory.path().join("n");
        let open = |operation: &str| Unfinished::open(&whole, operation);
        let unfinished = open("op-00000001").unwrap().unwrap();
        unfinished.save(&progress("op-00000001")).unwrap();
        assert_eq!(open("op-00000001").unwrap().unwrap().progress(), Some(progress("op-00000001")));
        // Another operation of that name starts over.
        assert_eq!(open("op-00000002").unwrap().unwrap().progress(), None);
        unfinished.save(&progress("op-00000002")).unwrap();
        unfinished.finish(&progress("op-00000002").manifest).unwrap();
        assert!(open("op-00000002").unwrap().is_none(), "finished already");
        assert!(matches!(open("op-00000003"), Err(ArchiveError::Exists { .. })));
        let part = directory.path().join("m.part");
        fs::create_dir(&part).unwrap();
        fs::write(part.join("thesis.txt"), "years of work").unwrap();
        let refused = Unfinished::open(&directory.path().join("m"), "op-00000001");
        assert!(matches!(refused, Err(ArchiveError::Exists { .. })));
        assert!(part.join("thesis.txt").exists());
    }
}
