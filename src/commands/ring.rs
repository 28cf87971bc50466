//! `ring`: the CHMPX words about the ring, asked of the servers themselves.

use std::time::Duration;

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::ids::{ClusterName, MemberNo};
use dkc_inventory::model::{Inventory, NodeName, node_dir};
use dkc_inventory::plan::Target;
use serde::Serialize;

use crate::apply;
use crate::error::{CommandError, Exit, codes};
use crate::gather;
use crate::session::Session;
use crate::ui::{Format, Listing};
use crate::world::{World, WorldError};

/// Ask the servers of a cluster about the ring
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  ring version -n c0\n  ring selfstatus -n c0 --no 1\n  ring allstatus -n c0\n  ring dump -n c0 --no 0"
)]
pub struct Args {
    /// What to ask
    pub word: Word,
    /// The cluster (default: the one in use)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
    /// Only this member (default: all)
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Word {
    /// The release and the version of the ring map
    Version,
    /// How the server sees itself
    Selfstatus,
    /// How the server sees every member
    Allstatus,
    /// Everything the server knows about the ring
    Dump,
}

impl Word {
    fn line(self) -> &'static str {
        match self {
            Word::Version => "VERSION",
            Word::Selfstatus => "SELFSTATUS",
            Word::Allstatus => "ALLSTATUS",
            Word::Dump => "DUMP",
        }
    }
}

#[derive(Serialize)]
struct Said {
    node: String,
    host: String,
    text: String,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let target =
        Target::Servers { cluster: session.cluster_name(args.name.as_ref())?, numbers: args.no.clone() };
    let inventory = session.inventory()?;
    let nodes = target.nodes(&inventory).map_err(apply::refused("ring"))?;
    session.world.expect(inventory.hosts.iter());
    let asked =
        nodes.iter().map(|node| ask(&session.world, &inventory, node, args.word.line(), session.timeout()));
    let answers = futures::future::join_all(asked).await;
    apply::pin_learned(session)?;
    let mut listing = Listing::new(&["node", "host", "answer"]);
    let mut failures = Vec::new();
    for (node, answer) in nodes.iter().zip(answers) {
        let host = inventory.host_of(node).map(|host| host.to_string()).unwrap_or_default();
        match answer {
            Ok(text) => {
                let text = text.trim_end().to_owned();
                listing.push(
                    vec![node.to_string(), host.clone(), text.clone()],
                    Said { node: node.to_string(), host, text },
                );
            }
            Err(error) => failures.push(format!("{node}: {error}")),
        }
    }
    show(session, &listing, nodes.len() > 1);
    if failures.is_empty() {
        return Ok(());
    }
    let what =
        format!("ring {}: {} of {} servers did not answer", args.word.line(), failures.len(), nodes.len());
    let error =
        failures.into_iter().fold(CommandError::new(&codes::NO_DAEMON, what), |e, cause| e.cause(cause));
    Err(error.exit(Exit::Unreachable).next("status cluster"))
}

/// The answers as they came, each under its node's name when there are several.
fn show(session: &Session, listing: &Listing, is_headed: bool) {
    if session.settings.output.is_some() {
        return session.show(Format::Table, listing);
    }
    for row in &listing.rows {
        if is_headed {
            session.ui.data_line(&format!("[{}] {}", row[0], row[1]));
        }
        session.ui.data_line(&row[2]);
    }
}

async fn ask(
    world: &World,
    inventory: &Inventory,
    node: &NodeName,
    word: &str,
    limit: Duration,
) -> Result<String, WorldError> {
    let Some(address) = inventory.host_of(node) else { return Ok(String::new()) };
    let (host, root) = gather::root_of(world, inventory, &address).await?;
    let mut control = host.control(&node_dir(&root, node)).await?;
    match control.ask(&ControlRequest::Word { line: word.to_owned() }, limit).await? {
        ControlReply::Text(text) => Ok(text),
        ControlReply::Error { message, .. } => Ok(message),
        other => Ok(serde_json::to_string(&other).unwrap_or_default()),
    }
}
