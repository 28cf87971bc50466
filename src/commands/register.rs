//! `register`: adds hosts, clusters, slaves and pairs to the inventory.

use dkc_core::ids::{ClusterName, HostAddress, Namespace, NodeAddress, SlaveId};

use crate::error::CommandError;
use crate::session::Session;

/// Add hosts, clusters, slaves and pairs to the inventory
///
/// Nothing leaves this machine: check looks at the hosts, deploy brings it to them.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  register host --user dkc 10.0.0.10 10.0.0.11 10.0.0.12\n  register cluster --name c0 10.0.0.10:8020 10.0.0.11:8020 10.0.0.12:8020\n  register slave --cluster c0 --host 10.0.0.21\n  register pair --id 0 --listen 127.0.0.1:11211\n  register config -n c0 log_level=debug")]
pub enum Args {
    /// Register hosts: where to log in, and as whom
    Host(HostArgs),
    /// Register a cluster of servers; hosts not yet known are registered with the user dkc
    #[command(alias = "css")]
    Cluster(ClusterArgs),
    /// Register a slave, through which applications on a host use a cluster
    #[command(alias = "memcache")]
    Slave(SlaveArgs),
    /// Register where a slave listens for applications
    Pair(PairArgs),
    /// Set parameters of a cluster
    Config(ConfigArgs),
}

#[derive(Debug, clap::Args)]
pub struct HostArgs {
    #[arg(required = true, value_name = "HOST")]
    pub hosts: Vec<HostAddress>,
    /// The user to log in as (default: dkc)
    #[arg(short = 'u', long, value_name = "USER")]
    pub user: Option<String>,
    /// The port of SSH (default: 22)
    #[arg(short = 'p', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// A group that the host is in; may be given several times
    #[arg(short = 'g', long, value_name = "GROUP", add = crate::complete::groups())]
    pub group: Vec<String>,
    /// The fingerprint of the host's key, as ssh-keygen -l prints it
    #[arg(long, value_name = "SHA256:…", conflicts_with = "accept_new")]
    pub host_key: Vec<String>,
    /// Pin whatever key the host shows at first contact, without asking
    #[arg(long)]
    pub accept_new: bool,
    /// Where nodes live on the host (default: /var/lib/dkc, or ~/.local/share/dkc)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// The failure domain the host is in, such as a rack
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// This machine: the same steps without SSH
    #[arg(long)]
    pub local: bool,
}

#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    /// The cluster's name
    #[arg(short = 'n', long, value_name = "NAME")]
    pub name: ClusterName,
    /// The servers; the port is 8020 unless given
    #[arg(required = true, value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub servers: Vec<NodeAddress>,
    /// Copies of each part of the data (default: 3, or as many as there are servers)
    #[arg(long, value_name = "COUNT")]
    pub replicas: Option<u32>,
    /// Parts that the data is divided into (default: 12)
    #[arg(long, value_name = "COUNT")]
    pub tablets: Option<u16>,
    /// A parameter; may be given several times
    #[arg(long = "config", value_name = "KEY=VALUE")]
    pub parameters: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct SlaveArgs {
    /// The cluster it uses (default: the one in use)
    #[arg(short = 'n', long, value_name = "NAME", aliases = ["name", "css"], add = crate::complete::clusters())]
    pub cluster: Option<ClusterName>,
    /// Its id (default: the smallest free one)
    #[arg(long, value_name = "ID")]
    pub id: Option<SlaveId>,
    /// Where it runs (default: this machine)
    #[arg(long, value_name = "HOST", add = crate::complete::hosts())]
    pub host: Option<HostAddress>,
}

#[derive(Debug, clap::Args)]
pub struct PairArgs {
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

#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// The cluster (default: the one in use)
    #[arg(short = 'n', long, value_name = "NAME", aliases = ["cluster", "css"], add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    #[arg(required = true, value_name = "KEY=VALUE")]
    pub parameters: Vec<String>,
}

/// What applications speak to a slave. Only what a slave of this release can speak is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// The memcached text protocol
    Memcache,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("register"))
}
