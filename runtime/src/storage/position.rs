//! How far a group's state is.

use bytes::Bytes;

/// What has been applied to a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Counts the commits, so that a loss is noticed.
    pub commits: u64,
    pub applied: Option<Bytes>,
    pub membership: Option<Bytes>,
}
