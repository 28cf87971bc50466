//! `start`: brings deployed nodes up and waits until they serve. What runs already is left alone.

use crate::cli::{ClusterTarget, SlaveTarget};
use crate::error::CommandError;
use crate::session::Session;

/// Start a cluster or slaves, and wait until they serve
///
/// The first start of a cluster founds its ring. Starting what runs already does nothing and is no error.
/// A slave starts on the host it is registered on; without a host, on this machine.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  start cluster -n c0\n  start cluster -n c0 --no 2\n  start slave --id 0")]
pub enum Args {
    /// Start the servers of a cluster
    #[command(alias = "css")]
    Cluster(ClusterArgs),
    /// Start slaves
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
    Err(super::not_built("start"))
}
