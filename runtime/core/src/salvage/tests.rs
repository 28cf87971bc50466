use super::*;

fn range(first: u16, last: u16) -> SlotRange {
    SlotRange { first: SlotId(first), last: SlotId(last) }
}

fn replica(term: u64, index: u64, voters: &[&[u64]]) -> SalvagedReplica {
    let voters = voters.iter().map(|set| set.iter().copied().map(NodeId).collect()).collect();
    SalvagedReplica { end: LogPosition { term, index }, voters }
}

fn tablet(id: u16, slots: (u16, u16), replica: SalvagedReplica) -> SalvagedTablet {
    let (tablet, slots) = (TabletId(id), range(slots.0, slots.1));
    SalvagedTablet { tablet, slots, replica, clock_ms: 7, records: 3, split_from: None }
}

fn server(id: u64, meta: &[u64], tablets: Vec<SalvagedTablet>) -> SalvagedServer {
    SalvagedServer {
        cluster_id: ClusterId(uuid::Uuid::nil()),
        node_id: NodeId(id),
        node_uuid: NodeUuid(uuid::Uuid::from_u128(u128::from(id))),
        is_put_back: false,
        meta: Some(replica(1, 1, &[meta])),
        tablets,
    }
}

const ALL: (u16, u16) = (0, 16_383);

/// Node and tablet of a part, its slots, and whether it is complete.
type Shown = (u64, u16, Vec<(u16, u16)>, bool);

fn shown(salvage: &Salvage) -> Vec<Shown> {
    let slots = |part: &SalvagePart| part.slots.iter().map(|slots| (slots.first.0, slots.last.0)).collect();
    salvage.parts.iter().map(|part| (part.node.0, part.tablet.0, slots(part), part.is_complete)).collect()
}

#[test]
fn the_log_that_ends_last_is_chosen_by_its_term_before_its_length() {
    let check = |ends: &[(u64, u64)], want: u64| {
        let servers: Vec<_> = (1..)
            .zip(ends)
            .map(|(id, (term, index))| {
                server(
                    id,
                    &[1, 2, 3, 4, 5],
                    vec![tablet(0, ALL, replica(*term, *index, &[&[1, 2, 3, 4, 5]]))],
                )
            })
            .collect();
        let salvage = choose(&servers);
        assert_eq!(salvage.parts[0].node.0, want, "{ends:?}");
        assert_eq!(
            salvage.parts[0].end,
            LogPosition { term: ends[want as usize - 1].0, index: ends[want as usize - 1].1 }
        );
        assert_eq!(salvage.lost, []);
    };
    check(&[(3, 10), (3, 12)], 2);
    check(&[(3, 12), (3, 10)], 1);
    check(&[(3, 900), (4, 5)], 2);
    check(&[(3, 10), (3, 10)], 1);
}

#[test]
fn a_tablet_is_complete_only_if_no_majority_could_do_without_the_survivors() {
    let check = |voters: &[&[u64]], survivors: &[u64], is_complete: bool, has_quorum: bool| {
        let servers: Vec<_> = survivors
            .iter()
            .map(|id| server(*id, voters[0], vec![tablet(0, ALL, replica(2, 5, voters))]))
            .collect();
        let salvage = choose(&servers);
        assert_eq!(salvage.parts[0].is_complete, is_complete, "{voters:?} {survivors:?}");
        assert_eq!(salvage.has_quorum, has_quorum, "{voters:?} {survivors:?}");
    };
    check(&[&[1]], &[1], true, true);
    // Two replicas acknowledge together: one that is left has everything.
    check(&[&[1, 2]], &[2], true, false);
    check(&[&[1, 2, 3]], &[1], false, false);
    check(&[&[1, 2, 3]], &[1, 3], true, true);
    check(&[&[1, 2, 3, 4]], &[1], false, false);
    check(&[&[1, 2, 3, 4]], &[1, 4], true, false);
    check(&[&[1, 2, 3, 4, 5]], &[1, 4], false, false);
    // While voters change, both sets have to agree.
    check(&[&[1, 2, 3], &[4, 5, 6]], &[1, 2, 3], false, false);
    check(&[&[1, 2, 3], &[1, 2, 6]], &[1, 2], true, true);
    // One that is no voter proves nothing.
    check(&[&[1, 2, 3]], &[1, 9], false, false);
}

#[test]
fn an_older_copy_is_read_but_proves_nothing() {
    let of = |id, index| server(id, &[1, 2, 3], vec![tablet(0, ALL, replica(2, index, &[&[1, 2, 3]]))]);
    let put_back = SalvagedServer { is_put_back: true, ..of(2, 9) };
    let salvage = choose(&[of(1, 5), put_back]);
    assert_eq!(shown(&salvage), [(2, 0, vec![ALL], false)]);
    assert!(!salvage.has_quorum);
}

#[test]
fn slots_that_nobody_has_are_named() {
    let two = |id| tablet(id, if id == 0 { (0, 8_191) } else { (8_192, 12_000) }, replica(1, 1, &[&[1, 2]]));
    let salvage = choose(&[server(1, &[1, 2], vec![two(1)])]);
    assert_eq!(salvage.lost, [range(0, 8_191), range(12_001, 16_383)]);
    assert_eq!(choose(&[server(1, &[1], vec![])]).lost, [range(0, 16_383)]);
    let none = choose(&[]);
    assert_eq!((none.parts, none.has_quorum), (vec![], false));
}

#[test]
fn a_tablet_that_came_of_a_split_has_its_slots_before_a_parent_that_does_not_know_of_it() {
    let voters: &[&[u64]] = &[&[1, 2, 3]];
    let stale = server(1, &[1, 2, 3], vec![tablet(0, ALL, replica(1, 4, voters))]);
    let child = server(2, &[1, 2, 3], vec![tablet(1, (9_000, 16_383), replica(0, 0, voters))]);
    let salvage = choose(&[stale.clone(), child.clone()]);
    assert_eq!(shown(&salvage), [(1, 0, vec![(0, 8_999)], true), (2, 1, vec![(9_000, 16_383)], true)]);
    // One that came of a later split of the parent, in the middle of what the parent had.
    let second = server(3, &[1, 2, 3], vec![tablet(2, (5_000, 8_999), replica(0, 0, voters))]);
    let salvage = choose(&[stale, second]);
    assert_eq!(
        shown(&salvage),
        [(1, 0, vec![(0, 4_999), (9_000, 16_383)], true), (3, 2, vec![(5_000, 8_999)], true)]
    );
}

#[test]
fn what_an_entry_begins_counts_only_with_the_log_that_has_it() {
    let voters: &[&[u64]] = &[&[1, 2, 3, 4, 5]];
    let begun =
        SalvagedTablet { split_from: Some(TabletId(0)), ..tablet(1, (9_000, 16_383), replica(0, 0, voters)) };
    let split = server(1, &[1, 2, 3, 4, 5], vec![tablet(0, (0, 8_999), replica(2, 8, voters)), begun]);
    let salvage = choose(std::slice::from_ref(&split));
    assert_eq!(shown(&salvage), [(1, 0, vec![(0, 8_999)], false), (1, 1, vec![(9_000, 16_383)], false)]);
    // A later leader never had that split: its log wins, and so do its slots.
    let later = server(2, &[1, 2, 3, 4, 5], vec![tablet(0, ALL, replica(3, 6, voters))]);
    assert_eq!(shown(&choose(&[split, later])), [(2, 0, vec![ALL], false)]);
}
