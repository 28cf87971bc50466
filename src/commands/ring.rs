//! `ring`: the CHMPX words. Queries go to every server; changes are a plan of one step, sent to any server that answers.

use std::time::Duration;

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::ids::{MemberNo, TabletId};
use dkc_inventory::model::{Inventory, NodeName, node_dir};
use dkc_inventory::plan::{self, RingRequest, RingWord, Target};
use serde::Serialize;

use crate::arguments::OfCluster;
use crate::error::{CommandError, Exit, codes};
use crate::observe;
use crate::operation::{self, InventoryChanges};
use crate::session::Session;
use crate::store::holder;
use crate::ui::{Format, Listing};
use crate::world::{World, WorldError};

/// Query the ring, or change it step by step
///
/// grow, shrink and replace do all of this in one plan. servicein and serviceout require --no and also work for a server
/// that is down. merge copies the data, compmerge switches to the new replicas, abortmerge rolls back and ends an
/// interrupted operation. With automerge on, merge and compmerge run automatically unless suspendmerge is set. split cuts a tablet
/// in two without moving data, so that more servers can lead a part of it; grow does this by itself where it is needed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  ring version -n c0\n  ring allstatus -n c0 --no 1\n  ring serviceout -n c0 --no 2\n  ring abortmerge -n c0\n  ring split -n c0 --tablet 3"
)]
pub struct Args {
    /// Query or change
    pub word: Word,
    #[command(flatten)]
    pub of: OfCluster,
    /// Member; repeatable (default for queries: all)
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
    /// With split: the tablet (default: the one with the most data)
    #[arg(long, value_name = "ID")]
    pub tablet: Option<TabletId>,
    /// With abortmerge: abort an operation that another operator started and abandoned
    #[arg(long)]
    pub take_over: bool,
}

impl Args {
    pub fn is_changing(&self) -> bool {
        self.word.change(None).is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Word {
    /// Release and ring map version
    Version,
    /// The server's view of itself
    Selfstatus,
    /// The server's view of every member
    Allstatus,
    /// The server's complete view of the ring
    Dump,
    /// Push states again (a no-op: they are pushed on every change)
    Updatestatus,
    /// Add members to the ring; the merge moves data to them
    Servicein,
    /// Take members out of the ring; the merge moves their data away
    Serviceout,
    /// Start copying data to its new replicas
    Merge,
    /// Switch to the new replicas once everything is copied
    Compmerge,
    /// Abort: drop the copies and end the operation
    Abortmerge,
    /// Suspend automatic merges
    Suspendmerge,
    /// Resume automatic merges
    Nosuspendmerge,
    /// Cut a tablet in the middle of its slots; no data moves
    Split,
}

impl Word {
    fn line(self) -> &'static str {
        match self {
            Word::Version => "VERSION",
            Word::Selfstatus => "SELFSTATUS",
            Word::Allstatus => "ALLSTATUS",
            Word::Dump => "DUMP",
            Word::Updatestatus => "UPDATESTATUS",
            Word::Servicein => "SERVICEIN",
            Word::Serviceout => "SERVICEOUT",
            Word::Merge => "MERGE",
            Word::Compmerge => "COMPMERGE",
            Word::Abortmerge => "ABORTMERGE",
            Word::Suspendmerge => "SUSPENDMERGE",
            Word::Nosuspendmerge => "NOSUSPENDMERGE",
            Word::Split => "SPLIT",
        }
    }

    /// The change it makes; `None` for a query.
    fn change(self, tablet: Option<TabletId>) -> Option<RingWord> {
        Some(match self {
            Word::Servicein => RingWord::ServiceIn,
            Word::Serviceout => RingWord::ServiceOut,
            Word::Merge => RingWord::Merge,
            Word::Compmerge => RingWord::CompleteMerge,
            Word::Abortmerge => RingWord::AbortMerge,
            Word::Suspendmerge => RingWord::SuspendMerge,
            Word::Nosuspendmerge => RingWord::NoSuspendMerge,
            Word::Split => RingWord::Split(tablet),
            Word::Version | Word::Selfstatus | Word::Allstatus | Word::Dump | Word::Updatestatus => {
                return None;
            }
        })
    }

    fn wants_members(self) -> bool {
        matches!(self, Word::Servicein | Word::Serviceout)
    }
}

#[derive(Serialize)]
struct NodeAnswer {
    node: String,
    host: String,
    text: String,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args.word.change(args.tablet) {
        Some(word) => change(session, word, args).await,
        None => ask_all(session, args).await,
    }
}

async fn change(session: &mut Session, word: RingWord, args: Args) -> Result<(), CommandError> {
    let line = args.word.line().to_lowercase();
    let usage =
        |what: String| CommandError::new(&codes::USAGE, what).next(format!("help ring     (ring {line})"));
    if args.word.wants_members() && args.no.is_empty() {
        return Err(usage(format!("ring {line} requires a member: add --no NO")));
    }
    if !args.word.wants_members() && !args.no.is_empty() {
        return Err(usage(format!("ring {line} applies to the whole ring; omit --no")));
    }
    if args.tablet.is_some() && args.word != Word::Split {
        return Err(usage("--tablet requires split".into()));
    }
    if args.take_over && word != RingWord::AbortMerge {
        return Err(usage("--take-over requires abortmerge".into()));
    }
    let cluster = session.cluster_name(args.of.name.as_ref())?;
    let everyone = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    let hosts = everyone.hosts(&session.inventory()?).map_err(operation::refused("ring"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let request = RingRequest {
        operation: operation::begin(session),
        cluster,
        word,
        numbers: args.no,
        holder: holder(),
        take_over: args.take_over,
    };
    let plan = plan::ring(&inventory, &observed, &request).map_err(operation::refused("ring"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await
}

async fn ask_all(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let target =
        Target::Servers { cluster: session.cluster_name(args.of.name.as_ref())?, numbers: args.no.clone() };
    let inventory = session.inventory()?;
    let nodes = target.nodes(&inventory).map_err(operation::refused("ring"))?;
    session.world.expect(inventory.hosts.iter());
    let ask = |node| ask(&session.world, &inventory, node, args.word.line(), session.timeout());
    let (answers, failures) = operation::ask_each(session, &nodes, ask).await?;
    let mut listing = Listing::new(&["node", "host", "answer"]);
    for (node, text) in answers {
        let host = inventory.host_of(node).map(|host| host.to_string()).unwrap_or_default();
        let text = text.trim_end().to_owned();
        listing.push(
            vec![node.to_string(), host.clone(), text.clone()],
            NodeAnswer { node: node.to_string(), host, text },
        );
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

/// Prints the answers verbatim, each under its node's name if there are several.
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
    let (host, root) = observe::root_of(world, inventory, &address).await?;
    let mut control = host.control(&node_dir(&root, node)).await?;
    match control.ask(&ControlRequest::Word { line: word.to_owned() }, limit).await? {
        ControlReply::Text(text) => Ok(text),
        ControlReply::Error { message, .. } => Ok(message),
        other => Ok(serde_json::to_string(&other).unwrap_or_default()),
    }
}
