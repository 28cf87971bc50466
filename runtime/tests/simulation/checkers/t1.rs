//! T1: a value that was reported expired never comes back.

use dkc_history::Report;

use crate::record::{Expiring, ExpiringCall, Record};

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let calls = record.expiring.borrow();
    calls.iter().filter_map(|stored| comeback(stored, &calls)).collect()
}

fn comeback(stored: &Expiring, calls: &[Expiring]) -> Option<String> {
    let ExpiringCall::Stored(value) = stored.what else { return None };
    let later = |than: u64| calls.iter().filter(move |call| call.key == stored.key && call.begin > than);
    let gone =
        later(stored.end).filter(|call| call.what == ExpiringCall::NotFound).map(|call| call.end).min()?;
    let back = later(gone).find(|call| call.what == ExpiringCall::Found(value))?;
    Some(format!("value {value} of key {} was gone at {gone} and back at {}", stored.key, back.begin))
}
