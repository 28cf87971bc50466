//! `diff config`: what the nodes go by against what the inventory says.

use dkc_inventory::config_drift::{self, DiffRow};
use dkc_inventory::model::NodeName;

use super::apply::{clusters, hosts};
use crate::arguments::OfConfig;
use crate::error::{CommandError, Exit};
use crate::observe::Scope;
use crate::operation;
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Compare the parameters that nodes go by with the inventory
///
/// Asks every node. One line for each difference, and what takes it over: a reload, a restart or the next start. Nothing is shown
/// if there is none. With --exit-code, ends with status 10 if there is one.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  diff config -n prod\n  diff config -c c0 --exit-code\n  diff config -n prod -o json"
)]
pub enum Args {
    /// Compare the nodes of a configuration group's clusters, or of one cluster
    Config(OfConfig),
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let Args::Config(of) = args;
    let Some(clusters) = clusters(session, &of)? else { return Ok(()) };
    let scope = Scope::of(hosts(&session.inventory()?, &clusters), session.timeout());
    let (inventory, observed) = operation::observe_scope(session, scope).await?;
    let nodes: Vec<NodeName> = clusters.iter().flat_map(|name| inventory.nodes_of(name)).collect();
    let rows = config_drift::rows(&inventory, &observed, &nodes);
    let mut listing = Listing::new(&["node", "parameter", "now", "wanted", "takes"]);
    for row in &rows {
        let DiffRow { node, parameter, now, wanted, takes, .. } = row.clone();
        listing.push(vec![node, parameter, now, wanted, takes.into()], row);
    }
    session.show(Format::Table, &listing);
    match rows.iter().any(|row| row.is_silent) {
        true => Err(CommandError::silent(Exit::Unreachable)),
        false if session.settings.exit_code && !rows.is_empty() => Err(CommandError::silent(Exit::Pending)),
        false => Ok(()),
    }
}
