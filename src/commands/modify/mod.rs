//! `modify`: changes registered entries. Fields that are not named keep their value; `--reset FIELD` restores a default.

mod cluster;
mod config;
mod host;
mod pair;
mod slave;

use dkc_inventory::edit::Change;

use crate::error::CommandError;
use crate::session::Session;

/// Change registered hosts, clusters, slaves, pairs or configuration groups
///
/// Fields that are not named keep their value. The next deploy, or apply config, brings the change to the
/// hosts.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  modify host --user admin 10.0.0.10\n  modify host --group rack1 10.0.0.10 10.0.0.11\n  modify host --reset zone 10.0.0.10\n  modify cluster -n c0 --config log_level=debug\n  modify slave --id 0 --host 10.0.0.22\n  modify pair --id 0 --new-listen 127.0.0.1:11212\n  modify config -n prod log_level=debug\n  modify cluster -n c0 --config prod"
)]
pub enum Args {
    /// Change how to reach hosts
    Host(host::Args),
    /// Change a cluster's configuration group or parameters and, before its first start, its replicas and tablets
    #[command(alias = "css")]
    Cluster(cluster::Args),
    /// Change where a slave runs, before it is deployed
    #[command(alias = "memcache")]
    Slave(slave::Args),
    /// Change where a slave listens for applications
    Pair(pair::Args),
    /// Change the parameters of a configuration group, or of one cluster
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

/// Combines a flag and `--reset` for one field.
fn change<T>(given: Option<T>, is_reset: bool) -> Change<T> {
    match given {
        Some(value) => Change::Set(value),
        None if is_reset => Change::Reset,
        None => Change::Keep,
    }
}
