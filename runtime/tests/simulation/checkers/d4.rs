//! D4: a server whose disk was put back from an older copy neither votes nor acknowledges while somebody who remembers more is
//! there; and one that lacks nothing is not refused.

use dkc_history::Report;

use crate::record::{PutBack, Record};

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    record.put_backs.borrow().iter().filter_map(describe).collect()
}

fn describe(put_back: &PutBack) -> Option<String> {
    let PutBack { node, has_forgotten, has_lost_nothing, is_witnessed, is_refused, has_promised } = *put_back;
    if has_forgotten && is_witnessed && !is_refused {
        return Some(format!("node {node} runs on an older copy of its disk"));
    }
    if has_forgotten && is_witnessed && has_promised {
        return Some(format!(
            "node {node} voted or acknowledged before it was told that its disk is an older copy"
        ));
    }
    (has_lost_nothing && is_refused)
        .then(|| format!("node {node} was refused although its disk lacks nothing"))
}
