//! The state store across reopening, `kill -9`, interrupted installs and damage.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use dkc_core::tablet::{Changes, Rows};

use super::*;
use std::fs;

const TABLET: TabletId = TabletId(4);
/// Rows that a test batch writes, all with the same number.
const ROWS: u64 = 10;
/// Says to the test binary, started again as a child, which directory to work in and what to do.
const CHILD_DIRECTORY: &str = "DKCD_TEST_STORAGE_DIRECTORY";
const CHILD_STEP: &str = "DKCD_TEST_STORAGE_STEP";

fn open(directory: &Path) -> Storage {
    Storage::open(directory, StorageOptions::default()).unwrap()
}

fn text(value: impl ToString) -> Bytes {
    Bytes::from(value.to_string().into_bytes())
}

fn numbered(number: u64) -> Changes {
    (0..ROWS).map(|row| (format!("row{row:02}").into_bytes(), Some(text(number)))).collect()
}

/// All the steps of an ingestion.
fn ingest(storage: &Storage) {
    storage.forget_ended().unwrap();
    let turn = storage.shared.turn.clone().try_lock_owned().unwrap();
    let Some(mut ingesting) = storage.begin_ingesting(turn).unwrap() else { return };
    while ingesting.step().unwrap() {}
}

fn commit(store: &TabletStore, number: u64) {
    store.commit(numbered(number), text(number), None).unwrap();
}

/// All rows with their values, as `row=value` words.
fn dump<R: Rows<Error = StorageError>>(rows: &R) -> String {
    let mut words = Vec::new();
    rows.scan(b"", &mut |row, value| {
        words.push(format!("{}={}", String::from_utf8_lossy(row), String::from_utf8_lossy(value)));
        true
    })
    .unwrap();
    words.join(" ")
}

fn want(number: u64) -> String {
    (0..ROWS).map(|row| format!("row{row:02}={number}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn rows_position_and_membership_are_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    assert_eq!((store.applied(), store.membership(), store.durable_applied()), (None, None, None));
    store.commit(numbered(1), text("at 1"), Some(text("members"))).unwrap();
    store.commit([(b"row03".to_vec(), None)].into(), text("at 2"), None).unwrap();
    assert_eq!(store.durable_applied(), None);
    ingest(&storage);
    assert_eq!(store.durable_applied(), Some(text("at 2")));
    store.commit([(b"x".to_vec(), Some(text("y")))].into(), text("at 3"), None).unwrap();
    assert_eq!(store.durable_applied(), Some(text("at 2")));
    storage.meta().unwrap().commit([(b"m".to_vec(), Some(text("n")))].into(), text("at 9"), None).unwrap();
    drop((store, storage));
    let storage = open(directory.path());
    assert_eq!(storage.tablets(), [TABLET]);
    let store = storage.tablet(TABLET).unwrap();
    // What was not ingested is for the log to bring back.
    assert_eq!((store.applied(), store.membership()), (Some(text("at 2")), Some(text("members"))));
    assert_eq!(dump(&store), want(1).replace("row03=1 ", ""));
    assert_eq!((store.get(b"x").unwrap(), store.get(b"row04").unwrap()), (None, Some(text(1))));
    let meta = storage.meta().unwrap();
    assert_eq!((dump(&meta), meta.applied()), (String::new(), None));
}

#[test]
fn a_snapshot_is_the_state_at_one_position_while_commits_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    commit(&store, 0);
    let committer = std::thread::spawn({
        let store = store.clone();
        move || (1..2000).for_each(|number| commit(&store, number))
    });
    let mut kept: Vec<(TabletSnapshot, u64)> = Vec::new();
    while !committer.is_finished() {
        ingest(&storage);
        let snapshot = store.snapshot().unwrap();
        let applied = snapshot.applied().unwrap();
        let number = String::from_utf8(applied.to_vec()).unwrap().parse().unwrap();
        if kept.last().is_none_or(|(_, last)| number >= last + 40) {
            kept.push((snapshot, number));
        }
    }
    committer.join().unwrap();
    for (snapshot, number) in kept {
        assert_eq!(dump(&snapshot), want(number));
    }
}

#[test]
fn a_snapshot_is_read_in_pieces_from_any_row_on() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    let large = Bytes::from(vec![7; 10_000]);
    let mut changes: Changes = (0..100u32).map(|row| (row.to_be_bytes().to_vec(), Some(text("v")))).collect();
    changes.insert(vec![1], Some(large.clone()));
    store.commit(changes.clone(), text(1), Some(text("members"))).unwrap();
    let snapshot = store.snapshot().unwrap();
    for bytes_max in [1, 64, 4096, usize::MAX] {
        let (mut rows, mut after) = (Changes::new(), None);
        loop {
            let chunk = snapshot.chunk(after.as_deref(), bytes_max, None).unwrap();
            rows.extend(chunk.rows.into_iter().map(|(row, value)| (row.to_vec(), Some(value))));
            after = chunk.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(rows, changes, "in pieces of {bytes_max}");
    }
    assert_eq!(snapshot.membership(), Some(text("members")));
}

#[test]
fn rows_that_the_engine_would_end_the_process_for_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    let check = |row: Vec<u8>, want: &str| {
        let error = store.commit([(row, Some(text("v")))].into(), text(1), None).unwrap_err();
        assert_eq!(error.to_string(), format!("a row cannot be stored: {want}"));
    };
    check(vec![], "its key is empty");
    check(vec![SYSTEM_KIND, 1], "its kind byte 0xFF belongs to the storage");
    check(vec![1; ROW_MAX_BYTES + 1], "its key is longer than 65527 bytes");
    assert_eq!((store.applied(), dump(&store)), (None, String::new()));
}

#[test]
fn a_dropped_tablet_is_gone_and_may_come_back_empty() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    commit(&store, 1);
    ingest(&storage);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(storage.vote_floor(TABLET), None);
    let vote_floor = Bytes::from_static(b"what was promised");
    storage.drop_tablet(TABLET, vote_floor.clone()).unwrap();
    storage.drop_tablet(TABLET, Bytes::from_static(b"nothing was left to drop")).unwrap();
    assert_eq!(storage.vote_floor(TABLET), Some(vote_floor));
    let error = store.commit(numbered(2), text(2), None).unwrap_err();
    assert_eq!(error.to_string(), "tablet 4 is not on this node any more");
    assert_eq!(dump(&snapshot), want(1));
    assert_eq!(storage.tablets(), []);
    let again = storage.tablet(TABLET).unwrap();
    assert_eq!((again.applied(), dump(&again)), (None, String::new()));
    drop((snapshot, store, again, storage));
    assert_eq!(open(directory.path()).tablets(), [TABLET]);
}

#[test]
fn an_install_replaces_the_state_when_it_is_finished_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    commit(&store, 1);
    let rows = |number: u64| {
        numbered(number)
            .into_iter()
            .map(|(row, value)| (Bytes::from(row), value.unwrap()))
            .collect::<Vec<_>>()
    };
    let mut given_up = Install::begin(store.clone()).unwrap();
    given_up.add_chunk(rows(7)).unwrap();
    drop(given_up);
    let mut unordered = Install::begin(store.clone()).unwrap();
    unordered.add_chunk(rows(7)).unwrap();
    let error = unordered.add_chunk(rows(7)).unwrap_err();
    assert!(error.to_string().contains("not in order"), "{error}");
    drop(unordered);
    assert_eq!(dump(&store), want(1));

    let mut install = Install::begin(store.clone()).unwrap();
    let (first, second) = (rows(8)[..4].to_vec(), rows(8)[4..].to_vec());
    install.add_chunk(first).unwrap();
    commit(&store, 2);
    let before = store.snapshot().unwrap();
    install.add_chunk(second).unwrap();
    assert_eq!(dump(&store), want(2));
    install.finish(text("at 8"), Some(text("members"))).unwrap();
    assert_eq!((dump(&store), dump(&before)), (want(8), want(2)));
    assert_eq!((store.applied(), store.membership()), (Some(text("at 8")), Some(text("members"))));
    assert_eq!(store.durable_applied(), Some(text("at 8")));
    commit(&store, 9);
    ingest(&storage);
    assert_eq!(dump(&before), want(2));
    drop((before, store));
    // The rows before, and those of the two that were given up, are in no table any more.
    ingest(&storage);
    let mut incarnations = std::collections::BTreeSet::new();
    storage
        .shared
        .engine
        .scan(&[0], &[0xFF], &mut |key, _| {
            incarnations.insert(incarnation::number_of(key));
            true
        })
        .unwrap();
    assert_eq!(incarnations.len(), 1, "{incarnations:?}");
    drop(storage);
    let storage = open(directory.path());
    assert_eq!(dump(&storage.tablet(TABLET).unwrap()), want(9));
}

#[test]
fn the_number_of_an_incarnation_is_given_once_whatever_ends_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let given = |storage: &Storage| storage.shared.new_incarnation().unwrap().number();
    // Nothing names it: only the count of those that were given is in the catalog.
    let first = given(&open(directory.path()));
    let second = given(&open(directory.path()));
    assert_eq!(second, first + 1);
}

#[test]
fn an_install_of_an_empty_state_leaves_no_rows() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    commit(&store, 1);
    Install::begin(store.clone()).unwrap().finish(text("at 3"), None).unwrap();
    assert_eq!((dump(&store), store.applied()), (String::new(), Some(text("at 3"))));
}

#[test]
fn tables_that_lost_ingested_commits_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    (1..=50).for_each(|number| commit(&store, number));
    ingest(&storage);
    drop((store, storage));
    let engine = directory.path().join(database::ENGINE_DIRECTORY);
    let image = directory.path().join("image");
    copy(&engine, &image);
    let storage = open(directory.path());
    (51..=100).for_each(|number| commit(&storage.tablet(TABLET).unwrap(), number));
    ingest(&storage);
    drop(storage);
    // An older image of the tables under the catalog of now.
    fs::remove_dir_all(&engine).unwrap();
    fs::rename(&image, &engine).unwrap();
    let message = Storage::open(directory.path(), StorageOptions::default()).err().unwrap().to_string();
    assert!(message.contains("has 50 commits, but 100 were on disk before"), "{message}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap().map(|item| item.unwrap()) {
        let target = to.join(item.file_name());
        match item.file_type().unwrap().is_dir() {
            true => copy(&item.path(), &target),
            false => drop(fs::copy(item.path(), &target).unwrap()),
        }
    }
}

/// A copy of the kept state of the release before. Its engine makes a journal at its full length; kept is what was written.
fn copy_of_state_1(to: &Path) -> PathBuf {
    const JOURNAL_BYTES: u64 = 64 << 20;
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/state-1"), to);
    let journal = fs::OpenOptions::new().write(true).open(to.join("fjall/0.jnl")).unwrap();
    journal.set_len(JOURNAL_BYTES).unwrap();
    to.to_owned()
}

#[test]
fn a_directory_of_the_release_before_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let kept = copy_of_state_1(&directory.path().join("kept"));
    let check = |state: &Path| {
        let storage = open(state);
        assert_eq!(storage.tablets(), [TabletId(1), TabletId(2)]);
        let meta = storage.meta().unwrap();
        assert_eq!((dump(&meta), meta.applied()), ("meta=m".into(), Some(text("meta at 2"))));
        let first = storage.tablet(TabletId(1)).unwrap();
        assert_eq!((first.applied(), first.membership()), (Some(text("at 2")), Some(text("members"))));
        assert_eq!(dump(&first), want(1).replace("row03=1 ", ""));
        let second = storage.tablet(TabletId(2)).unwrap();
        assert_eq!(second.applied(), Some(text("at 7")));
        assert_eq!(second.get(b"row08").unwrap(), Some(text("unsynced")));
        assert_eq!(second.get(b"row09").unwrap(), Some(Bytes::from(vec![b'x'; 6000])));
        assert_eq!(storage.vote_floor(TabletId(3)), Some(text("floor")));
        assert!(fs::read_to_string(state.join("catalog")).unwrap().starts_with("dkcd state 2\n"));
    };
    let state = directory.path().join("state");
    copy(&kept, &state);
    check(&state);
    check(&state);
    // A try that ended before the catalog was written begins again.
    let again = directory.path().join("again");
    copy(&state, &again);
    fs::copy(kept.join("catalog"), again.join("catalog")).unwrap();
    let message = Storage::open(&again, StorageOptions::default()).err().unwrap().to_string();
    assert!(message.contains("the rows of group 0 are missing"), "{message}");
    // One that is damaged is refused, and stays as it is.
    let damaged = directory.path().join("damaged");
    copy(&kept, &damaged);
    let text = fs::read_to_string(kept.join("catalog")).unwrap().replace("commits 1", "commits 8");
    fs::write(damaged.join("catalog"), text).unwrap();
    let message = Storage::open(&damaged, StorageOptions::default()).err().unwrap().to_string();
    assert!(message.contains("checksum of the catalog does not agree"), "{message}");
}

#[test]
fn a_directory_that_is_not_whole_or_of_another_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let catalog = directory.path().join("catalog");
    let check = |content: Option<&str>, want: &str| {
        match content {
            Some(content) => fs::write(&catalog, content).unwrap(),
            None => fs::remove_file(&catalog).unwrap(),
        }
        let message = Storage::open(directory.path(), StorageOptions::default()).err().unwrap().to_string();
        assert!(message.contains(want), "{message}");
    };
    check(Some("dkcd state 9\n"), "has state format 9, this program knows 3");
    check(Some("\u{1}\u{2}"), "does not begin as one of ours does");
    check(None, "there are rows but no catalog");
}

/// Commits of the child between two persists.
const PERSIST_EVERY: u64 = 100;

/// Starts this test binary again; it runs only `the_child`, which does the step.
fn start_child(directory: &Path, step: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storage::tests::the_child", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIRECTORY, directory)
        .env(CHILD_STEP, step)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test of its own: the other half of those that kill a process.
#[test]
fn the_child() {
    let Ok(directory) = std::env::var(CHILD_DIRECTORY) else { return };
    let storage = open(Path::new(&directory));
    let store = storage.tablet(TABLET).unwrap();
    let step = std::env::var(CHILD_STEP).unwrap();
    let die_at = |name: &str| {
        if step == name {
            std::process::abort();
        }
    };
    if step == "commit" {
        for number in 1.. {
            commit(&store, number);
            if number % PERSIST_EVERY == 0 {
                ingest(&storage);
                println!("persisted {number}");
            }
        }
    }
    commit(&store, 1);
    ingest(&storage);
    let mut install = Install::begin(store.clone()).unwrap();
    die_at("begun");
    let rows = numbered(8).into_iter().map(|(row, value)| (Bytes::from(row), value.unwrap())).collect();
    install.add_chunk(rows).unwrap();
    die_at("loading");
    let position = position::Position { commits: 2, applied: Some(text(8)), membership: None };
    install.register(&position).unwrap();
    die_at("loaded");
    install.switch(position).unwrap();
    die_at("finished");
}

/// What is not persisted may be lost: the Raft log has it.
#[test]
fn kill_9_loses_nothing_persisted_and_splits_no_batch() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = start_child(directory.path(), "commit");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let persisted =
        lines.filter_map(|line| line.strip_prefix("persisted ").map(|n| n.parse::<u64>().unwrap()));
    let last = persisted.take(5).last().unwrap();
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let begun = std::time::Instant::now();
    let store = open(directory.path()).tablet(TABLET).unwrap();
    println!("recovery after kill -9 took {:?}", begun.elapsed());
    let applied: u64 = String::from_utf8(store.applied().unwrap().to_vec()).unwrap().parse().unwrap();
    assert!(applied >= last, "{applied} < {last}");
    assert_eq!(dump(&store), want(applied));
}

#[test]
fn an_install_that_dies_leaves_the_old_state_until_it_was_finished() {
    let check = |step: &str, want_number: u64| {
        let directory = tempfile::tempdir().unwrap();
        let mut child = start_child(directory.path(), step);
        assert_eq!(child.wait().unwrap().signal(), Some(6), "{step}");
        let storage = open(directory.path());
        let store = storage.tablet(TABLET).unwrap();
        assert_eq!((dump(&store), store.applied()), (want(want_number), Some(text(want_number))), "{step}");
        // What it left is not read by whoever comes next, nor kept.
        assert_eq!(dump(&storage.tablet(TabletId(5)).unwrap()), "", "{step}");
    };
    check("begun", 1);
    check("loading", 1);
    check("loaded", 1);
    check("finished", 8);
}

#[test]
fn recovery_time_of_a_full_node_is_printed() {
    const TABLETS: u16 = 12;
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    for number in 0..2000u64 {
        let store = storage.tablet(TabletId((number % u64::from(TABLETS)) as u16)).unwrap();
        let row = |at: u64| ((number * 10 + at).to_be_bytes().to_vec(), Some(Bytes::from(vec![1; 100])));
        store.commit((0..10).map(row).collect(), text(number), None).unwrap();
    }
    ingest(&storage);
    drop(storage);
    let begun = std::time::Instant::now();
    assert_eq!(open(directory.path()).tablets().len(), usize::from(TABLETS));
    println!("recovery of {TABLETS} tablets with 20000 rows took {:?}", begun.elapsed());
}
