//! `register slave`.

use dkc_core::ids::{HostAddress, SlaveId};
use dkc_inventory::edit::{self, RegisterSlave};
use uuid::Uuid;

use crate::arguments::{CLUSTER, OfCluster};
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
#[command(mut_arg(CLUSTER, |arg| arg.help("The cluster it connects to (default: the one chosen with use, or the only one)")))]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// Slave id (default: the smallest free one)
    #[arg(long, value_name = "ID")]
    pub id: Option<SlaveId>,
    /// The host it runs on (default: this machine)
    #[arg(long, value_name = "HOST", add = crate::complete::hosts())]
    pub host: Option<HostAddress>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let cluster = session.cluster_name(args.of.name.as_ref())?;
    let request = RegisterSlave { cluster, id: args.id, host: args.host };
    session.edit(|inventory| edit::register_slave(inventory, &request, &mut Uuid::new_v4))
}
