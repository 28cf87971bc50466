//! Election timeouts with which servers can change one by one.

use dkc_core::config::{NodeConfig, Parameters, layout};
use dkc_core::ids::ClusterName;

use super::Refusal;
use super::steps::ObservedNode;
use crate::config_drift::in_use;

/// Refuses timeouts with which a leader of the old ones and a follower of the new ones, or the other way round, would break reads by
/// lease while the servers restart one by one. `changes` are what each goes by and will go by; `is_written` if that is in the files.
pub(super) fn timeouts_refusal(
    name: &ClusterName,
    changes: impl Iterator<Item = (Parameters, Parameters)>,
    is_written: bool,
) -> Option<Refusal> {
    let changes: Vec<(Parameters, Parameters)> = changes.collect();
    let pairs = changes.iter().flat_map(|(old, _)| changes.iter().map(move |(_, new)| (old, new)));
    let why = pairs.filter_map(|(old, new)| old.check_beside(new).err()).next()?;
    Some(Refusal::Timeouts { cluster: name.clone(), why, is_written })
}

/// What a server goes by, and what its file says.
pub(super) fn timeouts(place: &ObservedNode<'_>) -> Option<(Parameters, Parameters)> {
    let view = place.facts.node(&place.node);
    let written = NodeConfig::parse(view.config_text.as_deref()?, layout::CONFIG).ok()?;
    Some((in_use(&view)?.parameters, written.parameters))
}
