//! Servers of one cluster as real processes on loopback, each in a directory of its own with certificates made the
//! way the shell makes them. Whatever a test starts ends with the test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use dkc_core::config::{
    NODE_CONFIG_VERSION, NodeConfig, Pair, Parameters, Protocol, Role, ServerEntry, ServerRole, SlaveRole,
    layout,
};
use dkc_core::control::{
    ControlReply, ControlRequest, DataRequest, MetaView, NodeStatus, RoleStatus, ServerStatus,
};
use dkc_core::ids::{ClusterId, MemberNo, Namespace, NodeId, NodeUuid, SlaveId};
use dkc_core::kv::{self, Expiry, Key, Read, Reply, StoreMode, Write};
use dkc_core::meta::MemberChange;
use dkc_core::ring::{ActionProgress, MemberAction, Node};
use dkcd::net::{Identity, NodeRole, Tls};
use tempfile::TempDir;
use uuid::Uuid;

use super::authority::Authority;

/// Nothing in these tests takes this long on a machine that also builds.
pub const TIMEOUT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

pub struct Server {
    pub directory: PathBuf,
    pub entry: ServerEntry,
    process: Option<Child>,
}

pub struct Lab {
    pub servers: Vec<Server>,
    cluster: ClusterId,
    tablets: u16,
    parameters: Parameters,
    authority: Authority,
    root: TempDir,
}

/// Waits for a condition; says what it waited for when it does not come.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < TIMEOUT, "waited in vain for: {what}");
        std::thread::sleep(LOOK);
    }
}

impl Lab {
    pub fn new(servers: usize, tablets: u16, change: impl Fn(&mut Parameters)) -> Lab {
        Lab::under(Authority::new(), servers, tablets, change)
    }

    /// Servers whose certificates are of this authority.
    pub fn under(
        authority: Authority,
        servers: usize,
        tablets: u16,
        change: impl Fn(&mut Parameters),
    ) -> Lab {
        let root = TempDir::new().expect("a folder");
        let cluster = authority.cluster;
        let entries: Vec<ServerEntry> = (1..=servers as u32).map(entry).collect();
        let mut parameters = Parameters { log_segment_bytes: 4 << 20, ..Parameters::default() };
        change(&mut parameters);
        let mut lab = Lab { servers: Vec::new(), cluster, tablets, parameters, authority, root };
        for entry in &entries {
            lab.make(entry, &entries, true);
        }
        lab
    }

    /// Makes the directory of one more server, whose configuration knows these.
    fn make(&mut self, entry: &ServerEntry, known: &[ServerEntry], is_founder: bool) {
        let directory = self.root.path().join(format!("c0-{}-{}", entry.number, entry.node_id));
        self.authority.write(&directory, NodeRole::Server, entry.node_uuid, &[]);
        let config = config(self.cluster, entry, known, self.tablets, self.parameters.clone(), is_founder);
        fs::write(directory.join(layout::CONFIG), config.to_yaml()).expect("the configuration is written");
        let server = Server { directory, entry: entry.clone(), process: None };
        let (status, text) = server.dkcd(&["init", "--uuid", &entry.node_uuid.to_string()]);
        assert_eq!((status, text.trim()), (0, "made"));
        self.servers.push(server);
    }

    /// A new server with the next number, registered with the cluster through server `at` and running.
    pub fn join(&mut self, at: usize) -> usize {
        let number = self.servers.len() as u32 + 1;
        let known: Vec<ServerEntry> = self.servers.iter().map(|server| server.entry.clone()).collect();
        let entry = entry(number);
        let register = MemberChange::RegisterNode {
            node_id: entry.node_id,
            uuid: entry.node_uuid,
            number: entry.number,
            address: entry.address.clone(),
            zone: None,
        };
        let registered = self.servers[at].change(register);
        assert_eq!(registered, ControlReply::Registered { node_id: entry.node_id });
        self.make(&entry, &known, false);
        let new = self.servers.len() - 1;
        self.servers[new].start();
        self.servers[new].wait_until_it_answers();
        new
    }

    /// A running slave of the cluster, and where it listens for memcached's protocol.
    pub fn slave(&self, change: impl Fn(&mut Parameters)) -> (Server, String) {
        let entry = entry(0);
        let directory = self.root.path().join("c0-slave0");
        self.authority.write(&directory, NodeRole::Slave, entry.node_uuid, &[Namespace::default()]);
        let servers: Vec<ServerEntry> = self.servers.iter().map(|server| server.entry.clone()).collect();
        let mut parameters = self.parameters.clone();
        change(&mut parameters);
        let mut config = config(self.cluster, &entry, &servers, self.tablets, parameters, false);
        let listen = entry.address.to_string();
        let pair =
            Pair { listen: listen.clone(), protocol: Protocol::Memcache, namespace: Default::default() };
        config.role = Role::Slave(SlaveRole { id: SlaveId(0), pairs: vec![pair] });
        fs::write(directory.join(layout::CONFIG), config.to_yaml()).expect("the configuration is written");
        let mut slave = Server { directory, entry, process: None };
        let (status, text) = slave.dkcd(&["init", "--uuid", &slave.entry.node_uuid.to_string()]);
        assert_eq!((status, text.trim()), (0, "made"));
        slave.start();
        wait_for("the slave answers", || slave.try_node_status().is_some());
        (slave, listen)
    }

    /// A slave of the cluster that is no program of ours: its certificate, with which it says whatever it likes.
    pub fn stranger(&self) -> Arc<Tls> {
        let node = NodeUuid(Uuid::new_v4());
        let directory = self.root.path().join(format!("stranger-{node}"));
        self.authority.write(&directory, NodeRole::Slave, node, &[Namespace::default()]);
        let identity = Identity { cluster: self.cluster, role: NodeRole::Slave, node };
        Tls::load(&directory, identity).expect("its own certificate")
    }

    /// Waits until no member has anything pending, as server `at` sees it, and every tablet has its voters.
    pub fn wait_until_merged(&self, at: usize) {
        wait_for("the merge ends", || {
            let Some(meta) = self.servers[at].try_meta() else { return false };
            let is_still =
                |node: &Node| (node.action, node.operate) == (MemberAction::None, ActionProgress::Nothing);
            meta.merge.is_none() && meta.ring.nodes.iter().all(is_still)
        });
    }

    /// All servers running and the cluster founded.
    pub fn founded(servers: usize, tablets: u16, change: impl Fn(&mut Parameters)) -> Lab {
        let mut lab = Lab::new(servers, tablets, change);
        lab.start_all();
        assert_eq!(lab.servers[0].ask(&ControlRequest::Found), ControlReply::Ok);
        lab
    }

    /// From now on it is this many days later for all certificates.
    pub fn set_days_ahead(&self, days: i64) {
        let (clock, unfinished) = (self.root.path().join("clock"), self.root.path().join("clock.new"));
        fs::write(&unfinished, (days * 86_400).to_string()).expect("written");
        fs::rename(unfinished, clock).expect("renamed");
    }

    pub fn start_all(&mut self) {
        self.servers.iter_mut().for_each(Server::start);
        self.servers.iter().for_each(Server::wait_until_it_answers);
    }

    pub fn kill_all(&mut self) {
        self.servers.iter_mut().for_each(Server::kill);
    }

    /// Waits until the running servers see a leader for every tablet.
    pub fn wait_for_leaders(&self) {
        for server in self.servers.iter().filter(|server| server.is_running()) {
            wait_for("every tablet has a leader", || {
                server.try_status().is_some_and(|status| {
                    !status.tablets.is_empty() && status.tablets_without_leader.is_empty()
                })
            });
        }
    }
}

/// A port that stays free while its server is down: none that Linux gives to outgoing connections (32768 and above).
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 21_000 + (std::process::id() % 100) as u16 * 50;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 5_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn entry(number: u32) -> ServerEntry {
    let port = free_port();
    ServerEntry {
        number: MemberNo(number),
        node_id: NodeId(u64::from(number)),
        node_uuid: NodeUuid(Uuid::new_v4()),
        address: format!("127.0.0.1:{port}").parse().expect("an address"),
        zone: None,
    }
}

fn config(
    cluster_id: ClusterId,
    entry: &ServerEntry,
    servers: &[ServerEntry],
    tablets: u16,
    parameters: Parameters,
    is_founder: bool,
) -> NodeConfig {
    let role = ServerRole {
        number: entry.number,
        node_id: entry.node_id,
        listen: entry.address.clone(),
        zone: None,
        tablets,
        replicas: 3,
        is_founder,
    };
    NodeConfig {
        version: NODE_CONFIG_VERSION,
        cluster: "c0".parse().expect("a name"),
        cluster_id,
        node_uuid: entry.node_uuid,
        role: Role::Server(role),
        servers: servers.to_vec(),
        parameters,
    }
}

impl Server {
    /// Runs `dkcd WORDS --dir DIR` to its end: exit status, and what it said (errors where there are some).
    pub fn dkcd(&self, words: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_dkcd"))
            .arg(words[0])
            .arg("--dir")
            .arg(&self.directory)
            .args(&words[1..])
            .stdin(Stdio::null())
            .output()
            .expect("dkcd starts");
        let said = if output.stderr.is_empty() { output.stdout } else { output.stderr };
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    pub fn start(&mut self) {
        self.start_under(&[]);
    }

    /// The same under a program that runs what follows its own words.
    pub fn start_under(&mut self, words: &[&str]) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("out.log"))
            .expect("a log");
        let words = words.iter().chain(&[env!("CARGO_BIN_EXE_dkcd"), "run", "--dir"]);
        let words: Vec<&str> = words.copied().collect();
        let process = Command::new(words[0])
            .args(&words[1..])
            .arg(&self.directory)
            .env(dkcd::clock::TEST_CLOCK_AHEAD, self.clock())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("dkcd starts");
        self.process = Some(process);
    }

    pub fn wait_until_it_answers(&self) {
        wait_for(&format!("server {} answers\n{}", self.entry.number, self.log()), || {
            self.try_status().is_some()
        });
    }

    /// Holds how many seconds the clock of certificates is ahead, for all nodes of a lab.
    fn clock(&self) -> PathBuf {
        self.directory.with_file_name("clock")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("out.log")).unwrap_or_default()
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// The exit status, once it has ended by itself.
    pub fn has_ended(&mut self) -> Option<i32> {
        self.process.as_mut()?.try_wait().expect("a child")?.code()
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it ends");
        }
    }

    /// As `kill` does; the exit status.
    pub fn stop(&mut self) -> i32 {
        let mut process = self.process.take().expect("it runs");
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(process.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )
        .expect("a signal");
        process.wait().expect("it ends").code().unwrap_or(-1)
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid() as i32), signal).expect("a signal");
    }

    /// Stops the process and waits until each of its threads stands still: until then those that were at work go on answering.
    pub fn pause(&self) {
        self.signal(nix::sys::signal::Signal::SIGSTOP);
        wait_for("every thread stands still", || self.threads_at_work() == 0);
    }

    fn threads_at_work(&self) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads");
        // `PID (NAME) STATE …`; a thread that ends meanwhile has no such file any more.
        let is_stopped = |stat: &str| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
        let stats =
            threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
        stats.filter(|stat| !is_stopped(stat)).count()
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join(layout::CONTROL_SOCKET)
    }

    pub fn word(&self, word: &str) -> String {
        dkcd::control::ask(&self.socket(), word, TIMEOUT).expect("an answer")
    }

    pub fn try_ask(&self, request: &ControlRequest) -> Option<ControlReply> {
        let line = serde_json::to_string(request).expect("a request is JSON");
        let answer = dkcd::control::ask(&self.socket(), &line, TIMEOUT).ok()?;
        serde_json::from_str(&answer).ok()
    }

    pub fn ask(&self, request: &ControlRequest) -> ControlReply {
        self.try_ask(request)
            .unwrap_or_else(|| panic!("server {} gave no answer\n{}", self.entry.number, self.log()))
    }

    /// Changes the file that the node reads when it starts or reloads.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Parameters)) {
        let path = self.directory.join(layout::CONFIG);
        let text = fs::read_to_string(&path).expect("a configuration");
        let mut config = NodeConfig::parse(&text, "node.yaml").expect("a good one");
        change(&mut config.parameters);
        fs::write(path, config.to_yaml()).expect("the configuration is written");
    }

    pub fn try_node_status(&self) -> Option<NodeStatus> {
        match self.try_ask(&ControlRequest::Status)? {
            ControlReply::Status(status) => Some(*status),
            _ => None,
        }
    }

    pub fn try_status(&self) -> Option<ServerStatus> {
        match self.try_node_status()?.role {
            RoleStatus::Server(server) => Some(server),
            RoleStatus::Slave(_) => None,
        }
    }

    pub fn try_meta(&self) -> Option<MetaView> {
        match self.try_ask(&ControlRequest::Meta)? {
            ControlReply::Meta(meta) => meta.map(|meta| *meta),
            _ => None,
        }
    }

    pub fn meta(&self) -> MetaView {
        self.try_meta().expect("a founded cluster")
    }

    pub fn change(&self, change: MemberChange) -> ControlReply {
        self.ask(&ControlRequest::Change { operation: None, change })
    }

    pub fn status(&self) -> ServerStatus {
        self.try_status().expect("a status")
    }

    pub fn data(&self, request: DataRequest) -> ControlReply {
        self.ask(&ControlRequest::Data(request))
    }

    pub fn set(&self, key: &str, value: &str) -> ControlReply {
        self.data(set(key, value))
    }

    /// `None` also while nobody answers.
    pub fn try_get(&self, key: &str) -> Option<String> {
        match self.try_ask(&ControlRequest::Data(get(key)))? {
            ControlReply::Data(Reply::Record(record)) => String::from_utf8(record.value.to_vec()).ok(),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<String> {
        match self.data(get(key)) {
            ControlReply::Data(Reply::Record(record)) => {
                Some(String::from_utf8(record.value.to_vec()).expect("values of tests are text"))
            }
            ControlReply::Data(Reply::NotFound) => None,
            other => panic!("get {key}: {other:?}"),
        }
    }
}

fn named(key: &str) -> Key {
    Key { namespace: Default::default(), bytes: key.to_owned().into() }
}

pub fn get(key: &str) -> DataRequest {
    DataRequest::Command(kv::Command::Read(Read::Get { key: named(key) }))
}

fn set(key: &str, value: &str) -> DataRequest {
    let (key, mode, expiry) = (named(key), StoreMode::Set, Expiry::Never);
    let write = Write::Store { key, mode, flags: 0, expiry, value: value.to_owned().into() };
    DataRequest::Command(kv::Command::Write(write))
}

/// Sets a key through a control socket; whether that was acknowledged.
pub fn set_at(socket: &Path, key: &str, value: &str) -> bool {
    let request = ControlRequest::Data(set(key, value));
    let line = serde_json::to_string(&request).expect("a request is JSON");
    let answer = dkcd::control::ask(socket, &line, TIMEOUT);
    let reply = answer.ok().and_then(|answer| serde_json::from_str(&answer).ok());
    matches!(reply, Some(ControlReply::Data(Reply::Stored { .. })))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- server {}\n{}", self.entry.number, self.log());
        }
    }
}
