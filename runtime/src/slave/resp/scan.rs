//! `SCAN`, `KEYS` and `RANDOMKEY`: all tablets are scanned, one after the other. A cursor is a number, as clients expect: the
//! slot where the scan continues, and the hash of the last key returned.

use std::sync::Arc;

use bytes::Bytes;
use dkc_core::ids::TabletId;
use dkc_core::kv::operation::{Act, KeyAct};
use dkc_core::kv::{Command, Operation, Operations, Read, Reply, Value};
use dkc_core::resp::{Cursor, Scan, matches};
use dkc_core::ring::{RingMap, SLOTS, SlotId, slot_of};

use super::{Resp, as_command};
use crate::router::RouteError;

/// Tablet replies per step.
const LOOKS_MAX: usize = 64;
/// Keys per reply while searching for the position where a scan continues.
const SEEK_KEYS: u32 = 1000;
/// Most keys returned by one step.
const COUNT_MAX: u32 = 10_000;
/// Limit of `KEYS`, which is for small namespaces; `SCAN` has none.
const KEYS_MAX: usize = 100_000;

impl Resp {
    pub(super) async fn scan(&self, scan: Scan) -> Result<Value, RouteError> {
        let (keys, next) = self.step(Cursor::of(scan.cursor), scan.count.min(COUNT_MAX)).await?;
        let mut keys: Vec<Bytes> = keys
            .into_iter()
            .filter(|key| scan.pattern.as_ref().is_none_or(|pattern| matches(pattern, key)))
            .collect();
        if let Some(kind) = &scan.kind {
            keys = self.of_kind(keys, kind).await?;
        }
        let next = next.map_or(0, Cursor::number).to_string();
        Ok(Value::Array(vec![Value::Text(next.into()), Value::texts(keys)]))
    }

    async fn of_kind(&self, keys: Vec<Bytes>, kind: &Bytes) -> Result<Vec<Bytes>, RouteError> {
        let calls = keys.iter().map(|key| {
            let operation = Operation { key: key.clone(), act: Act::Key(KeyAct::Type) };
            as_command(Operations::one(self.namespace.clone(), operation)).into()
        });
        let outcomes = self.service.router.execute_all(calls.collect()).await;
        let mut kept = Vec::new();
        for (key, outcome) in keys.into_iter().zip(outcomes) {
            if matches!(outcome?, Reply::Value(Value::Word(word)) if word == *kind) {
                kept.push(key);
            }
        }
        Ok(kept)
    }

    pub(super) async fn keys(&self, pattern: &Bytes) -> Result<Value, RouteError> {
        let (mut found, mut at) = (Vec::new(), Some(Cursor::of(0)));
        while let Some(cursor) = at {
            let (keys, next) = self.step(cursor, COUNT_MAX).await?;
            found.extend(keys.into_iter().filter(|key| matches(pattern, key)));
            if found.len() > KEYS_MAX {
                return Err(RouteError::Refused(format!("more than {KEYS_MAX} keys match; use SCAN")));
            }
            at = next;
        }
        Ok(Value::texts(found))
    }

    /// One of the first keys after a random slot.
    pub(super) async fn random_key(&self) -> Result<Value, RouteError> {
        let slot = (crate::chance::unique_u64() % u64::from(SLOTS)) as u32;
        for mut at in [Some(Cursor { slot, hash: 0 }), Some(Cursor::of(0))] {
            while let Some(cursor) = at {
                let (keys, next) = self.step(cursor, SEEK_KEYS).await?;
                if !keys.is_empty() {
                    let drawn = (crate::chance::unique_u64() % keys.len() as u64) as usize;
                    return Ok(Value::Text(keys[drawn].clone()));
                }
                at = next;
            }
        }
        Ok(Value::Nil)
    }

    /// Keys after a cursor, and the next cursor.
    async fn step(&self, from: Cursor, count: u32) -> Result<(Vec<Bytes>, Option<Cursor>), RouteError> {
        let (mut found, mut at) = (Vec::new(), from);
        let mut after = at.row();
        let mut is_sought = at.hash != 0;
        for _ in 0..LOOKS_MAX {
            if at.slot >= SLOTS {
                return Ok((found, None));
            }
            let tablet = self.tablet_of(at.slot).await?;
            let limit = if is_sought { SEEK_KEYS } else { count - found.len() as u32 };
            let (mut keys, next) = self.ask(tablet, after.clone(), limit).await?;
            if is_sought {
                let is_told = |key: &Bytes| at.is_of(self.slot(key), key);
                if let Some(told) = keys.iter().position(is_told) {
                    keys.drain(..=told);
                    is_sought = false;
                } else if keys.last().is_some_and(|key| u32::from(self.slot(key).0) > at.slot)
                    || next.is_none()
                {
                    // That key was deleted: the slot is returned once more.
                    at.hash = 0;
                    (after, is_sought) = (at.row(), false);
                    continue;
                } else {
                    keys.clear();
                }
            }
            found.extend(keys);
            match next {
                Some(row) => after = row,
                None => {
                    at = Cursor { slot: self.last_slot_of(tablet)? + 1, hash: 0 };
                    after = at.row();
                }
            }
            if found.len() as u32 >= count {
                let is_end = after == at.row() && at.slot >= SLOTS;
                let last = found.last().map(|key| Cursor::behind(self.slot(key), key));
                return Ok((found, last.filter(|_| !is_end)));
            }
        }
        let slot = after.first_chunk::<2>().map_or(at.slot, |slot| u32::from(u16::from_be_bytes(*slot)));
        let last = found.last().map(|key| Cursor::behind(self.slot(key), key));
        Ok((found, Some(last.unwrap_or(Cursor { slot, hash: 0 }))))
    }

    fn slot(&self, key: &Bytes) -> SlotId {
        slot_of(&self.namespace, key)
    }

    async fn tablet_of(&self, slot: u32) -> Result<TabletId, RouteError> {
        // Waits until there is a ring map.
        self.service.router.tablets().await?;
        Ok(self.ring()?.tablet_of_slot(SlotId(slot as u16)))
    }

    /// Asked for after the tablet has answered: one that was split before has not answered for more than this.
    fn last_slot_of(&self, tablet: TabletId) -> Result<u32, RouteError> {
        let ring = self.ring()?;
        let place = ring.place_of(tablet).ok_or_else(|| RouteError::Refused("no such tablet".into()))?;
        Ok(u32::from(place.last_slot.0))
    }

    fn ring(&self) -> Result<Arc<RingMap>, RouteError> {
        let ring = self.service.router.ring().borrow().clone();
        ring.ok_or_else(|| RouteError::Refused("no ring map yet".into()))
    }

    async fn ask(
        &self,
        tablet: TabletId,
        after: Bytes,
        limit: u32,
    ) -> Result<(Vec<Bytes>, Option<Bytes>), RouteError> {
        let read = Read::Scan { namespace: self.namespace.clone(), after, limit };
        match self.service.router.execute_on(tablet, Command::Read(read)).await? {
            Reply::Keys { keys, next } => Ok((keys, next)),
            other => Err(RouteError::Refused(format!("the tablet answered a scan with {other:?}"))),
        }
    }
}
