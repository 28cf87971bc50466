//! Requests of one application that may be carried out side by side, and how their outcomes become answers in
//! order.
//!
//! *Invariant:* two requests of a wave that name the same key are both reads, so that an application that pipelines
//! sees its own writes, in its own order.

use bytes::{Bytes, BytesMut};
use dkc_core::ids::Namespace;
use dkc_core::kv::{Command, Key, Read, Reply, Write};
use dkc_core::memcache::{
    Action, Request, write_end, write_reply, write_server_error, write_unknown, write_value,
};

use super::statistics::{Statistics, WriteKind};
use crate::router::{Call, RouteError};

/// Commands of a wave; a longer pipeline is carried out in several.
const CALLS_MAX: usize = 128;
/// The values that all reads of a wave may bring together, which bounds what one application can make a slave hold.
const VALUES_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The values that all writes of a wave may carry together.
const WRITES_MAX_BYTES: usize = 8 * 1024 * 1024;

/// How one request is answered. `first` is the place of its first outcome.
enum Step {
    Text(&'static [u8]),
    Get { first: usize, keys: Vec<Bytes>, with_version: bool, is_touch: bool, is_last: bool },
    Write { at: usize, kind: WriteKind, noreply: bool },
}

pub(super) struct Wave {
    steps: Vec<Step>,
    calls: Vec<Call>,
    /// Each key of the wave, and whether it is written.
    keys: Vec<(Bytes, bool)>,
    has_writes: bool,
    written_bytes: usize,
    reads_max: usize,
}

/// What became of offering a request to a wave.
pub(super) enum Offered {
    Taken,
    /// It has to wait until the wave is answered.
    NotNow(Request),
    /// It is not for waves (version, stats, flush_all).
    Alone(Request),
}

impl Wave {
    pub fn new(value_max_bytes: usize) -> Wave {
        let reads_max = (VALUES_MAX_BYTES / value_max_bytes.max(1)).clamp(1, CALLS_MAX);
        Wave {
            steps: Vec::new(),
            calls: Vec::new(),
            keys: Vec::new(),
            has_writes: false,
            written_bytes: 0,
            reads_max,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.steps.len() >= CALLS_MAX
            || self.calls.len() >= self.reads_max
            || self.written_bytes >= WRITES_MAX_BYTES
    }

    pub fn text(&mut self, text: &'static [u8]) {
        self.steps.push(Step::Text(text));
    }

    pub fn offer(&mut self, request: Request) -> Offered {
        let noreply = request.noreply;
        match request.action {
            Action::Write(write) => {
                if write.key().is_some_and(|key| self.is_in_use(&key.bytes, true)) {
                    return Offered::NotNow(Request { action: Action::Write(write), noreply });
                }
                self.write(write, noreply);
                Offered::Taken
            }
            Action::Get { ref keys, .. } | Action::GetAndTouch { ref keys, .. } => {
                let is_write = matches!(request.action, Action::GetAndTouch { .. });
                let is_in_use = |key: &Key| self.is_in_use(&key.bytes, is_write);
                // A get of more keys than a wave may read is cut into waves of its own.
                let is_too_long = self.calls.len() + keys.len() > self.reads_max;
                if !self.is_empty() && (is_too_long || keys.iter().any(is_in_use)) {
                    return Offered::NotNow(request);
                }
                self.get(request)
            }
            _ => Offered::Alone(request),
        }
    }

    /// Takes as many keys of a get as may be read together; what is left is answered as `NotNow`.
    fn get(&mut self, request: Request) -> Offered {
        let noreply = request.noreply;
        match request.action {
            Action::Get { mut keys, with_version } => {
                let rest = self.cut(&mut keys);
                self.read(keys, with_version, None, rest.is_empty());
                left_over(rest, noreply, |keys| Action::Get { keys, with_version })
            }
            Action::GetAndTouch { mut keys, expiry, with_version } => {
                let rest = self.cut(&mut keys);
                self.read(keys, with_version, Some(expiry), rest.is_empty());
                left_over(rest, noreply, |keys| Action::GetAndTouch { keys, expiry, with_version })
            }
            action => Offered::Alone(Request { action, noreply }),
        }
    }

    fn cut(&self, keys: &mut Vec<Key>) -> Vec<Key> {
        keys.split_off(keys.len().min(self.reads_max - self.calls.len()))
    }

    fn read(
        &mut self,
        keys: Vec<Key>,
        with_version: bool,
        touch: Option<dkc_core::kv::Expiry>,
        is_last: bool,
    ) {
        let first = self.calls.len();
        let names = keys.iter().map(|key| key.bytes.clone()).collect();
        for key in keys {
            self.keys.push((key.bytes.clone(), touch.is_some()));
            self.has_writes |= touch.is_some();
            let command = match touch {
                None => Command::Read(Read::Get { key }),
                Some(expiry) => Command::Write(Write::GetAndTouch { key, expiry }),
            };
            self.calls.push(command.into());
        }
        self.steps.push(Step::Get { first, keys: names, with_version, is_touch: touch.is_some(), is_last });
    }

    fn write(&mut self, write: Write, noreply: bool) {
        if let Some(key) = write.key() {
            self.keys.push((key.bytes.clone(), true));
        }
        if let Write::Store { value, .. } = &write {
            self.written_bytes += value.len();
        }
        self.has_writes = true;
        let command = Command::Write(write);
        self.steps.push(Step::Write { at: self.calls.len(), kind: WriteKind::of(&command), noreply });
        self.calls.push(command.into());
    }

    /// Reads of the same key go together; anything else of the same key does not.
    fn is_in_use(&self, key: &Bytes, is_write: bool) -> bool {
        let clashes = |(used, is_written): &(Bytes, bool)| (is_write || *is_written) && used == key;
        (is_write || self.has_writes) && self.keys.iter().any(clashes)
    }

    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// Appends the answers. False when a get that goes on in the next wave has failed: it is answered already.
    pub fn answer(
        self,
        mut outcomes: Vec<Result<Reply, RouteError>>,
        statistics: &Statistics,
        out: &mut BytesMut,
    ) -> bool {
        let mut may_go_on = true;
        for step in self.steps {
            match step {
                Step::Text(text) => out.extend_from_slice(text),
                Step::Write { at, kind, noreply } => {
                    answer_write(&outcomes[at], kind, noreply, statistics, out)
                }
                Step::Get { first, keys, with_version, is_touch, is_last } => {
                    let outcomes = &mut outcomes[first..first + keys.len()];
                    let is_fine = answer_get(&keys, outcomes, with_version, is_touch, statistics, out);
                    match (is_fine, is_last) {
                        (true, true) => write_end(out),
                        (true, false) => {}
                        (false, _) => may_go_on = is_last,
                    }
                }
            }
        }
        may_go_on
    }
}

fn left_over(rest: Vec<Key>, noreply: bool, action: impl FnOnce(Vec<Key>) -> Action) -> Offered {
    if rest.is_empty() { Offered::Taken } else { Offered::NotNow(Request { action: action(rest), noreply }) }
}

fn answer_write(
    outcome: &Result<Reply, RouteError>,
    kind: WriteKind,
    noreply: bool,
    statistics: &Statistics,
    out: &mut BytesMut,
) {
    if let Ok(reply) = outcome {
        statistics.count_write(kind, reply);
    }
    match outcome {
        _ if noreply => {}
        Ok(reply) => write_reply(out, reply),
        Err(error) => answer_error(error, statistics, out),
    }
}

/// The `VALUE` blocks of a get, or one error and nothing else. False for an error.
fn answer_get(
    keys: &[Bytes],
    outcomes: &mut [Result<Reply, RouteError>],
    with_version: bool,
    is_touch: bool,
    statistics: &Statistics,
    out: &mut BytesMut,
) -> bool {
    if let Some(Err(error)) = outcomes.iter().find(|outcome| outcome.is_err()) {
        answer_error(error, statistics, out);
        return false;
    }
    for (key, outcome) in keys.iter().zip(outcomes) {
        let is_hit = matches!(outcome, Ok(Reply::Record(_)));
        statistics.count_get(is_hit);
        if is_touch {
            statistics.count_touch(is_hit);
        }
        if let Ok(Reply::Record(record)) = outcome {
            write_value(out, key, record, with_version);
        }
    }
    true
}

pub(super) fn answer_error(error: &RouteError, statistics: &Statistics, out: &mut BytesMut) {
    use std::sync::atomic::Ordering::Relaxed;
    if error.is_outcome_unknown() {
        statistics.outcomes_unknown.fetch_add(1, Relaxed);
        write_unknown(out);
    } else {
        statistics.errors.fetch_add(1, Relaxed);
        write_server_error(out, &error.to_string());
    }
}

/// `flush_all` for one tablet.
pub(super) fn flush(namespace: &Namespace, after_ms: u64) -> Command {
    Command::Write(Write::Flush { namespace: namespace.clone(), after_ms })
}
