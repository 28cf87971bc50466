//! The network between simulated hosts: who listens where, latencies, and which links are cut. Bytes of one
//! connection arrive in order, as with TCP; those of different connections do not.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use super::process::Process;
use super::world;

/// Latency in milliseconds, unless a link is slow.
const DELAY_MAX_MS: u64 = 2;

/// Accepts connections at an address; the streams belong to the layer above.
pub(crate) type Acceptor = Arc<dyn Any + Send + Sync>;

struct Listening {
    process: Arc<Process>,
    acceptor: Acceptor,
}

#[derive(Default)]
pub struct Network {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listening: BTreeMap<String, Listening>,
    /// The newest process of each host.
    processes: BTreeMap<String, Arc<Process>>,
    /// Links that are cut, from the first to the second.
    cuts: BTreeSet<(String, String)>,
    /// Largest extra delay of slow links, in milliseconds.
    slow: BTreeMap<(String, String), u64>,
    /// Readers and writers that wait for a link to be healed.
    waiting: Vec<Waker>,
    heals: u64,
}

/// What answers at an address.
pub(crate) enum Found {
    Listening(Acceptor),
    /// The host refuses the connection.
    Refused,
    /// Packets are dropped silently.
    Silence,
}

impl Network {
    pub(super) fn register(&self, process: &Arc<Process>) {
        self.state.lock().processes.insert(process.host.clone(), process.clone());
    }

    /// The newest process on a host.
    pub fn process(&self, host: &str) -> Option<Arc<Process>> {
        self.state.lock().processes.get(host).cloned()
    }

    pub(crate) fn listen(&self, host: &str, process: Arc<Process>, acceptor: Acceptor) {
        self.state.lock().listening.insert(host.to_owned(), Listening { process, acceptor });
    }

    pub(crate) fn find(&self, host: &str) -> Found {
        let state = self.state.lock();
        match (state.listening.get(host), state.processes.get(host)) {
            (Some(listening), _) if listening.process.is_alive() => {
                Found::Listening(listening.acceptor.clone())
            }
            (_, Some(process)) if !process.is_without_power() => Found::Refused,
            _ => Found::Silence,
        }
    }

    pub fn is_cut(&self, from: &str, to: &str) -> bool {
        let state = self.state.lock();
        !state.cuts.is_empty() && state.cuts.contains(&(from.to_owned(), to.to_owned()))
    }

    /// Cuts a link until `heal`; bytes sent meanwhile wait.
    pub fn cut(&self, from: &str, to: &str) {
        self.state.lock().cuts.insert((from.to_owned(), to.to_owned()));
    }

    pub fn slow_down(&self, from: &str, to: &str, delay_max_ms: u64) {
        self.state.lock().slow.insert((from.to_owned(), to.to_owned()), delay_max_ms);
    }

    /// Heals all links and makes them fast again.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.cuts.clear();
        state.slow.clear();
        state.heals += 1;
        drop(state);
        self.wake_all();
    }

    /// How often all links were healed so far.
    pub fn heals(&self) -> u64 {
        self.state.lock().heals
    }

    pub(super) fn wake_all(&self) {
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub fn wait(&self, waker: &Waker) {
        self.state.lock().waiting.push(waker.clone());
    }

    /// Latency of bytes sent now.
    pub fn delay(&self, from: &str, to: &str) -> Duration {
        let max_ms = {
            let state = self.state.lock();
            let slow = if state.slow.is_empty() {
                None
            } else {
                state.slow.get(&(from.to_owned(), to.to_owned())).copied()
            };
            slow.unwrap_or(DELAY_MAX_MS)
        };
        Duration::from_millis(world().draw(max_ms + 1))
    }

    pub(super) fn end_all(&self) {
        let processes: Vec<_> = self.state.lock().processes.values().cloned().collect();
        processes.iter().filter(|process| process.is_alive()).for_each(|process| {
            process.end(super::process::CrashKind::PowerCut);
        });
        self.state.lock().listening.clear();
    }
}
