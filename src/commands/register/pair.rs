//! `register pair`.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use dkc_core::config::Protocol;
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
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol())]
    pub protocol: Option<Protocol>,
    /// Namespace for applications (default: default)
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
}

/// Accepts the protocols that slaves of this release speak.
pub fn protocol() -> impl TypedValueParser<Value = Protocol> {
    let value = |protocol: &Protocol| {
        PossibleValue::new(protocol.name()).alias(protocol.alias()).help(protocol.explanation())
    };
    PossibleValuesParser::new(Protocol::ALL.iter().map(value))
        .map(|word| Protocol::named(&word).expect("only possible values get here"))
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let request =
        RegisterPair { id: args.id, listen: args.listen, protocol: args.protocol, namespace: args.namespace };
    session.edit(|inventory| edit::register_pair(inventory, &request))
}
