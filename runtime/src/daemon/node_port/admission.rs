//! Admission at the node port: slaves of the cluster, and servers in the ring map or the configuration, unless removed or
//! revoked.

use std::sync::Arc;

use dkc_core::mutant::{self, Mutant};
use dkc_core::wire::{Enrol, EnrolAnswer, Hello, Refusal};
use futures::future::BoxFuture;

use super::enrolment::Enroller;
use super::own_program::OwnProgram;
use crate::certificates::Certificates;
use crate::daemon::known_ring::KnownRing;
use crate::daemon::local_node::LocalNode;
use crate::daemon::meta_group::MetaGroup;
use crate::net::{Admit, Alpn, Download, NodeRole, Peer};

pub struct Admission {
    local: Arc<LocalNode>,
    ring: Arc<KnownRing>,
    meta: Arc<MetaGroup>,
    enroller: Enroller,
    program: Arc<OwnProgram>,
}

impl Admission {
    pub fn new(
        local: Arc<LocalNode>,
        ring: Arc<KnownRing>,
        meta: Arc<MetaGroup>,
        certificates: Arc<Certificates>,
        program: Arc<OwnProgram>,
    ) -> Admission {
        let enroller = Enroller::new(local.clone(), meta.clone(), certificates);
        Admission { local, ring, meta, enroller, program }
    }

    /// Why a valid certificate is refused all the same.
    pub fn taken_back(&self, peer: &Peer) -> Option<Refusal> {
        let meta = self.meta.state();
        if meta.removed(peer.identity.node).is_some() {
            return Some(Refusal::Removed);
        }
        if let Some(revoked) = meta.revoked(peer.identity.node) {
            let words = format!("the identity of slave {} was revoked by {}", revoked.id, revoked.by);
            return Some(Refusal::Other(words));
        }
        let issuer = meta.removed(peer.issuer?)?;
        let words = format!(
            "its certificate was signed by server No.{}, which was removed; deploy it",
            issuer.number
        );
        Some(Refusal::Other(words))
    }

    fn hello(&self) -> Hello {
        self.local.hello(self.ring.version())
    }
}

impl Admit for Admission {
    fn enrol(&self, request: Enrol) -> BoxFuture<'_, EnrolAnswer> {
        Box::pin(self.enroller.enrol(request))
    }

    fn download(&self, path: String) -> BoxFuture<'_, Option<Download>> {
        Box::pin(async move { self.program.at(&path).await })
    }

    fn admit(&self, peer: &Peer, _: Alpn, hello: &Hello) -> Result<Hello, Refusal> {
        if mutant::is_active(Mutant::RemovedNodeAdmitted) {
            return Ok(self.hello());
        }
        if let Some(refusal) = self.taken_back(peer) {
            return Err(refusal);
        }
        let peer = peer.identity;
        let is_known = match (peer.role, self.ring.map()) {
            (NodeRole::Slave, _) => true,
            (NodeRole::Server, Some(ring)) => ring.nodes.iter().any(|node| node.uuid == peer.node),
            (NodeRole::Server, None) => false,
        };
        let is_configured = self.local.config().servers.iter().any(|server| server.node_uuid == peer.node);
        // Members that joined while this node was down are admitted: it may learn of them only from these very members, as leaders.
        let may_be_new = peer.role == NodeRole::Server && hello.ring_version > self.ring.version();
        if is_known || is_configured || may_be_new { Ok(self.hello()) } else { Err(Refusal::UnknownNode) }
    }
}
