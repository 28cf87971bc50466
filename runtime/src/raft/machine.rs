//! The replicated state of one group on this node: a tablet or the meta state, hot state in memory, durable state in
//! the state store. openraft drives it through `StateMachine`; readers come in beside it.
//!
//! *Invariant (D5):* rows, applied log id and membership of an entry go to the store in one commit.
//! *Invariant:* readers see the state of one applied index, because applying holds the lock from the first change
//! in memory until the commit is done.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::{GroupId, NodeId};
use dkc_core::kv::{Read, Reply};
use dkc_core::meta::{MetaCommand, MetaReply, MetaState};
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::SlotId;
use dkc_core::tablet::{Batch, Changes, Rows, Split, Tablet};
use futures::{Stream, TryStreamExt};
use openraft::impls::EmptyNode;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

use super::codec;
use super::snapshot::SnapshotData;
use super::types::{
    Applied, Entry, LogId, Membership, Payload, SnapshotMeta, StoredMembership, Types, first_log_id,
};
use crate::storage::{Install, NewTablet, StorageError, TabletSnapshot, TabletStore};

/// The row of group 0's keyspace that holds the whole meta state: a few kilobytes, written with each meta command.
const META_ROW: &[u8] = b"meta";

enum Kind {
    Tablet(Box<Tablet>),
    Meta(Box<MetaState>),
}

struct State {
    kind: Kind,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// The consensus library's handle of a group.
pub type Raft = openraft::Raft<Types, StateMachine>;

/// What a tablet is opened with. Unused by the meta group.
#[derive(Debug, Clone)]
pub struct TabletBounds {
    /// The same on every replica.
    pub value_max_bytes: usize,
    /// Those that it was founded with, the same on every replica.
    pub slots: RangeInclusive<SlotId>,
    /// This node.
    pub node: NodeId,
}

/// What reads found, in one applied state.
pub struct ReadState {
    /// `None`: not here.
    pub replies: Vec<Option<Reply>>,
    pub applied: Option<LogId>,
    /// The last slot of the tablet then.
    pub last_slot: SlotId,
}

/// Shared between the group's Raft task and its readers.
pub struct Machine {
    group: GroupId,
    store: TabletStore,
    bounds: TabletBounds,
    state: RwLock<State>,
    /// For the meta group: notified after every change.
    meta: watch::Sender<Arc<MetaState>>,
}

#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("group {group}: {source}")]
    Codec { group: GroupId, source: codec::CodecError },
    #[error("group {group} cannot begin with these voters: {why}")]
    Voters { group: GroupId, why: String },
    #[error("group {group}: {source}")]
    Meta { group: GroupId, source: dkc_core::meta::BadBytes },
}

impl Machine {
    /// Loads the state from the store.
    pub fn open(group: GroupId, store: TabletStore, bounds: TabletBounds) -> Result<Machine, MachineError> {
        let state = load(group, &store, &bounds)?;
        let meta = match &state.kind {
            Kind::Meta(meta) => Arc::new((**meta).clone()),
            Kind::Tablet(_) => Arc::default(),
        };
        Ok(Machine { group, store, bounds, state: RwLock::new(state), meta: watch::channel(meta).0 })
    }

    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }
    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    pub fn applied(&self) -> Option<LogId> {
        self.read_state().applied
    }

    /// The meta state, and a signal for each change. Always empty in a tablet's group.
    pub fn meta(&self) -> watch::Receiver<Arc<MetaState>> {
        self.meta.subscribe()
    }

    pub fn next_expiry_ms(&self) -> Option<u64> {
        match &self.read_state().kind {
            Kind::Tablet(tablet) => tablet.next_expiry_ms(),
            Kind::Meta(_) => None,
        }
    }

    /// About how many bytes the records of the tablet have.
    pub fn size_bytes(&self) -> u64 {
        match &self.read_state().kind {
            Kind::Tablet(tablet) => tablet.size_bytes(),
            Kind::Meta(_) => 0,
        }
    }

    /// The slots that the tablet answers for.
    pub fn slots(&self) -> Option<RangeInclusive<SlotId>> {
        match &self.read_state().kind {
            Kind::Tablet(tablet) => Some(tablet.slots().clone()),
            Kind::Meta(_) => None,
        }
    }

    /// Reads from one applied state, each with the epoch that it was sent by; the caller checks whether the replies may be used.
    /// Answers at least one read, and stops once the values of the replies exceed `bytes_max`.
    pub fn read<'a>(&self, reads: impl Iterator<Item = (&'a Read, u32)>, bytes_max: usize) -> ReadState {
        let state = self.read_state();
        let Kind::Tablet(tablet) = &state.kind else { panic!("group {} is not a tablet", self.group) };
        let (mut replies, mut bytes) = (Vec::new(), 0);
        for (read, epoch) in reads {
            let reply = tablet.read(&self.store, read, epoch);
            let reply = reply.unwrap_or_else(|error| crate::fatal::disk(&error));
            bytes += reply.as_ref().map_or(0, Reply::value_bytes);
            replies.push(reply);
            if bytes >= bytes_max {
                break;
            }
        }
        ReadState { replies, applied: state.applied, last_slot: *tablet.slots().end() }
    }

    /// Records and bytes of all namespaces of a tablet.
    pub fn counted(&self) -> (u64, u64) {
        match &self.read_state().kind {
            Kind::Tablet(tablet) => tablet.counted(),
            Kind::Meta(_) => (0, 0),
        }
    }

    /// The time that the writes of a tablet have reached.
    pub fn clock_ms(&self) -> u64 {
        match &self.read_state().kind {
            Kind::Tablet(tablet) => tablet.clock_ms(),
            Kind::Meta(_) => 0,
        }
    }

    pub fn membership(&self) -> StoredMembership {
        self.read_state().membership.clone()
    }

    /// Applies the next entry of the log.
    pub(super) fn apply(&self, entry: &Entry) -> Result<Applied, MachineError> {
        let mut state = self.write_state();
        debug_assert_eq!(
            state.applied.map_or(0, |applied| applied.index + 1),
            entry.log_id.index,
            "group {}: entries are applied in order, each once",
            self.group
        );
        let (result, changes) = match &entry.payload {
            Payload::Blank => (Applied::Nothing, Changes::new()),
            Payload::Membership(membership) => {
                state.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                (Applied::Nothing, Changes::new())
            }
            Payload::Normal(proposal) => match Split::decode(&proposal.0) {
                Some(split) if self.group != GroupId::META => {
                    return self.split(&mut state, entry, &split.map_err(StorageError::from)?);
                }
                _ => self.carry_out(&mut state.kind, &proposal.0)?,
            },
        };
        state.applied = Some(entry.log_id);
        #[cfg(feature = "simulation")]
        self.observe(entry, &result)?;
        let membership = matches!(entry.payload, Payload::Membership(_))
            .then(|| codec::encode_stored_membership(&state.membership));
        self.store.commit(changes, codec::encode_log_id(Some(&entry.log_id)), membership)?;
        if let (Kind::Meta(meta), Applied::Meta(_)) = (&state.kind, &result) {
            self.meta.send_replace(Arc::new((**meta).clone()));
        }
        Ok(result)
    }

    fn carry_out(&self, kind: &mut Kind, proposal: &Bytes) -> Result<(Applied, Changes), MachineError> {
        match kind {
            Kind::Tablet(tablet) => {
                let mut batch = Batch::decode(proposal).map_err(StorageError::from)?;
                if mutant::is_active(Mutant::ExpiryByLocalClock) {
                    batch.now_ms = crate::clock::now_ms();
                }
                let (outcomes, changes) = tablet.apply(&self.store, &batch)?;
                Ok((Applied::Batch(outcomes), changes))
            }
            Kind::Meta(meta) => {
                let command = MetaCommand::decode(proposal)
                    .map_err(|source| MachineError::Meta { group: self.group, source })?;
                let reply = meta.apply(&command);
                if let MetaReply::Refused(why) = &reply {
                    tracing::info!(?command, %why, "meta command refused");
                }
                let row = (META_ROW.to_vec(), Some(Bytes::from(meta.encode())));
                Ok((Applied::Meta(reply), Changes::from([row])))
            }
        }
    }

    /// The tablet becomes two; this node gets a replica of the new one if it is among its voters.
    fn split(&self, state: &mut State, entry: &Entry, split: &Split) -> Result<Applied, MachineError> {
        let Kind::Tablet(tablet) = &mut state.kind else { panic!("group {} is not a tablet", self.group) };
        state.applied = Some(entry.log_id);
        let applied = codec::encode_log_id(Some(&entry.log_id));
        let Some((changes, birth)) = tablet.split(split) else {
            self.store.commit(Changes::new(), applied, None)?;
            return Ok(Applied::Split);
        };
        let mut voters: BTreeSet<u64> = split.voters.iter().map(|voter| voter.0).collect();
        if mutant::is_active(Mutant::ChildAlone) {
            voters = [self.bounds.node.0].into();
        }
        let nodes: BTreeMap<u64, EmptyNode> = voters.iter().map(|voter| (*voter, EmptyNode {})).collect();
        let membership = Membership::new(vec![voters], nodes)
            .map_err(|error| MachineError::Voters { group: split.child.group(), why: error.to_string() })?;
        let membership = StoredMembership::new(Some(first_log_id()), membership);
        let new = split.voters.contains(&self.bounds.node).then(|| NewTablet {
            group: split.child.group(),
            slots: birth.slots,
            rows: birth.rows,
            applied: codec::encode_log_id(Some(&first_log_id())),
            membership: codec::encode_stored_membership(&membership),
        });
        tracing::info!(group = %self.group, child = %split.child, first_slot = split.first_slot.0, "tablet split");
        self.store.commit_split(changes, applied, tablet.slots().clone(), new)?;
        Ok(Applied::Split)
    }

    #[cfg(feature = "simulation")]
    fn observe(&self, entry: &Entry, applied: &Applied) -> Result<(), MachineError> {
        if let (Payload::Normal(proposal), Applied::Batch(outcomes)) = (&entry.payload, applied) {
            let batch = Batch::decode(&proposal.0).map_err(StorageError::from)?;
            crate::simulation::observe::applied(self.group, entry.log_id.index, batch.epoch, outcomes);
        }
        Ok(())
    }

    /// The applied index, and a checksum of the state at it.
    #[cfg(feature = "simulation")]
    pub fn fingerprint(&self) -> (u64, u64) {
        let state = self.read_state();
        let hash = match &state.kind {
            Kind::Tablet(tablet) => {
                let hash = tablet.state_hash(&self.store);
                hash.unwrap_or_else(|error| crate::fatal::disk(&error))
            }
            Kind::Meta(meta) => meta
                .encode()
                .iter()
                .fold(0, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)),
        };
        (state.applied.map_or(0, |applied| applied.index), hash)
    }

    /// Replaces everything with a snapshot and returns once it is durable: the log before it
    /// may be purged at once.
    fn install(&self, meta: &SnapshotMeta, data: SnapshotData) -> Result<(), MachineError> {
        let mut state = self.write_state();
        let applied = codec::encode_log_id(meta.last_log_id.as_ref());
        let membership = codec::encode_stored_membership(&meta.last_membership);
        data.install(applied, membership)?;
        *state = load(self.group, &self.store, &self.bounds)?;
        if let Kind::Meta(meta) = &state.kind {
            self.meta.send_replace(Arc::new((**meta).clone()));
        }
        Ok(())
    }

    /// The state at one applied index, to be streamed while applying continues.
    fn snapshot(&self) -> Result<(SnapshotMeta, SnapshotData), MachineError> {
        let state = self.read_state();
        let meta = SnapshotMeta { last_log_id: state.applied, last_membership: state.membership.clone() };
        let (bytes, slots) = match &state.kind {
            Kind::Tablet(tablet) => (tablet.size_bytes(), tablet.slots_among_siblings()),
            Kind::Meta(_) => (0, None),
        };
        Ok((meta, SnapshotData::outgoing(self.store.snapshot()?, bytes, slots)))
    }

    /// Starts receiving a snapshot next to the current state.
    pub fn begin_install(&self) -> Result<Install, StorageError> {
        Install::begin(self.store.clone())
    }

    /// The applied position that survives a power cut; the log may be purged up to it.
    pub fn persisted(&self) -> Result<Option<LogId>, MachineError> {
        let group = self.group;
        let decode =
            |bytes| codec::decode_log_id(bytes).map_err(|source| MachineError::Codec { group, source });
        Ok(self.store.durable_applied().map(decode).transpose()?.flatten())
    }

    /// The state at one applied index, and the bounds of the tablet in it, for a cut.
    pub fn cut(&self) -> Result<(Option<LogId>, TabletSnapshot, TabletBounds), StorageError> {
        let state = self.read_state();
        let mut bounds = self.bounds.clone();
        if let Kind::Tablet(tablet) = &state.kind {
            bounds.slots = tablet.slots().clone();
        }
        Ok((state.applied, self.store.snapshot()?, bounds))
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        let state = self.read_state();
        SnapshotMeta { last_log_id: state.applied, last_membership: state.membership.clone() }
    }
}

fn load(group: GroupId, store: &TabletStore, bounds: &TabletBounds) -> Result<State, MachineError> {
    let broken = |source| MachineError::Codec { group, source };
    let applied = match store.applied() {
        Some(bytes) => codec::decode_log_id(bytes).map_err(broken)?,
        None => None,
    };
    let membership = match store.membership() {
        Some(bytes) => codec::decode_stored_membership(bytes).map_err(broken)?,
        None => StoredMembership::default(),
    };
    let kind = if group == GroupId::META {
        let meta = match store.get(META_ROW)? {
            Some(bytes) => {
                MetaState::decode(&bytes).map_err(|source| MachineError::Meta { group, source })?
            }
            None => MetaState::default(),
        };
        Kind::Meta(Box::new(meta))
    } else {
        let tablet = Tablet::open(store, bounds.value_max_bytes, bounds.slots.clone())?;
        if let Some(slots) = tablet.slots_among_siblings() {
            store.keep_slots(slots)?;
        }
        Kind::Tablet(Box::new(tablet))
    };
    Ok(State { kind, applied, membership })
}

/// The handle that openraft owns.
pub struct StateMachine(pub Arc<Machine>);

fn io_error(error: MachineError) -> io::Error {
    io::Error::other(error)
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotPoint;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let state = self.0.read_state();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.0.store.room().await;
            let applied = self.0.apply(&entry).map_err(io_error)?;
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotPoint {
        SnapshotPoint(self.0.clone())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: SnapshotData) -> io::Result<()> {
        let (machine, meta) = (self.0.clone(), meta.clone());
        let installing = crate::task::spawn_blocking(move || machine.install(&meta, data));
        installing.await.map_err(io::Error::other)?.map_err(io_error)
    }

    /// Any moment's state is as good as a stored snapshot: taking it costs nothing, and it is never older than what
    /// has been purged.
    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, SnapshotData>>> {
        let (meta, snapshot) = self.0.snapshot().map_err(io_error)?;
        Ok(meta.last_log_id.is_some().then_some(openraft::storage::Snapshot { meta, snapshot }))
    }
}

/// "Building" a snapshot only names the point up to which the log may be purged; no byte is copied.
pub struct SnapshotPoint(Arc<Machine>);

impl RaftSnapshotBuilder<Types> for SnapshotPoint {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, SnapshotData>> {
        Ok(openraft::storage::Snapshot { meta: self.0.snapshot_meta(), snapshot: SnapshotData::none() })
    }
}
