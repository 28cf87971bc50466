//! Which nodes need a certificate, and whether the authority that signs it is there. *Invariant:* an authority is made by
//! a step of the plan, only when there is none, and never for a cluster that was founded: its nodes trust the lost one.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::certificate::ISSUER_RENEW_DAYS;
use dkc_core::config::{Role, layout};
use dkc_core::control::{NodeStatus, RoleStatus};
use dkc_core::ids::{ClusterName, Namespace};

use super::steps::{ObservedNode, Phase, Steps};
use super::{HostAction, Refusal};
use crate::model::{Inventory, NodeName};
use crate::render;

/// Certificates live 90 days at most; below this they are reissued, so that two missed deploys do no harm.
pub const CERTIFICATE_RENEW_DAYS: i64 = 30;

/// A cluster's authority that is there to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityView {
    /// SHA-256 of the trust anchors, `tls/ca.pem`.
    pub anchors: String,
    /// Of its key, as certificates name it.
    pub key_id: String,
    /// It gives servers issuers of their own. Authorities of earlier releases do not.
    pub is_delegating: bool,
}

/// The authorities of the clusters that a plan is about.
pub(super) struct Authorities<'a> {
    inventory: &'a Inventory,
    views: &'a BTreeMap<ClusterName, AuthorityView>,
    founded: BTreeSet<ClusterName>,
}

impl<'a> Authorities<'a> {
    pub fn of(
        inventory: &'a Inventory,
        views: &'a BTreeMap<ClusterName, AuthorityView>,
        places: &[ObservedNode<'_>],
    ) -> Authorities<'a> {
        let is_founded = |place: &&ObservedNode<'_>| {
            let status = place.facts.node(&place.node).status;
            let cluster = inventory.clusters.get(place.node.cluster());
            // The inventory may be behind: an older copy, or another operator's.
            cluster.is_some_and(|cluster| cluster.founded)
                || status.is_some_and(|status| says_founded(&status))
        };
        let founded = places.iter().filter(is_founded).map(|place| place.node.cluster().clone()).collect();
        Authorities { inventory, views, founded }
    }

    pub fn needs_certificate(&self, place: &ObservedNode<'_>) -> bool {
        let view = place.facts.node(&place.node);
        let ends_soon = view.certificate_days.is_none_or(|days| days < CERTIFICATE_RENEW_DAYS);
        let present = view.files.get(layout::TLS_CA);
        let view_of = self.views.get(place.node.cluster());
        let fits = match view_of {
            Some(authority) => present == Some(&authority.anchors),
            // What a lost authority has signed stays in use where nothing could replace it.
            None => present.is_some() && self.founded.contains(place.node.cluster()),
        };
        // The others are about what only the authority can put right.
        let lacks = view_of.is_some_and(|authority| match place.node.is_server() {
            true => authority.is_delegating && view.issuer_days.is_none_or(|days| days < ISSUER_RENEW_DAYS),
            false => {
                let wanted = Some(namespaces(self.inventory, &place.node));
                view.certificate.as_ref().is_none_or(|found| found.namespaces != wanted)
            }
        });
        ends_soon || !fits || lacks || view.torn.contains(layout::TLS_CERT)
    }

    /// One for each founded cluster whose authority is gone although somebody needs a certificate.
    pub fn refusals(&self, places: &[ObservedNode<'_>]) -> Vec<Refusal> {
        let is_hindered = |place: &&ObservedNode<'_>| {
            let cluster = place.node.cluster();
            !self.views.contains_key(cluster)
                && self.founded.contains(cluster)
                && self.needs_certificate(place)
        };
        let hindered: BTreeSet<&ClusterName> =
            places.iter().filter(is_hindered).map(|place| place.node.cluster()).collect();
        hindered.into_iter().map(|cluster| Refusal::AuthorityLost { cluster: cluster.clone() }).collect()
    }

    /// Those that are missing are made, before the first certificate that they sign.
    pub fn steps(&self, steps: &mut Steps, places: &[ObservedNode<'_>]) {
        let mut made = BTreeSet::new();
        for place in places {
            let cluster = place.node.cluster();
            let is_missing = !self.views.contains_key(cluster) && !self.founded.contains(cluster);
            if is_missing && made.insert(cluster) {
                let (root, cluster) = (place.facts.root.clone(), cluster.clone());
                steps.host(
                    Phase::PrepareHosts,
                    &place.host,
                    HostAction::MakeAuthority { root, cluster, instead_of: None },
                );
            }
        }
    }
}

/// What a slave's certificate lets it use: the namespaces of its pairs.
pub(crate) fn namespaces(inventory: &Inventory, node: &NodeName) -> BTreeSet<Namespace> {
    match render::node_config(inventory, node).map(|config| config.role) {
        Some(Role::Slave(slave)) => slave.pairs.into_iter().map(|pair| pair.namespace).collect(),
        _ => BTreeSet::new(),
    }
}

fn says_founded(status: &NodeStatus) -> bool {
    matches!(&status.role, RoleStatus::Server(server) if server.is_founded)
}
