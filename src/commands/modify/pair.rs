//! `modify pair`.

use dkc_core::config::Protocol;
use dkc_core::ids::{Namespace, SlaveId};
use dkc_inventory::edit::{self, ModifyPair};

use crate::commands::register::protocol;
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Slave id
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: SlaveId,
    /// The pair to change, by its listen address (default: the only one)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// New listen address
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub new_listen: Option<String>,
    /// Protocol for applications
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol())]
    pub protocol: Option<Protocol>,
    /// Namespace for applications
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let request = ModifyPair {
        id: args.id,
        listen: args.listen,
        new_listen: args.new_listen,
        protocol: args.protocol,
        namespace: args.namespace,
    };
    session.edit(|inventory| edit::modify_pair(inventory, &request))
}
