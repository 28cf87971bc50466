//! Founding: the configured founders become a cluster. Any founder can run it, any number of times; it completes once every
//! tablet has had a leader.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::{GroupId, NodeId};
use dkc_core::meta::{Founder, MetaCommand, MetaReply, MetaState};
use dkc_core::ring::{RingMap, voters_of_meta};
use dkc_core::wire::Kind;
use tokio::time::Instant;

use super::local_node::LocalNode;
use super::meta_group::MetaGroup;
use super::replicas::Replicas;
use crate::raft::Transport;

/// Timeout of the whole founding; on three nodes it takes about a second.
const FOUND_MAX: Duration = Duration::from_secs(60);
/// Poll interval of the progress.
const LOOK: Duration = Duration::from_millis(25);
/// Timeout of the request to one founder to initialise the meta group.
const BEGIN_MAX: Duration = Duration::from_secs(5);

/// Body of a `PeerControl`: initialise the meta group, if you vote in it.
pub const BEGIN_META: &[u8] = b"\x01begin-meta";

#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    #[error("this node is not a founder of the cluster; start one of the members it was registered with")]
    NotAFounder,
    #[error("invalid founders in this node's configuration: {0}")]
    BadFounders(String),
    #[error("the cluster was not founded: {0}")]
    Refused(String),
    #[error("the cluster is not complete after {} s: {missing}", FOUND_MAX.as_secs())]
    Slow { missing: String },
}

pub struct Founding {
    local: Arc<LocalNode>,
    meta: Arc<MetaGroup>,
    replicas: Arc<Replicas>,
    transport: Arc<Transport>,
}

impl Founding {
    pub fn new(
        local: Arc<LocalNode>,
        meta: Arc<MetaGroup>,
        replicas: Arc<Replicas>,
        transport: Arc<Transport>,
    ) -> Founding {
        Founding { local, meta, replicas, transport }
    }

    /// Founds the cluster unless it is founded already.
    pub async fn found(&self) -> Result<(), FoundError> {
        let until = Instant::now() + FOUND_MAX;
        if self.meta.state().ring().is_none() {
            let command = self.founding()?;
            self.begin_meta(&self.first_voters(&command)?, until).await?;
            self.make_ring(&command, until).await?;
        }
        self.wait_for_tablets(until).await
    }

    fn founding(&self) -> Result<MetaCommand, FoundError> {
        if !self.local.role().is_founder {
            return Err(FoundError::NotAFounder);
        }
        let nodes: Vec<Founder> = self.local.config().servers.iter().map(Founder::from).collect();
        // The wanted number of replicas may exceed the number of members: each then holds everything.
        Ok(MetaCommand::Found {
            cluster: self.local.config().cluster_id,
            nodes,
            tablets: self.local.role().tablets,
            replicas: self.local.role().replicas,
        })
    }

    /// Computes the first ring as the meta group will, to know the voters of that group.
    fn first_voters(&self, command: &MetaCommand) -> Result<Vec<NodeId>, FoundError> {
        let mut state = MetaState::default();
        match (state.apply(command), state.ring()) {
            (MetaReply::Done, Some(ring)) => Ok(voters_of_meta(&ring.nodes)),
            (reply, _) => Err(FoundError::BadFounders(format!("{reply:?}"))),
        }
    }

    /// Initialises the meta group on one of its voters: here, or on the first that answers.
    async fn begin_meta(&self, voters: &[NodeId], until: Instant) -> Result<(), FoundError> {
        while self.meta.group().leader().is_none() {
            if voters.contains(&self.local.id()) {
                self.begin_meta_here(voters).await?;
            } else {
                self.ask_voter_to_begin(voters).await;
            }
            self.pause(until, || "the meta group has no leader".into()).await?;
        }
        Ok(())
    }

    async fn begin_meta_here(&self, voters: &[NodeId]) -> Result<(), FoundError> {
        self.meta.group().initialise(voters).await.map_err(|error| FoundError::Refused(error.to_string()))
    }

    async fn ask_voter_to_begin(&self, voters: &[NodeId]) {
        let request = Bytes::from_static(BEGIN_META);
        for voter in voters {
            match self
                .transport
                .ask(*voter, Kind::PeerControl, GroupId::META, request.clone(), BEGIN_MAX)
                .await
            {
                Ok(_) => return,
                Err(error) => tracing::info!(%voter, %error, "founder unreachable"),
            }
        }
    }

    /// Serves another founder's request: initialises the meta group if this node votes in it.
    pub async fn begin_meta_if_voter(&self) -> Result<(), FoundError> {
        let voters = self.first_voters(&self.founding()?)?;
        if voters.contains(&self.local.id()) { self.begin_meta_here(&voters).await } else { Ok(()) }
    }

    async fn make_ring(&self, command: &MetaCommand, until: Instant) -> Result<(), FoundError> {
        let timeout = until.saturating_duration_since(Instant::now());
        match self.meta.propose(command, timeout).await {
            Ok(MetaReply::Refused(why)) => Err(FoundError::Refused(why.to_string())),
            Ok(_) => Ok(()),
            Err(error) => Err(FoundError::Slow {
                missing: format!("the meta group did not accept the ring map ({error:?})"),
            }),
        }
    }

    async fn wait_for_tablets(&self, until: Instant) -> Result<(), FoundError> {
        loop {
            let state = self.meta.state();
            let missing = match state.ring() {
                None => "the ring map has not arrived here".to_owned(),
                Some(_) if !state.is_founded() => {
                    let waiting: Vec<String> = state.unfounded_tablets().map(|t| t.to_string()).collect();
                    format!("tablets without a first leader: {}", waiting.join(" "))
                }
                Some(ring) => match self.leaderless(ring) {
                    tablets if tablets.is_empty() => return Ok(()),
                    tablets => format!("tablets without a leader: {tablets:?}"),
                },
            };
            self.pause(until, || missing.clone()).await?;
        }
    }

    fn leaderless(&self, ring: &RingMap) -> Vec<u16> {
        let is_leaderless = |tablet: &dkc_core::ids::TabletId| {
            self.replicas.get(tablet.group()).is_some_and(|group| group.leader().is_none())
        };
        ring.tablets.iter().map(|place| place.tablet).filter(is_leaderless).map(|tablet| tablet.0).collect()
    }

    async fn pause(&self, until: Instant, missing: impl Fn() -> String) -> Result<(), FoundError> {
        if Instant::now() >= until {
            return Err(FoundError::Slow { missing: missing() });
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }
}
