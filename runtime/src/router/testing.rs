//! Servers on loopback that answer as a test's script says: real certificates and connections, no Raft.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use dkc_core::config::ServerEntry;
use dkc_core::ids::{MemberNo, NodeAddress, NodeId, NodeUuid, RingVersion, TabletId};
use dkc_core::ring::{ActionProgress, InRing, MemberAction, Node, RingMap, TabletPlace, tablet_ranges};
use dkc_core::wire::{Answer, Frame, Kind, Request, decode_ring_watch, encode_ring};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Router, RouterOptions};
use crate::net::testing::{AdmitAll, Authority};
use crate::net::{Alpn, Connection, Listener, NodeRole, Sender, Tls};

/// What a scripted server does with a request.
pub enum Act {
    Answer(Answer),
    /// Never answers.
    Silence,
    /// Closes the connection without an answer.
    Hang,
}

type Script = Arc<dyn Fn(NodeId, &Request, TabletId) -> Act + Send + Sync>;

pub struct Cluster {
    pub authority: Authority,
    pub servers: Vec<ServerEntry>,
    pub ring: watch::Sender<RingMap>,
    stops: Vec<Arc<Stop>>,
}

/// A server that is down closes what comes.
#[derive(Default)]
struct Stop {
    is_down: AtomicBool,
    senders: Mutex<Vec<Sender>>,
}

impl Cluster {
    /// Nodes 1 to `servers`, every tablet on all of them, node 1 preferred. Needs a runtime.
    pub async fn start(
        servers: usize,
        tablets: u16,
        script: impl Fn(NodeId, &Request, TabletId) -> Act + Send + Sync + 'static,
    ) -> Cluster {
        let authority = Authority::new();
        let script: Script = Arc::new(script);
        let ring = watch::Sender::new(RingMap {
            cluster: authority.cluster,
            version: RingVersion(1),
            replicas: servers as u32,
            nodes: Vec::new(),
            tablets: Vec::new(),
        });
        let mut cluster = Cluster { authority, servers: Vec::new(), ring, stops: Vec::new() };
        for number in 1..=servers as u64 {
            cluster.add(NodeId(number), script.clone()).await;
        }
        let map = cluster.map(tablets);
        cluster.ring.send_replace(map);
        cluster
    }

    async fn add(&mut self, node_id: NodeId, script: Script) {
        let tls = self.authority.tls(NodeRole::Server);
        let address = free_address();
        let listener = Listener::bind(&address, tls.clone(), 100).await.unwrap();
        let stop = Arc::new(Stop::default());
        let (ring, stopped) = (self.ring.clone(), stop.clone());
        tokio::spawn(listener.run(Arc::new(AdmitAll(tls.identity())), move |connection| {
            stopped.senders.lock().push(connection.sender.clone());
            serve(connection, node_id, script.clone(), ring.subscribe(), stopped.clone())
        }));
        let (number, node_uuid) = (MemberNo(node_id.0 as u32), tls.identity().node);
        self.servers.push(ServerEntry { number, node_id, node_uuid, address, zone: None });
        self.stops.push(stop);
    }

    fn map(&self, tablets: u16) -> RingMap {
        let voters: Vec<NodeId> = self.servers.iter().map(|server| server.node_id).collect();
        let place = |(tablet, first_slot, last_slot)| TabletPlace {
            tablet,
            first_slot,
            last_slot,
            epoch: 1,
            voters: voters.clone(),
            learners: Vec::new(),
            preferred_leader: voters[0],
        };
        RingMap {
            tablets: tablet_ranges(tablets).map(place).collect(),
            nodes: self.servers.iter().map(node_of).collect(),
            ..self.ring.borrow().clone()
        }
    }

    /// Connections to the node end, new ones too, until it is up again.
    pub fn set_down(&self, node: NodeId, is_down: bool) {
        let stop = &self.stops[node.0 as usize - 1];
        stop.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            stop.senders.lock().drain(..).for_each(|sender| sender.close("down"));
        }
    }

    pub fn tls(&self) -> Arc<Tls> {
        self.authority.tls(NodeRole::Slave)
    }

    /// A slave's router that knows no more than the list of servers.
    pub fn router(&self, deadline: Duration) -> Router {
        Router::new(RouterOptions {
            tls: self.tls(),
            alpn: Alpn::Slave,
            node_id: NodeId(0),
            servers: self.servers.clone(),
            ring: None,
            deadline,
            is_following: true,
        })
    }
}

pub fn free_address() -> NodeAddress {
    let free: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    free.to_string().parse().unwrap()
}

pub fn node_of(server: &ServerEntry) -> Node {
    Node {
        node_id: server.node_id,
        uuid: NodeUuid(server.node_uuid.0),
        number: server.number,
        address: server.address.clone(),
        zone: None,
        in_ring: InRing::ServiceIn,
        action: MemberAction::None,
        operate: ActionProgress::Nothing,
    }
}

async fn serve(
    mut connection: Connection,
    node: NodeId,
    script: Script,
    ring: watch::Receiver<RingMap>,
    stop: Arc<Stop>,
) {
    while let Ok(batch) = connection.frames.next_batch().await {
        for frame in batch {
            if stop.is_down.load(Ordering::SeqCst) {
                return;
            }
            match frame.kind {
                Kind::RingWatch => answer_watch(&connection.sender, frame, ring.clone()),
                Kind::Request => {
                    let request = Request::decode(frame.body.clone()).unwrap();
                    match script(node, &request, frame.group.tablet().unwrap()) {
                        Act::Answer(answer) => send(&connection.sender, &frame, &answer),
                        Act::Silence => {}
                        Act::Hang => return,
                    }
                }
                other => panic!("{other:?} was not expected"),
            }
        }
    }
}

fn answer_watch(sender: &Sender, frame: Frame, mut ring: watch::Receiver<RingMap>) {
    let newer_than = decode_ring_watch(frame.body.clone()).unwrap();
    let sender = sender.clone();
    tokio::spawn(async move {
        if let Ok(ring) = ring.wait_for(|ring| ring.version > newer_than && !ring.tablets.is_empty()).await {
            let _ = sender.send(Kind::RingIs, frame.id, frame.group, &encode_ring(&ring));
        }
    });
}

fn send(sender: &Sender, frame: &Frame, answer: &Answer) {
    let mut body = BytesMut::new();
    answer.encode(&mut body);
    let _ = sender.send(Kind::Answer, frame.id, frame.group, &body);
}
