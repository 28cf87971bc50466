//! `register pair`.

use dkc_core::ids::{Namespace, SlaveId};
use dkc_inventory::edit::{self, RegisterPair};

use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The slave
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: SlaveId,
    /// ADDRESS:PORT on loopback, or the path of a Unix socket (default: 127.0.0.1:11211)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// What applications speak (default: memcache)
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<Protocol>,
    /// The namespace that applications get (default: default)
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
}

/// What applications speak to a slave. Only what a slave of this release can speak is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// The memcached text protocol
    Memcache,
}

impl From<Protocol> for dkc_core::config::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Memcache => dkc_core::config::Protocol::Memcache,
        }
    }
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let request = RegisterPair {
        id: args.id,
        listen: args.listen,
        protocol: args.protocol.map(Into::into),
        namespace: args.namespace,
    };
    session.edit(|inventory| edit::register_pair(inventory, &request))
}
