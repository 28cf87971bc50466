//! Enrols a slave that shows a token. What can be refused without the meta group is refused first, so that strangers cause no log
//! entries; whether the token is good is decided where the entry is applied.
//!
//! *Invariant:* a use is taken only by a server that is able to sign.

use std::sync::Arc;
use std::time::Duration;

use dkc_core::meta::{MetaCommand, MetaReply, MetaState};
use dkc_core::ring::Node;
use dkc_core::token::SecretHash;
use dkc_core::wire::{Enrol, EnrolAnswer, Enrolment};
use sha2::{Digest, Sha256};

use crate::certificates::{Certificates, Newcomer};
use crate::clock;
use crate::daemon::local_node::LocalNode;
use crate::daemon::meta_group::MetaGroup;
use crate::raft::NotProposed;

/// Below the time of a handshake, within which all of this happens.
const REDEEM_MAX: Duration = Duration::from_secs(4);

/// Why a machine is no slave, for people.
enum NotEnrolled {
    /// Another server would say the same.
    Refused(String),
    /// Another server may enrol it, or this one later.
    NotNow(String),
}

pub struct Enroller {
    local: Arc<LocalNode>,
    meta: Arc<MetaGroup>,
    certificates: Arc<Certificates>,
}

impl Enroller {
    pub fn new(local: Arc<LocalNode>, meta: Arc<MetaGroup>, certificates: Arc<Certificates>) -> Enroller {
        Enroller { local, meta, certificates }
    }

    pub async fn enrol(&self, request: Enrol) -> EnrolAnswer {
        let token = request.token;
        match self.try_enrol(request).await {
            Ok(enrolment) => {
                tracing::info!(%token, slave = %enrolment.slave, node = %enrolment.node, "slave enrolled");
                EnrolAnswer::Enrolled(Box::new(enrolment))
            }
            Err(NotEnrolled::Refused(why)) => {
                tracing::info!(%token, why, "enrolment refused");
                EnrolAnswer::Refused(why)
            }
            Err(NotEnrolled::NotNow(why)) => {
                tracing::info!(%token, why, "enrolment not possible now");
                EnrolAnswer::NotNow(why)
            }
        }
    }

    async fn try_enrol(&self, request: Enrol) -> Result<Enrolment, NotEnrolled> {
        let state = self.meta.state();
        if state.cluster() != Some(request.cluster) {
            return Err(NotEnrolled::Refused("the token is of another cluster".into()));
        }
        if !state.node(self.meta.node()).is_some_and(Node::stays_in_service) {
            return Err(NotEnrolled::NotNow("this server is not in service".into()));
        }
        let hash = SecretHash(Sha256::digest(request.secret.0).into());
        if !state.has_token(request.token, &hash) {
            return Err(NotEnrolled::Refused(dkc_core::meta::Refused::NoSuchToken.to_string()));
        }
        let newcomer = self.certificates.newcomer(&request.request);
        let newcomer = newcomer.map_err(|error| NotEnrolled::NotNow(error.to_string()))?;
        let command = MetaCommand::RedeemToken {
            id: request.token,
            hash,
            slave: newcomer.node,
            now_ms: clock::now_ms(),
        };
        // The same rule on what this server knows: a dead token causes no log entry, however often it is shown.
        if let MetaReply::Refused(why) = MetaState::clone(&state).apply(&command) {
            return Err(NotEnrolled::Refused(why.to_string()));
        }
        match self.meta.propose(&command, REDEEM_MAX).await {
            Ok(MetaReply::Enrolled { slave, namespaces }) => self.sign(&newcomer, slave, namespaces),
            Ok(MetaReply::Refused(why)) => Err(NotEnrolled::Refused(why.to_string())),
            Ok(other) => Err(NotEnrolled::NotNow(format!("unexpected answer of the meta group: {other:?}"))),
            Err(NotProposed::NotLeader(_) | NotProposed::Unknown) => {
                Err(NotEnrolled::NotNow("the meta group has no leader; try again with the same key".into()))
            }
        }
    }

    fn sign(
        &self,
        newcomer: &Newcomer,
        slave: dkc_core::ids::SlaveId,
        namespaces: Vec<dkc_core::ids::Namespace>,
    ) -> Result<Enrolment, NotEnrolled> {
        let chain = self.certificates.enrol(newcomer, &namespaces);
        let chain = chain.map_err(|error| NotEnrolled::NotNow(error.to_string()))?;
        let state = self.meta.state();
        let nodes = state.ring().map(|ring| ring.nodes.as_slice()).unwrap_or_default();
        let servers = nodes.iter().filter(|node| node.stays_in_service()).cloned().collect();
        let cluster = self.local.config().cluster.clone();
        let parameters = self.local.parameters().to_yaml();
        Ok(Enrolment { cluster, node: newcomer.node, slave, namespaces, chain, servers, parameters })
    }
}
