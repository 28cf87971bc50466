//! `logs`: the last lines of nodes' logs, and where the logs are.

use dkc_core::ids::{ClusterName, MemberNo, SlaveId};

use crate::error::CommandError;
use crate::session::Session;

/// Show the last lines of the logs of a cluster's servers or of slaves
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  logs -n c0\n  logs -n c0 --no 1 --lines 200\n  logs --id 0")]
pub struct Args {
    /// The cluster (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// Only this member
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
    /// Slaves instead of servers
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Vec<SlaveId>,
    /// How many lines of each node
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub lines: u32,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("logs"))
}
