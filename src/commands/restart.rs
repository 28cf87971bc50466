//! `restart`: stops and starts nodes, with --rolling one server at a time while the cluster keeps serving.

use dkc_inventory::plan::{self, RestartRequest, Target};

use crate::arguments::{ClusterTarget, SlaveTarget};
use crate::error::CommandError;
use crate::operation::{self, InventoryChanges};
use crate::session::Session;

/// Restart a cluster or slaves
///
/// With --rolling, restarts one server at a time and waits until it serves again.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  restart cluster -n c0 --rolling\n  restart cluster -n c0 --no 2\n  restart slave --id 0"
)]
pub enum Args {
    /// Restart the servers of a cluster
    #[command(alias = "css")]
    Cluster(ClusterArgs),
    /// Restart slaves
    #[command(alias = "memcache")]
    Slave(SlaveTarget),
}

#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    #[command(flatten)]
    pub target: ClusterTarget,
    /// Restart one server at a time; the cluster keeps serving
    #[arg(long)]
    pub rolling: bool,
    /// Proceed although some servers are already down
    #[arg(long, requires = "rolling")]
    pub allow_no_quorum: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (target, rolling, allow_no_quorum) = match args {
        Args::Cluster(args) => {
            (super::start::servers(session, &args.target)?, args.rolling, args.allow_no_quorum)
        }
        Args::Slave(target) => (Target::Slaves { ids: target.id }, false, false),
    };
    let hosts = target.hosts(&session.inventory()?).map_err(operation::refused("restart"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let request = RestartRequest { operation: operation::begin(session), target, rolling, allow_no_quorum };
    let plan = plan::restart(&inventory, &observed, &request).map_err(operation::refused("restart"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await
}
