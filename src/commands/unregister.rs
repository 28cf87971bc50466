//! `unregister`: takes things out of the inventory. What runs on hosts is not touched, so what is installed is kept
//! registered unless the operator says that they clean up by hand.

use dkc_core::ids::{ClusterName, HostAddress, SlaveId};
use dkc_inventory::edit::{self, ModifyCluster, UnregisterCluster, UnregisterPair, UnregisterSlave};

use crate::error::CommandError;
use crate::session::Session;

/// Take hosts, clusters, slaves and pairs out of the inventory
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  unregister host 10.0.0.12\n  unregister cluster -n c0\n  unregister slave --id 0\n  unregister pair --id 0 --listen 127.0.0.1:11211\n  unregister config -n c0 log_level"
)]
pub enum Args {
    /// Forget hosts that nothing runs on
    Host {
        /// The hosts
        #[arg(required = true, value_name = "HOST", add = crate::complete::hosts())]
        hosts: Vec<HostAddress>,
    },
    /// Forget a cluster
    #[command(alias = "css")]
    Cluster {
        /// The cluster; the one in use is not meant here
        #[arg(short = 'n', long, value_name = "NAME", add = crate::complete::clusters())]
        name: ClusterName,
        /// Although it is installed on hosts: what lies there is cleaned up by hand
        #[arg(long)]
        forget: bool,
    },
    /// Forget a slave
    #[command(alias = "memcache")]
    Slave {
        /// The slave
        #[arg(long, value_name = "ID", add = crate::complete::slaves())]
        id: SlaveId,
        /// Although it is installed on its host: what lies there is cleaned up by hand
        #[arg(long)]
        forget: bool,
    },
    /// Forget where a slave listens
    Pair {
        /// The slave
        #[arg(long, value_name = "ID", add = crate::complete::slaves())]
        id: SlaveId,
        /// Which pair, by where it listens (default: its only one)
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<String>,
    },
    /// Take parameters of a cluster back to their defaults
    Config {
        /// The cluster (default: the one in use)
        #[arg(short = 'n', long, value_name = "NAME", aliases = ["cluster", "css"],
            add = crate::complete::clusters())]
        name: Option<ClusterName>,
        /// The parameters
        #[arg(required = true, value_name = "KEY")]
        parameters: Vec<String>,
    },
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Host { hosts } => session.edit(|inventory| edit::unregister_hosts(inventory, &hosts)),
        Args::Cluster { name, forget } => {
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
        Args::Config { name, parameters } => {
            let name = session.cluster_name(name.as_ref())?;
            let request = ModifyCluster {
                name,
                replicas: None,
                tablets: None,
                set: Default::default(),
                unset: parameters,
            };
            session.edit(|inventory| edit::modify_cluster(inventory, &request))
        }
    }
}
