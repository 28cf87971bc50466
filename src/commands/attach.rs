//! `attach`: brings a detached server back into the ring, or a new one in.

use dkc_core::ids::{MemberNo, NodeAddress};
use dkc_inventory::plan::Target;

use super::change_members::{self, HowArgs, Wanted};
use crate::arguments::OfCluster;
use crate::error::CommandError;
use crate::operation;
use crate::session::Session;

/// Bring detached or new servers into the ring
///
/// A detached member is named by its number, a new server by its address, as for grow. Starts what does not run, and moves their share
/// of the data while the cluster keeps serving.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  attach -n c0 --no 3\n  attach -n c0 10.77.0.14:8020 --dry-run")]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// Detached member; repeatable
    #[arg(short = 'N', long = "no", value_name = "NO", required_unless_present = "servers")]
    pub no: Vec<MemberNo>,
    /// New servers (default port: 8020)
    #[arg(value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub servers: Vec<NodeAddress>,
    /// Proceed although a member is down and no further failure is tolerated
    #[arg(long)]
    pub allow_no_tolerance: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let cluster = session.cluster_name(args.of.name.as_ref())?;
    let inventory = session.inventory()?;
    let named = Target::Servers { cluster: cluster.clone(), numbers: args.no.clone() };
    named.nodes(&inventory).map_err(operation::refused("attach"))?;
    let known = args.no.iter().filter_map(|number| inventory.server(&cluster, *number));
    let come = known.map(|server| server.address.clone()).chain(args.servers).collect();
    let (leave, allow_no_tolerance) = (Vec::new(), args.allow_no_tolerance);
    let wanted = Wanted { cluster, come, leave, is_detached: false, allow_no_tolerance };
    change_members::run(session, "attach", wanted, &HowArgs { stage: false, allow_no_tolerance }).await
}
