//! Prints how the ring spreads a million keys over 1 to 50 nodes: each node's share, and what moves at each step.
//! `cargo run -p dkc-core --example placement`

use std::error::Error;
use std::io::Write;

use dkc_core::ids::{Namespace, NodeId};
use dkc_core::ring::{Assignment, PlaceNode, SLOTS, place, slot_of, tablet_ranges};

const KEYS: u32 = 1_000_000;
const TABLETS: u16 = 256;
const REPLICAS: u32 = 3;
const NODES_MAX: u64 = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let keys = keys_by_tablet();
    let all_copies = |nodes: u64| f64::from(KEYS) * f64::from(REPLICAS.min(nodes as u32));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{KEYS} keys, {TABLETS} tablets, {REPLICAS} replicas; shares are of all copies")?;
    writeln!(
        out,
        "nodes  tablets/node  leaders/node  share min   mean    max   moved  fair share  moved back"
    )?;
    let mut previous = Assignment::default();
    for count in 1..=NODES_MAX {
        let nodes = (1..=count).map(node).collect::<Result<Vec<_>, _>>()?;
        let next = place(&nodes, TABLETS, REPLICAS, Some(&previous));
        let shrunk = place(&nodes[..nodes.len() - 1], TABLETS, REPLICAS, Some(&next));
        let copies = |id: NodeId| copies_of(&next, &keys, |voters| voters.contains(&id)) as f64;
        let shares: Vec<f64> =
            nodes.iter().map(|node| percent(copies(node.node_id), all_copies(count))).collect();
        let (min, max) =
            (shares.iter().copied().fold(100.0, f64::min), shares.iter().copied().fold(0.0, f64::max));
        writeln!(
            out,
            "{count:>5}  {:>12}  {:>12}  {min:>8.2}%  {:>5.2}%  {max:>5.2}%  {:>5.2}%  {:>9.2}%  {:>9.2}%",
            range(&nodes, |id| next.replicas_of(id)),
            range(&nodes, |id| next.leaders_of(id)),
            percent(1.0, count as f64),
            percent(copied(&previous, &next, &keys) as f64, all_copies(count)),
            percent(1.0, count as f64),
            percent(copied(&next, &shrunk, &keys) as f64, all_copies(count)),
        )?;
        previous = next;
    }
    Ok(())
}

fn node(id: u64) -> Result<PlaceNode, Box<dyn Error>> {
    Ok(PlaceNode { node_id: NodeId(id), host: format!("host{id}").parse()?, zone: None })
}

fn keys_by_tablet() -> Vec<u64> {
    let mut by_slot = vec![0_u64; SLOTS as usize];
    let namespace = Namespace::default();
    for n in 0..KEYS {
        by_slot[usize::from(slot_of(&namespace, format!("key-{n}").as_bytes()).0)] += 1;
    }
    let keys_of = |(_, first, last): (_, dkc_core::ring::SlotId, dkc_core::ring::SlotId)| {
        by_slot[usize::from(first.0)..=usize::from(last.0)].iter().sum()
    };
    tablet_ranges(TABLETS).map(keys_of).collect()
}

/// Keys in the tablets whose voters `is_counted`.
fn copies_of(assignment: &Assignment, keys: &[u64], is_counted: impl Fn(&[NodeId]) -> bool) -> u64 {
    let counted = assignment.tablets.iter().zip(keys).filter(|(tablet, _)| is_counted(&tablet.voters));
    counted.map(|(_, keys)| keys).sum()
}

/// Keys that are copied to a node that did not have them.
fn copied(before: &Assignment, after: &Assignment, keys: &[u64]) -> u64 {
    let added = |(new, old): (&dkc_core::ring::Assigned, &dkc_core::ring::Assigned)| {
        new.voters.iter().filter(|node| !old.voters.contains(node)).count() as u64
    };
    after.tablets.iter().zip(&before.tablets).map(added).zip(keys).map(|(added, keys)| added * keys).sum()
}

fn range(nodes: &[PlaceNode], count: impl Fn(NodeId) -> usize) -> String {
    let counts: Vec<usize> = nodes.iter().map(|node| count(node.node_id)).collect();
    match (counts.iter().min(), counts.iter().max()) {
        (Some(min), Some(max)) if min != max => format!("{min}–{max}"),
        (Some(min), _) => min.to_string(),
        _ => "-".into(),
    }
}

fn percent(part: f64, of: f64) -> f64 {
    100.0 * part / of
}
