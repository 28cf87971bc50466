//! One file of a backup: records of one tablet and one namespace, a whole export of its own compressed with zstd. `zstd -d` and
//! `data import` read it, too. The manifest knows its size and SHA-256.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dkc_core::control::ExportedRecord;
use dkc_core::ids::{ClusterName, Namespace, TabletId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::lines::{self, LINE_MAX_BYTES, Lines};
use super::{ArchiveError, FILE_MODE};

/// zstd's usual one: faster than a disk, and a third of the size.
const LEVEL: i32 = 3;
const SUFFIX: &str = ".jsonl.zst";

/// What the manifest says of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    pub file: String,
    pub tablet: TabletId,
    pub namespace: Namespace,
    /// Lines; a large collection has several.
    pub records: u64,
    pub keys: u64,
    /// Keys that expire at some time.
    pub expiring: u64,
    /// As it is on disk.
    pub bytes: u64,
    pub sha256: String,
}

impl Chunk {
    /// The name is our own, so it leads nowhere else.
    pub fn is_name_sound(&self) -> bool {
        is_name_of_chunk(&self.file)
    }
}

pub fn is_name_of_chunk(name: &str) -> bool {
    let stem = name.strip_suffix(SUFFIX).unwrap_or_default();
    !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Counts and hashes what passes.
struct Sum<F> {
    inner: F,
    hash: Sha256,
    bytes: u64,
}

impl<F> Sum<F> {
    fn new(inner: F) -> Sum<F> {
        Sum { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn took(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn digest(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }
}

impl<F: Write> Write for Sum<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.took(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<F: Read> Read for Sum<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.took(&into[..read]);
        Ok(read)
    }
}

pub struct ChunkWriter {
    path: PathBuf,
    out: zstd::Encoder<'static, Sum<BufWriter<File>>>,
    chunk: Chunk,
    /// Before compression.
    pub text_bytes: u64,
}

impl ChunkWriter {
    /// Replaces a file of an interrupted attempt.
    pub fn create(
        directory: &Path,
        tablet: TabletId,
        number: usize,
        cluster: &ClusterName,
        namespace: &Namespace,
    ) -> Result<ChunkWriter, ArchiveError> {
        let name = format!("{:05}-{number:05}{SUFFIX}", tablet.0);
        let path = directory.join(&name);
        let failed = || ArchiveError::file("create", &path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&path);
        let out =
            zstd::Encoder::new(Sum::new(BufWriter::new(file.map_err(failed())?)), LEVEL).map_err(failed())?;
        let (namespace, file) = (namespace.clone(), name);
        let chunk = Chunk {
            file,
            tablet,
            namespace,
            records: 0,
            keys: 0,
            expiring: 0,
            bytes: 0,
            sha256: String::new(),
        };
        let mut writer = ChunkWriter { path, out, chunk, text_bytes: 0 };
        writer.line(&lines::header_line(cluster, &writer.chunk.namespace))?;
        Ok(writer)
    }

    pub fn namespace(&self) -> &Namespace {
        &self.chunk.namespace
    }

    fn line(&mut self, line: &str) -> Result<(), ArchiveError> {
        self.text_bytes += line.len() as u64;
        self.out.write_all(line.as_bytes()).map_err(ArchiveError::file("write", &self.path))
    }

    pub fn record(&mut self, record: &ExportedRecord) -> Result<(), ArchiveError> {
        self.chunk.records += 1;
        if !record.continues {
            self.chunk.keys += 1;
            self.chunk.expiring += u64::from(record.expires_at_ms.is_some());
        }
        self.line(&lines::record_line(record))
    }

    /// Durable when it returns, apart from its name.
    pub fn finish(mut self) -> Result<Chunk, ArchiveError> {
        self.line(&lines::end_line(self.chunk.records))?;
        let failed = || ArchiveError::file("write", &self.path);
        let sum = self.out.finish().map_err(failed())?;
        let (bytes, sha256) = (sum.bytes, sum.digest());
        let file = sum.inner.into_inner().map_err(|error| failed()(error.into_error()))?;
        file.sync_all().map_err(failed())?;
        Ok(Chunk { bytes, sha256, ..self.chunk })
    }
}

/// Reads a chunk record by record. What it said is right only once it has ended without an error.
pub struct ChunkReader<'c> {
    path: PathBuf,
    chunk: &'c Chunk,
    cluster: &'c ClusterName,
    from: BufReader<zstd::Decoder<'static, BufReader<Sum<File>>>>,
    lines: Lines,
    number: u64,
}

impl<'c> ChunkReader<'c> {
    pub fn open(directory: &Path, chunk: &'c Chunk, cluster: &'c ClusterName) -> Result<Self, ArchiveError> {
        let path = directory.join(&chunk.file);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                ArchiveError::Damaged { path: path.clone(), why: "it is missing".into() }
            }
            _ => ArchiveError::file("read", &path)(error),
        })?;
        let decoder = zstd::Decoder::new(Sum::new(file)).map_err(ArchiveError::file("read", &path))?;
        let from = BufReader::new(decoder);
        Ok(ChunkReader { path, chunk, cluster, from, lines: Lines::default(), number: 0 })
    }

    fn damaged(&self, why: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged { path: self.path.clone(), why: why.into() }
    }

    /// The next record and the bytes of its line.
    pub fn next_record(&mut self) -> Result<Option<(ExportedRecord, usize)>, ArchiveError> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.from).take(LINE_MAX_BYTES + 1).read_until(b'\n', &mut line);
            // A damaged file is what the decompressor complains of, too.
            let bytes = read.map_err(|error| self.damaged(error.to_string()))?;
            if bytes == 0 {
                return self.end().map(|()| None);
            }
            self.number += 1;
            if bytes as u64 > LINE_MAX_BYTES {
                return Err(self.damaged(format!("line {} is too long", self.number)));
            }
            let record = self.lines.take(self.number, &line).map_err(|why| self.damaged(why))?;
            if let Some(record) = record {
                return Ok(Some((record, bytes)));
            }
        }
    }

    fn end(&self) -> Result<(), ArchiveError> {
        let records = self.lines.end().map_err(|why| self.damaged(why))?;
        let header = self.lines.header();
        if header
            .is_none_or(|header| header.cluster != *self.cluster || header.namespace != self.chunk.namespace)
        {
            return Err(self.damaged("it is of another backup"));
        }
        let sum = self.from.get_ref().get_ref().get_ref();
        if records != self.chunk.records || sum.bytes != self.chunk.bytes || sum.digest() != self.chunk.sha256
        {
            return Err(self.damaged("it is not what the manifest says"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dkc_core::control::{Blob, ExportedContent};

    use super::*;

    fn record(number: u64) -> ExportedRecord {
        let content = ExportedContent::String(Blob::from_bytes(&[number as u8, 0xff]));
        let key = Blob::Text(format!("k{number}"));
        ExportedRecord {
            key,
            content,
            flags: 1,
            expires_at_ms: (number == 2).then_some(9),
            continues: number == 1,
        }
    }

    fn read(directory: &Path, chunk: &Chunk) -> Result<Vec<ExportedRecord>, String> {
        let cluster = "c0".parse().unwrap();
        let mut reader = ChunkReader::open(directory, chunk, &cluster).map_err(|error| error.to_string())?;
        let mut records = Vec::new();
        while let Some((record, _)) = reader.next_record().map_err(|error| error.to_string())? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn a_chunk_reads_back_as_written_and_no_changed_byte_goes_unnoticed() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let cluster: ClusterName = "c0".parse().unwrap();
        let mut writer =
            ChunkWriter::create(directory, TabletId(3), 1, &cluster, &"other".parse().unwrap()).unwrap();
        let records: Vec<_> = (0..200).map(record).collect();
        records.iter().for_each(|record| writer.record(record).unwrap());
        let chunk = writer.finish().unwrap();
        assert_eq!((chunk.records, chunk.keys, chunk.expiring), (200, 199, 1));
        assert_eq!(chunk.file, "00003-00001.jsonl.zst");
        assert!(chunk.is_name_sound());
        assert_eq!(read(directory, &chunk), Ok(records));

        let path = directory.join(&chunk.file);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, changed).unwrap();
            assert!(read(directory, &chunk).is_err(), "byte {at}");
        }
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(directory, &chunk).is_err(), "cut to {length}");
        }
        std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(read(directory, &chunk).is_err(), "one byte more");
        std::fs::write(&path, &whole).unwrap();
        let foreign = Chunk { namespace: "default".parse().unwrap(), ..chunk.clone() };
        assert!(read(directory, &foreign).unwrap_err().contains("of another backup"));
        std::fs::remove_file(&path).unwrap();
        assert!(read(directory, &chunk).unwrap_err().contains("it is missing"));
    }
}
