//! `modify host`.

use dkc_core::ids::HostAddress;
use dkc_inventory::edit::{self, ModifyHost};

use super::change;
use crate::error::CommandError;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Hosts to change
    #[arg(required = true, value_name = "HOST", add = crate::complete::hosts())]
    pub hosts: Vec<HostAddress>,
    /// Login user
    #[arg(short = 'u', long, value_name = "USER")]
    pub user: Option<String>,
    /// SSH port
    #[arg(short = 'p', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Replace its groups; repeatable
    #[arg(short = 'g', long, value_name = "GROUP", add = crate::complete::groups())]
    pub group: Vec<String>,
    /// Replace the pinned host key fingerprints
    #[arg(long, value_name = "SHA256:…")]
    pub host_key: Vec<String>,
    /// Pin the key it presents at first contact without asking
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub accept_new: Option<bool>,
    /// Data directory on the host
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Failure domain
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// This is the local machine: run steps without SSH
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub local: Option<bool>,
    /// Reset a field to its default; repeatable
    #[arg(long, value_name = "FIELD")]
    pub reset: Vec<Field>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Field {
    User,
    Port,
    Group,
    HostKey,
    DataDir,
    Zone,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let is_reset = |field| args.reset.contains(&field);
    let list = |words: Vec<String>| (!words.is_empty()).then_some(words);
    let request = ModifyHost {
        user: change(args.user, is_reset(Field::User)),
        port: change(args.port, is_reset(Field::Port)),
        group: change(list(args.group), is_reset(Field::Group)),
        host_key: change(list(args.host_key), is_reset(Field::HostKey)),
        accept_new: change(args.accept_new, false),
        data_dir: change(args.data_dir, is_reset(Field::DataDir)),
        zone: change(args.zone, is_reset(Field::Zone)),
        local: change(args.local, false),
        hosts: args.hosts,
    };
    session.edit(|inventory| edit::modify_host(inventory, &request))
}
