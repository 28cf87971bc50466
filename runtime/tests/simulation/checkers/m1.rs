//! M1: whatever membership operations and faults there were, once they end every tablet has its full replica count,
//! all replicas are alike, and nobody else holds one.

use dkc_history::Report;

use crate::record::Record;

pub fn check(record: &Record, _: &Report) -> Vec<String> {
    let mut found: Vec<String> = record.unrest.borrow().iter().cloned().collect();
    let last = record.last.borrow();
    let Some(last) = last.as_ref() else { return found };
    for (tablet, replicas) in &last.tablets {
        let listed = replicas.iter().filter(|replica| replica.is_listed).count();
        if listed != last.replicas_wanted {
            found.push(format!("tablet {tablet} has {listed} of {} replicas", last.replicas_wanted));
        }
        found.extend(replicas.iter().filter(|replica| !replica.is_listed).map(|replica| {
            format!("node {} holds tablet {tablet} though the ring map does not say so", replica.node)
        }));
    }
    found
}
