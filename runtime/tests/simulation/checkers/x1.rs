//! X1: a write that is sent again takes effect once.

use dkc_history::{Kind, Report};

use super::of_kinds;
use crate::record::Record;

pub fn check(_: &Record, report: &Report) -> Vec<String> {
    of_kinds(report, &[Kind::Double], |_| true)
}
