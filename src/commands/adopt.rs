//! `adopt`: a slave that joined with a token gets its place in the inventory. Its host says what it is; the cluster confirms it.

use std::collections::BTreeSet;

use dkc_core::config::{NodeConfig, Role, layout};
use dkc_core::ids::{HostAddress, NodeUuid, SlaveId};
use dkc_inventory::edit::{self, AdoptSlave};
use dkc_inventory::model::{Inventory, NodeName, Slave, this_machine};
use dkc_inventory::observed::{HostView, NodeView, Observed};
use dkc_inventory::plan::Target;

use super::token::tokens_of;
use crate::arguments::OfCluster;
use crate::error::{CommandError, codes};
use crate::observe::{self, Scope};
use crate::operation;
use crate::session::Session;

/// Take a slave that joined with a token into the inventory
///
/// From then on deploy, status, start, stop and upgrade treat it like a slave that was registered here.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  adopt slave -n c0 --id 1000000 --host 10.0.0.20")]
pub enum Args {
    /// Take in a slave by its id, as status shows it
    Slave {
        #[command(flatten)]
        of: OfCluster,
        /// The slave's id
        #[arg(long, value_name = "ID")]
        id: SlaveId,
        /// The host it runs on (default: this machine)
        #[arg(long, value_name = "HOST", add = crate::complete::hosts())]
        host: Option<HostAddress>,
    },
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let Args::Slave { of, id, host } = args;
    let cluster = session.cluster_name(of.name.as_ref())?;
    let inventory = session.inventory()?;
    let everyone = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    let mut hosts: BTreeSet<HostAddress> = everyone.hosts(&inventory).map_err(operation::refused("adopt"))?;
    let place = host.clone().unwrap_or_else(this_machine);
    hosts.insert(place.clone());
    let node = NodeName::Slave(cluster.clone(), id);
    // Hosts are asked about nodes of an inventory, so it stands in one that is not kept.
    let asked = provisional(&inventory, &node, host.clone());
    let observed = observe::observe(&session.world, &asked, &Scope::of(hosts, session.timeout())).await;
    operation::pin_learned(session)?;
    let node_uuid = identity(&asked, &observed, &node)?;
    let view = view_of(&observed, &place, &node)?;
    let config = config_of(view, &asked, &node, node_uuid)?;
    let Role::Slave(role) = config.role else { return Err(refused(format!("{node} is not a slave"))) };
    let deployed = view.files.get(layout::CONFIG).cloned().unwrap_or_default();
    let request = AdoptSlave { cluster, id, host, node_uuid, pairs: role.pairs, deployed };
    session.edit(|inventory| edit::adopt_slave(inventory, &request))
}

fn provisional(inventory: &Inventory, node: &NodeName, host: Option<HostAddress>) -> Inventory {
    let mut asked = inventory.clone();
    if let NodeName::Slave(cluster, id) = node {
        asked.slaves.entry(*id).or_insert_with(|| Slave {
            cluster: cluster.clone(),
            host,
            node_uuid: NodeUuid(uuid::Uuid::nil()),
            pairs: Vec::new(),
            deployed: None,
        });
    }
    asked
}

fn refused(what: String) -> CommandError {
    CommandError::new(&codes::NOT_ADOPTED, what).now("nothing changed")
}

/// The identity that the cluster enrolled under this id.
fn identity(inventory: &Inventory, observed: &Observed, node: &NodeName) -> Result<NodeUuid, CommandError> {
    let (cluster, NodeName::Slave(_, id)) = (node.cluster(), node) else {
        return Err(CommandError::bug("a server is not adopted"));
    };
    let view = tokens_of(inventory, observed, cluster).map_err(|error| error.now("nothing changed"))?;
    let found = view.enrolled.iter().find(|(_, slave)| slave.id == *id);
    found.map(|(uuid, _)| *uuid).ok_or_else(|| {
        refused(format!("no slave {id} joined {cluster} with a token"))
            .next(format!("token list -n {cluster}"))
    })
}

fn view_of<'a>(
    observed: &'a Observed,
    place: &HostAddress,
    node: &NodeName,
) -> Result<&'a NodeView, CommandError> {
    match observed.hosts.get(place) {
        Some(HostView::Facts(facts)) => match facts.nodes.get(node).filter(|view| view.exists) {
            Some(view) => Ok(view),
            None => Err(refused(format!("{place} has no {}/{node}", facts.root))
                .next("status shows where each slave that joined is connected from")),
        },
        Some(HostView::Silent { message, .. }) => {
            Err(CommandError::new(&codes::UNREACHABLE, format!("{place}: {message}")).now("nothing changed"))
        }
        None => Err(CommandError::bug("a host was not asked")),
    }
}

/// What the host says must be what the cluster says.
fn config_of(
    view: &NodeView,
    inventory: &Inventory,
    node: &NodeName,
    identity: NodeUuid,
) -> Result<NodeConfig, CommandError> {
    let text = view.config_text.as_deref().unwrap_or_default();
    let config = NodeConfig::parse(text, layout::CONFIG).map_err(|error| refused(error.to_string()))?;
    let cluster = inventory.clusters.get(node.cluster()).map(|cluster| cluster.id);
    if Some(config.cluster_id) != cluster {
        return Err(refused(format!("{node} belongs to another cluster ({})", config.cluster_id)));
    }
    if view.marker != Some(identity) || config.node_uuid != identity {
        return Err(refused(format!("{node} has the identity {}, not {identity}", config.node_uuid)));
    }
    Ok(config)
}
