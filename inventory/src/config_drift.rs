//! What a node goes by against what the inventory says: the rows of `diff config`, and what `apply config` and `deploy` have to do
//! about it. *Invariant:* both ask here, so that what is shown is what is done.

use dkc_core::config::{ConfigChange, NodeConfig, Parameter, layout};
use serde::Serialize;

use crate::model::{Inventory, NodeName};
use crate::observed::{HostView, NodeView, Observed};
use crate::render;

/// What brings a node to its wanted configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It goes by it.
    Nothing,
    /// Its file is written; it does not run, or what it goes by is the same.
    Write,
    /// Its file is right, or written, and the running node reads it again.
    Reload(ConfigChange),
    /// Only the next start takes it over. `None`: a running node that does not say what it goes by.
    Restart(Option<ConfigChange>),
    /// Only a deploy can install it.
    NotInstalled,
}

impl Way {
    /// Decides from the node's file and from what it says; both were just observed.
    pub fn of(inventory: &Inventory, node: &NodeName, view: &NodeView) -> Way {
        let Some(wanted) = render::node_config(inventory, node) else { return Way::NotInstalled };
        let Some(present) = view.files.get(layout::CONFIG).filter(|_| view.identity.is_some()) else {
            return Way::NotInstalled;
        };
        let is_written = *present == render::config_digest(&wanted);
        match (in_use(view), view.is_running()) {
            (Some(in_use), true) => {
                let change = in_use.change_to(&wanted);
                match (change.restart_needed.is_empty(), change.dynamic.is_empty()) {
                    (false, _) => Way::Restart(Some(change)),
                    (true, false) => Way::Reload(change),
                    (true, true) => Way::written(is_written),
                }
            }
            (None, true) if !is_written => Way::Restart(None),
            _ => Way::written(is_written),
        }
    }

    fn written(is_written: bool) -> Way {
        if is_written { Way::Nothing } else { Way::Write }
    }
}

/// What a running node goes by; `None` when it does not run or does not say. Another release may know other parameters: then only
/// a restart is certain to help.
pub fn in_use(view: &NodeView) -> Option<NodeConfig> {
    let text = view.status.as_ref().filter(|_| view.is_running())?.config_in_use.as_deref()?;
    NodeConfig::parse(text, layout::CONFIG).ok()
}

/// A row of `diff config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiffRow {
    /// Its directory's name.
    pub node: String,
    /// What differs; empty where the node as a whole does.
    pub parameter: String,
    /// What the node goes by, or what its file says if it does not run.
    pub now: String,
    /// What the inventory says.
    pub wanted: String,
    /// What brings the node there.
    pub takes: &'static str,
    /// The host did not answer, so that nothing is known.
    #[serde(skip)]
    pub is_silent: bool,
}

/// Everything that differs on these nodes, in their order; no row for a node that goes by what the inventory says.
pub fn rows(inventory: &Inventory, observed: &Observed, nodes: &[NodeName]) -> Vec<DiffRow> {
    nodes.iter().flat_map(|node| rows_of(inventory, observed, node)).collect()
}

fn rows_of(inventory: &Inventory, observed: &Observed, node: &NodeName) -> Vec<DiffRow> {
    let whole = |now: String, takes, is_silent| {
        vec![DiffRow {
            node: node.to_string(),
            parameter: String::new(),
            now,
            wanted: String::new(),
            takes,
            is_silent,
        }]
    };
    let host = inventory.host_of(node).and_then(|host| observed.hosts.get(&host));
    let facts = match host {
        Some(HostView::Facts(facts)) => facts,
        Some(HostView::Silent { message, .. }) => {
            return whole(format!("unknown: {message}"), "a host that answers", true);
        }
        None => return whole("unknown: not queried".into(), "a host that answers", true),
    };
    let view = facts.node(node);
    match Way::of(inventory, node, &view) {
        Way::Nothing => Vec::new(),
        Way::NotInstalled => whole("not installed".into(), "deploy", false),
        Way::Restart(None) => whole("runs and does not say what it goes by".into(), "restart", false),
        Way::Reload(change) => changed(inventory, node, in_use(&view), &change),
        Way::Restart(Some(change)) => changed(inventory, node, in_use(&view), &change),
        Way::Write => {
            let written = view.config_text.as_deref().and_then(|text| NodeConfig::parse(text, "").ok());
            let wanted = render::node_config(inventory, node);
            match (written, wanted) {
                (Some(written), Some(wanted)) if !view.is_running() => {
                    let change = written.change_to(&wanted);
                    let rows = changed(inventory, node, Some(written), &change);
                    rows.into_iter().map(|row| DiffRow { takes: "its next start", ..row }).collect()
                }
                _ => whole(format!("{} was changed by hand", layout::CONFIG), "writing it", false),
            }
        }
    }
}

/// One row for each parameter or part that differs.
fn changed(
    inventory: &Inventory,
    node: &NodeName,
    now: Option<NodeConfig>,
    change: &ConfigChange,
) -> Vec<DiffRow> {
    let wanted = render::node_config(inventory, node);
    let value = |config: &Option<NodeConfig>, name: &str| match (config, Parameter::named(name)) {
        (Some(config), Some(parameter)) => parameter.value_in(&config.parameters).to_string(),
        _ => String::new(),
    };
    let row = |name: &&'static str, takes: &'static str| DiffRow {
        node: node.to_string(),
        parameter: (*name).to_owned(),
        now: value(&now, name),
        wanted: value(&wanted, name),
        takes,
        is_silent: false,
    };
    let dynamic = change.dynamic.iter().map(|name| row(name, "reload"));
    dynamic.chain(change.restart_needed.iter().map(|name| row(name, "restart"))).collect()
}
