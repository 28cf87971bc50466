//! `grow`: new members join a running cluster, and data moves to them once.

use dkc_core::ids::{ClusterName, NodeAddress};

use super::membership::{self, HowArgs, Wanted};
use crate::error::CommandError;
use crate::session::Session;

/// Add servers to a running cluster
///
/// Registers and installs them, lets them join, and moves their share of the data to them while the cluster serves.
/// Hosts that are not registered are registered with defaults. Several servers merge once. Ctrl-C stops waiting at any
/// moment: resume, or the same command again, goes on where the cluster is; ring abortmerge goes back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  grow -n c0 10.77.0.14:8020\n  grow -n c0 10.77.0.14 10.77.0.15 --dry-run\n  grow -n c0 10.77.0.14 --stage"
)]
pub struct Args {
    /// The cluster (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// The new servers; the port is 8020 unless given
    #[arg(required = true, value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub servers: Vec<NodeAddress>,
    #[command(flatten)]
    pub how: HowArgs,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let wanted = Wanted {
        cluster: session.cluster_name(args.name.as_ref())?,
        come: args.servers,
        leave: Vec::new(),
        allow_no_tolerance: args.how.allow_no_tolerance,
    };
    membership::run(session, "grow", wanted, &args.how).await
}
