//! Backup: a plan of one step that reads only.

use dkc_core::ids::ClusterName;

use super::ring::endpoints;
use super::steps::{Phase, Steps};
use super::{ClusterAction, Danger, Operation, Plan, Refusal, Refused, Target};
use crate::model::Inventory;
use crate::observed::Observed;
use crate::ring_facts::{RingFacts, amount};

/// `backup create`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Whose records.
    pub cluster: ClusterName,
    /// The backup's name.
    pub name: String,
    /// The operator's words about it.
    pub description: String,
    /// The directory that it becomes.
    pub directory: String,
}

/// Plans a backup; refused where records cannot be read.
pub fn backup(inventory: &Inventory, observed: &Observed, request: &BackupRequest) -> Result<Plan, Refused> {
    let BackupRequest { operation, cluster, name, description, directory } = request;
    let facts = serving(inventory, observed, cluster)?;
    let bytes = facts.view.ring.tablets.iter().map(|place| facts.tablet_bytes(place.tablet)).sum();
    let mut plan = Plan::new(inventory, operation, Danger::Reversible);
    plan.ring_version = Some(facts.view.ring.version);
    plan.impact.push(format!("reads {}, and holds writes back for a moment", amount(bytes)));
    plan.impact.push("the backup is not encrypted: whoever reads the directory reads the records".into());
    plan.undo = format!("backup delete {name}");
    let action = ClusterAction::BackUp {
        cluster: cluster.clone(),
        name: name.clone(),
        description: description.clone(),
        directory: directory.clone(),
        operation: operation.id.clone(),
    };
    one_step(&mut plan, inventory, observed, cluster, action);
    Ok(plan)
}

/// The ring, if every record can be read and written.
pub(super) fn serving<'a>(
    inventory: &Inventory,
    observed: &'a Observed,
    cluster: &ClusterName,
) -> Result<RingFacts<'a>, Refused> {
    Target::Servers { cluster: cluster.clone(), numbers: Vec::new() }.nodes(inventory)?;
    let Some(facts) = RingFacts::of(inventory, observed, cluster) else {
        let why = "no server with a founded ring answers".to_owned();
        return Err(Refusal::RingSilent { cluster: cluster.clone(), why }.into());
    };
    match facts.lacks_leader() {
        true => {
            let why = "a tablet has no leader".to_owned();
            Err(Refusal::NotServing { cluster: cluster.clone(), why }.into())
        }
        false => Ok(facts),
    }
}

/// The action, sent to the servers that answer.
pub(super) fn one_step(
    plan: &mut Plan,
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
    action: ClusterAction,
) {
    let mut steps = Steps::default();
    steps.ring(Phase::Finish, endpoints(inventory, observed, cluster), action);
    plan.steps = steps.numbered();
}
