//! L3: one version accepts one cas.

use dkc_history::{Kind, Report};

use super::of_kinds;
use crate::record::Record;

pub fn check(_: &Record, report: &Report) -> Vec<String> {
    of_kinds(report, &[Kind::TwoWinners], |_| true)
}
