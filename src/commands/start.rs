//! `start`: starts deployed nodes and waits until they serve. Running nodes are left alone.

use dkc_inventory::plan::{self, Plan, StartRequest, Target};

use crate::arguments::{ClusterTarget, SlaveTarget};
use crate::error::CommandError;
use crate::operation::{self, InventoryChanges};
use crate::session::Session;

/// Start a cluster or slaves, and wait until they serve
///
/// The first start of a cluster founds its ring. Nodes that already run are left alone. A slave without a host starts on
/// this machine.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  start cluster -n c0\n  start cluster -n c0 --no 2\n  start slave --id 0")]
pub enum Args {
    /// Start the servers of a cluster
    #[command(alias = "css")]
    Cluster(ClusterTarget),
    /// Start slaves
    #[command(alias = "memcache")]
    Slave(SlaveTarget),
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let target = match args {
        Args::Cluster(target) => servers(session, &target)?,
        Args::Slave(target) => Target::Slaves { ids: target.id },
    };
    run_target(session, target).await
}

/// Starts the target; the playground uses it too.
pub async fn run_target(session: &mut Session, target: Target) -> Result<(), CommandError> {
    let hosts = target.hosts(&session.inventory()?).map_err(operation::refused("start"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let request = StartRequest { operation: operation::begin(session), target };
    let plan = plan::start(&inventory, &observed, &request).map_err(operation::refused("start"))?;
    let record = InventoryChanges { founded: founded(&request.target, &plan), ..InventoryChanges::default() };
    operation::carry_out(session, plan, record).await
}

/// The servers that a cluster command targets.
pub fn servers(session: &Session, target: &ClusterTarget) -> Result<Target, CommandError> {
    let cluster = session.cluster_name(target.of.name.as_ref())?;
    Ok(Target::Servers { cluster, numbers: target.no.clone() })
}

/// Clusters founded by this plan, or found to be founded although the inventory did not record it.
fn founded(target: &Target, plan: &Plan) -> Vec<dkc_core::ids::ClusterName> {
    match target {
        Target::Servers { cluster, .. } if plan.target != plan.base => vec![cluster.clone()],
        _ => Vec::new(),
    }
}
