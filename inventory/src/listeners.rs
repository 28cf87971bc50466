//! The TCP addresses that a node will listen on, from its configuration.

use dkc_core::config::Role;

use crate::model::{Inventory, NodeName};
use crate::render;

/// The TCP addresses that a node listens on.
pub(crate) fn listeners(inventory: &Inventory, node: &NodeName) -> Vec<(String, u16)> {
    match render::node_config(inventory, node).map(|config| config.role) {
        Some(Role::Server(server)) => vec![(server.listen.host.to_string(), server.listen.port)],
        Some(Role::Slave(slave)) => {
            let sockets =
                slave.pairs.iter().filter_map(|pair| pair.listen.parse::<std::net::SocketAddr>().ok());
            sockets.map(|socket| (socket.ip().to_string(), socket.port())).collect()
        }
        None => Vec::new(),
    }
}
