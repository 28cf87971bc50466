//! Events inside servers that a simulation observes, in addition to the clients' results.

use std::cell::RefCell;

use dkc_core::ids::GroupId;
use dkc_core::tablet::Outcome;

/// A batch with writes, as one replica applied it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub group: GroupId,
    pub index: u64,
    pub epoch: u32,
    /// At least one of its writes was carried out.
    pub is_carried_out: bool,
}

thread_local! {
    static APPLIED: RefCell<Vec<Applied>> = const { RefCell::new(Vec::new()) };
}

pub fn applied(group: GroupId, index: u64, epoch: u32, outcomes: &[Outcome]) {
    let is_carried_out = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Reply(_)));
    if !outcomes.is_empty() {
        APPLIED.with_borrow_mut(|all| all.push(Applied { group, index, epoch, is_carried_out }));
    }
}

/// Everything since the last call.
pub fn take_applied() -> Vec<Applied> {
    APPLIED.take()
}
