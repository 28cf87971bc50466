//! `check`: inspects hosts before anything changes on them. It only reads.

use std::collections::BTreeSet;

use dkc_core::certificate::ISSUER_RENEW_DAYS;
use dkc_core::ids::{ClusterName, HostAddress};
use dkc_inventory::check::{self, Finding, Grade};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::sides::{self, Side};

use crate::arguments::{Noun, OnlyCluster};
use crate::authority;
use crate::error::{CommandError, Exit, codes};
use crate::observe::Scope;
use crate::operation;
use crate::selector::Selected;
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Check that hosts are ready: login, host key, disk, clock, ports, connections between members
///
/// Read-only. Finds every reason for which deploy or start would refuse, and names the remedy. For a running cluster it
/// also shows how the members see each server: OK if they agree, NG with the differences.
/// Warns of certificates that expire within 30 days; servers should have renewed them by then.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  check\n  check host 10.0.0.10 @rack1\n  check cluster -n c0")]
pub struct Args {
    /// What to check: host, cluster or slave (default: everything registered)
    #[arg(value_name = "NOUN")]
    pub noun: Option<Noun>,
    /// Only these: HOST, @GROUP, CLUSTER or CLUSTER/NO
    #[arg(value_name = "SELECTOR", add = crate::complete::selectors())]
    pub selectors: Vec<String>,
    #[command(flatten)]
    pub of: OnlyCluster,
    /// Only hosts in this group
    #[arg(short = 'g', long, value_name = "GROUP", add = crate::complete::groups())]
    pub group: Vec<String>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let hosts = hosts(&session.inventory()?, &args)?;
    if hosts.is_empty() {
        session.ui.say("check: no hosts are registered; see: help register");
        return Ok(());
    }
    let scope =
        Scope { wants_reaches: true, wants_manager: true, ..Scope::of(hosts.clone(), session.timeout()) };
    let (inventory, observed) = operation::observe_scope(session, scope).await?;
    let findings = check::check(&inventory, &observed, &hosts, std::env::consts::ARCH);
    let clusters = clusters(&inventory, &hosts, &args);
    let sides: Vec<(ClusterName, Vec<Side>)> =
        clusters.into_iter().map(|name| (name.clone(), sides::sides(&inventory, &observed, &name))).collect();
    show(session, &findings, &sides);
    warn_of_authorities(session)?;
    let is_seen_well = sides.iter().flat_map(|(_, sides)| sides).all(|side| side.is_good);
    let is_unreachable =
        findings.iter().any(|f| f.grade == Grade::Fail && matches!(f.topic, "login" | "host key"));
    match check::worst(&findings) {
        Grade::Fail if is_unreachable => Err(CommandError::silent(Exit::Unreachable)),
        Grade::Fail => Err(CommandError::silent(Exit::Failed)),
        Grade::Ok | Grade::Warn if !is_seen_well => Err(CommandError::silent(Exit::Failed)),
        Grade::Ok | Grade::Warn => Ok(()),
    }
}

/// The named hosts; without a name every registered host, and the hosts of the noun's nodes.
fn hosts(inventory: &Inventory, args: &Args) -> Result<BTreeSet<HostAddress>, CommandError> {
    let mut words = args.selectors.clone();
    words.extend(args.group.iter().map(|group| format!("@{group}")));
    words.extend(args.of.name.iter().map(|name| name.to_string()));
    let selected = Selected::parse(inventory, &words)?;
    let is_meant = |node: &NodeName| match args.noun {
        Some(Noun::Cluster) => node.is_server(),
        Some(Noun::Slave) => !node.is_server(),
        Some(Noun::Host) | None => true,
    };
    let named = words.is_empty();
    let nodes = inventory.node_names().into_iter().filter(|node| is_meant(node));
    let of_nodes = nodes.filter(|node| named || selected.means(inventory, node));
    let mut hosts: BTreeSet<HostAddress> = of_nodes.filter_map(|node| inventory.host_of(&node)).collect();
    if matches!(args.noun, Some(Noun::Host) | None) {
        hosts.extend(selected.hosts);
        hosts.extend(inventory.hosts.keys().filter(|_| named).cloned());
    }
    Ok(hosts)
}

/// Clusters whose hosts were all queried; none when the noun is host or slave.
fn clusters(inventory: &Inventory, hosts: &BTreeSet<HostAddress>, args: &Args) -> Vec<ClusterName> {
    let is_asked = |name: &&ClusterName| {
        let nodes = inventory.servers_of(name);
        nodes.iter().all(|node| inventory.host_of(node).is_some_and(|host| hosts.contains(&host)))
    };
    match args.noun {
        Some(Noun::Host | Noun::Slave) => Vec::new(),
        _ => inventory.clusters.keys().filter(is_asked).cloned().collect(),
    }
}

fn show(session: &Session, findings: &[Finding], sides: &[(ClusterName, Vec<Side>)]) {
    if session.settings.output.is_none() {
        session.ui.data(&check::text(findings));
        for (name, sides) in sides.iter().filter(|(_, sides)| !sides.is_empty()) {
            session.ui.data(&sides::text(name, sides));
        }
        return;
    }
    let (columns, rows) = check::table(findings);
    let mut listing = Listing::new(&columns);
    for (row, finding) in rows.into_iter().zip(findings) {
        listing.push(row, finding);
    }
    for side in sides.iter().flat_map(|(_, sides)| sides) {
        let grade = if side.is_good { "ok" } else { "fail" };
        let row = [&side.address, grade, "ring", &side.lines.join("; "), ""].map(str::to_owned);
        listing.push(row.to_vec(), side);
    }
    session.show(Format::Table, &listing);
}

/// A cluster whose certificate authority has expired cannot renew its certificates.
fn warn_of_authorities(session: &Session) -> Result<(), CommandError> {
    let ages = authority::ages(&session.store.authority_dir());
    let ages = ages.map_err(|error| CommandError::new(&codes::AUTHORITY, error.to_string()))?;
    for age in ages.iter().filter(|age| !age.is_delegating) {
        session.ui.warn(&format!(
            "the certificate authority of {0} was created by an earlier release: only deploy can renew certificates, \
             at least every 60 days; tls rotate -n {0} --ca replaces it",
            age.cluster
        ));
    }
    for age in ages.iter().filter(|age| age.days_left < ISSUER_RENEW_DAYS) {
        session
            .ui
            .warn(&format!("the certificate authority of {} expires in {} days", age.cluster, age.days_left));
    }
    Ok(())
}
