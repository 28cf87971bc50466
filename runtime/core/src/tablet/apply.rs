//! Carrying out a batch. Reads inside the batch see what the items before them did, because the changes so far lie
//! over the rows.

use bytes::Bytes;

use super::head::{Head, garbage_row, slot_of_row};
use super::rows::{
    KIND_DATA, NamespaceState, RECOUNT_ROW, RecordHeader, STATE_ROW, SWEEP_ROW, encode_record, encode_sweep,
    expiry_row,
};
use super::sessions::{CLOCK_STEP_MAX_MS, Verdict};
use super::view::{KeyRow, View};
use super::{Changes, Item, Outcome, Rows, Tablet};
use crate::ids::Namespace;
use crate::kv::number::{self, Counted, NotCounted};
use crate::kv::{Adjustment, Expiry, Initial, KEY_MAX_BYTES, Key, Record, Reply, StoreMode, Write};
use crate::mutant::{self, Mutant};
use crate::ring::slot_of;

/// A batch under way.
pub struct ApplyContext<'a, R: Rows> {
    pub tablet: &'a mut Tablet,
    pub rows: &'a R,
    pub changes: Changes,
}

impl<R: Rows> ApplyContext<'_, R> {
    pub fn move_clock(&mut self, now_ms: u64) {
        let state = &mut self.tablet.state;
        let step_ms = now_ms.saturating_sub(state.clock_ms);
        state.clock_ms += step_ms;
        state.session_clock_ms += step_ms.min(CLOCK_STEP_MAX_MS);
        let session_clock_ms = state.session_clock_ms;
        self.tablet.sessions.forget_idle(session_clock_ms);
    }

    /// Every record there is was modified before this batch, so before the time of a flush that is due now.
    pub fn begin_due_flushes(&mut self) {
        let Tablet { state, namespaces, sweep_from, recount, .. } = &mut *self.tablet;
        for (name, namespace) in namespaces {
            if namespace.flush_at_ms != 0 && namespace.flush_at_ms <= state.clock_ms {
                kill_all(namespace, state.version);
                recount.iter_mut().for_each(|recount| recount.forget(name));
                begin_sweep(sweep_from, &mut self.changes);
            }
        }
    }

    /// Once a write routed by a newer map was applied, those routed by an older one are refused.
    pub fn is_of_this_epoch(&mut self, epoch: u32) -> bool {
        let state = &mut self.tablet.state;
        state.epoch = state.epoch.max(epoch);
        state.epoch == epoch || mutant::is_active(Mutant::EpochUnchecked)
    }

    fn is_here(&self, write: &Write) -> bool {
        match write.key() {
            Some(key) => self.tablet.slots.contains(&slot_of(&key.namespace, &key.bytes)),
            None => self.tablet.state.epoch >= self.tablet.since_epoch,
        }
    }

    pub fn item(&mut self, item: &Item) -> Result<Outcome, R::Error> {
        if !self.is_here(&item.write) {
            return Ok(Outcome::NotHere);
        }
        let session_clock_ms = self.tablet.state.session_clock_ms;
        match self.tablet.sessions.check(item, session_clock_ms) {
            Verdict::Answer(outcome) => Ok(outcome),
            Verdict::Apply => {
                let outcome = Outcome::Reply(self.write(&item.write)?);
                if item.session != 0 {
                    self.tablet.sessions.keep(item, &outcome);
                }
                Ok(outcome)
            }
        }
    }

    fn write(&mut self, write: &Write) -> Result<Reply, R::Error> {
        if write.key().is_some_and(|key| key.bytes.len() > KEY_MAX_BYTES) {
            return Ok(Reply::TooLarge);
        }
        match write {
            Write::Store { key, mode, flags, expiry, value } => {
                self.store(key, *mode, *flags, *expiry, value)
            }
            Write::Delete { key, version } => self.delete(key, *version),
            Write::Increment { key, by, is_decrement } => self.increment(key, *by, *is_decrement),
            Write::Adjust { key, adjustment } => self.adjust(key, adjustment),
            Write::Touch { key, expiry } => Ok(match self.touch(key, *expiry)? {
                Some(_) => Reply::Touched,
                None => Reply::NotFound,
            }),
            Write::GetAndTouch { key, .. } if self.view().find_row(key)?.head().is_some() => {
                Ok(Reply::WrongType)
            }
            Write::GetAndTouch { key, expiry } => {
                Ok(self.touch(key, *expiry)?.map_or(Reply::NotFound, Reply::Record))
            }
            Write::Flush { namespace, after_ms } => {
                self.flush(namespace, *after_ms);
                Ok(Reply::Done)
            }
            Write::Operations(operations) => self.operations(operations),
        }
    }

    fn store(
        &mut self,
        key: &Key,
        mode: StoreMode,
        flags: u32,
        expiry: Expiry,
        value: &Bytes,
    ) -> Result<Reply, R::Error> {
        if value.len() > self.tablet.value_max_bytes {
            return Ok(Reply::TooLarge);
        }
        let key_row = self.find_row(key)?;
        let live = key_row.live();
        match (mode, live) {
            (StoreMode::Add, Some(_)) => return Ok(Reply::NotStored),
            (
                StoreMode::Replace
                | StoreMode::Append
                | StoreMode::Prepend
                | StoreMode::AppendIf(_)
                | StoreMode::PrependIf(_),
                None,
            ) => return Ok(Reply::NotStored),
            (StoreMode::Cas(_), None) => return Ok(Reply::NotFound),
            (
                StoreMode::Cas(version) | StoreMode::AppendIf(version) | StoreMode::PrependIf(version),
                Some(record),
            ) if record.version != version && !mutant::is_active(Mutant::CasVersionIgnored) => {
                return Ok(Reply::Exists);
            }
            (
                StoreMode::Append | StoreMode::Prepend | StoreMode::AppendIf(_) | StoreMode::PrependIf(_),
                Some(_),
            ) if key_row.head().is_some() => return Ok(Reply::WrongType),
            _ => {}
        }
        let (old, pieces): (Option<&Record>, [&[u8]; 2]) = match (mode, live) {
            (StoreMode::Append | StoreMode::AppendIf(_), Some(record)) => (live, [&record.value, value]),
            (StoreMode::Prepend | StoreMode::PrependIf(_), Some(record)) => (live, [value, &record.value]),
            _ => (None, [value, &[]]),
        };
        if pieces[0].len() + pieces[1].len() > self.tablet.value_max_bytes {
            return Ok(Reply::TooLarge);
        }
        let header = RecordHeader {
            flags: old.map_or(flags, |record| record.flags),
            version: self.tablet.next_version(),
            expires_at_ms: old.map_or_else(|| self.resolve(expiry), |record| record.expires_at_ms),
            modified_at_ms: self.tablet.state.clock_ms,
        };
        let encoded = encode_record(&header, pieces);
        let value_bytes = pieces[0].len() + pieces[1].len();
        self.put(key_row, &header, encoded, value_bytes);
        Ok(Reply::Stored { version: header.version })
    }

    fn delete(&mut self, key: &Key, version: Option<u64>) -> Result<Reply, R::Error> {
        let key_row = self.find_row(key)?;
        let Some(record) = key_row.live() else { return Ok(Reply::NotFound) };
        if version.is_some_and(|version| version != record.version) {
            return Ok(Reply::Exists);
        }
        self.remove(key_row);
        Ok(Reply::Deleted)
    }

    fn increment(&mut self, key: &Key, by: u64, is_decrement: bool) -> Result<Reply, R::Error> {
        let key_row = self.find_row(key)?;
        let Some(record) = key_row.live() else { return Ok(Reply::NotFound) };
        if key_row.head().is_some() {
            return Ok(Reply::WrongType);
        }
        let Some((value, bytes)) = number::increment(&record.value, by, is_decrement) else {
            return Ok(Reply::NotANumber);
        };
        if bytes.len() > self.tablet.value_max_bytes {
            return Ok(Reply::TooLarge);
        }
        let header = RecordHeader {
            flags: record.flags,
            version: self.tablet.next_version(),
            expires_at_ms: record.expires_at_ms,
            modified_at_ms: self.tablet.state.clock_ms,
        };
        self.put(key_row, &header, encode_record(&header, [&bytes, &[]]), bytes.len());
        Ok(Reply::Number { value, version: header.version })
    }

    fn adjust(&mut self, key: &Key, adjustment: &Adjustment) -> Result<Reply, R::Error> {
        let key_row = self.find_row(key)?;
        if key_row.head().is_some() {
            return Ok(Reply::WrongType);
        }
        let counted = match (key_row.live(), &adjustment.initial) {
            (None, None) => return Ok(Reply::NotFound),
            (None, Some(Initial { value, .. })) => {
                Ok(Counted { number: value.to_vec(), value: value.to_vec() })
            }
            // memcached looks at this before it looks at the version.
            (Some(record), _) if record.value.is_empty() => return Ok(Reply::NotANumber),
            (Some(record), _) if adjustment.version.is_some_and(|version| version != record.version) => {
                return Ok(Reply::Exists);
            }
            (Some(record), _) => number::count(&record.value, adjustment.delta),
        };
        let Counted { number, value } = match counted {
            Ok(counted) => counted,
            Err(NotCounted::NotANumber) => return Ok(Reply::NotANumber),
            Err(NotCounted::OutOfRange) => return Ok(Reply::OutOfRange),
        };
        if value.len() > self.tablet.value_max_bytes {
            return Ok(Reply::TooLarge);
        }
        let expires_at_ms = match (key_row.live(), adjustment.expiry, &adjustment.initial) {
            (None, _, Some(initial)) => self.resolve(initial.expiry),
            (_, Some(expiry), _) => self.resolve(expiry),
            (live, None, _) => live.and_then(|record| record.expires_at_ms),
        };
        let header = RecordHeader {
            flags: key_row.live().map_or(0, |record| record.flags),
            version: self.tablet.next_version(),
            expires_at_ms,
            modified_at_ms: self.tablet.state.clock_ms,
        };
        self.put(key_row, &header, encode_record(&header, [&value, &[]]), value.len());
        let RecordHeader { flags, version, modified_at_ms, .. } = header;
        Ok(Reply::Record(Record { value: number.into(), flags, version, expires_at_ms, modified_at_ms }))
    }

    /// Gives the record another expiry. Neither version nor modification time change, as in memcached, so that
    /// a cas that began before the touch still succeeds.
    fn touch(&mut self, key: &Key, expiry: Expiry) -> Result<Option<Record>, R::Error> {
        let key_row = self.find_row(key)?;
        let Some(record) = key_row.live() else { return Ok(None) };
        let record = Record { expires_at_ms: self.resolve(expiry), ..record.clone() };
        let header = RecordHeader {
            flags: record.flags,
            version: record.version,
            expires_at_ms: record.expires_at_ms,
            modified_at_ms: record.modified_at_ms,
        };
        match key_row.head() {
            Some(head) => self.put_head(key_row, &header, head),
            None => {
                self.put(key_row, &header, encode_record(&header, [&record.value, &[]]), record.value.len());
            }
        }
        Ok(Some(record))
    }

    fn flush(&mut self, namespace: &Namespace, after_ms: u64) {
        let Tablet { state, namespaces, sweep_from, recount, .. } = &mut *self.tablet;
        if after_ms > 0 {
            // Also for a namespace without records: what is stored before that time dies then.
            let namespace = namespaces.entry(namespace.clone()).or_default();
            namespace.flush_at_ms = state.clock_ms.saturating_add(after_ms);
            namespace.is_changed = true;
        } else if let Some(state_of_it) = namespaces.get_mut(namespace) {
            kill_all(state_of_it, state.version);
            recount.iter_mut().for_each(|recount| recount.forget(namespace));
            begin_sweep(sweep_from, &mut self.changes);
        }
    }

    pub fn resolve(&self, expiry: Expiry) -> Option<u64> {
        match expiry {
            Expiry::Never => None,
            Expiry::At(ms) => Some(ms),
            Expiry::After(ms) => Some(self.tablet.state.clock_ms.saturating_add(ms)),
        }
    }

    /// What is there now, with what this batch did.
    pub fn view(&self) -> View<'_, R> {
        View { tablet: self.tablet, rows: self.rows, changes: &self.changes }
    }

    pub fn find_row(&self, key: &Key) -> Result<KeyRow, R::Error> {
        self.view().find_row(key)
    }

    /// Writes a record into its place; one that has expired already is not written, and what was there goes.
    pub fn put(&mut self, key_row: KeyRow, header: &RecordHeader, encoded: Bytes, value_bytes: usize) {
        self.abandon_elements(&key_row);
        self.put_row(key_row, header, encoded, value_bytes as u64);
    }

    /// Writes a head, whose elements stay.
    pub fn put_head(&mut self, key_row: KeyRow, header: &RecordHeader, head: Head) {
        let is_other = |present: &Head| present.incarnation != head.incarnation;
        if key_row.present.as_ref().and_then(|present| present.head).as_ref().is_some_and(is_other) {
            self.abandon_elements(&key_row);
        }
        if self.is_over(header.expires_at_ms) {
            self.add_garbage(&key_row, head);
        }
        self.put_row(key_row, header, head.encode(header), head.bytes);
    }

    fn is_over(&self, expires_at_ms: Option<u64>) -> bool {
        expires_at_ms.is_some_and(|at| at <= self.tablet.state.clock_ms)
    }

    fn put_row(&mut self, key_row: KeyRow, header: &RecordHeader, encoded: Bytes, value_bytes: u64) {
        if self.is_over(header.expires_at_ms) {
            return self.remove_row(key_row);
        }
        let old_expiry = key_row.present.as_ref().and_then(|present| present.record.expires_at_ms);
        if old_expiry != header.expires_at_ms {
            if let Some(at_ms) = old_expiry {
                self.changes.insert(expiry_row(at_ms, &key_row.row), None);
            }
            if let Some(at_ms) = header.expires_at_ms {
                self.changes.insert(expiry_row(at_ms, &key_row.row), Some(Bytes::new()));
                let bound = &mut self.tablet.expiry_not_before_ms;
                *bound = Some(bound.map_or(at_ms, |earliest| earliest.min(at_ms)));
            }
        }
        self.count(&key_row, Some(value_bytes));
        self.changes.insert(key_row.row, Some(encoded));
    }

    pub fn remove(&mut self, key_row: KeyRow) {
        self.abandon_elements(&key_row);
        self.remove_row(key_row);
    }

    /// Removes a record or a head, whose elements have another head by now or are gone.
    pub fn remove_row(&mut self, key_row: KeyRow) {
        let Some(present) = &key_row.present else { return };
        if let Some(at_ms) = present.record.expires_at_ms {
            self.changes.insert(expiry_row(at_ms, &key_row.row), None);
        }
        self.count(&key_row, None);
        self.changes.insert(key_row.row, None);
    }

    /// The elements of what is in a place are to be removed, some with every empty batch.
    fn abandon_elements(&mut self, key_row: &KeyRow) {
        if let Some(head) = key_row.present.as_ref().and_then(|present| present.head) {
            self.add_garbage(key_row, head);
        }
    }

    fn add_garbage(&mut self, key_row: &KeyRow, head: Head) {
        self.changes.insert(garbage_row(slot_of_row(&key_row.row), head.incarnation), Some(Bytes::new()));
        self.tablet.has_garbage = true;
    }

    /// Takes what is in a place out of the counts of its namespace, and a new value in.
    fn count(&mut self, key_row: &KeyRow, new_value_bytes: Option<u64>) {
        let namespaces = &mut self.tablet.namespaces;
        let namespace = match namespaces.get_mut(&key_row.key.namespace) {
            Some(namespace) => namespace,
            None => namespaces.entry(key_row.key.namespace.clone()).or_default(),
        };
        namespace.is_changed = true;
        let mut counted =
            self.tablet.recount.as_mut().and_then(|recount| recount.of(&key_row.row, &key_row.key.namespace));
        let key_bytes = key_row.key.bytes.len() as u64;
        if let Some(present) = key_row.present.as_ref().filter(|present| present.is_counted) {
            let bytes = key_bytes + present.value_bytes();
            namespace.take(bytes);
            counted.iter_mut().for_each(|count| count.take(bytes));
        }
        if let Some(value_bytes) = new_value_bytes {
            namespace.records += 1;
            namespace.bytes += key_bytes + value_bytes;
            counted.iter_mut().for_each(|count| count.add(key_bytes + value_bytes));
        }
    }

    pub fn write_state(&mut self) {
        let Tablet { state, namespaces, sessions, recount, .. } = &mut *self.tablet;
        sessions.write(&mut self.changes);
        if let Some(recount) = recount.as_mut().filter(|recount| recount.is_changed) {
            recount.is_changed = false;
            self.changes.insert(RECOUNT_ROW.to_vec(), Some(recount.encode()));
        }
        for (namespace, state) in namespaces.iter_mut().filter(|(_, state)| state.is_changed) {
            state.is_changed = false;
            self.changes.insert(NamespaceState::row(namespace), Some(state.encode()));
        }
        self.changes.insert(STATE_ROW.to_vec(), Some(state.encode()));
    }
}

impl Tablet {
    /// memcached's cas unique: every change gets the next one, the first gets 1.
    pub(super) fn next_version(&mut self) -> u64 {
        self.state.version += 1;
        self.state.version
    }
}

fn kill_all(namespace: &mut NamespaceState, version: u64) {
    *namespace = NamespaceState { flushed_version: version, is_changed: true, ..NamespaceState::default() };
}

/// From the beginning, also when a sweep is under way: it may have passed rows that died only now.
fn begin_sweep(sweep_from: &mut Option<Vec<u8>>, changes: &mut Changes) {
    let start = vec![KIND_DATA];
    changes.insert(SWEEP_ROW.to_vec(), Some(encode_sweep(&start)));
    *sweep_from = Some(start);
}
