//! M5: the ring version is checked where a write is applied. After a batch of one epoch has been carried out, none of
//! an older epoch is.

use std::collections::BTreeMap;

use dkc_core::ids::GroupId;
use dkc_history::Report;

use crate::record::Record;

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let mut in_order: BTreeMap<(GroupId, u64), (u32, bool)> = BTreeMap::new();
    for applied in record.applied.borrow().iter() {
        in_order.insert((applied.group, applied.index), (applied.epoch, applied.is_carried_out));
    }
    let mut highest: BTreeMap<GroupId, u32> = BTreeMap::new();
    let mut found = Vec::new();
    for ((group, index), (epoch, is_carried_out)) in in_order {
        let highest = highest.entry(group).or_default();
        if is_carried_out && epoch < *highest {
            found.push(format!(
                "group {group}: entry {index} of epoch {epoch} was carried out after {highest}"
            ));
        }
        *highest = epoch.max(*highest);
    }
    found
}
