//! L1: every operation on a key takes effect at one moment between its call and its answer.

use dkc_history::{Kind, Report};

use super::of_kinds;
use crate::record::Record;

pub fn check(_: &Record, report: &Report) -> Vec<String> {
    let mut found = of_kinds(
        report,
        &[Kind::NoOrder, Kind::FromNowhere, Kind::Resurrected, Kind::RefusedHappened],
        |_| true,
    );
    // What cannot be decided proves nothing, so that a run may not hide behind it.
    found.extend(report.undecided.iter().map(|(key, why)| format!("key {key} is undecided: {why}")));
    found
}
