use super::*;
use crate::control::{
    MemberView, NodeStatus, RoleStatus, ServerLink, ServerStatus, SlaveStatus, TabletStatus,
};
use crate::ids::{MemberNo, NodeId, RingVersion, SlaveId, TabletId};
use crate::ring::{RingMap, SlotId, TabletPlace};

fn node(n: u64) -> Node {
    Node {
        node_id: NodeId(n),
        uuid: format!("22222222-2222-4222-8222-{n:012}").parse().unwrap(),
        number: MemberNo(n as u32),
        address: format!("10.77.0.{}:8020", 10 + n).parse().unwrap(),
        zone: (n == 2).then(|| "east".into()),
        in_ring: InRing::ServiceIn,
        action: MemberAction::None,
        operate: ActionProgress::Nothing,
    }
}

fn status(role: RoleStatus) -> NodeStatus {
    let memory_max_bytes = if matches!(role, RoleStatus::Server(_)) { 4000 } else { 0 };
    NodeStatus {
        release: "0.1.0".into(),
        cluster: "c0".parse().unwrap(),
        cluster_id: "11111111-1111-4111-8111-111111111111".parse().unwrap(),
        node_uuid: node(1).uuid,
        pid: 42,
        uptime_s: 60,
        role,
        ring_version: RingVersion(7),
        memory_bytes: 1000,
        memory_max_bytes,
        connections: 5,
        config_in_use: None,
        certificate: None,
        program: None,
    }
}

fn server() -> NodeStatus {
    let member = |n, is_up| MemberView { node: node(n), is_up, leaders: 1, replicas: 2 };
    status(RoleStatus::Server(ServerStatus {
        number: MemberNo(1),
        node_id: NodeId(1),
        address: node(1).address,
        is_founded: true,
        meta_leader: Some(NodeId(1)),
        members: vec![member(1, true), member(2, false)],
        tablets: vec![TabletStatus {
            tablet: TabletId(0),
            leader: Some(NodeId(1)),
            term: 2,
            last_index: 9,
            applied_index: 8,
            records: 3,
            bytes: 0,
            operations: 0,
        }],
        tablets_without_leader: vec![],
        tolerates: 0,
        disk_free_bytes: 2000,
        trouble: Some("the disk\nis full".into()),
        merge: None,
        operation: None,
        transfers: Vec::new(),
        served: Default::default(),
    }))
}

fn slave() -> NodeStatus {
    let link = |n, error: Option<&str>| ServerLink {
        number: MemberNo(n),
        address: node(n.into()).address,
        is_connected: error.is_none(),
        error: error.map(str::to_owned),
    };
    status(RoleStatus::Slave(SlaveStatus {
        id: SlaveId(0),
        listeners: vec!["127.0.0.1:11211 (memcache)".into()],
        servers: vec![link(1, None), link(2, Some("connection refused"))],
        operations: 9,
        client_connections: 2,
        latency: Default::default(),
    }))
}

#[test]
fn states_are_written_and_coded_as_chmpx_does() {
    let check = |in_ring, is_up, action, operate, is_suspended, want: &str| {
        let state = MemberState { in_ring, is_up, action, operate, is_suspended };
        assert_eq!(state.with_code(), want);
    };
    use {ActionProgress as O, InRing::*, MemberAction as A};
    check(
        ServiceIn,
        true,
        A::None,
        O::Nothing,
        false,
        "0x21(SAFE -> [SERVICE IN][UP][n/a][Nothing][NoSuspend])",
    );
    check(
        ServiceIn,
        true,
        A::Add,
        O::Doing,
        false,
        "0x2121(SAFE -> [SERVICE IN][UP][ADD][Doing][NoSuspend])",
    );
    check(
        ServiceOut,
        true,
        A::None,
        O::Nothing,
        true,
        "0x10011(SAFE -> [SERVICE OUT][UP][n/a][Nothing][Suspend])",
    );
    check(
        ServiceIn,
        false,
        A::Delete,
        O::Pending,
        false,
        "0x1220(SAFE -> [SERVICE IN][DOWN][DELETE][Pending][NoSuspend])",
    );
    check(
        ServiceIn,
        false,
        A::Add,
        O::Done,
        false,
        "0x3120(NOT SAFE -> [SERVICE IN][DOWN][ADD][Done][NoSuspend])",
    );
    check(
        ServiceOut,
        true,
        A::Add,
        O::Pending,
        false,
        "0x1111(NOT SAFE -> [SERVICE OUT][UP][ADD][Pending][NoSuspend])",
    );
    let shown = MemberState::of(&node(1), true).to_string();
    assert_eq!(shown, "[SERVICE IN] [UP] [n/a] [Nothing] [NoSuspend]");
}

#[test]
fn as_many_server_states_are_safe_as_in_chmpx() {
    let mut safe = 0;
    for in_ring in [InRing::ServiceIn, InRing::ServiceOut] {
        for is_up in [true, false] {
            for action in [MemberAction::None, MemberAction::Add, MemberAction::Delete] {
                for operate in [
                    ActionProgress::Nothing,
                    ActionProgress::Pending,
                    ActionProgress::Doing,
                    ActionProgress::Done,
                ] {
                    let state = MemberState { in_ring, is_up, action, operate, is_suspended: false };
                    safe += usize::from(state.is_safe());
                }
            }
        }
    }
    // CHMPX has 17, two of them for slaves, which are not members here.
    assert_eq!(safe, 15);
}

#[test]
fn selfstatus_of_a_server() {
    let want = "\
Server Name               = 10.77.0.11
Internal ID               = 22222222-2222-4222-8222-000000000001
RING Name                 = c0
Mode                      = Server
Status                    = {
    Server Status         = 0x10021(SAFE -> [SERVICE IN][UP][n/a][Nothing][Suspend])
    Trouble               = the disk is full
}
Ring                      = {
    Ring Version          = 7
    Member Number         = 1
    Replicas              = 2
    Leaders               = 1
    Without Leader        = 0
    Tolerates             = 0 failure(s)
}
Connection                = {
    Port                  = 8020
    SSL Connection        = yes
}
Connection Count          = 5
Stats                     = {
    Records               = 3
    Memory                = 1000 of 4000 bytes
    Disk free             = 2000 bytes
    Process               = 42 (60 s up)
}
";
    assert_eq!(self_status(&server()), want);
}

#[test]
fn selfstatus_of_a_slave() {
    let want = "\
Slave ID                  = 0
Internal ID               = 22222222-2222-4222-8222-000000000001
RING Name                 = c0
Mode                      = Slave
Ring Version              = 7
Connection                = {
    Listener              = 127.0.0.1:11211 (memcache)
    To Server             = No.1 10.77.0.11:8020 connected
    To Server             = No.2 10.77.0.12:8020 not connected: connection refused
    SSL Connection        = yes
}
Connection Count          = 2
Stats                     = {
    Operations            = 9
    Memory                = 1000 bytes
    Process               = 42 (60 s up)
}
";
    assert_eq!(self_status(&slave()), want);
}

const ALL: &str = "\
RING Name              = c0
No.1
  Server Name          = 10.77.0.11
    Internal ID        = 22222222-2222-4222-8222-000000000001
    Port               = 8020
    Use SSL            = yes
    Server Status      = 0x10021(SAFE -> [SERVICE IN][UP][n/a][Nothing][Suspend])
    Replicas           = 2
    Leaders            = 1
No.2
  Server Name          = 10.77.0.12
    Internal ID        = 22222222-2222-4222-8222-000000000002
    Port               = 8020
    Zone               = east
    Use SSL            = yes
    Server Status      = 0x20(SAFE -> [SERVICE IN][DOWN][n/a][Nothing][NoSuspend])
    Replicas           = 2
    Leaders            = 1
";

#[test]
fn allstatus_shows_every_member() {
    assert_eq!(all_status(&server()), ALL);
    let want = "\
RING Name              = c0
No.1
  Server Name          = 10.77.0.11
  Port                 = 8020
  Connected            = yes
No.2
  Server Name          = 10.77.0.12
  Port                 = 8020
  Connected            = no
";
    assert_eq!(all_status(&slave()), want);
}

#[test]
fn dump_adds_the_ring_map() {
    let place = |tablet, first, last, learners: &[u64]| TabletPlace {
        tablet: TabletId(tablet),
        first_slot: SlotId(first),
        last_slot: SlotId(last),
        epoch: 1,
        voters: vec![NodeId(1), NodeId(2)],
        learners: learners.iter().copied().map(NodeId).collect(),
        preferred_leader: NodeId(1),
    };
    let ring = RingMap {
        cluster: server().cluster_id,
        version: RingVersion(7),
        replicas: 3,
        nodes: vec![node(1), node(2), node(3)],
        tablets: vec![place(0, 0, 8191, &[]), place(1, 8192, 16383, &[3])],
    };
    let map = "\
RING MAP               = {
    Cluster            = 11111111-1111-4111-8111-111111111111
    Version            = 7
    Replicas wanted    = 3
    Tablet 0           = slots 0-8191 epoch 1 on No.1 No.2, preferred No.1, here: term 2, index 8/9, 3 records
    Tablet 1           = slots 8192-16383 epoch 1 on No.1 No.2, preferred No.1, catching up No.3
}
";
    assert_eq!(dump(&server(), Some(&ring)), format!("{}{ALL}{map}", self_status(&server())));
    assert!(dump(&server(), None).ends_with("RING MAP               = none yet\n"));
    let mut splitting = ring.clone();
    splitting.tablets = vec![TabletPlace { tablet: TabletId(1), ..place(1, 0, 16383, &[]) }];
    let text = dump(&server(), Some(&splitting));
    let line = "Tablet 0           = being split off or dropped, here: term 2, index 8/9, 3 records\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn control_words_are_read_whatever_their_case() {
    let check = |line: &str, want: Result<ControlWord, &str>| {
        assert_eq!(
            ControlWord::parse(line).map_err(|error| error.to_string()),
            want.map_err(str::to_owned),
            "{line}"
        );
    };
    check("VERSION", Ok(ControlWord::Version));
    check("  selfstatus\r\n", Ok(ControlWord::SelfStatus));
    check("AllStatus", Ok(ControlWord::AllStatus));
    check("compmerge", Ok(ControlWord::CompleteMerge));
    check("SERVICEOUT 10.77.0.12:8020", Ok(ControlWord::ServiceOut(node(2).address)));
    check(
        "SERVICEOUT",
        Err(
            "ERROR: SERVICEOUT command must have parameter as server/ctlport.(ex: \"SERVICEOUT servername.fqdn:ctlport\")",
        ),
    );
    check(
        "SERVICEOUT host:0",
        Err(
            "ERROR: Parameters are wrong. 'host:0' is not an address HOST:PORT: the port is a number from 1 to 65535",
        ),
    );
    check("MERGE now", Err("ERROR: Parameters are wrong. Nothing may follow: now"));
    check("FOO", Err("Unknown command(FOO)"));
    check("", Err("Unknown command()"));
    check("\u{7}bell", Err("Unknown command(?bell)"));
}

#[test]
fn only_words_that_look_have_a_text() {
    assert_eq!(
        status_text(&ControlWord::Version, &server(), None).as_deref(),
        Some("Version 0.1.0 with TLS\n")
    );
    assert_eq!(status_text(&ControlWord::Merge, &server(), None), None);
}
