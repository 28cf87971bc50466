//! `register host`.

use dkc_core::ids::HostAddress;
use dkc_inventory::edit::{self, RegisterHosts};

use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The hosts: names or IP addresses
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
