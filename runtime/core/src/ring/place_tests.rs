use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ids::NodeId;

/// Nodes 1, 2, … on hosts `h<host>` in zones `z<zone>`.
fn nodes(places: &[(u64, usize, Option<usize>)]) -> Vec<PlaceNode> {
    let node = |(id, host, zone): &(u64, usize, Option<usize>)| PlaceNode {
        node_id: NodeId(*id),
        host: format!("h{host}").parse().unwrap(),
        zone: zone.map(|zone| format!("z{zone}")),
    };
    places.iter().map(node).collect()
}

/// One node for each host, ids from 1.
fn plain(count: u64) -> Vec<PlaceNode> {
    nodes(&(1..=count).map(|id| (id, id as usize, None)).collect::<Vec<_>>())
}

fn spread(nodes: &[PlaceNode], count: impl Fn(NodeId) -> usize) -> usize {
    let counts: Vec<usize> = nodes.iter().map(|node| count(node.node_id)).collect();
    counts.iter().max().unwrap() - counts.iter().min().unwrap()
}

/// What holds for every assignment, whatever the nodes.
fn check_sound(assignment: &Assignment, nodes: &[PlaceNode], tablets: u16, replicas: u32) {
    assert_eq!(assignment.tablets.len(), usize::from(tablets));
    let wanted = (replicas as usize).min(nodes.len());
    for tablet in &assignment.tablets {
        let distinct: BTreeSet<NodeId> = tablet.voters.iter().copied().collect();
        assert_eq!((distinct.len(), tablet.voters.len()), (wanted, wanted));
        assert!(distinct.iter().all(|id| nodes.iter().any(|node| node.node_id == *id)));
        assert!(distinct.contains(&tablet.preferred_leader));
        assert!(tablet.voters.is_sorted());
    }
}

fn check_balanced(assignment: &Assignment, nodes: &[PlaceNode]) {
    assert!(spread(nodes, |node| assignment.replicas_of(node)) <= 1, "replicas");
    assert!(spread(nodes, |node| assignment.leaders_of(node)) <= 1, "leaders");
}

/// In how many different places (hosts or zones) the replicas of each tablet lie, at the least.
fn distinct_places(
    assignment: &Assignment,
    nodes: &[PlaceNode],
    place: impl Fn(&PlaceNode) -> String,
) -> usize {
    let of = |id: &NodeId| place(nodes.iter().find(|node| node.node_id == *id).unwrap());
    let counts = assignment.tablets.iter().map(|t| t.voters.iter().map(of).collect::<BTreeSet<_>>().len());
    counts.min().unwrap()
}

#[test]
fn three_nodes_hold_everything_and_lead_a_third_each() {
    let nodes = plain(3);
    let assignment = place(&nodes, 12, 3, None);
    check_sound(&assignment, &nodes, 12, 3);
    for node in &nodes {
        assert_eq!((assignment.replicas_of(node.node_id), assignment.leaders_of(node.node_id)), (12, 4));
    }
}

#[test]
fn the_order_of_the_nodes_does_not_matter() {
    let mut nodes = plain(7);
    let forward = place(&nodes, 64, 3, None);
    nodes.reverse();
    assert_eq!(place(&nodes, 64, 3, None), forward);
}

#[test]
fn a_node_more_takes_no_more_than_its_share_and_a_node_less_gives_only_its_own() {
    for (tablets, replicas) in [(12, 3), (64, 3), (256, 3), (12, 1), (17, 2), (100, 5)] {
        let mut previous = place(&plain(1), tablets, replicas, None);
        let mut grown = vec![previous.clone()];
        for count in 2..=20_u64 {
            let nodes = plain(count);
            let next = place(&nodes, tablets, replicas, Some(&previous));
            check_sound(&next, &nodes, tablets, replicas);
            check_balanced(&next, &nodes);
            let all = next.tablets.iter().map(|t| t.voters.len()).sum::<usize>();
            let share = all.div_ceil(count as usize);
            assert!(next.moved_from(&previous) <= share, "{count} nodes, {tablets} tablets");
            assert_eq!(next.moved_from(&previous), next.replicas_of(NodeId(count)));
            previous = next;
            grown.push(previous.clone());
        }
        for count in (replicas.max(2) as u64..20).rev() {
            let nodes = plain(count);
            let next = place(&nodes, tablets, replicas, Some(&previous));
            check_balanced(&next, &nodes);
            let held = previous.replicas_of(NodeId(count + 1));
            let moved = next.moved_from(&previous);
            assert!(moved <= held + count as usize, "{count} nodes, {tablets} tablets: {moved} of {held}");
            previous = next;
        }
    }
}

#[test]
fn nothing_moves_when_nothing_changes() {
    let nodes = plain(5);
    let first = place(&nodes, 64, 3, None);
    assert_eq!(place(&nodes, 64, 3, Some(&first)), first);
}

#[test]
fn a_replaced_node_hands_its_place_to_the_new_one() {
    let before = plain(5);
    let first = place(&before, 12, 3, None);
    let mut after = before;
    after[2] = nodes(&[(9, 9, None)]).remove(0);
    let second = place(&after, 12, 3, Some(&first));
    check_balanced(&second, &after);
    assert_eq!(second.moved_from(&first), first.replicas_of(NodeId(3)));
}

#[test]
fn replicas_lie_on_different_hosts_and_zones_while_there_are_enough() {
    // Two nodes on each of three hosts.
    let pairs = nodes(&[(1, 1, None), (2, 1, None), (3, 2, None), (4, 2, None), (5, 3, None), (6, 3, None)]);
    let assignment = place(&pairs, 12, 3, None);
    check_balanced(&assignment, &pairs);
    assert_eq!(distinct_places(&assignment, &pairs, |node| node.host.to_string()), 3);

    // Six hosts in two zones: three replicas cannot lie in three zones, but must not lie in one.
    let zoned: Vec<_> = (1..=6).map(|id| (id, id as usize, Some(id as usize % 2))).collect();
    let zoned = nodes(&zoned);
    let assignment = place(&zoned, 12, 3, None);
    check_balanced(&assignment, &zoned);
    assert_eq!(distinct_places(&assignment, &zoned, |node| node.zone.clone().unwrap()), 2);

    // All on one host: allowed, because there is no other.
    let playground = nodes(&[(1, 1, None), (2, 1, None), (3, 1, None)]);
    let assignment = place(&playground, 12, 3, None);
    check_sound(&assignment, &playground, 12, 3);
    check_balanced(&assignment, &playground);
}

#[test]
fn an_earlier_crowding_of_one_host_is_undone_when_a_host_comes() {
    let crowded = nodes(&[(1, 1, None), (2, 1, None), (3, 2, None)]);
    let first = place(&crowded, 12, 2, None);
    assert_eq!(distinct_places(&first, &crowded, |node| node.host.to_string()), 2);
    let mut all_on_one = first.clone();
    for tablet in &mut all_on_one.tablets {
        (tablet.voters, tablet.preferred_leader) = (vec![NodeId(1), NodeId(2)], NodeId(1));
    }
    let second = place(&crowded, 12, 2, Some(&all_on_one));
    assert_eq!(distinct_places(&second, &crowded, |node| node.host.to_string()), 2);
    assert_eq!(second.moved_from(&all_on_one), 12);
}

#[test]
fn without_nodes_there_is_no_assignment() {
    assert_eq!(place(&[], 12, 3, None), Assignment::default());
}

fn any_nodes() -> impl Strategy<Value = Vec<PlaceNode>> {
    let place = (1..40_u64, 1..12_usize, prop::option::of(0..4_usize));
    prop::collection::vec(place, 1..25).prop_map(|places| {
        let mut seen = BTreeSet::new();
        let distinct: Vec<_> = places.into_iter().filter(|(id, _, _)| seen.insert(*id)).collect();
        nodes(&distinct)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any step from any nodes to any other nodes: sound, and on as many hosts as there can be.
    #[test]
    fn any_change_of_nodes_gives_a_sound_assignment(
        before in any_nodes(), after in any_nodes(), tablets in 1..40_u16, replicas in 1..6_u32,
    ) {
        let first = place(&before, tablets, replicas, None);
        check_sound(&first, &before, tablets, replicas);
        let second = place(&after, tablets, replicas, Some(&first));
        check_sound(&second, &after, tablets, replicas);
        let mut shuffled = after.clone();
        shuffled.reverse();
        prop_assert_eq!(&place(&shuffled, tablets, replicas, Some(&first)), &second);

        let hosts: BTreeSet<_> = after.iter().map(|node| node.host.clone()).collect();
        let is_zoned = after.iter().any(|node| node.zone.is_some());
        if hosts.len() >= replicas as usize && !is_zoned {
            let wanted = (replicas as usize).min(after.len());
            prop_assert_eq!(distinct_places(&second, &after, |node| node.host.to_string()), wanted);
        }
    }

    /// One node for each host, no zones: always balanced, wherever it came from.
    #[test]
    fn any_change_of_hosts_gives_a_balanced_assignment(
        before in prop::collection::btree_set(1..40_u64, 1..20),
        after in prop::collection::btree_set(1..40_u64, 1..20),
        tablets in 1..80_u16, replicas in 1..6_u32,
    ) {
        let of = |ids: &BTreeSet<u64>| nodes(&ids.iter().map(|id| (*id, *id as usize, None)).collect::<Vec<_>>());
        let (before, after) = (of(&before), of(&after));
        let first = place(&before, tablets, replicas, None);
        check_balanced(&first, &before);
        let second = place(&after, tablets, replicas, Some(&first));
        check_sound(&second, &after, tablets, replicas);
        check_balanced(&second, &after);
    }
}
