//! A whole slave, from its directory to its sockets, against scripted servers that carry commands out with the real
//! state machine; the application's side is bytes, as they would be typed.

mod differential;
mod redis;
mod redis_fixed;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dkc_core::config::{NodeConfig, Pair, Parameters, Protocol, Role, SlaveRole};
use dkc_core::control::{ControlReply, RoleStatus};
use dkc_core::ids::{NodeId, SlaveId, TabletId};
use dkc_core::kv::codec::BadBytes;
use dkc_core::kv::{Command, Reply, VALUE_MAX_BYTES_DEFAULT, Write};
use dkc_core::ring::ALL_SLOTS;
use dkc_core::tablet::{Batch, Item, Outcome, Rows, Tablet};
use dkc_core::wire::{Answer, REPLY_BOUNDED_MAX_BYTES, Request};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::router::testing::{Act, Cluster, free_address};

const LIMIT: Duration = Duration::from_secs(20);
/// Now, for every command: nothing expires by itself in these tests.
const NOW_MS: u64 = 1_700_000_000_000;

#[derive(Default)]
struct Map(BTreeMap<Vec<u8>, Bytes>);
impl Rows for Map {
    type Error = BadBytes;
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, BadBytes> {
        Ok(self.0.get(row).cloned())
    }
    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), BadBytes> {
        for (row, value) in self.0.range(from.to_vec()..) {
            if !visit(row, value) {
                break;
            }
        }
        Ok(())
    }
}

/// Every tablet of a cluster, in one place and without replication.
#[derive(Default)]
struct Store {
    tablets: Mutex<HashMap<TabletId, (Option<Tablet>, Map)>>,
    /// Time goes on.
    is_at_time_of_day: bool,
}

impl Store {
    fn at_time_of_day() -> Store {
        Store { is_at_time_of_day: true, ..Store::default() }
    }

    fn now_ms(&self) -> u64 {
        if self.is_at_time_of_day { crate::clock::now_ms() } else { NOW_MS }
    }

    fn carry_out(&self, request: &Request, tablet: TabletId) -> Act {
        let mut tablets = self.tablets.lock();
        let (state, rows) = tablets.entry(tablet).or_default();
        let state = state.get_or_insert_with(|| {
            Tablet::open(&Map::default(), VALUE_MAX_BYTES_DEFAULT, ALL_SLOTS).unwrap()
        });
        let outcome = match &request.command {
            Command::Read(read) => {
                Outcome::Reply(state.read(rows, read, 1).unwrap().expect("the only tablet"))
            }
            Command::Write(write) => apply(state, rows, request, write, self.now_ms()),
        };
        Act::Answer(match outcome {
            Outcome::Reply(reply) if is_too_large(request, &reply) => {
                Answer::TooLarge { bytes: reply.value_bytes() }
            }
            Outcome::Reply(reply) => Answer::Reply(reply),
            Outcome::Unknown => Answer::Unknown,
            Outcome::NotHere => panic!("the only tablet has all slots"),
        })
    }
}

fn is_too_large(request: &Request, reply: &Reply) -> bool {
    request.reply_is_bounded && reply.value_bytes() > REPLY_BOUNDED_MAX_BYTES
}

fn apply(state: &mut Tablet, rows: &mut Map, request: &Request, write: &Write, now_ms: u64) -> Outcome {
    let Request { session, sequence, answered_below, is_retry, .. } = *request;
    let item = Item { session, sequence, answered_below, is_retry, write: write.clone() };
    let batch = Batch { now_ms, epoch: 1, items: vec![item] };
    let (mut outcomes, changes) = state.apply(rows, &batch).unwrap();
    for (row, value) in changes {
        match value {
            Some(value) => rows.0.insert(row, value),
            None => rows.0.remove(&row),
        };
    }
    outcomes.remove(0)
}

struct Running {
    cluster: Cluster,
    directory: std::path::PathBuf,
    listen: String,
    /// Where Redis is spoken, in the namespace of `listen`.
    redis: String,
    socket: String,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), SlaveError>>,
}

impl Running {
    async fn start(cluster: Cluster, deadline_ms: u64) -> Running {
        let parameters =
            Parameters { request_deadline_ms: deadline_ms, connections_max: 8, ..Parameters::default() };
        Running::start_with(cluster, parameters).await
    }

    async fn start_with(cluster: Cluster, parameters: Parameters) -> Running {
        let identity = cluster.authority.identity(NodeRole::Slave);
        let directory = cluster.authority.node(identity);
        let listen = free_address().to_string();
        let socket = directory.join("app.sock").display().to_string();
        let redis = free_address().to_string();
        let pair = |listen: &str, protocol, namespace: &str| Pair {
            listen: listen.to_owned(),
            protocol,
            namespace: namespace.parse().unwrap(),
        };
        let config = NodeConfig {
            version: 1,
            cluster: "c0".parse().unwrap(),
            cluster_id: identity.cluster,
            node_uuid: identity.node,
            role: Role::Slave(SlaveRole {
                id: SlaveId(0),
                pairs: vec![
                    pair(&listen, Protocol::Memcache, "default"),
                    pair(&socket, Protocol::Memcache, "other"),
                    pair(&redis, Protocol::Redis, "default"),
                ],
            }),
            servers: cluster.servers.clone(),
            parameters,
        };
        let (stop, stopped) = watch::channel(false);
        let (started, has_started) = tokio::sync::oneshot::channel();
        let place = directory.clone();
        let running =
            tokio::spawn(
                async move { run(&place, config, || started.send(()).expect("awaited"), stopped).await },
            );
        tokio::time::timeout(LIMIT, has_started).await.expect("starts in time").expect("starts");
        Running { cluster, directory, listen, redis, socket, stop, running }
    }

    async fn with_store() -> Running {
        let store = Store::default();
        let script = move |_: NodeId, request: &Request, tablet: TabletId| store.carry_out(request, tablet);
        Running::start(Cluster::start(3, 4, script).await, 10_000).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.listen).await.unwrap()
    }

    /// Sends all at once on a fresh connection and wants exactly this back.
    async fn check(&self, sent: &str, want: &str) {
        exchange(&mut self.connect().await, sent.as_bytes(), want).await;
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(LIMIT, self.running).await.expect("stops in time").unwrap().unwrap();
    }
}

/// What comes back for `sent`: as many bytes as are wanted, `version` behind them so that more would show.
async fn exchange(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), sent: &[u8], want: &str) {
    let (want_all, mark) = (format!("{want}VERSION {}\r\n", memcache::VERSION), b"version\r\n");
    stream.write_all(&[sent, mark].concat()).await.unwrap();
    let mut got = vec![0; want_all.len()];
    let read = tokio::time::timeout(LIMIT, async {
        let mut filled = 0;
        while filled < got.len() && !got[..filled].ends_with(&want_all.as_bytes()[want.len()..]) {
            match stream.read(&mut got[filled..]).await {
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count,
            }
        }
        filled
    });
    let filled =
        read.await.unwrap_or_else(|_| panic!("no answer in time to {}", String::from_utf8_lossy(sent)));
    let got = String::from_utf8_lossy(&got[..filled]);
    assert_eq!(got, want_all, "sent {:?}", String::from_utf8_lossy(&sent[..sent.len().min(200)]));
}

#[tokio::test]
async fn an_application_sets_and_gets_and_never_learns_of_the_servers() {
    let slave = Running::with_store().await;
    let check = async |sent: &str, want: &str| slave.check(sent, want).await;
    check("get nothing\r\n", "END\r\n").await;
    check("set a 7 0 5\r\nhello\r\n", "STORED\r\n").await;
    check("get a\r\n", "VALUE a 7 5\r\nhello\r\nEND\r\n").await;
    check("add a 0 0 1\r\nx\r\nreplace b 0 0 1\r\nx\r\n", "NOT_STORED\r\nNOT_STORED\r\n").await;
    check(
        "append a 0 0 1\r\n!\r\nprepend a 0 0 1\r\n>\r\nget a\r\n",
        "STORED\r\nSTORED\r\nVALUE a 7 7\r\n>hello!\r\nEND\r\n",
    )
    .await;
    check(
        "set n 0 0 1\r\n9\r\nincr n 3\r\ndecr n 20\r\nincr a 1\r\nincr none 1\r\n",
        "STORED\r\n12\r\n0\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\nNOT_FOUND\r\n",
    )
    .await;
    check(
        "touch a 100\r\ntouch none 100\r\ngat 0 a none\r\n",
        "TOUCHED\r\nNOT_FOUND\r\nVALUE a 7 7\r\n>hello!\r\nEND\r\n",
    )
    .await;
    check("delete a\r\ndelete a\r\nget a\r\n", "DELETED\r\nNOT_FOUND\r\nEND\r\n").await;
    check(
        "ms m 2 c F5 k O1\r\nhi\r\nmg m v f k q\r\nmg none q\r\nma m2 N0 J4 v\r\nma m2 D3 v\r\nmd m q\r\nmd m\r\nmn\r\n",
        "HD c1 km O1\r\nVA 2 f5 km\r\nhi\r\nVA 1\r\n4\r\nVA 1\r\n7\r\nNF\r\nMN\r\n",
    )
    .await;
    check("verbosity 1\r\nmn\r\nnonsense\r\n", "OK\r\nMN\r\nERROR\r\n").await;
    check("stats nonsense\r\nstats items\r\nstats reset\r\n", "ERROR\r\nEND\r\nRESET\r\n").await;
    slave.stop().await;
}

#[tokio::test]
async fn cas_stores_only_over_the_version_that_was_read() {
    let slave = Running::with_store().await;
    slave.check("set c 0 0 1\r\n1\r\n", "STORED\r\n").await;
    let mut stream = slave.connect().await;
    stream.write_all(b"gets c\r\n").await.unwrap();
    let mut got = String::new();
    while !got.ends_with("END\r\n") {
        got.push(stream.read_u8().await.unwrap() as char);
    }
    let version = got.split_whitespace().nth(4).unwrap();
    let cas = |version: &str| format!("cas c 0 0 1 {version}\r\n2\r\n");
    slave.check(&cas(version), "STORED\r\n").await;
    slave.check(&cas(version), "EXISTS\r\n").await;
    slave.check("cas none 0 0 1 5\r\n2\r\n", "NOT_FOUND\r\n").await;
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order_and_sees_its_own_writes() {
    let slave = Running::with_store().await;
    let (mut sent, mut want) = (String::new(), String::new());
    for n in 0..300 {
        let key = n % 70;
        sent += &format!("set k{key} 0 0 3\r\n{n:03}\r\nget k{key} none\r\nincr counter 1\r\n");
        want += &format!("STORED\r\nVALUE k{key} 0 3\r\n{n:03}\r\nEND\r\n");
        want += &if n == 0 { "NOT_FOUND\r\n".to_owned() } else { format!("{n}\r\n") };
        if n == 0 {
            sent += "set counter 0 0 1 noreply\r\n0\r\n";
        }
    }
    slave.check(&sent, &want).await;
}

#[tokio::test]
async fn a_get_of_a_thousand_keys_is_answered_in_the_order_of_the_keys() {
    let slave = Running::with_store().await;
    let (mut sets, mut get, mut want) = (String::new(), "get".to_owned(), String::new());
    for n in 0..1000 {
        get += &format!(" key{n}");
        if n % 3 != 0 {
            sets += &format!("set key{n} 0 0 4 noreply\r\n{n:04}\r\n");
            want += &format!("VALUE key{n} 0 4\r\n{n:04}\r\n");
        }
    }
    slave.check(&sets, "").await;
    slave.check(&format!("{get}\r\n"), &format!("{want}END\r\n")).await;
    // The same key many times in one get.
    slave
        .check("get key1 key1 key1\r\n", &format!("{}END\r\n", "VALUE key1 0 4\r\n0001\r\n".repeat(3)))
        .await;
}

#[tokio::test]
async fn noreply_is_silent_and_flush_all_reaches_every_tablet() {
    let slave = Running::with_store().await;
    let sets: String = (0..50).map(|n| format!("set f{n} 0 0 1 noreply\r\nx\r\n")).collect();
    let gets: String = (0..50).map(|n| format!("get f{n}\r\n")).collect();
    slave.check(&sets, "").await;
    slave.check(&gets, &(0..50).map(|n| format!("VALUE f{n} 0 1\r\nx\r\nEND\r\n")).collect::<String>()).await;
    slave.check("flush_all\r\n", "OK\r\n").await;
    slave.check(&gets, &"END\r\n".repeat(50)).await;
    slave.check("flush_all noreply\r\ndelete none noreply\r\n", "").await;
}

#[tokio::test]
async fn limits_are_memcacheds() {
    let slave = Running::with_store().await;
    let long = "k".repeat(250);
    slave.check(&format!("set {long} 0 0 1\r\nx\r\n"), "STORED\r\n").await;
    slave.check(&format!("get {long}k\r\n"), "CLIENT_ERROR bad command line format\r\n").await;
    let large = "x".repeat(VALUE_MAX_BYTES_DEFAULT);
    let set = |value: &str| format!("set large 0 0 {}\r\n{value}\r\n", value.len());
    slave.check(&set(&large), "STORED\r\n").await;
    slave.check(&set(&format!("{large}x")), "SERVER_ERROR object too large for cache\r\n").await;
    let block = format!("VALUE large 0 {}\r\n{large}\r\nEND\r\n", large.len());
    slave.check("get large\r\n", &block).await;
    slave.check("append large 0 0 1\r\nx\r\n", "SERVER_ERROR object too large for cache\r\n").await;
}

#[tokio::test]
async fn garbage_and_half_requests_harm_nobody() {
    let slave = Running::with_store().await;
    let mut other = slave.connect().await;
    for garbage in
        [&[0xff_u8; 100_000][..], b"\x16\x03\x01\x02\x00\x01", b"set a 0 0 100\r\nhalf", b"", b"get"]
    {
        let mut stranger = slave.connect().await;
        // The slave may close before all is sent.
        let _ = stranger.write_all(garbage).await;
        let _ = stranger.shutdown().await;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(LIMIT, stranger.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection stays open");
        exchange(&mut other, b"get a\r\n", "END\r\n").await;
    }
    let mut quitter = slave.connect().await;
    quitter.write_all(b"version\r\nquit\r\nversion\r\n").await.unwrap();
    let mut said = String::new();
    quitter.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, format!("VERSION {}\r\n", memcache::VERSION));
}

/// There is room for two values at a time, and sixteen are asked for at once.
#[tokio::test]
async fn values_that_do_not_fit_together_are_answered_one_by_one_and_in_order() {
    const VALUE_BYTES: usize = 512 * 1024;
    let store = Store::default();
    let script = move |_: NodeId, request: &Request, tablet: TabletId| store.carry_out(request, tablet);
    let parameters = Parameters { slave_memory_bytes: 2 << 20, ..Parameters::default() };
    let slave = Running::start_with(Cluster::start(1, 4, script).await, parameters).await;
    let value = |n: usize| n.to_string().repeat(VALUE_BYTES / n.to_string().len());
    let mut stream = slave.connect().await;
    let (mut gets, mut want) = (String::new(), String::new());
    for n in 0..16 {
        let value = value(n);
        exchange(
            &mut stream,
            format!("set k{n} 0 0 {}\r\n{value}\r\n", value.len()).as_bytes(),
            "STORED\r\n",
        )
        .await;
        gets += &format!("get k{n}\r\nmg k{n} O{n} s\r\ngat 0 k{n}\r\nset small{n} 0 0 1\r\n1\r\n");
        let block = format!("VALUE k{n} 0 {}\r\n{value}\r\nEND\r\n", value.len());
        want += &format!("{block}HD O{n} s{}\r\n{block}STORED\r\n", value.len());
    }
    exchange(&mut stream, gets.as_bytes(), &want).await;
    let names: String = (0..16).map(|n| format!(" k{n} small{n} none{n}")).collect();
    let blocks: String = (0..16)
        .map(|n| {
            let value = value(n);
            format!("VALUE k{n} 0 {}\r\n{value}\r\nVALUE small{n} 0 1\r\n1\r\n", value.len())
        })
        .collect();
    exchange(&mut stream, format!("get{names}\r\n").as_bytes(), &format!("{blocks}END\r\n")).await;
}

/// What more connections ask for than may have a large value on its way, many times over, and never read.
async fn who_asks_for_large_values_waits_its_turn(sent: &str, is_redis: bool) {
    const VALUE_BYTES: usize = 1 << 20;
    const PART_BYTES: usize = VALUE_BYTES / 16;
    /// Of 1 MiB each, as many as may be on their way at once; each is asked for again when it is not answered.
    const AT_ONCE_MAX: usize = 16;
    const ATTEMPTS_MAX: usize = 7;
    const CONNECTIONS: usize = 2 * AT_ONCE_MAX * ATTEMPTS_MAX;
    let store = Store::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    // Large values never come: as long as the test runs, whatever was asked for is on its way.
    let script = move |_: NodeId, request: &Request, tablet: TabletId| {
        let act = store.carry_out(request, tablet);
        match &act {
            Act::Answer(Answer::Reply(reply)) if reply.value_bytes() >= VALUE_BYTES => {
                counted.fetch_add(1, Ordering::SeqCst);
                Act::Silence
            }
            _ => act,
        }
    };
    let parameters = Parameters { request_deadline_ms: 60_000, ..Parameters::default() };
    let slave = Running::start_with(Cluster::start(1, 1, script).await, parameters).await;
    let large = "x".repeat(VALUE_BYTES);
    for n in 0..4 {
        slave.check(&format!("set large{n} 0 0 {VALUE_BYTES}\r\n{large}\r\n"), "STORED\r\n").await;
    }
    let mut filling = redis::Answers::new(TcpStream::connect(&slave.redis).await.unwrap());
    for n in 0..16 {
        let part = "x".repeat(PART_BYTES);
        for words in [["hset", "hash", &n.to_string(), &part].as_slice(), &["rpush", "list", &part]] {
            filling.stream.write_all(&redis::encode(words)).await.unwrap();
            assert!(matches!(filling.next().await, redis::Told::Line(_)));
        }
    }
    let line = |line: &str| match is_redis {
        true => redis::encode(&line.split(' ').collect::<Vec<_>>()),
        false => format!("{line}\r\n").into_bytes(),
    };
    let sent: Vec<u8> = sent.lines().flat_map(line).collect();
    let mut greedy = Vec::new();
    let place = if is_redis { &slave.redis } else { &slave.listen };
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(place).await.unwrap();
        stream.write_all(&sent.repeat(32)).await.unwrap();
        greedy.push(stream);
    }
    tokio::time::timeout(LIMIT, async {
        while asked.load(Ordering::SeqCst) < AT_ONCE_MAX - 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("as many as may are asked for");
    for round in 0..100 {
        let set = format!("set own 0 0 3\r\n{round:03}\r\nget own\r\n");
        slave.check(&set, &format!("STORED\r\nVALUE own 0 3\r\n{round:03}\r\nEND\r\n")).await;
    }
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= AT_ONCE_MAX * ATTEMPTS_MAX, "{asked} large values were asked for");
}

/// All answers of a server come on one connection: those who ask for much take turns, and others do not wait behind them.
#[tokio::test]
async fn many_who_ask_for_large_values_take_turns_and_the_others_are_served() {
    who_asks_for_large_values_waits_its_turn("get large0", false).await;
}

#[tokio::test]
async fn many_who_touch_and_get_large_values_take_turns_and_the_others_are_served() {
    who_asks_for_large_values_waits_its_turn("gat 0 large0 large1 large2 large3", false).await;
}

#[tokio::test]
async fn many_who_ask_for_large_collections_take_turns_and_the_others_are_served() {
    who_asks_for_large_values_waits_its_turn("hgetall hash\nlrange list 0 -1", true).await;
}

#[tokio::test]
async fn transactions_and_scans_that_read_large_collections_take_turns_and_the_others_are_served() {
    let sent = "hscan hash 0 count 100\nmulti\nhgetall hash\nexec";
    who_asks_for_large_values_waits_its_turn(sent, true).await;
}

/// Nobody could ask for it again: an element that is taken is answered, also where there is no room for it.
#[tokio::test]
async fn what_a_write_takes_away_is_answered_even_without_room() {
    const COUNT: usize = 12;
    let store = Store::default();
    let script = move |_: NodeId, request: &Request, tablet: TabletId| store.carry_out(request, tablet);
    let parameters = Parameters { slave_memory_bytes: 1 << 20, ..Parameters::default() };
    let slave = Running::start_with(Cluster::start(1, 1, script).await, parameters).await;
    let mut answers = redis::Answers::new(TcpStream::connect(&slave.redis).await.unwrap());
    let part = "x".repeat(80 * 1024);
    for _ in 0..COUNT {
        answers.stream.write_all(&redis::encode(&["rpush", "list", &part])).await.unwrap();
        assert!(matches!(answers.next().await, redis::Told::Line(_)));
    }
    answers.stream.write_all(&redis::encode(&["lpop", "list", &COUNT.to_string()])).await.unwrap();
    let all = vec![redis::Told::Text(part.into_bytes()); COUNT];
    assert!(answers.next().await == redis::Told::All('*', all));
    answers.stream.write_all(&redis::encode(&["llen", "list"])).await.unwrap();
    assert_eq!(answers.next().await, redis::Told::Line(":0".into()));
}

/// A slave whose memory holds a few of them answers all, in their order.
#[tokio::test]
async fn collections_that_do_not_fit_together_are_answered_one_by_one_and_in_order() {
    const PART_BYTES: usize = 64 * 1024;
    const PARTS: usize = 8;
    let store = Store::default();
    let script = move |_: NodeId, request: &Request, tablet: TabletId| store.carry_out(request, tablet);
    let parameters = Parameters { slave_memory_bytes: 2 << 20, ..Parameters::default() };
    let slave = Running::start_with(Cluster::start(1, 4, script).await, parameters).await;
    let mut answers = redis::Answers::new(TcpStream::connect(&slave.redis).await.unwrap());
    let part = |n: usize, i: usize| format!("{n}-{i}-").repeat(PART_BYTES / 3)[..PART_BYTES].to_owned();
    let mut ask = Vec::new();
    for n in 0..12 {
        let (list, text) = (format!("{{t{n}}}list"), format!("{{t{n}}}text"));
        for i in 0..PARTS {
            answers.stream.write_all(&redis::encode(&["rpush", &list, &part(n, i)])).await.unwrap();
            answers.next().await;
        }
        answers.stream.write_all(&redis::encode(&["set", &text, &part(n, 0).repeat(PARTS)])).await.unwrap();
        answers.next().await;
        for words in [
            ["lrange", list.as_str(), "0", "-1"].as_slice(),
            &["set", "small", "1"],
            &["multi"],
            &["lrange", &list, "0", "-1"],
            &["exec"],
        ] {
            ask.extend_from_slice(&redis::encode(words));
        }
    }
    let texts: Vec<String> = (0..12).map(|n| format!("{{t{n}}}text")).collect();
    let all: Vec<&str> = std::iter::once("mget").chain(texts.iter().map(String::as_str)).collect();
    ask.extend_from_slice(&redis::encode(&all));
    ask.extend_from_slice(&redis::encode(&["mget", "none", "{t3}list", "small"]));
    let (reader, mut writer) = answers.stream.into_split();
    let sending = tokio::spawn(async move {
        writer.write_all(&ask).await.unwrap();
        writer
    });
    let mut answers = redis::Answers::new(reader);
    let line = |text: &str| redis::Told::Line(text.to_owned());
    for n in 0..12 {
        let parts = (0..PARTS).map(|i| redis::Told::Text(part(n, i).into_bytes())).collect();
        let list = redis::Told::All('*', parts);
        assert!(answers.next().await == list, "list {n}");
        assert_eq!(answers.next().await, line("+OK"));
        assert_eq!(answers.next().await, line("+OK"), "multi");
        assert_eq!(answers.next().await, line("+QUEUED"));
        assert!(answers.next().await == redis::Told::All('*', vec![list]), "transaction {n}");
    }
    let texts = (0..12).map(|n| redis::Told::Text(part(n, 0).repeat(PARTS).into_bytes())).collect();
    assert!(answers.next().await == redis::Told::All('*', texts));
    let small = redis::Told::Text(b"1".to_vec());
    assert_eq!(answers.next().await, redis::Told::All('*', vec![line("$-1"), line("$-1"), small]));
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn what_can_never_fit_is_refused_with_memcacheds_words_and_the_connection_goes_on() {
    let store = Store::default();
    let script = move |_: NodeId, request: &Request, tablet: TabletId| store.carry_out(request, tablet);
    let cluster = Cluster::start(1, 1, script).await;
    let large = "x".repeat(1 << 20);
    let set = |flags: &str| format!("set large 0 0 {}{flags}\r\n{large}\r\n", large.len());
    let parameters = Parameters { slave_memory_bytes: 1 << 20, ..Parameters::default() };
    let slave = Running::start_with(cluster, parameters).await;
    slave.check(&set(""), "SERVER_ERROR out of memory storing object\r\n").await;
    slave.check(&set(" noreply"), "").await;
    let meta = format!("ms large {}\r\n{large}\r\n", large.len());
    slave.check(&meta, "SERVER_ERROR out of memory storing object\r\n").await;
    slave
        .check("get large\r\nset a 0 0 1\r\n1\r\nget a\r\n", "END\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n")
        .await;
    let half = "y".repeat(300_000);
    slave.check(&format!("set b 0 0 300000\r\n{half}\r\n"), "STORED\r\n").await;
    let no_room = "SERVER_ERROR out of memory writing get response\r\n";
    for (meta, get) in
        [("HD\r\n", format!("VALUE b 0 600000\r\n{half}{half}\r\nEND\r\n")), (no_room, no_room.into())]
    {
        slave.check(&format!("append b 0 0 300000\r\n{half}\r\n"), "STORED\r\n").await;
        slave.check("mg b\r\nget a\r\n", &format!("{meta}VALUE a 0 1\r\n1\r\nEND\r\n")).await;
        slave.check("get b\r\nget a\r\n", &format!("{get}VALUE a 0 1\r\n1\r\nEND\r\n")).await;
    }
}

/// A browser, or a proxy, can be made to send a body.
#[tokio::test]
async fn who_speaks_another_protocol_is_closed_and_carries_nothing_out() {
    let slave = Running::with_store().await;
    slave.check("set a 0 0 1\r\n1\r\n", "STORED\r\n").await;
    for (sent, want) in [
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\nflush_all\r\n", ""),
        ("\u{80}", ""),
        ("mz foo 9\r\nflush_all\r\n", "ERROR\r\n"),
    ] {
        let mut stranger = slave.connect().await;
        let sent: Vec<u8> = sent.chars().map(|letter| letter as u8).collect();
        stranger.write_all(&sent).await.unwrap();
        let mut said = Vec::new();
        // The kernel says "reset" when the slave closes before it has read everything.
        let _ = tokio::time::timeout(LIMIT, stranger.read_to_end(&mut said)).await.expect("closes at once");
        assert_eq!(String::from_utf8_lossy(&said), want);
    }
    slave.check("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n").await;
}

#[tokio::test]
async fn flush_all_at_a_time_of_day_waits_for_it() {
    let slave = Running::with_store().await;
    let now_s = crate::clock::now_ms() / 1000;
    slave.check("set a 0 0 1\r\n1\r\n", "STORED\r\n").await;
    slave.check(&format!("flush_all {}\r\n", now_s + 1000), "OK\r\n").await;
    slave.check("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n").await;
    slave.check(&format!("flush_all {}\r\n", now_s - 1000), "OK\r\n").await;
    slave.check("get a\r\n", "END\r\n").await;
}

#[tokio::test]
async fn a_get_of_a_hundred_thousand_keys_is_answered() {
    let slave = Running::with_store().await;
    slave.check("set key99999 0 0 1\r\n1\r\n", "STORED\r\n").await;
    let keys: String = (0..100_000).map(|n| format!(" key{n}")).collect();
    slave.check(&format!("get{keys}\r\n"), "VALUE key99999 0 1\r\n1\r\nEND\r\n").await;
    let keys: String = (99_000..100_000).map(|n| format!(" key{n}")).collect();
    slave.check(&format!("gat 0{keys}\r\n"), "VALUE key99999 0 1\r\n1\r\nEND\r\n").await;
}

/// Clients read digits, a dot, digits, a dot and digits, as libmemcached does.
#[test]
fn the_version_begins_with_that_of_the_memcached_whose_protocol_is_spoken() {
    let numbers: Vec<&str> = memcache::VERSION.splitn(3, '.').collect();
    assert_eq!((numbers[0], numbers[1]), ("1", "6"));
    assert!(numbers[2].starts_with("18-"), "{}", memcache::VERSION);
}

#[tokio::test]
async fn a_unix_socket_is_a_namespace_of_its_own() {
    let slave = Running::with_store().await;
    slave.check("set a 0 0 1\r\n1\r\n", "STORED\r\n").await;
    let mut stream = UnixStream::connect(&slave.socket).await.unwrap();
    exchange(&mut stream, b"get a\r\nset a 0 0 1\r\n2\r\n", "END\r\nSTORED\r\n").await;
    slave.check("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n").await;
    slave.stop().await;
}

#[tokio::test]
async fn one_application_too_many_is_turned_away_with_memcacheds_words() {
    let slave = Running::with_store().await;
    let mut all = Vec::new();
    for _ in 0..8 {
        let mut stream = slave.connect().await;
        exchange(&mut stream, b"", "").await;
        all.push(stream);
    }
    let mut said = String::new();
    slave.connect().await.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "ERROR Too many open connections\r\n");
}

#[tokio::test]
async fn failures_are_told_apart() {
    let silent = Running::start(Cluster::start(1, 1, |_, _, _| Act::Silence).await, 600).await;
    silent
        .check(
            "set a 0 0 1\r\nx\r\n",
            "SERVER_ERROR outcome unknown: the write may or may not have been carried out\r\n",
        )
        .await;
    let busy = Running::start(Cluster::start(1, 1, |_, _, _| Act::Answer(Answer::Busy)).await, 600).await;
    for command in ["set a 0 0 1\r\nx\r\n", "get a\r\n"] {
        let mut stream = busy.connect().await;
        stream.write_all(command.as_bytes()).await.unwrap();
        let mut said = vec![0; 200];
        let count = stream.read(&mut said).await.unwrap();
        let said = String::from_utf8_lossy(&said[..count]);
        assert!(
            said.starts_with("SERVER_ERROR no server carried it out within") && said.ends_with("is busy\r\n"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn statistics_have_the_names_that_clients_look_for() {
    let slave = Running::with_store().await;
    slave
        .check("set a 0 0 1\r\nx\r\nget a\r\nget b\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nEND\r\n")
        .await;
    let mut stream = slave.connect().await;
    stream.write_all(b"stats\r\n").await.unwrap();
    let mut said = String::new();
    while !said.ends_with("END\r\n") {
        said.push(stream.read_u8().await.unwrap() as char);
    }
    let lines: HashMap<&str, &str> =
        said.lines().filter_map(|line| line.strip_prefix("STAT ")?.split_once(' ')).collect();
    let pid = std::process::id().to_string();
    for (name, want) in [
        ("pid", pid.as_str()),
        ("version", memcache::VERSION),
        ("curr_connections", "1"),
        ("cmd_get", "2"),
        ("cmd_set", "1"),
        ("get_hits", "1"),
        ("get_misses", "1"),
        ("curr_items", "1"),
    ] {
        assert_eq!(lines.get(name), Some(&want), "{name} in {said}");
    }
}

#[tokio::test]
async fn status_and_words_are_answered_on_the_control_socket() {
    let slave = Running::with_store().await;
    slave.check("set a 0 0 1\r\nx\r\n", "STORED\r\n").await;
    let socket = slave.directory.join(layout::CONTROL_SOCKET);
    let ask = async |line: &'static str| {
        let socket = socket.clone();
        tokio::task::spawn_blocking(move || control::ask(&socket, line, LIMIT).unwrap()).await.unwrap()
    };
    assert_eq!(ask("VERSION").await, format!("dkcd {}\n", env!("CARGO_PKG_VERSION")));
    let status = ask("SELFSTATUS").await;
    assert!(status.starts_with("slave 0 of cluster c0: ring 1, 1 operations"), "{status}");
    assert!(ask("MERGE").await.starts_with("ERROR: a slave does not know MERGE"));
    let reply: ControlReply = serde_json::from_str(&ask(r#"{"do":"status"}"#).await).unwrap();
    let ControlReply::Status(status) = reply else { panic!("{reply:?}") };
    let RoleStatus::Slave(of_slave) = status.role else { panic!("not a slave") };
    assert_eq!((of_slave.operations, of_slave.servers.len(), of_slave.listeners.len()), (1, 3, 3));
    assert!(status.memory_bytes > 0);
}

#[tokio::test]
async fn what_is_known_of_the_ring_is_written_down_and_survives_the_configured_servers() {
    let slave = Running::with_store().await;
    slave.check("set a 0 0 1\r\nx\r\n", "STORED\r\n").await;
    let file = slave.directory.join("data/servers.yaml");
    let until = Instant::now() + LIMIT;
    while !slave.directory.join("data/ring").exists() {
        assert!(Instant::now() < until, "not written down");
        tokio::task::yield_now().await;
    }
    let yaml = std::fs::read_to_string(file).unwrap();
    assert!(yaml.contains(&slave.cluster.servers[2].address.to_string()), "{yaml}");
    assert!(yaml.contains("ring_version: 1"), "{yaml}");
}

#[tokio::test]
async fn stopping_waits_for_what_is_in_flight() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let store = Store::default();
    let opened = gate.clone();
    // The first request is put off until the slave has been told to stop.
    let cluster = Cluster::start(1, 1, move |_, request, tablet| match opened.available_permits() {
        0 => Act::Answer(Answer::Busy),
        _ => store.carry_out(request, tablet),
    })
    .await;
    let slave = Running::start(cluster, 10_000).await;
    let mut stream = slave.connect().await;
    stream.write_all(b"set a 0 0 1\r\nx\r\n").await.unwrap();
    let socket = slave.directory.join(layout::CONTROL_SOCKET);
    let has_begun = || {
        let socket = socket.clone();
        tokio::task::spawn_blocking(move || {
            control::ask(&socket, "SELFSTATUS", LIMIT).unwrap().contains(" 1 operations")
        })
    };
    while !has_begun().await.unwrap() {}
    slave.stop.send_replace(true);
    gate.add_permits(1);
    let mut said = [0; 8];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"STORED\r\n");
    slave.stop().await;
}
