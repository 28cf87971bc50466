//! Two sides on loopback: who is admitted, what happens to foreign peers and garbage, and that replies reach their callers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::certificate;
use dkc_core::ids::GroupId;
use dkc_core::wire::{Hello, Kind, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::testing::{AdmitAll, Authority, hello_of, target};
use super::tls::{Alpn, Tls};
use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// A server that answers every request with its own body.
async fn echo(tls: Arc<Tls>, connections_max: u32) -> SocketAddr {
    serve_admitting(tls.clone(), connections_max, AdmitAll(tls.identity())).await
}

async fn serve_admitting(tls: Arc<Tls>, connections_max: u32, admit: impl Admit) -> SocketAddr {
    let listener = bind_any(tls, connections_max).await;
    let address = listener.local_address().unwrap();
    tokio::spawn(listener.run(Arc::new(admit), |mut connection| async move {
        while let Ok(batch) = connection.frames.next_batch().await {
            connection.sender.ready().await;
            for frame in batch {
                let _ = connection.sender.send(Kind::Answer, frame.id, frame.group, &frame.body);
            }
        }
    }));
    address
}

async fn bind_any(tls: Arc<Tls>, connections_max: u32) -> Listener {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Listener::bind(&free.to_string().parse().unwrap(), tls, connections_max).await.unwrap()
}

async fn open(tls: &Tls, alpn: Alpn, address: SocketAddr) -> Result<Client, NetError> {
    Client::connect(tls, alpn, &target(address), &hello_of(tls.identity())).await
}

async fn ask(client: &Client, body: &[u8]) -> Result<Bytes, NetError> {
    Ok(client.request(Kind::Request, GroupId(3), body, LIMIT).await?.body)
}

/// The outcome of connecting and asking once, as a person would read it.
async fn outcome(tls: &Tls, alpn: Alpn, address: SocketAddr) -> String {
    match open(tls, alpn, address).await {
        Ok(client) => match ask(&client, b"x").await {
            Ok(_) => "welcome".into(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string().replace(&format!("{address}: "), ""),
    }
}

#[tokio::test]
async fn only_the_right_certificate_opens_a_connection() {
    let ours = Authority::new();
    let foreign_ca = Authority::of(ours.cluster);
    let mut foreign_cluster = Authority::new();
    let server = ours.tls(NodeRole::Server);
    let address = echo(server, 100).await;

    let check = async |tls: Arc<Tls>, alpn: Alpn, want: &str| {
        let got = outcome(&tls, alpn, address).await;
        assert!(got.contains(want), "{alpn:?}: {got:?} does not contain {want:?}");
    };
    check(ours.tls(NodeRole::Server), Alpn::Peer, "welcome").await;
    check(ours.tls(NodeRole::Server), Alpn::Snapshot, "welcome").await;
    check(ours.tls(NodeRole::Slave), Alpn::Slave, "welcome").await;
    check(ours.tls(NodeRole::Slave), Alpn::Peer, "a slave; dkc-peer/1 is for a server only").await;
    check(ours.tls(NodeRole::Slave), Alpn::Snapshot, "a slave; dkc-snapshot/1 is for a server only").await;
    check(ours.tls(NodeRole::Server), Alpn::Slave, "a server; dkc-slave/1 is for a slave only").await;
    check(foreign_ca.tls(NodeRole::Server), Alpn::Peer, "not signed by a CA that this node trusts").await;
    check(foreign_cluster.tls(NodeRole::Server), Alpn::Peer, "not signed by a CA that this node trusts")
        .await;

    // The CA of our cluster, asked to sign for another cluster: the chain is good, the name is not.
    let identity = Identity { cluster: foreign_cluster.cluster, ..ours.identity(NodeRole::Server) };
    let signed_here = Tls::load(&ours.node(identity), identity).unwrap();
    check(signed_here, Alpn::Peer, "the peer belongs to cluster").await;

    // A server that trusts another CA than the one that signed us: we trust it, it does not trust us.
    foreign_cluster.ca_pem = format!("{}{}", foreign_cluster.ca_pem, ours.ca_pem);
    check(foreign_cluster.tls(NodeRole::Server), Alpn::Peer, "to cluster").await;
}

#[tokio::test]
async fn an_issuer_vouches_for_its_own_server_and_for_slaves_only() {
    let authority = Authority::new();
    let address = echo(authority.tls(NodeRole::Server), 100).await;
    let issuer = |cluster, node| certificate::holder_uri(cluster, certificate::Holder::Issuer, node);
    let (server, slave) = (authority.identity(NodeRole::Server), authority.identity(NodeRole::Slave));
    let other = authority.identity(NodeRole::Server);
    let own_issuer = issuer(server.cluster, server.node);
    let other_issuer = issuer(server.cluster, other.node);

    let check = async |identity: Identity, chain: &[String], want: &str| {
        let alpn = if identity.role == NodeRole::Server { Alpn::Peer } else { Alpn::Slave };
        let directory = authority.chained(identity, chain);
        let got = match Tls::load(&directory, identity) {
            Ok(tls) => outcome(&tls, alpn, address).await,
            Err(error) => error.to_string(),
        };
        assert!(got.contains(want), "{identity} by {chain:?}: {got}");
        // Whoever leaves the check of its own chain out gets no further.
        let Ok(forger) = Tls::load_unchecked(&directory, identity) else { panic!("{chain:?}") };
        let got = outcome(&forger, alpn, address).await;
        assert_eq!(got == "welcome", want == "welcome", "{identity} by {chain:?}: {got}");
    };
    check(server, &[], "welcome").await;
    check(server, std::slice::from_ref(&own_issuer), "welcome").await;
    check(slave, std::slice::from_ref(&own_issuer), "welcome").await;
    let words = format!("signed by the issuer of server {}", other.node);
    check(server, std::slice::from_ref(&other_issuer), &words).await;
    check(server, &[own_issuer.clone(), own_issuer.clone()], "a chain of 3 certificates").await;
    check(slave, &[other_issuer.clone(), own_issuer.clone()], "a chain of 3 certificates").await;
    check(slave, &[server.to_string()], "is not an issuer of cluster").await;
    check(slave, &["https://example.net/".into()], "is not an issuer of cluster").await;
    let foreign = issuer(dkc_core::ids::ClusterId(uuid::Uuid::new_v4()), server.node);
    check(slave, &[foreign], "is not an issuer of cluster").await;

    // The same chain from another CA.
    let stranger = Authority::of(authority.cluster);
    let tls = Tls::load(&stranger.chained(server, &[own_issuer]), server).unwrap();
    let got = outcome(&tls, Alpn::Peer, address).await;
    assert!(got.contains("not signed by a CA that this node trusts"), "{got}");
}

#[tokio::test]
async fn a_server_that_does_not_trust_our_ca_says_so() {
    let old = Authority::new();
    let new = Authority::of(old.cluster);
    let address = echo(old.tls(NodeRole::Server), 100).await;
    let identity = new.identity(NodeRole::Server);
    let directory = new.node(identity);
    std::fs::write(directory.join("tls/ca.pem"), format!("{}{}", old.ca_pem, new.ca_pem)).unwrap();
    let tls = Tls::load(&directory, identity).unwrap();
    let got = outcome(&tls, Alpn::Peer, address).await;
    assert!(got.contains("does not trust the CA of this node's certificate"), "{got}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_both_sides() {
    let authority = Authority::new();
    let yesterday = time::OffsetDateTime::now_utc() - Duration::from_secs(86_400);
    let identity = authority.identity(NodeRole::Server);
    let expired = Tls::load(&authority.node_until(identity, yesterday), identity).unwrap();
    let good = authority.tls(NodeRole::Server);

    let got = outcome(&expired, Alpn::Peer, echo(good.clone(), 9).await).await;
    assert!(got.contains("says that this node's certificate has expired"), "{got}");
    let got = outcome(&good, Alpn::Peer, echo(expired, 9).await).await;
    assert!(got.contains("the peer's certificate has expired"), "{got}");
}

#[tokio::test]
async fn replaced_files_are_used_for_the_next_handshake() {
    let old = Authority::new();
    let new = Authority::of(old.cluster);
    let identity = old.identity(NodeRole::Server);
    let directory = old.node(identity);
    let tls = Tls::load(&directory, identity).unwrap();
    let address = echo(tls.clone(), 9).await;
    let client = new.tls(NodeRole::Server);
    assert!(open(&client, Alpn::Peer, address).await.is_err());

    assert!(!tls.reload_if_changed().unwrap());
    std::fs::write(directory.join("tls/node.key"), "torn").unwrap();
    assert!(tls.reload_if_changed().unwrap_err().to_string().contains("tls/node.key"));
    new.write(&directory, identity, time::OffsetDateTime::now_utc() + LIMIT);
    assert!(tls.reload_if_changed().unwrap());
    assert_eq!(outcome(&client, Alpn::Peer, address).await, "welcome");
}

#[test]
fn files_that_are_not_ours_are_refused_with_their_path() {
    let authority = Authority::new();
    let identity = authority.identity(NodeRole::Server);
    let other = authority.identity(NodeRole::Server);
    let check = |file: &str, content: Option<&str>, identity: Identity, want: &str| {
        let directory = authority.node(other);
        match content {
            Some(content) => std::fs::write(directory.join(file), content).unwrap(),
            None => std::fs::remove_file(directory.join(file)).unwrap(),
        }
        let error = Tls::load(&directory, identity).err().expect("refused").to_string();
        assert!(error.contains(file) && error.contains(want), "{error:?}");
    };
    let ca = authority.ca_pem.as_str();
    check("tls/ca.pem", None, other, "No such file");
    check("tls/ca.pem", Some("garbage"), other, "no certificate in PEM");
    check("tls/ca.pem", Some(&ca.repeat(3)), other, "at most 2");
    check("tls/node.pem", Some(ca), other, "no dkc:// URI");
    check("tls/node.key", Some(ca), other, "no private key");
    let fine = authority.node(other);
    let error = Tls::load(&fine, identity).err().expect("refused").to_string();
    assert!(error.contains(&format!("is for {other}, this node is {identity}")), "{error}");
}

#[test]
fn an_issuer_is_nobody_that_connects() {
    let uuid = "0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a11";
    let identity = |holder: &str| format!("dkc://{uuid}/{holder}/{uuid}").parse::<Identity>();
    assert_eq!(identity("server").unwrap().to_string(), format!("dkc://{uuid}/server/{uuid}"));
    assert_eq!(identity("slave").unwrap().to_string(), format!("dkc://{uuid}/slave/{uuid}"));
    assert!(identity("issuer").is_err());
}

struct RefuseAll(Refusal);
impl Admit for RefuseAll {
    fn admit(&self, _: &Peer, _: Alpn, _: &Hello) -> Result<Hello, Refusal> {
        Err(self.0.clone())
    }
}

#[tokio::test]
async fn a_refusal_reaches_the_other_side() {
    let authority = Authority::new();
    let tls = authority.tls(NodeRole::Server);
    let check = async |refusal: Refusal| {
        let address = serve_admitting(tls.clone(), 9, RefuseAll(refusal.clone())).await;
        match open(&authority.tls(NodeRole::Server), Alpn::Peer, address).await {
            Err(NetError::Refused(got)) => assert_eq!(got, refusal),
            other => panic!("{:?}", other.err()),
        }
    };
    check(Refusal::Removed).await;
    check(Refusal::UnknownNode).await;
    check(Refusal::Other("no".into())).await;
}

#[tokio::test]
async fn whoever_answers_in_another_nodes_place_is_not_used_but_may_say_that_this_node_was_removed() {
    let authority = Authority::new();
    let (there, here) = (authority.tls(NodeRole::Server), authority.tls(NodeRole::Server));
    let wanted = authority.identity(NodeRole::Server).node;
    let check = async |refusal: Option<Refusal>| -> NetError {
        let address = match refusal {
            Some(refusal) => serve_admitting(there.clone(), 9, RefuseAll(refusal)).await,
            None => echo(there.clone(), 9).await,
        };
        let target = Target { node: Some(wanted), ..target(address) };
        let opened = Client::connect(&here, Alpn::Peer, &target, &hello_of(here.identity())).await;
        opened.err().expect("another node answers there")
    };
    assert!(matches!(check(Some(Refusal::Removed)).await, NetError::Refused(Refusal::Removed)));
    let words = format!("node {} answered, expected node {wanted}", there.identity().node);
    for refusal in [None, Some(Refusal::UnknownNode)] {
        let got = check(refusal).await.to_string();
        assert!(got.ends_with(&words), "{got}");
    }
}

#[tokio::test]
async fn one_connection_too_many_is_refused_and_room_is_given_back() {
    let authority = Authority::new();
    let address = echo(authority.tls(NodeRole::Server), 1).await;
    let tls = authority.tls(NodeRole::Server);
    let first = open(&tls, Alpn::Peer, address).await.unwrap();
    let refused = open(&tls, Alpn::Peer, address).await.err();
    assert!(matches!(refused, Some(NetError::Refused(Refusal::Full { connections_max: 1 }))), "{refused:?}");
    first.close("done");
    let until = Instant::now() + LIMIT;
    while outcome(&tls, Alpn::Peer, address).await != "welcome" {
        assert!(Instant::now() < until, "the place was not given back");
    }
}

#[tokio::test]
async fn slaves_leave_room_for_servers_and_who_opens_too_many_ends_its_own() {
    let authority = Authority::new();
    let address = echo(authority.tls(NodeRole::Server), 32).await;
    let greedy = authority.tls(NodeRole::Slave);
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(open(&greedy, Alpn::Slave, address).await.unwrap());
    }
    let until = Instant::now() + LIMIT;
    while clients.iter().filter(|client| client.is_open()).count() > 8 {
        assert!(Instant::now() < until, "the oldest ones stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(clients[12..].iter().all(Client::is_open), "others than the oldest ones have ended");
    // 24 of the 32 are for slaves, and half of them for one host.
    let other = authority.tls(NodeRole::Slave);
    for _ in 0..4 {
        clients.push(open(&other, Alpn::Slave, address).await.unwrap());
    }
    let refused = open(&other, Alpn::Slave, address).await.err().map(|error| error.to_string());
    assert!(refused.as_ref().is_some_and(|why| why.contains("the limit per host")), "{refused:?}");
    assert_eq!(outcome(&authority.tls(NodeRole::Server), Alpn::Peer, address).await, "welcome");
}

#[tokio::test]
async fn many_requests_share_a_connection_and_each_gets_its_own_answer() {
    let authority = Authority::new();
    let address = echo(authority.tls(NodeRole::Server), 9).await;
    let client = open(&authority.tls(NodeRole::Slave), Alpn::Slave, address).await.unwrap();
    let asked = (0..500usize).map(|number| {
        let client = client.clone();
        async move {
            // Every fiftieth is larger than any read buffer.
            let body = number.to_string().repeat(if number % 50 == 0 { 200_000 } else { 3 });
            assert_eq!(ask(&client, body.as_bytes()).await.unwrap(), body.as_bytes());
        }
    });
    futures::future::join_all(asked).await;
}

/// What comes in on one side goes out on the other at about 3 MB/s.
async fn slow_way_to(server: SocketAddr) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (there, _) = listener.accept().await.unwrap();
        let onward = TcpStream::connect(server).await.unwrap();
        let ((read, write), (onward_read, onward_write)) = (there.into_split(), onward.into_split());
        tokio::spawn(carry_slowly(read, onward_write));
        tokio::spawn(carry_slowly(onward_read, write));
    });
    address
}

async fn carry_slowly(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// It takes longer than silence may last, in either direction.
#[tokio::test]
async fn a_large_frame_on_a_slow_way_is_no_silence() {
    let authority = Authority::new();
    let address = slow_way_to(echo(authority.tls(NodeRole::Server), 9).await).await;
    let client = open(&authority.tls(NodeRole::Server), Alpn::Peer, address).await.unwrap();
    let body = vec![7; 10 * 1024 * 1024];
    let answer = client.request(Kind::Request, GroupId(3), &body, Duration::from_secs(60)).await.unwrap();
    assert!(answer.body == body);
}

#[tokio::test]
async fn closing_fails_what_is_under_way_and_what_comes_after() {
    let authority = Authority::new();
    let tls = authority.tls(NodeRole::Server);
    let listener = bind_any(tls.clone(), 9).await;
    let address = listener.local_address().unwrap();
    // Takes one batch and goes away without an answer.
    tokio::spawn(listener.run(Arc::new(AdmitAll(tls.identity())), |mut connection| async move {
        let _ = connection.frames.next_batch().await;
    }));
    let client = open(&authority.tls(NodeRole::Slave), Alpn::Slave, address).await.unwrap();
    let lost = ask(&client, b"x").await.unwrap_err();
    assert!(matches!(lost, NetError::Lost(_)) && !lost.is_never_sent(), "{lost}");
    let after = ask(&client, b"x").await.unwrap_err();
    assert!(after.is_never_sent(), "{after}");
}

#[tokio::test]
async fn a_request_without_answer_fails_at_its_deadline_and_the_connection_stands() {
    let authority = Authority::new();
    let tls = authority.tls(NodeRole::Server);
    let listener = bind_any(tls.clone(), 9).await;
    let address = listener.local_address().unwrap();
    tokio::spawn(listener.run(Arc::new(AdmitAll(tls.identity())), |mut connection| async move {
        // Silent about the first batch; pings are answered all the same.
        while let Ok(batch) = connection.frames.next_batch().await {
            for frame in batch.iter().filter(|frame| frame.body != b"hush"[..]) {
                let _ = connection.sender.send(Kind::Answer, frame.id, frame.group, &frame.body);
            }
        }
    }));
    let client = open(&authority.tls(NodeRole::Slave), Alpn::Slave, address).await.unwrap();
    let timeout = Duration::from_millis(2500);
    let hushed = client.request(Kind::Request, GroupId(1), b"hush", timeout).await;
    assert!(matches!(hushed, Err(NetError::NoAnswer { .. })), "{hushed:?}");
    assert_eq!(ask(&client, b"still here").await.unwrap(), b"still here"[..]);
}

#[tokio::test]
async fn garbage_on_the_node_port_harms_nobody() {
    let authority = Authority::new();
    let address = echo(authority.tls(NodeRole::Server), 9).await;
    let client = open(&authority.tls(NodeRole::Slave), Alpn::Slave, address).await.unwrap();
    let check = async |garbage: &[u8]| {
        let mut stranger = TcpStream::connect(address).await.unwrap();
        // The server may close before all is sent.
        let _ = stranger.write_all(garbage).await;
        let _ = stranger.shutdown().await;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(LIMIT, stranger.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection stays open after {garbage:?}");
        assert_eq!(ask(&client, b"fine").await.unwrap(), b"fine"[..]);
    };
    check(b"").await;
    check(b"GET / HTTP/1.1\r\n\r\n").await;
    check(&[0xff; 100_000]).await;
    check(&[0x16, 0x03, 0x01, 0xff, 0xff, 0x01]).await;
}

#[tokio::test]
async fn frames_before_hello_are_small_and_are_hello() {
    let authority = Authority::new();
    let server = authority.tls(NodeRole::Server);
    let address = echo(server, 9).await;
    let tls = authority.tls(NodeRole::Slave);
    let check = async |bytes: &[u8], want: &str| {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("dkc").unwrap();
        let stream = tls.connector(Alpn::Slave).connect(name, stream).await.unwrap();
        let (mut frames, _sender) = {
            let mut stream = stream;
            stream.write_all(bytes).await.unwrap();
            stream.flush().await.unwrap();
            connection::open(stream.into())
        };
        let answer = frames.next_frame().await.unwrap();
        assert_eq!(answer.kind, Kind::Refused);
        let refusal = Refusal::decode(&answer.body).unwrap();
        assert!(refusal_words(&refusal).contains(want), "{refusal:?}");
    };
    check(&[0, 1, 0, 0, 1, 1], "at most 4096").await;
    check(&[0, 0, 0, 12, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "supports only wire version 1").await;
    check(&[0, 0, 0, 12, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "expected Hello, received Request").await;
    check(&[0, 0, 0, 12, 1, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "kind 99 is unknown").await;
    check(&[0, 0, 0, 3, 1], "shorter than a frame's header").await;
    check(&[0, 0, 0, 12, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "invalid Hello").await;
}

#[tokio::test]
async fn a_link_connects_when_wanted_again_after_a_loss_and_pauses_when_nobody_answers() {
    let authority = Authority::new();
    let tls = authority.tls(NodeRole::Slave);
    let identity = tls.identity();
    let peers = Peers::new(tls, Alpn::Slave, Arc::new(move || hello_of(identity)));
    let address = echo(authority.tls(NodeRole::Server), 9).await;
    let link = peers.link(&target(address));
    assert!(!link.state().is_connected);
    assert!(link.current().is_err(), "the first ask only begins the attempt");
    let client = link.client().await.unwrap();
    assert!(link.state().is_connected);
    client.close("test");
    let until = Instant::now() + LIMIT;
    let again = loop {
        match link.client().await {
            Ok(again) => break again,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(ask(&again, b"x").await.unwrap(), b"x"[..]);

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let link = peers.link(&target(nobody));
    let first = link.client().await.err().unwrap().to_string();
    assert!(first.contains("refused"), "{first}");
    // Inside the pause there is no attempt, the same error comes at once.
    assert_eq!(link.client().await.err().unwrap().to_string(), first);
    assert_eq!(link.state().error, Some(first));
}

#[tokio::test]
async fn another_node_behind_the_address_is_not_accepted() {
    let authority = Authority::new();
    let address = echo(authority.tls(NodeRole::Server), 9).await;
    let tls = authority.tls(NodeRole::Slave);
    let wanted = authority.identity(NodeRole::Server).node;
    let wrong = Target { node: Some(wanted), ..target(address) };
    let error = Client::connect(&tls, Alpn::Slave, &wrong, &hello_of(tls.identity())).await.err().unwrap();
    assert!(error.to_string().contains(&format!("expected node {wanted}")), "{error}");
}
