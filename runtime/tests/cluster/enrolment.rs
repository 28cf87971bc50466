//! Machines without a certificate enrol with a token, over real connections; whatever else they have is refused and costs nothing.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dkc_core::config::layout;
use dkc_core::control::{ControlReply, ControlRequest, TokensView};
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

use super::lab::{Lab, wait_for};
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

fn view(lab: &Lab) -> TokensView {
    match lab.servers[0].ask(&ControlRequest::Tokens) {
        ControlReply::Tokens(view) => *view,
        other => panic!("no list of tokens: {other:?}"),
    }
}

fn token_at(lab: &Lab, id: TokenId) -> TokenView {
    view(lab).tokens.into_iter().find(|token| token.id == id).expect("it is remembered")
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
    assert_eq!(self::view(&lab).enrolled.len(), 1);
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

/// A directory for a slave, and the token in a file beside it.
struct Machine {
    folder: tempfile::TempDir,
    process: Option<std::process::Child>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Machine {
    fn with(token: &str) -> Machine {
        let folder = tempfile::TempDir::new().expect("a folder");
        fs::write(folder.path().join("token"), token).expect("written");
        Machine { folder, process: None }
    }

    fn directory(&self) -> std::path::PathBuf {
        self.folder.path().join("slave")
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dkcd"));
        command.arg("slave").arg("--dir").arg(self.directory()).args(words);
        command.stdin(std::process::Stdio::null());
        command
    }

    /// Joins and exits: the status, and what it said.
    fn join(&self, words: &[&str]) -> (i32, String) {
        let token = self.folder.path().join("token");
        let mut command = self.command(&["--only-join", "--join"]);
        let output = command.arg(token).args(words).output().expect("dkcd starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    fn run(&mut self) {
        self.process =
            Some(self.command(&[]).stderr(std::process::Stdio::null()).spawn().expect("dkcd starts"));
    }
}

#[test]
fn a_machine_joins_once_serves_without_the_token_and_a_lost_answer_costs_no_second_use() {
    let lab = Lab::founded(3, 1, |_| {});
    lab.wait_for_leaders();
    let token = issue(&lab, |_| {});
    let socket = tempfile::TempDir::new().expect("a folder");
    let listen = socket.path().join("memcache.sock").display().to_string();
    let words = ["--listen", listen.as_str()];
    let mut machine = Machine::with(&token.encode());
    // As if it had been killed after the cluster had enrolled it: the key is on the disk.
    let staging = machine.folder.path().join("slave.joining");
    fs::create_dir(&staging).expect("a folder");
    let key = dkcd::join::StagedKey::at(&staging.join("join.key")).expect("a key");
    run(enrol(&token, &token.servers[1], &key.request().expect("a request"))).expect("enrolled");
    let (status, said) = machine.join(&words);
    assert_eq!((status, said.trim()), (0, "c0-slave1000000"), "{said}");
    assert_eq!(token_at(&lab, token.id).uses_left, 0);
    assert!(!staging.exists() && !machine.directory().join("join.key").exists());
    let mode = |name: &str| {
        let metadata = fs::metadata(machine.directory().join(name)).expect("a file");
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
    };
    assert_eq!((mode(layout::TLS_CERT), mode(layout::TLS_DIR), mode("")), (0o600, 0o700, 0o700));

    fs::remove_file(machine.folder.path().join("token")).expect("removed");
    assert_eq!(machine.join(&words).0, 0, "it is a slave already, whatever the token");
    machine.run();
    let mut answer = String::new();
    wait_for("the slave serves", || {
        let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&listen) else { return false };
        use std::io::{Read, Write};
        stream.write_all(b"set k 0 0 1\r\nv\r\nget k\r\nquit\r\n").expect("written");
        answer.clear();
        stream.read_to_string(&mut answer).is_ok() && answer == "STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n"
    });
    let node = key_of_only(&lab);
    wait_for("servers see it", || view(&lab).connected.get(&node).is_some_and(|from| from == "127.0.0.1"));
}

fn key_of_only(lab: &Lab) -> dkc_core::ids::NodeUuid {
    let enrolled = view(lab).enrolled;
    assert_eq!(enrolled.len(), 1);
    *enrolled.keys().next().expect("one")
}

#[test]
fn a_machine_whose_token_is_bad_says_why_and_leaves_no_slave() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let good = issue(&lab, |_| {});
    let check = |text: &str, words: &[&str], want: &str| {
        let machine = Machine::with(text);
        let (status, said) = machine.join(words);
        assert!(status == 78 && said.contains(want), "{status}: {said}");
        assert!(!machine.directory().exists() && !said.contains(text), "{said}");
    };
    let text = good.encode();
    check(&text[..text.len() - 9], &[], "damaged or incomplete");
    check("hunter2", &[], "not a token");
    check(&issue(&lab, |token| token.ttl_ms = 1).encode(), &[], "has expired");
    let revoked = issue(&lab, |_| {});
    let revoke = ControlRequest::RevokeToken { id: revoked.id, by: "ann@admin1".into() };
    assert_eq!(lab.servers[0].ask(&revoke), ControlReply::Ok);
    check(&revoked.encode(), &[], "was revoked by ann@admin1");
    let foreign = JoinToken { authorities: vec![[1; 32]], ..good.clone() };
    check(&foreign.encode(), &[], "the token was not shown");
    check(&text, &["--namespace", "other"], "the token is for namespace sessions, not other");
    check(&text, &[], "is used up");
}

#[test]
fn a_machine_whose_clock_is_years_off_is_told_so_and_shows_no_token() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let token = issue(&lab, |_| {});
    let folder = tempfile::TempDir::new().expect("a folder");
    let clock = folder.path().join("clock");
    fs::write(&clock, (1000 * 86_400_i64).to_string()).expect("written");
    let machine = Machine::with(&token.encode());
    let file = machine.folder.path().join("token");
    let mut command = machine.command(&["--only-join", "--join"]);
    command.arg(file).env(dkcd::clock::TEST_CLOCK_AHEAD, &clock).stderr(std::process::Stdio::piped());
    let mut process = command.spawn().expect("dkcd starts");
    // It goes on trying while the clock may be set.
    fs::write(folder.path().join("new"), "0").expect("written");
    wait_for("the machine has its key", || machine.folder.path().join("slave.joining/join.key").exists());
    assert_eq!(token_at(&lab, token.id).uses_left, 1, "nothing was shown");
    fs::rename(folder.path().join("new"), &clock).expect("set");
    wait_for("it joins once the clock is right", || machine.directory().join(layout::CONFIG).exists());
    assert!(process.wait().expect("it ends").success());
}

#[test]
fn an_expired_token_is_marked_by_the_cluster_itself() {
    let lab = Lab::founded(3, 1, |_| {});
    lab.wait_for_leaders();
    let token = issue(&lab, |token| token.ttl_ms = 1);
    wait_for("the sweep", || token_at(&lab, token.id).end == Some(TokenEnd::Expired));
}

/// Asks a server for a path, as a machine without our program does: with curl, or with openssl.
fn fetch(lab: &Lab, with_curl: bool, path: &str) -> Vec<u8> {
    let server = &lab.servers[0];
    let (ca, at) =
        (server.directory.join(layout::TLS_CA).display().to_string(), server.entry.address.to_string());
    let port = server.entry.address.port;
    let line = match with_curl {
        true => format!(
            "curl --silent --fail --http1.1 --tlsv1.3 --noproxy '*' --cacert {ca} --connect-to dkc:{port}:{at} https://dkc:{port}{path}"
        ),
        false => format!(
            r"printf 'GET %s HTTP/1.1\r\nHost: dkc\r\n\r\n' {path} | openssl s_client -quiet -tls1_3 -connect {at} -servername dkc \
            -alpn http/1.1 -CAfile {ca} -verify_return_error -verify_hostname dkc 2>/dev/null | LC_ALL=C sed '1,/^\r$/d'"
        ),
    };
    std::process::Command::new("sh").args(["-c", &line]).output().expect("sh").stdout
}

#[test]
fn whoever_names_a_living_token_and_the_program_gets_it_and_nobody_else_anything() {
    let lab = Lab::founded(1, 1, |_| {});
    lab.wait_for_leaders();
    let token = issue(&lab, |_| {});
    let ControlReply::Program(program) = lab.servers[0].ask(&ControlRequest::Program) else {
        panic!("no program")
    };
    let own = fs::read(env!("CARGO_BIN_EXE_dkcd")).expect("the program");
    assert_eq!((program.bytes, &program.digest), (own.len() as u64, &hex::encode(Sha256::digest(&own))));
    let path = format!("/dkc/{}/{}", token.id, program.digest);
    for with_curl in [true, false] {
        let fetched = fetch(&lab, with_curl, &path);
        assert!(fetched == own, "curl {with_curl}: {} bytes of {}", fetched.len(), own.len());
    }
    let unknown = TokenId(Uuid::new_v4());
    for other in
        [format!("/dkc/{unknown}/{}", program.digest), format!("/dkc/{}/{}", token.id, "0".repeat(64))]
    {
        assert!(fetch(&lab, true, &other).is_empty(), "{other}");
    }
    assert!(fetch(&lab, true, "/").is_empty() && fetch(&lab, true, "/dkc/../etc/passwd").is_empty());
    let revoke = ControlRequest::RevokeToken { id: token.id, by: "ann@admin1".into() };
    assert_eq!(lab.servers[0].ask(&revoke), ControlReply::Ok);
    assert!(fetch(&lab, true, &path).is_empty(), "a dead token opens nothing");
}
