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

/// How long bytes take, in milliseconds, unless a way is slow.
const DELAY_MAX_MS: u64 = 2;

/// Takes what arrives at an address. The streams that go through it are a matter of the layer above.
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
    /// From the first to the second nothing arrives.
    cuts: BTreeSet<(String, String)>,
    /// The most that bytes of these ways are late, in milliseconds.
    slow: BTreeMap<(String, String), u64>,
    /// Readers and writers that wait for a way to open.
    waiting: Vec<Waker>,
    heals: u64,
}

/// What there is at an address.
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

    /// Nothing more arrives on this way until `heal`; what is sent meanwhile waits.
    pub fn cut(&self, from: &str, to: &str) {
        self.state.lock().cuts.insert((from.to_owned(), to.to_owned()));
    }

    pub fn slow_down(&self, from: &str, to: &str, delay_max_ms: u64) {
        self.state.lock().slow.insert((from.to_owned(), to.to_owned()), delay_max_ms);
    }

    /// All ways are open and fast again.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.cuts.clear();
        state.slow.clear();
        state.heals += 1;
        drop(state);
        self.wake_all();
    }

    /// How often all ways were opened so far.
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

    /// How long what is sent now takes.
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
