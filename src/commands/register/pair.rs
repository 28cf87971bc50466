//! `register pair`.

use dkc_core::ids::{Namespace, SlaveId};
use dkc_inventory::edit::{self, RegisterPair};

use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Slave id
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: SlaveId,
    /// Loopback ADDRESS:PORT, or the path of a Unix socket (default: 127.0.0.1:11211, for redis 127.0.0.1:6379)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Protocol for applications (default: memcache)
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<Protocol>,
    /// Namespace for applications (default: default)
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
}

/// The protocols that slaves of this release speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// The memcached text protocol
    Memcache,
    /// RESP2 and RESP3, as Redis clients speak them
    #[value(alias = "resp")]
    Redis,
}

impl From<Protocol> for dkc_core::config::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Memcache => dkc_core::config::Protocol::Memcache,
            Protocol::Redis => dkc_core::config::Protocol::Redis,
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
