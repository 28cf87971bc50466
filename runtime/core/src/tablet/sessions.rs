//! The sessions of a tablet: which (session, sequence) was applied and what it was answered, so that a retry is
//! answered again instead of applied again (X1).
//!
//! A session keeps the answers from `answered_below` on; the sender moves that up as the application gets its
//! answers. Inside this window sequences may arrive in any order, because a sender pipelines and retries. A session
//! is one row, written at most once a batch:
//!
//! ```text
//! format | u64 last_used_ms | u64 answered_below | u32 answers | (u64 sequence, outcome)…
//! ```
//!
//! Sessions are forgotten by a clock of their own, which moves at most `CLOCK_STEP_MAX_MS` a batch: were it the
//! replicated clock, one leader with a wrong clock could make a tablet forget all sessions while retries are on
//! their way, and a forgotten session that starts over would apply such a retry twice.
//! *Invariant:* no session is forgotten within `KEEP_MIN_MS` of its last use; every sender gives up long before.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

use super::batch::{decode_outcome, encode_outcome};
use super::rows::{FORMAT, KIND_SESSION, check_format};
use super::{Changes, Item, Outcome};
use crate::kv::codec::{BadBytes, Reader};
use crate::kv::{Record, Reply};

/// Sessions of one tablet. One per slave process, so thousands of slaves fit; about 1 KiB each when busy.
pub const SESSIONS_MAX: usize = 4096;
/// Answers kept for one session: the most that a sender may have on the way to one tablet.
pub const REPLIES_PER_SESSION_MAX: usize = 4096;
/// A session that nobody used for so long is forgotten.
pub const IDLE_MAX_MS: u64 = 60 * 60 * 1000;
/// When the table is full, the session that was idle longest makes room, if it was idle for so long.
pub const KEEP_MIN_MS: u64 = 10 * 60 * 1000;
/// How far one batch can move the clock of the sessions.
pub const CLOCK_STEP_MAX_MS: u64 = 1000;
/// A record with a larger value is not kept as an answer: a retry of that gat is answered `Unknown`.
pub const KEPT_VALUE_MAX_BYTES: usize = 1024;

#[derive(Debug, Default)]
struct Session {
    last_used_ms: u64,
    answered_below: u64,
    /// In the order of sequences.
    answers: VecDeque<(u64, Outcome)>,
    /// Changed by the batch that is being applied.
    is_changed: bool,
}

#[derive(Debug)]
pub struct Sessions {
    by_id: BTreeMap<u64, Session>,
    /// Ids whose row this batch must write, or remove when forgotten.
    changed: Vec<u64>,
    /// No session can be forgotten for idleness before this.
    none_idle_before_ms: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions { by_id: BTreeMap::new(), changed: Vec::new(), none_idle_before_ms: u64::MAX }
    }
}

fn session_row(id: u64) -> Vec<u8> {
    [&[KIND_SESSION][..], &id.to_be_bytes()].concat()
}

/// What is to be done with an item.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Apply,
    /// Not to be applied: this is the answer.
    Answer(Outcome),
}

impl Sessions {
    /// Takes in a session row as it was read from the storage.
    pub fn load(&mut self, row: &[u8], value: &Bytes) -> Result<(), BadBytes> {
        let bad = BadBytes { what: "session row", at: 1, rule: "its key is the kind and a u64" };
        let id = row.get(1..).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes).ok_or(bad)?;
        let session = decode_session(value)?;
        self.none_idle_before_ms =
            self.none_idle_before_ms.min(session.last_used_ms.saturating_add(IDLE_MAX_MS));
        self.by_id.insert(id, session);
        Ok(())
    }

    /// Forgets the sessions that were idle too long.
    pub fn forget_idle(&mut self, now_ms: u64) {
        if now_ms < self.none_idle_before_ms {
            return;
        }
        let changed = &mut self.changed;
        let mut oldest_ms = u64::MAX - IDLE_MAX_MS;
        self.by_id.retain(|&id, session| {
            let is_kept = now_ms < session.last_used_ms.saturating_add(IDLE_MAX_MS);
            if is_kept {
                oldest_ms = oldest_ms.min(session.last_used_ms);
            } else {
                changed.push(id);
            }
            is_kept
        });
        self.none_idle_before_ms = oldest_ms + IDLE_MAX_MS;
    }

    /// Looks an item up before it is applied, and takes note of what its sender has been answered.
    pub fn check(&mut self, item: &Item, now_ms: u64) -> Verdict {
        if item.session == 0 {
            return Verdict::Apply;
        }
        if !self.by_id.contains_key(&item.session) && (item.is_retry || !self.begin(item.session, now_ms)) {
            return Verdict::Answer(Outcome::Unknown);
        }
        let Some(session) = self.by_id.get_mut(&item.session) else {
            return Verdict::Answer(Outcome::Unknown);
        };
        if !session.is_changed {
            session.is_changed = true;
            self.changed.push(item.session);
        }
        session.last_used_ms = now_ms;
        session.forget_below(item.answered_below);
        session.look_up(item.sequence)
    }

    /// Keeps the outcome of an item that was applied.
    pub fn keep(&mut self, item: &Item, outcome: &Outcome) {
        if let Some(session) = self.by_id.get_mut(&item.session) {
            session.keep(item.sequence, kept(outcome));
        }
    }

    /// Adds the rows of the sessions that changed.
    pub fn write(&mut self, changes: &mut Changes) {
        for id in self.changed.drain(..) {
            let value = self.by_id.get_mut(&id).map(|session| {
                session.is_changed = false;
                encode_session(session)
            });
            changes.insert(session_row(id), value);
        }
    }

    /// The rows of all sessions.
    pub fn copy(&self, rows: &mut Changes) {
        for (id, session) in &self.by_id {
            rows.insert(session_row(*id), Some(encode_session(session)));
        }
    }

    /// Makes a new session; false when there is no room.
    fn begin(&mut self, id: u64, now_ms: u64) -> bool {
        if self.by_id.len() >= SESSIONS_MAX && !self.make_room(now_ms) {
            return false;
        }
        let session = Session { last_used_ms: now_ms, answered_below: 1, ..Session::default() };
        self.by_id.insert(id, session);
        self.none_idle_before_ms = self.none_idle_before_ms.min(now_ms + IDLE_MAX_MS);
        true
    }

    fn make_room(&mut self, now_ms: u64) -> bool {
        let oldest = self.by_id.iter().map(|(&id, session)| (session.last_used_ms, id)).min();
        match oldest {
            Some((last_used_ms, id)) if last_used_ms.saturating_add(KEEP_MIN_MS) <= now_ms => {
                self.by_id.remove(&id);
                self.changed.push(id);
                true
            }
            _ => false,
        }
    }
}

impl Session {
    fn forget_below(&mut self, answered_below: u64) {
        if answered_below > self.answered_below {
            self.answered_below = answered_below;
            while self.answers.front().is_some_and(|(sequence, _)| *sequence < answered_below) {
                self.answers.pop_front();
            }
        }
    }

    fn look_up(&self, sequence: u64) -> Verdict {
        if sequence < self.answered_below {
            return Verdict::Answer(Outcome::Unknown);
        }
        if self.answers.back().is_none_or(|(last, _)| *last < sequence) {
            return Verdict::Apply;
        }
        match self.answers.binary_search_by_key(&sequence, |(kept, _)| *kept) {
            Ok(at) => Verdict::Answer(self.answers[at].1.clone()),
            Err(_) => Verdict::Apply,
        }
    }

    fn keep(&mut self, sequence: u64, outcome: Outcome) {
        if self.answers.back().is_none_or(|(last, _)| *last < sequence) {
            self.answers.push_back((sequence, outcome));
        } else if let Err(at) = self.answers.binary_search_by_key(&sequence, |(kept, _)| *kept) {
            self.answers.insert(at, (sequence, outcome));
        }
        debug_assert!(
            self.answers.iter().map(|(sequence, _)| sequence).is_sorted(),
            "X1: {:?}",
            self.answers
        );
        while self.answers.len() > REPLIES_PER_SESSION_MAX {
            if let Some((oldest, _)) = self.answers.pop_front() {
                self.answered_below = self.answered_below.max(oldest.saturating_add(1));
            }
        }
    }
}

/// The outcome as it is kept: small, and holding on to nobody's buffer.
fn kept(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Reply(Reply::Record(record)) if record.value.len() > KEPT_VALUE_MAX_BYTES => {
            Outcome::Unknown
        }
        Outcome::Reply(Reply::Record(record)) => {
            let value = Bytes::copy_from_slice(&record.value);
            Outcome::Reply(Reply::Record(Record { value, ..record.clone() }))
        }
        Outcome::Reply(Reply::Value(value)) if value.size_bytes() > KEPT_VALUE_MAX_BYTES => Outcome::Unknown,
        Outcome::Reply(Reply::Value(value)) => Outcome::Reply(Reply::Value(value.detached())),
        other => other.clone(),
    }
}

fn encode_session(session: &Session) -> Bytes {
    let mut out = BytesMut::with_capacity(21 + 20 * session.answers.len());
    out.put_u8(FORMAT);
    out.put_u64(session.last_used_ms);
    out.put_u64(session.answered_below);
    out.put_u32(session.answers.len() as u32);
    for (sequence, outcome) in &session.answers {
        out.put_u64(*sequence);
        encode_outcome(outcome, &mut out);
    }
    out.freeze()
}

fn decode_session(bytes: &Bytes) -> Result<Session, BadBytes> {
    let mut reader = Reader::new(bytes, "session row");
    check_format(&mut reader)?;
    let last_used_ms = reader.u64()?;
    let answered_below = reader.u64()?;
    let count = reader.count(9)?;
    let mut answers = VecDeque::with_capacity(count);
    for _ in 0..count {
        let sequence = reader.u64()?;
        answers.push_back((sequence, kept(&decode_outcome(&mut reader)?)));
    }
    reader.end()?;
    Ok(Session { last_used_ms, answered_below, answers, is_changed: false })
}
