//! `recover`: what is left of a cluster that lost its quorum for good, in a backup and in a new cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dkc_core::ids::{MemberNo, NodeAddress};
use dkc_core::salvage::SalvagedServer;
use dkc_inventory::edit::{self, RecoverCluster};
use dkc_inventory::model::{Cluster, Inventory};
use dkc_inventory::observed::{HostView, Observed};
use dkc_inventory::plan::{self, Endpoint, Found, RecoverRequest, Target};
use uuid::Uuid;

use super::{backup, deploy, status};
use crate::archive;
use crate::arguments::NamedCluster;
use crate::error::CommandError;
use crate::observe::{self, Scope};
use crate::operation::{self, InventoryChanges};
use crate::session::Session;

/// Recover what is left of a cluster that lost its quorum for good
///
/// For a cluster whose servers are lost, so that no majority is left, now or later. Reads the stopped servers that are left, on each
/// host, and takes for every tablet the replica whose log ends last. The plan says what is read, what is lost and what may be lost. It
/// writes a backup of it, marks the old servers so that they never start again (their directories stay), founds a cluster of the same
/// name with another id and another certificate authority on the hosts that are left, restores the backup into it, and starts its
/// slaves. Nodes of the old cluster can never join the new one.
///
/// Refused while a server runs, and where the servers that are left are a majority: start cluster loses nothing then. A host that
/// does not answer may serve with others: name its server with --lost only if it is gone for good.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "After an interruption, continue with resume. Then grow the cluster to its former size.\n\nEXAMPLES\n  recover -n c0 --dry-run\n  recover -n c0 --lost 1 --lost 2\n  recover -n c0 --only-backup --to /mnt/backups\n  \
                  recover -n c0 10.0.0.10:8020 10.0.0.14:8020 --confirm c0@g42"
)]
pub struct Args {
    #[command(flatten)]
    pub of: NamedCluster,
    /// Servers of the new cluster, on registered hosts (default: those whose data is read)
    #[arg(value_name = "HOST:PORT", add = crate::complete::hosts())]
    pub servers: Vec<NodeAddress>,
    /// A server that does not answer and never returns; repeatable
    #[arg(long, value_name = "NO")]
    pub lost: Vec<MemberNo>,
    /// Write the backup, and leave the cluster as it is
    #[arg(long)]
    pub only_backup: bool,
    /// The backup's name (default: the cluster and the time)
    #[arg(long, value_name = "BACKUP", value_parser = archive::check_name)]
    pub backup: Option<String>,
    /// Directory for backups, also as file:///DIR (default: backups beside the inventory)
    #[arg(long, value_name = "DIR", value_parser = archive::parse_location)]
    pub to: Option<PathBuf>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let refused = operation::refused("recover");
    let name = args.of.name.clone();
    let everyone = Target::Servers { cluster: name.clone(), numbers: Vec::new() };
    let hosts = everyone.hosts(&session.inventory()?).map_err(&refused)?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let lost: BTreeSet<MemberNo> = args.lost.iter().copied().collect();
    let stopped = plan::recoverable(&inventory, &observed, &name, &lost).map_err(&refused)?;
    let old =
        inventory.clusters.get(&name).cloned().ok_or_else(|| CommandError::bug("the cluster has gone"))?;
    let found = read(session, &inventory, &old, stopped).await;
    plan::check_found(&name, &found).map_err(&refused)?;
    let request = request(session, &args, &inventory, old, found)?;
    match args.only_backup {
        true => {
            let plan = plan::salvage(&inventory, &request).map_err(&refused)?;
            operation::carry_out(session, plan, InventoryChanges::default()).await?;
        }
        false => recover(session, &args, &inventory, observed, request).await?,
    }
    Ok(())
}

async fn recover(
    session: &mut Session,
    args: &Args,
    before: &Inventory,
    first: Observed,
    mut request: RecoverRequest,
) -> Result<(), CommandError> {
    let name = request.cluster.clone();
    let wanted = RecoverCluster { name: name.clone(), servers: new_servers(args, &request) };
    let edited = edit::recover_cluster(before, &wanted, &mut Uuid::new_v4)?;
    let mut hosts = Target::Servers { cluster: name.clone(), numbers: Vec::new() }
        .hosts(&edited.inventory)
        .map_err(operation::refused("recover"))?;
    hosts.extend(request.old.servers.iter().map(|server| server.address.host.clone()));
    // One that was silent a moment ago is not waited for again.
    let silent = first.hosts.into_iter().filter(|(_, view)| matches!(view, HostView::Silent { .. }));
    let silent: BTreeMap<_, _> = silent.collect();
    hosts.retain(|host| !silent.contains_key(host));
    let scope = Scope { wants_manager: true, ..Scope::of(hosts, session.timeout()) };
    let (base, inventory, mut observed) =
        operation::observe_planned(session, &edited.inventory, scope).await?;
    observed.hosts.extend(silent);
    request.base = base;
    let plan = plan::recover(&inventory, &observed, &request).map_err(operation::refused("recover"))?;
    let record = InventoryChanges { first: Some(inventory), ..InventoryChanges::of_plan(&plan) };
    operation::carry_out(session, plan, record).await?;
    if !session.settings.dry_run {
        let verdict = status::verdict(session, &name).await?;
        session.ui.say(&verdict);
    }
    Ok(())
}

/// Where the data that is read lies.
fn new_servers(args: &Args, request: &RecoverRequest) -> Vec<NodeAddress> {
    if !args.servers.is_empty() {
        return args.servers.clone();
    }
    let is_read = |number: MemberNo| request.found.read.contains_key(&number);
    let servers = request.old.servers.iter().filter(|server| is_read(server.number));
    servers.map(|server| server.address.clone()).collect()
}

fn request(
    session: &Session,
    args: &Args,
    inventory: &Inventory,
    old: Cluster,
    found: Found,
) -> Result<RecoverRequest, CommandError> {
    let cluster = args.of.name.clone();
    let name = match &args.backup {
        Some(name) => name.clone(),
        None => backup::default_name(&cluster)?,
    };
    let directory = backup::new_directory(session, args.to.as_deref(), &name)?;
    Ok(RecoverRequest {
        operation: operation::begin(session),
        cluster,
        base: inventory.generation,
        program: deploy::own_program()?,
        old,
        found,
        backup: name,
        directory,
        time_of: backup::time_of,
    })
}

/// Each stopped server says what it has. One whose data is of another cluster or server is damaged, too.
async fn read(
    session: &Session,
    inventory: &Inventory,
    old: &Cluster,
    stopped: BTreeMap<MemberNo, Endpoint>,
) -> Found {
    let each = stopped.into_iter().map(|(number, endpoint)| async move {
        let found = look(session, inventory, &endpoint).await.and_then(|found| {
            let server = old.servers.iter().find(|server| server.number == number);
            let is_own = server.is_some_and(|server| {
                (old.id, server.node_id, server.node_uuid)
                    == (found.cluster_id, found.node_id, found.node_uuid)
            });
            if is_own { Ok(found) } else { Err("its data is of another server".to_owned()) }
        });
        (number, endpoint, found)
    });
    let (mut read, mut damaged) = (BTreeMap::new(), BTreeMap::new());
    for (number, endpoint, found) in futures::future::join_all(each).await {
        match found {
            Ok(found) => drop(read.insert(number, (endpoint, found))),
            Err(why) => drop(damaged.insert(number, why)),
        }
    }
    Found { read, damaged }
}

async fn look(
    session: &Session,
    inventory: &Inventory,
    endpoint: &Endpoint,
) -> Result<SalvagedServer, String> {
    let looking = async {
        let host = observe::open(&session.world, inventory, &endpoint.host).await?;
        let salvager = host.salvager(&endpoint.dir).await?;
        let found = salvager.found.clone();
        salvager.end().await;
        Ok(found)
    };
    looking.await.map_err(|error: crate::world::WorldError| error.to_string())
}
