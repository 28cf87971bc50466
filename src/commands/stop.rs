//! `stop`: ends running nodes in good order. A cluster that a running slave uses is refused.

use crate::cli::{ClusterTarget, SlaveTarget};
use crate::error::CommandError;
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
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("stop"))
}
