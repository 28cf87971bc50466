//! `shrink`: members leave a running cluster after their data has moved to those who stay.

use dkc_core::ids::{ClusterName, MemberNo};

use super::membership::{self, HowArgs, Wanted};
use crate::error::CommandError;
use crate::session::Session;

/// Take servers out of a running cluster
///
/// Their data moves to the others first, while the cluster serves; a server that is down may be taken out too. Who left
/// never returns: its directory stays on its host, marked as removed. Below the number of replicas it asks for the word
/// that the plan names, such as c0@g42.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  shrink -n c0 --no 3\n  shrink -n c0 --no 3 --no 4 --dry-run\n  shrink -n c0 --no 4 --stage"
)]
pub struct Args {
    /// The cluster; the one in use is not meant here
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: ClusterName,
    /// The member; may be given several times
    #[arg(short = 'N', long = "no", value_name = "NO", required = true)]
    pub no: Vec<MemberNo>,
    #[command(flatten)]
    pub how: HowArgs,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let wanted = Wanted {
        cluster: args.name,
        come: Vec::new(),
        leave: args.no,
        allow_no_tolerance: args.how.allow_no_tolerance,
    };
    membership::run(session, "shrink", wanted, &args.how).await
}
