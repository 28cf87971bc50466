//! `undo`: restores an earlier inventory generation as a new generation, so it can be undone too. Hosts are not touched
//! until the next `deploy`.

use dkc_inventory::edit;
use dkc_inventory::generation::Generation;
use dkc_inventory::model::Inventory;

use crate::error::{CommandError, codes};
use crate::session::Session;

/// Restore the previous inventory generation, or a given one
///
/// Hosts do not change until the next deploy.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  undo\n  undo --to 12\n  undo --broken")]
pub struct Args {
    /// Generation to restore (default: the previous one)
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<Generation>,
    /// Replace an unreadable inventory file with the newest kept generation; the broken file is kept
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
        session.ui.say(&format!("would restore generation {target}: {summary}"));
        return Ok(());
    }
    locked.save(&inventory)?;
    session
        .ui
        .say(&format!("restored generation {target} as generation {}: {summary}", inventory.generation));
    Ok(())
}

/// The newest kept generation among the eligible ones.
fn newest_kept(session: &Session, is_meant: impl Fn(Generation) -> bool) -> Result<Generation, CommandError> {
    let kept = session.store.generations()?;
    kept.iter().rev().map(|k| k.generation).find(|generation| is_meant(*generation)).ok_or_else(|| {
        CommandError::new(&codes::GENERATION_UNKNOWN, "no earlier generation is kept").next("history")
    })
}

fn replace_broken(
    session: &Session,
    locked: &crate::store::Locked,
    to: Option<Generation>,
) -> Result<(), CommandError> {
    if session.inventory().is_ok() {
        return Err(CommandError::new(&codes::REFUSED, "the inventory file is intact")
            .now("nothing changed")
            .next("undo     (without --broken)"));
    }
    let target = match to {
        Some(generation) => generation,
        None => newest_kept(session, |_| true)?,
    };
    let kept = session.store.load_generation(target)?;
    // The broken file's generation was at most one above the newest kept one, so this number is unused.
    let inventory = Inventory { generation: newest_kept(session, |_| true)?.next().next(), ..kept };
    let aside = locked.save_over_broken(&inventory)?;
    session.ui.say(&format!(
        "restored generation {target} as generation {}; the broken file is kept as {}",
        inventory.generation,
        aside.display()
    ));
    Ok(())
}

/// The names added and removed.
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
