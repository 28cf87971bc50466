//! `lock`: who holds the inventory lock, and breaking the lock of an operation that hangs.

use crate::error::CommandError;
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Show who holds the inventory lock, or break it
///
/// A dead process releases its lock automatically. Break the lock only of an operation that hangs.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  lock show\n  lock break")]
pub enum Args {
    /// Show who holds the lock
    Show,
    /// Break the lock: its holder can no longer write the inventory
    Break,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["who", "from", "process", "since", "what"]);
    let Some(owner) = session.store.lock_owner()? else {
        match (args, session.settings.output) {
            (Args::Show, Some(format)) => session.ui.show(format, &listing),
            _ => session.ui.say("the lock is free"),
        }
        return Ok(());
    };
    match args {
        Args::Show => {
            let row = [&owner.who, &owner.from, &owner.process.to_string(), &owner.since, &owner.what];
            listing.push(row.map(|cell| cell.to_owned()).to_vec(), &owner);
            session.show(Format::Table, &listing);
        }
        Args::Break => {
            session.ui.say(&format!("held by {owner}"));
            session.confirm_word("Its operation may be left half done.", "break")?;
            session.store.break_lock()?;
            session.ui.say("lock broken");
        }
    }
    Ok(())
}
