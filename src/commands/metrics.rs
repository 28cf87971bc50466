//! `metrics`: what nodes count, as Prometheus reads it.

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_inventory::model::{Inventory, NodeName, node_dir, this_machine};
use serde::Serialize;

use crate::arguments::NodeTarget;
use crate::error::{CommandError, codes};
use crate::observe;
use crate::operation;
use crate::session::Session;
use crate::ui::{Format, Listing};
use crate::world::{WorldError, no_daemon};

/// Show the metrics of servers or slaves in Prometheus' text format
///
/// They are asked through the control socket, so this works without an open port. To let Prometheus fetch them, set metrics_port
/// (servers) or slave_metrics_port (slaves): the node then tells them on 127.0.0.1 at /metrics. packaging/monitoring has a
/// dashboard and alert rules.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  metrics -n c0 --no 1\n  metrics --id 0\n  metrics -n c0 -o json")]
pub struct Args {
    #[command(flatten)]
    pub nodes: NodeTarget,
}

#[derive(Serialize)]
struct Metrics {
    node: String,
    text: String,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    let nodes = session.target(&args.nodes)?.nodes(&inventory).map_err(operation::refused("metrics"))?;
    operation::meet(session, &inventory, &nodes).await;
    let (said, failures) =
        operation::ask_each(session, &nodes, |node| ask(session, &inventory, node)).await?;
    let mut listing = Listing::new(&["node", "metrics"]);
    for (node, text) in said {
        listing.push(vec![node.to_string(), text.clone()], Metrics { node: node.to_string(), text });
    }
    match session.settings.output {
        Some(_) => session.show(Format::Table, &listing),
        None => show(session, &listing),
    }
    if failures.is_empty() {
        return Ok(());
    }
    let words = format!("metrics: {} of {} nodes could not be asked", failures.len(), nodes.len());
    Err(failures.into_iter().fold(CommandError::new(&codes::UNREACHABLE, words), CommandError::cause))
}

/// As the nodes say it; which node it is only if there are several.
fn show(session: &Session, listing: &Listing) {
    for row in &listing.rows {
        if listing.rows.len() > 1 {
            session.ui.data_line(&format!("# node {}", row[0]));
        }
        session.ui.data_line(row[1].trim_end());
    }
}

async fn ask(session: &Session, inventory: &Inventory, node: &NodeName) -> Result<String, WorldError> {
    let address = inventory.host_of(node).unwrap_or_else(this_machine);
    let (host, root) = observe::root_of(&session.world, inventory, &address).await?;
    let dir = node_dir(&root, node);
    let mut control = host.control(&dir).await?;
    match control.ask(&ControlRequest::Metrics, session.timeout()).await? {
        ControlReply::Text(text) => Ok(text),
        other => Err(no_daemon(&address, &dir, &format!("unexpected reply {other:?}"))),
    }
}
