//! `audit`: the log of every change and every refusal.

use crate::error::CommandError;
use crate::session::Session;
use crate::store::audit::AuditEntry;
use crate::ui::{Format, Listing};

/// Show the audit log and verify that it is intact
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  audit list\n  audit list --last 100 -o jsonl\n  audit verify")]
pub enum Args {
    /// List entries: who ran what, and the result
    List {
        /// Number of entries to show, newest last
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        last: usize,
    },
    /// Verify the hash chain
    Verify,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let entries = session.store.audit()?;
    match args {
        Args::Verify => session.ui.data_line(&format!("{} entries, hash chain intact", entries.len())),
        Args::List { last } => {
            session.show(Format::Table, &listing(&entries[entries.len().saturating_sub(last)..]));
        }
    }
    Ok(())
}

fn listing(entries: &[AuditEntry]) -> Listing {
    let mut listing = Listing::new(&["time", "who", "from", "result", "generation", "command"]);
    for entry in entries {
        let generation = match (entry.generation_before, entry.generation_after) {
            (before, after) if before == after => before.to_string(),
            (before, after) => format!("{before}→{after}"),
        };
        let row = [&entry.time, &entry.who, &entry.from, &entry.result, &generation, &entry.command];
        listing.push(row.map(|cell| cell.to_owned()).to_vec(), entry);
    }
    listing
}
