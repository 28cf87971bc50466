//! `show cluster` and `list cluster`.

use dkc_core::ids::{ClusterName, HostAddress};

use super::{Shown, field};
use crate::document::Document;
use crate::edit::{EditError, unknown_cluster};
use crate::model::{Cluster, Inventory, Server};

/// All given fields must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterFilter {
    /// Must be registered.
    pub name: Option<ClusterName>,
    /// Clusters with a server on this host.
    pub host: Option<HostAddress>,
}

/// Names only, in order.
pub fn list_clusters(inventory: &Inventory, filter: &ClusterFilter) -> Result<Vec<String>, EditError> {
    Ok(select(inventory, filter)?.into_iter().map(|(name, _)| name.to_string()).collect())
}

/// Servers as rows, one document for each cluster.
pub fn show_clusters(inventory: &Inventory, filter: &ClusterFilter) -> Result<Shown, EditError> {
    let mut shown = Shown::new(&["CLUSTER", "No.", "ADDRESS", "REPLICAS", "TABLETS", "DEPLOYED"]);
    for (name, cluster) in select(inventory, filter)? {
        shown.documents.push(Document::Map(fields(name, cluster)));
        shown.rows.extend(cluster.servers.iter().map(|server| row(name, cluster, server)));
    }
    Ok(shown)
}

fn select<'a>(
    inventory: &'a Inventory,
    filter: &ClusterFilter,
) -> Result<Vec<(&'a ClusterName, &'a Cluster)>, EditError> {
    if let Some(unknown) = filter.name.as_ref().filter(|name| !inventory.clusters.contains_key(name)) {
        return Err(unknown_cluster(inventory, unknown));
    }
    let matches = |(name, cluster): &(&ClusterName, &Cluster)| {
        filter.name.as_ref().is_none_or(|wanted| wanted == *name)
            && filter.host.as_ref().is_none_or(|host| cluster.servers.iter().any(|s| s.address.host == *host))
    };
    Ok(inventory.clusters.iter().filter(matches).collect())
}

fn fields(name: &ClusterName, cluster: &Cluster) -> Vec<(String, Document)> {
    let servers = cluster.servers.iter().map(|server| {
        Document::Map(vec![
            field("No.", server.number.0),
            field("address", server.address.host.to_string()),
            field("port", server.address.port),
        ])
    });
    let mut fields = vec![
        field("name", name.to_string()),
        field("replicas", cluster.replicas),
        field("tablets", cluster.tablets),
    ];
    if let Some(config) = &cluster.config {
        fields.push(field("config", config.to_string()));
    }
    if !cluster.parameters.is_empty() {
        let set = cluster.parameters.iter().map(|(name, value)| field(name, value.clone()));
        fields.push(field("parameters", Document::Map(set.collect())));
    }
    fields.push(field("server", Document::List(servers.collect())));
    fields
}

fn row(name: &ClusterName, cluster: &Cluster, server: &Server) -> Vec<String> {
    vec![
        name.to_string(),
        server.number.to_string(),
        server.address.to_string(),
        cluster.replicas.to_string(),
        cluster.tablets.to_string(),
        if server.deployed.is_some() { "yes" } else { "no" }.into(),
    ]
}
