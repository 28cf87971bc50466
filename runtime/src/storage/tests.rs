//! The state store across reopening, `kill -9`, interrupted installs and damage.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use dkc_core::tablet::{Changes, Rows};

use super::*;

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
    assert_eq!((store.applied(), store.membership(), store.persisted_applied()), (None, None, None));
    store.commit(numbered(1), text("at 1"), Some(text("members"))).unwrap();
    store.commit([(b"row03".to_vec(), None)].into(), text("at 2"), None).unwrap();
    assert_eq!(store.persisted_applied(), None);
    storage.persist().unwrap();
    assert_eq!(store.persisted_applied(), Some(text("at 2")));
    store.commit([(b"x".to_vec(), Some(text("y")))].into(), text("at 3"), None).unwrap();
    assert_eq!(store.persisted_applied(), Some(text("at 2")));
    storage.meta().unwrap().commit([(b"m".to_vec(), Some(text("n")))].into(), text("at 9"), None).unwrap();
    drop((store, storage));
    let storage = open(directory.path());
    assert_eq!(storage.tablets(), [TABLET]);
    let store = storage.tablet(TABLET).unwrap();
    assert_eq!((store.applied(), store.membership()), (Some(text("at 3")), Some(text("members"))));
    assert_eq!(dump(&store), want(1).replace("row03=1 ", "") + " x=y");
    assert_eq!(store.get(b"x").unwrap(), Some(text("y")));
    assert_eq!(dump(&storage.meta().unwrap()), "m=n");
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
        let snapshot = store.snapshot().unwrap();
        let applied = snapshot.applied().unwrap().unwrap();
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
            let chunk = snapshot.chunk(after.as_deref(), bytes_max).unwrap();
            rows.extend(chunk.rows.into_iter().map(|(row, value)| (row.to_vec(), Some(value))));
            after = chunk.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(rows, changes, "in pieces of {bytes_max}");
    }
    assert_eq!(snapshot.membership().unwrap(), Some(text("members")));
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
    check(vec![1; ROW_MAX_BYTES + 1], "its key is longer than 65535 bytes");
    assert_eq!((store.applied(), dump(&store)), (None, String::new()));
}

#[test]
fn a_dropped_tablet_is_gone_and_may_come_back_empty() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    commit(&store, 1);
    storage.persist().unwrap();
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
    let mut given_up = store.begin_install().unwrap();
    given_up.add_chunk(rows(7)).unwrap();
    drop(given_up);
    let mut unordered = store.begin_install().unwrap();
    unordered.add_chunk(rows(7)).unwrap();
    let error = unordered.add_chunk(rows(7)).unwrap_err();
    assert!(error.to_string().contains("not in order"), "{error}");
    drop(unordered);
    assert_eq!(dump(&store), want(1));

    let mut install = store.begin_install().unwrap();
    let (first, second) = (rows(8)[..4].to_vec(), rows(8)[4..].to_vec());
    install.add_chunk(first).unwrap();
    commit(&store, 2);
    let before = store.snapshot().unwrap();
    install.add_chunk(second).unwrap();
    assert_eq!(dump(&store), want(2));
    install.finish(text("at 8"), Some(text("members"))).unwrap();
    assert_eq!((dump(&store), dump(&before)), (want(8), want(2)));
    assert_eq!((store.applied(), store.membership()), (Some(text("at 8")), Some(text("members"))));
    assert_eq!(store.persisted_applied(), Some(text("at 8")));
    commit(&store, 9);
    drop((before, store, storage));
    let storage = open(directory.path());
    assert_eq!(dump(&storage.tablet(TABLET).unwrap()), want(9));
    assert_eq!(storage.shared.database.list_keyspace_names().len(), 1);
}

#[test]
fn an_install_of_an_empty_state_leaves_no_rows() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    commit(&store, 1);
    store.begin_install().unwrap().finish(text("at 3"), None).unwrap();
    assert_eq!((dump(&store), store.applied()), (String::new(), Some(text("at 3"))));
}

#[test]
fn a_journal_that_lost_persisted_commits_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let store = storage.tablet(TABLET).unwrap();
    (1..=100).for_each(|number| commit(&store, number));
    storage.persist().unwrap();
    drop((store, storage));
    let journal = find_journal(&directory.path().join(ENGINE_DIRECTORY));
    let mut bytes = fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2..used / 2 + 64].fill(0);
    fs::write(&journal, bytes).unwrap();
    let message = Storage::open(directory.path(), StorageOptions::default()).err().unwrap().to_string();
    assert!(
        message.contains("but 100 were on disk before") || message.contains("cannot recover"),
        "{message}"
    );
}

fn find_journal(engine_directory: &Path) -> PathBuf {
    let files = fs::read_dir(engine_directory).unwrap().map(|item| item.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).max().unwrap()
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
    check(Some("dkcd state 9\n"), "has state format 9, this program knows 1");
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
                storage.persist().unwrap();
                println!("persisted {number}");
            }
        }
    }
    commit(&store, 1);
    storage.persist().unwrap();
    let mut install = store.begin_install().unwrap();
    die_at("begun");
    let rows = numbered(8).into_iter().map(|(row, value)| (Bytes::from(row), value.unwrap())).collect();
    install.add_chunk(rows).unwrap();
    die_at("loading");
    install.end_loading_for_test();
    die_at("loaded");
    install.finish(text(8), None).unwrap();
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
        assert_eq!(storage.shared.database.list_keyspace_names().len(), 1, "{step}");
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
    drop(storage);
    let begun = std::time::Instant::now();
    assert_eq!(open(directory.path()).tablets().len(), usize::from(TABLETS));
    println!("recovery of {TABLETS} tablets with 20000 rows took {:?}", begun.elapsed());
}
