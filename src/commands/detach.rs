//! `detach`: takes servers out of the ring and leaves them running, without data.

use dkc_core::ids::MemberNo;

use super::change_members::{self, HowArgs, Wanted};
use crate::arguments::NamedCluster;
use crate::error::CommandError;
use crate::session::Session;

/// Take servers out of the ring and leave them running
///
/// Moves their data to the others first, while the cluster keeps serving. A detached server stays a member, holds no data and counts
/// for no quorum; attach brings it back, shrink removes it. Detaching below the number of replicas requires the word that the plan shows.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  detach -n c0 --no 3\n  detach -n c0 --no 3 --no 4 --dry-run")]
pub struct Args {
    #[command(flatten)]
    pub of: NamedCluster,
    /// Member to detach; repeatable
    #[arg(short = 'N', long = "no", value_name = "NO", required = true)]
    pub no: Vec<MemberNo>,
    /// Proceed although a remaining member is down and no further failure is tolerated
    #[arg(long)]
    pub allow_no_tolerance: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let wanted = Wanted {
        cluster: args.of.name,
        come: Vec::new(),
        leave: args.no,
        is_detached: true,
        allow_no_tolerance: args.allow_no_tolerance,
    };
    let how = HowArgs { stage: false, allow_no_tolerance: args.allow_no_tolerance };
    change_members::run(session, "detach", wanted, &how).await
}
