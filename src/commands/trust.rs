//! `trust`: the pinned keys of hosts. A pin only changes here, never by itself.

use dkc_core::ids::HostAddress;

use crate::error::CommandError;
use crate::session::Session;

/// Show or change the pinned keys of hosts
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  trust show\n  trust show 10.0.0.10\n  trust update 10.0.0.10 --host-key SHA256:…"
)]
pub enum Args {
    /// Show the keys that are pinned
    Show {
        #[arg(value_name = "HOST", add = crate::complete::hosts())]
        hosts: Vec<HostAddress>,
    },
    /// Pin the key that a host shows now, after showing both fingerprints
    Update {
        #[arg(value_name = "HOST", add = crate::complete::hosts())]
        host: HostAddress,
        /// The fingerprint it must have, for unattended use
        #[arg(long, value_name = "SHA256:…")]
        host_key: Option<String>,
    },
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("trust"))
}
