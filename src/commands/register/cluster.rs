//! `register cluster`.

use dkc_core::ids::{ClusterName, NodeAddress};
use dkc_inventory::edit::{self, RegisterCluster};
use uuid::Uuid;

use super::parse_parameters;
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cluster's name
    #[arg(short = 'n', long, value_name = "NAME")]
    pub name: ClusterName,
    /// The servers; the port is 8020 unless given
    #[arg(required = true, value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub servers: Vec<NodeAddress>,
    /// Copies of each part of the data (default: 3; with fewer servers, each holds everything)
    #[arg(long, value_name = "COUNT")]
    pub replicas: Option<u32>,
    /// Parts that the data is divided into, for good: at least as many as the cluster will ever have servers, so that
    /// each leads one (default: 6 for up to 5 servers, 24 for up to 8, 64 for up to 16, 256 beyond)
    #[arg(long, value_name = "COUNT")]
    pub tablets: Option<u16>,
    /// A parameter; may be given several times
    #[arg(long = "config", value_name = "KEY=VALUE", add = crate::complete::parameters())]
    pub parameters: Vec<String>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let request = RegisterCluster {
        name: args.name,
        servers: args.servers,
        replicas: args.replicas,
        tablets: args.tablets,
        parameters: parse_parameters(&args.parameters)?,
    };
    session.edit(|inventory| edit::register_cluster(inventory, &request, &mut Uuid::new_v4))
}
