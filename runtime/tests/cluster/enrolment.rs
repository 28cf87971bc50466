//! Machines without a certificate enrol with a token, over real connections; whatever else they have is refused and costs nothing.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dkc_core::config::layout;
use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::ids::{Namespace, NodeAddress};
use dkc_core::kv::{Command, Key, Read};
use dkc_core::meta::{ENROLLED_ID_FIRST, NewToken, TokenEnd, TokenView};
use dkc_core::token::{JoinToken, Secret, SecretHash, TokenId};
use dkcd::net::enrol::{EnrolError, Enrolled, enrol};
use dkcd::net::tls::certificates;
use dkcd::net::{Identity, NodeRole, Tls};
use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::lab::Lab;
use super::stranger::{ask, connect, request};

const RACERS: usize = 1000;
/// At once: below the handshakes that one source may have.
const AT_ONCE: usize = 24;
const HOUR_MS: u64 = 3_600_000;

fn namespace() -> Namespace {
    "sessions".parse().expect("a namespace")
}

/// A token that the cluster knows.
fn issue(lab: &Lab, change: impl Fn(&mut NewToken)) -> JoinToken {
    let pem = fs::read(lab.servers[0].directory.join(layout::TLS_CA)).expect("a CA");
    let anchors = certificates(&pem).expect("certificates");
    let token = JoinToken {
        cluster: lab.servers[0].meta().ring.cluster,
        id: TokenId(Uuid::new_v4()),
        secret: Secret([7; 32]),
        authorities: anchors.iter().map(|anchor| Sha256::digest(anchor).into()).collect(),
        servers: lab.servers.iter().map(|server| server.entry.address.clone()).collect(),
    };
    let mut new = NewToken {
        id: token.id,
        hash: SecretHash(Sha256::digest(token.secret.0).into()),
        namespaces: vec![namespace()],
        uses: 1,
        ttl_ms: HOUR_MS,
        label: "test".into(),
        by: "ann@admin1".into(),
    };
    change(&mut new);
    for server in &lab.servers {
        // Idempotent: whoever is asked next knows it.
        assert_eq!(server.ask(&ControlRequest::IssueToken { token: new.clone() }), ControlReply::Ok);
    }
    token
}

fn signing_request(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).expect("a request").der().to_vec()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}

fn try_enrol(token: &JoinToken, at: usize, key: &KeyPair) -> Result<Enrolled, EnrolError> {
    run(enrol(token, &token.servers[at], &signing_request(key)))
}

fn refusal(token: &JoinToken, at: usize) -> String {
    try_enrol(token, at, &KeyPair::generate().expect("a key")).expect_err("refused").to_string()
}

fn token_at(lab: &Lab, id: TokenId) -> TokenView {
    let ControlReply::Tokens { tokens, .. } = lab.servers[0].ask(&ControlRequest::Tokens) else {
        panic!("no list of tokens")
    };
    tokens.into_iter().find(|token| token.id == id).expect("it is remembered")
}

/// One racer: a connection that lost its handshake slot to another is made again, with the same key.
async fn race(token: Arc<JoinToken>, at: NodeAddress) -> bool {
    let request = signing_request(&KeyPair::generate().expect("a key"));
    let mut last = String::new();
    for _ in 0..20 {
        match enrol(&token, &at, &request).await {
            Ok(_) => return true,
            Err(EnrolError::Refused { why, .. }) if why.contains("is used up") => return false,
            Err(error) => last = error.to_string(),
        }
    }
    panic!("neither enrolled nor used up: {last}");
}

#[test]
fn a_thousand_racers_on_a_token_of_one_use_get_one_certificate() {
    let lab = Lab::founded(3, 1, |_| {});
    lab.wait_for_leaders();
    let token = Arc::new(issue(&lab, |_| {}));
    let winners = AtomicUsize::new(0);
    run(async {
        let mut racers = JoinSet::new();
        for racer in 0..RACERS {
            if racers.len() == AT_ONCE {
                let has_won = racers.join_next().await.expect("racers run").expect("it ended");
                winners.fetch_add(usize::from(has_won), Ordering::Relaxed);
            }
            racers.spawn(race(token.clone(), token.servers[racer % token.servers.len()].clone()));
        }
        let rest = racers.join_all().await;
        winners.fetch_add(rest.into_iter().filter(|has_won| *has_won).count(), Ordering::Relaxed);
    });
    assert_eq!(winners.load(Ordering::Relaxed), 1);
    let view = token_at(&lab, token.id);
    assert_eq!((view.uses_left, view.end), (0, Some(TokenEnd::UsedUp)));
    let ControlReply::Tokens { enrolled, .. } = lab.servers[0].ask(&ControlRequest::Tokens) else { panic!() };
    assert_eq!(enrolled.len(), 1);
}

#[test]
fn who_enrolled_is_a_slave_with_the_namespaces_of_the_token_and_a_retry_is_the_same_slave() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let token = issue(&lab, |_| {});
    let key = KeyPair::generate().expect("a key");
    let first = try_enrol(&token, 0, &key).expect("enrolled");
    let enrolment = first.enrolment;
    assert_eq!((enrolment.slave, &enrolment.namespaces), (ENROLLED_ID_FIRST, &vec![namespace()]));
    assert_eq!(enrolment.servers, lab.servers[0].meta().ring.nodes);
    let again = try_enrol(&token, 0, &key).expect("its reply may have been lost").enrolment;
    assert_eq!((again.node, again.slave), (enrolment.node, enrolment.slave));

    let directory = tempfile::TempDir::new().expect("a folder");
    fs::create_dir(directory.path().join(layout::TLS_DIR)).expect("a folder");
    let pair = key.serialize_pem() + &enrolment.chain;
    fs::write(directory.path().join(layout::TLS_CERT), pair).expect("written");
    fs::write(directory.path().join(layout::TLS_CA), first.anchors_pem).expect("written");
    let identity = Identity { cluster: token.cluster, role: NodeRole::Slave, node: enrolment.node };
    let tls = Tls::load(directory.path(), identity).expect("its certificate");
    let server = &lab.servers[0];
    let get = |namespace| Command::Read(Read::Get { key: Key { namespace, bytes: "k".into() } });
    run(async {
        let client = connect(server, &tls).await;
        let own = format!("{:?}", ask(&client, request(server, get(namespace()))).await);
        assert!(own.starts_with("Reply"), "{own}");
        let other = format!("{:?}", ask(&client, request(server, get(Namespace::default()))).await);
        assert!(other.starts_with("Refused"), "{other}");
    });
}

#[test]
fn a_bad_token_enrols_nobody_and_a_foreign_cluster_is_not_shown_the_secret() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let check = |token: &JoinToken, want: &str| {
        let said = refusal(token, 0);
        assert!(said.contains(want), "{said}");
    };
    let good = issue(&lab, |_| {});
    check(&JoinToken { secret: Secret([8; 32]), ..good.clone() }, "no such token");
    check(&JoinToken { id: TokenId(Uuid::new_v4()), ..good.clone() }, "no such token");
    check(&JoinToken { authorities: vec![[1; 32]], ..good.clone() }, "the token was not shown");
    let foreign = Lab::founded(1, 1, |_| {});
    foreign.wait_for_leaders();
    let elsewhere = issue(&foreign, |_| {});
    check(&JoinToken { servers: good.servers.clone(), ..elsewhere.clone() }, "the token was not shown");
    check(&JoinToken { cluster: elsewhere.cluster, ..good.clone() }, "the token was not shown");
    check(&issue(&lab, |token| token.ttl_ms = 1), "has expired");
    let revoked = issue(&lab, |_| {});
    let revoke = ControlRequest::RevokeToken { id: revoked.id, by: "ann@admin1".into() };
    assert_eq!(lab.servers[0].ask(&revoke), ControlReply::Ok);
    check(&revoked, "was revoked by ann@admin1");
    assert_eq!(token_at(&lab, good.id).uses_left, 1, "nothing of this took a use");
}

#[test]
fn a_server_that_cannot_sign_takes_no_use() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let token = issue(&lab, |_| {});
    let issuer = lab.servers[0].directory.join(layout::TLS_ISSUER);
    let away = issuer.with_extension("away");
    fs::rename(&issuer, &away).expect("moved");
    let said = refusal(&token, 0);
    assert!(said.contains("has no issuer"), "{said}");
    assert_eq!(token_at(&lab, token.id).uses_left, 1);
    fs::rename(&away, &issuer).expect("moved back");
    assert!(try_enrol(&token, 0, &KeyPair::generate().expect("a key")).is_ok());
}
