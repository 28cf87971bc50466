//! The files of the log: segments `<generation>.seg` in use, and spare files `spare-<n>.seg`, zero-filled or
//! recycled, ready to become the next segment.
//!
//! *Invariant:* a file has a segment's name only with a durable header of that generation, and gets that
//! name by a rename after which the directory is synced. A spare's bytes are never read.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::LogError;
use super::format::{self, HEADER_BYTES, SegmentHeader};

/// Spare files kept after a purge: one for the next segment and one for a burst. The others are deleted.
const SPARES_MAX: usize = 2;
/// Retry interval for creating a segment on a full disk: short enough to look immediate to an operator.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Chunk size when writing zeros.
const ZERO_BYTES: usize = 1024 * 1024;
/// Smaller segments could not hold the state of the groups; larger ones no longer fit 32-bit offsets.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 16 << 10..=1 << 30;
const SPARE_PREFIX: &str = "spare-";
const UNFINISHED_SUFFIX: &str = ".tmp";
const SUFFIX: &str = ".seg";

/// Looks at the header of every segment in use.
pub(super) fn check_formats(directory: &Path) -> Result<(), LogError> {
    let items = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        items => items.map_err(LogError::io("read", directory))?,
    };
    for item in items {
        let path = item.map_err(LogError::io("read", directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(SUFFIX));
        if name.is_some_and(|name| name.parse::<u64>().is_ok()) {
            match File::open(&path) {
                // A running node has purged it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => drop(read_header(&file.map_err(LogError::io("open", &path))?, &path)?),
            }
        }
    }
    Ok(())
}

/// The header, and the length of the file.
fn read_header(file: &File, path: &Path) -> Result<(SegmentHeader, u64), LogError> {
    let mut page = vec![0; HEADER_BYTES];
    let length = file.metadata().map_err(LogError::io("read", path))?.len();
    let read = file.read_exact_at(&mut page[..(length as usize).min(HEADER_BYTES)], 0);
    read.map_err(LogError::io("read", path))?;
    page.truncate(length as usize);
    let header = format::decode_header(&page).map_err(|bad| match bad {
        format::BadHeader::Version(found) => {
            LogError::Version { segment: path.into(), found, known: format::FORMAT_VERSION }
        }
        format::BadHeader::Damaged(why) => corrupt(path, 0, why),
    })?;
    Ok((header, length))
}

#[derive(Debug)]
pub(super) struct SegmentFile {
    pub header: SegmentHeader,
    pub path: PathBuf,
    file: File,
}

impl SegmentFile {
    pub fn open(path: &Path) -> Result<SegmentFile, LogError> {
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(LogError::io("open", path))?;
        let (header, length) = read_header(&file, path)?;
        if header.segment_bytes != length {
            let why = format!("the file has {length} bytes, its header says {}", header.segment_bytes);
            return Err(corrupt(path, 0, why));
        }
        Ok(SegmentFile { header, path: path.into(), file })
    }

    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.header.segment_bytes as usize];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    pub fn read_at(&self, offset: u32, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, u64::from(offset))?;
        Ok(bytes)
    }

    pub fn write_at(&self, bytes: &[u8], offset: u32) -> io::Result<()> {
        self.file.write_all_at(bytes, u64::from(offset))
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Writes zeros from `offset` to the end, so that the remains of a torn round are never read as records.
    pub fn clear_from(&self, offset: u32) -> io::Result<()> {
        fill_with_zeros(&self.file, u64::from(offset), self.header.segment_bytes)?;
        self.file.sync_data()
    }
}

pub(super) fn corrupt(path: &Path, offset: u64, why: impl Into<String>) -> LogError {
    LogError::Corrupt { segment: path.into(), offset, why: why.into() }
}

/// Whether the error is a full disk.
pub fn is_disk_full(error: &io::Error) -> bool {
    use nix::errno::Errno;
    error
        .raw_os_error()
        .map(Errno::from_raw)
        .is_some_and(|errno| matches!(errno, Errno::ENOSPC | Errno::EDQUOT))
}

/// The size that is possible for what was configured.
fn allowed(segment_bytes: u64) -> u64 {
    segment_bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end())
}

/// The directory of the log with its spare files.
pub(super) struct SegmentPool {
    directory: PathBuf,
    /// May change at any time. A spare has the size that it was made with, and is used for a segment of that size only.
    segment_bytes: AtomicU64,
    state: Mutex<PoolState>,
    changed: Condvar,
}

struct Spare {
    path: PathBuf,
    bytes: u64,
}

impl Spare {
    /// One that stays is removed when the log is opened.
    fn remove(self) {
        drop(fs::remove_file(self.path));
    }
}

#[derive(Default)]
struct PoolState {
    spares: VecDeque<Spare>,
    spares_made: u64,
    is_spare_wanted: bool,
    is_closing: bool,
    trouble: Option<String>,
}

impl SegmentPool {
    /// Finds the segments, in order, and the spares; removes unfinished files.
    pub fn open(
        directory: &Path,
        segment_bytes: u64,
    ) -> Result<(SegmentPool, Vec<(u64, PathBuf)>), LogError> {
        let segment_bytes = allowed(segment_bytes);
        let mut segments = Vec::new();
        let mut state = PoolState::default();
        for item in fs::read_dir(directory).map_err(LogError::io("list", directory))? {
            let item = item.map_err(LogError::io("list", directory))?;
            let (path, name) = (item.path(), item.file_name().to_string_lossy().into_owned());
            if let Some(number) = name.strip_suffix(SUFFIX).and_then(|n| n.strip_prefix(SPARE_PREFIX)) {
                state.spares_made = state.spares_made.max(number.parse().unwrap_or(0));
                let length = item.metadata().map_err(LogError::io("read", &path))?.len();
                if length == segment_bytes && state.spares.len() < SPARES_MAX {
                    state.spares.push_back(Spare { path, bytes: length });
                } else {
                    fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
                }
            } else if let Some(Ok(generation)) = name.strip_suffix(SUFFIX).map(str::parse::<u64>) {
                segments.push((generation, path));
            } else if name.ends_with(UNFINISHED_SUFFIX) {
                fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
            }
        }
        segments.sort();
        let pool = SegmentPool {
            directory: directory.into(),
            segment_bytes: AtomicU64::new(segment_bytes),
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        Ok((pool, segments))
    }

    /// Of segments to come.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes.load(Ordering::Relaxed)
    }

    /// The size of segments from the next one on.
    pub fn set_segment_bytes(&self, bytes: u64) {
        let bytes = allowed(bytes);
        let mut state = self.state.lock();
        if self.segment_bytes.swap(bytes, Ordering::Relaxed) != bytes {
            state.spares.drain(..).for_each(Spare::remove);
        }
        // The writer may be waiting for a spare of the size before.
        self.changed.notify_all();
    }

    pub fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    pub fn set_trouble(&self, trouble: Option<String>) {
        self.state.lock().trouble = trouble;
    }

    /// Asks the filler for a spare before it is needed.
    pub fn want_spare(&self) {
        let mut state = self.state.lock();
        if !state.is_spare_wanted && state.spares.is_empty() {
            state.is_spare_wanted = true;
            self.changed.notify_all();
        }
    }

    /// Pauses on a full disk. False if the log is being closed.
    pub fn wait_to_retry(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_closing {
            return false;
        }
        self.changed.wait_for(&mut state, RETRY_AFTER);
        !state.is_closing
    }

    pub fn close(&self) {
        self.state.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// The filler's thread: creates a spare whenever one is requested, until the log closes.
    pub fn fill(self: Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            while !state.is_closing && (!state.is_spare_wanted || !state.spares.is_empty()) {
                state.is_spare_wanted = false;
                self.changed.wait(&mut state);
            }
            if state.is_closing {
                return;
            }
            drop(state);
            let bytes = self.segment_bytes();
            match self.make_spare(bytes) {
                Ok(path) => {
                    let mut state = self.state.lock();
                    state.spares.push_back(Spare { path, bytes });
                    (state.trouble, state.is_spare_wanted) = (None, false);
                    self.changed.notify_all();
                }
                Err(error) => {
                    self.set_trouble(Some(self.explain("make the next log segment", &error)));
                    self.wait_to_retry();
                }
            }
        }
    }

    pub fn explain(&self, step: &str, error: &io::Error) -> String {
        let megabytes = self.segment_bytes() / (1024 * 1024);
        format!(
            "cannot {step} in {}: {error}; writes wait until there is space again ({megabytes} MiB)",
            self.directory.display()
        )
    }

    /// The next segment, with its header durable. Waits for the filler while the log is open.
    pub fn next_segment(&self, header: SegmentHeader) -> io::Result<SegmentFile> {
        // One record that is larger than a segment gets a file of its own size.
        match self.take_spare(header.segment_bytes) {
            Some(spare) => self.activate(&spare, header),
            None => self.new_segment(header),
        }
    }

    /// Creates a segment of any size immediately.
    pub fn new_segment(&self, header: SegmentHeader) -> io::Result<SegmentFile> {
        let spare = self.make_spare(header.segment_bytes)?;
        self.activate(&spare, header)
    }

    /// `None` when no spare of this size is to be had: it is not the usual one, or is no longer, or the log is being closed.
    fn take_spare(&self, bytes: u64) -> Option<PathBuf> {
        let mut state = self.state.lock();
        while self.segment_bytes() == bytes {
            match state.spares.pop_front() {
                Some(spare) if spare.bytes == bytes => return Some(spare.path),
                Some(spare) => spare.remove(),
                None if state.is_closing => return None,
                None => {
                    state.is_spare_wanted = true;
                    self.changed.notify_all();
                    self.changed.wait(&mut state);
                }
            }
        }
        None
    }

    fn activate(&self, spare: &Path, header: SegmentHeader) -> io::Result<SegmentFile> {
        let file = OpenOptions::new().read(true).write(true).open(spare)?;
        file.write_all_at(&format::encode_header(&header), 0)?;
        file.sync_data()?;
        let path = self.directory.join(format!("{:016}{SUFFIX}", header.generation));
        fs::rename(spare, &path)?;
        self.sync_directory()?;
        Ok(SegmentFile { header, path, file })
    }

    fn make_spare(&self, bytes: u64) -> io::Result<PathBuf> {
        let path = self.new_spare_path();
        let unfinished = path.with_extension("seg.tmp");
        let filled = File::create(&unfinished).and_then(|file| {
            fill_with_zeros(&file, 0, bytes)?;
            file.sync_all()
        });
        // Frees a partly allocated file at once: others need the space more.
        filled.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        fs::rename(&unfinished, &path)?;
        self.sync_directory()?;
        Ok(path)
    }

    fn new_spare_path(&self) -> PathBuf {
        let mut state = self.state.lock();
        state.spares_made += 1;
        self.directory.join(format!("{SPARE_PREFIX}{}{SUFFIX}", state.spares_made))
    }

    /// Removes an unneeded segment from the log: its file becomes a spare or is deleted. The directory is
    /// synced before this returns, so that segments disappear oldest first also across a power cut.
    pub fn retire(&self, segment: Arc<SegmentFile>) -> io::Result<()> {
        let path = segment.path.clone();
        let bytes = segment.header.segment_bytes;
        let has_right_size = bytes == self.segment_bytes();
        // A reader that still holds the file must not see it overwritten, so it is deleted instead of recycled.
        let is_free = Arc::try_unwrap(segment).is_ok();
        if is_free && has_right_size && self.state.lock().spares.len() < SPARES_MAX {
            let spare = Spare { path: self.new_spare_path(), bytes };
            fs::rename(&path, &spare.path)?;
            self.sync_directory()?;
            self.state.lock().spares.push_back(spare);
            self.changed.notify_all();
            return Ok(());
        }
        fs::remove_file(&path)?;
        self.sync_directory()
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

fn fill_with_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_BYTES.min(to.saturating_sub(from) as usize)];
    let mut at = from;
    while at < to {
        let piece = &zeros[..zeros.len().min((to - at) as usize)];
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}
