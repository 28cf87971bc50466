//! Certificates end and nobody comes: servers renew their own and those of slaves, under traffic, and whoever was away comes back.
//! What a certificate does not allow is refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dkc_core::control::{CertificateStatus, ControlReply, ControlRequest, RoleStatus, ServerLink};
use dkc_core::ids::{GroupId, SlaveId};
use dkc_core::kv::{Command, Read, Reply, Write};
use dkc_core::meta::MemberChange;
use dkc_core::wire::{Certified, Kind};
use dkcd::net::{Client, Tls};
use rcgen::{CertificateParams, KeyPair};

use super::authority::Authority;
use super::lab::{Lab, Server, wait_for};
use super::slave::Application;
use super::stranger::{ask, connect, request, try_connect};

/// Long enough to start a cluster within.
const LEAF_LIFETIME: Duration = Duration::from_secs(12);
/// How long a server may take to honour a revocation.
const HONOURED_MAX: Duration = Duration::from_secs(10);
const DAY_S: i64 = 86_400;

fn certificate(node: &Server) -> CertificateStatus {
    try_certificate(node).expect("a certificate")
}

fn try_certificate(node: &Server) -> Option<CertificateStatus> {
    node.try_node_status()?.certificate
}

fn wait_until_all_are_up(lab: &Lab) {
    wait_for("every server is up for every other", || {
        let is_up = |server: &Server| {
            server.try_status().is_some_and(|status| status.members.iter().all(|member| member.is_up))
        };
        lab.servers.iter().all(is_up)
    });
}

#[test]
fn certificates_of_seconds_are_renewed_under_traffic_and_nobody_notices() {
    let mut lab = Lab::under(Authority::of(LEAF_LIFETIME, true), 3, 3, |_| {});
    lab.start_all();
    assert_eq!(lab.servers[0].ask(&ControlRequest::Found), ControlReply::Ok);
    lab.wait_for_leaders();
    let (slave, listen) = lab.slave(|_| {});
    let mut application = Application::connect(&listen);
    application.check("set n 0 0 1\r\n0\r\n", "STORED\r\n");
    let first_until_s = certificate(&slave).until_s;
    let mut count = 0;
    let mut is_done = || {
        count += 1;
        application.check("incr n 1\r\n", &format!("{count}\r\n"));
        // Both have been renewed by what was renewed.
        let is_later = |node: &Server| {
            try_certificate(node).is_some_and(|now| {
                now.issuer.is_some() && now.from_s > first_until_s && now.trouble.is_none()
            })
        };
        lab.servers.iter().all(is_later) && is_later(&slave)
    };
    wait_for("certificates that began after the first ones had ended", &mut is_done);

    lab.servers[2].kill();
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    wait_until_all_are_up(&lab);
    application.check("get n\r\n", &format!("VALUE n 0 {}\r\n{count}\r\nEND\r\n", count.to_string().len()));
    assert_eq!(certificate(&slave).namespaces, [dkc_core::ids::Namespace::default()]);
}

#[test]
fn a_hundred_days_without_anybody_are_survived_also_by_a_server_that_was_off() {
    let mut lab = Lab::founded(3, 2, |_| {});
    lab.wait_for_leaders();
    let (slave, listen) = lab.slave(|_| {});
    let first = certificate(&slave);
    lab.servers[2].kill();
    for days in [20, 40, 60, 80, 100] {
        lab.set_days_ahead(days);
        let renewed = |node: &Server| {
            try_certificate(node).is_some_and(|now| now.until_s > first.from_s + (days + 30) * DAY_S)
        };
        wait_for(&format!("renewed by day {days}"), || {
            lab.servers[..2].iter().all(renewed) && renewed(&slave)
        });
    }
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    wait_until_all_are_up(&lab);
    lab.servers[0].kill();
    lab.servers[0].start();
    lab.servers[0].wait_until_it_answers();
    wait_until_all_are_up(&lab);
    let mut application = Application::connect(&listen);
    application.check("set k 0 0 1\r\nv\r\n", "STORED\r\n");
    assert_eq!(lab.servers[0].get("k").as_deref(), Some("v"));
}

/// What was signed while the clocks were ahead is not valid yet once they are right again.
#[test]
fn clocks_that_were_ahead_for_a_while_keep_no_server_out() {
    let mut lab = Lab::founded(3, 2, |_| {});
    lab.wait_for_leaders();
    let first = certificate(&lab.servers[0]);
    let all = |lab: &Lab, is: &dyn Fn(&CertificateStatus) -> bool| {
        lab.servers.iter().all(|node| try_certificate(node).is_some_and(|now| is(&now)))
    };
    lab.set_days_ahead(60);
    wait_for("renewed by the wrong time", || all(&lab, &|now| now.from_s > first.from_s + 50 * DAY_S));
    let wrong = certificate(&lab.servers[0]);
    lab.set_days_ahead(0);
    wait_for("renewed by the right time", || all(&lab, &|now| now.from_s < wrong.from_s - 50 * DAY_S));
    assert!(all(&lab, &|now| now.serial != first.serial && now.trouble.is_none()));
    lab.servers[2].kill();
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    wait_until_all_are_up(&lab);
}

#[test]
fn a_slave_whose_issuer_has_left_is_served_and_renewed_by_the_others() {
    let lab = Lab::founded(3, 2, |_| {});
    lab.wait_for_leaders();
    let (mut slave, listen) = lab.slave(|_| {});
    lab.set_days_ahead(60);
    let issuer = || try_certificate(&slave).and_then(|now| now.issuer);
    wait_for("a server has signed for the slave", || issuer().is_some());
    let left = issuer().expect("a server");
    let gone = lab.servers.iter().position(|server| server.entry.node_uuid == left).expect("a member");
    let (at, node) = ((gone + 1) % 3, lab.servers[gone].entry.node_id);
    assert_eq!(lab.servers[at].change(MemberChange::ServiceOut { node }), ControlReply::Ok);
    wait_for("another server has signed", || issuer().is_some_and(|issuer| issuer != left));
    lab.wait_until_merged(at);
    assert_eq!(lab.servers[at].change(MemberChange::RemoveNode { node }), ControlReply::Ok);
    let second = certificate(&slave);
    slave.kill();
    slave.start();
    wait_for("the slave answers", || try_certificate(&slave).is_some());
    let mut application = Application::connect(&listen);
    application.check("set k 0 0 1\r\nv\r\n", "STORED\r\n");
    lab.set_days_ahead(130);
    wait_for("renewed once more", || {
        try_certificate(&slave).is_some_and(|now| {
            now.until_s > second.until_s && now.issuer.is_some_and(|issuer| issuer != left)
        })
    });
    application.check("get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n");
}

/// What the test before these would come to if nothing were renewed.
#[test]
fn without_issuers_certificates_end_and_the_node_says_why() {
    let mut lab = Lab::under(Authority::of(Duration::from_secs(90 * 86_400), false), 2, 1, |_| {});
    lab.start_all();
    lab.set_days_ahead(60);
    let trouble = || try_certificate(&lab.servers[0]).and_then(|now| now.trouble);
    wait_for("the renewal fails", || trouble().is_some_and(|why| why.contains("this server has no issuer")));
    lab.set_days_ahead(91);
    lab.servers[1].kill();
    lab.servers[1].start();
    wait_for("both sides say that the certificate has expired", || {
        lab.servers.iter().all(|server| server.log().contains("certificate has expired"))
    });
}

#[test]
fn a_revoked_slave_is_cut_off_by_every_server_and_stays_out() {
    let mut lab = Lab::founded(3, 3, |_| {});
    lab.wait_for_leaders();
    let (slave, listen) = lab.slave(|_| {});
    let (revoked, other) = (lab.stranger(), lab.stranger());
    let mut application = Application::connect(&listen);
    application.check("set k 0 0 1\r\nv\r\n", "STORED\r\n");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let connect_all = |tls: &Arc<Tls>| -> Vec<Client> {
        lab.servers.iter().map(|server| runtime.block_on(connect(server, tls))).collect()
    };
    let (cut, standing) = (connect_all(&revoked), connect_all(&other));
    let revoke = |uuid| ControlRequest::RevokeSlave { uuid, id: SlaveId(7), by: "ann@admin1".into() };
    assert_eq!(lab.servers[1].ask(&revoke(revoked.identity().node)), ControlReply::Ok);
    assert_eq!(lab.servers[2].ask(&revoke(revoked.identity().node)), ControlReply::Ok);
    let until = Instant::now() + HONOURED_MAX;
    while cut.iter().any(Client::is_open) {
        assert!(Instant::now() < until, "a connection of the revoked slave stands");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(standing.iter().all(Client::is_open), "another slave was cut off too");
    let refused = |server: &Server| match runtime.block_on(try_connect(server, &revoked)) {
        Ok(_) => panic!("it was let in again"),
        Err(error) => assert!(error.to_string().contains("slave 7 was revoked by ann@admin1"), "{error}"),
    };
    lab.servers.iter().for_each(refused);
    application.check("get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n");
    let ControlReply::Error { message, .. } = lab.servers[0].ask(&revoke(lab.servers[1].entry.node_uuid))
    else {
        panic!("a server was revoked")
    };
    assert!(message.contains("a server"), "{message}");

    // It stands in the state of the cluster: servers that begin again know it too.
    lab.kill_all();
    lab.start_all();
    lab.wait_for_leaders();
    lab.servers.iter().for_each(refused);
    // A slave of ours says why.
    assert_eq!(lab.servers[0].ask(&revoke(slave.entry.node_uuid)), ControlReply::Ok);
    wait_for("the slave says that it was revoked", || {
        let status = slave.try_node_status().map(|status| status.role);
        let Some(RoleStatus::Slave(status)) = status else { return false };
        let says =
            |link: &ServerLink| link.error.as_ref().is_some_and(|why| why.contains("was revoked by ann"));
        !status.servers.is_empty() && status.servers.iter().all(says)
    });
}

fn read(namespace: &str, read: impl FnOnce(dkc_core::ids::Namespace) -> Read) -> Command {
    Command::Read(read(namespace.parse().expect("a namespace")))
}

#[test]
fn a_slave_reaches_only_the_namespaces_of_its_certificate() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let tls = lab.stranger();
    let server = &lab.servers[0];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = connect(server, &tls).await;
        let check = async |command: Command, is_refused: bool| {
            let answer = format!("{:?}", ask(&client, request(server, command)).await);
            let wanted = "this slave's certificate is not for namespace sessions";
            assert_eq!(answer.contains(wanted), is_refused, "{answer}");
        };
        for (namespace, is_refused) in [("default", false), ("sessions", true)] {
            let key = |namespace| dkc_core::kv::Key { namespace, bytes: Bytes::from_static(b"k") };
            check(read(namespace, |namespace| Read::Get { key: key(namespace) }), is_refused).await;
            check(read(namespace, |namespace| Read::Count { namespace }), is_refused).await;
            let scan = |namespace| Read::Scan { namespace, after: Bytes::new(), limit: 9 };
            check(read(namespace, scan), is_refused).await;
            let namespace: dkc_core::ids::Namespace = namespace.parse().expect("a namespace");
            let delete = Write::Delete { key: key(namespace.clone()), version: None };
            check(Command::Write(delete), is_refused).await;
            check(Command::Write(Write::Flush { namespace, after_ms: 0 }), is_refused).await;
        }
    });
}

#[test]
fn a_signing_request_renews_the_same_identity_and_nothing_else() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let tls = lab.stranger();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = connect(&lab.servers[0], &tls).await;
        let certify = async |request: &[u8]| {
            let limit = Duration::from_secs(60);
            let answer =
                client.request(Kind::Certify, GroupId::META, request, limit).await.expect("an answer");
            Certified::decode(&answer.body).expect("an answer")
        };
        // It asks to be a server, a CA, and for every namespace.
        let mut wanted = CertificateParams::new(vec!["dkc".to_owned()]).expect("names");
        let uri = tls.identity().to_string().replace("slave", "server");
        wanted.subject_alt_names.push(rcgen::SanType::URI(uri.as_str().try_into().expect("a URI")));
        let other = rcgen::SanType::URI("dkc-namespace:other".try_into().expect("a URI"));
        wanted.subject_alt_names.push(other);
        let key = KeyPair::generate().expect("a key");
        let signed = certify(wanted.serialize_request(&key).expect("a request").der()).await;
        let Certified::Chain(chain) = signed else { panic!("{signed:?}") };
        let chain: Vec<_> = dkcd::net::tls::certificates(chain.as_bytes()).expect("certificates");
        let own = tls.check_own(&chain).expect("good for the slave that asked");
        assert_eq!(own.namespaces.as_deref(), Some(&[dkc_core::ids::Namespace::default()][..]));
        assert_eq!(own.issuer, Some(lab.servers[0].entry.node_uuid));

        let check = async |request: &[u8], want: &str| match certify(request).await {
            Certified::Refused(why) => assert!(why.contains(want), "{why}"),
            Certified::Chain(_) => panic!("signed"),
        };
        check(b"", "Could not parse").await;
        check(&[0x30; 5000], "a signing request of 5000 bytes").await;
        let mut forged = wanted.serialize_request(&key).expect("a request").der().to_vec();
        *forged.last_mut().expect("bytes") ^= 1;
        check(&forged, "ignature").await;
    });
    assert!(matches!(lab.servers[0].set("k", "v"), ControlReply::Data(Reply::Stored { .. })));
}
