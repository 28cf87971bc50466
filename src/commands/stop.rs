//! `stop`: stops running nodes gracefully. Refused for a cluster that a running slave uses.

use dkc_inventory::plan::{self, StopRequest, Target};

use crate::arguments::{ClusterTarget, SlaveTarget};
use crate::error::CommandError;
use crate::operation::{self, InventoryChanges};
use crate::session::Session;

/// Stop a cluster or slaves gracefully
///
/// Each server transfers its leaderships first. Refused while a running slave uses the cluster.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  stop cluster -n c0\n  stop cluster -n c0 --no 2\n  stop slave --id 0")]
pub enum Args {
    /// Stop the servers of a cluster
    #[command(alias = "css")]
    Cluster(ClusterArgs),
    /// Stop slaves
    #[command(alias = "memcache")]
    Slave(SlaveTarget),
}

#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    #[command(flatten)]
    pub target: ClusterTarget,
    /// Skip hosts that do not answer
    #[arg(long)]
    pub allow_silent: bool,
    /// Stop the servers although the remaining ones lose their quorum
    #[arg(long)]
    pub allow_no_quorum: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (target, allow_silent, allow_no_quorum) = match args {
        Args::Cluster(args) => {
            (super::start::servers(session, &args.target)?, args.allow_silent, args.allow_no_quorum)
        }
        Args::Slave(target) => (Target::Slaves { ids: target.id }, false, false),
    };
    let hosts = target.hosts(&session.inventory()?).map_err(operation::refused("stop"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let operation = operation::begin(session);
    let request = StopRequest { operation, target, allow_silent, allow_no_quorum };
    let plan = plan::stop(&inventory, &observed, &request).map_err(operation::refused("stop"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await
}
