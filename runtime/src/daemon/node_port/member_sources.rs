//! Gives the node port the source addresses of members, so that it reserves slots for them from the start: a member that has not
//! connected yet since this node started is known by its name in the ring map and the configuration.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::NodeAddress;
use dkc_core::ring::RingMap;
use tokio::sync::watch;

use crate::daemon::local_node::LocalNode;
use crate::net::MemberSources;

/// Interval of name lookups: a host may return with another address.
const LOOK_AGAIN_INTERVAL: Duration = Duration::from_secs(60);

pub async fn learn_member_sources(
    local: Arc<LocalNode>,
    mut ring: watch::Receiver<Option<Arc<RingMap>>>,
    sources: MemberSources,
) {
    loop {
        let mut addresses: BTreeSet<NodeAddress> =
            local.config().servers.iter().map(|member| member.address.clone()).collect();
        if let Some(ring) = ring.borrow_and_update().as_ref() {
            addresses.extend(ring.nodes.iter().map(|node| node.address.clone()));
        }
        futures::future::join_all(addresses.iter().map(|address| sources.learn_name(address))).await;
        // Either way, look up again.
        let _ = tokio::time::timeout(LOOK_AGAIN_INTERVAL, ring.changed()).await;
    }
}
