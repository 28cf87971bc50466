//! `plan`: shows, applies or discards the membership change that `--stage` prepared.

use dkc_core::ids::ClusterName;
use dkc_core::ring::Assignment;
use dkc_inventory::ring_facts::RingFacts;
use serde::Serialize;

use super::change_members::{self, Prepared, Wanted};
use crate::arguments::{CLUSTER, OfCluster};
use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::store::Staged;
use crate::ui::{Format, Listing};

/// Show, apply or discard membership changes staged with --stage
///
/// apply requires the version that show printed, so you only apply what you have reviewed.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  plan list\n  plan show -n c0\n  plan apply 3 -n c0\n  plan discard -n c0"
)]
pub enum Args {
    /// Show the ring before and after the change, and what the change costs
    Show {
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Apply the staged change
    Apply {
        /// Version printed by plan show
        #[arg(value_name = "VERSION")]
        version: u64,
        #[command(flatten)]
        target: TargetArgs,
        /// Proceed although a remaining member is down and no further failure is tolerated
        #[arg(long)]
        allow_no_tolerance: bool,
    },
    /// Discard the staged change
    Discard {
        #[command(flatten)]
        target: TargetArgs,
    },
    /// List clusters with staged changes
    List,
}

#[derive(Debug, Clone, clap::Args)]
#[command(mut_arg(CLUSTER, |arg| arg.help("Cluster name (default: the one chosen with use, else the only one with a staged change)")))]
pub struct TargetArgs {
    #[command(flatten)]
    pub of: OfCluster,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Show { target } => show(session, &target).await,
        Args::Apply { version, target, allow_no_tolerance } => {
            apply(session, version, &target, allow_no_tolerance).await
        }
        Args::Discard { target } => discard(session, &target),
        Args::List => list(session),
    }
}

/// The cluster named or chosen with use, else the only one with a staged change.
fn cluster(session: &Session, target: &TargetArgs) -> Result<ClusterName, CommandError> {
    if target.of.name.is_none() && session.current_cluster.is_none() {
        let mut all = all_staged(session)?;
        if let (Some((only, _)), None) = (all.pop(), all.pop()) {
            return Ok(only);
        }
    }
    session.cluster_name(target.of.name.as_ref())
}

fn all_staged(session: &Session) -> Result<Vec<(ClusterName, Staged)>, CommandError> {
    let mut all = Vec::new();
    for cluster in session.inventory()?.clusters.keys() {
        if let Some(staged) = session.store.staged(cluster)?.filter(|staged| !staged.is_empty()) {
            all.push((cluster.clone(), staged));
        }
    }
    Ok(all)
}

fn staged(session: &Session, target: &TargetArgs) -> Result<(ClusterName, Staged), CommandError> {
    let cluster = cluster(session, target)?;
    let staged = session.store.staged(&cluster)?.filter(|staged| !staged.is_empty());
    let staged = staged.ok_or_else(|| {
        CommandError::new(&codes::NOTHING_STAGED, format!("nothing is staged for {cluster}"))
            .now("nothing changed")
            .next(format!("grow -n {cluster} HOST:PORT --stage"))
    })?;
    Ok((cluster, staged))
}

fn wanted(cluster: &ClusterName, staged: &Staged, allow_no_tolerance: bool) -> Wanted {
    Wanted {
        cluster: cluster.clone(),
        come: staged.come.clone(),
        leave: staged.leave.clone(),
        is_detached: false,
        allow_no_tolerance,
    }
}

async fn show(session: &mut Session, target: &TargetArgs) -> Result<(), CommandError> {
    let (cluster, staged) = staged(session, target)?;
    session.ui.say(&format!("staged for {cluster}, version {}: {}", staged.version, staged.words()));
    // Show the cost even when applying it would be refused because the cluster is degraded.
    let prepared = change_members::prepare(session, "plan show", &wanted(&cluster, &staged, true)).await?;
    if let Some(listing) = rings(&prepared, &cluster, &staged) {
        session.show(Format::Table, &listing);
    }
    session.ui.say(session.plan_text(&prepared.plan).trim_end());
    session.ui.say(&format!("apply it with: plan apply {} -n {cluster}", staged.version));
    Ok(())
}

async fn apply(
    session: &mut Session,
    version: u64,
    target: &TargetArgs,
    allow_no_tolerance: bool,
) -> Result<(), CommandError> {
    let (cluster, staged) = staged(session, target)?;
    if staged.version != version {
        let what = format!("{cluster}: version {version} is outdated; version {} is staged", staged.version);
        return Err(CommandError::new(&codes::STALE_STAGE, what)
            .now("nothing changed")
            .next(format!("plan show -n {cluster}")));
    }
    let prepared =
        change_members::prepare(session, "plan apply", &wanted(&cluster, &staged, allow_no_tolerance))
            .await?;
    change_members::carry_out(session, &cluster, prepared).await?;
    match session.settings.dry_run {
        true => Ok(()),
        false => session.lock()?.discard_staged(&cluster),
    }
}

fn discard(session: &mut Session, target: &TargetArgs) -> Result<(), CommandError> {
    let cluster = cluster(session, target)?;
    if session.settings.dry_run {
        return Ok(());
    }
    session.lock()?.discard_staged(&cluster)?;
    session.ui.say(&format!("{cluster}: discarded the staged change"));
    Ok(())
}

#[derive(Serialize)]
struct Listed {
    cluster: String,
    version: u64,
    change: String,
}

fn list(session: &Session) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["cluster", "version", "change"]);
    for (cluster, staged) in all_staged(session)? {
        let (name, version, change) = (cluster.to_string(), staged.version, staged.words());
        listing.push(
            vec![name.clone(), version.to_string(), change.clone()],
            Listed { cluster: name, version, change },
        );
    }
    session.show(Format::Table, &listing);
    Ok(())
}

#[derive(Serialize)]
struct Share {
    #[serde(rename = "No.")]
    number: u32,
    address: String,
    change: &'static str,
    replicas_now: usize,
    leads_now: usize,
    replicas_then: usize,
    leads_then: usize,
}

/// Each member before and after.
fn rings(prepared: &Prepared, cluster: &ClusterName, staged: &Staged) -> Option<Listing> {
    let facts = RingFacts::of(&prepared.inventory, &prepared.observed, cluster)?;
    let servers = &prepared.inventory.clusters.get(cluster)?.servers;
    let then = &prepared.reshape.target;
    let now = Assignment::from(&facts.view.ring);
    let mut listing = Listing::new(&["No.", "address", "change", "before", "after"]);
    for server in servers {
        let change = match (staged.come.contains(&server.address), staged.leave.contains(&server.number)) {
            (true, _) => "joins",
            (_, true) => "leaves",
            _ => "stays",
        };
        let share = Share {
            number: server.number.0,
            address: server.address.to_string(),
            change,
            replicas_now: now.replicas_of(server.node_id),
            leads_now: now.leaders_of(server.node_id),
            replicas_then: then.replicas_of(server.node_id),
            leads_then: then.leaders_of(server.node_id),
        };
        let words = |replicas: usize, leads: usize| format!("{replicas} replicas, leads {leads}");
        let row = vec![
            share.number.to_string(),
            share.address.clone(),
            change.to_owned(),
            words(share.replicas_now, share.leads_now),
            words(share.replicas_then, share.leads_then),
        ];
        listing.push(row, share);
    }
    Some(listing)
}
