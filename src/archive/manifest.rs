//! What a backup says of itself: `manifest.json` is one line of JSON, and a second one with its SHA-256. The spelling never
//! changes; a later release only adds to it.

use std::fs;
use std::path::Path;

use dkc_core::ids::{ClusterId, ClusterName, Namespace, RingVersion};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::chunk::Chunk;
use super::{ArchiveError, FILE_MODE, MANIFEST};

/// A chunk takes about 300 bytes of it.
const MANIFEST_MAX_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub cluster: ClusterName,
    pub cluster_id: ClusterId,
    /// Of the shell that wrote it.
    pub release: String,
    /// The operation that wrote it, so that a repetition recognises its own work.
    pub operation: String,
    pub servers: u32,
    pub ring_version: RingVersion,
    /// The one moment of all records; milliseconds since the Unix epoch.
    pub taken_at_ms: u64,
    /// Of a recovery: what is known of what it lacks, in words. Its tablets are of different moments, and this is the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovered: Vec<String>,
    /// In the order in which they are restored.
    pub chunks: Vec<Chunk>,
}

#[derive(Deserialize)]
struct OnlyFormat {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Seal {
    sha256: String,
}

impl Manifest {
    /// Rises when a reader of before would misread what a writer of now writes.
    pub const FORMAT: u32 = 1;

    pub fn read(directory: &Path) -> Result<Manifest, ArchiveError> {
        let path = directory.join(MANIFEST);
        let damaged = |why: String| ArchiveError::Damaged { path: path.clone(), why };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MANIFEST_MAX_BYTES => {
                return Err(damaged("it is too large".into()));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(ArchiveError::NoBackup { path: directory.into() });
            }
            _ => {}
        }
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => damaged("it is not text".into()),
            _ => ArchiveError::file("read", &path)(error),
        })?;
        let (line, seal) = text.split_once('\n').ok_or_else(|| damaged("it is cut short".into()))?;
        if let Ok(OnlyFormat { format }) = serde_json::from_str(line)
            && format > Manifest::FORMAT
        {
            return Err(ArchiveError::Newer { path, format });
        }
        let seal: Seal =
            serde_json::from_str(seal).map_err(|_| damaged("its second line is no checksum".into()))?;
        if seal.sha256 != digest(line) {
            return Err(damaged("its checksum is another one".into()));
        }
        let manifest: Manifest = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
        match manifest.chunks.iter().find(|chunk| !chunk.is_name_sound()) {
            Some(chunk) => Err(damaged(format!("'{}' is not the name of a chunk", chunk.file))),
            None => Ok(manifest),
        }
    }

    /// Durable when it returns, apart from the directory's own name.
    pub fn write(&self, directory: &Path) -> Result<(), ArchiveError> {
        let path = directory.join(MANIFEST);
        let line = json(self);
        let text = format!("{line}\n{}\n", json(&Seal { sha256: digest(&line) }));
        dkcd::durable_file::replace(&path, text.as_bytes(), FILE_MODE)
            .map_err(ArchiveError::file("write", &path))
    }

    pub fn records(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.records).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }

    /// The keys of a namespace that may be there after a restore, at least and at most: some may have expired by then.
    pub fn keys(&self, namespace: &Namespace) -> (u64, u64) {
        let of = self.chunks.iter().filter(|chunk| chunk.namespace == *namespace);
        of.fold((0, 0), |(least, most), chunk| (least + chunk.keys - chunk.expiring, most + chunk.keys))
    }

    pub fn namespaces(&self) -> std::collections::BTreeSet<Namespace> {
        self.chunks.iter().map(|chunk| chunk.namespace.clone()).collect()
    }

    /// Equal for equal backups.
    pub fn digest(&self) -> String {
        digest(&json(self))
    }
}

fn json(value: &impl Serialize) -> String {
    // Nothing in these types can fail to be JSON.
    serde_json::to_string(value).unwrap_or_default()
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let chunk = |file: &str, keys, expiring| Chunk {
            file: file.into(),
            tablet: dkc_core::ids::TabletId(0),
            namespace: "default".parse().unwrap(),
            records: 5,
            keys,
            expiring,
            bytes: 70,
            sha256: "00".into(),
        };
        Manifest {
            format: Manifest::FORMAT,
            name: "n".into(),
            description: String::new(),
            cluster: "c0".parse().unwrap(),
            cluster_id: "11111111-2222-4333-8444-555555555555".parse().unwrap(),
            release: "0.1.0".into(),
            operation: "op-00000001".into(),
            servers: 3,
            ring_version: RingVersion(2),
            taken_at_ms: 9,
            recovered: Vec::new(),
            chunks: vec![chunk("00000-00000.jsonl.zst", 4, 1), chunk("00000-00001.jsonl.zst", 3, 0)],
        }
    }

    #[test]
    fn a_manifest_reads_back_as_written_and_a_changed_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(MANIFEST);
        assert!(matches!(Manifest::read(directory.path()), Err(ArchiveError::NoBackup { .. })));
        let written = manifest();
        written.write(directory.path()).unwrap();
        let read = Manifest::read(directory.path()).unwrap();
        assert_eq!(read, written);
        assert_eq!((read.records(), read.bytes(), read.keys(&"default".parse().unwrap())), (10, 140, (6, 7)));
        let text = fs::read_to_string(&path).unwrap();
        let check = |text: String, want: &str| {
            fs::write(&path, text).unwrap();
            let error = Manifest::read(directory.path()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        };
        check(text.replace("\"records\":5", "\"records\":4"), "its checksum is another one");
        check(text.replace("\"format\":1", "\"format\":2"), "newer release");
        check(text.lines().next().unwrap().into(), "cut short");
        check(format!("{}\n", text.lines().next().unwrap()), "no checksum");
        check(text[..40].into(), "cut short");
        let mut foreign = manifest();
        foreign.chunks[0].file = "../../etc/passwd".into();
        foreign.write(directory.path()).unwrap();
        let error = Manifest::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("is not the name of a chunk"), "{error}");
    }
}
