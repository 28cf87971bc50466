//! Whom a connection is for.

use dkc_core::ids::{NodeAddress, NodeUuid};

/// Whom to connect to. With a UUID, nobody else behind that address will do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub address: NodeAddress,
    pub node: Option<NodeUuid>,
}
