//! The log against a model, across reopening, damage, full disks and `kill -9`.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::format::{HEADER_BYTES, RECORD_HEADER_BYTES};
use super::*;

const SMALL: LogOptions =
    LogOptions { segment_bytes: 16 << 10, group_cache_bytes: 2 << 10, queue_bytes_max: 1 << 20 };

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Hands something over and waits until it is durable.
fn durably(enqueue: impl FnOnce(Done)) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    enqueue(Box::new(move |result| drop(sender.send(result))));
    receiver.recv().expect("done is always called")
}

fn append(log: &GroupLog, from: u64, payloads: &[&str]) {
    let entries = payloads.iter().zip(from..).map(|(payload, index)| (index, bytes(payload))).collect();
    durably(|done| log.append(entries, done)).unwrap();
}

fn texts(log: &GroupLog, range: Range<u64>) -> Vec<(u64, String)> {
    let entries = log.read(range).unwrap();
    entries
        .into_iter()
        .map(|(index, payload)| (index, String::from_utf8(payload.to_vec()).unwrap()))
        .collect()
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    let group = log.group(GroupId(3));
    let mut ends = vec![log.synced_end()];
    append(&group, 1, &["a", "b", "c", "d"]);
    ends.push(log.synced_end());
    durably(|done| group.save_vote(bytes("vote"), done)).unwrap();
    ends.push(log.synced_end());
    durably(|done| group.truncate_from(4, done)).unwrap();
    ends.push(log.synced_end());
    durably(|done| group.purge_to(1, bytes("one"), done)).unwrap();
    ends.push(log.synced_end());
    assert!(ends.is_sorted_by(|one, next| one < next), "{ends:?}");
    group.save_committed(bytes("committed"));
    let before = group.state();
    log.close();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    assert!(log.synced_end() >= ends[4]);
    let group = log.group(GroupId(3));
    assert_eq!(group.state(), before);
    assert_eq!(log.groups(), [GroupId(3)]);
    assert_eq!(texts(&group, 0..9), [(2, "b".to_owned()), (3, "c".to_owned())]);
    append(&group, 4, &["D"]);
    assert_eq!(texts(&group, 4..5), [(4, "D".to_owned())]);
}

/// What a group should hold, kept in the simplest way.
#[derive(Debug, Clone, Default)]
struct Model {
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
    entries: Vec<(u64, Bytes)>,
}

impl Model {
    fn next(&self) -> u64 {
        let after_purge = self.purged.as_ref().map_or(1, |(index, _)| index + 1);
        self.entries.last().map_or(after_purge, |(index, _)| index + 1)
    }

    fn state(&self) -> GroupState {
        GroupState {
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            purged: self.purged.clone(),
            first_index: self.entries.first().map(|(index, _)| *index),
            last_index: self.entries.last().map(|(index, _)| *index),
        }
    }
}

#[derive(Debug, Clone)]
enum LogStep {
    Append { group: u16, payload_lengths: Vec<usize> },
    Truncate { group: u16, entries: u64 },
    Purge { group: u16, forward: u64 },
    Vote { group: u16, number: u64 },
    Committed { group: u16, number: u64 },
    Drop { group: u16 },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<LogStep>> {
    let group = || 0..3u16;
    let length = prop_oneof![20 => 0..300usize, 4 => 300..4000usize, 1 => 16_000..40_000usize];
    let step = prop_oneof![
        20 => (group(), prop::collection::vec(length, 1..12))
            .prop_map(|(group, payload_lengths)| LogStep::Append { group, payload_lengths }),
        3 => (group(), 0..6u64).prop_map(|(group, entries)| LogStep::Truncate { group, entries }),
        // Group 0 is never purged: it is the one that would pin the log.
        6 => (1..3u16, 0..40u64).prop_map(|(group, forward)| LogStep::Purge { group, forward }),
        4 => (group(), any::<u64>()).prop_map(|(group, number)| LogStep::Vote { group, number }),
        4 => (group(), any::<u64>()).prop_map(|(group, number)| LogStep::Committed { group, number }),
        1 => group().prop_map(|group| LogStep::Drop { group }),
        3 => Just(LogStep::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// In memory where there is such a place: what the model says does not hang on the disk, only its speed does.
fn fast_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn payload(index: u64, length: usize) -> Bytes {
    Bytes::from((0..length).map(|at| (index as usize * 31 + at) as u8).collect::<Vec<u8>>())
}

fn play(log: &GroupLog, model: &mut Model, step: LogStep, dones: &mpsc::Sender<io::Result<()>>) -> usize {
    let sender = dones.clone();
    let done: Done = Box::new(move |result| drop(sender.send(result)));
    match step {
        LogStep::Append { payload_lengths, .. } => {
            let next = model.next();
            let entries: Vec<_> = payload_lengths
                .iter()
                .zip(next..)
                .map(|(length, index)| (index, payload(index, *length)))
                .collect();
            model.entries.extend(entries.clone());
            log.append(entries, done);
        }
        LogStep::Truncate { entries, .. } => {
            let from = model.next().saturating_sub(entries);
            model.entries.retain(|(index, _)| *index < from);
            log.truncate_from(from, done);
        }
        LogStep::Purge { forward, .. } => {
            let to = model.purged.as_ref().map_or(0, |(index, _)| *index) + forward;
            // What an installed snapshot does: a purge behind the last entry.
            model.entries.retain(|(index, _)| *index > to);
            model.purged = Some((to, bytes(&format!("marker {to}"))));
            log.purge_to(to, bytes(&format!("marker {to}")), done);
        }
        LogStep::Vote { number, .. } => {
            model.vote = Some(bytes(&number.to_string()));
            log.save_vote(bytes(&number.to_string()), done);
        }
        LogStep::Committed { number, .. } => {
            model.committed = Some(bytes(&number.to_string()));
            log.save_committed(bytes(&number.to_string()));
            return 0;
        }
        LogStep::Drop { .. } => {
            *model = Model::default();
            log.drop_group(done);
        }
        LogStep::Reopen => return 0,
    }
    1
}

fn group_of(step: &LogStep) -> Option<usize> {
    match step {
        LogStep::Append { group, .. }
        | LogStep::Truncate { group, .. }
        | LogStep::Purge { group, .. }
        | LogStep::Vote { group, .. }
        | LogStep::Committed { group, .. }
        | LogStep::Drop { group } => Some(usize::from(*group)),
        LogStep::Reopen => None,
    }
}

fn agrees(log: &SharedLog, models: &[Model; 3]) {
    for (group, model) in models.iter().enumerate() {
        let group = log.group(GroupId(group as u16));
        assert_eq!(group.state(), model.state(), "group {}", group.group());
        assert_eq!(group.read(0..u64::MAX).unwrap(), model.entries, "group {}", group.group());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn the_log_does_what_its_model_does(steps in steps()) {
        let directory = fast_directory();
        let mut log = SharedLog::open(directory.path(), SMALL).unwrap();
        let (mut models, (sender, receiver)) = (<[Model; 3]>::default(), mpsc::channel());
        let (mut handed_over, mut synced_end) = (0, LogEnd(0));
        for step in steps {
            match group_of(&step) {
                Some(group) => {
                    let handle = log.group(GroupId(group as u16));
                    handed_over += play(&handle, &mut models[group], step, &sender);
                }
                None => {
                    log.close();
                    log = SharedLog::open(directory.path(), SMALL).unwrap();
                }
            }
            agrees(&log, &models);
            // Whatever is truncated, purged, dropped or opened again.
            prop_assert!(log.synced_end() >= synced_end);
            synced_end = log.synced_end();
        }
        log.close();
        for _ in 0..handed_over {
            prop_assert!(receiver.recv().unwrap().is_ok());
        }
        agrees(&SharedLog::open(directory.path(), SMALL).unwrap(), &models);
    }
}

#[test]
fn segments_change_their_size_while_the_log_is_written_and_all_of_them_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    let group = log.group(GroupId(3));
    let sizes = || -> Vec<u64> {
        let segments = segments(directory.path());
        segments.iter().map(|path| fs::metadata(path).unwrap().len()).collect()
    };
    let payload = "x".repeat(1000);
    let mut next = 1;
    let mut fill = |count: u64| {
        (next..next + count).for_each(|index| append(&group, index, &[&payload]));
        next += count;
        next - 1
    };
    fill(60);
    assert!(sizes().iter().all(|bytes| *bytes == 16 << 10), "{:?}", sizes());
    log.set_segment_bytes(64 << 10);
    fill(200);
    assert_eq!(sizes().last(), Some(&(64 << 10)), "{:?}", sizes());
    log.set_segment_bytes(16 << 10);
    let last = fill(100);
    assert_eq!(sizes().last(), Some(&(16 << 10)), "{:?}", sizes());
    // Emptied ones become spares of their own size, or none.
    durably(|done| group.purge_to(last - 100, bytes("marker"), done)).unwrap();
    log.set_segment_bytes(32 << 10);
    let last = fill(100);
    log.close();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    let group = log.group(GroupId(3));
    assert_eq!(group.state().last_index, Some(last));
    assert_eq!(texts(&group, last - 99..last + 1).len(), 100);
}

#[test]
fn an_append_that_leaves_a_gap_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    let group = log.group(GroupId(3));
    append(&group, 1, &["a"]);
    let check = |indexes: &[u64], want: &str| {
        let entries = indexes.iter().map(|index| (*index, bytes("x"))).collect();
        let error = durably(|done| group.append(entries, done)).unwrap_err();
        assert_eq!(error.to_string(), want);
    };
    check(&[3], "group 3: entry 3 does not follow: 2 is next");
    check(&[1], "group 3: entry 1 does not follow: 2 is next");
    check(&[2, 4], "group 3: entry 4 does not follow: 3 is next");
    assert_eq!(group.state().last_index, Some(1));
}

#[test]
fn an_idle_group_does_not_pin_the_log_and_recycled_files_resurrect_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    let (idle, busy) = (log.group(GroupId(1)), log.group(GroupId(2)));
    append(&idle, 1, &["first", "second", "third"]);
    durably(|done| idle.save_vote(bytes("vote"), done)).unwrap();
    // Long enough that the newest segment is surely a recycled one at some moment; it is left at that.
    let mut is_recycled = false;
    for index in 1..6000 {
        append(&busy, index, &["some text that fills the segments one after the other"]);
        if index % 50 == 0 {
            durably(|done| busy.purge_to(index, bytes("marker"), done)).unwrap();
            let content = fs::read(segments(directory.path()).pop().unwrap()).unwrap();
            is_recycled = content[content.len() - 2048..].iter().any(|byte| *byte != 0);
        }
        if index > 2000 && is_recycled {
            break;
        }
    }
    assert!(is_recycled, "the newest segment should have an earlier use behind its end");
    let usage = log.usage();
    assert!(usage.segments <= 6, "{usage:?}");
    let (idle_before, busy_before) = (idle.state(), busy.state());
    log.close();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    assert_eq!(log.group(GroupId(1)).state(), idle_before);
    assert_eq!(log.group(GroupId(2)).state(), busy_before);
    assert_eq!(texts(&log.group(GroupId(1)), 0..9).len(), 3);
}

#[test]
fn a_dropped_group_leaves_nothing_and_needs_no_segment() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    let group = log.group(GroupId(1));
    durably(|done| group.save_vote(bytes("vote"), done)).unwrap();
    append(&group, 1, &[&"x".repeat(5000), &"y".repeat(5000), &"z".repeat(5000), "end"]);
    durably(|done| group.drop_group(done)).unwrap();
    assert_eq!((group.state(), log.groups()), (GroupState::default(), vec![]));
    append(&group, 7, &["new life"]);
    log.close();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    assert_eq!(texts(&log.group(GroupId(1)), 0..9), [(7, "new life".to_owned())]);
    assert_eq!(log.group(GroupId(1)).state().vote, None);
    assert!(log.usage().live_bytes < 100, "{:?}", log.usage());
}

#[test]
fn only_one_process_has_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    refused(directory.path(), "is in use by another process");
    let group = log.group(GroupId(1));
    log.close();
    let error = durably(|done| group.append(vec![(1, bytes("a"))], done)).unwrap_err();
    assert_eq!(error.to_string(), "the Raft log is closed");
}

fn refused(directory: &Path, want: &str) {
    let message = SharedLog::open(directory, SMALL).err().expect("should be refused").to_string();
    assert!(message.contains(want), "{message}");
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).unwrap().map(|item| item.unwrap().path());
    let is_segment = |path: &PathBuf| {
        path.extension().is_some_and(|e| e == "seg") && !path.to_string_lossy().contains("spare")
    };
    let mut files: Vec<PathBuf> = files.filter(is_segment).collect();
    files.sort();
    files
}

/// A log with the entries `a`, `b`, `c` in rounds of their own; its segment, and the place of each entry.
fn three_rounds(directory: &Path) -> (PathBuf, Vec<u8>, Vec<Range<usize>>) {
    let log = SharedLog::open(directory, SMALL).unwrap();
    for (index, text) in (1..).zip(["a", "bb", "ccc"]) {
        append(&log.group(GroupId(1)), index, &[text]);
    }
    log.close();
    let segment = segments(directory).pop().unwrap();
    let content = fs::read(&segment).unwrap();
    let header = format::decode_header(&content).unwrap();
    let mut places = Vec::new();
    let ending = format::scan(&content, &header, |offset, record| {
        if record.kind == format::RecordKind::Entry {
            places.push(offset as usize..offset as usize + RECORD_HEADER_BYTES + record.payload.len());
        }
        Ok::<(), ()>(())
    });
    assert!(matches!(ending, Ok(format::Ending::Open { has_leftovers: false, .. })));
    (segment, content, places)
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_record_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, content, places) = three_rounds(directory.path());
    let last = places.last().unwrap().clone();
    for garbage in [0, 0xAA] {
        for torn_at in last.clone() {
            let mut torn = content.clone();
            torn[torn_at..last.end].fill(garbage);
            torn[last.end..].fill(0);
            fs::write(&segment, torn).unwrap();
            let log = SharedLog::open(directory.path(), SMALL).unwrap();
            let group = log.group(GroupId(1));
            assert_eq!(group.state().last_index, Some(2), "torn at {torn_at}");
            append(&group, 3, &["C"]);
            log.close();
            let log = SharedLog::open(directory.path(), SMALL).unwrap();
            assert_eq!(texts(&log.group(GroupId(1)), 3..9), [(3, "C".to_owned())], "torn at {torn_at}");
        }
    }
}

#[test]
fn a_flipped_byte_in_anything_acknowledged_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, content, places) = three_rounds(directory.path());
    for place in places {
        for flipped_at in place.clone() {
            let mut flipped = content.clone();
            flipped[flipped_at] ^= 0x10;
            fs::write(&segment, &flipped).unwrap();
            refused(directory.path(), &format!("at byte {}: the record there is damaged", place.start));
            assert_eq!(fs::read(&segment).unwrap(), flipped, "nothing was changed");
        }
    }
    fs::write(&segment, &content).unwrap();
    assert!(SharedLog::open(directory.path(), SMALL).is_ok());
}

#[test]
fn what_a_torn_round_left_behind_does_not_come_back_later() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    append(&log.group(GroupId(1)), 1, &["a"]);
    // One round of three entries of the same size; the middle one will be torn.
    append(&log.group(GroupId(1)), 2, &["b", "c", "d"]);
    log.close();
    let segment = segments(directory.path()).pop().unwrap();
    let mut content = fs::read(&segment).unwrap();
    let header = format::decode_header(&content).unwrap();
    let (mut places, mut end) = (Vec::new(), HEADER_BYTES);
    let _ = format::scan(&content, &header, |offset, record| {
        if record.kind == format::RecordKind::Entry {
            places.push(offset as usize);
            end = offset as usize + format::record_bytes(record.payload.len());
        }
        Ok::<(), ()>(())
    });
    content[places[2] + RECORD_HEADER_BYTES] ^= 1;
    content[end..].fill(0);
    fs::write(&segment, content).unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    assert_eq!(log.group(GroupId(1)).state().last_index, Some(2));
    append(&log.group(GroupId(1)), 3, &["C"]);
    log.close();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    assert_eq!(log.group(GroupId(1)).state().last_index, Some(3));
}

#[test]
fn a_log_that_lacks_a_segment_or_the_end_of_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    append(&log.group(GroupId(1)), 1, &[&"x".repeat(9000), &"y".repeat(9000), &"z".repeat(9000), "end"]);
    log.close();
    let all = segments(directory.path());
    assert!(all.len() >= 3, "{all:?}");
    let check = |at: usize, change: &dyn Fn(&mut Vec<u8>), want: &str| {
        let good = fs::read(&all[at]).unwrap();
        let mut changed = good.clone();
        change(&mut changed);
        match changed.is_empty() {
            true => fs::remove_file(&all[at]).unwrap(),
            false => fs::write(&all[at], changed).unwrap(),
        }
        refused(directory.path(), want);
        fs::write(&all[at], good).unwrap();
    };
    check(0, &|content| content.clear(), "entry 1 of group 1 is missing");
    check(1, &|content| content.clear(), "generation 2, is missing");
    check(0, &|content| content[HEADER_BYTES..].fill(0), "the records end without a seal");
    check(0, &|content| content.truncate(10_000), "the file has 10000 bytes, its header says 16384");
    check(0, &|content| content.truncate(100), "the file is shorter than a header");
    check(0, &|content| content[20] ^= 1, "checksum mismatch in the segment's header");
    check(0, &|content| content[8] = 9, "has log format 9, this program knows 1");
    check(0, &|content| content.fill(0x41), "is not a log segment");
    assert!(SharedLog::open(directory.path(), SMALL).is_ok());
}

/// Says to the test binary, started again as a child, which directory to append in.
const CHILD_DIRECTORY: &str = "DKCD_TEST_LOG_DIRECTORY";

/// Not a test of its own: the other half of the next one.
#[test]
fn the_child() {
    let Ok(directory) = std::env::var(CHILD_DIRECTORY) else { return };
    let log = SharedLog::open(Path::new(&directory), SMALL).unwrap();
    let groups: Vec<GroupLog> = (0..3).map(|group| log.group(GroupId(group))).collect();
    let (sender, receiver) = mpsc::channel();
    for index in 1u64.. {
        for group in &groups {
            let (sender, number) = (sender.clone(), group.group());
            let done: Done = Box::new(move |result| drop(sender.send((number, index, result))));
            group.append(vec![(index, payload(index, 200))], done);
        }
        if index % 7 == 0 {
            groups[2].purge_to(index - 3, bytes("marker"), Box::new(|_| ()));
        }
        for (group, index, result) in receiver.try_iter() {
            result.unwrap();
            // The parent may have read enough and be about to kill this process.
            let _ = writeln!(io::stdout(), "durable {group} {index}");
        }
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::tests::the_child", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let mut durable = [0u64; 3];
    for line in lines.filter(|line| line.starts_with("durable ")).take(3000) {
        let words: Vec<u64> = line.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
        durable[words[0] as usize] = words[1];
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    for (group, last_durable) in durable.into_iter().enumerate() {
        let group = log.group(GroupId(group as u16));
        let entries = group.read(0..u64::MAX).unwrap();
        assert!(entries.last().is_some_and(|(index, _)| *index >= last_durable), "group {}", group.group());
        assert!(entries.iter().all(|(index, found)| *found == payload(*index, 200)));
    }
}

/// A file system of two megabytes, most of it taken by a file that can be removed.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    const BALLAST: &str = "ballast";

    /// `None`, with the reason printed, where this process may not mount.
    fn mount() -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(directory.path())
            .output();
        if !mount.as_ref().is_ok_and(|output| output.status.success()) {
            println!("skipped: a file system cannot be mounted here: {mount:?}");
            return None;
        }
        fs::write(directory.path().join(Self::BALLAST), vec![1; 1 << 20]).unwrap();
        Some(SmallDisk { directory })
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn make_space(&self) {
        fs::remove_file(self.directory.path().join(Self::BALLAST)).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).output();
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Appends entries of 4 KiB, more than fit on the disk, and waits for the trouble.
fn fill(log: &SharedLog, entries: u64) -> mpsc::Receiver<(u64, io::Result<()>)> {
    let (sender, receiver) = mpsc::channel();
    let group = log.group(GroupId(1));
    for index in 1..=entries {
        let sender = sender.clone();
        let done: Done = Box::new(move |result| drop(sender.send((index, result))));
        group.append(vec![(index, payload(index, 4096))], done);
    }
    wait_for("the disk is full", || log.trouble().is_some());
    receiver
}

const ON_SMALL_DISK: LogOptions = LogOptions { segment_bytes: 128 << 10, ..SMALL };

#[test]
fn a_full_disk_makes_writes_wait_and_space_lets_them_go_on() {
    let Some(disk) = SmallDisk::mount() else { return };
    let log = SharedLog::open(&disk.log(), ON_SMALL_DISK).unwrap();
    let receiver = fill(&log, 300);
    let trouble = log.trouble().unwrap();
    assert!(trouble.contains("No space left on device"), "{trouble}");
    assert!(trouble.contains("writes wait until there is space again"), "{trouble}");
    assert_eq!(log.group(GroupId(1)).read(300..301).unwrap().len(), 1, "reading goes on");
    disk.make_space();
    for want in 1..=300 {
        let (index, result) =
            receiver.recv_timeout(Duration::from_secs(60)).expect("everything becomes durable");
        assert_eq!((index, result.is_ok()), (want, true));
    }
    wait_for("the trouble is over", || log.trouble().is_none());
    log.close();
    let log = SharedLog::open(&disk.log(), ON_SMALL_DISK).unwrap();
    assert_eq!(log.group(GroupId(1)).read(0..u64::MAX).unwrap().len(), 300);
}

#[test]
fn closing_on_a_full_disk_gives_back_what_was_not_acknowledged() {
    let Some(disk) = SmallDisk::mount() else { return };
    let log = SharedLog::open(&disk.log(), ON_SMALL_DISK).unwrap();
    let receiver = fill(&log, 300);
    log.close();
    let results: Vec<bool> = receiver.iter().map(|(_, result)| result.is_ok()).collect();
    let durable = results.iter().take_while(|is_ok| **is_ok).count();
    assert_eq!((results.len(), results[durable..].iter().any(|is_ok| *is_ok)), (300, false));
    assert!((1..300).contains(&durable), "{durable}");
    disk.make_space();
    let log = SharedLog::open(&disk.log(), ON_SMALL_DISK).unwrap();
    assert!(log.group(GroupId(1)).state().last_index.unwrap() >= durable as u64);
}

#[test]
fn room_waits_until_the_disk_has_taken_what_is_queued() {
    let directory = tempfile::tempdir().unwrap();
    let log = SharedLog::open(directory.path(), LogOptions { queue_bytes_max: 1, ..SMALL }).unwrap();
    let group = log.group(GroupId(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for index in 1..50 {
        group.append(vec![(index, bytes("x"))], Box::new(|result| result.unwrap()));
        runtime.block_on(group.room());
    }
    assert_eq!(group.state().last_index, Some(49));
}
