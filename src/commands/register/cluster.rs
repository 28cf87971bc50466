//! `register cluster`.

use dkc_core::ids::NodeAddress;
use dkc_inventory::edit::{self, RegisterCluster};
use uuid::Uuid;

use super::parse_config;
use crate::arguments::{NewCluster, NewShape};
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub of: NewCluster,
    /// Servers (default port: 8020)
    #[arg(required = true, value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub servers: Vec<NodeAddress>,
    #[command(flatten)]
    pub shape: NewShape,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (config, parameters) = parse_config(&args.shape.config)?;
    let request = RegisterCluster {
        name: args.of.name,
        servers: args.servers,
        replicas: args.shape.replicas,
        tablets: args.shape.tablets,
        config,
        parameters,
    };
    session.edit(|inventory| edit::register_cluster(inventory, &request, &mut Uuid::new_v4))
}
