//! Cuts: the state of all tablets at one moment, kept by their leaders while a backup reads it.
//!
//! A server takes one in two rounds. First every leader holds its tablets' writes back and takes their states; once all have,
//! every leader is asked whether its states are still the newest ones. If all are, the cut is the state of the whole cluster at
//! any moment between the rounds: writes that were acknowledged before it are in it, writes that began after it are not, and
//! if one write is in it, so is every write that its application had seen acknowledged. If not (a leader changed, a hold ended), the
//! cut is taken again. Holds make that succeed; the question alone makes it right (`raft/cut.rs`).
//!
//! Each attempt has its own id, so that a late message of an earlier one never replaces what a later one has confirmed.
//!
//! *Invariant:* a node keeps one cut at most, and none that nobody has read for `IDLE_MAX`.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use dkc_core::control::CutPart;
use dkc_core::ids::{GroupId, NodeId, TabletId};
use dkc_core::ring::{RingMap, SLOTS};
use dkc_core::wire::Kind;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::known_ring::KnownRing;
use super::local_node::LocalNode;
use super::replicas::Replicas;
use crate::raft::Transport;
use crate::raft::cut::{OpenCut, TabletCut};

/// Body of a `PeerControl`: then a step's byte and the cut's id. The answer begins with it, too.
const CUT: &[u8] = b"\x01cut";
/// Timeout of one round at one server.
const ROUND_MAX: Duration = Duration::from_secs(4);
/// A cut that fails is taken again so often: elections and moving leaders pass.
const ATTEMPTS_MAX: u32 = 10;
/// The lowest bits of an id number the attempt.
const ATTEMPT_BITS: u32 = 8;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(300);
/// A cut that was read within this time is in use: another one is refused.
const IN_USE: Duration = Duration::from_secs(20);
/// A cut that nobody reads for so long is dropped. Until then an interrupted backup can be resumed.
pub const IDLE_MAX: Duration = Duration::from_secs(600);
const IDLE_LOOK: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Hold the writes of the tablets led here, and take their states.
    Take = 1,
    /// Release them. Which states are still the newest?
    Confirm = 2,
    /// The cut is not needed any more.
    Drop = 3,
}

#[derive(Debug, thiserror::Error)]
pub enum CutError {
    #[error("this server knows no ring map yet")]
    NoRing,
    #[error("no state of the whole cluster at one moment after {ATTEMPTS_MAX} attempts: {0}")]
    Failed(String),
    #[error("another backup of this cluster runs, or ran until a moment ago")]
    InUse,
    #[error(
        "this server does not keep that moment any more: it has restarted, or nobody read it for {} minutes",
        IDLE_MAX.as_secs() / 60
    )]
    Gone,
    #[error("the state cannot be read: {0}")]
    Storage(#[from] crate::storage::StorageError),
}

struct Kept {
    id: u64,
    tablets: BTreeMap<TabletId, Arc<TabletCut>>,
    /// The tablet that is being read.
    open: Option<(TabletId, Arc<OpenCut>)>,
    used_at: Instant,
}

pub struct Cuts {
    local: Arc<LocalNode>,
    ring: Arc<KnownRing>,
    replicas: Arc<Replicas>,
    transport: Arc<Transport>,
    kept: Mutex<Option<Kept>>,
}

impl Cuts {
    pub fn new(
        local: Arc<LocalNode>,
        ring: Arc<KnownRing>,
        replicas: Arc<Replicas>,
        transport: Arc<Transport>,
    ) -> Cuts {
        Cuts { local, ring, replicas, transport, kept: Mutex::default() }
    }

    /// Takes a cut of the whole cluster: its id, and which node keeps which tablet.
    pub async fn take(&self, request: u64) -> Result<(u64, Vec<CutPart>), CutError> {
        let mut why = String::new();
        for attempt in 0..ATTEMPTS_MAX {
            let id = (request << ATTEMPT_BITS) | u64::from(attempt);
            if attempt > 0 {
                tokio::time::sleep(ATTEMPT_PAUSE).await;
            }
            let ring = self.ring.map().ok_or(CutError::NoRing)?;
            match self.try_take(&ring, id).await {
                Ok(parts) => return Ok((id, parts)),
                Err(Attempt::InUse) => return Err(CutError::InUse),
                Err(Attempt::Failed(reason)) => why = reason,
            }
        }
        self.end(request << ATTEMPT_BITS).await;
        Err(CutError::Failed(why))
    }

    async fn try_take(&self, ring: &RingMap, id: u64) -> Result<Vec<CutPart>, Attempt> {
        let taken = self.round(ring, Step::Take, id).await;
        let mut parts: Vec<(Taken, NodeId)> = Vec::new();
        let mut failures = Vec::new();
        for (node, answer) in taken {
            match answer {
                Ok(tablets) => parts.extend(tablets.into_iter().map(|taken| (taken, node))),
                Err(Attempt::InUse) => return Err(Attempt::InUse),
                Err(Attempt::Failed(why)) => failures.push(why),
            }
        }
        let confirmed: Vec<(Taken, NodeId)> = self
            .round(ring, Step::Confirm, id)
            .await
            .into_iter()
            .flat_map(|(node, answer)| answer.unwrap_or_default().into_iter().map(move |taken| (taken, node)))
            .collect();
        parts.retain(|part| confirmed.contains(part));
        if let Some(slot) = first_slot_amiss(&parts) {
            let why = failures.first().cloned();
            let why =
                why.unwrap_or_else(|| "its leader is changing, or it was written or split meanwhile".into());
            return Err(Attempt::Failed(format!("the tablet of slot {slot}: {why}")));
        }
        Ok(parts.into_iter().map(|(taken, node)| CutPart { tablet: taken.tablet, node }).collect())
    }

    /// Nobody needs the cut any more.
    pub async fn end(&self, id: u64) {
        if let Some(ring) = self.ring.map() {
            self.round(&ring, Step::Drop, id).await;
        }
    }

    async fn round(&self, ring: &RingMap, step: Step, id: u64) -> Vec<(NodeId, Result<Vec<Taken>, Attempt>)> {
        let each = ring
            .nodes
            .iter()
            .map(|node| async move { (node.node_id, self.ask(node.node_id, step, id).await) });
        futures::future::join_all(each).await
    }

    async fn ask(&self, node: NodeId, step: Step, id: u64) -> Result<Vec<Taken>, Attempt> {
        if node == self.local.id() {
            return self.carry_out(step, id).await;
        }
        let body = encode(step, id);
        match self.transport.ask(node, Kind::PeerControl, GroupId::META, body, ROUND_MAX).await {
            Ok(answer) => decode_answer(&answer).unwrap_or_else(|| {
                Err(Attempt::Failed(format!("node {node} has a release that cannot be backed up")))
            }),
            Err(error) => Err(Attempt::Failed(format!("node {node}: {error}"))),
        }
    }

    /// Answers another server.
    pub async fn answer(self: &Arc<Cuts>, body: &[u8]) -> Option<Bytes> {
        let (step, id) = decode(body)?;
        Some(encode_answer(&self.carry_out(step, id).await))
    }

    async fn carry_out(&self, step: Step, id: u64) -> Result<Vec<Taken>, Attempt> {
        match step {
            Step::Take => self.take_here(id).await,
            Step::Confirm => Ok(self.confirm_here(id).await),
            Step::Drop => {
                self.kept.lock().take_if(|kept| is_of_one_request(kept.id, id));
                Ok(Vec::new())
            }
        }
    }

    async fn take_here(&self, id: u64) -> Result<Vec<Taken>, Attempt> {
        self.may_take(id)?;
        let led: Vec<_> = self.replicas.tablets().into_iter().filter(|group| group.is_leader()).collect();
        let cuts = led.iter().map(|group| async { (group.id, group.cut().await) });
        let mut tablets = BTreeMap::new();
        for (group, cut) in futures::future::join_all(cuts).await {
            match (group.tablet(), cut) {
                (Some(tablet), Ok(Some(cut))) => drop(tablets.insert(tablet, Arc::new(cut))),
                (_, Ok(_)) => {}
                (_, Err(error)) => return Err(Attempt::Failed(error.to_string())),
            }
        }
        let taken = tablets.iter().map(|(tablet, cut)| Taken::of(*tablet, cut)).collect();
        self.may_take(id)?;
        *self.kept.lock() = Some(Kept { id, tablets, open: None, used_at: Instant::now() });
        Ok(taken)
    }

    fn may_take(&self, id: u64) -> Result<(), Attempt> {
        match &*self.kept.lock() {
            Some(kept) if is_of_one_request(kept.id, id) && kept.id > id => {
                Err(Attempt::Failed("a later attempt has begun".into()))
            }
            Some(kept) if !is_of_one_request(kept.id, id) && kept.used_at.elapsed() < IN_USE => {
                Err(Attempt::InUse)
            }
            _ => Ok(()),
        }
    }

    async fn confirm_here(&self, id: u64) -> Vec<Taken> {
        let tablets = match &*self.kept.lock() {
            Some(kept) if kept.id == id => kept.tablets.clone(),
            _ => return Vec::new(),
        };
        let each = tablets.into_iter().map(|(tablet, cut)| async move {
            let group = self.replicas.get(tablet.group())?;
            group.is_still(&cut).await.then(|| Taken::of(tablet, &cut))
        });
        futures::future::join_all(each).await.into_iter().flatten().collect()
    }

    /// A tablet of a cut that this node keeps.
    pub fn open(&self, id: u64, tablet: TabletId) -> Result<Arc<OpenCut>, CutError> {
        let cut = {
            let mut kept = self.kept.lock();
            let kept = kept.as_mut().filter(|kept| kept.id == id).ok_or(CutError::Gone)?;
            kept.used_at = Instant::now();
            match &kept.open {
                Some((open, cut)) if *open == tablet => return Ok(cut.clone()),
                _ => kept.tablets.get(&tablet).ok_or(CutError::Gone)?.clone(),
            }
        };
        let open = Arc::new(cut.open()?);
        if let Some(kept) = self.kept.lock().as_mut().filter(|kept| kept.id == id) {
            kept.open = Some((tablet, open.clone()));
        }
        Ok(open)
    }

    /// Drops the cut once nobody has read it for long.
    pub async fn keep_tidy(cuts: Weak<Cuts>) {
        loop {
            tokio::time::sleep(IDLE_LOOK).await;
            let Some(cuts) = cuts.upgrade() else { return };
            cuts.kept.lock().take_if(|kept| kept.used_at.elapsed() > IDLE_MAX);
        }
    }
}

fn is_of_one_request(a: u64, b: u64) -> bool {
    a >> ATTEMPT_BITS == b >> ATTEMPT_BITS
}

/// A tablet of a cut and the slots that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    tablet: TabletId,
    first_slot: u16,
    last_slot: u16,
}

impl Taken {
    fn of(tablet: TabletId, cut: &TabletCut) -> Taken {
        let slots = cut.slots();
        Taken { tablet, first_slot: slots.start().0, last_slot: slots.end().0 }
    }
}

/// The first slot that no tablet of a cut has, or that two have. It is the tablets themselves that say, because a ring map may not
/// know yet that one was split.
fn first_slot_amiss(parts: &[(Taken, NodeId)]) -> Option<u16> {
    let mut ranges: Vec<(u16, u16)> =
        parts.iter().map(|(taken, _)| (taken.first_slot, taken.last_slot)).collect();
    ranges.sort_unstable();
    let mut next = 0;
    for (first, last) in ranges {
        if first != next || last < first {
            return Some(next.min(first));
        }
        next = last + 1;
    }
    (u32::from(next) != SLOTS).then_some(next)
}

/// Why an attempt at a cut failed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attempt {
    InUse,
    Failed(String),
}

fn encode(step: Step, id: u64) -> Bytes {
    let mut body = BytesMut::from(CUT);
    body.put_u8(step as u8);
    body.put_u64(id);
    body.freeze()
}

fn decode(body: &[u8]) -> Option<(Step, u64)> {
    let (step, id) = body.strip_prefix(CUT)?.split_first()?;
    let step = [Step::Take, Step::Confirm, Step::Drop].into_iter().find(|known| *known as u8 == *step)?;
    Some((step, u64::from_be_bytes(id.try_into().ok()?)))
}

/// Tablets with their slots, six bytes each; or nothing but a mark for a cut that is in use, or a reason.
fn encode_answer(answer: &Result<Vec<Taken>, Attempt>) -> Bytes {
    let mut body = BytesMut::from(CUT);
    match answer {
        Ok(tablets) => {
            body.put_u8(0);
            for taken in tablets {
                [taken.tablet.0, taken.first_slot, taken.last_slot]
                    .into_iter()
                    .for_each(|number| body.put_u16(number));
            }
        }
        Err(Attempt::InUse) => body.put_u8(1),
        Err(Attempt::Failed(why)) => {
            body.put_u8(2);
            body.put_slice(why.as_bytes());
        }
    }
    body.freeze()
}

/// `None` for what an earlier release answers.
fn decode_answer(body: &[u8]) -> Option<Result<Vec<Taken>, Attempt>> {
    let (tag, rest) = body.strip_prefix(CUT)?.split_first()?;
    match tag {
        0 if rest.len() % 6 == 0 => {
            let number = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let taken = |six: &[u8]| Taken {
                tablet: TabletId(number(six, 0)),
                first_slot: number(six, 2),
                last_slot: number(six, 4),
            };
            Some(Ok(rest.chunks_exact(6).map(taken).collect()))
        }
        1 if rest.is_empty() => Some(Err(Attempt::InUse)),
        2 => Some(Err(Attempt::Failed(String::from_utf8_lossy(rest).into_owned()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(tablet: u16, first_slot: u16, last_slot: u16) -> Taken {
        Taken { tablet: TabletId(tablet), first_slot, last_slot }
    }

    #[test]
    fn a_cut_has_every_slot_once() {
        let check = |ranges: &[(u16, u16)], want| {
            let parts: Vec<_> =
                ranges.iter().map(|(first, last)| (taken(0, *first, *last), NodeId(1))).collect();
            assert_eq!(first_slot_amiss(&parts), want, "{ranges:?}");
        };
        check(&[(0, 16_383)], None);
        check(&[(8_000, 16_383), (0, 7_999)], None);
        check(&[], Some(0));
        check(&[(0, 7_999)], Some(8_000));
        check(&[(0, 7_999), (8_001, 16_383)], Some(8_000));
        // A tablet and the one that was split off it, before and after.
        check(&[(0, 16_383), (8_000, 16_383)], Some(8_000));
        check(&[(8_000, 16_383)], Some(0));
    }

    #[test]
    fn what_servers_say_of_a_cut_reads_back_as_written_and_nothing_else_is_read() {
        for step in [Step::Take, Step::Confirm, Step::Drop] {
            assert_eq!(decode(&encode(step, u64::MAX - 1)), Some((step, u64::MAX - 1)));
        }
        for bad in [&b""[..], b"\x01cut", b"\x01cut\x01", b"\x01cut\x0900000000", b"\x01done"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
        let answers = [
            Ok(vec![taken(0, 0, 9), taken(700, 10, 16_383)]),
            Err(Attempt::InUse),
            Err(Attempt::Failed("why".into())),
        ];
        for answer in answers {
            assert_eq!(decode_answer(&encode_answer(&answer)), Some(answer));
        }
        for bad in [&b"\x01done"[..], b"", b"\x01cut", b"\x01cut\x00\x01", b"\x01cut\x03"] {
            assert_eq!(decode_answer(bad), None, "{bad:?}");
        }
    }
}
