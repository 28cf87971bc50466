//! `show`: registered entries as YAML documents in the ancestor's format (or as a table or JSON with `-o`).

use std::collections::BTreeSet;

use dkc_core::ids::{ClusterName, HostAddress, Namespace, SlaveId};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::parameters::Resolved;
use dkc_inventory::show::{self, ClusterFilter, HostFilter, PairFilter, SlaveFilter};
use dkc_inventory::status::InstanceReport;

use crate::arguments::{CLUSTER, ConfigTarget, OfConfig, OnlyCluster};
use crate::error::CommandError;
use crate::observe::Scope;
use crate::operation;
use crate::selector::Selected;
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Show registered hosts, clusters, slaves, pairs and parameters, and the nodes of all clusters
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  show host\n  show host 10.0.0.10 -o json\n  show host --group c0\n  show cluster c0\n  show slave --id 0\n  show pair\n  show config -n prod -o table\n  show config -c c0 -o table\n  show instance\n  show instance @rack1 -o json"
)]
pub enum Args {
    /// Show hosts
    Host(HostWords),
    /// Show clusters with their servers
    #[command(alias = "css")]
    Cluster(ClusterWords),
    /// Show slaves with their pairs
    #[command(alias = "memcache")]
    Slave(SlaveWords),
    /// Show the listen addresses of slaves
    Pair(PairWords),
    /// Show the nodes of all clusters with their configuration group, version and health; asks their hosts
    Instance(InstanceWords),
    /// Show the parameters of a configuration group or of a cluster: value, origin, range and meaning
    Config(ConfigWords),
}

#[derive(Debug, clap::Args)]
pub struct HostWords {
    /// Only these (default: all)
    #[arg(value_name = "HOST", add = crate::complete::hosts())]
    pub hosts: Vec<HostAddress>,
    /// Only hosts in this group; repeatable
    #[arg(short = 'g', long, value_name = "GROUP", add = crate::complete::groups())]
    pub group: Vec<String>,
    /// Only hosts with this login user
    #[arg(short = 'u', long, value_name = "USER")]
    pub user: Option<String>,
    /// Only hosts with this SSH port
    #[arg(short = 'p', long, value_name = "PORT")]
    pub port: Option<u16>,
}

#[derive(Debug, clap::Args)]
#[command(mut_arg(CLUSTER, |arg| arg.hide(true)))]
pub struct ClusterWords {
    /// Only this one (default: all)
    #[arg(value_name = "NAME", conflicts_with = CLUSTER, add = crate::complete::clusters())]
    pub positional: Option<ClusterName>,
    // The same, as every other command spells it.
    #[command(flatten)]
    pub of: OnlyCluster,
    /// Only clusters with a server on this host
    #[arg(long, value_name = "HOST", add = crate::complete::hosts())]
    pub host: Option<HostAddress>,
}

#[derive(Debug, clap::Args)]
#[command(mut_arg(CLUSTER, |arg| arg.help("Only slaves of this cluster")))]
pub struct SlaveWords {
    /// Only this one (default: all)
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Option<SlaveId>,
    #[command(flatten)]
    pub of: OnlyCluster,
    /// Only slaves on this host
    #[arg(long, value_name = "HOST", add = crate::complete::hosts())]
    pub host: Option<HostAddress>,
    /// Only slaves that serve this namespace
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
}

#[derive(Debug, clap::Args)]
pub struct PairWords {
    /// Only pairs of this slave
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Option<SlaveId>,
    /// Only the pair with this listen address
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Only pairs that serve this namespace
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
}

#[derive(Debug, clap::Args)]
pub struct InstanceWords {
    /// Only these: HOST, @GROUP, CLUSTER or CLUSTER/NO (default: all)
    #[arg(value_name = "SELECTOR", add = crate::complete::selectors())]
    pub selectors: Vec<String>,
    #[command(flatten)]
    pub of: OnlyCluster,
}

#[derive(Debug, clap::Args)]
pub struct ConfigWords {
    #[command(flatten)]
    pub of: OfConfig,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let usual = if matches!(args, Args::Instance(_)) { Format::Table } else { Format::Yaml };
    let listing = listing(session, &args).await?;
    session.show(usual, &listing);
    Ok(())
}

/// The selected entries, as documents and rows.
pub async fn listing(session: &mut Session, what: &Args) -> Result<Listing, CommandError> {
    let inventory = &session.inventory()?;
    Ok(match what {
        Args::Instance(words) => instances(session, words).await?,
        Args::Host(words) => show::show_hosts(inventory, &words.filter())?.into(),
        Args::Cluster(words) => show::show_clusters(inventory, &words.filter())?.into(),
        Args::Slave(words) => show::show_slaves(inventory, &words.filter())?.into(),
        Args::Pair(words) => show::show_pairs(inventory, &words.filter())?.into(),
        Args::Config(words) => parameters(inventory, &session.config_target(&words.of)?)?,
    })
}

impl HostWords {
    pub fn filter(&self) -> HostFilter {
        HostFilter {
            hosts: self.hosts.clone(),
            user: self.user.clone(),
            port: self.port,
            group: self.group.clone(),
        }
    }
}

impl ClusterWords {
    pub fn filter(&self) -> ClusterFilter {
        ClusterFilter { name: self.positional.clone().or(self.of.name.clone()), host: self.host.clone() }
    }
}

impl SlaveWords {
    pub fn filter(&self) -> SlaveFilter {
        SlaveFilter {
            id: self.id,
            cluster: self.of.name.clone(),
            host: self.host.clone(),
            namespace: self.namespace.clone(),
        }
    }
}

impl PairWords {
    pub fn filter(&self) -> PairFilter {
        PairFilter { id: self.id, listen: self.listen.clone(), namespace: self.namespace.clone() }
    }
}

/// The nodes that are meant, servers first within each cluster.
pub fn nodes(inventory: &Inventory, words: &InstanceWords) -> Result<Vec<NodeName>, CommandError> {
    let selected = Selected::parse(inventory, &words.selectors)?;
    let filter = ClusterFilter { name: words.of.name.clone(), host: None };
    show::list_clusters(inventory, &filter)?;
    let is_meant = |node: &NodeName| {
        (words.selectors.is_empty() || selected.means(inventory, node))
            && words.of.name.as_ref().is_none_or(|name| name == node.cluster())
    };
    Ok(inventory.node_names().into_iter().filter(is_meant).collect())
}

async fn instances(session: &mut Session, words: &InstanceWords) -> Result<Listing, CommandError> {
    let inventory = session.inventory()?;
    let nodes = nodes(&inventory, words)?;
    let hosts: BTreeSet<HostAddress> = nodes.iter().filter_map(|node| inventory.host_of(node)).collect();
    let scope = Scope::of(hosts, session.timeout());
    let (inventory, observed) = operation::observe_scope(session, scope).await?;
    let mut listing =
        Listing::new(&["instance", "role", "cluster", "config", "address", "version", "status", "why"]);
    for report in nodes.iter().filter_map(|node| InstanceReport::of(&inventory, &observed, node)) {
        let row = vec![
            report.instance.clone(),
            report.role.to_owned(),
            report.cluster.clone(),
            report.config.clone().unwrap_or_default(),
            report.address.clone(),
            report.version.clone().unwrap_or_default(),
            report.status.to_string(),
            report.why.clone().unwrap_or_default(),
        ];
        listing.push(row, report);
    }
    Ok(listing)
}

/// Every parameter with its value and who set it.
fn parameters(inventory: &Inventory, target: &ConfigTarget) -> Result<Listing, CommandError> {
    let resolved = match target {
        ConfigTarget::Config(name) => {
            show::check_config(inventory, name)?;
            inventory.resolved_of_config(name)
        }
        ConfigTarget::Cluster(name) => {
            show::show_clusters(inventory, &ClusterFilter { name: Some(name.clone()), host: None })?;
            inventory.resolved_of_cluster(name)
        }
    };
    let mut listing = Listing::new(&["parameter", "value", "origin", "unit", "allowed", "change", "meaning"]);
    for Resolved { parameter, value, origin } in resolved {
        let row = vec![
            parameter.name.to_owned(),
            value.to_string(),
            origin.to_string(),
            parameter.unit.to_owned(),
            parameter.range.to_string(),
            parameter.change.to_string(),
            parameter.explanation.to_owned(),
        ];
        let document = serde_json::json!({
            "parameter": parameter.name,
            "value": value,
            "origin": origin.to_string(),
            "unit": parameter.unit,
            "allowed": parameter.range.to_string(),
            "change": parameter.change.to_string(),
            "meaning": parameter.explanation,
        });
        listing.push(row, document);
    }
    Ok(listing)
}
