//! One file for each property. Each is a pure function of the record of a run: what was violated, in words.

mod d1;
mod d4;
mod d5;
mod f1;
mod l1;
mod l2;
mod l3;
mod l4;
mod m1;
mod m2;
mod m3;
mod m4;
mod m5;
mod m6;
mod q1;
mod t1;
mod x1;

use crate::record::Record;
use dkc_history::{Kind, Report};

type Check = fn(&Record, &Report) -> Vec<String>;

const CHECKS: [(&str, Check); 17] = [
    ("D1", d1::check),
    ("D4", d4::check),
    ("D5", d5::check),
    ("F1", f1::check),
    ("L1", l1::check),
    ("L2", l2::check),
    ("L3", l3::check),
    ("L4", l4::check),
    ("M1", m1::check),
    ("M2", m2::check),
    ("M3", m3::check),
    ("M4", m4::check),
    ("M5", m5::check),
    ("M6", m6::check),
    ("Q1", q1::check),
    ("T1", t1::check),
    ("X1", x1::check),
];

/// Everything that a run violates, with the property's name before it.
pub fn violations(record: &Record) -> Vec<String> {
    let report = dkc_history::check(&record.history.borrow());
    let mut found: Vec<String> =
        record.failure.borrow().iter().map(|failure| format!("server: {failure}")).collect();
    for (name, check) in CHECKS {
        found.extend(check(record, &report).into_iter().map(|what| format!("{name}: {what}")));
    }
    found
}

/// The contradictions of these kinds in the keys that `is_meant`.
fn of_kinds(report: &Report, kinds: &[Kind], is_meant: impl Fn(u32) -> bool) -> Vec<String> {
    let meant = report.violations.iter().filter(|one| kinds.contains(&one.kind) && is_meant(one.key));
    meant.map(ToString::to_string).collect()
}
