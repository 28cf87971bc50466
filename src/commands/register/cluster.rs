//! `register cluster`.

use dkc_core::ids::NodeAddress;
use dkc_inventory::edit::{self, RegisterCluster};
use uuid::Uuid;

use super::parse_config;
use crate::arguments::NewCluster;
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub of: NewCluster,
    /// Servers (default port: 8020)
    #[arg(required = true, value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub servers: Vec<NodeAddress>,
    /// Number of replicas (default: 3; with fewer servers, every server holds all data)
    #[arg(long, value_name = "COUNT")]
    pub replicas: Option<u32>,
    /// Number of tablets to begin with (default: 3 for up to 3 servers, beyond that twice the number of servers). grow splits
    /// them where the servers need more, ring split does it by hand
    #[arg(long, value_name = "COUNT")]
    pub tablets: Option<u16>,
    /// Attach it to a configuration group, or set a parameter for this cluster alone; repeatable
    #[arg(long, value_name = "NAME|KEY=VALUE", add = crate::complete::configs_and_parameters())]
    pub config: Vec<String>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (config, parameters) = parse_config(&args.config)?;
    let request = RegisterCluster {
        name: args.of.name,
        servers: args.servers,
        replicas: args.replicas,
        tablets: args.tablets,
        config,
        parameters,
    };
    session.edit(|inventory| edit::register_cluster(inventory, &request, &mut Uuid::new_v4))
}
