//! The servers of one world: their configurations, which of them run, and what an operator can ask of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::{
    NODE_CONFIG_VERSION, NodeConfig, Parameters, ReadPolicy, Role, ServerEntry, ServerRole,
};
use dkc_core::control::ControlReply;
use dkc_core::ids::{ClusterId, MemberNo, NodeId, NodeUuid};
use dkc_core::meta::{MemberChange, OperationId};
use dkcd::daemon::server::Server;
use dkcd::daemon::simulated::Node;
use dkcd::simulation::process::{CrashKind, Process};
use dkcd::simulation::task::spawn_in;
use dkcd::simulation::world;
use uuid::Uuid;

/// The longest that one question to a server is waited for.
const ASK_MAX: Duration = Duration::from_secs(4);
/// Clocks of hosts are off by less than this.
const CLOCK_OFF_MAX_MS: u64 = 3_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Member,
    /// Dead for good, with its disk.
    Lost,
    /// Removed from the cluster; its disk is still there.
    Removed,
}

pub struct Member {
    pub config: NodeConfig,
    pub entry: ServerEntry,
    pub fate: Cell<Fate>,
    is_starting: Cell<bool>,
    node: RefCell<Option<Node>>,
}

pub struct Cluster {
    pub id: ClusterId,
    pub members: RefCell<Vec<Rc<Member>>>,
    pub parameters: Parameters,
    pub founders: Vec<ServerEntry>,
    pub replicas: u32,
    /// A host was lost for good: one in a world.
    pub has_lost: Cell<bool>,
    tablets: u16,
}

fn draw_uuid() -> Uuid {
    let world = world();
    Uuid::from_u64_pair(world.draw(u64::MAX), world.draw(u64::MAX))
}

fn entry(number: u32) -> ServerEntry {
    ServerEntry {
        number: MemberNo(number),
        node_id: NodeId(u64::from(number)),
        node_uuid: NodeUuid(draw_uuid()),
        address: format!("host{number}:8020").parse().expect("an address"),
        zone: None,
    }
}

impl Cluster {
    pub fn new(founders: u32, tablets: u16) -> Cluster {
        let world = world();
        let founders: Vec<ServerEntry> = (1..=founders).map(entry).collect();
        let parameters = Parameters {
            read: if world.chance(70) { ReadPolicy::Lease } else { ReadPolicy::Index },
            persist_interval_ms: 300 + world.draw(2_500),
            request_deadline_ms: 1_000 + world.draw(2_500),
            ..Parameters::default()
        };
        let id = ClusterId(draw_uuid());
        let cluster = Cluster {
            id,
            members: RefCell::default(),
            parameters,
            founders: founders.clone(),
            replicas: 3,
            has_lost: Cell::new(false),
            tablets,
        };
        for entry in founders {
            cluster.add(entry, true);
        }
        cluster
    }

    fn add(&self, entry: ServerEntry, is_founder: bool) -> Rc<Member> {
        let role = ServerRole {
            number: entry.number,
            node_id: entry.node_id,
            listen: entry.address.clone(),
            zone: None,
            tablets: self.tablets,
            replicas: self.replicas,
            is_founder,
        };
        let mut servers: Vec<ServerEntry> = self
            .members
            .borrow()
            .iter()
            .filter(|m| m.fate.get() == Fate::Member)
            .map(|m| m.entry.clone())
            .collect();
        if is_founder {
            servers = self.founders.clone();
        } else {
            servers.push(entry.clone());
        }
        let config = NodeConfig {
            version: NODE_CONFIG_VERSION,
            cluster: "c0".parse().expect("a name"),
            cluster_id: self.id,
            node_uuid: entry.node_uuid,
            role: Role::Server(role),
            servers,
            parameters: self.parameters.clone(),
        };
        let member = Rc::new(Member {
            config,
            entry,
            fate: Cell::new(Fate::Member),
            is_starting: Cell::new(false),
            node: RefCell::default(),
        });
        self.members.borrow_mut().push(member.clone());
        member
    }

    /// A host that never was a member.
    pub fn fresh(&self) -> ServerEntry {
        entry(self.members.borrow().len() as u32 + 1)
    }

    /// A registered node gets its configuration.
    pub fn deploy(&self, entry: ServerEntry) -> Rc<Member> {
        self.add(entry, false)
    }

    pub fn all(&self) -> Vec<Rc<Member>> {
        self.members.borrow().clone()
    }

    pub fn of_fate(&self, fate: Fate) -> Vec<Rc<Member>> {
        self.all().into_iter().filter(|member| member.fate.get() == fate).collect()
    }

    /// Members whose process lives.
    pub fn running(&self) -> Vec<Rc<Member>> {
        self.of_fate(Fate::Member).into_iter().filter(|member| member.server().is_some()).collect()
    }

    pub fn any_running(&self) -> Option<Rc<Member>> {
        pick(&self.running())
    }

    pub async fn found(&self) -> Result<(), String> {
        for member in self.all() {
            member.start().await;
        }
        let first = self.all()[0].clone();
        let (process, server) = (first.process().ok_or("no process")?, first.server().ok_or("no server")?);
        let founded = spawn_in(&process, async move { server.founding().found().await }).await;
        founded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// One of these.
pub fn pick<T: Clone>(those: &[T]) -> Option<T> {
    (!those.is_empty()).then(|| those[world().draw(those.len() as u64) as usize].clone())
}

impl Member {
    pub fn id(&self) -> NodeId {
        self.entry.node_id
    }

    pub fn host(&self) -> &str {
        self.entry.address.host.as_str()
    }

    pub fn process(&self) -> Option<Arc<Process>> {
        world().network().process(self.host()).filter(|process| process.is_alive())
    }

    pub fn server(&self) -> Option<Arc<Server>> {
        self.process()?;
        self.node.borrow().as_ref().map(|node| node.server.clone())
    }

    /// Starts it with what is on its disk, unless it runs.
    pub async fn start(&self) {
        if self.process().is_some() || self.is_starting.get() || self.fate.get() == Fate::Lost {
            return;
        }
        self.is_starting.set(true);
        let offset_ms = world().draw(2 * CLOCK_OFF_MAX_MS) as i64 - CLOCK_OFF_MAX_MS as i64;
        let node = Node::start(self.config.clone(), offset_ms).await;
        *self.node.borrow_mut() = node;
        self.is_starting.set(false);
    }

    pub fn end(&self, how: CrashKind) {
        if let Some(process) = self.process() {
            process.end(how);
        }
        *self.node.borrow_mut() = None;
    }

    /// Asks the server to change members. `None` when nothing came back in time.
    pub async fn change(&self, operation: Option<OperationId>, change: MemberChange) -> Option<ControlReply> {
        let server = self.server()?;
        self.ask(async move { server.meta().change_members(operation, change).await }).await
    }

    pub async fn begin_operation(&self, id: OperationId) -> Option<ControlReply> {
        let server = self.server()?;
        self.ask(
            async move { server.meta().begin_operation(id, "an operator".into(), "a change".into()).await },
        )
        .await
    }

    pub async fn end_operation(&self, id: OperationId) -> Option<ControlReply> {
        let server = self.server()?;
        self.ask(async move { server.meta().end_operation(id).await }).await
    }

    async fn ask<T: Send + 'static>(&self, question: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let asking = spawn_in(&self.process()?, question);
        tokio::time::timeout(ASK_MAX, asking).await.ok()?.ok()
    }
}
