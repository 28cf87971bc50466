//! Shared by `grow`, `shrink`, `replace`, `detach`, `attach` and `plan apply`: which members join and leave, carried out as one plan. With `--stage`
//! the change is only stored, for `plan show` and `plan apply`.

use dkc_core::ids::{ClusterName, MemberNo, NodeAddress};
use dkc_core::meta::OperationId;
use dkc_inventory::edit;
use dkc_inventory::model::Inventory;
use dkc_inventory::observed::Observed;
use dkc_inventory::plan::{self, Lock, MembersRequest, Plan, Target};
use dkc_inventory::ring_facts::Reshape;
use uuid::Uuid;

use super::{deploy, status};
use crate::error::CommandError;
use crate::observe::Scope;
use crate::operation::{self, InventoryChanges};
use crate::session::Session;
use crate::store::holder;

/// The members to join and to leave.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub cluster: ClusterName,
    pub come: Vec<NodeAddress>,
    pub leave: Vec<MemberNo>,
    /// Those that leave keep running as members without data.
    pub is_detached: bool,
    pub allow_no_tolerance: bool,
}

/// A plan and its inputs.
pub struct Prepared {
    pub plan: Plan,
    /// The ring before and after it.
    pub reshape: Reshape,
    pub inventory: Inventory,
    pub observed: Observed,
    is_new: bool,
}

/// Flags of `grow`, `shrink` and `replace`.
#[derive(Debug, Clone, clap::Args)]
pub struct HowArgs {
    /// Stage the change for plan show and plan apply
    #[arg(long)]
    pub stage: bool,
    /// Proceed although a remaining member is down and no further failure is tolerated
    #[arg(long)]
    pub allow_no_tolerance: bool,
}

/// Carries it out, or stages it.
pub async fn run(
    session: &mut Session,
    verb: &str,
    wanted: Wanted,
    how: &HowArgs,
) -> Result<(), CommandError> {
    if how.stage {
        return stage(session, verb, &wanted);
    }
    let prepared = prepare(session, verb, &wanted).await?;
    carry_out(session, &wanted.cluster, prepared).await
}

/// Observes all hosts involved and makes the plan. Writes nothing but newly accepted host keys.
pub async fn prepare(session: &mut Session, verb: &str, wanted: &Wanted) -> Result<Prepared, CommandError> {
    let name = &wanted.cluster;
    let before = session.inventory()?;
    let edited = match wanted.come.is_empty() {
        true => edit::Edited { inventory: before.clone(), is_changed: false, lines: Vec::new() },
        false => edit::add_members(&before, name, &wanted.come, &mut Uuid::new_v4)?,
    };
    let leave = still_there(&edited.inventory, wanted);
    let target = Target::Servers { cluster: name.clone(), numbers: Vec::new() };
    let hosts = target.hosts(&edited.inventory).map_err(operation::refused(verb))?;
    let scope = Scope { wants_manager: true, ..Scope::of(hosts, session.timeout()) };
    let (base, inventory, observed) = operation::observe_planned(session, &edited.inventory, scope).await?;
    let servers = inventory.clusters.get(name).map(|c| c.servers.as_slice()).unwrap_or_default();
    let come = servers.iter().filter(|server| wanted.come.contains(&server.address));
    let request = MembersRequest {
        operation: operation::begin(session),
        lock: Lock { id: OperationId(Uuid::new_v4()), holder: holder() },
        cluster: name.clone(),
        come: come.map(|server| server.number).collect(),
        leave,
        is_detached: wanted.is_detached,
        base,
        program: deploy::own_program()?,
        authorities: deploy::authorities_of(session, &inventory, [name].into_iter())?,
        allow_no_tolerance: wanted.allow_no_tolerance,
    };
    let (mut plan, reshape) =
        plan::change_members(&inventory, &observed, &request).map_err(operation::refused(verb))?;
    plan.impact.extend(edited.lines);
    Ok(Prepared { plan, reshape, inventory, observed, is_new: edited.is_changed })
}

/// Skips members that have already left.
fn still_there(inventory: &Inventory, wanted: &Wanted) -> Vec<MemberNo> {
    let removed = inventory.clusters.get(&wanted.cluster).map(|c| c.removed.as_slice()).unwrap_or_default();
    let has_left = |number: &&MemberNo| removed.iter().any(|server| server.number == **number);
    wanted.leave.iter().filter(|number| !has_left(number)).copied().collect()
}

/// Shows the plan, asks, carries it out and reports the cluster's state.
pub async fn carry_out(
    session: &mut Session,
    cluster: &ClusterName,
    prepared: Prepared,
) -> Result<(), CommandError> {
    let Prepared { plan, inventory, is_new, .. } = prepared;
    let is_done_for_real = !plan.is_empty() && !session.settings.dry_run;
    let record = InventoryChanges { first: is_new.then_some(inventory), ..InventoryChanges::of_plan(&plan) };
    operation::carry_out(session, plan, record).await?;
    if is_done_for_real {
        let verdict = status::verdict(session, cluster).await?;
        session.ui.say(&verdict);
    }
    Ok(())
}

fn stage(session: &mut Session, verb: &str, wanted: &Wanted) -> Result<(), CommandError> {
    let name = &wanted.cluster;
    let inventory = session.inventory()?;
    // Names must resolve now; `plan show` and `plan apply` check whether the ring allows the change.
    let target = Target::Servers { cluster: name.clone(), numbers: wanted.leave.clone() };
    target.nodes(&inventory).map_err(operation::refused(verb))?;
    if !wanted.come.is_empty() {
        edit::add_members(&inventory, name, &wanted.come, &mut Uuid::new_v4)?;
    }
    if session.settings.dry_run {
        session.ui.say("would be staged; nothing changed");
        return Ok(());
    }
    let staged = session.lock()?.stage(name, &wanted.come, &wanted.leave)?;
    session.ui.say(&format!(
        "staged for {name}, version {}: {}\nreview: plan show -n {name}     apply: plan apply {} -n {name}",
        staged.version,
        staged.words(),
        staged.version
    ));
    Ok(())
}
