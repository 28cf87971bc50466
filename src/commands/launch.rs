//! `launch cluster`: a new cluster on free hosts, from registering to serving, as one plan.

use std::collections::BTreeSet;

use dkc_core::ids::{DEFAULT_NODE_PORT, HostAddress};
use dkc_inventory::edit::{self, LaunchCluster};
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::{self, LaunchRequest, Target};
use uuid::Uuid;

use super::register::parse_config;
use super::{deploy, status};
use crate::arguments::{NewCluster, NewShape};
use crate::error::CommandError;
use crate::observe::Scope;
use crate::operation::{self, InventoryChanges};
use crate::selector::Selected;
use crate::session::Session;

/// Launch a new cluster on free hosts
///
/// Chooses free hosts from different zones, registers the cluster, installs and starts it, and waits until it takes a write: one plan.
/// If it was interrupted, resume, or run the same command again, which goes on with the hosts that were chosen.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  launch cluster --name c1 --servers 3 --from @rack1 --dry-run\n  launch cluster --name c1 --servers 3 --from @rack1 --config prod --slaves @apps\n  launch cluster --name c2 --servers 1 --from 10.0.0.14"
)]
pub enum Args {
    /// Launch a cluster, and slaves for it
    #[command(alias = "css")]
    Cluster(ClusterArgs),
}

#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    #[command(flatten)]
    pub of: NewCluster,
    /// Number of servers
    #[arg(long, value_name = "COUNT")]
    pub servers: usize,
    /// Hosts to choose from: HOST or @GROUP; repeatable. Those that have a node already are left out
    #[arg(long, required = true, value_name = "SELECTOR", add = crate::complete::selectors())]
    pub from: Vec<String>,
    /// Node port of the servers
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_NODE_PORT,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Hosts that get a slave, which listens on 127.0.0.1:11211: HOST or @GROUP; repeatable
    #[arg(long, value_name = "SELECTOR", add = crate::complete::selectors())]
    pub slaves: Vec<String>,
    #[command(flatten)]
    pub shape: NewShape,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let Args::Cluster(args) = args;
    let before = session.inventory()?;
    let request = wanted(&before, args)?;
    let edited = edit::launch_cluster(&before, &request, &mut Uuid::new_v4)?;
    let target = Target::Servers { cluster: request.name.clone(), numbers: Vec::new() };
    let hosts = target.hosts(&edited.inventory).map_err(operation::refused("launch"))?;
    let scope = Scope { wants_manager: true, ..Scope::of(hosts, session.timeout()) };
    let (base, inventory, observed) = operation::observe_planned(session, &edited.inventory, scope).await?;
    let launch = LaunchRequest {
        operation: operation::begin(session),
        cluster: request.name.clone(),
        base,
        program: deploy::own_program()?,
        authorities: deploy::authorities_of(session, &inventory, [&request.name].into_iter())?,
    };
    let mut plan = plan::launch(&inventory, &observed, &launch).map_err(operation::refused("launch"))?;
    plan.impact.extend(edited.lines);
    let is_done_for_real = !plan.is_empty() && !session.settings.dry_run;
    let first = edited.is_changed.then_some(inventory);
    let record = InventoryChanges { first, ..InventoryChanges::of_plan(&plan) };
    operation::carry_out(session, plan, record).await?;
    if is_done_for_real {
        let verdict = status::verdict(session, &request.name).await?;
        session.ui.say(&verdict);
    }
    Ok(())
}

fn wanted(inventory: &Inventory, args: ClusterArgs) -> Result<LaunchCluster, CommandError> {
    let (config, parameters) = parse_config(&args.shape.config)?;
    Ok(LaunchCluster {
        name: args.of.name,
        servers: args.servers,
        from: hosts(inventory, &args.from)?,
        port: args.port,
        replicas: args.shape.replicas,
        tablets: args.shape.tablets,
        config,
        parameters,
        slaves: hosts(inventory, &args.slaves)?,
    })
}

fn hosts(inventory: &Inventory, words: &[String]) -> Result<BTreeSet<HostAddress>, CommandError> {
    Ok(Selected::parse(inventory, words)?.all_hosts(inventory))
}
