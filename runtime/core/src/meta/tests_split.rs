use super::tests::{change, drive, founded, node_in, register, words};
use super::*;
use crate::ids::TabletId;
use crate::ring::SLOTS;

fn split(state: &mut MetaState, tablet: u16, child: u16) -> String {
    change(state, MemberChange::SplitTablet { tablet: TabletId(tablet), child: TabletId(child) })
}

fn done(state: &mut MetaState, child: u16) -> String {
    words(&state.apply(&MetaCommand::TabletSplit { child: TabletId(child) }))
}

fn begun(members: u64) -> MetaState {
    let mut state = founded(members);
    for tablet in (0..12).map(TabletId) {
        state.apply(&MetaCommand::TabletFounded { tablet });
    }
    state
}

#[test]
fn a_split_is_recorded_reported_and_then_in_the_ring_map() {
    let mut state = begun(3);
    let before = state.ring().unwrap().clone();
    assert_eq!(split(&mut state, 3, 12), "done");
    assert_eq!(split(&mut state, 3, 12), "done", "a retry");
    assert_eq!(state.ring(), Some(&before), "nobody is sent to a tablet that has no leader");
    let first_slot = state.splits()[0].first_slot;
    assert_eq!(done(&mut state, 12), "done");
    assert_eq!(done(&mut state, 12), "done", "a retry");
    assert_eq!(split(&mut state, 3, 12), "done", "a late retry");
    assert!(state.splits().is_empty() && state.is_founded());
    let ring = state.ring().unwrap();
    assert_eq!((ring.tablets.len(), ring.version.0), (13, before.version.0 + 1));
    let (parent, child) = (ring.place_of(TabletId(3)).unwrap(), ring.place_of(TabletId(12)).unwrap());
    let old = before.place_of(TabletId(3)).unwrap();
    assert_eq!(
        (parent.first_slot, child.first_slot, child.last_slot),
        (old.first_slot, first_slot, old.last_slot)
    );
    assert_eq!(parent.last_slot.0 + 1, child.first_slot.0);
    assert_eq!((parent.epoch, child.epoch, &child.voters), (old.epoch + 1, old.epoch + 1, &old.voters));
    assert_eq!(state.founding_tablets(), 12);
    let decoded = MetaState::decode(&state.encode()).unwrap();
    assert_eq!(decoded, state);
    assert_eq!(MetaState::from(&MetaView::of(&state).unwrap()), state);
}

#[test]
fn what_cannot_be_split_is_refused() {
    let check = |state: &mut MetaState, tablet, child, want: &str| {
        let said = split(state, tablet, child);
        assert!(said.contains(want), "{said}");
    };
    check(&mut founded(3), 0, 12, "tablet 0 has had no leader yet");
    let mut state = begun(3);
    check(&mut state, 12, 13, "there is no tablet 12");
    check(&mut state, 0, 13, "tablet id 13 is not the next one, 12");
    split(&mut state, 0, 12);
    check(&mut state, 0, 13, "tablet 0 is being split already, into 12");
    check(&mut state, 1, 12, "tablet id 12 is not the next one, 13");
    assert_eq!(split(&mut state, 1, 13), "done");
    assert_eq!(
        words(&state.apply(&MetaCommand::TabletSplit { child: TabletId(14) })),
        "there is no tablet 14"
    );
}

#[test]
fn merges_and_splits_wait_for_each_other() {
    let mut state = begun(3);
    split(&mut state, 0, 12);
    change(&mut state, register(4));
    change(&mut state, node_in(4));
    assert!(state.steps(1).is_empty(), "automerge waits");
    let said = change(&mut state, MemberChange::Merge);
    assert!(said.contains("tablet 0 is being split"), "{said}");
    done(&mut state, 12);
    let step = state.steps(1).remove(0);
    let MergeStep::Propose(command) = step else { panic!("{step:?}") };
    assert_eq!(words(&state.apply(&command)), "done");
    assert!(state.merge().is_some());
    let said = split(&mut state, 1, 13);
    assert!(said.contains("a merge is Doing"), "{said}");
    drive(&mut state);
    assert!(state.merge().is_none());
    assert_eq!(split(&mut state, 1, 13), "done");
}

/// Tablets out of the order of their ids are moved where the placement wants them.
#[test]
fn what_was_split_is_balanced_by_the_next_merge() {
    let mut state = begun(3);
    for child in 12..24 {
        assert_eq!(split(&mut state, child - 12, child), "done");
        assert_eq!(done(&mut state, child), "done");
    }
    for node in 4..=6 {
        change(&mut state, register(node));
        change(&mut state, node_in(node));
        drive(&mut state);
    }
    let ring = state.ring().unwrap();
    let led = |node| ring.tablets.iter().filter(|place| place.preferred_leader == NodeId(node)).count();
    assert_eq!((1..=6).map(led).collect::<Vec<_>>(), [4; 6]);
    assert!(ring.tablets.iter().all(|place| place.voters.len() == 3 && place.learners.is_empty()));
}

#[test]
fn a_tablet_of_one_slot_stays_whole() {
    let mut state = begun(1);
    let (mut tablet, mut child) = (0, 12);
    while state
        .ring()
        .unwrap()
        .place_of(TabletId(tablet))
        .is_some_and(|place| place.first_slot != place.last_slot)
    {
        assert_eq!(split(&mut state, tablet, child), "done");
        done(&mut state, child);
        (tablet, child) = (child, child + 1);
    }
    let said = split(&mut state, tablet, child);
    assert!(said.contains(&format!("has one slot of {SLOTS}")), "{said}");
}
