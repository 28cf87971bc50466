//! The type configuration of openraft. These types never reach disk or wire: `codec` translates them to our own layouts.

use std::fmt;

use bytes::Bytes;
use dkc_core::meta::MetaReply;
use dkc_core::tablet::Outcome;
use openraft::type_config::alias;

/// The payload of a log entry: an encoded `tablet::Batch` or `tablet::Split` in a tablet's group, an encoded meta
/// command in the meta group. Kept encoded, because most copies of an entry are only forwarded or stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal(pub Bytes);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The outcome of an applied entry, for the leader that proposed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// A blank or membership entry.
    Nothing,
    /// A batch: one outcome for each item, in order.
    Batch(Vec<Outcome>),
    /// A split of the tablet.
    Split,
    /// A meta command.
    Meta(MetaReply),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Proposal;
    type R = Applied;
    type NodeId = u64;
    /// Addresses live in the ring map and in the configuration, not in the membership of each group.
    type Node = openraft::impls::EmptyNode;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Proposal, u64, openraft::impls::EmptyNode>;
    type Entry = openraft::Entry<<Self::LeaderId as openraft::vote::RaftLeaderId>::Committed, Self::Payload>;
    type Responder<T>
        = openraft::impls::OneshotResponder<Self, T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    #[cfg(not(feature = "simulation"))]
    type AsyncRuntime = openraft::impls::TokioRuntime;
    #[cfg(feature = "simulation")]
    type AsyncRuntime = crate::simulation::runtime::SimulatedRuntime;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub type Vote = alias::VoteOf<Types>;
pub type LogId = alias::LogIdOf<Types>;
pub type Entry = alias::EntryOf<Types>;
pub type Payload = alias::PayloadOf<Types>;
pub type Membership = openraft::Membership<u64, openraft::impls::EmptyNode>;
pub type StoredMembership = alias::StoredMembershipOf<Types>;
pub type SnapshotMeta = alias::SnapshotMetaOf<Types>;

/// The position of a tablet that a split begins: where a group that is initialised has its first membership.
pub fn first_log_id() -> LogId {
    log_id(0, 0)
}

pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}
