//! M4: a server that nobody hears changes no members; it does not become a cluster of one.

use dkc_history::Report;

use crate::record::Record;

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let changes = record.isolated_changes.borrow();
    let done = changes.iter().filter(|change| change.is_done);
    done.map(|change| format!("node {} carried out {} while nobody heard it", change.node, change.word))
        .collect()
}
