//! Plans that change members, and every reason why they are not made. The ring beside the hosts is a real meta state,
//! so that what the plan shows is what the meta group would do.

use dkc_core::control::{MetaView, RoleStatus, TabletStatus, TokensView};
use dkc_core::ids::{MemberNo, NodeId, TabletId};
use dkc_core::meta::{Founder, MemberChange, MetaCommand, MetaReply, MetaState, OperationId};
use dkc_inventory::edit;
use dkc_inventory::model::{Inventory, NodeName, Server};
use dkc_inventory::observed::{Observed, RunState};
use dkc_inventory::plan::{
    self, Danger, Lock, MembersRequest, Plan, Program, Refused, RingRequest, RingWord,
};
use dkc_inventory::render;
use dkc_inventory::sides;
use uuid::Uuid;

use crate::lab::{self, operation, refused};
use crate::plans::running;

const TABLET_BYTES: u64 = 2_000_000;

/// A running cluster `c0` of three with its ring.
pub struct Stage {
    pub inventory: Inventory,
    pub observed: Observed,
    meta: MetaState,
    up: Vec<u32>,
}

fn node(number: u32) -> NodeName {
    NodeName::Server("c0".parse().unwrap(), MemberNo(number))
}

impl Stage {
    pub fn three() -> Stage {
        let (inventory, observed) = running();
        let founders: Vec<Founder> =
            inventory.server_entries(&"c0".parse().unwrap()).iter().map(Founder::from).collect();
        let cluster = inventory.clusters[&"c0".parse().unwrap()].id;
        let mut stage = Stage { inventory, observed, meta: MetaState::default(), up: vec![0, 1, 2] };
        stage.tell(MetaCommand::Found { cluster, nodes: founders, tablets: 6, replicas: 3 });
        stage
    }

    pub fn tell(&mut self, command: MetaCommand) {
        let reply = self.meta.apply(&command);
        assert!(!matches!(reply, MetaReply::Refused(_)), "{reply:?}");
        self.look();
    }

    fn change(&mut self, change: MemberChange) {
        let operation = self.meta.operation().map(|running| running.id);
        self.tell(MetaCommand::Change { operation, change });
    }

    /// Every server that is up says what the ring is.
    fn look(&mut self) {
        let view = MetaView::of(&self.meta).expect("a founded ring");
        let meta_leader = u64::from(self.up.first().copied().unwrap_or(0)) + 1;
        for server in self.inventory.clusters[&"c0".parse().unwrap()].servers.clone() {
            let name = node(server.number.0);
            let Some(facts) = self.observed.hosts.get_mut(&server.address.host) else { continue };
            let dkc_inventory::observed::HostView::Facts(facts) = facts else { continue };
            let found = facts.nodes.entry(name.clone()).or_default();
            if !self.up.contains(&server.number.0) {
                (found.run, found.status, found.meta) = (RunState::Stopped, None, None);
                continue;
            }
            let mut status = lab::server_status(&self.inventory, &name, &self.up, meta_leader);
            status.ring_version = view.ring.version;
            let tokens = TokensView {
                tokens: self.meta.tokens(),
                enrolled: self.meta.enrolled().clone(),
                connected: Default::default(),
            };
            found.tokens = Some(Box::new(tokens));
            if let RoleStatus::Server(said) = &mut status.role {
                said.members.retain(|member| view.ring.node(member.node.node_id).is_some());
                said.tablets = (0..6).map(tablet).collect();
            }
            found.run = RunState::Running { pid: 100 };
            found.status = Some(Box::new(status));
            found.meta = Some(Box::new(view.clone()));
        }
    }

    fn down(mut self, number: u32) -> Stage {
        self.up.retain(|up| *up != number);
        self.look();
        self
    }

    /// What the shell does before it plans: the newcomers get their entries, and their hosts answer.
    fn plan(&mut self, come: &str, leave: &[u32]) -> Result<Plan, Refused> {
        self.plan_with(come, leave, false)
    }

    fn plan_with(&mut self, come: &str, leave: &[u32], allow: bool) -> Result<Plan, Refused> {
        let request = self.request(come, leave, allow);
        plan::change_members(&self.inventory, &self.observed, &request).map(|(plan, _)| plan)
    }

    fn detach(&mut self, leave: &[u32]) -> Result<Plan, Refused> {
        let request = MembersRequest { is_detached: true, ..self.request("", leave, false) };
        plan::change_members(&self.inventory, &self.observed, &request).map(|(plan, _)| plan)
    }

    fn request(&mut self, come: &str, leave: &[u32], allow: bool) -> MembersRequest {
        let base = self.inventory.generation;
        let addresses: Vec<_> = come.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let name = "c0".parse().unwrap();
        if !addresses.is_empty() {
            let edited = edit::add_members(&self.inventory, &name, &addresses, &mut lab::counter()).unwrap();
            self.inventory = edited.inventory;
        }
        for address in &addresses {
            let bare = || dkc_inventory::observed::HostView::Facts(Box::new(lab::bare_host()));
            self.observed.hosts.entry(address.host.clone()).or_insert_with(bare);
        }
        let servers = &self.inventory.clusters[&name].servers;
        MembersRequest {
            operation: operation("grow"),
            lock: Lock { id: OperationId(Uuid::from_u128(42)), holder: "ann@admin1".into() },
            come: servers.iter().filter(|s| addresses.contains(&s.address)).map(|s| s.number).collect(),
            leave: leave.iter().map(|number| MemberNo(*number)).collect(),
            cluster: name,
            base,
            is_detached: false,
            program: Program {
                digest: lab::PROGRAM.into(),
                bytes: 30_000_000,
                architecture: "x86_64".into(),
            },
            authorities: lab::authorities(),
            allow_no_tolerance: allow,
        }
    }

    fn ring(&self, word: RingWord, numbers: &[u32], take_over: bool) -> Result<Plan, Refused> {
        let request = RingRequest {
            operation: operation("ring"),
            cluster: "c0".parse().unwrap(),
            word,
            numbers: numbers.iter().map(|number| MemberNo(*number)).collect(),
            holder: "bob@admin2".into(),
            take_over,
        };
        plan::ring(&self.inventory, &self.observed, &request)
    }

    fn begin(&mut self, holder: &str, what: &str) {
        let (holder, what) = (holder.to_owned(), what.to_owned());
        self.tell(MetaCommand::BeginOperation { id: OperationId(Uuid::from_u128(7)), holder, what });
    }
}

fn tablet(number: u16) -> TabletStatus {
    TabletStatus {
        tablet: TabletId(number),
        leader: Some(NodeId(1)),
        term: 1,
        last_index: 1,
        applied_index: 1,
        records: 10,
        bytes: TABLET_BYTES,
        operations: 0,
    }
}

/// Only what is done, and what it means.
fn check(plan: &Plan, want: &str) {
    let text = plan.text();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("            "));
    let got: String = lines.map(|line| format!("{}\n", line.trim_start())).collect();
    assert_eq!(got, want, "\n{text}");
}

#[test]
fn two_new_members_are_installed_join_and_merge_once() {
    let plan = Stage::three().plan("10.77.0.14 10.77.0.15:8020", &[]).unwrap();
    check(
        &plan,
        "\
plan op-0000002a: grow
inventory: generation 6 → 8
ring:      version 1
class:     disruptive
phase 1 of 10
10.77.0.11
1. acquire the ring's lock through c0-0
phase 2 of 10
10.77.0.14
2. create /var/lib/dkc
3. upload dkcd 0123456789abcdef to /var/lib/dkc/bin (30.0 MB)
10.77.0.15
4. create /var/lib/dkc
5. upload dkcd 0123456789abcdef to /var/lib/dkc/bin (30.0 MB)
phase 3 of 10
10.77.0.14
6. create /var/lib/dkc/c0-3
7. issue a server certificate into /var/lib/dkc/c0-3/tls
8. write /var/lib/dkc/c0-3/node.yaml
9. link /var/lib/dkc/c0-3/dkcd to 0123456789abcdef
10. initialise /var/lib/dkc/c0-3/data
11. check the configuration in /var/lib/dkc/c0-3
10.77.0.15
12. create /var/lib/dkc/c0-4
13. issue a server certificate into /var/lib/dkc/c0-4/tls
14. write /var/lib/dkc/c0-4/node.yaml
15. link /var/lib/dkc/c0-4/dkcd to 0123456789abcdef
16. initialise /var/lib/dkc/c0-4/data
17. check the configuration in /var/lib/dkc/c0-4
phase 4 of 10
10.77.0.11
18. register No.3 (10.77.0.14:8020) in the ring
19. register No.4 (10.77.0.15:8020) in the ring
phase 5 of 10
10.77.0.14
20. start c0-3 (dkcd's own supervisor)
10.77.0.15
21. start c0-4 (dkcd's own supervisor)
phase 6 of 10
10.77.0.14
22. wait until c0-3 has joined the ring
10.77.0.15
23. wait until c0-4 has joined the ring
phase 7 of 10
10.77.0.11
24. split: tablet 0 (slots 0-2729) becomes tablets 0 and 6
25. split: tablet 1 (slots 2730-5460) becomes tablets 1 and 7
26. split: tablet 2 (slots 5461-8191) becomes tablets 2 and 8
27. split: tablet 3 (slots 8192-10921) becomes tablets 3 and 9
28. wait until tablets 6, 7, 8, 9 have leaders
phase 8 of 10
10.77.0.11
29. check that 1 failure is still tolerated
30. SUSPENDMERGE: merge all members at once
31. SERVICEIN No.3
32. SERVICEIN No.4
33. NOSUSPENDMERGE
34. merge: move data to its new replicas
phase 9 of 10
10.77.0.21
35. replace /var/lib/dkc/c0-slave0/node.yaml
36. check the configuration in /var/lib/dkc/c0-slave0
phase 10 of 10
10.77.0.11
37. wait until every replica is complete and 1 failure is tolerated
38. release the ring's lock
impact: 4 splits first: 6 tablets become 10, nothing to copy
impact: 6 of 10 tablets change, 12 replicas to copy: 12.0 MB, about 1 s at 33.6 MB/s (merge_bytes_per_s)
impact: replicas: No.0 10 to 6, No.1 10 to 6, No.2 10 to 6, No.3 0 to 6, No.4 0 to 6
impact: worst moment: steps 31–34 tolerate 1 further failure
impact: c0 then has 5 servers and tolerates 1 failure
undo:   before completion: ring abortmerge -n c0; after: shrink -n c0 --no 3 --no 4
",
    );
}

#[test]
fn who_leaves_is_removed_stopped_and_marked_and_below_the_replicas_a_word_is_asked_for() {
    let plan = Stage::three().plan("", &[1]).unwrap();
    assert_eq!(plan.danger, Danger::LosesData);
    check(
        &plan,
        "\
plan op-0000002a: grow
inventory: generation 6 → 7
ring:      version 1
class:     loses data or redundancy
phase 1 of 5
10.77.0.11
1. acquire the ring's lock through c0-0
phase 2 of 5
10.77.0.11
2. check that 1 failure is still tolerated
3. SERVICEOUT No.1
4. merge: move data to its new replicas
5. remove No.1 from the ring permanently
phase 3 of 5
10.77.0.12
6. stop c0-1 (dkcd's own supervisor)
7. mark /var/lib/dkc/c0-1 as removed; its data stays
phase 4 of 5
10.77.0.21
8. replace /var/lib/dkc/c0-slave0/node.yaml
9. check the configuration in /var/lib/dkc/c0-slave0
phase 5 of 5
10.77.0.11
10. wait until every replica is complete
11. release the ring's lock
impact: 2 servers for 3 replicas: every tablet loses a replica
impact: 6 of 6 tablets change, nothing to copy
impact: replicas: No.1 6 to 0
impact: worst moment: steps 3–4 tolerate 0 further failures
impact: c0 then has 2 servers and tolerates 0 failures; 3 replicas configured, so every server has all data
impact: c0-1 never returns; its directory on 10.77.0.12 stays, marked as removed
undo:   before completion: ring abortmerge -n c0; after: grow -n c0 HOST:PORT (removed servers never return)
to confirm: c0@g6
",
    );
}

#[test]
fn a_dead_member_on_a_dead_host_is_replaced() {
    let mut stage = Stage::three().down(2);
    lab::silence(&mut stage.observed, "10.77.0.13");
    let plan = stage.plan("10.77.0.14", &[2]).unwrap();
    check(
        &plan,
        "\
plan op-0000002a: grow
inventory: generation 6 → 8
ring:      version 1
class:     disruptive
phase 1 of 9
10.77.0.11
1. acquire the ring's lock through c0-0
phase 2 of 9
10.77.0.14
2. create /var/lib/dkc
3. upload dkcd 0123456789abcdef to /var/lib/dkc/bin (30.0 MB)
phase 3 of 9
10.77.0.14
4. create /var/lib/dkc/c0-3
5. issue a server certificate into /var/lib/dkc/c0-3/tls
6. write /var/lib/dkc/c0-3/node.yaml
7. link /var/lib/dkc/c0-3/dkcd to 0123456789abcdef
8. initialise /var/lib/dkc/c0-3/data
9. check the configuration in /var/lib/dkc/c0-3
phase 4 of 9
10.77.0.11
10. register No.3 (10.77.0.14:8020) in the ring
phase 5 of 9
10.77.0.14
11. start c0-3 (dkcd's own supervisor)
phase 6 of 9
10.77.0.14
12. wait until c0-3 has joined the ring
phase 7 of 9
10.77.0.11
13. check that every tablet has its quorum
14. SUSPENDMERGE: merge all members at once
15. SERVICEIN No.3
16. SERVICEOUT No.2
17. NOSUSPENDMERGE
18. merge: move data to its new replicas
19. remove No.2 from the ring permanently
phase 8 of 9
10.77.0.21
20. replace /var/lib/dkc/c0-slave0/node.yaml
21. check the configuration in /var/lib/dkc/c0-slave0
phase 9 of 9
10.77.0.11
22. wait until every replica is complete and 1 failure is tolerated
23. release the ring's lock
impact: 6 of 6 tablets change, 6 replicas to copy: 12.0 MB, about 1 s at 33.6 MB/s (merge_bytes_per_s)
impact: replicas: No.2 6 to 0, No.3 0 to 6
impact: worst moment: steps 15–18 tolerate 0 further failures
impact: c0 then has 3 servers and tolerates 1 failure
impact: 10.77.0.13 does not answer: c0-2 is not stopped there; if it comes back, the ring refuses it
undo:   before completion: ring abortmerge -n c0; after: grow -n c0 HOST:PORT (removed servers never return)
",
    );
}

/// Typed again after it broke off: only what the ring does not say is done.
#[test]
fn a_plan_goes_on_where_the_cluster_is() {
    let mut stage = Stage::three();
    stage.plan("10.77.0.14", &[]).unwrap();
    stage.begin("ann@admin1", "grow c0 by 10.77.0.14:8020");
    let server = stage.inventory.server(&"c0".parse().unwrap(), MemberNo(3)).unwrap().clone();
    let Server { node_id, node_uuid: uuid, number, address, .. } = server;
    stage.change(MemberChange::RegisterNode { node_id, uuid, number, address, zone: None });
    stage.change(MemberChange::ServiceIn { node: node_id });
    stage.change(MemberChange::Merge);
    let mut plan = stage.plan("10.77.0.14", &[]).unwrap();
    plan.steps.retain(|step| step.host.as_str() == "10.77.0.11");
    check(
        &plan,
        "\
plan op-0000002a: grow
inventory: generation 7 → 8
ring:      version 4
class:     disruptive
phase 1 of 8
10.77.0.11
1. acquire the ring's lock through c0-0
phase 2 of 8
phase 3 of 8
phase 4 of 8
phase 5 of 8
phase 6 of 8
10.77.0.11
12. SERVICEIN No.3
13. merge: move data to its new replicas
phase 7 of 8
phase 8 of 8
10.77.0.11
16. wait until every replica is complete and 1 failure is tolerated
17. release the ring's lock
impact: 4 of 6 tablets change, 4 replicas to copy: 8.0 MB, about 1 s at 33.6 MB/s (merge_bytes_per_s)
impact: replicas: No.0 6 to 4, No.1 6 to 5, No.2 6 to 5, No.3 0 to 4
impact: worst moment: steps 12–13 tolerate 1 further failure
impact: c0 then has 4 servers and tolerates 1 failure
impact: continues the running operation
undo:   before completion: ring abortmerge -n c0; after: shrink -n c0 --no 3
",
    );
}

#[test]
fn who_was_registered_and_never_joined_can_be_taken_out_again() {
    let mut stage = Stage::three();
    stage.plan("10.77.0.14", &[]).unwrap();
    let plan = stage.plan("", &[3]).unwrap();
    check(&plan, "grow: no steps; c0-3 not in the ring, removed from the inventory\n");
    assert_eq!(plan.leaves, [node(3)]);
}

#[test]
fn what_is_there_already_is_no_work() {
    let mut stage = Stage::three();
    let plan = stage.plan("10.77.0.13:8020", &[]).unwrap();
    check(&plan, "grow: nothing to do\n");
    assert_eq!(plan.target, plan.base);
}

#[test]
fn a_change_of_members_is_refused_where_data_or_quorum_would_be_lost() {
    let check = |stage: &mut Stage, come: &str, leave: &[u32], want: &str| {
        assert_eq!(refused(stage.plan(come, leave)), want);
    };
    check(&mut Stage::three(), "", &[0, 1, 2], "Refused: c0 would be left without a server");
    check(&mut Stage::three(), "", &[9], "UnknownName: server No. 9 is not registered");
    let mut stopped = Stage::three().down(0).down(1).down(2);
    let silent = "Refused: the ring of c0 is unreachable: no server with a founded ring answers";
    check(&mut stopped, "10.77.0.14", &[2], silent);
    check(
        &mut Stage::three().down(2),
        "10.77.0.14",
        &[],
        "Refused: No.2 of c0 is down; c0 would tolerate 0 failures while data moves",
    );
    check(
        &mut Stage::three().down(2),
        "",
        &[1],
        "Refused: c0 would lose its quorum: 6 tablets would have too few running replicas\n\
         No.2 of c0 is down; c0 would tolerate 0 failures while data moves",
    );
    let mut stage = Stage::three();
    stage.begin("bob@admin2", "shrink c0 by No.1");
    check(&mut stage, "10.77.0.14", &[], "Stale: bob@admin2 is running 'shrink c0 by No.1' on c0");
    let mut stage = Stage::three();
    stage.change(MemberChange::ServiceOut { node: NodeId(3) });
    stage.change(MemberChange::Merge);
    let want = "Refused: c0 is already merging: a merge is Done (6 of 6 tablets have caught up)";
    check(&mut stage, "10.77.0.14", &[], want);
}

#[test]
fn a_degraded_cluster_grows_only_when_told_so() {
    let plan = Stage::three().down(2).plan_with("10.77.0.14", &[], true).unwrap();
    assert!(plan.text().contains("tolerate 0 further failures"), "{}", plan.text());
}

#[test]
fn a_new_host_is_looked_at_like_one_of_a_deploy() {
    let mut stage = Stage::three();
    stage.plan("10.77.0.14", &[]).unwrap();
    lab::facts_mut(&mut stage.observed, "10.77.0.14").listening.insert("0.0.0.0:8020".into());
    assert_eq!(
        refused(stage.plan("10.77.0.14", &[])),
        "Refused: 10.77.0.14: port 8020 is in use by another program (listening on 0.0.0.0:8020)"
    );
    lab::silence(&mut stage.observed, "10.77.0.14");
    assert_eq!(refused(stage.plan("10.77.0.14", &[])), "Unreachable: 10.77.0.14: no reply within 5 s");
}

fn words(plan: Result<Plan, Refused>) -> Vec<String> {
    plan.unwrap().steps.iter().map(|step| step.action.words()).collect()
}

#[test]
fn words_of_the_ring_are_plans_of_one_step() {
    let stage = Stage::three();
    assert_eq!(words(stage.ring(RingWord::ServiceOut, &[1], false)), ["SERVICEOUT No.1 (10.77.0.12:8020)"]);
    assert_eq!(words(stage.ring(RingWord::SuspendMerge, &[], false)), ["SUSPENDMERGE"]);
    let mut stage = Stage::three();
    stage.change(MemberChange::SuspendMerge);
    stage.change(MemberChange::ServiceOut { node: NodeId(3) });
    assert_eq!(words(stage.ring(RingWord::Merge, &[], false)), ["MERGE"]);
    assert_eq!(words(stage.ring(RingWord::AbortMerge, &[], false)), ["ABORTMERGE"]);
}

#[test]
fn a_word_that_the_ring_would_refuse_is_refused_before_anybody_confirms_it() {
    let mut stage = Stage::three();
    let idle = "nothing is merging; next: SERVICEIN or SERVICEOUT";
    let check = |stage: &Stage, word: RingWord, numbers: &[u32], want: &str| {
        assert_eq!(refused(stage.ring(word, numbers, false)), format!("Refused: {want}"));
    };
    check(
        &stage,
        RingWord::Merge,
        &[],
        "MERGE is not possible: no member is [Pending]; next: SERVICEIN or SERVICEOUT",
    );
    check(&stage, RingWord::CompleteMerge, &[], &format!("COMPMERGE is not possible: {idle}"));
    check(&stage, RingWord::AbortMerge, &[], &format!("ABORTMERGE is not possible: {idle}"));
    let last = "SERVICEOUT is not possible: No.2 is [SERVICE IN] [n/a] [Nothing] and the last member in service; next: \
                SERVICEIN of another member";
    check(&stage, RingWord::ServiceOut, &[0, 1, 2], last);
    stage.change(MemberChange::ServiceOut { node: NodeId(3) });
    stage.change(MemberChange::Merge);
    let done = "a merge is Done (6 of 6 tablets have caught up); next: COMPMERGE, or ABORTMERGE";
    check(&stage, RingWord::ServiceOut, &[0], &format!("SERVICEOUT is not possible: {done}"));
    assert_eq!(words(stage.ring(RingWord::CompleteMerge, &[], false)), ["COMPMERGE"]);
}

#[test]
fn abortmerge_leads_back_to_where_it_began() {
    let mut stage = Stage::three();
    stage.begin("ann@admin1", "replace No.2 of c0 by 10.77.0.14:8020");
    stage.change(MemberChange::SuspendMerge);
    stage.change(MemberChange::ServiceOut { node: NodeId(3) });
    let held = "Stale: ann@admin1 is running 'replace No.2 of c0 by 10.77.0.14:8020' on c0";
    assert_eq!(refused(stage.ring(RingWord::AbortMerge, &[], false)), held);
    assert_eq!(refused(stage.ring(RingWord::Merge, &[], true)), held);
    let back = ["ABORTMERGE", "NOSUSPENDMERGE", "release the ring's lock"];
    assert_eq!(words(stage.ring(RingWord::AbortMerge, &[], true)), back);
}

#[test]
fn every_server_is_compared_as_all_the_others_see_it() {
    let told = |stage: &Stage| {
        let name = "c0".parse().unwrap();
        sides::text(&name, &sides::sides(&stage.inventory, &stage.observed, &name))
    };
    let mut stage = Stage::three();
    assert_eq!(
        told(&stage),
        "\
c0: each server as the others see it
  OK  No.0 10.77.0.11:8020
        ring version 1, [SERVICE IN] [UP] [n/a] [Nothing] [NoSuspend]; 3 servers agree
  OK  No.1 10.77.0.12:8020
        ring version 1, [SERVICE IN] [UP] [n/a] [Nothing] [NoSuspend]; 3 servers agree
  OK  No.2 10.77.0.13:8020
        ring version 1, [SERVICE IN] [UP] [n/a] [Nothing] [NoSuspend]; 3 servers agree
"
    );
    stage.up = vec![0, 1];
    stage.look();
    let view = lab::facts_mut(&mut stage.observed, "10.77.0.12").nodes.get_mut(&node(1)).unwrap();
    view.status.as_mut().unwrap().ring_version.0 = 0;
    assert_eq!(
        told(&stage),
        "\
c0: each server as the others see it
  OK  No.0 10.77.0.11:8020
        ring version 1, [SERVICE IN] [UP] [n/a] [Nothing] [NoSuspend]; 2 servers agree
  NG  No.1 10.77.0.12:8020
        it has ring version 0, the newest is 1
  NG  No.2 10.77.0.13:8020
        it does not answer or does not know the ring
        No.0 sees it DOWN
        No.1 sees it DOWN
"
    );
}

/// The configuration of who was there before is the same after others have come and gone.
#[test]
fn members_that_come_and_go_change_no_others_configuration() {
    let name = "c0".parse().unwrap();
    let mut stage = Stage::three();
    stage.plan("10.77.0.14 10.77.0.15", &[]).unwrap();
    let config = |inventory: &Inventory, number| render::node_config(inventory, &node(number)).unwrap();
    let before: Vec<_> = (0..5).map(|number| config(&stage.inventory, number)).collect();
    assert_eq!(before[3].servers.len(), 3, "who joins knows whom it joins");
    let after = edit::remove_members(&stage.inventory, &name, &[MemberNo(0), MemberNo(3)]).inventory;
    for number in [1, 2, 4] {
        assert_eq!(config(&after, number), before[number as usize]);
    }
    let grown = edit::add_members(&after, &name, &["10.77.0.11".parse().unwrap()], &mut lab::counter());
    let new = grown.unwrap().inventory.clusters[&name].servers.last().unwrap().clone();
    assert_eq!((new.number, new.node_id), (MemberNo(5), NodeId(6)), "numbers and ids are never given again");
    assert_eq!(new.joins, [NodeId(2), NodeId(3), NodeId(5)]);
}

/// Who is a member is what the ring says: going back to an earlier inventory makes nobody unknown.
#[test]
fn an_undo_neither_forgets_a_member_nor_brings_one_back() {
    let name = "c0".parse().unwrap();
    let before = Stage::three().inventory;
    let grown = edit::add_members(&before, &name, &["h9".parse().unwrap()], &mut lab::counter()).unwrap();
    let now = edit::remove_members(&grown.inventory, &name, &[MemberNo(1)]).inventory;
    let back = edit::keep_recorded(before, &now);
    assert_eq!(back.clusters[&name].servers, now.clusters[&name].servers);
    assert_eq!(back.clusters[&name].removed, now.clusters[&name].removed);
    assert!(back.hosts.contains_key(&lab::host("h9")), "its server would stand on an unknown host");
}

#[test]
fn destroy_also_removes_what_members_that_left_have_left_behind() {
    let name: dkc_core::ids::ClusterName = "c0".parse().unwrap();
    let stage = Stage::three();
    let inventory = edit::remove_members(&stage.inventory, &name, &[MemberNo(1), MemberNo(2)]).inventory;
    let mut observed = stage.observed;
    lab::silence(&mut observed, "10.77.0.13");
    let request = plan::DestroyRequest {
        operation: operation("destroy"),
        target: plan::DestroyTarget::Cluster { name, with_slaves: true },
        with_roots: true,
    };
    let removed: Vec<String> = words(plan::destroy(&inventory, &observed, &request))
        .into_iter()
        .filter(|words| words.contains("with all its data"))
        .collect();
    assert_eq!(
        removed,
        [
            "remove the service and /var/lib/dkc/c0-slave0 with all its data",
            "remove the service and /var/lib/dkc/c0-0 with all its data",
            "remove the service and /var/lib/dkc/c0-1 with all its data"
        ]
    );
}

#[test]
fn a_merge_says_how_far_it_is() {
    let mut stage = Stage::three();
    stage.plan("10.77.0.14", &[]).unwrap();
    let server = stage.inventory.server(&"c0".parse().unwrap(), MemberNo(3)).unwrap().clone();
    let Server { node_id, node_uuid: uuid, number, address, .. } = server;
    stage.change(MemberChange::RegisterNode { node_id, uuid, number, address, zone: None });
    stage.change(MemberChange::ServiceIn { node: node_id });
    stage.change(MemberChange::Merge);
    let moves = stage.meta.merge().unwrap().moves.clone();
    let merge = stage.meta.merge().unwrap().id;
    for tablet in [moves[0].tablet, moves[1].tablet] {
        stage.tell(MetaCommand::MoveStarted { merge, tablet });
    }
    stage.tell(MetaCommand::CaughtUp { merge, tablet: moves[0].tablet });
    let first = lab::facts_mut(&mut stage.observed, "10.77.0.11").nodes.get_mut(&node(0)).unwrap();
    if let RoleStatus::Server(said) = &mut first.status.as_mut().unwrap().role {
        said.transfers = vec![dkc_core::control::Transfer {
            tablet: moves[1].tablet,
            to: node_id,
            bytes_sent: TABLET_BYTES / 2,
            bytes_total: TABLET_BYTES,
            bytes_per_s: 500_000,
        }];
    }
    let name = "c0".parse().unwrap();
    let facts = dkc_inventory::ring_facts::RingFacts::of(&stage.inventory, &stage.observed, &name).unwrap();
    let want = format!(
        "merging: 1 of {} tablets done, 3.0 MB of 8.0 MB, 500 kB/s, 10 s left; tablet {} to No.3: 50 %",
        moves.len(),
        moves[1].tablet
    );
    assert_eq!(facts.progress().unwrap().words(), want);
}

#[test]
fn a_detached_server_gives_its_data_away_and_is_neither_stopped_nor_removed() {
    let mut stage = Stage::three();
    let plan = stage.detach(&[2]).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|step| step.action.words()).collect();
    assert!(words.contains(&"SERVICEOUT No.2".to_owned()), "{words:?}");
    assert!(words.last().is_some_and(|last| last == "release the ring's lock"), "{words:?}");
    let is_final = |words: &String| ["stop", "mark", "remove"].iter().any(|word| words.starts_with(word));
    assert!(!words.iter().any(is_final), "{words:?}");
    assert!(plan.leaves.is_empty() && plan.target == plan.running, "the inventory stays as it is");
    assert!(plan.undo.ends_with("after: attach -n c0 --no 2"), "{}", plan.undo);
    let words = "No.2 keeps running without data; it stays a member and counts for no quorum";
    assert!(plan.impact.iter().any(|line| line == words), "{:?}", plan.impact);
    assert_eq!(plan.danger, Danger::LosesData, "two servers for three replicas");
    assert!(plan.confirm.is_some());
    assert!(refused(stage.detach(&[0, 1, 2])).contains("would be left without a server"));
    let text = refused(stage.down(0).detach(&[2]));
    assert!(text.starts_with("Refused: c0 would lose its quorum"), "{text}");
}
