//! The target of a connection.

use dkc_core::ids::{NodeAddress, NodeUuid};

/// The node to connect to. With a UUID, any other node at that address is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub address: NodeAddress,
    pub node: Option<NodeUuid>,
}
