//! `deploy`: brings programs, certificates and configuration to the hosts, as the inventory wants them.

use dkc_core::ids::ClusterName;

use crate::error::CommandError;
use crate::session::Session;

/// Install programs and configuration on the hosts, as registered
///
/// Shows a plan first and asks. Nothing that runs is restarted. Typing it again continues what was left.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  deploy\n  deploy --dry-run\n  deploy -n c0 --config-only\n  deploy 10.0.0.10 @rack1"
)]
pub struct Args {
    /// Only these hosts: HOST, @GROUP, CLUSTER or CLUSTER/NO (default: all that a cluster or slave needs)
    #[arg(value_name = "HOST", add = crate::complete::selectors())]
    pub hosts: Vec<String>,
    /// Only this cluster with its slaves
    #[arg(short = 'n', long = "cluster", value_name = "NAME", aliases = ["name", "css"],
        add = crate::complete::clusters())]
    pub cluster: Option<ClusterName>,
    /// Only hosts of this group
    #[arg(short = 'g', long, value_name = "GROUP", add = crate::complete::groups())]
    pub group: Vec<String>,
    /// Only configuration and certificates, not the program
    #[arg(long)]
    pub config_only: bool,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("deploy"))
}
