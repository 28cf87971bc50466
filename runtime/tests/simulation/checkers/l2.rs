//! L2: reads never go back in time, for one client and across clients.

use dkc_history::{Kind, Report};

use super::of_kinds;
use crate::record::Record;

pub fn check(_: &Record, report: &Report) -> Vec<String> {
    of_kinds(report, &[Kind::Stale], |_| true)
}
