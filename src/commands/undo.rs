//! `undo`: takes the inventory back to an earlier generation. It is a change like any other: it makes a new
//! generation, so it can be undone too. What hosts run is not touched; `deploy` carries it there.

use dkc_inventory::edit;
use dkc_inventory::generation::Generation;
use dkc_inventory::model::Inventory;

use crate::error::{CommandError, codes};
use crate::session::Session;

/// Take the inventory back to the generation before, or to a given one
///
/// Nothing changes on hosts until the next deploy.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  undo\n  undo --to 12\n  undo --broken")]
pub struct Args {
    /// The generation to go back to (default: the one before this)
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<Generation>,
    /// The inventory file cannot be read: put the newest kept generation in its place, and keep the file beside it
    #[arg(long)]
    pub broken: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let locked = session.lock()?;
    if args.broken {
        return replace_broken(session, &locked, args.to);
    }
    let current = locked.load()?;
    let target = match args.to {
        Some(generation) => generation,
        None => newest_kept(session, |kept| kept < current.generation)?,
    };
    let earlier = edit::keep_recorded(session.store.load_generation(target)?, &current);
    let inventory = Inventory { generation: current.generation.next(), ..earlier };
    let summary = summary(&current, &inventory);
    if session.settings.dry_run {
        session.ui.say(&format!("would go back to generation {target}: {summary}"));
        return Ok(());
    }
    locked.save(&inventory)?;
    session.ui.say(&format!("generation {} is as generation {target} was: {summary}", inventory.generation));
    Ok(())
}

/// The newest kept generation of those that are meant.
fn newest_kept(session: &Session, is_meant: impl Fn(Generation) -> bool) -> Result<Generation, CommandError> {
    let kept = session.store.generations()?;
    kept.iter().rev().map(|k| k.generation).find(|generation| is_meant(*generation)).ok_or_else(|| {
        CommandError::new(&codes::GENERATION_UNKNOWN, "there is no earlier generation to go back to")
            .next("history")
    })
}

fn replace_broken(
    session: &Session,
    locked: &crate::store::Locked,
    to: Option<Generation>,
) -> Result<(), CommandError> {
    if session.inventory().is_ok() {
        return Err(CommandError::new(&codes::REFUSED, "the inventory file is not broken")
            .now("nothing changed")
            .next("undo     (without --broken)"));
    }
    let target = match to {
        Some(generation) => generation,
        None => newest_kept(session, |_| true)?,
    };
    let kept = session.store.load_generation(target)?;
    // The number after the newest one that may ever have been used: the broken file was at most one further.
    let inventory = Inventory { generation: newest_kept(session, |_| true)?.next().next(), ..kept };
    let aside = locked.save_over_broken(&inventory)?;
    session.ui.say(&format!(
        "generation {} is as generation {target} was; the broken file is kept as {}",
        inventory.generation,
        aside.display()
    ));
    Ok(())
}

/// What comes and goes, by name.
fn summary(from: &Inventory, to: &Inventory) -> String {
    let names = |inventory: &Inventory| -> std::collections::BTreeSet<String> {
        let hosts = inventory.hosts.keys().map(|h| format!("host {h}"));
        let clusters = inventory.clusters.keys().map(|c| format!("cluster {c}"));
        let slaves = inventory.slaves.keys().map(|s| format!("slave {s}"));
        hosts.chain(clusters).chain(slaves).collect()
    };
    let (before, after) = (names(from), names(to));
    let gone = before.difference(&after).map(|name| format!("-{name}"));
    let come = after.difference(&before).map(|name| format!("+{name}"));
    let changes: Vec<String> = gone.chain(come).collect();
    if changes.is_empty() { "values changed".into() } else { changes.join(", ") }
}
