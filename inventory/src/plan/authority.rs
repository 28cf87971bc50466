//! Which nodes need a certificate, and whether the authority that signs it is there. *Invariant:* an authority is made by
//! a step of the plan, only when there is none, and never for a cluster that was founded: its nodes trust the lost one.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::config::layout;
use dkc_core::control::{NodeStatus, RoleStatus};
use dkc_core::ids::ClusterName;

use super::steps::{ObservedNode, Phase, Steps};
use super::{HostAction, Refusal};
use crate::model::Inventory;

/// Certificates live 90 days at most; below this they are issued anew, so that two missed deploys do no harm.
pub const CERTIFICATE_RENEW_DAYS: i64 = 30;

/// The authorities of the clusters that a plan is about.
pub(super) struct Authorities<'a> {
    /// SHA-256 of the trust anchors, where the authority is there to sign.
    anchors: &'a BTreeMap<ClusterName, String>,
    founded: BTreeSet<ClusterName>,
}

impl<'a> Authorities<'a> {
    pub fn of(
        inventory: &Inventory,
        anchors: &'a BTreeMap<ClusterName, String>,
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
        Authorities { anchors, founded }
    }

    pub fn needs_certificate(&self, place: &ObservedNode<'_>) -> bool {
        let view = place.facts.node(&place.node);
        let ends_soon = view.certificate_days.is_none_or(|days| days < CERTIFICATE_RENEW_DAYS);
        let present = view.files.get(layout::TLS_CA);
        let fits = match self.anchors.get(place.node.cluster()) {
            Some(wanted) => present == Some(wanted),
            // What a lost authority has signed stays in use where nothing could replace it.
            None => present.is_some() && self.founded.contains(place.node.cluster()),
        };
        ends_soon || !fits || view.torn.contains(layout::TLS_KEY)
    }

    /// One for each founded cluster whose authority is gone although somebody needs a certificate.
    pub fn refusals(&self, places: &[ObservedNode<'_>]) -> Vec<Refusal> {
        let is_hindered = |place: &&ObservedNode<'_>| {
            let cluster = place.node.cluster();
            !self.anchors.contains_key(cluster)
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
            let is_missing = !self.anchors.contains_key(cluster) && !self.founded.contains(cluster);
            if is_missing && made.insert(cluster) {
                let (root, cluster) = (place.facts.root.clone(), cluster.clone());
                steps.host(Phase::PrepareHosts, &place.host, HostAction::MakeAuthority { root, cluster });
            }
        }
    }
}

fn says_founded(status: &NodeStatus) -> bool {
    matches!(&status.role, RoleStatus::Server(server) if server.is_founded)
}
