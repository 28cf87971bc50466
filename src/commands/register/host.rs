//! `register host`.

use dkc_core::ids::HostAddress;
use dkc_inventory::edit::{self, RegisterHosts};

use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Host names or IP addresses
    #[arg(required = true, value_name = "HOST")]
    pub hosts: Vec<HostAddress>,
    /// Login user (default: dkc)
    #[arg(short = 'u', long, value_name = "USER")]
    pub user: Option<String>,
    /// SSH port (default: 22)
    #[arg(short = 'p', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Add the host to a group; repeatable
    #[arg(short = 'g', long, value_name = "GROUP", add = crate::complete::groups())]
    pub group: Vec<String>,
    /// Fingerprint of the host key, as printed by ssh-keygen -l
    #[arg(long, value_name = "SHA256:…", conflicts_with = "accept_new")]
    pub host_key: Vec<String>,
    /// Pin the key the host presents at first contact without asking
    #[arg(long)]
    pub accept_new: bool,
    /// Data directory on the host (default: /var/lib/dkc, or ~/.local/share/dkc)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Failure domain, such as a rack
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// This is the local machine: run steps without SSH
    #[arg(long)]
    pub local: bool,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let request = RegisterHosts {
        hosts: args.hosts,
        user: args.user,
        port: args.port,
        group: args.group,
        host_key: args.host_key,
        accept_new: args.accept_new,
        data_dir: args.data_dir,
        zone: args.zone,
        local: args.local,
    };
    session.edit(|inventory| edit::register_hosts(inventory, &request))
}
