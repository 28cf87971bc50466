//! `grow`: new members join a running cluster; data moves once.

use dkc_core::ids::NodeAddress;

use super::change_members::{self, HowArgs, Wanted};
use crate::arguments::OfCluster;
use crate::error::CommandError;
use crate::session::Session;

/// Add servers to a running cluster
///
/// Registers and installs the servers, adds them to the ring and moves their share of the data while the cluster keeps
/// serving. Unknown hosts are registered with defaults. Several servers join in one merge. Ctrl-C stops waiting; continue
/// with resume or the same command, or roll back with ring abortmerge.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  grow -n c0 10.77.0.14:8020\n  grow -n c0 10.77.0.14 10.77.0.15 --dry-run\n  grow -n c0 10.77.0.14 --stage"
)]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// New servers (default port: 8020)
    #[arg(required = true, value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub servers: Vec<NodeAddress>,
    #[command(flatten)]
    pub how: HowArgs,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let wanted = Wanted {
        cluster: session.cluster_name(args.of.name.as_ref())?,
        come: args.servers,
        leave: Vec::new(),
        is_detached: false,
        allow_no_tolerance: args.how.allow_no_tolerance,
    };
    change_members::run(session, "grow", wanted, &args.how).await
}
