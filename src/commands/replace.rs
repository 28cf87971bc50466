//! `replace`: a new member takes the place of an old one, which may run, be stopped, or be gone for good.

use dkc_core::ids::{ClusterName, MemberNo, NodeAddress};
use dkc_inventory::plan;

use super::membership::{self, HowArgs, Wanted};
use crate::error::CommandError;
use crate::operation;
use crate::session::Session;

/// Put a new server in the place of another
///
/// The new one joins and the old one leaves in one move of data, while the cluster serves. The old one may run, be
/// stopped, or be gone for good with its host.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  replace -n c0 --no 2 --address 10.77.0.14:8020\n  replace -n c0 --no 2 --address 10.77.0.14 --dry-run"
)]
pub struct Args {
    /// The cluster (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// The member that leaves
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: MemberNo,
    /// The server that comes; the port is 8020 unless given
    #[arg(short = 'a', long, value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub address: NodeAddress,
    #[command(flatten)]
    pub how: HowArgs,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let cluster = session.cluster_name(args.name.as_ref())?;
    plan::check_replacement(&session.inventory()?, &cluster, args.no, &args.address)
        .map_err(operation::refused("replace"))?;
    let wanted = Wanted {
        cluster,
        come: vec![args.address],
        leave: vec![args.no],
        allow_no_tolerance: args.how.allow_no_tolerance,
    };
    membership::run(session, "replace", wanted, &args.how).await
}
