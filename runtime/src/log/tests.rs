//! The log against a model, across reopening, damage, full disks and `kill -9`.

use std::sync::mpsc;

use super::*;

const SMALL: LogOptions =
    LogOptions { segment_bytes: 16 << 10, group_cache_bytes: 2 << 10, queue_bytes_max: 1 << 20 };

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Hands something over and waits until it is durable.
fn durably(hand_over: impl FnOnce(Done)) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    hand_over(Box::new(move |result| drop(sender.send(result))));
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
    append(&group, 1, &["a", "b", "c", "d"]);
    durably(|done| group.save_vote(bytes("vote"), done)).unwrap();
    durably(|done| group.truncate_from(4, done)).unwrap();
    durably(|done| group.purge_to(1, bytes("one"), done)).unwrap();
    group.save_committed(bytes("committed"));
    let before = group.state();
    log.close();
    let log = SharedLog::open(directory.path(), SMALL).unwrap();
    let group = log.group(GroupId(3));
    assert_eq!(group.state(), before);
    assert_eq!(log.groups(), [GroupId(3)]);
    assert_eq!(texts(&group, 0..9), [(2, "b".to_owned()), (3, "c".to_owned())]);
    append(&group, 4, &["D"]);
    assert_eq!(texts(&group, 4..5), [(4, "D".to_owned())]);
}
