//! Slaves that are no program of ours: with a good certificate they send what no slave of ours sends. It is refused at the door
//! and costs nobody else anything.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dkc_core::control::ControlReply;
use dkc_core::ids::{GroupId, NodeAddress, NodeId, RingVersion, TabletId};
use dkc_core::kv::{
    Adjustment, Command, Delta, Expiry, Initial, KEY_MAX_BYTES, Key, Read, Reply, StoreMode,
    VALUE_MAX_BYTES_LIMIT, Write,
};
use dkc_core::wire::{Answer, FRAME_MAX_BYTES, Hello, Kind, Request};
use dkcd::net::{Alpn, Client, NetError, Target, Tls};

use super::lab::{Lab, Server, wait_for};

/// More than the node port has places for handshakes.
const SILENT: usize = 300;
/// What a server of this test may have.
const CONNECTIONS_MAX: u32 = 64;

fn hello_of(tls: &Tls) -> Hello {
    let identity = tls.identity();
    Hello {
        cluster: identity.cluster,
        node: identity.node,
        node_id: NodeId(0),
        ring_version: RingVersion(0),
        release: "modified".into(),
    }
}

pub async fn connect(server: &Server, tls: &Tls) -> Client {
    try_connect(server, tls).await.expect("its certificate is good")
}

pub async fn try_connect(server: &Server, tls: &Tls) -> Result<Client, NetError> {
    let target = Target { address: server.entry.address.clone(), node: None };
    Client::connect(tls, Alpn::Slave, &target, &hello_of(tls)).await
}

pub fn request(server: &Server, command: Command) -> (GroupId, Bytes) {
    let meta = server.meta();
    let place = meta.ring.place_of(TabletId(0)).expect("one tablet has all slots").clone();
    let request = Request {
        ring_version: meta.ring.version,
        epoch: place.epoch,
        session: 7,
        sequence: 1,
        answered_below: 0,
        is_retry: false,
        reply_is_bounded: false,
        timeout_ms: 10_000,
        command,
    };
    let mut body = BytesMut::new();
    request.encode(&mut body);
    (place.tablet.group(), body.freeze())
}

fn get(key_bytes: usize) -> Command {
    let key = Key { namespace: Default::default(), bytes: vec![b'k'; key_bytes].into() };
    Command::Read(Read::Get { key })
}

/// The same request, which wants no large reply.
fn bounded(body: Bytes) -> Bytes {
    let request = Request::decode(body).expect("as it was written");
    let mut body = BytesMut::new();
    Request { reply_is_bounded: true, ..request }.encode(&mut body);
    body.freeze()
}

pub async fn ask(client: &Client, (group, body): (GroupId, Bytes)) -> Answer {
    let frame =
        client.request(Kind::Request, group, &body, Duration::from_secs(60)).await.expect("an answer");
    Answer::decode(frame.body).expect("an answer")
}

fn store(key_bytes: usize, value_bytes: usize) -> Command {
    let key = Key { namespace: Default::default(), bytes: vec![b'k'; key_bytes].into() };
    let value = vec![b'v'; value_bytes].into();
    Command::Write(Write::Store { key, mode: StoreMode::Set, flags: 0, expiry: Expiry::Never, value })
}

fn count_from(value_bytes: usize) -> Command {
    let key = Key { namespace: Default::default(), bytes: "n".into() };
    let initial = Initial { value: vec![b'1'; value_bytes].into(), expiry: Expiry::Never };
    let delta = Delta::Unsigned { by: 1, is_decrement: false };
    let adjustment = Adjustment { delta, initial: Some(initial), version: None, expiry: None };
    Command::Write(Write::Adjust { key, adjustment: Box::new(adjustment) })
}

/// The end of a tablet's log on a server: it grows by whatever is replicated.
fn last_index(server: &Server) -> u64 {
    server.status().tablets[0].last_index
}

#[test]
fn what_is_over_a_limit_is_refused_before_it_is_queued_and_the_tablet_goes_on() {
    let lab = Lab::founded(3, 1, |parameters| parameters.value_max_bytes = 4096);
    lab.wait_for_leaders();
    let tls = lab.stranger();
    let led_by = lab.servers[0].status().tablets[0].leader;
    let leader = lab.servers.iter().find(|server| Some(server.entry.node_id) == led_by).expect("a leader");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let before = runtime.block_on(async {
        let client = connect(leader, &tls).await;
        let check = async |command: Command, want: &str| {
            let answer = format!("{:?}", ask(&client, request(leader, command)).await);
            assert!(answer.contains(want), "{answer} does not say {want}");
        };
        check(store(1, 4096), "Stored").await;
        let before = last_index(leader);
        for value_bytes in [4097, VALUE_MAX_BYTES_LIMIT, VALUE_MAX_BYTES_LIMIT + 1, FRAME_MAX_BYTES - 256] {
            check(store(1, value_bytes), "the limit is 4096 (parameter value_max_bytes)").await;
            check(count_from(value_bytes), "the limit is 4096 (parameter value_max_bytes)").await;
        }
        check(store(KEY_MAX_BYTES + 1, 1), "Refused").await;
        check(store(KEY_MAX_BYTES, 1), "Stored").await;
        before
    });
    // A write of our own, and what the server does by itself once something expires: far less than was refused.
    assert!(last_index(leader) - before < 4, "what was refused has gone to the log");
    wait_for("the tablet commits", || {
        matches!(lab.servers[0].set("after", "yes"), ControlReply::Data(Reply::Stored { .. }))
    });
    assert_eq!(lab.servers[1].get("after").as_deref(), Some("yes"));
}

/// What one slave asks for at once can be far more than its connection holds. Whoever shares that connection must not lose an
/// answer to it.
#[test]
fn reads_of_more_than_a_connection_holds_are_all_answered_and_a_bounded_one_with_the_size() {
    const READS: usize = 400;
    const VALUE_BYTES: usize = 1024 * 1024;
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let (server, tls) = (&lab.servers[0], lab.stranger());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = connect(server, &tls).await;
        ask(&client, request(server, store(1, VALUE_BYTES))).await;
        let (group, large) = request(server, get(1));
        let (_, small) = request(server, get(2));
        let answers =
            (0..READS).map(|_| &large).chain([&small]).map(|body| ask(&client, (group, body.clone())));
        let mut answers = futures::future::join_all(answers).await;
        assert_eq!(answers.pop(), Some(Answer::Reply(Reply::NotFound)), "of a key that is not there");
        let is_whole =
            |answer: &Answer| matches!(answer, Answer::Reply(reply) if reply.value_bytes() == VALUE_BYTES);
        assert_eq!(answers.iter().filter(|answer| is_whole(answer)).count(), READS);

        let bounded = bounded(large);
        assert_eq!(ask(&client, (group, bounded)).await, Answer::TooLarge { bytes: VALUE_BYTES });
    });
}

/// Connects and says nothing, again and again wherever it was ended.
async fn stay_silent(address: String) {
    loop {
        if let Ok(mut stream) = tokio::net::TcpStream::connect(&address).await {
            // Whether it ends well or not: then the next one comes.
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One slave's certificate, and as many connections as it can get.
async fn take_places(server: NodeAddress, tls: Arc<Tls>) {
    let mut clients = Vec::new();
    loop {
        clients.retain(Client::is_open);
        let target = Target { address: server.clone(), node: None };
        match Client::connect(&tls, Alpn::Slave, &target, &hello_of(&tls)).await {
            Ok(client) => clients.push(client),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[test]
fn silent_connections_and_a_slaves_many_keep_no_restarted_server_out() {
    let mut lab = Lab::founded(3, 3, |parameters| parameters.connections_max = CONNECTIONS_MAX);
    lab.wait_for_leaders();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let slaves: Vec<Arc<Tls>> = (0..CONNECTIONS_MAX).map(|_| lab.stranger()).collect();
    lab.servers[2].kill();
    for server in &lab.servers {
        for _ in 0..SILENT {
            runtime.spawn(stay_silent(server.entry.address.to_string()));
        }
        for tls in &slaves {
            runtime.spawn(take_places(server.entry.address.clone(), tls.clone()));
        }
    }
    for server in &lab.servers[..2] {
        wait_for("slaves have all places that one host may have", || {
            server.try_node_status().is_some_and(|status| status.connections >= CONNECTIONS_MAX * 3 / 8)
        });
    }
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    wait_for("the restarted server is up for both others", || {
        let is_up = |server: &Server| {
            server.try_status().is_some_and(|status| status.members.iter().all(|member| member.is_up))
        };
        lab.servers.iter().all(is_up)
    });
    lab.wait_for_leaders();
    assert!(matches!(lab.servers[2].set("k", "v"), ControlReply::Data(Reply::Stored { .. })));
    assert_eq!(lab.servers[0].get("k").as_deref(), Some("v"));
    runtime.shutdown_background();
}
