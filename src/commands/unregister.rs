//! `unregister`: removes entries from the inventory. It does not touch hosts, so it refuses installed entries unless the
//! operator chooses to clean up by hand.

use dkc_core::ids::{HostAddress, SlaveId};
use dkc_inventory::edit::{self, UnregisterCluster, UnregisterPair, UnregisterSlave};

use crate::arguments::{NamedCluster, NamedConfig};
use crate::error::CommandError;
use crate::session::Session;

/// Remove hosts, clusters, slaves, pairs and configuration groups from the inventory
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  unregister host 10.0.0.12\n  unregister cluster -n c0\n  unregister slave --id 0\n  unregister pair --id 0 --listen 127.0.0.1:11211\n  unregister config -n prod"
)]
pub enum Args {
    /// Unregister hosts without nodes
    Host {
        /// Hosts to unregister
        #[arg(required = true, value_name = "HOST", add = crate::complete::hosts())]
        hosts: Vec<HostAddress>,
    },
    /// Unregister a cluster
    #[command(alias = "css")]
    Cluster {
        #[command(flatten)]
        of: NamedCluster,
        /// Unregister it although it is installed on hosts; you clean up there
        #[arg(long)]
        forget: bool,
    },
    /// Unregister a slave
    #[command(alias = "memcache")]
    Slave {
        /// Slave id
        #[arg(long, value_name = "ID", add = crate::complete::slaves())]
        id: SlaveId,
        /// Unregister it although it is installed on its host; you clean up there
        #[arg(long)]
        forget: bool,
    },
    /// Unregister a pair of a slave
    Pair {
        /// Slave id
        #[arg(long, value_name = "ID", add = crate::complete::slaves())]
        id: SlaveId,
        /// The pair to change, by its listen address (default: the only one)
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<String>,
    },
    /// Unregister a configuration group that no cluster is attached to
    Config {
        #[command(flatten)]
        named: NamedConfig,
    },
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Host { hosts } => session.edit(|inventory| edit::unregister_hosts(inventory, &hosts)),
        Args::Cluster { of: NamedCluster { name }, forget } => {
            let request = UnregisterCluster { name, forget };
            session.edit(|inventory| edit::unregister_cluster(inventory, &request))?;
            session.current_cluster.take_if(|current| *current == request.name);
            Ok(())
        }
        Args::Slave { id, forget } => {
            let request = UnregisterSlave { id, forget };
            session.edit(|inventory| edit::unregister_slave(inventory, &request))
        }
        Args::Pair { id, listen } => {
            let request = UnregisterPair { id, listen };
            session.edit(|inventory| edit::unregister_pair(inventory, &request))
        }
        Args::Config { named: NamedConfig { name } } => {
            session.edit(|inventory| edit::unregister_config(inventory, &name))
        }
    }
}
