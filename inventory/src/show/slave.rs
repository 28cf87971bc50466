//! `show slave`, `show pair` and their lists.

use std::net::SocketAddr;

use dkc_core::config::Pair;
use dkc_core::ids::{ClusterName, HostAddress, Namespace, SlaveId};

use super::{Shown, field};
use crate::document::Document;
use crate::edit::{EditError, unknown_cluster, unknown_slave};
use crate::model::{Inventory, Slave, this_machine};

/// All given fields must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlaveFilter {
    /// Must be registered.
    pub id: Option<SlaveId>,
    /// Must be registered.
    pub cluster: Option<ClusterName>,
    /// Must be registered.
    pub host: Option<HostAddress>,
    /// Slaves with a pair in this namespace.
    pub namespace: Option<Namespace>,
}

/// All given fields must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PairFilter {
    /// Must be registered.
    pub id: Option<SlaveId>,
    /// The whole address, as registered.
    pub listen: Option<String>,
    /// The pair's namespace.
    pub namespace: Option<Namespace>,
}

/// Ids only, in order.
pub fn list_slaves(inventory: &Inventory, filter: &SlaveFilter) -> Result<Vec<String>, EditError> {
    Ok(select(inventory, filter)?.into_iter().map(|(id, _)| id.to_string()).collect())
}

/// One row and one document for each slave.
pub fn show_slaves(inventory: &Inventory, filter: &SlaveFilter) -> Result<Shown, EditError> {
    let mut shown = Shown::new(&["ID", "CLUSTER", "HOST", "PAIRS", "DEPLOYED"]);
    for (id, slave) in select(inventory, filter)? {
        let pairs: Vec<String> = slave.pairs.iter().map(pair_word).collect();
        let row = vec![
            id.to_string(),
            slave.cluster.to_string(),
            slave.host.clone().unwrap_or_else(this_machine).to_string(),
            pairs.join(", "),
            if slave.deployed.is_some() { "yes" } else { "no" }.into(),
        ];
        shown.push(fields(id, slave), row);
    }
    Ok(shown)
}

/// `ID LISTEN`, the arguments of `unregister pair`.
pub fn list_pairs(inventory: &Inventory, filter: &PairFilter) -> Result<Vec<String>, EditError> {
    Ok(select_pairs(inventory, filter)?
        .into_iter()
        .map(|(id, pair)| format!("{id} {}", pair.listen))
        .collect())
}

/// One row and one document for each pair.
pub fn show_pairs(inventory: &Inventory, filter: &PairFilter) -> Result<Shown, EditError> {
    let mut shown = Shown::new(&["SLAVE", "LISTEN", "PROTOCOL", "NAMESPACE"]);
    for (id, pair) in select_pairs(inventory, filter)? {
        let fields = vec![
            field("id", id.0),
            field("listen", Document::Quoted(pair.listen.clone())),
            field("protocol", pair.protocol.name()),
            field("name space", pair.namespace.to_string()),
        ];
        let row = vec![
            id.to_string(),
            pair.listen.clone(),
            pair.protocol.name().into(),
            pair.namespace.to_string(),
        ];
        shown.push(fields, row);
    }
    Ok(shown)
}

fn select<'a>(
    inventory: &'a Inventory,
    filter: &SlaveFilter,
) -> Result<Vec<(SlaveId, &'a Slave)>, EditError> {
    if let Some(id) = filter.id.filter(|id| !inventory.slaves.contains_key(id)) {
        return Err(unknown_slave(inventory, id));
    }
    if let Some(unknown) = filter.cluster.as_ref().filter(|name| !inventory.clusters.contains_key(name)) {
        return Err(unknown_cluster(inventory, unknown));
    }
    let matches = |(id, slave): &(SlaveId, &Slave)| {
        filter.id.is_none_or(|wanted| wanted == *id)
            && filter.cluster.as_ref().is_none_or(|cluster| *cluster == slave.cluster)
            && filter
                .host
                .as_ref()
                .is_none_or(|host| *host == slave.host.clone().unwrap_or_else(this_machine))
            && filter.namespace.as_ref().is_none_or(|n| slave.pairs.iter().any(|p| p.namespace == *n))
    };
    Ok(inventory.slaves.iter().map(|(id, slave)| (*id, slave)).filter(matches).collect())
}

fn select_pairs<'a>(
    inventory: &'a Inventory,
    filter: &PairFilter,
) -> Result<Vec<(SlaveId, &'a Pair)>, EditError> {
    let slaves = select(inventory, &SlaveFilter { id: filter.id, ..SlaveFilter::default() })?;
    let pairs = slaves.into_iter().flat_map(|(id, slave)| slave.pairs.iter().map(move |pair| (id, pair)));
    let matches = |(_, pair): &(SlaveId, &Pair)| {
        filter.listen.as_ref().is_none_or(|listen| *listen == pair.listen)
            && filter.namespace.as_ref().is_none_or(|namespace| *namespace == pair.namespace)
    };
    Ok(pairs.filter(matches).collect())
}

/// The PAXOS shell's fields. Each pair has its own namespace; a namespace shared by all pairs is shown for the slave.
fn fields(id: SlaveId, slave: &Slave) -> Vec<(String, Document)> {
    let mut spaces: Vec<String> = slave.pairs.iter().map(|pair| pair.namespace.to_string()).collect();
    spaces.sort();
    spaces.dedup();
    let space = match spaces.as_slice() {
        [] => Document::Text(Namespace::default().to_string()),
        [one] => Document::Text(one.clone()),
        several => super::flow(several),
    };
    let mut fields = vec![field("id", id.0), field("cluster", slave.cluster.to_string())];
    if let Some(host) = &slave.host {
        fields.push(field("host", Document::Quoted(host.to_string())));
    }
    fields.push(field("name space", space));
    let pairs: Vec<Document> = slave.pairs.iter().map(pair_document).collect();
    fields.push(field("pair", if pairs.is_empty() { Document::Nothing } else { Document::List(pairs) }));
    fields
}

/// `["127.0.0.1", 11211, memcache, default]`: the first two as in the PAXOS shell.
fn pair_document(pair: &Pair) -> Document {
    let (place, port) = match pair.listen.parse::<SocketAddr>() {
        Ok(address) => (address.ip().to_string(), address.port()),
        Err(_) => (pair.listen.clone(), 0),
    };
    Document::Flow(vec![
        Document::Quoted(place),
        port.into(),
        pair.protocol.name().into(),
        Document::Text(pair.namespace.to_string()),
    ])
}

fn pair_word(pair: &Pair) -> String {
    format!("{} {} {}", pair.listen, pair.protocol.name(), pair.namespace)
}
