//! `status`: queries hosts and daemons concurrently, each with a timeout.

mod draw;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::{ClusterName, HostAddress, MemberNo, SlaveId};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{HostView, Observed};
use dkc_inventory::plan::Target;

use dkc_inventory::status::{ClusterReport, JoinedSlave, SlaveReport, State, joined_slaves};

use crate::arguments::{Noun, OnlyCluster};
use crate::error::{CommandError, Exit};
use crate::observe::{OnView, Scope};
use crate::operation;
use crate::selector::Selected;
use crate::session::Session;
use crate::ui::{Format, Listing, numbers};

/// Longest wait for a host whose servers are DOWN in the ring: a host that is up accepts the login within it.
pub const DOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Show the state of clusters, slaves and hosts
///
/// States: running, merging, degraded, stopped, error, unknown (no answer before the timeout).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  status\n  status cluster --short\n  status cluster -n c0 --long\n  status slave --id 0\n  status cluster -n c0 --watch=2s"
)]
pub struct Args {
    /// host, cluster or slave (default: clusters and slaves)
    #[arg(value_name = "NOUN")]
    pub noun: Option<Noun>,
    /// Only these: HOST, @GROUP, CLUSTER or CLUSTER/NO
    #[arg(value_name = "SELECTOR", add = crate::complete::selectors())]
    pub selectors: Vec<String>,
    #[command(flatten)]
    pub of: OnlyCluster,
    /// Only this member of the cluster
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
    /// Only this slave
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Vec<SlaveId>,
    /// One line per cluster or slave: `c0: running`
    #[arg(long, conflicts_with_all = ["quiet", "long"])]
    pub short: bool,
    /// Print nothing; only set the exit status
    #[arg(short = 'q', long, conflicts_with = "long")]
    pub quiet: bool,
    /// Include tablets, leaders, memory and log positions
    #[arg(long)]
    pub long: bool,
    /// Refresh every TIME (default: 2s) until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = crate::arguments::parse_duration, num_args = 0..=1,
        default_missing_value = "2s", require_equals = true)]
    pub watch: Option<std::time::Duration>,
}

/// The targets, after name lookup.
struct StatusScope {
    clusters: Vec<ClusterName>,
    /// Servers of those clusters that are shown; empty = all.
    numbers: Vec<MemberNo>,
    slaves: Vec<SlaveId>,
    /// Whose slaves that joined with a token are shown, too.
    joined: Vec<ClusterName>,
    hosts: BTreeSet<HostAddress>,
}

/// What is shown.
struct Reports {
    clusters: Vec<ClusterReport>,
    slaves: Vec<SlaveReport>,
    joined: Vec<JoinedSlave>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let Some(interval) = args.watch else { return once(session, &args).await };
    let interrupt = session.interrupt.clone();
    let watching = async {
        loop {
            match once(session, &args).await {
                Err(error) if !error.is_silent => return Err(error),
                _ => session.ui.data_line(""),
            }
            tokio::time::sleep(interval).await;
        }
    };
    // Ctrl-C is the normal end: no error message.
    tokio::select! {
        biased;
        () = interrupt.pressed(1) => Err(CommandError::silent(Exit::Interrupted)),
        ended = watching => ended,
    }
}

/// A cluster's state in one line: `c0: running; every tablet has 3 of 3 replicas; tolerates 1 failure`.
pub async fn verdict(session: &mut Session, name: &ClusterName) -> Result<String, CommandError> {
    let target = Target::Servers { cluster: name.clone(), numbers: Vec::new() };
    let hosts = target.hosts(&session.inventory()?).map_err(operation::refused("status"))?;
    let scope = scope(session, hosts);
    let (inventory, observed) = operation::observe_scope(session, scope).await?;
    let Some(report) = ClusterReport::of(&inventory, &observed, name) else { return Ok(String::new()) };
    let servers = report.server.len();
    let servers = if servers == 1 { "1 server".into() } else { format!("{servers} servers") };
    Ok(format!("{name}: {}, {servers}; {}", report.status, report.words()))
}

/// Gives up early on hosts that are DOWN in the ring, unless the operator set a timeout. Does not ask which service manager could
/// run a node, so that a refresh does not try sudo.
fn scope(session: &Session, hosts: BTreeSet<HostAddress>) -> Scope {
    let down_limit = Some(session.settings.timeout.unwrap_or(DOWN_TIMEOUT));
    Scope { down_limit, ..Scope::of(hosts, session.timeout()) }
}

async fn once(session: &mut Session, args: &Args) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    let wanted = wanted(&inventory, args)?;
    let asked = hosts_of(&inventory, &wanted);
    let waiting =
        (!args.quiet).then(|| Arc::new(session.ui.waiting(asked.iter().map(HostAddress::to_string))));
    let on_view = waiting.clone().map(|waiting| -> OnView {
        Arc::new(move |address, view| waiting.answered(address.as_str(), &draw::view_words(view)))
    });
    let scope = Scope { on_view, ..scope(session, asked) };
    let (inventory, observed) = operation::observe_scope(session, scope).await?;
    drop(waiting);
    let clusters: Vec<_> = wanted
        .clusters
        .iter()
        .filter_map(|name| ClusterReport::of(&inventory, &observed, name))
        .map(|report| report.only(&wanted.numbers))
        .collect();
    let slaves: Vec<_> =
        wanted.slaves.iter().filter_map(|id| SlaveReport::of(&inventory, &observed, *id)).collect();
    // A machine that comes and goes with its token decides about no exit status.
    let states = clusters.iter().map(|c| c.status).chain(slaves.iter().map(|s| s.status));
    let worst = states.max();
    let joined = wanted.joined.iter().flat_map(|name| joined_slaves(&inventory, &observed, name)).collect();
    let reports = Reports { clusters, slaves, joined };
    if args.quiet {
        let silent =
            wanted.hosts.iter().any(|host| matches!(observed.hosts.get(host), Some(HostView::Silent { .. })));
        let exit = if silent { Exit::StatusUnknown } else { worst.map_or(Exit::Done, draw::exit_of) };
        return if exit == Exit::Done { Ok(()) } else { Err(CommandError::silent(exit)) };
    }
    if args.watch.is_some() {
        session.ui.redraw();
    }
    if args.short {
        show_short(session, &reports, &observed, &wanted);
        return Ok(());
    }
    show(session, args, &reports, &observed, &wanted);
    Ok(())
}

fn wanted(inventory: &Inventory, args: &Args) -> Result<StatusScope, CommandError> {
    let selected = Selected::parse(inventory, &args.selectors)?;
    check_names(inventory, args)?;
    let is_everything = args.selectors.is_empty() && args.of.name.is_none() && args.id.is_empty();
    let wants = |noun: Noun| args.noun.is_none_or(|asked| asked == noun);
    let is_meant = |node: &NodeName| {
        let is_named = args.of.name.as_ref() == Some(node.cluster());
        let is_slave = matches!(node, NodeName::Slave(_, id) if args.id.contains(id));
        is_everything || is_named || is_slave || selected.means(inventory, node)
    };
    let nodes: Vec<NodeName> = inventory.node_names().into_iter().filter(is_meant).collect();
    let mut wanted = StatusScope {
        clusters: Vec::new(),
        numbers: args.no.clone(),
        slaves: Vec::new(),
        joined: Vec::new(),
        hosts: BTreeSet::new(),
    };
    if wants(Noun::Slave) && args.id.is_empty() {
        let is_meant = |name: &&ClusterName| is_everything || args.of.name.as_ref() == Some(name);
        wanted.joined = inventory.clusters.keys().filter(is_meant).cloned().collect();
    }
    for node in &nodes {
        match node {
            NodeName::Server(name, _) if wants(Noun::Cluster) && !wanted.clusters.contains(name) => {
                wanted.clusters.push(name.clone());
            }
            NodeName::Slave(_, id) if wants(Noun::Slave) => wanted.slaves.push(*id),
            _ => {}
        }
    }
    if args.noun == Some(Noun::Host) {
        wanted.hosts = selected.hosts;
        wanted.hosts.extend(nodes.iter().filter_map(|node| inventory.host_of(node)));
        wanted.hosts.extend(inventory.hosts.keys().filter(|_| is_everything).cloned());
    }
    Ok(wanted)
}

/// Unregistered names are an error, not an empty answer.
fn check_names(inventory: &Inventory, args: &Args) -> Result<(), CommandError> {
    let refused = operation::refused("status");
    if let Some(cluster) = &args.of.name {
        let target = Target::Servers { cluster: cluster.clone(), numbers: args.no.clone() };
        target.nodes(inventory).map_err(&refused)?;
    }
    if !args.id.is_empty() {
        Target::Slaves { ids: args.id.clone() }.nodes(inventory).map_err(&refused)?;
    }
    Ok(())
}

fn hosts_of(inventory: &Inventory, wanted: &StatusScope) -> BTreeSet<HostAddress> {
    let clusters: BTreeSet<&ClusterName> = wanted.clusters.iter().chain(&wanted.joined).collect();
    let servers = clusters.into_iter().flat_map(|name| inventory.servers_of(name));
    let slaves = wanted.slaves.iter().filter_map(|id| inventory.slave_node(*id));
    let of_nodes = servers.chain(slaves).filter_map(|node| inventory.host_of(&node));
    of_nodes.chain(wanted.hosts.iter().cloned()).collect()
}

/// The ancestor's form, for scripts: `c0: running`, `slave 0: stopped`.
fn show_short(session: &Session, reports: &Reports, observed: &Observed, wanted: &StatusScope) {
    let line = |name: &str, state: State| session.ui.data_line(&format!("{name}: {state}"));
    reports.clusters.iter().for_each(|cluster| line(&cluster.name, cluster.status));
    reports.slaves.iter().for_each(|slave| line(&format!("slave {}", slave.id), slave.status));
    reports.joined.iter().for_each(|slave| line(&format!("slave {}", slave.id), slave.status));
    for host in &wanted.hosts {
        let is_silent = matches!(observed.hosts.get(host), Some(HostView::Silent { .. }) | None);
        line(host.as_str(), if is_silent { State::Unknown } else { State::Running });
    }
}

fn show(session: &Session, args: &Args, reports: &Reports, observed: &Observed, wanted: &StatusScope) {
    let usual = if args.noun.is_some_and(|noun| noun != Noun::Host) { Format::Yaml } else { Format::Table };
    if args.noun == Some(Noun::Host) {
        return show_hosts(session, observed, wanted);
    }
    let mut listing = Listing::new(&draw::COLUMNS);
    for cluster in &reports.clusters {
        listing.rows.push(draw::cluster_row(cluster));
        listing.rows.extend(cluster.server.iter().map(draw::server_row));
        listing.documents.push(draw::document(cluster, args.long).into());
    }
    for slave in &reports.slaves {
        listing.rows.push(draw::slave_row(slave));
        listing.documents.push(draw::document(slave, args.long).into());
    }
    for slave in &reports.joined {
        listing.push(draw::joined_row(slave), slave);
    }
    session.show(usual, &listing);
}

fn show_hosts(session: &Session, observed: &Observed, wanted: &StatusScope) {
    let mut listing = Listing::new(&["host", "status", "system", "free", "clock", "service", "nodes"]);
    for address in &wanted.hosts {
        match observed.hosts.get(address) {
            Some(HostView::Facts(facts)) => {
                let nodes: Vec<String> = facts.nodes.iter().map(draw::node_words).collect();
                let row = [
                    address.to_string(),
                    "running".into(),
                    format!("{} {}", facts.kernel, facts.architecture),
                    numbers::bytes(facts.disk_free_bytes),
                    format!("{:+} ms", facts.clock_offset_ms),
                    facts.service.words().into(),
                    nodes.join(", "),
                ];
                listing.push(row.to_vec(), draw::HostDocument::of(address, facts));
            }
            Some(HostView::Silent { message, .. }) => {
                let words = format!("unknown ({message})");
                listing.push(
                    vec![address.to_string(), words.clone()],
                    draw::HostDocument::silent(address, &words),
                );
            }
            None => {}
        }
    }
    session.show(Format::Table, &listing);
}
