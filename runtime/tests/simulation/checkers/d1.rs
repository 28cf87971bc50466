//! D1: an acknowledged write survives whatever happens to processes and hosts.

use dkc_history::{Kind, Report};

use super::of_kinds;
use crate::record::Record;

pub fn check(_: &Record, report: &Report) -> Vec<String> {
    of_kinds(report, &[Kind::Lost], |_| true)
}
