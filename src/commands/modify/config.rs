//! `modify config`: what a configuration group sets, or what is set for one cluster alone.

use dkc_inventory::edit::{self, Change, ModifyCluster, ModifyConfig};

use crate::arguments::{ConfigTarget, OfConfig};
use crate::commands::register::parse_parameters;
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  modify config -n prod log_level=debug\n  modify config -n prod --reset log_level\n  modify config -c c0 memory_bytes=2147483648"
)]
pub struct Args {
    #[command(flatten)]
    pub of: OfConfig,
    /// Parameters to set
    #[arg(value_name = "KEY=VALUE", required_unless_present = "reset", add = crate::complete::parameters())]
    pub parameters: Vec<String>,
    /// Set a parameter no longer: its default counts, or for a cluster the value of its group; repeatable
    #[arg(long, alias = "unset", value_name = "KEY")]
    pub reset: Vec<String>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (set, unset) = (parse_parameters(&args.parameters)?, args.reset);
    match session.config_target(&args.of)? {
        ConfigTarget::Config(name) => {
            let request = ModifyConfig { name, set, unset };
            session.edit(|inventory| edit::modify_config(inventory, &request))
        }
        ConfigTarget::Cluster(name) => {
            let request =
                ModifyCluster { name, replicas: None, tablets: None, config: Change::Keep, set, unset };
            session.edit(|inventory| edit::modify_cluster(inventory, &request))
        }
    }
}
