//! Applications beside slaves: each is a router in a process of its own, and a few tasks that read and write a few keys
//! through it, with values that are never written twice.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::config::ServerEntry;
use dkc_core::ids::{Namespace, NodeId, NodeUuid};
use dkc_core::kv::{Command, Expiry, Key, Read, Reply, StoreMode, Write};
use dkc_history::{Call, Operation, Outcome, Reply as Told};
use dkcd::net::{Alpn, Identity, NodeRole, Tls};
use dkcd::router::{RouteError, Router, RouterOptions};
use dkcd::simulation::process::Process;
use dkcd::simulation::task::spawn_in;
use dkcd::simulation::world;
use uuid::Uuid;

use crate::cluster::{Cluster, pick};
use crate::record::{Expiring, ExpiringCall, Record};

/// Keys by what is done with them.
pub const REGISTERS: std::ops::Range<u32> = 0..3;
pub const COUNTERS: std::ops::Range<u32> = 10..12;
pub const LISTS: std::ops::Range<u32> = 20..21;
pub const EXPIRING: std::ops::Range<u32> = 30..32;
/// Pause between two calls of a task.
const PAUSE_MAX_MS: u64 = 60;
const LIFE_MAX_MS: u64 = 1_500;

/// What all clients of a world share.
pub struct Clients {
    pub record: Rc<Record>,
    pub is_over: Cell<bool>,
    values: Cell<u64>,
    /// The version that a read showed last, for cas.
    versions: RefCell<BTreeMap<u32, u64>>,
}

/// A process with a router.
pub struct Client {
    number: u32,
    process: Arc<Process>,
    router: Router,
}

pub fn key(number: u32) -> Key {
    let namespace: Namespace = "default".parse().expect("a name");
    Key { namespace, bytes: Bytes::from(format!("key{number}")) }
}

impl Client {
    pub fn new(number: u32, cluster: &Cluster, servers: Vec<ServerEntry>) -> Client {
        let process = Process::begin(&format!("client{number}"), 0);
        let node = NodeUuid(Uuid::from_u64_pair(u64::from(number), 7));
        let identity = Identity { cluster: cluster.id, role: NodeRole::Slave, node };
        let router = {
            let _inside = process.enter();
            Router::new(RouterOptions {
                tls: Tls::without_certificates(identity),
                alpn: Alpn::Slave,
                node_id: NodeId(0),
                servers,
                ring: None,
                deadline: Duration::from_millis(cluster.parameters.request_deadline_ms),
                is_following: true,
            })
        };
        Client { number, process, router }
    }

    pub async fn execute(&self, command: Command) -> Result<Reply, RouteError> {
        self.with_router(async move |router: Router| router.execute(command).await).await
    }

    /// Uses the router inside the client's process.
    pub async fn with_router<F, W, T>(&self, work: W) -> T
    where
        W: FnOnce(Router) -> F,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        spawn_in(&self.process, work(self.router.clone())).await.expect("clients are not killed")
    }
}

impl Clients {
    pub fn new(record: Rc<Record>) -> Clients {
        Clients { record, is_over: Cell::new(false), values: Cell::new(100), versions: RefCell::default() }
    }

    pub fn value(&self) -> u64 {
        self.values.set(self.values.get() + 1);
        self.values.get()
    }

    /// One task: calls one after the other until all is over.
    pub async fn work(&self, client: &Client) {
        while !self.is_over.get() {
            match world().draw(14) {
                0..=3 => self.use_register(client).await,
                4..=6 => self.use_counter(client).await,
                7 => self.use_list(client).await,
                8 | 9 => self.use_queue(client).await,
                10 | 11 => self.use_flushable(client).await,
                _ => self.use_expiring(client).await,
            }
            tokio::time::sleep(Duration::from_millis(world().draw(PAUSE_MAX_MS))).await;
        }
    }

    async fn use_register(&self, client: &Client) {
        let number = draw_from(REGISTERS);
        let version = self.versions.borrow().get(&number).copied();
        let call = match (world().draw(10), version) {
            (0..=3, _) => Call::Get,
            (4 | 5, Some(version)) => Call::Cas { version, value: self.value() },
            (6, _) => Call::Delete,
            (7, _) => Call::Add { value: self.value() },
            _ => Call::Set { value: self.value() },
        };
        self.call(client, number, call).await;
    }

    async fn use_counter(&self, client: &Client) {
        let call = match world().draw(10) {
            0 => Call::Add { value: 0 },
            1..=3 => Call::Get,
            _ => Call::Increment { by: 1 + world().draw(9) },
        };
        self.call(client, draw_from(COUNTERS), call).await;
    }

    async fn use_list(&self, client: &Client) {
        let call = match world().draw(10) {
            0 => Call::Add { value: self.value() },
            1..=3 => Call::Get,
            _ => Call::Append { piece: self.value() },
        };
        self.call(client, draw_from(LISTS), call).await;
    }

    /// Reads every key once more, when all is quiet.
    pub async fn read_everything(&self, client: &Client) -> Result<(), String> {
        for number in REGISTERS.chain(COUNTERS).chain(LISTS) {
            self.call(client, number, Call::Get).await;
            let history = self.record.history.borrow();
            let last = history.last().filter(|last| last.key == number && last.call == Call::Get);
            if !last.is_some_and(|last| matches!(last.outcome, Outcome::Done(_))) {
                return Err(format!("key {number} cannot be read after healing"));
            }
        }
        self.read_queue(client).await;
        self.read_all_flushable(client).await;
        Ok(())
    }

    async fn call(&self, client: &Client, number: u32, call: Call) {
        let begin = self.record.now();
        let result = client.execute(command(number, &call)).await;
        let end = self.record.now();
        let outcome = match result {
            Ok(reply) => Outcome::Done(told(number, reply, &self.versions)),
            Err(error) if error.is_outcome_unknown() => Outcome::Unknown,
            Err(_) => Outcome::Refused,
        };
        self.record.count(match &outcome {
            Outcome::Done(_) => "calls answered",
            Outcome::Refused => "calls refused",
            Outcome::Unknown => "calls of unknown outcome",
        });
        self.record.history.borrow_mut().push(Operation {
            key: number,
            client: client.number,
            begin,
            end,
            call,
            outcome,
        });
    }

    async fn use_expiring(&self, client: &Client) {
        let number = draw_from(EXPIRING);
        let expiry = Expiry::After(1 + world().draw(LIFE_MAX_MS));
        let value = self.value();
        let command = match world().draw(10) {
            0..=2 => Command::Write(store(number, StoreMode::Set, expiry, value.to_string())),
            3 => Command::Write(Write::Touch { key: key(number), expiry }),
            _ => Command::Read(Read::Get { key: key(number) }),
        };
        let begin = self.record.now();
        let result = client.execute(command).await;
        let end = self.record.now();
        let what = match result {
            Ok(Reply::Stored { .. }) => ExpiringCall::Stored(value),
            Ok(Reply::Record(record)) => ExpiringCall::Found(number_of(&record.value)),
            Ok(Reply::NotFound) => ExpiringCall::NotFound,
            _ => return,
        };
        self.record.expiring.borrow_mut().push(Expiring { key: number, begin, end, what });
    }
}

fn draw_from(range: std::ops::Range<u32>) -> u32 {
    pick(&range.collect::<Vec<_>>()).expect("no range is empty")
}

fn store(number: u32, mode: StoreMode, expiry: Expiry, value: String) -> Write {
    Write::Store { key: key(number), mode, flags: 0, expiry, value: Bytes::from(value) }
}

fn command(number: u32, call: &Call) -> Command {
    let text = |value: &u64| if LISTS.contains(&number) { format!("{value},") } else { value.to_string() };
    let put = |mode, value| Command::Write(store(number, mode, Expiry::Never, text(value)));
    match call {
        Call::Get => Command::Read(Read::Get { key: key(number) }),
        Call::Set { value } => put(StoreMode::Set, value),
        Call::Add { value } => put(StoreMode::Add, value),
        Call::Cas { version, value } => put(StoreMode::Cas(*version), value),
        Call::Append { piece } => put(StoreMode::Append, piece),
        Call::Delete => Command::Write(Write::Delete { key: key(number), version: None }),
        Call::Increment { by } => {
            Command::Write(Write::Increment { key: key(number), by: *by, is_decrement: false })
        }
    }
}

pub fn number_of(value: &[u8]) -> u64 {
    String::from_utf8_lossy(value).trim_end_matches(',').parse().unwrap_or(u64::MAX)
}

fn told(number: u32, reply: Reply, versions: &RefCell<BTreeMap<u32, u64>>) -> Told {
    match reply {
        Reply::Record(record) if LISTS.contains(&number) => {
            let pieces = record.value.split(|byte| *byte == b',').filter(|piece| !piece.is_empty());
            Told::Pieces(pieces.map(number_of).collect())
        }
        Reply::Record(record) => {
            versions.borrow_mut().insert(number, record.version);
            Told::Value { value: number_of(&record.value), version: Some(record.version) }
        }
        Reply::Stored { .. } => Told::Stored,
        Reply::NotStored => Told::NotStored,
        Reply::Exists => Told::Exists,
        Reply::NotFound => Told::NotFound,
        Reply::Deleted => Told::Deleted,
        Reply::Number { value, .. } => Told::Number(value),
        other => panic!("key {number} was answered with {other:?}"),
    }
}
