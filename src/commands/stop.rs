//! `stop`: ends running nodes in good order. A cluster that a running slave uses is refused.

use dkc_inventory::plan::{self, StopRequest, Target};

use crate::cli::{ClusterTarget, SlaveTarget};
use crate::error::CommandError;
use crate::operation::{self, Record};
use crate::session::Session;

/// Stop a cluster or slaves, in good order
///
/// Each server hands its leadership away first. A cluster that a running slave still uses is not stopped.
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
    /// Leave hosts that do not answer as they are
    #[arg(long)]
    pub allow_silent: bool,
    /// Stop some servers although the rest loses its quorum
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
    operation::carry_out(session, plan, Record::default()).await
}
