//! `deploy`: installs the program, certificates and configuration on the hosts, as the inventory describes them.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::ids::ClusterName;
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::{self, AuthorityView, DeployRequest, Program, Selection};

use crate::arguments::{CLUSTER, OnlyCluster};
use crate::authority;
use crate::error::{CommandError, codes};
use crate::observe::Scope;
use crate::operation::{self, InventoryChanges};
use crate::selector::Selected;
use crate::session::Session;
use crate::world::program;

/// Install the program and configuration on the hosts
///
/// Shows a plan and asks for confirmation. Running nodes are not restarted. If interrupted, run it again to continue.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg(CLUSTER, |arg| arg.help("Only this cluster and its slaves")),
    after_help = "EXAMPLES\n  deploy\n  deploy --dry-run\n  deploy -n c0 --config-only\n  deploy 10.0.0.10 @rack1"
)]
pub struct Args {
    /// Only these hosts: HOST, @GROUP, CLUSTER or CLUSTER/NO (default: every host of a cluster or slave)
    #[arg(value_name = "HOST", add = crate::complete::selectors())]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub of: OnlyCluster,
    /// Only hosts in this group
    #[arg(short = 'g', long, value_name = "GROUP", add = crate::complete::groups())]
    pub group: Vec<String>,
    /// Only configuration and certificates, not the program
    #[arg(long)]
    pub config_only: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    let selection = selection(&inventory, &args)?;
    run_selection(session, selection, args.config_only).await
}

/// Deploys the selection; the playground uses it too.
pub async fn run_selection(
    session: &mut Session,
    selection: Selection,
    config_only: bool,
) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    let hosts = selection.hosts(&inventory).map_err(operation::refused("deploy"))?;
    if hosts.is_empty() {
        session.ui.say("deploy: no clusters or slaves are registered; see: help register");
        return Ok(());
    }
    let scope = Scope { wants_manager: true, ..Scope::of(hosts, session.timeout()) };
    let (inventory, observed) = operation::observe_scope(session, scope).await?;
    let request = DeployRequest {
        operation: operation::begin(session),
        program: own_program()?,
        authorities: authorities(session, &inventory, &selection)?,
        selection,
        config_only,
    };
    let plan = plan::deploy(&inventory, &observed, &request).map_err(operation::refused("deploy"))?;
    let deployed = request.selection.nodes(&inventory).map_err(operation::refused("deploy"))?;
    operation::carry_out(session, plan, InventoryChanges { deployed, ..InventoryChanges::default() }).await
}

fn selection(inventory: &Inventory, args: &Args) -> Result<Selection, CommandError> {
    let selected = Selected::parse(inventory, &args.hosts)?;
    Ok(Selection {
        clusters: args.of.name.iter().cloned().collect(),
        groups: args.group.clone(),
        hosts: selected.all_hosts(inventory).into_iter().collect(),
    })
}

/// This program: the shell deploys its own executable.
pub fn own_program() -> Result<Program, CommandError> {
    let own = program::Program::own().map_err(operation::world_error)?;
    Ok(planned(own, std::env::consts::ARCH))
}

/// A program as plans name it.
pub fn planned(program: &program::Program, architecture: &str) -> Program {
    Program {
        digest: program.short_digest().to_owned(),
        bytes: program.bytes.len() as u64,
        architecture: architecture.to_owned(),
    }
}

/// The existing authorities. Missing ones are created by a step of the plan.
fn authorities(
    session: &Session,
    inventory: &Inventory,
    selection: &Selection,
) -> Result<BTreeMap<ClusterName, AuthorityView>, CommandError> {
    let nodes = selection.nodes(inventory).map_err(operation::refused("deploy"))?;
    let clusters: BTreeSet<&ClusterName> = nodes.iter().map(|node| node.cluster()).collect();
    authorities_of(session, inventory, clusters.into_iter())
}

/// The same for these clusters.
pub fn authorities_of<'a>(
    session: &Session,
    inventory: &Inventory,
    clusters: impl Iterator<Item = &'a ClusterName>,
) -> Result<BTreeMap<ClusterName, AuthorityView>, CommandError> {
    let root = session.store.authority_dir();
    let mut views = BTreeMap::new();
    for name in clusters {
        let Some(cluster) = inventory.clusters.get(name) else { continue };
        let view = authority::present(&root, name, cluster.id).map_err(|error| {
            CommandError::new(&codes::AUTHORITY, error.to_string()).now("nothing changed")
        })?;
        views.extend(view.map(|view| (name.clone(), view)));
    }
    Ok(views)
}
