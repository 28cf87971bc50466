//! The program that each node goes to, and what it says of itself.

use std::collections::BTreeSet;
use std::fmt;

use dkc_core::ids::ClusterName;
use dkc_core::versions::ProgramVersions;

use super::UpgradeTo;
use crate::observed::HostFacts;
use crate::plan::steps::ObservedNode;
use crate::plan::{Refusal, Refused};

/// Where a node goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goal {
    pub digest: String,
    /// `None` for a program that says nothing.
    pub versions: Option<ProgramVersions>,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.versions {
            Some(versions) => write!(f, "{} ({})", versions.release, self.digest),
            None => f.write_str(&self.digest),
        }
    }
}

/// One for each place, in their order.
pub(super) fn of(
    cluster: &ClusterName,
    to: &UpgradeTo,
    places: &[ObservedNode<'_>],
) -> Result<Vec<Goal>, Refused> {
    match to {
        UpgradeTo::Program { program, versions, .. } => {
            let goal = Goal { digest: program.digest.clone(), versions: Some(versions.clone()) };
            Ok(vec![goal; places.len()])
        }
        UpgradeTo::Kept { digest } => {
            let goals = places.iter().map(|place| kept(place, digest));
            collect(goals)
        }
        UpgradeTo::Before => collect(before(cluster, places)?.iter().zip(places).map(|(digest, place)| {
            match digest {
                Some(digest) => kept(place, digest),
                // Where it is already; one without a program is not installed, which is told later.
                None => {
                    let digest = place.facts.node(&place.node).program.unwrap_or_default();
                    Ok(Goal { versions: versions_of(place.facts, &digest), digest })
                }
            }
        })),
    }
}

fn collect(goals: impl Iterator<Item = Result<Goal, Refusal>>) -> Result<Vec<Goal>, Refused> {
    let (mut found, mut refusals) = (Vec::new(), Vec::new());
    for goal in goals {
        match goal {
            Ok(goal) => found.push(goal),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Refused::unless_empty(refusals).map(|()| found)
}

fn kept(place: &ObservedNode<'_>, digest: &str) -> Result<Goal, Refusal> {
    match place.facts.programs.contains_key(digest) {
        true => Ok(Goal { digest: digest.to_owned(), versions: versions_of(place.facts, digest) }),
        false => Err(Refusal::ProgramNotKept {
            host: place.host.clone(),
            digest: digest.to_owned(),
            known: place.facts.programs.keys().cloned().collect(),
        }),
    }
}

fn versions_of(facts: &HostFacts, digest: &str) -> Option<ProgramVersions> {
    facts.program_versions.get(digest).cloned()
}

/// The program that each node had before; `None` for one that stays. After an upgrade that has paused, nodes that it did not reach
/// remember an older change, which is not taken back: their program is what the others had before.
fn before(cluster: &ClusterName, places: &[ObservedNode<'_>]) -> Result<Vec<Option<String>>, Refused> {
    let changes: Vec<Option<(String, String)>> = places
        .iter()
        .map(|place| {
            let view = place.facts.node(&place.node);
            view.program_before.zip(view.program).filter(|(before, now)| before != now)
        })
        .collect();
    let all_before: BTreeSet<&String> = changes.iter().flatten().map(|(before, _)| before).collect();
    let is_newest = |(_, now): &&(String, String)| !all_before.contains(now);
    let goals: Vec<Option<String>> = changes
        .iter()
        .map(|change| change.as_ref().filter(is_newest).map(|(before, _)| before.clone()))
        .collect();
    match (goals.iter().any(Option::is_some), all_before.is_empty()) {
        (true, _) => Ok(goals),
        (false, true) => Err(Refusal::NoProgramBefore { cluster: cluster.clone() }.into()),
        (false, false) => {
            let programs = all_before.into_iter().cloned().collect();
            Err(Refusal::ProgramBeforeUnclear { cluster: cluster.clone(), programs }.into())
        }
    }
}
