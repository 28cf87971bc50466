//! `shrink`: members leave a running cluster after their data has moved to the remaining ones.

use dkc_core::ids::MemberNo;

use super::change_members::{self, HowArgs, Wanted};
use crate::arguments::NamedCluster;
use crate::error::CommandError;
use crate::session::Session;

/// Remove servers from a running cluster
///
/// Moves their data to the others first while the cluster keeps serving; a server that is down can be removed too. A
/// removed server cannot return: its directory stays on its host, marked as removed. Shrinking below the number of
/// replicas requires the word that the plan shows, such as c0@g42.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  shrink -n c0 --no 3\n  shrink -n c0 --no 3 --no 4 --dry-run\n  shrink -n c0 --no 4 --stage"
)]
pub struct Args {
    #[command(flatten)]
    pub of: NamedCluster,
    /// Member to remove; repeatable
    #[arg(short = 'N', long = "no", value_name = "NO", required = true)]
    pub no: Vec<MemberNo>,
    #[command(flatten)]
    pub how: HowArgs,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let wanted = Wanted {
        cluster: args.of.name,
        come: Vec::new(),
        leave: args.no,
        is_detached: false,
        allow_no_tolerance: args.how.allow_no_tolerance,
    };
    change_members::run(session, "shrink", wanted, &args.how).await
}
