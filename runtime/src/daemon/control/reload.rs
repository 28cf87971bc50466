//! A running server takes over parameters that can change at any time. What only looks at them (automerge, merges,
//! persisting) asks `LocalNode::parameters` each time; the others keep their own copies, which are given here.

use std::time::Duration;

use dkc_core::config::Parameters;
use dkc_core::control::ControlReply;

use super::ServerControl;

impl ServerControl {
    pub(super) async fn reload(&self) -> ControlReply {
        let (server, router) = (self.server.clone(), self.router.clone());
        let apply = move |parameters: &Parameters| {
            router.set_deadline(Duration::from_millis(parameters.request_deadline_ms));
            server.transport().sending.set_bytes_per_s(parameters.merge_bytes_per_s);
            server.connections().set_max(parameters.connections_max);
        };
        self.server.local().in_use().answer(apply).await
    }
}
