//! Messages between servers apart from Raft: initialise the meta group, decline leadership, hibernate
//! groups, take cuts, tell what is remembered.

use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::{NodeId, NodeUuid};

use super::cuts::Cuts;
use super::founding::{BEGIN_META, Founding};
use super::hibernation::Hibernator;
use super::liveness::Liveness;
use super::load::ServerLoads;
use super::standing::Standing;

const DONE: &[u8] = b"\x01done";

pub struct PeerControl {
    founding: Arc<Founding>,
    hibernator: Arc<Hibernator>,
    liveness: Arc<Liveness>,
    cuts: Arc<Cuts>,
    loads: Arc<ServerLoads>,
    standing: Arc<Standing>,
}

impl PeerControl {
    pub fn new(
        founding: Arc<Founding>,
        hibernator: Arc<Hibernator>,
        liveness: Arc<Liveness>,
        cuts: Arc<Cuts>,
        loads: Arc<ServerLoads>,
        standing: Arc<Standing>,
    ) -> PeerControl {
        PeerControl { founding, hibernator, liveness, cuts, loads, standing }
    }

    /// Another server has connected. True if this node is connected to it, too.
    pub async fn has_come_back(&self, node: NodeId) -> bool {
        self.liveness.has_come_back(node).await
    }

    /// Answers another server.
    pub async fn answer(&self, from: NodeUuid, body: &[u8]) -> Bytes {
        if let Some(answer) = self.standing.answer(from, body).await {
            return answer;
        }
        if let Some(answer) = self.hibernator.answer(body) {
            return answer;
        }
        if let Some(answer) = self.cuts.answer(body).await {
            return answer;
        }
        if body == BEGIN_META {
            if let Err(error) = self.founding.begin_meta_if_voter().await {
                tracing::warn!(%error, "founding the meta group failed");
            }
        } else if !self.liveness.hear_declined(body) && !self.loads.hear(body) {
            tracing::debug!("unknown control message ignored");
        }
        Bytes::from_static(DONE)
    }
}
