//! Applies dynamic parameters to a running server. Code that reads them at each use (automerge, merges,
//! persisting) asks `LocalNode::parameters`; code with a copy of its own gets the new value here.

use std::time::Duration;

use dkc_core::config::Parameters;
use dkc_core::control::ControlReply;

use super::ServerControl;

impl ServerControl {
    pub(super) async fn reload(&self) -> ControlReply {
        let (server, router) = (self.server.clone(), self.router.clone());
        let apply = move |parameters: &Parameters| {
            server.local().tuning().set(parameters);
            server.disk().log().set_segment_bytes(parameters.log_segment_bytes);
            router.set_deadline(Duration::from_millis(parameters.request_deadline_ms));
            server.transport().sending.set_bytes_per_s(parameters.merge_bytes_per_s);
            server.connections().set_max(parameters.connections_max);
        };
        self.server.local().in_use().answer(apply).await
    }
}
