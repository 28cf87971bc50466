//! `check`: looks at hosts before anything is changed on them. It only reads, unless `--fix` is given.

use dkc_core::ids::ClusterName;

use crate::cli::Noun;
use crate::error::CommandError;
use crate::session::Session;

/// Look whether hosts are ready: login, host key, disk, clock, ports, connections between members
///
/// Reads only. With --fix it repairs what is safe to repair (directories and their permissions).
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  check\n  check host 10.0.0.10 @rack1\n  check cluster -n c0")]
pub struct Args {
    /// What to check: host, cluster or slave (default: everything registered)
    #[arg(value_name = "NOUN")]
    pub noun: Option<Noun>,
    /// Only these: HOST, @GROUP, CLUSTER or CLUSTER/NO
    #[arg(value_name = "SELECTOR", add = crate::complete::selectors())]
    pub selectors: Vec<String>,
    /// Only this cluster
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// Only hosts of this group
    #[arg(short = 'g', long, value_name = "GROUP", add = crate::complete::groups())]
    pub group: Vec<String>,
    /// Repair what is safe to repair
    #[arg(long)]
    pub fix: bool,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("check"))
}
