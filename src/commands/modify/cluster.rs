//! `modify cluster` and `modify config`.

use dkc_inventory::edit::{self, ModifyCluster};

use crate::arguments::OfCluster;
use crate::commands::register::parse_parameters;
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
    /// Set a parameter; repeatable
    #[arg(long = "config", value_name = "KEY=VALUE", add = crate::complete::parameters())]
    pub parameters: Vec<String>,
    /// Reset a parameter to its default; repeatable
    #[arg(long, value_name = "KEY")]
    pub reset: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    pub of: OfCluster,
    /// Parameters to set
    #[arg(value_name = "KEY=VALUE", required_unless_present = "reset", add = crate::complete::parameters())]
    pub parameters: Vec<String>,
    /// Reset a parameter to its default; repeatable
    #[arg(long, value_name = "KEY")]
    pub reset: Vec<String>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let request = ModifyCluster {
        name: session.cluster_name(args.of.name.as_ref())?,
        replicas: args.replicas,
        tablets: args.tablets,
        set: parse_parameters(&args.parameters)?,
        unset: args.reset,
    };
    session.edit(|inventory| edit::modify_cluster(inventory, &request))
}

pub fn run_config(session: &mut Session, args: ConfigArgs) -> Result<(), CommandError> {
    let ConfigArgs { of, parameters, reset } = args;
    run(session, Args { of, replicas: None, tablets: None, parameters, reset })
}
