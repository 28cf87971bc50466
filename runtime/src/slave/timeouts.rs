//! Closes client connections that are idle for too long, do not finish a request, or do not read their replies. One
//! task checks all connections once a second; a connection only records what it waits for, so that a request needs no
//! timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use dkc_core::config::Parameters;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::memory::Memory;
use super::statistics::{Traffic, add};

/// How often connections are checked.
const LOOK: Duration = Duration::from_secs(1);
/// Timeout of unfinished requests and unread replies while another connection waits for memory.
const SHORT_MAX_LOOKS: u32 = 3;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// For something other than its application.
    Nothing = 0,
    /// For a request to begin.
    Request = 1,
    /// For the rest of a request.
    Rest = 2,
    /// For its replies to be read.
    Taking = 3,
}

/// The timeouts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a request to begin.
    pub idle: Duration,
    /// For the rest of a request, and for replies to be read.
    pub stall: Duration,
}

impl Limits {
    pub fn of(parameters: &Parameters) -> Limits {
        Limits {
            idle: Duration::from_millis(parameters.client_idle_timeout_ms),
            stall: Duration::from_millis(parameters.client_stall_timeout_ms),
        }
    }

    fn is_over(&self, waiting: u8, looks: u32, is_short: bool) -> bool {
        // A wait that began just before a tick is shorter than its tick count.
        let looks_of = |limit: Duration| limit.as_secs().min(u64::from(u32::MAX - 1)) as u32 + 1;
        let stall = looks_of(self.stall);
        let stall = if is_short { stall.min(SHORT_MAX_LOOKS) } else { stall };
        match waiting {
            waiting if waiting == WaitsFor::Request as u8 => looks > looks_of(self.idle),
            waiting if waiting == WaitsFor::Nothing as u8 => false,
            _ => looks > stall,
        }
    }
}

/// What one connection waits for, and since which tick.
#[derive(Debug, Default)]
pub(crate) struct Noted(AtomicU64);

impl Noted {
    fn get(&self) -> (u8, u32) {
        let noted = self.0.load(Ordering::Relaxed);
        ((noted >> 32) as u8, noted as u32)
    }
}

/// Of one slave.
pub(crate) struct Timeouts {
    limits: Mutex<Limits>,
    memory: Arc<Memory>,
    traffic: Arc<Traffic>,
    looks: AtomicU32,
    connections: Mutex<Vec<(Arc<Noted>, AbortHandle)>>,
}

impl Timeouts {
    pub fn new(limits: Limits, memory: Arc<Memory>, traffic: Arc<Traffic>) -> Timeouts {
        Timeouts {
            limits: Mutex::new(limits),
            memory,
            traffic,
            looks: AtomicU32::new(0),
            connections: Mutex::default(),
        }
    }

    /// Applies to all connections from the next tick on.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock() = limits;
    }

    /// The connection begins to wait; if it waited for the same thing already, that timer keeps running.
    pub fn note(&self, noted: &Noted, waiting: WaitsFor) {
        if noted.get().0 != waiting as u8 {
            let since = u64::from(self.looks.load(Ordering::Relaxed));
            noted.0.store((waiting as u64) << 32 | since, Ordering::Relaxed);
        }
    }

    /// Watches a connection until its `noted` is dropped.
    pub fn watch(&self, noted: Arc<Noted>, task: AbortHandle) {
        self.connections.lock().push((noted, task));
    }

    pub async fn run(self: Arc<Timeouts>) {
        let mut interval = tokio::time::interval(LOOK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        let now = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let is_short = self.memory.is_short();
        let limits = *self.limits.lock();
        let mut connections = self.connections.lock();
        connections.retain(|(noted, task)| {
            let is_open = Arc::strong_count(noted) > 1;
            let (waiting, since) = noted.get();
            if is_open && limits.is_over(waiting, now.saturating_sub(since), is_short) {
                add(&self.traffic.counters.timed_out_connections, 1);
                tracing::debug!(waiting, "client connection timed out");
                task.abort();
            }
            is_open
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(waiting: WaitsFor, seconds: u32, is_short: bool, want: bool) {
        let limits = Limits { idle: Duration::from_secs(100), stall: Duration::from_secs(10) };
        assert_eq!(
            limits.is_over(waiting as u8, seconds, is_short),
            want,
            "{waiting:?} for {seconds} s, memory short: {is_short}"
        );
    }

    #[test]
    fn who_waits_too_long_is_closed_sooner_when_memory_is_short() {
        check(WaitsFor::Nothing, 1000, true, false);
        check(WaitsFor::Request, 100, true, false);
        check(WaitsFor::Request, 102, false, true);
        for waiting in [WaitsFor::Rest, WaitsFor::Taking] {
            check(waiting, 10, false, false);
            check(waiting, 12, false, true);
            check(waiting, 3, true, false);
            check(waiting, 4, true, true);
        }
    }

    #[tokio::test]
    async fn a_wait_goes_on_until_something_else_is_waited_for() {
        let limits = Limits { idle: Duration::from_secs(100), stall: Duration::from_secs(10) };
        let timeouts = Timeouts::new(limits, Memory::new(1 << 20), Arc::default());
        let noted = Arc::new(Noted::default());
        let task = tokio::spawn(std::future::pending::<()>());
        timeouts.watch(noted.clone(), task.abort_handle());
        timeouts.note(&noted, WaitsFor::Rest);
        for _ in 0..11 {
            timeouts.look();
            timeouts.note(&noted, WaitsFor::Rest);
        }
        assert!(!task.is_finished());
        let limits = Limits { stall: Duration::from_secs(11), ..limits };
        timeouts.set_limits(limits);
        timeouts.look();
        tokio::task::yield_now().await;
        assert!(!task.is_finished(), "another limit counts for waits that began before");
        timeouts.look();
        assert!(task.await.unwrap_err().is_cancelled());
        drop(noted);
        timeouts.look();
        assert!(timeouts.connections.lock().is_empty());
    }
}
