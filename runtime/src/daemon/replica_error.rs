//! Why a replica, of a tablet or of the meta group, cannot be opened or dropped.

use crate::raft::GroupError;
use crate::raft::machine::MachineError;
use crate::raft::vote_floor::VoteFloorError;
use crate::storage::StorageError;

#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error(transparent)]
    VoteFloor(#[from] VoteFloorError),
}
