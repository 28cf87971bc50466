//! `logs`: the last lines of node logs, and where each log is.

use dkc_inventory::model::{Inventory, NodeName, node_dir};
use serde::Serialize;

use crate::arguments::NodeTarget;
use crate::error::{CommandError, codes};
use crate::observe;
use crate::operation;
use crate::session::Session;
use crate::ui::{Format, Listing};
use crate::world::{World, WorldError};

/// Show the last log lines of servers or slaves
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  logs -n c0\n  logs -n c0 --no 1 --lines 200\n  logs --id 0")]
pub struct Args {
    #[command(flatten)]
    pub nodes: NodeTarget,
    /// Lines per node
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub lines: u32,
}

#[derive(Serialize)]
struct Log {
    node: String,
    host: String,
    /// Location of the complete log on that host.
    place: String,
    lines: Vec<String>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    let nodes = session.target(&args.nodes)?.nodes(&inventory).map_err(operation::refused("logs"))?;
    operation::meet(session, &inventory, &nodes).await;
    let read = |node| read(&session.world, &inventory, node, args.lines);
    let (logs, failures) = operation::ask_each(session, &nodes, read).await?;
    let mut listing = Listing::new(&["node", "host", "log", "lines"]);
    for (_, log) in logs {
        let row = vec![log.node.clone(), log.host.clone(), log.place.clone(), log.lines.join("\n")];
        listing.push(row, log);
    }
    match session.settings.output {
        Some(_) => session.show(Format::Table, &listing),
        None => listing.rows.iter().for_each(|row| {
            session.ui.say(&format!("[{}] {}: {}", row[0], row[1], row[2]));
            session.ui.data_line(&row[3]);
        }),
    }
    if failures.is_empty() {
        return Ok(());
    }
    let error =
        CommandError::new(&codes::UNREACHABLE, format!("logs: {} nodes could not be read", failures.len()));
    Err(failures.into_iter().fold(error, |error, cause| error.cause(cause)))
}

async fn read(world: &World, inventory: &Inventory, node: &NodeName, lines: u32) -> Result<Log, WorldError> {
    let address = inventory.host_of(node).unwrap_or_else(dkc_inventory::model::this_machine);
    let (host, root) = observe::root_of(world, inventory, &address).await?;
    let (lines, place) = operation::log(&host, &node_dir(&root, node), lines).await;
    Ok(Log { node: node.to_string(), host: address.to_string(), place, lines })
}
