//! `metrics`: what nodes count, as Prometheus reads it.

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::ids::{MemberNo, SlaveId};
use dkc_inventory::model::{Inventory, NodeName, node_dir, this_machine};
use dkc_inventory::plan::Target;
use serde::Serialize;

use crate::arguments::OfCluster;
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
    pub of: OfCluster,
    /// Only this member
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
    /// Show slaves instead of servers
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Vec<SlaveId>,
}

#[derive(Serialize)]
struct Metrics {
    node: String,
    text: String,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let target = match args.id.is_empty() {
        true => Target::Servers {
            cluster: session.cluster_name(args.of.name.as_ref())?,
            numbers: args.no.clone(),
        },
        false => Target::Slaves { ids: args.id.clone() },
    };
    let inventory = session.inventory()?;
    let nodes = target.nodes(&inventory).map_err(operation::refused("metrics"))?;
    operation::meet(session, &inventory, &nodes).await;
    let asked = nodes.iter().map(|node| ask(session, &inventory, node));
    let said = futures::future::join_all(asked).await;
    operation::pin_learned(session)?;
    let mut listing = Listing::new(&["node", "metrics"]);
    let mut failures = Vec::new();
    for (node, said) in nodes.iter().zip(said) {
        match said {
            Ok(text) => {
                listing.push(vec![node.to_string(), text.clone()], Metrics { node: node.to_string(), text })
            }
            Err(error) => failures.push(format!("{node}: {error}")),
        }
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
