//! `resume`: goes on with an operation that stopped half way, from its journal.

use crate::error::CommandError;
use crate::session::Session;

/// Continue an operation that was interrupted
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  resume\n  resume op-7f3a01bc")]
pub struct Args {
    /// The operation (default: the last one that did not end)
    #[arg(value_name = "OPERATION")]
    pub operation: Option<String>,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("resume"))
}
