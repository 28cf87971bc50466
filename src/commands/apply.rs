//! `apply config`: brings changed parameters to the nodes, one by one, behind a health check and a canary write.

use std::collections::BTreeSet;

use dkc_core::ids::{ClusterName, HostAddress};
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::{self, ApplyRequest};
use dkc_inventory::show;

use crate::arguments::{ConfigTarget, OfConfig};
use crate::error::CommandError;
use crate::observe::Scope;
use crate::operation::{self, InventoryChanges};
use crate::session::Session;

/// Bring changed parameters to running nodes
///
/// Nodes reload what a running node can take over, and restart for the rest: one node at a time. After each one the cluster must be
/// healthy and take a write of a canary key in every tablet, or the operation stops there. Fix the cause, then resume.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  apply config -n prod --dry-run\n  apply config -n prod\n  apply config -c c0"
)]
pub enum Args {
    /// Apply a configuration group to its clusters, or the parameters of one cluster
    Config(ConfigArgs),
}

#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    pub of: OfConfig,
    /// Leave out hosts that do not answer
    #[arg(long)]
    pub allow_silent: bool,
    /// Restart servers although others are already down
    #[arg(long)]
    pub allow_no_quorum: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let Args::Config(ConfigArgs { of, allow_silent, allow_no_quorum }) = args;
    let Some(clusters) = clusters(session, &of)? else { return Ok(()) };
    let scope = Scope::of(hosts(&session.inventory()?, &clusters), session.timeout());
    let (inventory, observed) = operation::observe_scope(session, scope).await?;
    let operation = operation::begin(session);
    let request = ApplyRequest { operation, clusters, allow_silent, allow_no_quorum };
    let plan = plan::apply(&inventory, &observed, &request).map_err(operation::refused("apply config"))?;
    let record = InventoryChanges::of_plan(&plan);
    operation::carry_out(session, plan, record).await
}

/// The clusters that the operator means; `None`, which is told, for a group without clusters.
pub fn clusters(session: &Session, of: &OfConfig) -> Result<Option<Vec<ClusterName>>, CommandError> {
    let inventory = session.inventory()?;
    match session.config_target(of)? {
        ConfigTarget::Cluster(name) => {
            let filter = show::ClusterFilter { name: Some(name.clone()), host: None };
            show::list_clusters(&inventory, &filter)?;
            Ok(Some(vec![name]))
        }
        ConfigTarget::Config(name) => {
            show::check_config(&inventory, &name)?;
            let attached: Vec<ClusterName> = inventory.attached_to(&name).into_iter().cloned().collect();
            if attached.is_empty() {
                session.ui.say(&format!(
                    "no cluster is attached to {name}; see: modify cluster -n NAME --config {name}"
                ));
                return Ok(None);
            }
            Ok(Some(attached))
        }
    }
}

/// The hosts of all nodes of these clusters.
pub fn hosts(inventory: &Inventory, clusters: &[ClusterName]) -> BTreeSet<HostAddress> {
    let nodes = clusters.iter().flat_map(|name| inventory.nodes_of(name));
    nodes.filter_map(|node| inventory.host_of(&node)).collect()
}
