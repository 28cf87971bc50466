//! `quit`, `exit`: leaves the prompt. In a batch it ends the batch without an error.

use crate::error::CommandError;
use crate::session::Session;

/// Leave the prompt (also: exit, Ctrl-D)
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  quit")]
pub struct Args {}

/// The line readers stop at this word themselves; as a single command it does nothing.
pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Ok(())
}
