//! `exec`: one program on several hosts. The words reach it as they are; no shell reads them on the far side.

use crate::error::CommandError;
use crate::session::Session;

/// Run a program on hosts
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  exec 10.0.0.10 -- uptime\n  exec @rack1 c0/2 -- df -h /var/lib/dkc")]
pub struct Args {
    /// Where: HOST, @GROUP, CLUSTER or CLUSTER/NO
    #[arg(required = true, value_name = "SELECTOR", add = crate::complete::selectors())]
    pub selectors: Vec<String>,
    /// The program and its arguments, after --
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<String>,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("exec"))
}
