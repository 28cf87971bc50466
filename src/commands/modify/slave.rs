//! `modify slave`.

use dkc_core::ids::{HostAddress, SlaveId};
use dkc_inventory::edit::{self, ModifySlave};

use super::change;
use crate::arguments::{CLUSTER, OfCluster};
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
#[command(mut_arg(CLUSTER, |arg| arg.help("The cluster it connects to (default: unchanged)")))]
pub struct Args {
    /// Slave id
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: SlaveId,
    #[command(flatten)]
    pub of: OfCluster,
    /// The host it runs on
    #[arg(long, value_name = "HOST", conflicts_with = "here", add = crate::complete::hosts())]
    pub host: Option<HostAddress>,
    /// Run it on this machine
    #[arg(long)]
    pub here: bool,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let request = ModifySlave { id: args.id, cluster: args.of.name, host: change(args.host, args.here) };
    session.edit(|inventory| edit::modify_slave(inventory, &request))
}
