//! The only writing thread: takes everything queued, writes it, syncs once, calls back in order. It also
//! switches to the next segment, copies live entries of slow groups out of the oldest one, and retires
//! segments that are no longer needed.
//!
//! *Invariant:* a segment gets a successor only after its last record, the seal, is durable.
//! *Invariant:* every segment begins with the state of all groups (vote, purged, committed, first index), so
//! that dropping the oldest segment loses only obsolete entries.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::GroupId;

use super::format::{self, HEADER_BYTES, LogRecord, RecordKind, SEAL_BYTES, SegmentHeader, record_bytes};
use super::group::RecordPosition;
use super::segment::{SegmentFile, is_disk_full};
use super::{Done, LiveSegment, Request, Shared, Submission, closed, end_of};

/// The newest unwritten commit mark of each group.
type Committed = Vec<(GroupId, Bytes)>;

/// Flush size of the buffer: larger writes are not faster.
const BUFFER_BYTES: usize = 4 << 20;
/// Nothing is copied with fewer segments than this: purges usually free them.
const SEGMENTS_BEFORE_REWRITE: usize = 3;
/// Most bytes copied in one round, so that acknowledgements wait a few milliseconds and not for a whole segment.
const REWRITE_BYTES_PER_ROUND: usize = 1 << 20;
/// Idle time after a round before an empty record marks it as durable: under load the next round does.
const MARK_AFTER: Duration = Duration::from_millis(5);
/// The exit status for a disk that cannot be trusted.
const EXIT_DISK: i32 = 74;

enum Work {
    Round(Vec<Request>, Committed),
    /// No request has followed for a while.
    Quiet,
    End,
}

/// The log is being closed while it waits for space.
struct Closed;

/// A live entry that has been copied.
struct Move {
    group: GroupId,
    index: u64,
    from: RecordPosition,
    to: RecordPosition,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Arc<SegmentFile>,
    /// Offset of the next record.
    at: u32,
    /// Where the current round began: everything before it is durable.
    round: u32,
    /// The unwritten bytes before `at`.
    buffer: Vec<u8>,
    /// Whether a record on disk marks the last round as durable.
    is_marked: bool,
    /// Entries to copy out of the oldest segment, this one.
    rewriting: Option<(u64, VecDeque<(GroupId, u64)>)>,
    /// Held as long as the writer exists, so that no other process uses the directory.
    _directory_lock: nix::fcntl::Flock<std::fs::File>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        file: Arc<SegmentFile>,
        at: u32,
        directory_lock: nix::fcntl::Flock<std::fs::File>,
    ) -> Writer {
        Writer {
            shared,
            file,
            at,
            round: at,
            buffer: Vec::new(),
            is_marked: true,
            rewriting: None,
            _directory_lock: directory_lock,
        }
    }

    pub fn run(mut self) {
        // The last run may have been interrupted while it wrote the state at the head of the segment.
        let mut is_open = self.put_state_of_groups().is_ok();
        loop {
            match self.wait_for_work() {
                Work::Round(requests, committed) if is_open => {
                    is_open = self.do_round(requests, committed).is_ok();
                }
                Work::Round(requests, _) => {
                    requests.into_iter().for_each(|request| (request.done)(Err(closed())));
                }
                Work::Quiet if is_open => is_open = self.mark().is_ok(),
                Work::Quiet => self.is_marked = true,
                Work::End => break,
            }
        }
        self.shared.pool.close();
    }

    fn wait_for_work(&self) -> Work {
        let mut queue = self.shared.queue.lock();
        while queue.requests.is_empty() {
            if queue.is_closing && !queue.committed.is_empty() {
                break;
            }
            if queue.is_closing {
                return if self.is_marked { Work::End } else { Work::Quiet };
            }
            if self.is_marked {
                self.shared.has_work.wait(&mut queue);
                continue;
            }
            let waited = self.shared.has_work.wait_for(&mut queue, MARK_AFTER);
            if waited.timed_out() && queue.requests.is_empty() {
                return Work::Quiet;
            }
        }
        queue.bytes = 0;
        let work = (std::mem::take(&mut queue.requests), std::mem::take(&mut queue.committed));
        self.shared.has_room.notify_waiters();
        Work::Round(work.0, work.1.into_iter().collect())
    }

    fn do_round(&mut self, requests: Vec<Request>, committed: Committed) -> Result<(), Closed> {
        let (mut written, mut result) = (Vec::with_capacity(requests.len()), Ok(()));
        let mut dones: Vec<Done> = Vec::with_capacity(requests.len());
        for Request { group, tail, operation, done } in requests {
            dones.push(done);
            if let Submission::Append { entries, truncations } = &operation
                && let Some((index, _)) = entries.last()
            {
                written.push((tail, *truncations, *index));
            }
            result = result.and_then(|()| self.put_request(group, operation));
        }
        result = result.and_then(|()| self.finish_round(committed));
        if result.is_err() {
            dones.into_iter().for_each(|done| done(Err(closed())));
            return result;
        }
        self.shared.rounds.fetch_add(1, Ordering::Relaxed);
        dones.into_iter().for_each(|done| done(Ok(())));
        for (tail, truncations, index) in written {
            tail.lock().written(truncations, index, self.shared.options.group_cache_bytes);
        }
        self.retire_segments();
        self.is_marked = false;
        Ok(())
    }

    fn finish_round(&mut self, committed: Committed) -> Result<(), Closed> {
        for (group, position) in committed {
            self.put(RecordKind::Committed, group, 0, &position)?;
            self.shared.locations.lock().indexes.entry(group).or_default().committed = Some(position);
        }
        let moves = self.rewrite_some()?;
        self.write_buffer()?;
        self.sync();
        self.carry_out(moves);
        if u64::from(self.at) > self.file.header.segment_bytes / 2 {
            self.shared.pool.want_spare();
        }
        Ok(())
    }

    fn put_request(&mut self, group: GroupId, operation: Submission) -> Result<(), Closed> {
        match operation {
            Submission::Append { entries, .. } => {
                self.shared.entries.fetch_add(entries.len() as u64, Ordering::Relaxed);
                for (index, payload) in entries {
                    let position = self.put(RecordKind::Entry, group, index, &payload)?;
                    let mut locations = self.shared.locations.lock();
                    locations.indexes.entry(group).or_default().push(index, position);
                    locations.add_live(position);
                }
            }
            Submission::Vote(vote) => {
                self.put(RecordKind::Vote, group, 0, &vote)?;
                self.shared.locations.lock().indexes.entry(group).or_default().vote = Some(vote);
            }
            Submission::Truncate(index) => {
                self.put(RecordKind::Truncate, group, index, &[])?;
                let mut locations = self.shared.locations.lock();
                let gone = locations.indexes.entry(group).or_default().truncate_from(index);
                locations.remove_live(gone);
            }
            Submission::Purge(index, marker) => {
                self.put(RecordKind::Purge, group, index, &marker)?;
                let mut locations = self.shared.locations.lock();
                let group_index = locations.indexes.entry(group).or_default();
                let gone = group_index.purge_to(index);
                group_index.purged = Some((index, marker));
                locations.remove_live(gone);
            }
            Submission::Drop => {
                self.put(RecordKind::Drop, group, 0, &[])?;
                let mut locations = self.shared.locations.lock();
                let gone = locations.indexes.remove(&group);
                locations.remove_live(
                    gone.iter().flat_map(|group_index| group_index.iter().map(|(_, position)| position)),
                );
            }
        }
        Ok(())
    }

    /// Adds a record to the buffer, in the next segment if it does not fit into this one.
    fn put(
        &mut self,
        kind: RecordKind,
        group: GroupId,
        index: u64,
        payload: &[u8],
    ) -> Result<RecordPosition, Closed> {
        let bytes = record_bytes(payload.len());
        if u64::from(self.at) + (bytes + SEAL_BYTES) as u64 > self.file.header.segment_bytes {
            self.begin_next_segment(bytes)?;
        }
        let position = self.put_here(kind, group, index, payload);
        if self.buffer.len() > BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(position)
    }

    fn put_here(&mut self, kind: RecordKind, group: GroupId, index: u64, payload: &[u8]) -> RecordPosition {
        let header = &self.file.header;
        let position = RecordPosition {
            generation: header.generation,
            offset: self.at,
            payload_length: payload.len() as u32,
        };
        let record = LogRecord { kind, group: group.0, index, round: self.round, payload };
        format::encode(&mut self.buffer, header, self.at, &record);
        self.at += record_bytes(payload.len()) as u32;
        position
    }

    fn begin_next_segment(&mut self, bytes_wanted: usize) -> Result<(), Closed> {
        self.put_here(RecordKind::Seal, GroupId::META, 0, &[]);
        self.write_buffer()?;
        self.sync();
        let least = HEADER_BYTES + self.state_of_groups_bytes() + bytes_wanted + SEAL_BYTES;
        let header = SegmentHeader {
            generation: self.file.header.generation + 1,
            salt: new_salt(),
            segment_bytes: self.shared.pool.segment_bytes().max(least.next_multiple_of(HEADER_BYTES) as u64),
        };
        self.file = Arc::new(self.wait_for_segment(header)?);
        (self.at, self.round) = (HEADER_BYTES as u32, HEADER_BYTES as u32);
        let segment = LiveSegment { file: Arc::clone(&self.file), live_bytes: 0 };
        self.shared.locations.lock().segments.insert(header.generation, segment);
        self.put_state_of_groups()
    }

    fn wait_for_segment(&self, header: SegmentHeader) -> Result<SegmentFile, Closed> {
        self.until_there_is_space("make the next log segment", || self.shared.pool.next_segment(header))
    }

    fn state_of_groups_bytes(&self) -> usize {
        let locations = self.shared.locations.lock();
        let bytes = |payload: &Option<Bytes>| payload.as_ref().map_or(0, |p| record_bytes(p.len()));
        let of_indexes = locations.indexes.values().map(|group_index| {
            let purged = group_index.purged.as_ref().map_or(0, |(_, marker)| record_bytes(marker.len()));
            bytes(&group_index.vote) + bytes(&group_index.committed) + purged + record_bytes(0)
        });
        of_indexes.sum()
    }

    fn put_state_of_groups(&mut self) -> Result<(), Closed> {
        let mut records = Vec::new();
        for (group, group_index) in &self.shared.locations.lock().indexes {
            records.extend(group_index.vote.clone().map(|vote| (RecordKind::Vote, *group, 0, vote)));
            records.extend(
                group_index.committed.clone().map(|position| (RecordKind::Committed, *group, 0, position)),
            );
            records.extend(
                group_index.purged.clone().map(|(index, marker)| (RecordKind::Purge, *group, index, marker)),
            );
            records.extend(group_index.first().map(|index| (RecordKind::First, *group, index, Bytes::new())));
        }
        for (kind, group, index, payload) in records {
            self.put(kind, group, index, &payload)?;
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<(), Closed> {
        let from = self.at - self.buffer.len() as u32;
        self.until_there_is_space("write", || self.file.write_at(&self.buffer, from))?;
        self.buffer.clear();
        Ok(())
    }

    /// Waits on a full disk; after any other write error the disk can no longer be trusted.
    fn until_there_is_space<T>(&self, step: &str, work: impl Fn() -> io::Result<T>) -> Result<T, Closed> {
        let pool = &self.shared.pool;
        let mut has_waited = false;
        loop {
            match work() {
                Ok(result) => {
                    if has_waited {
                        pool.set_trouble(None);
                    }
                    return Ok(result);
                }
                Err(error) if !is_disk_full(&error) => stop_process(step, &self.file.path, &error),
                Err(error) => pool.set_trouble(Some(pool.explain(step, &error))),
            }
            has_waited = true;
            if !pool.wait_to_retry() {
                return Err(Closed);
            }
        }
    }

    fn sync(&mut self) {
        if let Err(error) = self.file.sync() {
            stop_process("fdatasync", &self.file.path, &error);
        }
        self.round = self.at;
        self.shared.synced_end.store(end_of(self.file.header.generation, self.at), Ordering::Release);
    }

    /// If no round follows, an empty record marks everything before it as durable: otherwise damage to the
    /// last round could not be distinguished from a torn one. The next round begins with it.
    fn mark(&mut self) -> Result<(), Closed> {
        self.is_marked = true;
        if u64::from(self.at) + 2 * SEAL_BYTES as u64 <= self.file.header.segment_bytes {
            self.put_here(RecordKind::Mark, GroupId::META, 0, &[]);
            self.write_buffer()?;
        }
        Ok(())
    }

    /// Copies live entries out of the oldest segment, if it pins much more than their size. Readers use the old positions
    /// until the copies are readable.
    fn rewrite_some(&mut self) -> Result<Vec<Move>, Closed> {
        let mut moves = Vec::new();
        let Some(oldest) = self.segment_to_rewrite() else { return Ok(moves) };
        if self.rewriting.as_ref().is_none_or(|(generation, _)| *generation != oldest) {
            self.rewriting = Some((oldest, self.entries_in(oldest)));
        }
        let mut bytes = 0;
        while bytes < REWRITE_BYTES_PER_ROUND {
            let Some((group, index)) = self.rewriting.as_mut().and_then(|(_, entries)| entries.pop_front())
            else {
                break;
            };
            let found = self.shared.locations.lock().find(group, index);
            let Some((position, file)) = found.filter(|(position, _)| position.generation == oldest) else {
                continue;
            };
            let payload = read_entry(&file, group, index, position)
                .unwrap_or_else(|error| stop_process("read a live entry of", &file.path, &error));
            let to = self.put(RecordKind::Rewritten, group, index, &payload)?;
            moves.push(Move { group, index, from: position, to });
            bytes += payload.len();
        }
        Ok(moves)
    }

    fn carry_out(&self, moves: Vec<Move>) {
        let mut locations = self.shared.locations.lock();
        for Move { group, index, from, to } in moves {
            locations.remove_live([from]);
            locations.add_live(to);
            locations.indexes.entry(group).or_default().set_position(index, to);
        }
    }

    /// The oldest segment, if less than half of the whole log is live: then each copied byte
    /// frees at least one more.
    fn segment_to_rewrite(&self) -> Option<u64> {
        let locations = self.shared.locations.lock();
        let bytes: u64 = locations.segments.values().map(|segment| segment.file.header.segment_bytes).sum();
        let is_worth_it =
            locations.segments.len() > SEGMENTS_BEFORE_REWRITE && locations.live_bytes() * 2 < bytes;
        locations.segments.keys().next().copied().filter(|_| is_worth_it)
    }

    fn entries_in(&self, generation: u64) -> VecDeque<(GroupId, u64)> {
        let locations = self.shared.locations.lock();
        let of_group = locations.indexes.iter().flat_map(|(group, group_index)| {
            let here = group_index.iter().filter(|(_, position)| position.generation == generation);
            here.map(|(index, _)| (*group, index))
        });
        of_group.collect()
    }

    /// Retires the oldest segments without live entries. Called after a sync, so that the copies and the
    /// state at the head of their successors are durable.
    fn retire_segments(&mut self) {
        loop {
            let mut locations = self.shared.locations.lock();
            let Some(oldest) = locations.segments.first_entry() else { return };
            if *oldest.key() == self.file.header.generation || oldest.get().live_bytes > 0 {
                return;
            }
            let segment = oldest.remove();
            drop(locations);
            let path = segment.file.path.clone();
            if let Err(error) = self.shared.pool.retire(segment.file) {
                stop_process("retire", &path, &error);
            }
        }
    }
}

pub(super) fn new_salt() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// Reads an entry from its position and verifies it.
pub(super) fn read_entry(
    file: &SegmentFile,
    group: GroupId,
    index: u64,
    position: RecordPosition,
) -> io::Result<Bytes> {
    let bytes = file.read_at(position.offset, record_bytes(position.payload_length as usize))?;
    let record = format::decode(&bytes, &file.header, position.offset);
    let is_the_one = record.is_some_and(|r| {
        matches!(r.kind, RecordKind::Entry | RecordKind::Rewritten) && (r.group, r.index) == (group.0, index)
    });
    if !is_the_one {
        let (path, offset) = (file.path.display(), position.offset);
        let why =
            format!("the Raft log is damaged: {path} at byte {offset} is not entry {index} of group {group}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let end = format::RECORD_HEADER_BYTES + position.payload_length as usize;
    Ok(Bytes::from(bytes).slice(format::RECORD_HEADER_BYTES..end))
}

/// After a failed fdatasync the kernel may have dropped the pages and report success the next time, so the
/// only safe answer is to stop at once; what was not acknowledged comes back from the other replicas.
fn stop_process(step: &str, path: &Path, error: &io::Error) -> ! {
    let version = env!("CARGO_PKG_VERSION");
    let message =
        format!("dkcd {version}: cannot {step} {}: {error}; stopping without acknowledging", path.display());
    tracing::error!("{message}");
    // Standard error may be a file on that very disk.
    let _ = writeln!(io::stderr(), "{message}");
    std::process::exit(EXIT_DISK)
}
