//! `restart`: stops and starts nodes, with --rolling one server after the other so that the cluster serves on.

use crate::cli::{ClusterTarget, SlaveTarget};
use crate::error::CommandError;
use crate::session::Session;

/// Restart a cluster or slaves
///
/// With --rolling one server after the other, each only when the one before serves again.
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
    /// One server after the other, so that the cluster serves on
    #[arg(long)]
    pub rolling: bool,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("restart"))
}
