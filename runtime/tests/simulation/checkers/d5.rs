//! D5: rows, applied index, sessions and clock advance together. Replicas that applied the same are the same, bit by
//! bit, whatever power cuts each of them saw.

use std::collections::BTreeMap;

use dkc_history::Report;

use crate::record::{Record, Replica};

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let last = record.last.borrow();
    let Some(last) = last.as_ref() else { return Vec::new() };
    let tablets = last.tablets.iter().map(|(tablet, replicas)| (format!("tablet {tablet}"), replicas));
    let groups = tablets.chain([("the meta group".to_owned(), &last.meta)]);
    groups.filter_map(|(name, replicas)| differing(&name, replicas)).collect()
}

fn differing(name: &str, replicas: &[Replica]) -> Option<String> {
    let mut by_index: BTreeMap<u64, &Replica> = BTreeMap::new();
    for replica in replicas {
        let first = by_index.entry(replica.applied).or_insert(replica);
        if first.state_hash != replica.state_hash {
            return Some(format!(
                "{name}: nodes {} and {} have both applied {} and differ",
                first.node, replica.node, replica.applied
            ));
        }
    }
    None
}
