//! `status`: asks hosts and daemons how they are, all at once, each with a limit.

use dkc_core::ids::{ClusterName, MemberNo, SlaveId};

use crate::cli::Noun;
use crate::error::CommandError;
use crate::session::Session;

/// Show how clusters, slaves and hosts are
///
/// States: running, stopped, error, degraded, merging, unknown. A host that does not answer in time is unknown.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  status\n  status cluster --short\n  status cluster -n c0 --long\n  status slave --id 0\n  status cluster -n c0 --watch=2s"
)]
pub struct Args {
    /// What to ask about: host, cluster or slave (default: clusters and slaves)
    #[arg(value_name = "NOUN")]
    pub noun: Option<Noun>,
    /// Only these: HOST, @GROUP, CLUSTER or CLUSTER/NO
    #[arg(value_name = "SELECTOR", add = crate::complete::selectors())]
    pub selectors: Vec<String>,
    /// Only this cluster
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// Only this member of the cluster
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
    /// Only this slave
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Vec<SlaveId>,
    /// One line for each: `c0: running`
    #[arg(long, conflicts_with_all = ["quiet", "long"])]
    pub short: bool,
    /// Print nothing; the exit status says it
    #[arg(short = 'q', long, conflicts_with = "long")]
    pub quiet: bool,
    /// With tablets, leaders, memory and log positions
    #[arg(long)]
    pub long: bool,
    /// Ask again and again until Ctrl-C, every 2 s or as often as given
    #[arg(long, value_name = "TIME", value_parser = crate::cli::parse_duration, num_args = 0..=1,
        default_missing_value = "2s", require_equals = true)]
    pub watch: Option<std::time::Duration>,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("status"))
}
