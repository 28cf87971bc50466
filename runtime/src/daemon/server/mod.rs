//! The server role of a node: creates its parts and starts their loops. Each part owns its state and knows only the parts that it
//! needs. All of them follow the meta group; nothing here decides where data belongs.

mod metrics;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::{NodeConfig, ServerRole};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cuts::Cuts;
use super::disk::Disk;
use super::disk_space::watch_disk;
use super::follow_meta::{MetaFollower, targets};
use super::founding::Founding;
use super::hibernation::Hibernator;
use super::known_ring::KnownRing;
use super::leadership::Leadership;
use super::liveness::Liveness;
use super::load::ServerLoads;
use super::local_node::LocalNode;
use super::merge_driver::MergeDriver;
use super::meta_group::MetaGroup;
use super::node_port::{
    self, Admission, NodePort, OwnProgram, PortConnections, Requests, learn_member_sources,
};
use super::peer_control::PeerControl;
use super::persist::Persister;
use super::replica_error::ReplicaError;
use super::replicas::Replicas;
use super::split_driver::SplitDriver;
use super::standing::Standing;
use super::token_sweep::keep_tokens_swept;
use crate::certificates::Certificates;
use crate::net::{Alpn, Listener, Peers, Tls};
use crate::raft::snapshot_sends::SnapshotSends;
use crate::raft::{GroupContext, Transport};
use crate::storage::StorageError;
use crate::task::of_this_node;

/// Timeout for the Raft tasks of all groups to end when the node stops.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// The inputs of a server: its open disk, certificates and port.
pub struct Parts {
    pub directory: PathBuf,
    pub config: NodeConfig,
    pub role: ServerRole,
    pub tls: Arc<Tls>,
    pub listener: Listener,
    pub disk: Disk,
    /// True once the node is stopping.
    pub stopped: watch::Receiver<bool>,
}

pub struct Server {
    local: Arc<LocalNode>,
    certificates: Arc<Certificates>,
    disk: Arc<Disk>,
    ring: Arc<KnownRing>,
    transport: Arc<Transport>,
    liveness: Arc<Liveness>,
    meta: Arc<MetaGroup>,
    replicas: Arc<Replicas>,
    leadership: Arc<Leadership>,
    founding: Arc<Founding>,
    hibernator: Arc<Hibernator>,
    requests: Arc<Requests>,
    cuts: Arc<Cuts>,
    loads: Arc<ServerLoads>,
    standing: Arc<Standing>,
    connections: PortConnections,
    program: Arc<OwnProgram>,
}

impl Server {
    /// Opens the groups and starts the server's loops in `tasks`.
    pub async fn start(parts: Parts, tasks: &mut JoinSet<()>) -> Result<Arc<Server>, ReplicaError> {
        let (server, listener) = Server::open(parts).await?;
        let server = Arc::new(server);
        let follower = server.meta_follower();
        // Groups on disk are open before the first request can arrive.
        follower.adopt_ring_map(&server.meta.state()).await;
        server.serve(listener, tasks);
        tasks.spawn(of_this_node(follower.run()));
        server.spawn_loops(tasks);
        Ok(server)
    }

    async fn open(parts: Parts) -> Result<(Server, Listener), ReplicaError> {
        let Parts { directory, config, role, tls, listener, disk, stopped } = parts;
        let local = Arc::new(LocalNode::new(&directory, config, role));
        let certificates = Certificates::new(tls.clone(), directory);
        let (disk, ring) = (Arc::new(disk), Arc::new(KnownRing::default()));
        let transport = open_transport(&local, &ring, tls);
        let (takes_part, _) = watch::channel(false);
        let context = GroupContext {
            node: local.id(),
            transport: transport.clone(),
            parameters: local.parameters(),
            tuning: local.tuning().clone(),
            write_latency: local.write_latency().clone(),
            ring_version: ring.version_source(),
            takes_part: takes_part.subscribe(),
        };
        let standing =
            Standing::new(local.clone(), disk.clone(), ring.clone(), transport.clone(), takes_part);
        let (store, log) = (disk.store().clone(), disk.log().clone());
        let meta = Arc::new(MetaGroup::open(&context, &store, &log).await?);
        let replicas = Arc::new(Replicas::new(context, log, store, meta.group().clone()));
        let liveness = Arc::new(Liveness::new(local.id(), transport.clone()));
        let leadership =
            Leadership::new(ring.clone(), liveness.clone(), replicas.clone(), disk.clone(), stopped);
        let leadership = Arc::new(leadership);
        let hibernator = Hibernator::new(
            local.clone(),
            meta.clone(),
            replicas.clone(),
            liveness.clone(),
            leadership.clone(),
            transport.clone(),
        );
        let founding = Founding::new(local.clone(), meta.clone(), replicas.clone(), transport.clone());
        let requests = Requests::new(local.clone(), ring.clone(), replicas.clone(), disk.clone());
        let cuts = Cuts::new(local.clone(), ring.clone(), replicas.clone(), transport.clone());
        let loads = ServerLoads::new(local.id(), transport.clone());
        let program = Arc::new(OwnProgram::new(meta.clone()));
        let server = Server {
            local,
            certificates,
            disk,
            ring,
            transport,
            liveness,
            meta,
            replicas,
            leadership,
            founding: Arc::new(founding),
            hibernator: Arc::new(hibernator),
            requests: Arc::new(requests),
            cuts: Arc::new(cuts),
            loads: Arc::new(loads),
            standing: Arc::new(standing),
            connections: PortConnections::of(&listener),
            program,
        };
        Ok((server, listener))
    }

    fn meta_follower(&self) -> MetaFollower {
        MetaFollower::new(
            self.local.clone(),
            self.meta.clone(),
            self.ring.clone(),
            self.replicas.clone(),
            self.leadership.clone(),
            self.transport.clone(),
        )
    }

    fn serve(&self, listener: Listener, tasks: &mut JoinSet<()>) {
        let sources = learn_member_sources(self.local.clone(), self.ring.subscribe(), listener.members());
        let admission = Arc::new(Admission::new(
            self.local.clone(),
            self.ring.clone(),
            self.meta.clone(),
            self.certificates.clone(),
            self.program.clone(),
        ));
        let port = Arc::new(NodePort {
            requests: self.requests.clone(),
            admission: admission.clone(),
            certificates: self.certificates.clone(),
            peer_control: PeerControl::new(
                self.founding.clone(),
                self.hibernator.clone(),
                self.liveness.clone(),
                self.cuts.clone(),
                self.loads.clone(),
                self.standing.clone(),
            ),
            ring: self.ring.clone(),
            meta: self.meta.clone(),
            replicas: self.replicas.clone(),
            leadership: self.leadership.clone(),
            disk: self.disk.clone(),
            standing: self.standing.clone(),
        });
        let serve = move |connection| node_port::serve(port.clone(), connection);
        tasks.spawn(of_this_node(sources));
        tasks.spawn(of_this_node(listener.run(admission, serve)));
    }

    fn spawn_loops(&self, tasks: &mut JoinSet<()>) {
        let driver = MergeDriver::new(
            self.local.clone(),
            self.meta.clone(),
            self.replicas.clone(),
            self.liveness.clone(),
            self.leadership.clone(),
        );
        let splits = SplitDriver::new(
            self.local.clone(),
            self.meta.clone(),
            self.replicas.clone(),
            self.loads.clone(),
        );
        tasks.spawn(of_this_node(self.standing.clone().run()));
        tasks.spawn(of_this_node(splits.run()));
        let persister = Persister::new(self.local.clone(), self.disk.clone(), self.replicas.clone());
        tasks.spawn(of_this_node(Cuts::keep_tidy(Arc::downgrade(&self.cuts))));
        tasks.spawn(of_this_node(driver.run()));
        tasks.spawn(of_this_node(self.liveness.clone().keep_connected()));
        tasks.spawn(of_this_node(self.leadership.clone().keep_balanced()));
        tasks.spawn(of_this_node(self.hibernator.clone().keep_beating()));
        tasks.spawn(of_this_node(self.hibernator.clone().keep_hibernating()));
        tasks.spawn(of_this_node(persister.run()));
        tasks.spawn(of_this_node(keep_tokens_swept(self.meta.clone())));
        tasks.spawn(of_this_node(watch_disk(self.disk.clone(), self.leadership.clone())));
    }

    /// Shuts down cleanly after the loops have ended: closes the groups and makes everything durable.
    pub async fn close(&self) -> Result<(), StorageError> {
        // Nobody makes room any more for whoever waits to apply.
        self.disk.store().stop_waiting();
        let groups = self.replicas.all();
        let closing = futures::future::join_all(groups.iter().map(|group| group.close()));
        if tokio::time::timeout(CLOSE_MAX, closing).await.is_err() {
            tracing::warn!("groups did not stop in time");
        }
        self.disk.close().await
    }

    pub fn local(&self) -> &LocalNode {
        &self.local
    }

    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    pub fn ring(&self) -> &KnownRing {
        &self.ring
    }

    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    pub fn meta(&self) -> &MetaGroup {
        &self.meta
    }

    pub fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    pub fn leadership(&self) -> &Arc<Leadership> {
        &self.leadership
    }

    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    pub fn founding(&self) -> &Founding {
        &self.founding
    }

    pub fn connections(&self) -> &PortConnections {
        &self.connections
    }

    pub fn program(&self) -> &OwnProgram {
        &self.program
    }
}

/// Connections to other servers: to the configured ones until there is a ring map.
fn open_transport(local: &Arc<LocalNode>, ring: &Arc<KnownRing>, tls: Arc<Tls>) -> Arc<Transport> {
    let (speaker, known) = (local.clone(), ring.clone());
    let hello = Arc::new(move || speaker.hello(known.version()));
    let messages = Peers::new(tls.clone(), Alpn::Peer, hello.clone());
    let sending = SnapshotSends::new(local.parameters().merge_bytes_per_s);
    let transport = Transport::new(messages, Peers::new(tls, Alpn::Snapshot, hello), sending);
    transport.set_targets(targets(local.config(), None, local.id()));
    Arc::new(transport)
}
