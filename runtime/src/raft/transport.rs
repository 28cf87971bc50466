//! Raft's transport to other nodes: one multiplexed connection for all groups of a pair of nodes, and a separate one for
//! snapshots, so that bulk data never delays a heartbeat.
//!
//! Two pitfalls are avoided here. openraft pauses after a failure only when the stream of requests is
//! polled, so the first request is taken BEFORE connecting; otherwise a dead peer costs a whole core. And its timeout
//! of an append is the heartbeat interval, which a slow disk or a large batch can always exceed, so
//! appends have their own timeout.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dkc_core::ids::{GroupId, NodeId};
use dkc_core::wire::Kind;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use parking_lot::RwLock;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::codec;
use super::snapshot::{self, SnapshotData};
use super::snapshot_sends::SnapshotSends;
use super::types::{LogId, Types, Vote};
use crate::net::{Client, Link, NetError, Peers, Target};

/// Appends in flight to one follower of one group: openraft's own bound for its receiving side.
const APPENDS_IN_FLIGHT_MAX: usize = 64;
/// Timeout of an append, which waits for the follower's disk; the connection itself detects a silent peer earlier.
const APPEND_MAX: Duration = Duration::from_secs(5);
/// Slowest link that still carries the largest entry: an append's timeout grows with its size.
const APPEND_BYTES_PER_S_MIN: usize = 2 * 1024 * 1024;
/// Timeout of votes and transfers, which are answered after one sync of a small record. Much shorter fails on a
/// slow disk, longer delays an election.
const VOTE_MAX: Duration = Duration::from_secs(2);
/// What servers are told must not delay whoever tells it: a node that stops, for one.
const TELL_MAX: Duration = Duration::from_millis(500);

/// The addresses of the nodes, and the connections to them.
pub struct Transport {
    messages: Peers,
    snapshots: Peers,
    targets: RwLock<BTreeMap<NodeId, Target>>,
    pub sending: SnapshotSends,
}

impl Transport {
    /// `sending` bounds what goes out in snapshots.
    pub fn new(messages: Peers, snapshots: Peers, sending: SnapshotSends) -> Transport {
        Transport { messages, snapshots, targets: RwLock::default(), sending }
    }

    /// Sets the reachable nodes; closes connections to all others.
    pub fn set_targets(&self, targets: BTreeMap<NodeId, Target>) {
        let is_wanted = |target: &Target| targets.values().any(|t| t == target);
        self.messages.retain(is_wanted);
        self.snapshots.retain(is_wanted);
        *self.targets.write() = targets;
    }

    fn target(&self, node: NodeId) -> Option<Target> {
        self.targets.read().get(&node).cloned()
    }

    pub fn targets(&self) -> BTreeMap<NodeId, Target> {
        self.targets.read().clone()
    }

    /// The link for messages of every group.
    pub fn link(&self, node: NodeId) -> Option<Arc<Link>> {
        Some(self.messages.link(&self.target(node)?))
    }

    async fn client(&self, node: NodeId) -> Result<Client, NetError> {
        let unknown = || NetError::NotSent(format!("node {node} is not in the ring map").into());
        self.link(node).ok_or_else(unknown)?.client().await
    }

    async fn snapshot_client(&self, node: NodeId) -> Result<Client, NetError> {
        let unknown = || NetError::NotSent(format!("node {node} is not in the ring map").into());
        self.snapshots.link(&self.target(node).ok_or_else(unknown)?).client().await
    }

    /// Sends one message and returns the reply's body.
    pub async fn ask(
        &self,
        node: NodeId,
        kind: Kind,
        group: GroupId,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, NetError> {
        let client = self.client(node).await?;
        Ok(client.request(kind, group, &body, timeout).await?.body)
    }

    /// Tells every connected server something of which no answer is awaited for long.
    pub async fn tell_connected(&self, body: Bytes) {
        let is_connected = |node: &NodeId| self.link(*node).is_some_and(|link| link.state().is_connected);
        let telling = self.targets().into_keys().filter(is_connected).map(|node| {
            let asking = self.ask(node, Kind::PeerControl, GroupId::META, body.clone(), TELL_MAX);
            tokio::time::timeout(TELL_MAX, asking)
        });
        futures::future::join_all(telling).await;
    }
}

/// Makes the connections of one group.
pub struct NetworkOfGroup {
    pub transport: Arc<Transport>,
    pub group: GroupId,
}

impl RaftNetworkFactory<Types> for NetworkOfGroup {
    type Network = Network;
    async fn new_client(&mut self, target: u64, _: &openraft::impls::EmptyNode) -> Network {
        Network { transport: self.transport.clone(), group: self.group, target: NodeId(target) }
    }
}

/// One group's connection to one node.
pub struct Network {
    transport: Arc<Transport>,
    group: GroupId,
    target: NodeId,
}

type Rpc<T> = Result<T, RPCError<Types>>;

/// After a message that was certainly not sent openraft pauses before the next attempt; a lost reply is retried sooner.
fn rpc_error(error: NetError) -> RPCError<Types> {
    if error.is_never_sent() {
        RPCError::Unreachable(Unreachable::new(&error))
    } else {
        RPCError::Network(NetworkError::new(&error))
    }
}
fn bad_answer(error: codec::CodecError) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(&error))
}

impl Network {
    async fn ask(&self, kind: Kind, body: Bytes, timeout: Duration) -> Rpc<Bytes> {
        let asking = self.transport.ask(self.target, kind, self.group, body, timeout);
        match tokio::time::timeout(timeout, asking).await {
            Ok(answer) => answer.map_err(rpc_error),
            Err(_) => Err(rpc_error(NetError::NoAnswer { after_ms: timeout.as_millis() as u64 })),
        }
    }

    async fn ask_vote(&self, request: VoteRequest<Types>, is_pre_vote: bool) -> Rpc<VoteResponse<Types>> {
        let body =
            self.ask(Kind::RaftVote, codec::encode_vote_request(&request, is_pre_vote), VOTE_MAX).await?;
        codec::decode_vote_answer(body).map_err(bad_answer)
    }
}

fn append_timeout(bytes: usize) -> Duration {
    APPEND_MAX + Duration::from_secs_f64(bytes as f64 / APPEND_BYTES_PER_S_MIN as f64)
}

/// Sends one append now; the future is its answer.
fn submit_append(
    client: &Client,
    group: GroupId,
    request: &AppendEntriesRequest<Types>,
) -> impl Future<Output = Rpc<StreamAppendResult<Types>>> + Send + use<> {
    let previous: Option<LogId> = request.prev_log_id;
    let last = request.entries.last().map(|entry| entry.log_id).or(previous);
    let (answer, answered) = oneshot::channel();
    let body = codec::encode_append(request);
    let deadline = Instant::now() + append_timeout(body.len());
    client.submit(Kind::RaftAppend, group, deadline, Box::new(answer), |out| {
        out.extend_from_slice(&body);
    });
    async move {
        let frame = answered.await.unwrap_or_else(|_| Err(NetError::Lost("the connection has ended".into())));
        let body = frame.map_err(rpc_error)?.body;
        Ok(codec::decode_append_answer(body).map_err(bad_answer)?.into_stream_result(previous, last))
    }
}

impl RaftNetworkV2<Types> for Network {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Types>> {
        let body = codec::encode_append(&request);
        let timeout = append_timeout(body.len());
        let body = self.ask(Kind::RaftAppend, body, timeout).await?;
        codec::decode_append_answer(body).map_err(bad_answer)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<Types>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let Some(first) = input.next().await else {
                return Ok(stream::empty().boxed());
            };
            let client = self.transport.client(self.target).await.map_err(rpc_error)?;
            let group = self.group;
            let requests = stream::once(async move { first }).chain(input);
            #[expect(
                clippy::async_yields_async,
                reason = "what is submitted is awaited by buffered, several at a time"
            )]
            let answers = requests
                .then(move |request| {
                    let client = client.clone();
                    async move {
                        client.ready().await;
                        submit_append(&client, group, &request)
                    }
                })
                .buffered(APPENDS_IN_FLIGHT_MAX);
            Ok(answers.boxed())
        })
    }

    async fn vote(&mut self, request: VoteRequest<Types>, _: RPCOption) -> Rpc<VoteResponse<Types>> {
        self.ask_vote(request, false).await
    }

    async fn pre_vote(&mut self, request: VoteRequest<Types>, _: RPCOption) -> Rpc<VoteResponse<Types>> {
        self.ask_vote(request, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::type_config::alias::SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sending = async {
            let client = self.transport.snapshot_client(self.target).await.map_err(rpc_error)?;
            let way = (&self.transport.sending, self.target);
            snapshot::send(&client, self.group, vote, snapshot, way).await
        };
        tokio::select! {
            result = sending => result,
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        _: RPCOption,
    ) -> Rpc<TransferLeaderResponse<Types>> {
        let body = self.ask(Kind::RaftTransfer, codec::encode_transfer(&request), VOTE_MAX).await?;
        codec::decode_transfer_answer(body).map_err(bad_answer)
    }
}
