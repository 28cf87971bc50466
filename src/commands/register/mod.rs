//! `register`: adds hosts, clusters, slaves, pairs and parameters to the inventory. Registering the same values again
//! changes nothing and succeeds.

mod cluster;
mod config;
mod host;
pub mod pair;
mod slave;

pub use config::{parse_config, parse_parameters};
pub use pair::protocol;

use crate::error::CommandError;
use crate::session::Session;

/// Add hosts, clusters, slaves, pairs and configuration groups to the inventory
///
/// Changes only the inventory on this machine. check inspects the hosts, deploy installs on them.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  register host --user dkc 10.0.0.10 10.0.0.11 10.0.0.12\n  register cluster --name c0 10.0.0.10:8020 10.0.0.11:8020 10.0.0.12:8020\n  register slave --cluster c0 --host 10.0.0.21\n  register pair --id 0 --listen 127.0.0.1:11211\n  register config -n prod log_level=debug"
)]
pub enum Args {
    /// Register hosts with their login
    Host(host::Args),
    /// Register a cluster of servers; unknown hosts are registered with user dkc
    #[command(alias = "css")]
    Cluster(cluster::Args),
    /// Register a slave, through which applications on a host use a cluster
    #[command(alias = "memcache")]
    Slave(slave::Args),
    /// Register where a slave listens for applications
    Pair(pair::Args),
    /// Register a configuration group: parameters for any number of clusters
    Config(config::Args),
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Host(args) => host::run(session, args),
        Args::Cluster(args) => cluster::run(session, args),
        Args::Slave(args) => slave::run(session, args),
        Args::Pair(args) => pair::run(session, args),
        Args::Config(args) => config::run(session, args),
    }
}
