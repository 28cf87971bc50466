//! Restore: a plan of one step, refused where records are.

use dkc_core::ids::{ClusterName, Namespace};

use super::backup::{one_step, serving};
use super::{ClusterAction, Danger, Operation, Plan, Refusal, Refused};
use crate::model::Inventory;
use crate::observed::Observed;
use crate::ring_facts::RingFacts;

/// `restore`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Where the records go.
    pub cluster: ClusterName,
    /// The directory of the backup.
    pub directory: String,
    /// Of its manifest.
    pub digest: String,
    /// Records to store.
    pub records: u64,
    /// Only this namespace.
    pub namespace: Option<Namespace>,
}

/// Plans a restore; refused into a cluster that has records.
pub fn restore(
    inventory: &Inventory,
    observed: &Observed,
    request: &RestoreRequest,
) -> Result<Plan, Refused> {
    let RestoreRequest { operation, cluster, directory, digest, records, namespace } = request;
    let facts = serving(inventory, observed, cluster)?;
    let present = present_records(&facts);
    if present > 0 {
        return Err(Refusal::NotEmpty { cluster: cluster.clone(), records: present }.into());
    }
    let mut plan = Plan::new(inventory, operation, Danger::Disruptive);
    plan.ring_version = Some(facts.view.ring.version);
    plan.impact.push(format!("{cluster} is to be used when all records are stored and counted"));
    plan.undo = format!("destroy cluster -n {cluster}");
    let action = ClusterAction::Restore {
        directory: directory.clone(),
        digest: digest.clone(),
        records: *records,
        namespace: namespace.clone(),
    };
    one_step(&mut plan, inventory, observed, cluster, action);
    Ok(plan)
}

/// The records of all tablets, each as its fullest replica counts them.
fn present_records(facts: &RingFacts<'_>) -> u64 {
    let of_tablet = |tablet| {
        let replicas = facts.statuses.iter().flat_map(|status| &status.tablets);
        replicas.filter(|replica| replica.tablet == tablet).map(|replica| replica.records).max().unwrap_or(0)
    };
    facts.view.ring.tablets.iter().map(|place| of_tablet(place.tablet)).sum()
}
