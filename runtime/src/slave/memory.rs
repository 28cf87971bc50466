//! The memory budget of all connections of a slave, and each connection's share of it.
//!
//! Three quarters are shared by all. The last quarter is reserved for connections that hold little, so that a new
//! connection or a small request is served while others hold as much as they can.
//!
//! *Invariant:* every wait for memory has a timeout, so that two connections that wait for each other do not deadlock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::router::AdmitValue;

/// The unit of reservations.
const UNIT_BYTES: usize = 1024;
/// Reserved for every connection: its task, the buffer for one read, and `FREE_BYTES`.
const CONNECTION_UNITS: usize = 16;
/// Bytes that a connection may use without reserving them.
const FREE_BYTES: usize = 8 * 1024;
/// Values up to this size, such as numbers, are covered by every connection's base reservation.
pub(super) const UNCOUNTED_MAX_BYTES: usize = 64;
/// A connection that uses no more than this may use the reserve.
const SMALL_MAX_BYTES: usize = 64 * 1024;
/// Bytes of large values in flight from servers to all connections together. All replies of a server share one
/// connection: a small one may have to wait behind this much.
const LARGE_IN_FLIGHT_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Of one slave.
pub(crate) struct Memory {
    /// Usable by every connection.
    common: Pool,
    reserve: Pool,
    /// Of `LARGE_IN_FLIGHT_MAX_BYTES`.
    in_flight: Semaphore,
    waiting: AtomicUsize,
}

/// The memory of one connection. It is released when the last part of the connection is dropped, with the replies still
/// in flight to it.
pub(crate) struct Share {
    memory: Arc<Memory>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    used_bytes: usize,
    common_units: usize,
    reserve_units: usize,
}

/// Units that connections take and give back. There may become more or fewer of them at any time; what is taken beyond the new
/// number is owed, and is missing when it comes back.
struct Pool {
    free: Semaphore,
    size: Mutex<PoolSize>,
}

#[derive(Default)]
struct PoolSize {
    units: usize,
    owed: usize,
}

impl Pool {
    fn new(units: usize) -> Pool {
        Pool { free: Semaphore::new(units), size: Mutex::new(PoolSize { units, owed: 0 }) }
    }

    fn units(&self) -> usize {
        self.size.lock().units
    }

    fn give_back(&self, units: usize) {
        let mut size = self.size.lock();
        let paid = units.min(size.owed);
        size.owed -= paid;
        self.free.add_permits(units - paid);
        debug_assert!(self.free.available_permits() <= size.units, "more memory released than reserved");
    }

    fn resize(&self, units: usize) {
        let mut size = self.size.lock();
        let fewer = size.units.saturating_sub(units);
        size.owed += fewer - self.free.forget_permits(fewer);
        let more = units.saturating_sub(size.units);
        let paid = more.min(size.owed);
        size.owed -= paid;
        size.units = units;
        self.free.add_permits(more - paid);
    }
}

/// Common units and those of the reserve.
fn parts(bytes: usize) -> (usize, usize) {
    let units = (bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS);
    (units - units / 4, units / 4)
}

impl Memory {
    pub fn new(bytes: usize) -> Arc<Memory> {
        let (common, reserve) = parts(bytes);
        Arc::new(Memory {
            common: Pool::new(common),
            reserve: Pool::new(reserve),
            in_flight: Semaphore::new(LARGE_IN_FLIGHT_MAX_BYTES / UNIT_BYTES),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Connections that hold more than there is now keep it until they are done with it.
    pub fn set_bytes(&self, bytes: usize) {
        let (common, reserve) = parts(bytes);
        self.common.resize(common);
        self.reserve.resize(reserve);
    }

    /// Whether a connection waits for memory.
    pub fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Free bytes.
    pub fn free_bytes(&self) -> usize {
        (self.common.free.available_permits() + self.reserve.free.available_permits()) * UNIT_BYTES
    }

    /// `None` if there is no memory for another connection.
    pub fn connection(self: &Arc<Memory>) -> Option<Arc<Share>> {
        let mut held = Held::default();
        self.take(&mut held, CONNECTION_UNITS, true)
            .then(|| Arc::new(Share { memory: self.clone(), held: Mutex::new(held) }))
    }

    /// Waits for a turn to request values of this size from servers; small ones need none. `None` on
    /// timeout.
    pub async fn turn(&self, bytes: usize, timeout: Duration) -> Option<Turn<'_>> {
        let waiting = tokio::time::timeout(timeout, self.in_flight.acquire_many(turn_units(bytes)));
        Some(Turn { _permits: waiting.await.ok()?.ok()? })
    }

    /// The same without waiting.
    pub fn try_turn(&self, bytes: usize) -> Option<Turn<'_>> {
        Some(Turn { _permits: self.in_flight.try_acquire_many(turn_units(bytes)).ok()? })
    }

    fn take(&self, held: &mut Held, units: usize, is_small: bool) -> bool {
        let count = u32::try_from(units).unwrap_or(u32::MAX);
        if let Ok(taken) = self.common.free.try_acquire_many(count) {
            taken.forget();
            held.common_units += units;
            return true;
        }
        match self.reserve.free.try_acquire_many(count) {
            Ok(taken) if is_small => {
                taken.forget();
                held.reserve_units += units;
                true
            }
            _ => false,
        }
    }
}

/// A turn to receive large values, which ends on drop.
pub(crate) struct Turn<'a> {
    _permits: SemaphorePermit<'a>,
}

fn turn_units(bytes: usize) -> u32 {
    match bytes {
        ..=SMALL_MAX_BYTES => 0,
        // A value larger than the limit gets a turn alone.
        _ => (bytes.min(LARGE_IN_FLIGHT_MAX_BYTES) / UNIT_BYTES) as u32,
    }
}

impl Held {
    /// Units missing if this many bytes are used.
    fn missing_units(&self, used_bytes: usize) -> usize {
        units_of(used_bytes).saturating_sub(self.common_units + self.reserve_units)
    }
}

fn units_of(used_bytes: usize) -> usize {
    CONNECTION_UNITS + used_bytes.saturating_sub(FREE_BYTES).div_ceil(UNIT_BYTES)
}

impl Share {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }

    pub fn used_bytes(&self) -> usize {
        self.held().used_bytes
    }

    /// Reserves this many more bytes, if they are free now.
    pub fn try_take(&self, bytes: usize) -> bool {
        let mut held = self.held();
        let used_bytes = held.used_bytes.saturating_add(bytes);
        let missing = held.missing_units(used_bytes);
        let is_small = used_bytes <= SMALL_MAX_BYTES;
        let has_room = missing == 0 || self.memory.take(&mut held, missing, is_small);
        if has_room {
            held.used_bytes = used_bytes;
        }
        has_room
    }

    /// The same, waiting for memory. False on timeout, or if it can never be free.
    pub async fn take(&self, bytes: usize, timeout: Duration) -> bool {
        if self.try_take(bytes) {
            return true;
        }
        let (missing, most) = {
            let held = self.held();
            let missing = held.missing_units(held.used_bytes.saturating_add(bytes));
            (missing, self.memory.common.units().saturating_sub(held.common_units))
        };
        let Some(count) = u32::try_from(missing).ok().filter(|_| missing <= most) else { return false };
        self.memory.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.memory.waiting);
        let Ok(Ok(taken)) = tokio::time::timeout(timeout, self.memory.common.free.acquire_many(count)).await
        else {
            return false;
        };
        taken.forget();
        let mut held = self.held();
        held.common_units += missing;
        held.used_bytes += bytes;
        true
    }

    /// Releases all but this many bytes of the reservation.
    pub fn settle(&self, used_bytes: usize) {
        let mut held = self.held();
        held.used_bytes = used_bytes;
        let surplus = (held.common_units + held.reserve_units).saturating_sub(units_of(used_bytes));
        if surplus > 0 {
            // The reserve first: others need it.
            let from_reserve = surplus.min(held.reserve_units);
            held.reserve_units -= from_reserve;
            held.common_units -= surplus - from_reserve;
            self.memory.reserve.give_back(from_reserve);
            self.memory.common.give_back(surplus - from_reserve);
        }
    }
}

impl AdmitValue for Share {
    fn admit(&self, bytes: usize) -> bool {
        bytes <= UNCOUNTED_MAX_BYTES || self.try_take(bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let held = self.held.get_mut();
        self.memory.reserve.give_back(held.reserve_units);
        self.memory.common.give_back(held.common_units);
    }
}

struct Waiting<'a>(&'a AtomicUsize);
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;
    const SOON: Duration = Duration::from_millis(10);
    const LATE: Duration = Duration::from_secs(3600);

    #[test]
    fn large_holders_leave_room_for_new_connections_and_small_requests() {
        let memory = Memory::new(16 * MIB);
        let holders: Vec<Arc<Share>> =
            (0..100).map_while(|_| memory.connection().filter(|share| share.try_take(MIB))).collect();
        assert_eq!(holders.len(), 11, "three quarters of 16 MiB");
        let newcomer = memory.connection().expect("room for a new connection");
        assert!(newcomer.try_take(SMALL_MAX_BYTES));
        assert!(!newcomer.try_take(MIB));
        drop(holders);
        assert!(newcomer.try_take(MIB));
        newcomer.settle(0);
        drop(newcomer);
        assert_eq!(memory.free_bytes(), 16 * MIB);
    }

    #[test]
    fn memory_that_shrinks_while_it_is_held_is_missing_when_it_comes_back() {
        let memory = Memory::new(32 * MIB);
        let holder = memory.connection().unwrap();
        assert!(holder.try_take(20 * MIB));
        memory.set_bytes(16 * MIB);
        assert_eq!(memory.free_bytes(), 4 * MIB, "the reserve, which nobody holds");
        assert!(!memory.connection().unwrap().try_take(MIB));
        holder.settle(0);
        drop(holder);
        assert_eq!(memory.free_bytes(), 16 * MIB);
        let holder = memory.connection().unwrap();
        assert!(holder.try_take(11 * MIB));
        memory.set_bytes(4 * MIB);
        memory.set_bytes(64 * MIB);
        assert!(holder.try_take(20 * MIB), "there is more than before");
        drop(holder);
        assert_eq!(memory.free_bytes(), 64 * MIB);
    }

    #[test]
    fn connections_end_where_the_memory_ends() {
        let memory = Memory::new(MIB);
        let connections: Vec<_> = (0..1000).map_while(|_| memory.connection()).collect();
        assert_eq!(connections.len(), 64);
    }

    #[tokio::test]
    async fn large_values_take_turns_and_small_ones_need_none() {
        let memory = Memory::new(256 * MIB);
        let first = memory.try_turn(LARGE_IN_FLIGHT_MAX_BYTES - MIB).expect("nobody else");
        let second = memory.turn(MIB, LATE).await.expect("both fit");
        assert!(memory.try_turn(SMALL_MAX_BYTES + UNIT_BYTES).is_none());
        assert!(memory.turn(MIB, SOON).await.is_none());
        assert!(memory.try_turn(SMALL_MAX_BYTES).is_some(), "small");
        drop((first, second));
        assert!(memory.turn(10 * LARGE_IN_FLIGHT_MAX_BYTES, LATE).await.is_some(), "alone");
    }

    #[tokio::test]
    async fn room_is_waited_for_in_turn_and_not_for_ever() {
        let memory = Memory::new(16 * MIB);
        let (first, second) = (memory.connection().unwrap(), memory.connection().unwrap());
        assert!(first.try_take(11 * MIB));
        assert!(!second.take(2 * MIB, SOON).await, "nobody gave anything back");
        assert!(!second.take(13 * MIB, LATE).await, "more than there is");
        assert!(!first.take(2 * MIB, LATE).await, "with what it has, more than there is");
        let waiting = tokio::spawn(async move { second.take(2 * MIB, LATE).await });
        while !memory.is_short() {
            tokio::task::yield_now().await;
        }
        first.settle(0);
        assert!(waiting.await.unwrap());
        assert!(!memory.is_short());
    }
}
