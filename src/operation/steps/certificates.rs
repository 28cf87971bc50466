//! Steps for certificates: an authority next to the inventory, and the files of a node in `tls/`. *Invariant:* each file of a node
//! is replaced as a whole, and a daemon that reads them at any moment finds a consistent set.

use std::path::Path;

use dkc_core::certificate::shown;
use dkc_core::config::layout;
use dkc_core::control::ControlRequest;
use dkc_core::ids::{ClusterId, ClusterName, Namespace, NodeUuid};
use dkc_inventory::plan::AuthorityStep;

use super::StepError;
use super::host::{ANSWER_LIMIT, HostStep, accepted};
use crate::authority::{self, Authority, Subject};
use crate::world::WorldError;
use crate::world::files::Replaces;

const PUBLIC_MODE: u32 = 0o644;
const PRIVATE_MODE: u32 = 0o600;
/// What a join leaves until the machine is a slave: key and chain, and the trust anchors.
pub const STAGED_NODE: &str = "node.pem";
pub const STAGED_ANCHORS: &str = "ca.pem";

impl HostStep<'_> {
    /// On this machine. A cluster founded since the plan was made keeps the authority that it trusts.
    pub(super) fn make_authority(
        &self,
        name: &ClusterName,
        instead_of: Option<ClusterId>,
    ) -> Result<(), StepError> {
        let cluster = self.inventory.clusters.get(name).ok_or(StepError::UnknownNode)?;
        if let Some(old) = instead_of {
            authority::set_aside(self.authority_dir, name, old)?;
        }
        Authority::make(self.authority_dir, name, cluster.id, cluster.founded)?;
        Ok(())
    }

    /// On this machine. Idempotent.
    pub(super) fn rotate_authority(&self, name: &ClusterName, step: AuthorityStep) -> Result<(), StepError> {
        let id = self.cluster_id(name)?;
        Ok(match step {
            AuthorityStep::Begin => authority::begin_rotation(self.authority_dir, name, id),
            AuthorityStep::Switch => authority::switch(self.authority_dir, name, id),
            AuthorityStep::End => authority::end_rotation(self.authority_dir, name, id),
        }?)
    }

    pub(super) async fn trust_authorities(&self, dir: &str) -> Result<(), StepError> {
        let (name, id) = self.own_cluster()?;
        let authority = Authority::open(self.authority_dir, name, id)?;
        self.write_in(dir, layout::TLS_CA, authority.anchors_pem(), PUBLIC_MODE).await
    }

    pub(super) async fn issue(
        &self,
        dir: &str,
        node: NodeUuid,
        is_server: bool,
        namespaces: &[Namespace],
    ) -> Result<(), StepError> {
        let (name, cluster_id) = self.own_cluster()?;
        let authority = Authority::open(self.authority_dir, name, cluster_id)?;
        let subject = Subject { cluster_id, is_server, node, namespaces: namespaces.to_vec() };
        let files = authority.issue(&subject)?;
        self.write_in(dir, layout::TLS_CA, &files.anchors_pem, PUBLIC_MODE).await?;
        if let Some(issuer_pem) = &files.issuer_pem {
            self.write_in(dir, layout::TLS_ISSUER, issuer_pem, PRIVATE_MODE).await?;
            self.write_in(dir, layout::TLS_ISSUER_SHOWN, &shown(issuer_pem), PUBLIC_MODE).await?;
        }
        self.write_in(dir, layout::TLS_CERT, &files.node_pem, PRIVATE_MODE).await?;
        self.write_in(dir, layout::TLS_CERT_SHOWN, &shown(&files.node_pem), PUBLIC_MODE).await
    }

    /// Of a join: the files lie on this machine.
    pub(super) async fn bring(&self, dir: &str, staged: &Path) -> Result<(), StepError> {
        let read = |name: &str| {
            let path = staged.join(name);
            std::fs::read_to_string(&path)
                .map_err(|source| WorldError::Here { what: format!("read {}", path.display()), source })
        };
        let (node_pem, anchors_pem) = (read(STAGED_NODE)?, read(STAGED_ANCHORS)?);
        self.write_in(dir, layout::TLS_CA, &anchors_pem, PUBLIC_MODE).await?;
        self.write_in(dir, layout::TLS_CERT, &node_pem, PRIVATE_MODE).await?;
        self.write_in(dir, layout::TLS_CERT_SHOWN, &shown(&node_pem), PUBLIC_MODE).await
    }

    /// A daemon that has exited meanwhile reads its files when it starts.
    pub(super) async fn reload_certificates(&self, dir: &str) -> Result<(), StepError> {
        let Ok(mut control) = self.host.control(dir).await else { return Ok(()) };
        match control.ask(&ControlRequest::ReloadCertificates, ANSWER_LIMIT).await {
            Ok(reply) => accepted(reply),
            Err(WorldError::NoDaemon { .. }) if self.status(dir).await.is_none() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn own_cluster(&self) -> Result<(&ClusterName, ClusterId), StepError> {
        let name = self.step.node.as_ref().ok_or(StepError::UnknownNode)?.cluster();
        Ok((name, self.cluster_id(name)?))
    }

    fn cluster_id(&self, name: &ClusterName) -> Result<ClusterId, StepError> {
        Ok(self.inventory.clusters.get(name).ok_or(StepError::UnknownNode)?.id)
    }

    async fn write_in(&self, dir: &str, name: &str, text: &str, mode: u32) -> Result<(), StepError> {
        Ok(self.write(&format!("{dir}/{name}"), text, mode, Replaces::Anything).await?)
    }
}
