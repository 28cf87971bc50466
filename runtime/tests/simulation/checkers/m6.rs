//! M6: a replacement has caught up before anything is removed. No replica gets a vote while it has nothing.

use dkc_history::Report;

use crate::record::Record;

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let newcomers = record.newcomers.borrow();
    let empty = newcomers.iter().filter(|newcomer| !newcomer.has_state);
    empty
        .map(|one| format!("node {} got a vote in tablet {} before it had anything", one.node, one.tablet))
        .collect()
}
