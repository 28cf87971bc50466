//! `replace`: a new member replaces an old one, which may be running, stopped or lost.

use dkc_core::ids::{MemberNo, NodeAddress};
use dkc_inventory::plan;

use super::change_members::{self, HowArgs, Wanted};
use crate::arguments::OfCluster;
use crate::error::CommandError;
use crate::operation;
use crate::session::Session;

/// Replace a server with a new one
///
/// The new server joins and the old one leaves in one merge while the cluster keeps serving. The old server may be
/// running, stopped, or lost with its host.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  replace -n c0 --no 2 --address 10.77.0.14:8020\n  replace -n c0 --no 2 --address 10.77.0.14 --dry-run"
)]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// Member to replace
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: MemberNo,
    /// New server (default port: 8020)
    #[arg(short = 'a', long, value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub address: NodeAddress,
    #[command(flatten)]
    pub how: HowArgs,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let cluster = session.cluster_name(args.of.name.as_ref())?;
    plan::check_replacement(&session.inventory()?, &cluster, args.no, &args.address)
        .map_err(operation::refused("replace"))?;
    let wanted = Wanted {
        cluster,
        come: vec![args.address],
        leave: vec![args.no],
        is_detached: false,
        allow_no_tolerance: args.how.allow_no_tolerance,
    };
    change_members::run(session, "replace", wanted, &args.how).await
}
