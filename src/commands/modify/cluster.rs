//! `modify cluster`.

use dkc_inventory::edit::{self, ModifyCluster};

use crate::arguments::{CONFIG, OfCluster};
use crate::commands::register::parse_config;
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// Number of replicas; only before the first start
    #[arg(long, value_name = "COUNT")]
    pub replicas: Option<u32>,
    /// Number of tablets; only before the first start
    #[arg(long, value_name = "COUNT")]
    pub tablets: Option<u16>,
    /// Attach it to a configuration group, or set a parameter for this cluster alone; repeatable
    #[arg(long, value_name = "NAME|KEY=VALUE", add = crate::complete::configs_and_parameters())]
    pub config: Vec<String>,
    /// Set a parameter for this cluster no longer; config detaches it from its configuration group; repeatable
    #[arg(long, value_name = "KEY")]
    pub reset: Vec<String>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (config, set) = parse_config(&args.config)?;
    let (detach, unset): (Vec<String>, Vec<String>) = args.reset.into_iter().partition(|key| key == CONFIG);
    let request = ModifyCluster {
        name: session.cluster_name(args.of.name.as_ref())?,
        replicas: args.replicas,
        tablets: args.tablets,
        config: super::change(config, !detach.is_empty()),
        set,
        unset,
    };
    session.edit(|inventory| edit::modify_cluster(inventory, &request))
}
