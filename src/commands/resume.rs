//! `resume`: continues an interrupted operation from its journal.

use crate::error::{CommandError, codes};
use crate::operation;
use crate::operation::Recorded;
use crate::session::Session;

/// Continue an operation that was interrupted
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  resume\n  resume op-7f3a01bc")]
pub struct Args {
    /// The operation (default: the last unfinished one)
    #[arg(value_name = "OPERATION")]
    pub operation: Option<String>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let operation = match args.operation {
        Some(operation) => operation,
        None => Recorded::last_open(&session.store.journal_dir(), session.inventory()?.generation)
            .ok_or_else(|| {
                CommandError::new(&codes::UNKNOWN_OPERATION, "no unfinished operation").now("nothing changed")
            })?,
    };
    operation::resume(session, &operation).await
}
