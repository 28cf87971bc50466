//! `history`: the inventory generations that `undo` can restore, and the command that made each.

use dkc_inventory::generation::Generation;
use dkc_inventory::model::Inventory;
use serde::Serialize;

use crate::error::CommandError;
use crate::session::Session;
use crate::ui::{Format, Listing};

/// List the inventory's generations, newest last
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  history\n  history -o json")]
pub struct Args {}

#[derive(Serialize)]
struct Row {
    generation: Generation,
    hosts: usize,
    clusters: usize,
    slaves: usize,
    is_current: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    made_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    time: String,
}

pub async fn run(session: &mut Session, _args: Args) -> Result<(), CommandError> {
    let mut inventories: Vec<(Inventory, bool)> = Vec::new();
    for kept in session.store.generations()? {
        inventories.push((session.store.load_generation(kept.generation)?, false));
    }
    inventories.push((session.inventory()?, true));
    // A damaged audit log is reported by `audit verify`, not here.
    let audit = session.store.audit().unwrap_or_default();
    let mut listing = Listing::new(&["generation", "hosts", "clusters", "slaves", "time", "command"]);
    for (inventory, is_current) in inventories {
        let maker = audit.iter().rev().find(|entry| {
            entry.generation_after == inventory.generation && entry.generation_before < inventory.generation
        });
        let row = Row {
            generation: inventory.generation,
            hosts: inventory.hosts.len(),
            clusters: inventory.clusters.len(),
            slaves: inventory.slaves.len(),
            is_current,
            made_by: maker.map(|entry| entry.command.clone()).unwrap_or_default(),
            time: maker.map(|entry| entry.time.clone()).unwrap_or_default(),
        };
        let mark = if is_current { " (current)" } else { "" };
        let cells = vec![
            format!("{}{mark}", row.generation),
            row.hosts.to_string(),
            row.clusters.to_string(),
            row.slaves.to_string(),
            row.time.clone(),
            row.made_by.clone(),
        ];
        listing.push(cells, row);
    }
    session.show(Format::Table, &listing);
    Ok(())
}
