use super::*;
use crate::ids::RingVersion;
use crate::ring::{PlaceNode, members_after, placement_after};

const TABLETS: u16 = 12;

fn cluster() -> ClusterId {
    "11111111-1111-4111-8111-111111111111".parse().unwrap()
}

fn uuid(n: u64) -> NodeUuid {
    format!("22222222-2222-4222-8222-{n:012}").parse().unwrap()
}

fn address(n: u64) -> NodeAddress {
    format!("10.77.0.{}:8020", 10 + n).parse().unwrap()
}

fn founder(n: u64) -> Founder {
    Founder { node_id: NodeId(n), uuid: uuid(n), number: MemberNo(n as u32), address: address(n), zone: None }
}

fn found(members: u64) -> MetaCommand {
    let nodes = (1..=members).map(founder).collect();
    MetaCommand::Found { cluster: cluster(), nodes, tablets: TABLETS, replicas: 3 }
}

pub(super) fn founded(members: u64) -> MetaState {
    let mut state = MetaState::default();
    assert_eq!(state.apply(&found(members)), MetaReply::Done);
    state
}

pub(super) fn register(n: u64) -> MemberChange {
    MemberChange::RegisterNode {
        node_id: NodeId(n),
        uuid: uuid(n),
        number: MemberNo(n as u32),
        address: address(n),
        zone: None,
    }
}

pub(super) fn change(state: &mut MetaState, change: MemberChange) -> String {
    words(&state.apply(&MetaCommand::Change { operation: None, change }))
}

/// The reply as a person would read it.
pub(super) fn words(reply: &MetaReply) -> String {
    match reply {
        MetaReply::Done => "done".into(),
        MetaReply::Registered { node_id } => format!("node {node_id}"),
        MetaReply::Refused(refused) => refused.to_string(),
        MetaReply::Enrolled { slave, .. } => format!("slave {slave}"),
    }
}

fn state_of(state: &MetaState, n: u64) -> String {
    let node = state.node(NodeId(n)).expect("a member");
    format!("{} {} {}", node.in_ring, node.action, node.operate)
}

pub(super) fn node_in(n: u64) -> MemberChange {
    MemberChange::ServiceIn { node: NodeId(n) }
}

fn node_out(n: u64) -> MemberChange {
    MemberChange::ServiceOut { node: NodeId(n) }
}

/// Does what a driver would: answers each step at once, until there are none.
pub(super) fn drive(state: &mut MetaState) {
    for _ in 0..10_000 {
        for Leaving { tablet, node, since } in state.leaving().to_vec() {
            let dropped = MetaCommand::ReplicaDropped { tablet, node, since };
            assert_eq!(state.apply(&dropped), MetaReply::Done);
        }
        let steps = state.steps(1);
        if steps.is_empty() {
            return;
        }
        let merge = state.merge().map_or(RingVersion(0), |merge| merge.id);
        for step in steps {
            let command = match step {
                MergeStep::AddLearners { tablet, .. } => MetaCommand::MoveStarted { merge, tablet },
                MergeStep::AwaitCaughtUp { tablet, .. } => MetaCommand::CaughtUp { merge, tablet },
                MergeStep::ChangeVoters { tablet, .. } => MetaCommand::MoveDone { merge, tablet },
                MergeStep::Propose(command) => command,
            };
            assert_eq!(state.apply(&command), MetaReply::Done, "{command:?}");
        }
    }
    panic!("the driver does not come to an end");
}

#[test]
fn founding_places_every_tablet_and_is_idempotent() {
    let mut state = founded(3);
    let ring = state.ring().unwrap().clone();
    assert_eq!((ring.version, ring.tablets.len(), ring.nodes.len()), (RingVersion(1), 12, 3));
    assert!(
        ring.tablets
            .iter()
            .all(|place| place.voters == [NodeId(1), NodeId(2), NodeId(3)] && place.epoch == 1)
    );
    assert_eq!(state_of(&state, 2), "[SERVICE IN] [n/a] [Nothing]");
    assert_eq!((state.is_founded(), state.unfounded_tablets().count()), (false, 12));

    assert_eq!(state.apply(&found(3)), MetaReply::Done);
    assert_eq!(state.ring(), Some(&ring));
    for tablet in (0..TABLETS).map(TabletId) {
        assert_eq!(state.apply(&MetaCommand::TabletFounded { tablet }), MetaReply::Done);
    }
    assert!(state.is_founded());
}

#[test]
fn another_founding_is_refused() {
    let mut state = founded(3);
    assert_eq!(
        words(&state.apply(&found(4))),
        "the cluster was already founded as 11111111-1111-4111-8111-111111111111 with other members or another shape"
    );
    let nothing = MetaCommand::Found { cluster: cluster(), nodes: vec![], tablets: 12, replicas: 3 };
    assert_eq!(words(&state.apply(&nothing)), "the cluster cannot be founded: it has no members");
    let twice = MetaCommand::Found {
        cluster: cluster(),
        nodes: vec![founder(1), founder(1)],
        tablets: 1,
        replicas: 1,
    };
    assert_eq!(
        words(&state.apply(&twice)),
        "the cluster cannot be founded: two members have the same node id"
    );
    let mut empty = MetaState::default();
    assert_eq!(
        change(&mut empty, MemberChange::Merge),
        "the cluster is not founded yet; `dkc start cluster` founds it"
    );
    let unknown = MetaCommand::TabletFounded { tablet: TabletId(99) };
    assert_eq!(words(&state.apply(&unknown)), "there is no tablet 99");
}

#[test]
fn a_node_joins_merges_by_itself_and_takes_its_share() {
    let mut state = founded(3);
    assert_eq!(change(&mut state, register(4)), "node 4");
    assert_eq!(change(&mut state, register(4)), "node 4");
    assert_eq!(state_of(&state, 4), "[SERVICE OUT] [n/a] [Nothing]");
    assert_eq!(state.steps(1), []);

    assert_eq!(change(&mut state, node_in(4)), "done");
    assert_eq!(state_of(&state, 4), "[SERVICE IN] [ADD] [Pending]");
    drive(&mut state);
    assert_eq!(state_of(&state, 4), "[SERVICE IN] [n/a] [Nothing]");
    let ring = state.ring().unwrap();
    let held = ring.tablets.iter().filter(|place| place.voters.contains(&NodeId(4)));
    assert_eq!(held.clone().count(), 9);
    assert!(held.clone().all(|place| place.epoch == 2 && place.learners.is_empty()));
    assert_eq!(ring.tablets.iter().filter(|place| place.preferred_leader == NodeId(4)).count(), 3);
}

#[test]
fn one_node_grows_to_three_and_shrinks_back() {
    let mut state = founded(1);
    for n in 2..=3 {
        change(&mut state, register(n));
        change(&mut state, node_in(n));
    }
    assert_eq!(change(&mut state, MemberChange::Merge), "done");
    let Some(MergeStep::AddLearners { learners, .. }) = state.steps(1).first().cloned() else {
        panic!("no move")
    };
    assert_eq!(learners, [NodeId(2), NodeId(3)]);
    drive(&mut state);
    assert!(state.ring().unwrap().tablets.iter().all(|place| place.voters.len() == 3));

    assert_eq!(
        (change(&mut state, node_out(1)), change(&mut state, node_out(2))),
        ("done".into(), "done".into())
    );
    assert_eq!(
        change(&mut state, node_out(3)),
        "SERVICEOUT is not possible: No.3 is [SERVICE IN] [n/a] [Nothing] and the last member in service; \
         next: SERVICEIN of another member"
    );
    drive(&mut state);
    assert_eq!(state_of(&state, 1), "[SERVICE OUT] [n/a] [Nothing]");
    assert!(state.ring().unwrap().tablets.iter().all(|place| place.voters == [NodeId(3)]));
}

#[test]
fn the_driver_keeps_to_its_bound_and_every_step_may_come_twice() {
    let mut state = founded(3);
    change(&mut state, register(4));
    change(&mut state, node_in(4));
    change(&mut state, MemberChange::Merge);
    let merge = state.merge().unwrap().id;
    assert_eq!(state.steps(2).len(), 2);
    let Some(MergeStep::AddLearners { tablet, .. }) = state.steps(2).first().cloned() else {
        panic!("no move")
    };
    for _ in 0..2 {
        assert_eq!(state.apply(&MetaCommand::MoveStarted { merge, tablet }), MetaReply::Done);
    }
    assert_eq!(state.ring().unwrap().place_of(tablet).unwrap().learners, [NodeId(4)]);
    assert_eq!(state.steps(1), [MergeStep::AwaitCaughtUp { tablet, learners: vec![NodeId(4)] }]);
    for _ in 0..2 {
        assert_eq!(state.apply(&MetaCommand::CaughtUp { merge, tablet }), MetaReply::Done);
    }
    assert_eq!(state_of(&state, 4), "[SERVICE IN] [ADD] [Doing]");
    assert_eq!(
        words(&state.apply(&MetaCommand::MoveDone { merge, tablet })),
        "ending a move is not possible: a merge is Doing (1 of 9 tablets have caught up); next: COMPMERGE"
    );
}

#[test]
fn a_replica_that_was_given_up_comes_back_only_after_it_was_dropped() {
    let mut state = founded(3);
    change(&mut state, register(4));
    change(&mut state, node_in(4));
    change(&mut state, MemberChange::Merge);
    let (merge, tablet) = (state.merge().unwrap().id, state.merge().unwrap().moves[0].tablet);
    let confirm = MetaCommand::ConfirmMove { merge, tablet };
    assert_eq!(state.apply(&confirm), MetaReply::Done);
    state.apply(&MetaCommand::MoveStarted { merge, tablet });
    assert_eq!(state.leaving(), []);
    change(&mut state, MemberChange::AbortMerge);
    let left = Leaving { tablet, node: NodeId(4), since: state.ring().unwrap().version };
    assert_eq!(state.leaving(), [left]);
    assert_eq!(
        words(&state.apply(&confirm)),
        "moving a tablet is not possible: that merge does not run (any more); next: MERGE"
    );

    change(&mut state, MemberChange::Merge);
    let is_begun = |state: &MetaState| {
        state
            .steps(100)
            .iter()
            .any(|step| matches!(step, MergeStep::AddLearners { tablet: t, .. } if *t == tablet))
    };
    assert!(!is_begun(&state) && state.steps(100).len() == 8, "the other tablets need not wait");
    // Word of an earlier incarnation of the replica does not count.
    let dropped = |since| MetaCommand::ReplicaDropped { tablet, node: NodeId(4), since };
    state.apply(&dropped(RingVersion(left.since.0 - 1)));
    assert!(!is_begun(&state));
    state.apply(&dropped(left.since));
    assert!(is_begun(&state) && state.leaving().is_empty());

    // What a removed node has not dropped is waited for no longer.
    drive(&mut state);
    change(&mut state, node_out(4));
    change(&mut state, MemberChange::Merge);
    let merge = state.merge().unwrap().id;
    for one in state.merge().unwrap().moves.clone() {
        for command in [
            MetaCommand::MoveStarted { merge, tablet: one.tablet },
            MetaCommand::CaughtUp { merge, tablet: one.tablet },
        ] {
            state.apply(&command);
        }
    }
    change(&mut state, MemberChange::CompleteMerge);
    for one in state.merge().unwrap().moves.clone() {
        assert_eq!(state.apply(&MetaCommand::MoveDone { merge, tablet: one.tablet }), MetaReply::Done);
    }
    assert_eq!(state.leaving().iter().filter(|one| one.node == NodeId(4)).count(), 9);
    assert_eq!(change(&mut state, MemberChange::RemoveNode { node: NodeId(4) }), "done");
    assert_eq!(state.leaving().iter().filter(|one| one.node == NodeId(4)).count(), 0);
}

#[test]
fn a_late_word_about_an_aborted_merge_does_not_count_for_the_next() {
    let mut state = founded(3);
    change(&mut state, register(4));
    change(&mut state, node_in(4));
    change(&mut state, MemberChange::Merge);
    let (old, tablet) = (state.merge().unwrap().id, state.merge().unwrap().moves[0].tablet);
    state.apply(&MetaCommand::MoveStarted { merge: old, tablet });
    assert_eq!(change(&mut state, MemberChange::AbortMerge), "done");
    assert_eq!(state_of(&state, 4), "[SERVICE IN] [ADD] [Pending]");
    assert!(state.ring().unwrap().tablets.iter().all(|place| place.learners.is_empty() && place.epoch == 1));
    assert_eq!(state.steps(1), [], "automerge does not begin again what was just aborted");

    change(&mut state, MemberChange::Merge);
    assert_eq!(
        words(&state.apply(&MetaCommand::CaughtUp { merge: old, tablet })),
        "catching up is not possible: that merge does not run (any more); next: MERGE"
    );
    assert_eq!(state.merge().unwrap().moves[0].state, MoveState::Waiting);
}

#[test]
fn each_word_out_of_place_says_the_state_and_what_comes_next() {
    let mut state = founded(3);
    state.apply(&MetaCommand::SetAutomerge { is_on: false });
    let check = |state: &mut MetaState, word: MemberChange, want: &str| assert_eq!(change(state, word), want);
    let nothing = "nothing is merging; next: SERVICEIN or SERVICEOUT";
    check(&mut state, MemberChange::CompleteMerge, &format!("COMPMERGE is not possible: {nothing}"));
    check(&mut state, MemberChange::AbortMerge, &format!("ABORTMERGE is not possible: {nothing}"));
    check(
        &mut state,
        MemberChange::Merge,
        "MERGE is not possible: no member is [Pending]; next: SERVICEIN or SERVICEOUT",
    );
    check(&mut state, node_in(9), "no member has node id 9");
    check(&mut state, node_in(1), "done");
    check(
        &mut state,
        MemberChange::RemoveNode { node: NodeId(1) },
        "removing a node is not possible: No.1 is [SERVICE IN] [n/a] [Nothing]; next: SERVICEOUT, then MERGE and \
         COMPMERGE",
    );

    // Taken back before anything moved.
    check(&mut state, node_out(1), "done");
    assert_eq!(state_of(&state, 1), "[SERVICE IN] [DELETE] [Pending]");
    check(
        &mut state,
        MemberChange::CompleteMerge,
        "COMPMERGE is not possible: No.1 is [SERVICE IN] [DELETE] [Pending]; next: MERGE",
    );
    check(&mut state, node_in(1), "done");
    assert_eq!(state_of(&state, 1), "[SERVICE IN] [n/a] [Nothing]");

    check(&mut state, register(4), "node 4");
    check(&mut state, node_in(4), "done");
    check(&mut state, node_out(4), "done");
    assert_eq!(state_of(&state, 4), "[SERVICE OUT] [n/a] [Nothing]");
    check(&mut state, node_out(4), "done");

    check(&mut state, node_in(4), "done");
    check(&mut state, MemberChange::Merge, "done");
    let doing =
        "a merge is Doing (0 of 9 tablets have caught up); next: wait until all is Done, or ABORTMERGE";
    check(&mut state, MemberChange::Merge, &format!("MERGE is not possible: {doing}"));
    check(&mut state, MemberChange::CompleteMerge, &format!("COMPMERGE is not possible: {doing}"));
    check(&mut state, node_out(1), &format!("SERVICEOUT is not possible: {doing}"));
    drive(&mut state);
    assert_eq!(state_of(&state, 4), "[SERVICE IN] [ADD] [Done]");
    check(
        &mut state,
        node_out(1),
        "SERVICEOUT is not possible: a merge is Done (9 of 9 tablets have caught up); next: COMPMERGE, or ABORTMERGE",
    );
    check(&mut state, MemberChange::CompleteMerge, "done");
    check(
        &mut state,
        MemberChange::AbortMerge,
        "ABORTMERGE is not possible: COMPMERGE is running (0 of 9 tablets done); next: wait until COMPMERGE has ended",
    );
    drive(&mut state);
    assert_eq!(state_of(&state, 4), "[SERVICE IN] [n/a] [Nothing]");
}

#[test]
fn suspended_merges_gather_several_nodes_and_merge_once() {
    let mut state = founded(3);
    change(&mut state, MemberChange::SuspendMerge);
    for n in 4..=6 {
        change(&mut state, register(n));
        change(&mut state, node_in(n));
        assert_eq!(state.steps(1), []);
    }
    let before = state.ring().unwrap().tablets.clone();
    change(&mut state, MemberChange::NoSuspendMerge);
    drive(&mut state);
    let ring = state.ring().unwrap();
    assert!(ring.tablets.iter().zip(&before).all(|(new, old)| new.epoch <= old.epoch + 1));
    assert!(ring.nodes.iter().all(|node| node.operate == crate::ring::ActionProgress::Nothing));
}

#[test]
fn a_removed_node_never_comes_back() {
    let mut state = founded(4);
    change(&mut state, node_out(2));
    drive(&mut state);
    let remove = MemberChange::RemoveNode { node: NodeId(2) };
    assert_eq!(change(&mut state, remove.clone()), "done");
    assert_eq!(change(&mut state, remove), "done");
    assert!(state.node(NodeId(2)).is_none() && state.removed(uuid(2)).is_some());
    assert_eq!(
        change(&mut state, register(2)),
        "node 22222222-2222-4222-8222-000000000002 was removed from this cluster (it was No.2) and can never return; \
         give the host a new data directory"
    );
    // Another data directory on the same host, under the same number, is another node.
    let another = |id, uuid, number, address| MemberChange::RegisterNode {
        node_id: NodeId(id),
        uuid,
        number: MemberNo(number),
        address,
        zone: None,
    };
    assert_eq!(
        change(&mut state, another(2, uuid(22), 2, address(2))),
        "node id 2 was given out before; the next one is 5"
    );
    assert_eq!(change(&mut state, another(5, uuid(22), 2, address(2))), "node 5");
    let taken = another(6, uuid(23), 7, address(1));
    assert_eq!(change(&mut state, taken), "address 10.77.0.11:8020 is already taken by No.1");
    assert_eq!(state.apply(&found(4)), MetaReply::Done, "founding again stays a retry");
}

#[test]
fn a_second_operation_is_refused_with_the_name_of_the_first() {
    let mut state = founded(3);
    let id = |n: u128| OperationId(uuid::Uuid::from_u128(n));
    let begin = |n, holder: &str, what: &str| MetaCommand::BeginOperation {
        id: id(n),
        holder: holder.into(),
        what: what.into(),
    };
    assert_eq!(words(&state.apply(&begin(1, "ann@admin1", "grow c0 by 10.77.0.14:8020"))), "done");
    assert_eq!(words(&state.apply(&begin(1, "ann@admin1", "grow c0 by 10.77.0.14:8020"))), "done");
    let held = "ann@admin1 is doing 'grow c0 by 10.77.0.14:8020' (operation 00000000-0000-0000-0000-000000000001); \
                wait for it, or resume or abort it first";
    assert_eq!(words(&state.apply(&begin(2, "bob@admin2", "shrink c0"))), held);
    assert_eq!(change(&mut state, register(4)), held);
    let own = MetaCommand::Change { operation: Some(id(1)), change: register(4) };
    assert_eq!(words(&state.apply(&own)), "node 4");
    let own = MetaCommand::Change { operation: Some(id(1)), change: node_in(4) };
    assert_eq!(words(&state.apply(&own)), "done");
    drive(&mut state);
    assert_eq!(words(&state.apply(&MetaCommand::EndOperation { id: id(1) })), "done");
    let late = MetaCommand::Change { operation: Some(id(1)), change: node_out(4) };
    assert_eq!(
        words(&state.apply(&late)),
        "operation 00000000-0000-0000-0000-000000000001 does not run (any more); begin one first"
    );
}

#[test]
fn state_commands_and_answers_survive_their_bytes() {
    let mut state = founded(3);
    change(&mut state, register(4));
    change(&mut state, node_in(4));
    change(&mut state, MemberChange::Merge);
    assert_eq!(MetaState::decode(&state.encode()).unwrap(), state);
    let reply = state.apply(&found(9));
    assert_eq!(MetaReply::decode(&reply.encode()).unwrap(), reply);
    assert_eq!(MetaCommand::decode(&found(3).encode()).unwrap(), found(3));
}

fn revoke(number: u8) -> MetaCommand {
    MetaCommand::RevokeSlave { uuid: uuid(u64::from(number)), id: SlaveId(7), by: "ann@admin1".into() }
}

#[test]
fn a_revoked_identity_is_never_given_back_and_every_server_looks_at_its_connections() {
    let mut state = MetaState::default();
    assert!(matches!(state.apply(&revoke(9)), MetaReply::Refused(Refused::NotFounded)));
    state = founded(3);
    let version = state.ring().unwrap().version;
    assert_eq!(state.apply(&revoke(9)), MetaReply::Done);
    assert_eq!(state.ring().unwrap().version.0, version.0 + 1);
    assert_eq!(state.apply(&revoke(9)), MetaReply::Done);
    assert_eq!(state.ring().unwrap().version.0, version.0 + 1, "nothing was changed");
    assert_eq!(state.revoked(uuid(9)).unwrap().by, "ann@admin1");
    let MetaReply::Refused(why) = state.apply(&revoke(2)) else { panic!("a server was revoked") };
    assert!(why.to_string().contains("is No.2, a server"), "{why}");
    assert!(state.revoked(uuid(2)).is_none());
    for number in state.revoked.len()..REVOKED_MAX {
        let uuid = NodeUuid(uuid::Uuid::from_u128(number as u128));
        let command = MetaCommand::RevokeSlave { uuid, id: SlaveId(1), by: String::new() };
        assert_eq!(state.apply(&command), MetaReply::Done);
    }
    let MetaReply::Refused(why) = state.apply(&revoke(10)) else { panic!("one too many") };
    assert!(why.to_string().contains("as many as are remembered"), "{why}");
}

#[test]
fn a_state_without_revoked_identities_is_written_as_earlier_releases_read_it() {
    let mut state = founded(3);
    assert_eq!(state.encode()[0], META_FORMAT_VERSION);
    state.apply(&revoke(9));
    let bytes = state.encode();
    assert_eq!((bytes[0], MetaState::decode(&bytes)), (2, Ok(state)));
    for cut in 1..bytes.len() {
        assert!(MetaState::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let long = [&bytes[..], &[0]].concat();
    assert!(MetaState::decode(&long).unwrap_err().to_string().contains("1 bytes too many"));
}

#[test]
fn these_bytes_of_commands_never_change() {
    let check = |command: MetaCommand, want: &[u8]| {
        assert_eq!(command.encode(), want, "{command:?}");
        assert_eq!(MetaCommand::decode(want).as_ref(), Ok(&command));
    };
    check(MetaCommand::TabletFounded { tablet: TabletId(300) }, &[1, 1, 0xac, 0x02]);
    check(MetaCommand::Change { operation: None, change: MemberChange::Merge }, &[1, 4, 0, 3]);
    check(MetaCommand::Change { operation: None, change: node_out(4) }, &[1, 4, 0, 2, 4]);
    check(MetaCommand::MoveDone { merge: RingVersion(7), tablet: TabletId(2) }, &[1, 7, 7, 2]);
    check(MetaCommand::SetAutomerge { is_on: true }, &[1, 8, 1]);
    check(MetaCommand::ExpireTokens { now_ms: 300 }, &[1, 16, 0xac, 0x02]);
}

#[test]
fn bytes_of_another_version_or_kind_are_refused_in_words() {
    let check = |bytes: &[u8], want: &str| {
        assert_eq!(MetaState::decode(bytes).unwrap_err().to_string(), want);
    };
    check(&[], "the meta snapshot is empty");
    check(&[9, 1, 2], "the meta snapshot has format version 9; this program knows 1 to 1");
    let mut long = founded(1).encode();
    long.push(0);
    check(&long, "the meta snapshot is damaged: 1 bytes too many");
    long.truncate(40);
    assert!(MetaState::decode(&long).is_err());
}

mod random {
    use proptest::prelude::*;

    use super::*;

    fn any_change() -> impl Strategy<Value = MemberChange> {
        let node = 1..9_u64;
        prop_oneof![
            node.clone().prop_map(register),
            node.clone().prop_map(node_in),
            node.clone().prop_map(node_out),
            Just(MemberChange::Merge),
            Just(MemberChange::CompleteMerge),
            Just(MemberChange::AbortMerge),
            Just(MemberChange::SuspendMerge),
            Just(MemberChange::NoSuspendMerge),
            node.prop_map(|n| MemberChange::RemoveNode { node: NodeId(n) }),
        ]
    }

    fn any_command() -> impl Strategy<Value = MetaCommand> {
        let told = (1..60_u64, 0..TABLETS).prop_map(|(merge, tablet)| (RingVersion(merge), TabletId(tablet)));
        prop_oneof![
            5 => any_change().prop_map(|change| MetaCommand::Change { operation: None, change }),
            1 => told.clone().prop_map(|(merge, tablet)| MetaCommand::MoveStarted { merge, tablet }),
            1 => told.clone().prop_map(|(merge, tablet)| MetaCommand::CaughtUp { merge, tablet }),
            1 => told.prop_map(|(merge, tablet)| MetaCommand::MoveDone { merge, tablet }),
            1 => any::<bool>().prop_map(|is_on| MetaCommand::SetAutomerge { is_on }),
        ]
    }

    /// What holds after any sequence of commands.
    fn check_sound(state: &MetaState, before: Option<&MetaState>) {
        let ring = state.ring().unwrap();
        for place in &ring.tablets {
            assert!(!place.voters.is_empty() && place.voters.contains(&place.preferred_leader));
            assert!(place.replicas().all(|node| ring.node(node).is_some()), "a replica on a removed node");
            assert!(place.learners.iter().all(|node| !place.voters.contains(node)));
        }
        assert!(ring.nodes.iter().all(|node| state.removed(node.uuid).is_none()));
        if let Some(old) = before.and_then(MetaState::ring) {
            assert!(ring.version >= old.version);
            assert!(ring.version > old.version || ring == old, "the map changed without a new version");
            for (new, old) in ring.tablets.iter().zip(&old.tablets) {
                assert!(
                    new.epoch > old.epoch || new.voters == old.voters,
                    "voters changed without a new epoch"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_commands_leave_a_sound_state_that_can_be_brought_to_rest(
            members in 1..5_u64, commands in prop::collection::vec((any_command(), any::<bool>()), 1..60),
        ) {
            let mut state = founded(members);
            for (command, is_driven) in commands {
                let before = state.clone();
                let reply = state.apply(&command);
                if matches!(reply, MetaReply::Refused(_)) {
                    prop_assert_eq!(&state, &before, "a refusal changed something");
                }
                check_sound(&state, Some(&before));
                if is_driven {
                    drive(&mut state);
                    check_sound(&state, Some(&before));
                }
            }
            prop_assert!(MetaState::decode(&state.encode()).as_ref() == Ok(&state));
            state.apply(&MetaCommand::SetAutomerge { is_on: true });
            change(&mut state, MemberChange::NoSuspendMerge);
            drive(&mut state);
            for node in &state.ring().unwrap().nodes {
                prop_assert_eq!(node.operate, crate::ring::ActionProgress::Nothing);
            }
        }

        #[test]
        fn garbage_is_refused_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (MetaState::decode(&bytes), MetaCommand::decode(&bytes), MetaReply::decode(&bytes));
            let _ = MetaState::decode(&[&[2][..], &bytes].concat());
            let with_version = [&[META_FORMAT_VERSION][..], &bytes].concat();
            let _ = (MetaState::decode(&with_version), MetaCommand::decode(&with_version));
        }
    }
}

proptest::proptest! {
    /// What a plan shows before anybody says yes is what the meta group then does, whatever came and left before.
    #[test]
    fn the_placement_that_is_shown_is_the_one_that_is_merged(
        members in 1u64..6,
        come in proptest::collection::btree_set(10u64..16, 0..4),
        leave in proptest::collection::btree_set(1u64..16, 0..4),
    ) {
        let mut state = founded(members);
        (0..TABLETS).map(TabletId).for_each(|tablet| drop(state.apply(&MetaCommand::TabletFounded { tablet })));
        change(&mut state, MemberChange::SuspendMerge);
        come.iter().for_each(|n| drop(change(&mut state, register(*n))));
        let before = state.ring().unwrap().clone();
        let is_member = |n: &u64| *n <= members;
        let leave: Vec<u64> = leave.into_iter().filter(is_member).collect();
        let new: Vec<PlaceNode> =
            before.nodes.iter().filter(|node| come.contains(&node.node_id.0)).map(PlaceNode::from).collect();
        let gone: Vec<NodeId> = leave.iter().map(|n| NodeId(*n)).collect();
        let shown = placement_after(&before, &new, &gone);
        let after = members_after(&before, &new, &gone);
        for n in &come {
            proptest::prop_assert_eq!(change(&mut state, node_in(*n)), "done");
        }
        let refused: Vec<String> =
            leave.iter().map(|n| change(&mut state, node_out(*n))).filter(|said| said != "done").collect();
        // The last server cannot be taken out; then there is nothing to compare.
        proptest::prop_assume!(refused.is_empty());
        proptest::prop_assert_eq!(after.len(), members as usize + come.len() - leave.len());
        if change(&mut state, MemberChange::Merge) == "done" {
            proptest::prop_assert_eq!(&state.merge().unwrap().target, &shown);
        }
    }
}
