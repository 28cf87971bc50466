//! `ring`: the CHMPX words about the ring, asked of the servers themselves.

use dkc_core::ids::{ClusterName, MemberNo};

use crate::error::CommandError;
use crate::session::Session;

/// Ask the servers of a cluster about the ring
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  ring version -n c0\n  ring selfstatus -n c0 --no 1\n  ring allstatus -n c0\n  ring dump -n c0 --no 0"
)]
pub struct Args {
    /// What to ask
    pub word: Word,
    /// The cluster (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// Only this member (default: all)
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Word {
    /// The release and the version of the ring map
    Version,
    /// How the server sees itself
    Selfstatus,
    /// How the server sees every member
    Allstatus,
    /// Everything the server knows about the ring
    Dump,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("ring"))
}
