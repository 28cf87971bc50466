//! The ring's report for `status cluster`: each member's state in CHMPX's notation, the merge, the running operation and its
//! holder, and missing replicas. Pure.

use dkc_core::ids::{ClusterName, MemberNo};
use dkc_core::member::MemberState;
use dkc_core::meta::Split;
use serde::Serialize;

use crate::model::Inventory;
use crate::observed::Observed;
use crate::ring_facts::{MergeProgress, RingFacts};

/// The best informed server's view of the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RingReport {
    /// Version of the ring map.
    pub version: u64,
    /// Replicas that each tablet should have with the current members.
    pub replicas: usize,
    /// Number of tablets.
    pub tablets: usize,
    /// Tablets with too few running replicas.
    pub tablets_below_replicas: usize,
    /// MergeProgress of the running merge, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeProgress>,
    /// `tablet 3 into 3 and 12`: tablets that are being split.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<String>,
    /// SUSPENDMERGE is in effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_merge_suspended: bool,
    /// The running membership operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationReport>,
    /// By number: `[SERVICE IN] [UP] [n/a] [Nothing] [NoSuspend]`.
    #[serde(skip)]
    pub states: Vec<(MemberNo, String)>,
    /// Further server failures that it tolerates.
    #[serde(skip)]
    pub tolerates: Option<u32>,
}

/// A running membership operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationReport {
    /// `ann@admin1`
    pub holder: String,
    /// `grow c0 by 10.0.0.14:8020`
    pub what: String,
}

fn split_words(split: &Split) -> String {
    format!("tablet {} into {} and {}", split.tablet, split.tablet, split.child)
}

impl RingReport {
    /// `None` when no server answers that knows a founded ring.
    pub fn of(inventory: &Inventory, observed: &Observed, name: &ClusterName) -> Option<RingReport> {
        let facts = RingFacts::of(inventory, observed, name)?;
        let ring = &facts.view.ring;
        let state = |node: &dkc_core::ring::Node| {
            let own = facts.statuses.iter().find(|status| status.node_id == node.node_id);
            let mut state = MemberState::of(node, facts.is_up(node.node_id));
            state.is_suspended = own.is_some_and(|status| status.trouble.is_some());
            (node.number, state.to_string())
        };
        Some(RingReport {
            version: ring.version.0,
            replicas: facts.copies_wanted(),
            tablets: ring.tablets.len(),
            tablets_below_replicas: facts.tablets_below_target(),
            merge: facts.progress(),
            splits: facts.view.splits.pending.iter().map(split_words).collect(),
            is_merge_suspended: facts.view.is_merge_suspended,
            operation: facts.view.operation.as_ref().map(|running| OperationReport {
                holder: running.holder.clone(),
                what: running.what.clone(),
            }),
            states: ring.nodes.iter().map(state).collect(),
            tolerates: facts.tolerates(),
        })
    }

    /// The member's state in the ring, if it is in it.
    pub fn state_of(&self, number: MemberNo) -> Option<&str> {
        self.states.iter().find(|(other, _)| *other == number).map(|(_, state)| state.as_str())
    }

    /// Details besides the state, a few words each.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.merge.as_ref().map(MergeProgress::words));
        words.extend((!self.splits.is_empty()).then(|| format!("splitting {}", self.splits.join(", "))));
        words.extend(self.operation.as_ref().map(|running| format!("{}: {}", running.holder, running.what)));
        if self.is_merge_suspended {
            words.push("merges are suspended".into());
        }
        words.push(match self.tablets_below_replicas {
            0 => format!("every tablet has {} of {} replicas", self.replicas, self.replicas),
            below => format!("{below} of {} tablets below {} replicas", self.tablets, self.replicas),
        });
        words
    }
}
