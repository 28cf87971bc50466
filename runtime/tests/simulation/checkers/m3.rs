//! M3: no zombies. A removed node is refused for ever, by whichever name it comes, and its id is never given away.

use dkc_history::Report;

use crate::record::{Comeback, Record};

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    record.comebacks.borrow().iter().filter_map(describe).collect()
}

fn describe(comeback: &Comeback) -> Option<String> {
    match comeback {
        Comeback::Registered { is_taken: true } => Some("a removed UUID was registered again".into()),
        Comeback::IdAskedFor { is_taken: true } => Some("the id of a removed node was given away".into()),
        Comeback::Connected { to } => Some(format!("node {to} lets a removed node in")),
        Comeback::Leads { tablet, in_the_eyes_of } => {
            Some(format!("a removed node leads tablet {tablet} in the eyes of node {in_the_eyes_of}"))
        }
        Comeback::Registered { .. } | Comeback::IdAskedFor { .. } => None,
    }
}
