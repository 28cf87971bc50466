//! How fast the Raft log is, beside a plain write and fdatasync of the same bytes to a zero-filled file in the
//! same run: `cargo bench -p dkcd --bench log`. The directory is `DKCD_BENCH_DIRECTORY` or the system's one for
//! temporary files, which should not be in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dkc_core::ids::GroupId;
use dkcd::log::{GroupLog, LogOptions, SharedLog};

const GROUPS: u16 = 64;
const PAYLOAD_BYTES: usize = 108;
/// With its header: what the log writes for one entry.
const RECORD_BYTES: usize = 144;
const SEGMENT_BYTES: u64 = 64 << 20;
const RUN_TIME: Duration = Duration::from_secs(2);

/// Rounds until the time is over; returns rounds per second.
fn rounds_per_second(mut round: impl FnMut()) -> f64 {
    let (begun, mut rounds) = (Instant::now(), 0u32);
    while begun.elapsed() < RUN_TIME {
        round();
        rounds += 1;
    }
    f64::from(rounds) / begun.elapsed().as_secs_f64()
}

/// One record after the other to a file without end, as far as the file system is concerned.
fn plain(directory: &Path, batch: usize) -> f64 {
    let file = File::create(directory.join("plain")).expect("a file");
    let zeros = vec![0; 1 << 20];
    for at in (0..SEGMENT_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at).expect("zeros");
    }
    file.sync_all().expect("a sync");
    let (record, mut at) = (vec![7; RECORD_BYTES * batch], 0);
    rounds_per_second(|| {
        file.write_all_at(&record, at).expect("a write");
        file.sync_data().expect("a sync");
        at += record.len() as u64;
        if at + record.len() as u64 > SEGMENT_BYTES {
            at = 0;
        }
    })
}

fn shared(directory: &Path, batch: usize) -> f64 {
    let options = LogOptions { segment_bytes: SEGMENT_BYTES, ..LogOptions::default() };
    let log = SharedLog::open(&directory.join(format!("log-{batch}")), options).expect("a log");
    let groups: Vec<GroupLog> = (0..GROUPS).map(|group| log.group(GroupId(group))).collect();
    let mut next = vec![1u64; groups.len()];
    let (sender, receiver) = mpsc::channel();
    let (payload, mut turn) = (Bytes::from(vec![7; PAYLOAD_BYTES]), 0);
    let rounds = rounds_per_second(|| {
        for _ in 0..batch {
            turn = (turn + 1) % groups.len();
            let (sender, index) = (sender.clone(), next[turn]);
            groups[turn]
                .append(vec![(index, payload.clone())], Box::new(move |result| drop(sender.send(result))));
            next[turn] += 1;
            // As a daemon does after a persist: nothing old is needed any more.
            if index % 4096 == 0 {
                groups[turn].purge_to(index, Bytes::new(), Box::new(|_| ()));
            }
        }
        receiver.iter().take(batch).for_each(|result| result.expect("durable"));
    });
    log.close();
    rounds
}

fn main() {
    let root = std::env::var("DKCD_BENCH_DIRECTORY").map_or_else(|_| std::env::temp_dir(), Into::into);
    let directory = tempfile::tempdir_in(root).expect("a directory");
    println!("batch  records/s  µs/round  µs/plain write+fdatasync  ratio");
    for batch in [1, 32, 256] {
        let (plain, shared) = (plain(directory.path(), batch), shared(directory.path(), batch));
        let (records, micros, plain_micros) = (shared * batch as f64, 1e6 / shared, 1e6 / plain);
        println!("{batch:>5}  {records:>9.0}  {micros:>8.1}  {plain_micros:>24.1}  {:>5.2}", shared / plain);
    }
}
